"""Hints about getting code back: followed, each cures what it is printed for."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, can_mount, lines, remove, world
from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.support.program import Program
from tests.support.repo import Repo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A manifest `run.json` at the runner; no network."""
    with world(tmp_path_factory.mktemp("fetched"), "file") as made:
        made.user.program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
        made.manifest()
        yield made


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("hosted"), "github") as made:
        made.register()
        made.manifest()
        yield made


@pytest.fixture
def runner(place: World) -> Iterator[Program]:
    before = set(os.listdir(place.runner.home))
    yield place.runner.program
    for name in set(os.listdir(place.runner.home)) - before:
        path = place.runner.home / name
        path.unlink() if path.is_symlink() else remove(path)


def fails(place: World, *words: str | Path, says: str) -> list[str]:
    return stopped(place.runner.program, *words, cwd=place.runner.home, says=says)


# --- the target ---


@cures("name a directory that is empty or does not exist yet", "name the directory itself")
def test_a_target_that_is_taken(place: World, runner: Program) -> None:
    home = place.runner.home
    (home / "full").mkdir()
    (home / "full/mine").write_text("x")
    (home / "file").write_text("x")
    (home / "empty").mkdir()
    (home / "link").symlink_to("empty")
    for name in ("full", "file"):
        (hint,) = fails(place, "fetch", "run.json", name, says=name)
        assert hint == "name a directory that is empty or does not exist yet"
    assert fails(place, "fetch", "run.json", "link", says="is a symbolic link") == ["name the directory itself"]
    for name in ("empty", "new"):
        place.runner.run("fetch", "run.json", name)
        assert place.runner.tree(name) == place.checkout.tree()


MOUNTED = [
    ("size=96k", "no space left on the device", "free some space, or name a directory on another file system"),
    (
        "size=9m,nr_inodes=30", "no inodes left",
        "remove some files (df -i shows the limit), or name a directory on another file system",
    ),
    ("size=9m,ro", "read-only", "name a directory that can be written to"),
]  # fmt: skip


@cures(
    "free some space, or name a directory on another file system",
    "remove some files (df -i shows the limit), or name a directory on another file system",
    "name a directory that can be written to",
)
@pytest.mark.skipif(not can_mount(), reason="a small file system can be mounted by root only")
@pytest.mark.parametrize(("options", "says", "hint"), MOUNTED)
def test_a_file_system_that_takes_no_more(
    place: World, runner: Program, tmp_path: Path, options: str, says: str, hint: str
) -> None:
    (place.runner.home / "disk").mkdir()
    script = f"""
        mount -t tmpfs -o {options} none disk || exit 99
        dd if=/dev/zero of=disk/large bs=1k count=96 2>/dev/null; for n in $(seq 24); do : 2>/dev/null >disk/$n; done
        git-coderepo fetch run.json disk/code; echo "status $?"
        df -i disk >/dev/null; rm -f disk/large disk/[0-9]*
        git-coderepo fetch run.json disk/code 2>/dev/null; echo "after that $?"
        git-coderepo fetch run.json '{tmp_path}/code'; echo "elsewhere $?"
    """
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        cwd=place.runner.home, env=runner.env, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert f"hint: {hint}" in done.stderr and says in done.stderr, done.stderr
    found = [line for line in done.stdout.splitlines() if line.startswith(("status", "after", "elsewhere"))]
    assert found == ["status 128", f"after that {128 if 'ro' in options.split(',') else 0}", "elsewhere 0"], done.stdout


@cures("--directory . starts in the root", "--copy DIR makes a copy with the directory")
def test_a_directory_that_is_not_in_the_code(place: World, runner: Program) -> None:
    (place.checkout.path / "out").mkdir(exist_ok=True)
    copy = f'cp "$CODEREPO_MANIFEST" "{place.user.home}/empty.json"'
    place.user.run("run", "--", "sh", "-c", copy, cwd=place.checkout.path / "out")
    (place.user.home / "empty.json").rename(place.runner.home / "empty.json")
    hints = fails(place, "exec", "empty.json", "--", "pwd", says="the code has no such directory")
    assert hints == ["--directory . starts in the root", "--copy DIR makes a copy with the directory"]
    place.runner.run("exec", "--directory", ".", "empty.json", "--", "test", "-f", "train.py")
    done = place.runner.run("exec", "--copy", "copy", "empty.json", "--", "pwd")
    assert done.text.strip().endswith("copy/out")


@cures("check the umask and the mount options of the target's file system")
def test_an_umask_that_takes_the_executable_bit(place: World, runner: Program) -> None:
    here = place.runner.home
    wrong = typed("umask 0177; git-coderepo fetch run.json code", here, runner.env, check=False)
    if os.geteuid() != 0:
        pytest.skip("only root gets so far with this umask")
    assert lines(wrong, "hint") == ["check the umask and the mount options of the target's file system"]
    typed("umask 022; git-coderepo fetch run.json code", here, runner.env)


@cures("name one: TMPDIR=/path/to/a/directory")
@pytest.mark.skipif(not can_mount(), reason="only root can take the temporary directories away")
def test_no_directory_for_temporary_files(place: World, runner: Program) -> None:
    script = """
        unset TMPDIR TEMP TMP
        mount --bind "$HOME" /mnt && mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp || exit 99
        mount --bind /mnt "$HOME" && cd "$HOME" || exit 99
        for each in /var/tmp /usr/tmp; do [ ! -d $each ] || mount -t tmpfs -o ro none $each || exit 99; done
        git-coderepo fetch --method git run.json code; echo "status $?"
        mkdir temporary; export TMPDIR="$HOME/temporary"
        git-coderepo fetch --quiet --method git run.json code; echo "status $?"
    """
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        cwd=place.runner.home, env=runner.env, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert "hint: name one: TMPDIR=/path/to/a/directory" in done.stderr, done.stderr
    assert [line for line in done.stdout.splitlines() if "status" in line] == ["status 128", "status 0"], done.stderr


# --- how, and what ---


@cures("--method auto fetches it from the platform", "set CODEREPO_STORE or coderepo.store to its URL")
def test_a_method_that_has_nothing(place: World, runner: Program, tmp_path: Path) -> None:
    (hint,) = fails(place, "fetch", "--method", "local", "run.json", "code", says="not all here")
    assert hint == "--method auto fetches it from the platform"
    place.runner.run("fetch", "--method", "auto", "run.json", "code")
    (hint,) = fails(place, "fetch", "--method", "store", "run.json", "stored", says="coderepo.store is not set")
    assert hint == "set CODEREPO_STORE or coderepo.store to its URL"
    store = {"CODEREPO_STORE": f"file://{tmp_path}"}
    place.user.run("run", "--", "true", cwd=place.checkout.path, env=store)
    place.runner.run("fetch", "--method", "store", "run.json", "stored", env=store)
    typed(f"git config --global coderepo.store 'file://{tmp_path}'", place.runner.home, runner.env)
    place.runner.run("fetch", "--method", "store", "run.json", "again")
    typed("git config --global --unset coderepo.store", place.runner.home, runner.env)


@cures("mkdir {shell_word(self._root)}")
def test_a_store_that_is_not_there(place: World, runner: Program, tmp_path: Path) -> None:
    env = {"CODEREPO_STORE": f"file://{tmp_path}/it's a store"}
    done = place.user.run("run", "--", "true", cwd=place.checkout.path, env=env)
    typed(lines(done, "hint")[0], tmp_path, runner.env)
    assert "not in the store" not in place.user.run("run", "--", "true", cwd=place.checkout.path, env=env).errors
    place.runner.run("fetch", "--method", "store", "run.json", "code", env=env)


@cures("use --method git")
def test_a_platform_without_archives(place: World, runner: Program) -> None:
    hints = fails(place, "fetch", "--method", "archive", "run.json", "code", says="archive")
    assert hints == ["use --method git"]
    place.runner.run("fetch", "--method", "git", "run.json", "code")


@cures("attributes alter the archive ({', '.join(altering)}): use --method git")
def test_an_archive_that_is_not_the_tree(hosted: World) -> None:
    hosted.checkout.write(".gitattributes", "docs export-ignore\n")
    hosted.checkout.commit("with an attribute")
    hosted.push()
    hosted.manifest(name="attributes.json")
    program = hosted.runner.program
    words = ("fetch", "--method", "archive", "attributes.json", "code")
    hints = stopped(program, *words, cwd=hosted.runner.home, says="")
    assert any(each.endswith("use --method git") for each in hints), hints
    hosted.runner.run("fetch", "--method", "git", "attributes.json", "code")
    remove(hosted.runner.path("code"))


@cures("use either NAME@COMMIT:PATH or --subdirectory PATH")
def test_a_path_that_is_named_twice(place: World, runner: Program) -> None:
    word = f"{place.url}@{place.base}"
    hints = fails(place, "fetch", "--subdirectory", "docs", f"{word}:docs", "code", says="given twice")
    assert hints == ["use either NAME@COMMIT:PATH or --subdirectory PATH"]
    place.runner.run("fetch", f"{word}:docs", "one")
    place.runner.run("fetch", "--subdirectory", "docs", word, "other")
    assert place.runner.tree("one") == place.runner.tree("other")


@cures(
    "give the path from the root, without a leading '/'",
    "give the path from the root of the repository, without a leading '/'",
)
def test_a_part_that_is_not_there(place: World, runner: Program) -> None:
    (hint,) = fails(place, "fetch", "--subdirectory", "x/docs", "run.json", "code", says="has no directory")
    assert hint == "give the path from the root, without a leading '/'"
    place.runner.run("fetch", "--subdirectory", "docs", "run.json", "code")
    word = f"{place.url}@{place.base}"
    (hint,) = fails(place, "fetch", f"{word}:x/docs", "part", says="has no directory")
    assert hint == "give the path from the root of the repository, without a leading '/'"
    place.runner.run("fetch", f"{word}:docs", "part")


@cures("check the spelling", "without an API, give the full id of a commit")
def test_a_revision_that_is_not_there(place: World, runner: Program) -> None:
    for wrong, right in (("mian", "main"), (place.base[:10], place.base)):
        hints = fails(place, "fetch", f"{place.url}@{wrong}", "code", says="has no branch, tag or commit")
        assert hints == ["check the spelling", "without an API, give the full id of a commit"]
        place.runner.run("fetch", f"{place.url}@{right}", "code")
        remove(place.runner.path("code"))


@cures("push it again: it was never pushed there, or its branch was deleted or rewritten")
def test_a_commit_that_the_platform_lost(place: World, runner: Program) -> None:
    repo = place.clone("with a branch")
    repo.commit("lost by the platform")
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/lost")
    manifest = place.manifest(checkout=repo, name="lost.json")
    place.repository.git("update-ref", "-d", "refs/heads/lost")
    place.repository.prune()
    hints = fails(place, "fetch", manifest, "code", says="has")
    assert any(each.startswith("push it again") for each in hints), hints
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/lost")
    place.runner.run("fetch", manifest, "code")


@cures("git coderepo validate {run} lists all errors")
def test_a_manifest_that_is_not_valid(place: World, runner: Program) -> None:
    wrong = place.runner.home / "wrong.json"
    text = (place.runner.home / "run.json").read_text()
    wrong.write_text(text.replace('"dirty"', '"dirtied"').replace('"omitted"', '"omit"'))
    hints = fails(place, "fetch", "wrong.json", "code", says="")
    (hint,) = [each for each in hints if "validate" in each]
    listed = typed(hint.removesuffix(" lists all errors"), place.runner.home, runner.env, check=False)
    assert "dirty" in listed.text and "omitted" in listed.text, listed
    wrong.write_text(text)
    place.runner.run("fetch", "wrong.json", "code")


@cures("abbreviate an id to no fewer than {SHORTEST} digits")
def test_the_beginning_of_an_id(place: World) -> None:
    cwd = place.checkout.path
    place.user.run("run", "--", "true", cwd=cwd)
    id = place.user.run("log", "--json", "-n", "1", cwd=cwd).json()[0]["id"]
    hints = stopped(place.user.program, "show", id[:2], cwd=cwd, says="unknown run")
    (hint,) = [each for each in hints if each.startswith("abbreviate an id to no fewer than ")]
    digits = int(hint.split()[-2])
    said = place.user.run("show", id[:digits], cwd=cwd, check=False).errors
    assert "unknown run" not in said
    place.user.run("show", id, cwd=cwd)


@cures("git coderepo fetch {run} DIR brings it from the platform")
def test_a_published_run_whose_code_is_not_here(place: World) -> None:
    repo = place.clone("publishing")
    repo.write("train.py", "lr = 0.7\n")
    place.user.run("run", "--", "true", cwd=repo.path, env={"CODEREPO_PUBLISH": "auto"})
    tree = repo.tree()
    other = place.clone("another")
    manifest = place.user.run("log", "--json", cwd=repo.path).json()[0]["manifest"]
    (hint, *_) = stopped(place.user.program, "diff", manifest, cwd=other.path, says="it was published")
    command = hint.removesuffix(" brings it from the platform").replace("DIR", "../brought")
    typed(command, other.path, place.user.program.env)
    assert place.user.tree("brought") == tree


# --- submodules ---


@cures("--no-submodules leaves submodules empty")
@pytest.mark.parametrize("large", [False, True])
def test_a_commit_whose_submodule_cannot_be_fetched(place: World, runner: Program, large: bool) -> None:
    repo = place.clone(f"with a submodule {large}")
    library = Repo.init(place.root / f"library {large}", repo.env)
    library.commit("first")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{library.path}", "lib")
    if large:
        repo.write(".gitmodules", repo.read(".gitmodules") + b"#\n" * (1 << 20))
    commit = repo.commit("with a submodule")
    repo.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/sub")
    if not large:
        remove(library.path)
    word = f"{place.url}@{commit}"
    hints = fails(place, "fetch", word, "code", says=".gitmodules" if large else "lib")
    assert hints[-1] == "--no-submodules leaves submodules empty"
    place.runner.run("fetch", "--no-submodules", word, "code")
    assert os.listdir(place.runner.path("code") / "lib") == []


@cures("git submodule update --init")
def test_a_submodule_that_is_not_checked_out_is_not_stored(place: World, tmp_path: Path) -> None:
    repo = place.clone("storing")
    library = Repo.init(place.root / "library to store", repo.env)
    library.commit("first")
    repo.git("config", "--global", "protocol.file.allow", "always")
    repo.git("submodule", "--quiet", "add", f"file://{library.path}", "lib")
    repo.commit("with a submodule")
    place.user.run("run", "--", "true", cwd=repo.path)
    repo.git("submodule", "--quiet", "deinit", "--force", "lib")
    env = {"CODEREPO_STORE": f"file://{tmp_path}"}
    hints = stopped(place.user.program, "publish", "--store", cwd=repo.path, says="not checked out here", env=env)
    typed(tail(hints[0]), repo.path, repo.env)
    place.user.run("publish", "--store", cwd=repo.path, env=env)


@cures(
    "move the files with damaged objects out of .git/objects; this names them: git fsck",
    "then copy the files of .git/objects from another clone or a backup, which overwrites nothing",
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_object_is_not_stored_until_it_is_replaced(place: World, tmp_path: Path, packed: bool) -> None:
    repo = place.clone(f"damaged {packed}")
    repo.write("it's large.bin", os.urandom(300_000))
    repo.commit()
    repo.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/damaged-{packed}")
    place.user.run("run", "--", "true", cwd=repo.path)
    objects = repo.git_dir() / "objects"
    if packed:
        repo.git("repack", "-adq")
    other = Repo.clone(place.url, tmp_path / "other", repo.env, "--quiet", f"--branch=damaged-{packed}")
    largest = max((path for path in objects.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = largest.read_bytes()
    largest.chmod(0o644)
    largest.write_bytes(data[:150_000] + bytes(16) + data[150_016:])
    repo.git("config", "core.bigFileThreshold", "100k")  # git gives its beginning before it finds the damage
    env = {"CODEREPO_STORE": f"file://{tmp_path / 'store'}"}
    (tmp_path / "store").mkdir()
    hints = stopped(place.user.program, "publish", "--store", cwd=repo.path, says="is damaged here", env=env)
    assert tail(hints[0]) == "git fsck"
    named = typed(tail(hints[0]), repo.path, repo.env, check=False)
    names = re.findall(r"\.git/objects/\S+", named.text + named.errors)
    assert names, named.errors
    for name in {name.rstrip(":") for name in names}:
        for each in repo.path.glob(name.removesuffix(".pack") + "*"):
            each.rename(tmp_path / each.name)
    typed(f"cp -Rn '{other.git_dir()}/objects/.' .git/objects/", repo.path, repo.env)
    place.user.run("publish", "--store", cwd=repo.path, env=env)
