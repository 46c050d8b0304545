"""What this program wrote into a checkout is no code: manifests, overlays, receipts and fetched directories."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.filesystem.atomic import final_name
from git_coderepo.git import own_files
from git_coderepo.git.process import Git
from git_coderepo.git.repository import Layout, read_layout, start_layout
from tests.support.program import Program
from tests.support.repo import Repo

ALLOWED = {"CODEREPO_ALLOW_PROTOCOL": "file"}


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A pushed checkout with an untracked file that fits into no manifest."""
    repo.write("train.py", "lr = 0.1\n")
    repo.write("sub dir/data.txt", "data\n" * 100)
    repo.write(b"odd\nn\xff", "odd\n")
    repo.write("run.sh", "#!/bin/sh\n", mode=0o755)
    os.symlink("train.py", repo.file("link"))
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.write("weights.bin", os.urandom(100_000))
    return repo


@pytest.fixture
def run(checkout: Repo, program: Program) -> Callable[..., Any]:
    def run(*words: str | bytes | Path, cwd: Path | None = None, **options: Any) -> Any:
        return program.run(*words, cwd=cwd or checkout.path, env=ALLOWED, **options)

    return run


def code(run: Callable[..., Any], *words: str, cwd: Path | None = None) -> Any:
    return json.loads(run("snapshot", *words, cwd=cwd).stdout)["code"]


def own(run: Callable[..., Any], *words: str, cwd: Path | None = None) -> list[Any]:
    return [each["path"] for each in code(run, *words, cwd=cwd)["omitted"] if each["reason"] == "own-output"]


def notes(checkout: Repo) -> list[str]:
    folder = checkout.git_dir() / "coderepo" / "written"
    return os.listdir(folder) if folder.exists() else []


@pytest.mark.slow
def test_every_kind_of_output_again_and_again(checkout: Repo, run: Callable[..., Any]) -> None:
    first = code(run)["snapshot"]["tree"]
    for _ in range(3):
        run("snapshot", "-o", "run.json")
        run("fetch", "run.json", f"fetched {time.time_ns()}", "--receipt", "receipt.json")
        run("run", "--manifest", "sub dir/of a run.json", "--", "true")
        now = code(run)
        assert now["snapshot"]["tree"] == first
    left_out = {each["path"] for each in now["omitted"]}
    assert {"run.json", "receipt.json", "sub dir/of a run.json"} <= left_out
    # A directory is named as a whole.
    assert len([path for path in left_out if path.startswith("fetched ")]) == 3
    # The overlay beside the first manifest, and the one beside that of the run.
    (overlay,) = checkout.path.glob("*.tar.gz")
    assert overlay.name in left_out and f"sub dir/{overlay.name}" in left_out


@pytest.mark.slow
def test_the_hook_leaves_it_out_too(checkout: Repo, program: Program) -> None:
    env = {**ALLOWED, "CODEREPO_OUT": "hook.json"}
    trees = set()
    for _ in range(3):
        program.run("hook", "pre-run", cwd=checkout.path, env=env)
        manifest = json.loads((checkout.path / "hook.json").read_bytes())
        trees.add(manifest["code"]["snapshot"]["tree"])
    assert len(trees) == 1
    assert "hook.json" in {each["path"] for each in manifest["code"]["omitted"]}


def test_a_clean_checkout_stays_clean(checkout: Repo, run: Callable[..., Any]) -> None:
    os.unlink(checkout.path / "weights.bin")
    run("snapshot", "-o", "run.json")
    run("fetch", "run.json", "fetched")
    now = code(run)
    assert now["dirty"] is False and now["overlay"] is None
    checkout.git("config", "coderepo.untracked", "refuse")
    checkout.git("config", "coderepo.dirty", "refuse")
    assert code(run)["dirty"] is False


def test_an_edited_copy_is_code_and_is_named_once(checkout: Repo, run: Callable[..., Any]) -> None:
    run("snapshot", "-o", "run.json")
    with open(checkout.path / "run.json", "ab") as file:
        file.write(b"\n")
    said = run("snapshot").errors
    assert said.count("'run.json' was written by git coderepo and has changed since") == 1
    assert "git coderepo ignore run.json" in said
    again = run("snapshot")
    assert "has changed since" not in again.errors
    assert "run.json" not in {each["path"] for each in json.loads(again.stdout)["code"]["omitted"]}


def test_an_edit_of_the_same_size_within_the_same_moment(checkout: Repo, run: Callable[..., Any]) -> None:
    run("snapshot", "-o", "run.json")
    assert "run.json" in own(run)
    path = checkout.path / "run.json"
    facts = path.stat()
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    with open(path, "r+b") as file:
        file.write(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert "run.json" not in own(run)


def _edit(place: Path) -> None:
    (place / "train.py").write_text("lr = 0.2\n")


def _add(place: Path) -> None:
    (place / "sub dir" / "new.py").write_text("new\n")


def _remove(place: Path) -> None:
    os.unlink(os.fsencode(place) + b"/odd\nn\xff")


def _flip(place: Path) -> None:
    (place / "run.sh").chmod(0o644)


def _relink(place: Path) -> None:
    (place / "link").unlink()
    (place / "link").symlink_to("train.pz")


@pytest.mark.slow
@pytest.mark.parametrize("change", [_edit, _add, _remove, _flip, _relink])
def test_a_fetched_directory_is_ours_while_all_of_it_is_unchanged(
    checkout: Repo, run: Callable[..., Any], change: Callable[[Path], None]
) -> None:
    run("snapshot", "-o", "run.json")
    run("fetch", "run.json", "deep/er/fetched code")
    assert "deep/er/fetched code" in own(run)
    change(checkout.path / "deep/er/fetched code")
    done = run("snapshot")
    assert done.errors.count("'deep/er/fetched code' was written by git coderepo") == 1
    now = json.loads(done.stdout)["code"]
    assert "deep/er/fetched code" not in {each["path"] for each in now["omitted"]}
    os.unlink(checkout.path / "run.json")
    for overlay in checkout.path.glob("*.tar.gz"):
        os.unlink(overlay)
    assert code(run)["snapshot"]["tree"] == checkout.tree()
    assert "has changed since" not in run("snapshot").errors


@pytest.mark.slow
def test_what_is_tracked_is_always_code(checkout: Repo, run: Callable[..., Any]) -> None:
    run("snapshot", "-o", "run.json")
    run("fetch", "run.json", "vendored")
    checkout.git("add", "vendored", "run.json")
    assert not {"vendored", "run.json"} & set(own(run))
    assert not {"vendored", "run.json"} & set(own(run, "--include", "run.json"))
    checkout.git("commit", "--quiet", "--message", "vendored")
    os.unlink(checkout.path / "weights.bin")
    for overlay in checkout.path.glob("*.tar.gz"):
        os.unlink(overlay)
    now = code(run)
    assert now["omitted"] == [] and now["snapshot"]["tree"] == checkout.line("rev-parse", "HEAD^{tree}")


@pytest.mark.slow
def test_what_was_moved_or_copied_is_still_ours(checkout: Repo, run: Callable[..., Any]) -> None:
    run("snapshot", "-o", "run.json")
    run("fetch", "run.json", "fetched")
    (checkout.path / "kept").mkdir()
    for name in ("run.json", "fetched", *(path.name for path in checkout.path.glob("*.tar.gz"))):
        os.rename(checkout.path / name, checkout.path / "kept" / name)
    assert {"kept/run.json", "kept/fetched"} <= set(own(run))
    shutil.copy(checkout.path / "kept" / "run.json", checkout.path / "copy.json")
    assert {"kept/run.json", "copy.json"} <= set(own(run))
    assert {"kept/run.json", "copy.json"} <= set(own(run))


def test_a_moved_or_copied_checkout(checkout: Repo, run: Callable[..., Any], tmp_path: Path) -> None:
    run("snapshot", "-o", "run.json")
    run("fetch", "run.json", "fetched")
    shutil.copytree(checkout.path, tmp_path / "copy", symlinks=True)
    assert {"run.json", "fetched"} <= set(own(run, cwd=tmp_path / "copy"))
    with open(tmp_path / "copy" / "run.json", "ab") as file:
        file.write(b"\n")
    assert "'run.json' was written by" in run("snapshot", cwd=tmp_path / "copy").errors


@pytest.mark.slow
def test_through_links_and_from_elsewhere(checkout: Repo, run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "way in").symlink_to(checkout.path)
    run("snapshot", "-o", "run.json", cwd=tmp_path / "way in" / "sub dir")
    run("snapshot", "-o", tmp_path / "way in" / "other.json")
    run("fetch", checkout.path / "sub dir" / "run.json", tmp_path / "way in" / "fetched", cwd=tmp_path)
    link = tmp_path / "link.json"
    link.symlink_to(checkout.path / "linked.json")
    run("snapshot", "-o", link)
    found = set(own(run, cwd=tmp_path / "way in"))
    assert {"sub dir/run.json", "other.json", "fetched", "linked.json"} <= found


@pytest.mark.slow
def test_linked_worktrees(checkout: Repo, run: Callable[..., Any], tmp_path: Path) -> None:
    checkout.git("worktree", "add", "--quiet", tmp_path / "second")
    run("snapshot", "-o", tmp_path / "second" / "run.json")
    run("snapshot", "-o", "run.json", cwd=tmp_path / "second")
    run("fetch", tmp_path / "second" / "run.json", checkout.path / "fetched", cwd=tmp_path / "second")
    assert "run.json" in own(run, cwd=tmp_path / "second")
    assert "fetched" in own(run)
    # The same name in the other worktree is another file.
    checkout.write("run.json", "mine")
    done = run("snapshot")
    assert "has changed since" not in done.errors and "run.json" not in own(run)
    assert "run.json" in own(run, cwd=tmp_path / "second")


def test_submodules(checkout: Repo, run: Callable[..., Any], tmp_path: Path) -> None:
    inner = Repo.init(tmp_path / "inner", checkout.env)
    inner.write("lib.py", "x = 1\n")
    inner.commit()
    checkout.git("submodule", "--quiet", "add", f"file://{inner.path}", "vendor")
    checkout.git("commit", "--quiet", "--message", "submodule")
    run("snapshot", "-o", "vendor/run.json")
    assert "run.json" in own(run, cwd=checkout.path / "vendor")
    before = next(each for each in code(run)["submodules"] if each["path"] == "vendor")["code"]
    assert before["dirty"] is False
    assert [each["path"] for each in before["omitted"]][:1] and before["omitted"][0]["reason"] == "own-output"


@pytest.mark.slow
def test_scope_and_include(checkout: Repo, run: Callable[..., Any]) -> None:
    checkout.write(".gitignore", "/ignored/\n")
    checkout.git("add", ".gitignore")
    checkout.git("commit", "--quiet", "--message", "ignore")
    run("snapshot", "-o", "sub dir/run.json")
    run("fetch", "sub dir/run.json", "sub dir/fetched")
    os.mkdir(checkout.path / "ignored")
    run("snapshot", "-o", "ignored/run.json")
    checkout.write("ignored/config.json", "{}")
    assert {"sub dir/run.json", "sub dir/fetched"} <= set(own(run, "--subdirectory", "sub dir"))
    assert own(run, "--subdirectory", "sub dir/fetched/sub dir") == ["sub dir/fetched"]
    now = code(run, "--include", "ignored")
    assert "ignored/run.json" in {each["path"] for each in now["omitted"]}
    assert now["overlay"]["files"] == 3  # the weights, the configuration, and what is not pushed
    assert not {"ignored/run.json"} & set(own(run))


def test_what_is_overwritten_is_no_code_any_more(checkout: Repo, run: Callable[..., Any]) -> None:
    checkout.write("run.json", "mine\n")
    for _ in range(2):
        run("run", "--manifest", "run.json", "--", "true")
    manifest = json.loads((checkout.path / "run.json").read_bytes())
    assert "run.json" in {each["path"] for each in manifest["code"]["omitted"]}


def recording(verb: str, file: str) -> tuple[list[str], dict[str, str]]:
    """The command that writes a manifest to a file, and what its environment needs."""
    if verb == "hook":
        return ["hook", "pre-run"], {"CODEREPO_OUT": file}
    return ["snapshot", "-o", file] if verb == "snapshot" else ["run", "--manifest", file, "--", "touch", "started"], {}


@pytest.mark.parametrize("verb", ["run", "hook", "snapshot"])
def test_a_tracked_file_is_never_overwritten_by_a_manifest(checkout: Repo, program: Program, verb: str) -> None:
    words, env = recording(verb, "train.py")
    done = program.run(*words, cwd=checkout.path, env=env, check=False)
    assert done.status == {"run": 125, "hook": 1, "snapshot": 128}[verb] and "git tracks it" in done.errors
    assert "hint: name a file that git does not track" in done.errors
    assert (checkout.path / "train.py").read_text() == "lr = 0.1\n" and not (checkout.path / "started").exists()
    assert not (checkout.git_dir() / "coderepo" / "runs").exists()


@pytest.mark.parametrize("verb", ["run", "hook"])
def test_the_code_of_a_run_stays_what_was_recorded_where_a_manifest_is_committed(
    checkout: Repo, program: Program, verb: str
) -> None:
    """Its command would not find the manifest that was recorded with the rest of the code."""
    program.run("snapshot", "-o", "it's run.json", cwd=checkout.path, env=ALLOWED)
    checkout.commit()
    before = checkout.read("it's run.json")
    words, env = recording(verb, "it's run.json")
    done = program.run(*words, cwd=checkout.path, env={**ALLOWED, **env}, check=False)
    assert done.status != 0 and "git tracks it" in done.errors
    assert checkout.read("it's run.json") == before


@pytest.mark.parametrize("file", ["it's run.json", "sub dir/run.json", "link.json"])
def test_a_manifest_that_is_committed_is_replaced_by_the_next_snapshot(
    checkout: Repo, program: Program, file: str
) -> None:
    checkout.git("config", "coderepo.inlineLimit", "0")
    if file == "link.json":
        checkout.symlink(file, "linked.json")
    program.run("snapshot", "-o", file, cwd=checkout.path, env=ALLOWED)
    overlays = [name for name in os.listdir(checkout.path) if name.endswith(".tar.gz")]
    checkout.commit()
    before = checkout.read(file)
    program.run("snapshot", "-o", file, cwd=checkout.path, env=ALLOWED)
    assert checkout.read(file) != before and json.loads(checkout.read(file))["code"]
    for name in overlays:
        program.run("snapshot", "-o", name, cwd=checkout.path, env=ALLOWED)


@pytest.mark.parametrize("contents", ["{}", "", '{"version": "1.0"}', "lr = 0.1"])
def test_what_only_looks_like_a_manifest_is_not_replaced(checkout: Repo, program: Program, contents: str) -> None:
    names = ["run.json", f"{'a' * 64}.tar.gz"]
    for name in names:
        checkout.write(name, contents)
    checkout.commit()
    for name in names:
        done = program.run("snapshot", "-o", name, cwd=checkout.path, env=ALLOWED, check=False)
        assert done.status == 128 and "git tracks it" in done.errors
        assert checkout.read(name) == contents.encode()


def test_what_a_run_writes_of_us_is_not_what_it_produced(checkout: Repo, run: Callable[..., Any]) -> None:
    run("run", "--manifest", "run.json", "--", "sh", "-c", "echo made >made")
    (result,) = (checkout.git_dir() / "coderepo" / "runs").glob("*/*.result.json")
    assert json.loads(result.read_bytes())["produced"] == ["made"]


def test_what_was_written_is_named(checkout: Repo, run: Callable[..., Any]) -> None:
    said = run("snapshot", "-o", "sub dir/run.json").errors.splitlines()
    (overlay,) = (checkout.path / "sub dir").glob("*.tar.gz")
    assert f"wrote sub dir/{overlay.name}" in said and "wrote sub dir/run.json" in said
    assert any(each.startswith("snapshot ") and each.endswith(" fetch 'sub dir/run.json' DIR") for each in said)
    assert "wrote sub" not in run("snapshot", "-q", "-o", "sub dir/run.json").errors


@pytest.mark.slow
def test_a_run_says_its_id_and_how_to_get_it_back(checkout: Repo, run: Callable[..., Any], tmp_path: Path) -> None:
    said = run("run", "--", "true").errors
    (line,) = said.splitlines()
    words = line.partition("git coderepo ")[2].replace("DIR", str(tmp_path / "code")).split(" ")
    run(*words)
    assert (tmp_path / "code" / "weights.bin").exists()
    assert run("run", "--quiet", "--", "true").errors == ""


@pytest.mark.slow
def test_the_record_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "_YOUNG", 0)
    root = os.fsencode(tmp_path)
    kept = own_files.Notes(root, root + b"/.git/coderepo")
    for number in range(1500):
        (tmp_path / "run.json").write_bytes(b"%d" % number)
        digest = own_files._digest(root + b"/run.json", os.lstat(tmp_path / "run.json"))
        kept.add(root + b"/run.json", [own_files.Row(b"", b"f", 7, digest, (0, 0, 0))])
    assert len(kept.names()) < 800


def test_nothing_is_read_where_nothing_was_written(checkout: Repo, run: Callable[..., Any]) -> None:
    code(run)
    assert notes(checkout) == [] and not (checkout.git_dir() / "coderepo" / "written").exists()


def test_a_damaged_note_is_no_note(checkout: Repo, run: Callable[..., Any]) -> None:
    run("snapshot", "-o", "run.json")
    folder = checkout.git_dir() / "coderepo" / "written"
    for name in os.listdir(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:20])
    assert own(run) == []
    (folder / "12-zz-notahex!").write_bytes(b"")
    (folder / "1-2-3.4.tmp").write_bytes(b"")
    (folder / f"4-{'a' * 72}-").write_bytes(b"")
    assert own(run) == []
    run("snapshot", "-o", "run.json")
    assert "run.json" in own(run)


@pytest.mark.parametrize("kind", ["FIFO", "directory", "link"])
def test_what_is_no_file_is_no_note(checkout: Repo, run: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    run("snapshot", "-o", "run.json")
    folder = checkout.git_dir() / "coderepo" / "written"
    names = os.listdir(folder)
    for name in names:
        if kind == "link":
            (folder / name).rename(tmp_path / name)
            (folder / name).symlink_to(tmp_path / name)
            continue
        (folder / name).unlink()
        if kind == "FIFO":
            os.mkfifo(folder / name)
        else:
            (folder / name).mkdir()
    assert own(run) == []
    (checkout.path / "run.json").unlink()
    run("snapshot", "-o", "run.json")
    assert "run.json" in own(run)


def layout_of(checkout: Repo) -> Layout:
    git = Git(str(checkout.path), environment=checkout.env)
    return read_layout(start_layout(git), git)


@pytest.mark.slow
def test_many_outputs_stay_known(checkout: Repo) -> None:
    """What looks for outputs that are gone does not take one for gone that is about to appear."""
    layout = layout_of(checkout)
    names = [b"run-%d.json" % number for number in range(600)]
    for name in names:
        own_files.note_file(checkout.file(name), name * 10, layout)
        checkout.write(name, name * 10)
    found = own_files.own_files(layout, [*names, b"weights.bin"])
    assert found.paths == set(names) and found.edited == []


def test_files_of_the_same_size_are_hashed_once(checkout: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of(checkout)
    for number in range(50):
        own_files.note_file(checkout.file(f"gone-{number}.json"), b"%9d" % number, layout)
    names = [b"mine-%d" % number for number in range(50)]
    for name in names:
        checkout.write(name, b"x" * 9)
    hashed = []
    digest = own_files._digest

    def counted(path: bytes, facts: os.stat_result) -> bytes:
        hashed.append(path)
        return digest(path, facts)

    monkeypatch.setattr(own_files, "_digest", counted)
    assert own_files.own_files(layout, names).paths == set()
    assert len(hashed) == len(names)


@pytest.mark.slow
def test_who_runs_in_a_fetched_directory_runs_that_code(
    checkout: Repo, program: Program, run: Callable[..., Any]
) -> None:
    """The tree that is recorded is the one that the command ran in."""
    run("snapshot", "-o", "run.json")
    run("fetch", "run.json", "fetched")
    run("fetch", "run.json", "other")
    run("run", "--", "true", cwd=checkout.path / "fetched" / "sub dir")
    manifest = json.loads((checkout.git_dir() / "coderepo" / "current.json").read_bytes())
    left_out = {each["path"] for each in manifest["code"]["omitted"]}
    assert manifest["run"]["directory"] == "fetched/sub dir"
    assert "fetched" not in left_out and {"other", "run.json"} <= left_out
    program.run("hook", "pre-run", cwd=checkout.path, env={"GIT_PREFIX": "fetched/"})
    manifest = json.loads((checkout.git_dir() / "coderepo" / "current.json").read_bytes())
    assert "fetched" not in {each["path"] for each in manifest["code"]["omitted"]}
    run("fetch", "@{-1}", checkout.path.parent / "back")
    assert (checkout.path.parent / "back/fetched/sub dir/data.txt").exists()


def test_what_a_killed_fetch_left_is_no_code(checkout: Repo, run: Callable[..., Any]) -> None:
    tree = code(run, "-o", "/dev/stdout")["snapshot"]["tree"]
    run("snapshot", "-o", "run.json")
    (checkout.path / "run.json").unlink()
    for path in checkout.path.glob("*.tar.gz"):
        path.unlink()
    for name in (".code.coderepo-123-0123456789abcdef", "sub dir/.coderepo-7-fedcba9876543210/tree"):
        checkout.write(f"{name}/train.py", "half\n")
    checkout.write("run.json.12.0a1b2c3d.tmp", "{")
    now = code(run)
    assert now["snapshot"]["tree"] == tree
    assert sorted(each["path"] for each in now["omitted"]) == [
        ".code.coderepo-123-0123456789abcdef", "run.json.12.0a1b2c3d.tmp", "sub dir/.coderepo-7-fedcba9876543210",
    ]  # fmt: skip
    for name in (
        "mine.coderepo-1-0123456789abcdef/a",
        ".code.coderepo-x-0123456789abcdef/a",
    ):
        assert own_files.unfinished_part(name.encode()) is None
    for name in ("a.tmp", "1.0a1b2c3d.tmp", "a.x.0a1b2c3d.tmp", "a.1.0a1b2c3.tmp"):
        assert final_name(name.encode()) is None


def test_a_file_of_somebody_else_with_such_a_name_is_code(checkout: Repo, run: Callable[..., Any]) -> None:
    """Other programs, and people, number and date their files as well."""
    checkout.write("scores.5.20261130.tmp", "mine\n")
    checkout.write("sub dir/run.json.12.0a1b2c3d.tmp", "mine\n")
    run("snapshot", "-o", "run.json")
    assert own(run) == sorted(["run.json", *(path.name for path in checkout.path.glob("*.tar.gz"))])


@pytest.mark.slow
def test_a_fetched_file_that_was_moved_among_the_code_is_code(checkout: Repo, run: Callable[..., Any]) -> None:
    head = checkout.line("rev-parse", "HEAD")
    run("fetch", f"origin@{head}:sub dir", "lib")
    assert own(run) == ["lib"]
    checkout.write("src/main.py", "import data\n")
    checkout.git("add", "src/main.py")
    os.rename(checkout.path / "lib" / "data.txt", checkout.path / "src" / "data.txt")
    for _ in range(2):
        assert own(run) == []


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a tmpfs, which never writes a page back")
def test_a_write_that_shows_in_no_time_of_the_file_is_seen(checkout: Repo, run: Callable[..., Any]) -> None:
    """A page of a shared mapping that is dirty already can be written to again without any sign."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        here = Path(memory, "copy")
        shutil.copytree(checkout.path, here, symlinks=True)
        run("snapshot", "-o", "run.json", cwd=here)
        run("fetch", "run.json", "fetched", cwd=here)
        with open(here / "fetched" / "weights.bin", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[0] = mapped[0]
            time.sleep(2.1)
            assert "fetched" in own(run, cwd=here)
            mapped[0] ^= 1
            assert "fetched" not in own(run, cwd=here)


@pytest.mark.slow
def test_a_directory_that_is_equal_by_chance_is_code(checkout: Repo, run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    small = Repo.init(tmp_path / "small", checkout.env)
    small.write("__init__.py", "")
    small.commit()
    small.git("remote", "add", "origin", f"file://{tmp_path}/platform.git")
    small.git("push", "--quiet", "origin", "HEAD:refs/heads/small")
    run("snapshot", "-o", tmp_path / "small.json", cwd=small.path)
    run("fetch", tmp_path / "small.json", checkout.path / "small code")
    checkout.write("package/__init__.py", "")
    assert own(run) == ["small code"]
    os.rename(checkout.path / "small code", checkout.path / "moved")
    assert own(run) == ["moved"]


def test_a_cache_inside_a_checkout_leaves_no_notes(checkout: Repo, program: Program) -> None:
    """As where HOME is a repository of somebody's settings."""
    env = {**ALLOWED, "CODEREPO_CACHE_DIR": str(checkout.path / "cache")}
    program.run("run", "--", "true", cwd=checkout.path)
    program.run("exec", "@{-1}", "--", "true", cwd=checkout.path, env=env)
    assert notes(checkout) == []


@pytest.mark.slow
def test_a_record_in_another_place(checkout: Repo, program: Program, tmp_path: Path) -> None:
    """Where `.git` cannot be written to, the notes lie where the record lies."""
    env = {**ALLOWED, "CODEREPO_RECORD_DIR": str(tmp_path / "record")}
    program.run("snapshot", "-o", "run.json", cwd=checkout.path, env=env)
    program.run("fetch", checkout.path / "run.json", checkout.path / "fetched", cwd=tmp_path, env=env)
    now = program.run("snapshot", cwd=checkout.path, env=env).json()["code"]
    assert {"run.json", "fetched"} <= {each["path"] for each in now["omitted"]}
    assert not (checkout.git_dir() / "coderepo" / "written").exists()
