"""What git made of a file serves again, and no edit, setting or loss since makes another tree than git's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import CodeRepoError, NotReproducible
from git_coderepo.filesystem.file_times import TICK
from git_coderepo.git.process import Git
from git_coderepo.snapshots.archive_check import system_attribute_files
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request, Snapshot
from tests.support.edits import FEW_PATHS, apply, edits
from tests.support.environment import clean_environment
from tests.support.program import Program
from tests.support.repo import Repo
from tests.test_checkout_snapshot import check_overlay

EDITS = st.lists(edits(FEW_PATHS), max_size=12)
ODD = [b"sp ace", b"new\nline", b"\xff\xfe", b"-dash", b"d/e/f"]


def snapshot(repo: Repo) -> Snapshot:
    return take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))


def check(repo: Repo) -> Snapshot:
    """The snapshot's tree is the one of a checkout that never had a seed: `git add -A` and `git write-tree`."""
    taken = snapshot(repo)
    assert taken.tree is not None and taken.tree.hex == repo.tree()
    return taken


def private_index(repo: Repo) -> Path:
    return repo.git_dir() / "coderepo" / "seed"


def settle(repo: Repo) -> None:
    """Wait until the files are older than the clock's resolution: younger ones are hashed again anyway."""
    for folder, folders, names in os.walk(os.fsencode(repo.path)):
        folders[:] = [name for name in folders if name != b".git"]
        for name in names:
            latest = os.lstat(os.path.join(folder, name)).st_ctime_ns
            while time.time_ns() - latest <= 2 * TICK:
                time.sleep(0.01)


@pytest.fixture
def dirty(repo: Repo) -> Repo:
    """Ten committed files; some edited, some new, one gone; a seed of them."""
    for name in ODD:
        repo.write(b"tracked/" + name, b"1\n")
    repo.write("run.sh", "echo\n", 0o755)
    repo.write("gone", "x")
    repo.commit()
    for name in ODD[:3]:
        repo.write(b"tracked/" + name, b"2\n")
    for name in ODD:
        repo.write(b"new/" + name, b"untracked\n")
    repo.remove("gone")
    settle(repo)
    check(repo)
    return repo


def test_a_second_run_hashes_nothing_again(dirty: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """git is not even asked: each file is the one that the seed has; one that was edited is asked about alone."""
    started: list[tuple[Any, ...]] = []
    start = Git.start

    def noted(self: Git, *arguments: Any, stdin: bytes | None = None) -> Any:
        started.append(arguments)
        return start(self, *arguments, stdin=stdin)

    monkeypatch.setattr(Git, "start", noted)
    before = private_index(dirty).read_bytes()
    check(dirty)
    assert not [words for words in started if words[0] in ("update-index", "mktree")]
    assert private_index(dirty).read_bytes() == before
    objects = dirty.git_dir() / "coderepo" / "objects"
    there = {path.name for path in objects.rglob("*")}
    dirty.write(b"new/-dash", "edited\n")
    settle(dirty)
    check(dirty)
    assert len([words for words in started if words[0] == "update-index"]) == 1
    assert len({path.name for path in objects.rglob("*")} - there) >= 3  # the blob, and the two trees above it


def edit(repo: Repo) -> None:
    repo.write(b"tracked/new\nline", "3\n")
    repo.write(b"new/-dash", "edited\n")


def same_size_same_time(repo: Repo) -> None:
    """Only the inode's change time tells."""
    for path in (b"tracked/sp ace", b"new/\xff\xfe"):
        facts = os.lstat(repo.file(path))
        with open(repo.file(path), "r+b") as file:
            file.write(b"Z")
        os.utime(repo.file(path), ns=(facts.st_atime_ns, facts.st_mtime_ns))


def replaced_by_a_rename(repo: Repo) -> None:
    repo.write("other", b"9\n")
    os.rename(repo.file("other"), repo.file(b"tracked/sp ace"))


def reverted(repo: Repo) -> None:
    repo.git("checkout", "--", "tracked")


def reverted_by_hand(repo: Repo) -> None:
    repo.write(b"tracked/sp ace", b"1\n")


def new_ones_gone(repo: Repo) -> None:
    repo.remove("new")


def ignored_now(repo: Repo) -> None:
    repo.write(".gitignore", "/new/\n")


def excluded_now(repo: Repo) -> None:
    with open(repo.git_dir() / "info" / "exclude", "a", encoding="utf-8") as file:
        file.write("/new/d/\n")


def back_again(repo: Repo) -> None:
    repo.write("gone", "y", 0o755)


def file_to_folder(repo: Repo) -> None:
    repo.remove(b"tracked/sp ace")
    repo.write(b"tracked/sp ace/inside", "x")


def folder_to_file(repo: Repo) -> None:
    repo.remove("new")
    repo.write("new", "x")


def file_to_link(repo: Repo) -> None:
    repo.symlink(b"new/-dash", "nowhere")
    repo.symlink(b"tracked/sp ace", "run.sh")


def mode(repo: Repo) -> None:
    os.chmod(repo.file(b"new/-dash"), 0o755)
    os.chmod(repo.file(b"tracked/sp ace"), 0o755)


def staged(repo: Repo) -> None:
    repo.git("add", "-A")


def staged_and_edited(repo: Repo) -> None:
    repo.git("add", "-A")
    edit(repo)


def committed(repo: Repo) -> None:
    repo.commit()


def one_for_another(repo: Repo) -> None:
    os.rename(repo.file("new/-dash"), repo.file("new/other"))


def two_swapped(repo: Repo) -> None:
    first, second, between = (repo.file(f"new/{name}") for name in ("-dash", "sp ace", "between"))
    repo.write("new/sp ace", "Untracked\n")  # of the same size
    os.rename(first, between)
    os.rename(second, first)
    os.rename(between, second)


def a_link_to_the_same(repo: Repo) -> None:
    """A directory of the same files, behind a link of the name that the directory had."""
    os.rename(repo.file("new"), repo.file("elsewhere"))
    os.symlink(b"elsewhere", repo.file("new"))


def staged_other(repo: Repo) -> None:
    repo.write("tracked/sp ace", "3\n")
    repo.git("add", "tracked/sp ace")
    repo.write("tracked/sp ace", "2\n")


def reset(repo: Repo) -> None:
    repo.git("reset", "-q", "--hard")


def staged_and_unstaged(repo: Repo) -> None:
    repo.git("add", "tracked")
    snapshot(repo)
    repo.git("reset", "-q")


def another_branch(repo: Repo) -> None:
    repo.git("stash", "-q", "-u")
    repo.git("checkout", "-q", "-b", "other")
    repo.write(b"tracked/-dash", b"other\n")
    repo.commit()
    repo.git("stash", "pop")


SINCE = [
    edit, same_size_same_time, replaced_by_a_rename, reverted, reverted_by_hand, new_ones_gone, ignored_now,
    excluded_now, back_again, file_to_folder, folder_to_file, file_to_link, mode, staged, staged_and_edited, committed,
    reset, staged_and_unstaged, another_branch, one_for_another, two_swapped, a_link_to_the_same, staged_other,
]  # fmt: skip


def without_checksum(repo: Repo) -> None:
    """As index.skipHash (git 2.40) leaves the index; the older ones read it too."""
    path = repo.git_dir() / "index"
    facts = path.stat()
    with open(path, "r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(bytes(20))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_an_index_without_a_checksum_is_told_from_another_one(dirty: Repo) -> None:
    """Both end in zeroes and are of one size: a file staged with other contents."""
    without_checksum(dirty)
    check(dirty)
    dirty.write(b"tracked/d/e/f", b"3\n")
    dirty.git("add", b"tracked/d/e/f")
    dirty.write(b"tracked/d/e/f", b"1\n")
    without_checksum(dirty)
    check(dirty)
    dirty.git("reset", "-q")
    without_checksum(dirty)
    check(dirty)


@pytest.mark.parametrize("act", SINCE, ids=lambda act: act.__name__)
@pytest.mark.parametrize("skip_hash", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["checksum", "skipHash"])
def test_whatever_happened_since_the_last_run_the_tree_is_gits(
    dirty: Repo, act: Callable[[Repo], None], skip_hash: bool
) -> None:
    if skip_hash:
        without_checksum(dirty)
        check(dirty)
    act(dirty)
    if skip_hash:
        without_checksum(dirty)
    check_overlay(check(dirty))
    if os.path.isdir(dirty.file("new")):
        edit(dirty)
    check(dirty)


@pytest.mark.slow
def test_edits_within_one_tick_of_the_clock_are_seen(dirty: Repo) -> None:
    for number in range(20):
        dirty.write(b"new/-dash", b"%02d" % number)
        dirty.write(b"tracked/sp ace", b"%02d" % number)
        check(dirty)


def with_crlf(repo: Repo) -> None:
    repo.git("config", "core.autocrlf", "true")


def with_attributes(repo: Repo) -> None:
    repo.write(".gitattributes", "* text=auto\n")


def with_attributes_below(repo: Repo) -> None:
    repo.write("new/d/.gitattributes", "* text eol=lf\n")


def with_attributes_of_the_repository(repo: Repo) -> None:
    (repo.git_dir() / "info").mkdir(exist_ok=True)
    (repo.git_dir() / "info" / "attributes").write_text("* text\n")


def with_attributes_of_the_user(repo: Repo) -> None:
    path = Path(repo.env["XDG_CONFIG_HOME"]) / "git" / "attributes"
    path.parent.mkdir(parents=True)
    path.write_text("* text\n")


def with_attributes_elsewhere(repo: Repo) -> None:
    (Path(repo.env["HOME"]) / "mine").write_text("* text\n")
    repo.git("config", "core.attributesFile", "~/mine")


def with_a_filter(repo: Repo) -> None:
    repo.git("config", "filter.up.clean", "tr a-z A-Z")
    repo.write(".gitattributes", "* filter=up\n")


def with_ident(repo: Repo) -> None:
    repo.write(".gitattributes", "* ident\n")


def with_an_encoding(repo: Repo) -> None:
    repo.write(".gitattributes", "*.wide working-tree-encoding=UTF-16LE text\n")


RULES = [
    with_crlf, with_attributes, with_attributes_below, with_attributes_of_the_repository, with_attributes_of_the_user,
    with_attributes_elsewhere, with_a_filter, with_ident, with_an_encoding,
]  # fmt: skip


@pytest.mark.parametrize("act", RULES, ids=lambda act: act.__name__)
def test_what_was_cleaned_under_other_rules_is_cleaned_anew(dirty: Repo, act: Callable[[Repo], None]) -> None:
    names = ("new/crlf", "new/d/crlf", "tracked/d/crlf", "a.wide")
    for name in names:
        dirty.write(name, "a $Id: 123 $\r\nb\r\n".encode("utf-16-le" if name == "a.wide" else "ascii"))
    settle(dirty)
    before = check(dirty).tree
    act(dirty)
    settle(dirty)
    after = check(dirty).tree
    assert after != before
    again = check(dirty)
    assert again.tree == after
    dirty.write("new/crlf", "c\r\nd\n")
    check(dirty)


def test_a_filter_whose_program_changed_is_asked_again(dirty: Repo, tmp_path: Path) -> None:
    """git's settings are the same ones, so only asking tells what it does today."""
    script = tmp_path / "clean"
    script.write_text("#!/bin/sh\ntr a-z A-Z\n")
    script.chmod(0o755)
    dirty.git("config", "filter.mine.clean", str(script))
    dirty.write("new/.gitattributes", "* filter=mine\n")
    settle(dirty)
    first = check(dirty).tree
    script.write_text("#!/bin/sh\nrev\n")
    assert check(dirty).tree != first


@pytest.mark.slow
def test_a_filter_that_only_a_sparse_checkouts_index_names_is_asked_again(dirty: Repo, tmp_path: Path) -> None:
    """git takes the attributes from the index where the folder's file is not checked out."""
    script = tmp_path / "clean"
    script.write_text("#!/bin/sh\ntr a-z A-Z\n")
    script.chmod(0o755)
    dirty.git("config", "filter.mine.clean", str(script))
    dirty.write("data/.gitattributes", "*.txt filter=mine\n")
    dirty.write("data/old", "1\n")
    dirty.commit()
    dirty.git("sparse-checkout", "set", "--no-cone", "/*", "!/data/")
    assert not os.path.lexists(dirty.file("data"))
    dirty.write("data/new.txt", "abc\n")
    settle(dirty)
    for command, want in (("tr a-z A-Z", b"ABC\n"), ("rev", b"cba\n")):
        script.write_text(f"#!/bin/sh\n{command}\n")
        taken = snapshot(dirty)
        assert taken.tree is not None
        name = f"{taken.tree.hex}:data/new.txt"
        assert taken.git_with_store.run("cat-file", "blob", name) == want


@pytest.mark.parametrize("set_by", ["setting", "environment"])
def test_attributes_of_a_tree_that_may_be_another_one_today_are_asked_for_again(dirty: Repo, set_by: str) -> None:
    """`attr.tree` may name a branch, and that moves without a sign in the index or in the settings (git 2.43)."""
    dirty.write("new/crlf", "a\r\nb\r\n")
    if set_by == "setting":
        dirty.git("config", "attr.tree", "refs/heads/rules")
    else:
        dirty.env["GIT_ATTR_SOURCE"] = "refs/heads/rules"
    plain = dirty.line("commit-tree", "-m", "c", "HEAD^{tree}")
    dirty.git("update-ref", "refs/heads/rules", plain)
    settle(dirty)
    before = private_index(dirty).read_bytes()
    check(dirty)
    blob = dirty.git("hash-object", "-w", "--stdin", input=b"* text\n").decode().strip()
    rules = dirty.git("mktree", input=b"100644 blob %s\t.gitattributes\n" % blob.encode()).decode().strip()
    dirty.git("update-ref", "refs/heads/rules", dirty.line("commit-tree", "-m", "c", rules))
    check(dirty)
    assert private_index(dirty).read_bytes() == before  # no seed is made of what was hashed under such rules


def test_line_ends_hang_on_what_the_index_has_and_not_on_what_the_last_run_had(repo: Repo) -> None:
    """With `text=auto` a file whose blob has CRLF keeps them; the blob of the last run must not stand in for it."""
    repo.write("a.txt", "1\r\n2\r\n")
    repo.commit()
    repo.write(".gitattributes", "* text=auto\n")
    repo.write("a.txt", "1\n2\n")
    settle(repo)
    check(repo)
    repo.write("a.txt", "1\r\n2\r\n3\r\n")
    check(repo)


def test_where_modes_and_links_are_the_indexs_they_are_not_the_last_runs(repo: Repo) -> None:
    """With core.fileMode=false a file that is gone and comes back has the mode that the user's index says."""
    repo.write("run.sh", "1\n", 0o755)
    repo.write("other.sh", "1\n", 0o755)
    repo.commit()
    repo.git("config", "core.fileMode", "false")
    repo.git("config", "core.symlinks", "false")
    repo.remove("run.sh")
    repo.symlink("other.sh", "x")
    repo.symlink("new", "x")
    settle(repo)
    check(repo)
    for name in ("run.sh", "other.sh", "new"):
        if os.path.lexists(repo.file(name)):
            repo.remove(name)
        repo.write(name, "2\n", 0o644)
    check(repo)


@pytest.mark.slow
def test_objects_that_are_gone_are_written_again(dirty: Repo) -> None:
    """Pruned from our store, or never in it since the user's had them until `git gc`."""
    store = dirty.git_dir() / "coderepo" / "objects"
    taken = check(dirty)
    shutil.rmtree(store)
    check_overlay(check(dirty))
    for row in taken.travels:
        if row.mode:
            os.unlink(store / row.id[:2] / row.id[2:])
            break
    check_overlay(check(dirty))

    dirty.write("new/unreachable", "kept by the user's repository for a while\n")
    dirty.git("hash-object", "-w", "new/unreachable")
    settle(dirty)
    check(dirty)
    dirty.git("gc", "-q", "--prune=now")
    check_overlay(check(dirty))


@pytest.mark.parametrize("damage", ["cut", "zeroes", "other", "empty", "numbers", "folder"])
def test_a_seed_that_a_crash_damaged_is_none(dirty: Repo, damage: str) -> None:
    path = private_index(dirty)
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
        with pytest.raises((OSError, CodeRepoError)):
            snapshot(dirty)  # said, and not passed over: nobody but us writes there
        return
    path.write_bytes(
        {
            "cut": data[:-30],
            "zeroes": data[:300] + bytes(len(data) - 300),
            "other": data.replace(b"tracked/sp ace", b"tracked/sp-ace"),
            "empty": b"",
            "numbers": b"git-coderepo seed 2 x y z 1 2\n" + data,
        }[damage]
    )
    edit(dirty)
    check(dirty)


def test_two_worktrees_have_a_seed_each(dirty: Repo, tmp_path: Path) -> None:
    dirty.git("worktree", "add", "-q", "-b", "second", tmp_path / "second tree")
    second = Repo(tmp_path / "second tree", dirty.env)
    second.write(b"tracked/sp ace", "there\n")
    for repo in (second, dirty, second, dirty):
        check(repo)
    names = [name for name in os.listdir(private_index(dirty).parent) if name.startswith("seed")]
    assert sorted(names) == ["seed", f"seed.{second.git_dir().name}"]


@pytest.mark.slow
def test_marks_conflicts_and_intents_to_add_come_out_as_without_a_seed(dirty: Repo) -> None:
    dirty.git("add", "--intent-to-add", "new/-dash")
    settle(dirty)
    check(dirty)
    dirty.write("new/-dash", "later\n")
    check(dirty)
    dirty.commit()
    dirty.git("checkout", "-q", "-b", "other")
    dirty.write("run.sh", "theirs\n", 0o755)
    dirty.commit()
    dirty.git("checkout", "-q", "main")
    dirty.write("run.sh", "ours\n", 0o755)
    dirty.commit()
    dirty.git("merge", "other", check=False)
    settle(dirty)
    for words in ("", "solved\n"):
        if words:
            dirty.write("run.sh", words, 0o755)
        check(dirty)
    dirty.git("add", "-A")
    dirty.write("run.sh", "hidden\n")
    dirty.git("update-index", "--assume-unchanged", "run.sh")
    hidden = snapshot(dirty)
    dirty.git("update-index", "--no-assume-unchanged", "run.sh")
    assert hidden.tree is not None and hidden.tree.hex == dirty.tree()


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=EDITS, rounds=st.lists(EDITS, min_size=2, max_size=4), settled=st.booleans())
def test_run_after_run_whatever_is_edited_the_tree_is_gits(
    before: list[Any], rounds: list[list[Any]], settled: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("seeds")
    repo = Repo.init(place / "checkout", clean_environment(place / "home"))
    apply(repo, before)
    repo.commit()
    for each in rounds:
        apply(repo, each)
        if settled:
            settle(repo)
        check_overlay(check(repo))
        check(repo)


_WRITER = """
import sys
from git_coderepo.git.process import Git
from git_coderepo.snapshots.snapshot import Request
from git_coderepo.snapshots.pipeline import take_snapshot
print("ready", flush=True)
while True:
    taken = take_snapshot(Git(sys.argv[1]), Request(here=True))
    print(taken.tree.hex, flush=True)
"""


@pytest.mark.slow
def test_writers_at_once_and_killed_at_any_point_agree_on_the_tree(dirty: Repo) -> None:
    want = dirty.tree()
    command = [sys.executable, "-c", _WRITER, str(dirty.path)]
    env = {**dirty.env, "PYTHONPATH": str(Path(__file__).parent.parent)}
    seen = 0
    for round in range(6):
        writers = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
        if round % 3 == 0:
            private_index(dirty).unlink(missing_ok=True)
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        time.sleep(round * 0.074)
        for writer in writers:
            if round == 5:  # none was killed too early for a whole snapshot
                assert writer.stdout is not None and writer.stdout.readline().decode() == f"{want}\n"
                seen += 1
            writer.send_signal(signal.SIGKILL)
            out, err = writer.communicate(timeout=60)
            assert err == b""
            whole = out.decode().rpartition("\n")[0].split()
            assert set(whole) <= {want}
            seen += len(whole)
        assert check(dirty).tree is not None
    assert seen >= 3


# --- overlays by their trees ---


def big(repo: Repo, extra: bytes = b"") -> bytes:
    data = os.urandom(200_000) + extra
    repo.write("weights \xff.bin".encode("latin-1"), data)
    settle(repo)
    return data


def notes(repo: Repo) -> list[Path]:
    return sorted((repo.git_dir() / "coderepo" / "trees").iterdir())


def test_a_large_overlay_is_built_once_for_a_pair_of_trees(dirty: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    big(dirty)
    first = check(dirty)
    (note,) = notes(dirty)
    assert first.overlay is not None and first.head is not None and first.tree is not None
    assert note.name == f"{first.head.tree}-{first.tree}"
    import git_coderepo.snapshots.packing as module

    def never(*_: object) -> None:
        raise AssertionError("it is built again")

    monkeypatch.setattr(module, "build_overlay", never)
    second = check(dirty)
    assert second.overlay is not None
    assert bytes(second.overlay.data) == first.overlay.data
    assert (second.overlay.tar_sha256, second.overlay.sha256, second.overlay.files, second.overlay.deleted) == (
        first.overlay.tar_sha256, first.overlay.sha256, first.overlay.files, first.overlay.deleted,
    )  # fmt: skip


def test_the_search_for_tokens_cannot_be_skipped_by_switching_it_off_once(dirty: Repo) -> None:
    big(dirty, b"\nTOKEN = 'ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6'\n")
    with pytest.raises(NotReproducible, match="token"):
        snapshot(dirty)
    dirty.git("config", "coderepo.secretScan", "false")
    check(dirty)
    dirty.git("config", "coderepo.secretScan", "true")
    with pytest.raises(NotReproducible, match="token"):
        snapshot(dirty)


def test_a_limit_that_was_lowered_counts_for_a_kept_overlay(dirty: Repo) -> None:
    data = big(dirty)
    dirty.git("add", "-A")  # nothing in the work tree differs from the index any more: only the overlay is judged
    check(dirty)
    dirty.git("config", "coderepo.overlayLimit", str(len(data) - 1))
    with pytest.raises(NotReproducible, match="would be stored with the run"):
        snapshot(dirty)


@pytest.mark.parametrize("damage", ["overlay gone", "overlay cut", "note cut", "note of another version"])
def test_a_kept_overlay_that_is_damaged_is_built_again(dirty: Repo, damage: str) -> None:
    big(dirty)
    first = check(dirty)
    assert first.overlay is not None
    (note,) = notes(dirty)
    kept = dirty.git_dir() / "coderepo" / "overlays" / f"{first.overlay.sha256}.tar.gz"
    if damage == "overlay gone":
        kept.unlink()
    elif damage == "overlay cut":
        kept.write_bytes(kept.read_bytes()[:-1])
    elif damage == "note cut":
        note.write_bytes(note.read_bytes()[:40])
    else:
        note.write_bytes(note.read_bytes().replace(b"overlay 1 ", b"overlay 1 0."))
    check_overlay(check(dirty))


@pytest.mark.slow
def test_a_run_keeps_its_overlay_whole_though_another_process_prunes(dirty: Repo, program: Program) -> None:
    data = big(dirty)
    check(dirty)
    program.run("hook", "pre-run", cwd=dirty.path)
    again = snapshot(dirty)
    assert again.overlay is not None
    for path in (dirty.git_dir() / "coderepo" / "overlays").iterdir():
        path.unlink()
    assert len(bytes(again.overlay.data)) > len(data), "what was found stays readable"
    program.run("hook", "pre-run", cwd=dirty.path)
    current = json.loads((dirty.git_dir() / "coderepo" / "current.json").read_bytes())
    digest = current["code"]["overlay"]["sha256"]
    written = (dirty.git_dir() / "coderepo" / "overlays" / f"{digest}.tar.gz").read_bytes()
    assert hashlib.sha256(written).hexdigest() == digest


def test_the_systems_attributes_are_those_of_the_git_that_runs(dirty: Repo, tmp_path: Path) -> None:
    git = shutil.which("git", path=dirty.env["PATH"])
    assert git is not None
    assert system_attribute_files({"PATH": os.path.dirname(git)}) == [b"/etc/gitattributes"]
    own = tmp_path / "opt"
    for place in ("bin/git", "libexec/git-core/git"):
        (own / place).parent.mkdir(parents=True)
        shutil.copy(os.path.realpath(git), own / place)
        found = system_attribute_files({"PATH": str((own / place).parent)})
        assert found == [b"/etc/gitattributes", os.fsencode(own / "etc" / "gitattributes")]
    (own / "bin" / "git").write_text('#!/bin/sh\nexec /usr/bin/git "$@"\n')
    assert system_attribute_files({"PATH": str(own / "bin")}) is None
    assert system_attribute_files({"PATH": str(tmp_path / "absent")}) is None
