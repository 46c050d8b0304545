"""Submodules: whatever they look like in the checkout, the runner gets the same files, or the user hears why not."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.errors import UnsafeTree
from git_coderepo.fetching.fetch import FetchOptions, fetch
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.plan import Runner
from git_coderepo.git.process import Git
from git_coderepo.runs.plan_fetch import FetchRequest, plan_fetch
from git_coderepo.settings import runner_settings
from tests.e2e.support import World, holding, lines, load, on_platforms, problems, refused, world
from tests.forge import Forge, Stall
from tests.forge.lfs import pointer, put
from tests.support.repo import PathLike, Repo, run_git

LIBRARY = {"lib.py": b"x = 1\n", "data/big one.bin": bytes(range(256)) * 8, "run it.sh": b"#!/bin/sh\n"}
GIT_USERS = {"github": "x-access-token", "gitlab": "oauth2", "git": "ada"}
ODD = b"vendor/-od\xffd na\nme"


def library(root: Path, world: World, name: str, **options: Any) -> Repo:
    """The repository that becomes a submodule, where its author has it."""
    repo = Repo.init(root / name, world.scratch.env, **options)
    for path, contents in LIBRARY.items():
        repo.write(path, contents, mode=0o755 if path.endswith(".sh") else None)
    repo.commit(name)
    return repo


def add(checkout: Repo, source: Repo, path: PathLike, *options: str, url: str | None = None) -> Repo:
    """`git submodule add`, with the URL that a user of the platform would have."""
    place = f"file://{source.path}"
    checkout.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", *options, "--", place, path)
    made = Repo(Path(os.fsdecode(checkout.file(path))), checkout.env)
    if url is not None:
        made.git("remote", "set-url", "origin", url)
    return made


def files(root: Path) -> dict[bytes, tuple[bool, bytes]]:
    """Path to (executable, contents) of all that is below a directory but what is git's."""
    found = {}
    for folder, folders, names in os.walk(os.fsencode(root)):
        folders[:] = [name for name in folders if name != b".git"]
        for name in names:
            full = os.path.join(folder, name)
            if name != b".git":
                with open(full, "rb") as file:
                    found[os.path.relpath(full, os.fsencode(root))] = (os.access(full, os.X_OK), file.read())
    return found


def there_and_back(place: World, *options: str, checkout: Repo | None = None) -> dict[str, Any]:
    """Recorded, fetched and verified: every file is there, and nothing else. The receipt."""
    checkout = checkout if checkout is not None else place.checkout
    manifest = place.manifest(checkout=checkout)
    assert problems(place.runner, manifest) == []
    assert load(manifest)["code"]["snapshot"]["tree"] == checkout.tree()
    shutil.rmtree(place.runner.home / "code", ignore_errors=True)
    place.runner.run("fetch", *options, "--receipt", "receipt.json", manifest, "code")
    assert files(place.runner.home / "code") == files(checkout.path)
    assert problems(place.runner, place.runner.home / "receipt.json") == []
    place.runner.run("verify", "--strict", manifest, "code")
    found: dict[str, Any] = load(place.runner.home / "receipt.json")
    assert found["tree"] == checkout.tree()
    return found


# --- on one machine: what a submodule can look like ------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "file") as made:
        yield made


@pytest.fixture
def lib(place: World) -> Repo:
    """A submodule `lib` that is pushed, clean and committed in its superproject, which is pushed as well."""
    made = add(place.checkout, library(place.root, place, "library"), "lib")
    place.checkout.commit("with a library")
    place.push()
    return made


@pytest.mark.slow
def test_a_clean_submodule_travels_by_its_commit(place: World, lib: Repo) -> None:
    receipt = there_and_back(place)
    [inner] = receipt["submodules"]
    assert (inner["path"], inner["state"], inner["commit"]) == ("lib", "fetched", lib.head())
    assert inner["tree"] == lib.line("rev-parse", "HEAD^{tree}")
    code = load(place.runner.home / "run.json")["code"]
    assert code["dirty"] is False
    assert code["submodules"][0]["code"]["overlay"] is None, "the platform has all of it"
    assert code["submodules"][0]["repository"]["remote"]["path"] == str(place.root / "library")


@pytest.mark.slow
def test_a_dirty_submodule_makes_the_run_dirty_and_travels_in_its_own_overlay(place: World, lib: Repo) -> None:
    lib.write("lib.py", "x = 2\n")
    lib.write("new \n one", "new\n")
    lib.remove("data")
    there_and_back(place)
    code = load(place.runner.home / "run.json")["code"]
    assert code["dirty"] is True
    assert code["overlay"] is None, "nothing of the superproject differs"
    inner = code["submodules"][0]["code"]
    assert (inner["dirty"], inner["overlay"]["files"], inner["overlay"]["deleted"]) == (True, 2, ["data/big one.bin"])
    status = place.user.run("status", "-v", cwd=place.checkout.path).text
    assert "dirty: 1 unstaged" in status
    assert f"submodule     lib at {lib.head()[:12]}, dirty: 2 unstaged, 1 untracked; git" in status, status


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["submodule.lib.ignore=all", "diff.ignoreSubmodules=all", "submodule.recurse=true"])
def test_no_setting_hides_what_is_in_a_submodule(place: World, lib: Repo, setting: str) -> None:
    place.checkout.git("config", *setting.split("="))
    lib.git("config", "status.showUntrackedFiles", "no")
    lib.write("untracked.py", "x = 3\n")
    there_and_back(place)
    assert load(place.runner.home / "run.json")["code"]["dirty"] is True


@pytest.mark.slow
def test_commits_that_were_never_pushed_travel(place: World, lib: Repo) -> None:
    lib.write("lib.py", "x = 5\n")
    lib.commit("not pushed")
    lib.write("lib.py", "x = 6\n")
    receipt = there_and_back(place)
    assert receipt["submodules"][0]["commit"] == lib.head(), "as `git add -A` would have it"
    place.checkout.git("add", "lib")
    there_and_back(place)
    place.checkout.git("commit", "--quiet", "-m", "staged and committed")
    there_and_back(place)


@pytest.mark.slow
def test_one_that_was_added_since_and_one_that_is_gone(place: World, lib: Repo) -> None:
    add(place.checkout, library(place.root, place, "another"), ODD, "--name", "odd")
    shutil.rmtree(lib.path)
    receipt = there_and_back(place)
    assert [each["path"] for each in receipt["submodules"]] == [{"base64": "dmVuZG9yLy1vZP9kIG5hCm1l"}]


@pytest.mark.slow
def test_one_that_was_moved_and_one_whose_url_is_another(place: World, lib: Repo) -> None:
    """Its name stays `lib`; what is asked for its code is its own remote, not what `.gitmodules` says."""
    place.checkout.git("mv", "lib", "third party")
    place.checkout.git("config", "--file", ".gitmodules", "submodule.lib.url", "https://nowhere.example.org/x.git")
    receipt = there_and_back(place)
    assert [each["path"] for each in receipt["submodules"]] == ["third party"]


@pytest.mark.slow
def test_update_none_and_not_checked_out(place: World, lib: Repo) -> None:
    place.checkout.git("config", "submodule.lib.update", "none")
    there_and_back(place)
    place.checkout.git("submodule", "--quiet", "deinit", "--force", "lib")
    receipt = there_and_back(place)
    assert [(each["path"], each["state"], each["tree"]) for each in receipt["submodules"]] == [("lib", "absent", None)]
    assert os.listdir(place.runner.home / "code" / "lib") == []
    (place.runner.home / "code" / "lib" / "smuggled.py").write_text("x")
    result = place.runner.run("verify", "--strict", "run.json", "code", check=False)
    assert (result.status, result.text) == (1, "added: lib/smuggled.py\n")


def test_a_git_directory_of_the_old_kind(place: World) -> None:
    """A repository in the work tree with all of `.git` in it, made a submodule by `git add`."""
    old = Repo.clone(f"file://{library(place.root, place, 'old').path}", place.checkout.path / "old", place.user.env)
    place.checkout.git("-c", "advice.addEmbeddedRepo=false", "add", "old")
    assert (old.path / ".git").is_dir()
    old.write("lib.py", "edited\n")
    assert there_and_back(place)["submodules"][0]["path"] == "old"


@pytest.mark.slow
def test_in_a_linked_work_tree(place: World, lib: Repo) -> None:
    place.checkout.git("worktree", "add", "--quiet", "-b", "other", "../other tree")
    other = Repo(place.user.home / "other tree", place.user.env)
    other.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    other.write("lib/lib.py", "in the other tree\n")
    there_and_back(place, checkout=other)
    assert lib.read("lib.py") == b"x = 1\n"


@pytest.mark.slow
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_one_in_another(tmp_path: Path, object_format: str) -> None:
    with world(tmp_path, "file", object_format=object_format) as place:
        outer = library(tmp_path, place, "outer", object_format=object_format)
        add(outer, library(tmp_path, place, "inner", object_format=object_format), "deep/inner")
        outer.commit("with another")
        add(place.checkout, outer, "lib")
        place.checkout.git(
            "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive"
        )
        place.checkout.write("lib/deep/inner/lib.py", "edited, two down\n")
        place.checkout.write("lib/deep/inner/.env", "PASSWORD=1\n")
        os.unlink(place.checkout.file("lib/deep/inner/.env"))
        receipt = there_and_back(place)
        assert [each["path"] for each in receipt["submodules"]] == ["lib", "lib/deep/inner"]
        code = load(place.runner.home / "run.json")["code"]
        assert code["dirty"] and code["submodules"][0]["code"]["dirty"]
        (place.runner.home / "code/lib/deep/inner/lib.py").write_text("other\n")
        result = place.runner.run("verify", "run.json", "code", check=False)
        assert (result.status, result.text) == (1, "changed: lib/deep/inner/lib.py\n")


@pytest.mark.slow
def test_a_commit_with_its_submodules(place: World, lib: Repo) -> None:
    """`snapshot REV` is of what was committed, whatever the work trees look like now."""
    expected = {path: contents for path, (_, contents) in files(place.checkout.path).items()}
    lib.write("lib.py", "edited\n")
    lib.commit("later")
    place.checkout.commit("later, too")
    place.runner.run("fetch", place.manifest("HEAD~1"), "code")
    assert {path: contents for path, (_, contents) in files(place.runner.home / "code").items()} == expected
    lib.git("checkout", "--quiet", "HEAD~1")
    lib.git("update-ref", "-d", "refs/heads/main")
    lib.git("reflog", "expire", "--expire=now", "--all")
    lib.git("gc", "--quiet", "--prune=now")
    refused(
        place.user, "snapshot", "main", cwd=place.checkout.path, status=128,
        says="in the submodule 'lib': ", hint="git -C lib fetch",
    )  # fmt: skip


@pytest.mark.slow
def test_a_part_of_the_checkout_and_a_part_of_the_code(place: World) -> None:
    """What is not looked at is not looked into; a submodule is looked at as a whole, whatever is set."""
    source = library(place.root, place, "library")
    add(place.checkout, source, "part/lib", "--name", "one")
    broken = add(place.checkout, source, "elsewhere/lib", "--name", "two")
    place.checkout.commit("with libraries")
    place.push()
    os.unlink(broken.path / ".git")
    place.checkout.write("part/lib/lib.py", "x = 2\n")
    place.checkout.write("part/new.py", "new\n")
    manifest = place.manifest("--subdirectory", "part")
    place.runner.run("fetch", manifest, "code")
    assert files(place.runner.home / "code/part") == files(place.checkout.path / "part")
    assert not (place.runner.home / "code/elsewhere").exists()
    place.runner.run("verify", "--strict", manifest, "code")
    place.runner.run("fetch", "--subdirectory", "part", "--receipt", "receipt.json", manifest, "kept")
    assert files(place.runner.home / "kept") == files(place.checkout.path / "part")
    assert [each["path"] for each in load(place.runner.home / "receipt.json")["submodules"]] == ["lib"]
    place.runner.run("verify", "--strict", "--subdirectory", "part", manifest, "kept")
    (place.runner.home / "kept/lib/lib.py").write_text("other\n")
    result = place.runner.run("verify", "--subdirectory", "part", manifest, "kept", check=False)
    assert (result.status, result.text) == (1, "changed: lib/lib.py\n")
    refused(
        place.user, "snapshot", "--subdirectory", "part/lib/data", cwd=place.checkout.path, status=128,
        says="'part/lib/data' is inside the submodule 'part/lib'", hint="--subdirectory part/lib",
    )  # fmt: skip


def test_one_that_nobody_can_get_back_is_recorded_as_such(place: World, lib: Repo) -> None:
    lib.write("lib.py", "TOKEN = 'ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0iL3oR6'\n")
    inside: dict[str, Any] = {"cwd": place.checkout.path}
    said = place.user.run("run", "--allow-unreproducible", "--", "true", **inside).errors
    assert "no runner can get this back: a probable token would travel" in said
    assert "not reproducible" in place.user.run("show", **inside).text
    refused(
        place.user, "fetch", "@{-1}", "../again", status=128, says="recorded as not reproducible", hint=None, **inside
    )


# --- what stops a run, with the submodule's name -------------------------------------------------------


def stops(place: World, says: str, hint: str) -> None:
    refused(
        place.user, "snapshot", cwd=place.checkout.path, status=128, says=f"in the submodule 'lib': {says}", hint=hint
    )


def test_one_without_a_commit(place: World, lib: Repo) -> None:
    lib.git("symbolic-ref", "HEAD", "refs/heads/unborn")
    stops(place, "it has no commit yet", "git -C lib commit")


def test_one_that_lost_its_git(place: World, lib: Repo) -> None:
    kept = (lib.path / ".git").read_bytes()
    os.unlink(lib.path / ".git")
    stops(place, "it holds files, and its '.git' is gone", "git submodule update --init -- lib")
    (lib.path / ".git").mkdir()
    for broken in (True, False):
        refused(
            place.user, "snapshot", cwd=place.checkout.path, status=128,
            says="the '.git' of the submodule 'lib'", hint="git submodule update",
        )  # fmt: skip
        if broken:
            (lib.path / ".git").rmdir()
            (lib.path / ".git").write_bytes(kept.replace(b"modules/lib", b"modules/gone"))
    (lib.path / ".git").write_bytes(kept)
    elsewhere = Repo.clone(f"file://{place.root / 'library'}", place.user.home / "elsewhere", place.user.env)
    lib.git("config", "core.worktree", elsewhere.path)
    stops(place, "its '.git' is that of another work tree", "git -C lib config --unset core.worktree")


@pytest.mark.slow
def test_what_is_screened_is_screened_in_a_submodule(place: World, lib: Repo) -> None:
    lib.write(".env", "PASSWORD=1\n")
    lib.write("out/result.bin", "left out by the superproject's setting\n")
    place.checkout.git("config", "coderepo.exclude", "lib/out/")
    manifest = place.manifest()
    warned = place.user.run("status", cwd=place.checkout.path).text
    assert "left out      lib/.env (secret-name)" in warned and "lib/out/result.bin (excluded)" in warned, warned
    place.runner.run("fetch", manifest, "code")
    assert not (place.runner.home / "code/lib/.env").exists()
    assert not (place.runner.home / "code/lib/out").exists()
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0iL3oR6"
    lib.write("lib.py", f"TOKEN = '{token}'\n")
    stops(place, "a probable token would travel with the run: 'lib.py', line 1", "git -C lib config")
    place.checkout.git("config", "coderepo.dirty", "refuse")
    refused(place.user, "snapshot", cwd=place.checkout.path, status=128, says="'coderepo.dirty' is 'refuse'", hint="")


@pytest.mark.slow
def test_the_limit_is_for_all_together(place: World, lib: Repo) -> None:
    place.checkout.git("config", "coderepo.overlayLimit", "100k")
    place.checkout.write("cache/one.bin", b"1" * 60_000)
    lib.write("two.bin", b"2" * 60_000)
    refused(
        place.user, "snapshot", cwd=place.checkout.path, status=128,
        says="117.2 KiB of changes would be stored with the run, more than the limit of 100.0 KiB: 'cache/' 58.6 KiB "
        "changed, 'lib/'",
        hint="git config coderepo.overlayLimit 1m",
    )  # fmt: skip
    place.checkout.git("config", "coderepo.overlayLimit", "1m")
    there_and_back(place)


def test_a_repository_inside_a_submodule_that_is_none(place: World, lib: Repo) -> None:
    Repo.init(lib.path / "stray", place.user.env).commit("its own")
    stops(place, "'stray/' is a Git repository of its own", "git -C lib coderepo ignore stray/")


# --- overlays beside the manifest, and the record -------------------------------------------------------


@pytest.mark.slow
def test_overlays_that_are_too_large_lie_beside(place: World, lib: Repo) -> None:
    place.checkout.write("noise.bin", os.urandom(50_000))
    lib.write("noise.bin", os.urandom(40_000))
    there_and_back(place)
    code = load(place.runner.home / "run.json")["code"]
    assert "data" in code["overlay"]
    beside = code["submodules"][0]["code"]["overlay"]
    assert "data" not in beside, "what is inside is limited for all together"
    file = place.runner.home / f"{beside['sha256']}.tar.gz"
    apart = file.rename(place.runner.home / "carried another way")
    shutil.rmtree(place.runner.home / "code")
    refused(
        place.runner, "fetch", "run.json", "code", status=128, says="the submodule 'lib': the overlay", hint="--overlay"
    )
    place.runner.run("fetch", "--overlay", apart, "run.json", "code")
    assert files(place.runner.home / "code") == files(place.checkout.path)


@pytest.mark.slow
def test_the_record_keeps_and_prunes_all_of_it(place: World, lib: Repo) -> None:
    place.checkout.git("config", "coderepo.inlineLimit", "0")
    lib.write("lib.py", "x = 7\n")
    inside: dict[str, Any] = {"cwd": place.checkout.path}
    place.user.run("run", "--", "sh", "-c", "echo 8 >> lib/lib.py; echo new > lib/made", **inside)
    overlays = place.checkout.path / ".git/coderepo/overlays"
    assert len(list(overlays.iterdir())) == 1
    shown = place.user.run("show", **inside).text
    assert "edited      lib/lib.py" in shown and "produced    lib/made" in shown, shown
    assert f"lib at {lib.head()}" in shown and "dirty: 1 unstaged" in shown
    assert "committed as" not in shown + place.user.run("log", **inside).text
    told = place.user.run("diff", "@{-1}", ".", **inside).text
    assert "b/lib/lib.py" in told and "+8" in told, told
    assert "-" not in place.user.run("diff", "@{-1}", "@{-1}", **inside).text
    long_ago = time.time() - 7200
    for folder, _, names in os.walk(place.checkout.path / ".git/coderepo"):
        for name in names:
            os.utime(Path(folder, name), (long_ago, long_ago))
    place.user.run("prune", **inside)
    assert len(list(overlays.iterdir())) == 1, "a run that stays names it"
    place.user.run("fetch", "@{-1}", "../again", **inside)
    assert (place.user.home / "again/lib/lib.py").read_bytes() == b"x = 7\n"
    assert not (lib.git_dir() / "coderepo").exists(), "all that is ours lies in one place"


def test_the_hook_records_it_as_the_verb_does(place: World, lib: Repo) -> None:
    """git tells its hooks where the superproject's repository is; in the submodule that is not so."""
    place.user.run("hooks", "install", cwd=place.checkout.path)
    lib.write("lib.py", "x = 7\n")
    run = {**place.user.env, "GIT_INDEX_FILE": str(place.checkout.path / ".git/index")}
    run_git("hook", "run", "pre-run", cwd=place.checkout.path, env=run)
    [written] = (place.checkout.path / ".git/coderepo/runs").glob("*/*.json")
    code = load(written)["code"]
    assert code["dirty"] and code["submodules"][0]["code"]["snapshot"]["tree"] == lib.tree()
    assert code["snapshot"]["tree"] == place.checkout.tree()


@pytest.mark.slow
def test_a_pre_run_hook_that_changes_a_submodule(place: World, lib: Repo) -> None:
    lib.write("lib.py", "x = 7\n")
    hook = place.checkout.path / ".git/hooks/pre-run"
    hook.write_text("#!/bin/sh\necho x >> lib/lib.py\n")
    hook.chmod(0o755)
    refused(
        place.user, "run", "--", "true", cwd=place.checkout.path, status=125, watched=place.runner.home,
        says="the checkout changed after it was recorded, by the pre-run hook or another process: 'lib/lib.py'",
        hint=None,
    )  # fmt: skip


def test_objects_that_are_here_need_no_platform(place: World, lib: Repo) -> None:
    lib.write("lib.py", "x = 9\n")
    manifest = place.manifest()
    shutil.rmtree(place.root / "library")
    shutil.rmtree(place.repository.path)
    place.user.run("fetch", "--method", "local", manifest, "../back", cwd=place.checkout.path)
    assert files(place.user.home / "back") == files(place.checkout.path)


@pytest.mark.slow
def test_the_demonstration_on_a_checkout_with_submodules(place: World, lib: Repo) -> None:
    lib.write("lib.py", "x = 9\n")
    told = place.user.run("demo", "--here", cwd=place.checkout.path).text
    assert "travels   1 file " in told and "identical to the snapshot" in told, told


@pytest.mark.slow
def test_the_code_of_a_commit_comes_with_its_submodules(place: World, lib: Repo) -> None:
    commit = f"{place.url}@{place.checkout.head()}"
    result = place.runner.run("fetch", commit, "code", "--receipt", "receipt.json")
    assert lines(result, "warning") == []
    assert [each["state"] for each in load(place.runner.home / "receipt.json")["submodules"]] == ["fetched"]
    assert (place.runner.home / "code/lib/lib.py").read_bytes() == lib.read("lib.py")
    place.runner.run("verify", "--strict", commit, "code")


@pytest.mark.slow
def test_it_is_not_published_and_travels(place: World, lib: Repo) -> None:
    """Each would need a commit in a repository of its own: said, and recorded as it would be without."""
    place.checkout.git("config", "coderepo.publish", "auto")
    lib.write("lib.py", "x = 9\n")
    inside: dict[str, Any] = {"cwd": place.checkout.path}
    said = place.user.run("run", "--", "true", **inside).errors
    assert "not published: the submodule 'lib' has changes" in said
    assert "published reference" not in place.user.run("status", **inside).text
    place.user.run("fetch", "@{-1}", "../again", **inside)
    assert files(place.user.home / "again") == files(place.checkout.path)


# --- a manifest is not trusted --------------------------------------------------------------------------


def forged(place: World, change: Any) -> Path:
    import json

    document = load(place.manifest())
    change(document["code"]["submodules"])
    path = place.runner.home / "forged.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def twice(submodules: list[Any]) -> None:
    submodules.append(submodules[0])


def in_one_another(submodules: list[Any]) -> None:
    submodules.append({**submodules[0], "path": "lib/data"})


def in_a_file(submodules: list[Any]) -> None:
    submodules[0]["path"] = "train.py/lib"


def outside(submodules: list[Any]) -> None:
    submodules[0]["path"] = "../lib"


def in_git(submodules: list[Any]) -> None:
    submodules[0]["path"] = ".git/modules"


def another_commit(submodules: list[Any]) -> None:
    submodules[0]["commit"] = "1" * 40


def another_tree(submodules: list[Any]) -> None:
    submodules[0]["code"]["snapshot"]["tree"] = submodules[0]["code"]["subdirectory"]["tree"] = "1" * 40


def a_secret(submodules: list[Any]) -> None:
    submodules[0]["repository"]["remote"]["path"] = "/{{name.key}}"


@pytest.mark.parametrize(
    "change", [twice, in_one_another, in_a_file, outside, in_git, another_commit, another_tree, a_secret]
)
def test_a_forged_submodule_leaves_nothing(place: World, lib: Repo, change: Any) -> None:
    path = forged(place, change)
    refused(place.runner, "fetch", path, "code", status=128, says="", hint=None)


def test_a_dirty_flag_does_not_pass_another_tree(place: World, lib: Repo) -> None:
    """Said to be dirty, a submodule may have any tree, and what comes is still held to it."""

    def change(submodules: list[Any]) -> None:
        another_tree(submodules)
        submodules[0]["code"]["dirty"] = True

    refused(
        place.runner, "fetch", forged(place, change), "code", status=128,
        says="the submodule 'lib': fetched tree", hint=None,
    )  # fmt: skip


@pytest.mark.slow
def test_the_limits_are_for_all_together(place: World, lib: Repo) -> None:
    """Neither tree is too large, both are: nothing is left behind."""
    git = Git(environment=place.runner.env)
    plan = plan_fetch(FetchRequest(str(place.manifest())), Runner(git, runner_settings(git)))
    target = place.runner.home / "code"
    with pytest.raises(UnsafeTree, match="the submodule 'lib': the tree has more than"):
        fetch(plan.root, str(target), FetchOptions(limits=Limits(entries=11)))
    with pytest.raises(UnsafeTree, match="the submodule 'lib': the tree has more than"):
        fetch(plan.root, str(target), FetchOptions(limits=Limits(bytes=5000)))
    assert not target.exists()
    assert len(fetch(plan.root, str(target), FetchOptions(limits=Limits(entries=30, bytes=10_000))).submodules) == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_what_git_lfs_keeps_of_a_dirty_submodule(tmp_path: Path) -> None:
    pushed, edited, made = b"pushed " * 5000, b"edited " * 5000, b"made " * 5000
    with world(tmp_path, "git") as place:
        source = library(place.root, place, "library")
        source.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        for path in ("data/big one.bin", "data/kept.bin"):
            source.write(path, pointer(pushed))
        source.commit("weights")
        served = place.forge.add_repository("tools/lib", platform="git", source=source.path)
        put(served, pushed)
        lib = add(place.checkout, source, "lib", url=served.url)
        place.checkout.commit("with a library")
        place.push()
        place.checkout.git("lfs", "install", "--skip-repo")
        place.checkout.git("config", "coderepo.inlineLimit", "0")
        lib.write("data/big one.bin", edited)
        lib.write(b"-od\xe9\n.bin", made)
        before = files(lib.git_dir())

        manifest = place.manifest()

        assert {path for path in files(lib.git_dir()) if path not in before and b"tmp" not in path} == set()
        code = load(manifest)["code"]
        inner = code["submodules"][0]["code"]
        assert (code["dirty"], code["overlay"], code["lfs"]) == (True, None, None)
        assert sorted(each["size"] for each in inner["lfs"]["objects"]) == sorted((len(edited), len(made)))
        receipt = place.runner.run("fetch", "--json", manifest, "code").json()
        assert receipt["submodules"][0]["tree"] == inner["snapshot"]["tree"]
        assert receipt["lfs"] == {
            "state": "fetched", "files": 3, "objects": 3, "travelled": 2, "bytes": len(pushed)
        }  # fmt: skip
        there = place.runner.home / "code/lib"
        assert (there / "data/big one.bin").read_bytes() == edited
        assert (there / "data/kept.bin").read_bytes() == pushed, "it comes from the submodule's own server"
        assert files(there)[b"-od\xe9\n.bin"] == (False, made)
        place.runner.run("verify", "--strict", manifest, "code")
        (there / "data/big one.bin").write_bytes(edited[:-1] + b"!")
        differs = place.runner.run("verify", manifest, "code", check=False)
        assert (differs.status, differs.text) == (1, "changed: lib/data/big one.bin\n"), differs.errors

        left = place.runner.run("fetch", "--no-lfs", "--json", manifest, "pointers").json()
        assert left["lfs"]["state"] == "pointers" and left["submodules"][0]["tree"] == inner["snapshot"]["tree"]
        assert (place.runner.home / "pointers/lib/data/big one.bin").read_bytes() == pointer(edited)


# --- from platforms, each with its own credential --------------------------------------------------------


@pytest.fixture(
    scope="module", params=on_platforms(("github", "gitlab"), ("gitlab", "git"), ("git", "github")), ids="-".join
)
def two_hosts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The code on one platform, its submodule on another host's, private both; user and runner have both tokens."""
    kind, other = request.param
    root = tmp_path_factory.mktemp("hosts")
    forge = Forge(root / "other forge", platforms=() if other == "git" else (other,))
    try:
        with world(root, kind) as place:
            source = library(root, place, "library")
            repository = forge.add_repository("tools/lib", platform=other, source=source.path)
            token = forge.add_token(other)
            for machine in (place.user, place.runner):
                named = forge.url.replace("://", f"://{GIT_USERS[other]}:{token}@")
                (machine.home / "credentials").write_text(named + "\n")
                machine.env["CODEREPO_CREDENTIALS_FILE"] = str(machine.home / "credentials")
                machine.program.env["CODEREPO_CREDENTIALS_FILE"] = str(machine.home / "credentials")
            lib = add(place.checkout, source, "lib", url=repository.url)
            place.register()
            place.user.run("register", cwd=lib.path)
            place.checkout.commit("with a library")
            place.push()
            place.other, place.other_token, place.lib = forge, token, lib  # type: ignore[attr-defined]
            yield place
    finally:
        forge.close(check=False)


@pytest.mark.slow
def test_each_from_its_own_platform_and_no_token_on_the_way_to_another(two_hosts: World) -> None:
    place, (kind, other) = two_hosts, (two_hosts.platform, two_hosts.other.platforms)  # type: ignore[attr-defined]
    forge, token, lib = place.other, place.other_token, place.lib  # type: ignore[attr-defined]
    lib.write("lib.py", f"x = '{kind}'\n")
    place.checkout.write("train.py", "lr = 3\n")
    place.forge.forget_requests()
    forge.forget_requests()
    receipt = there_and_back(place)
    assert receipt["method"] == ("git" if kind == "git" else "archive")
    assert receipt["submodules"][0]["method"] == ("archive" if other else "git")
    assert place.forge.origins_that_saw(token) == set()
    assert forge.origins_that_saw(place.token) == set()
    assert forge.origins_that_saw(token) <= {forge.url, forge.codeload_url}
    assert forge.url in forge.origins_that_saw(token)
    assert holding(token, place.runner.home, without=(place.runner.home / "credentials",)) == []
    there_and_back(place, "--method", "git")
    assert place.user.run("status", "--check", "--exit-code", cwd=place.checkout.path).status == 0


@pytest.mark.slow
def test_without_the_credential_for_the_submodule(two_hosts: World) -> None:
    place = two_hosts
    manifest = place.manifest()
    result = place.runner.run("fetch", manifest, "none", check=False, env={"CODEREPO_CREDENTIALS_FILE": "/dev/null"})
    assert result.status == 4, result.errors
    assert "the submodule 'lib': " in result.errors
    assert not (place.runner.home / "none").exists()


@pytest.mark.slow
def test_killed_while_the_submodule_comes(two_hosts: World) -> None:
    place, forge = two_hosts, two_hosts.other  # type: ignore[attr-defined]
    manifest = place.manifest()
    forge.forget_requests()
    for kind in ("archive", "git/upload-pack"):
        forge.misbehave(kind, Stall(after=100), times=1)
    process = place.runner.program.start("fetch", str(manifest), "killed", cwd=place.runner.home)
    deadline = time.monotonic() + 60
    while not (forge.requests("archive") or forge.requests("git/upload-pack")):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    forge.behave()
    assert not (place.runner.home / "killed").exists(), "the superproject's own files were there, and hidden"
    place.runner.run("fetch", manifest, "killed")
    assert files(place.runner.home / "killed") == files(place.checkout.path)
    assert [name for name in os.listdir(place.runner.home) if name.startswith(".killed")] == []


# --- what it costs ---------------------------------------------------------------------------------------


def test_a_submodule_is_asked_three_questions_and_one_that_is_not_checked_out_none(place: World) -> None:
    """`snapshot` lists HEAD once, with or without submodules."""

    def started() -> int:
        result = place.user.run("snapshot", cwd=place.checkout.path, env={"GIT_TRACE": "1"})
        return result.errors.count("coderepo: run git")

    before = started()
    assert before > 0
    add(place.checkout, library(place.root, place, "library"), "lib")
    place.checkout.commit("with a library")
    place.push()
    assert started() == before + 4
    place.checkout.git("submodule", "--quiet", "deinit", "--force", "lib")
    assert started() == before
