"""A snapshot's tree and overlay against what git itself makes of the same work tree."""

from __future__ import annotations

import io
import os
import shlex
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import NotReproducible
from git_coderepo.fetching.sources.overlay_tar import read_overlay
from git_coderepo.git.objects import TreeEntry, tree_id
from git_coderepo.git.process import Git
from git_coderepo.git.tree_diff import differences
from git_coderepo.snapshots.inspect_checkout import survey
from git_coderepo.snapshots.overlay import build_overlay
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request, Snapshot
from tests.support.edits import FEW_PATHS, apply, edits
from tests.support.environment import clean_environment
from tests.support.repo import Repo


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(edits(FEW_PATHS), max_size=12), after=st.lists(edits(FEW_PATHS), max_size=12))
def test_whatever_is_edited_the_tree_is_gits_and_the_overlay_carries_it(before: list[Any], after: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        repo = Repo.init(Path(scratch) / "checkout", clean_environment(Path(scratch) / "home"))
        apply(repo, before)
        repo.commit()
        apply(repo, after)
        want = repo.tree()
        taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
        assert taken.tree is not None and taken.tree.hex == want
        assert taken.head is not None
        assert taken.dirty == (want != taken.head.tree.hex)
        check_overlay(taken)


def check_overlay(taken: Snapshot) -> None:
    """Base and overlay, put together by hand, are the snapshot; the tar is one that any tar reads."""
    assert taken.tree is not None
    git = taken.git_with_store
    entries = (
        {row.path: (row.mode, bytes.fromhex(row.id)) for row in differences(git, None, taken.base_tree)}
        if (taken.base_tree is not None)
        else {}
    )
    if taken.overlay is not None:
        for path in taken.overlay.deleted:
            del entries[path]
        opened = read_overlay(taken.overlay.data, tar_sha256=taken.overlay.tar_sha256, sha256=taken.overlay.sha256)
        ids = {row.path: bytes.fromhex(row.id) for row in taken.travels if row.mode}
        for entry in opened:
            entries[entry.path] = (entry.mode, ids[entry.path])
        with tarfile.open(fileobj=io.BytesIO(taken.overlay.data)) as tar:
            assert len(tar.getmembers()) == taken.overlay.files
    assert tree_id((TreeEntry(path, *facts) for path, facts in entries.items()), "sha1") == taken.tree


def test_the_overlay_is_a_function_of_the_two_trees_alone(repo: Repo) -> None:
    repo.write("a", "1")
    repo.commit()
    repo.write("a", "2")
    repo.write("b/c", "3", 0o755)
    first = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    os.utime(repo.file("a"), (1, 1))
    repo.git("add", "-A")
    second = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert first.overlay is not None and second.overlay is not None
    assert first.overlay.tar_sha256 == second.overlay.tar_sha256
    assert build_overlay(second.git_with_store, second.travels, lambda path, pieces: pieces).data == first.overlay.data


def test_an_edit_in_the_same_second_and_of_the_same_size_is_seen(repo: Repo) -> None:
    """Copying the index without its time makes such an edit vanish: the racy index."""
    for number in range(10):
        repo.write("a", f"{number}")
        repo.git("add", "-A")
        repo.write("a", f"{number + 1}")
        taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
        assert taken.tree is not None and taken.tree.hex == repo.tree()


def test_one_file_staged_and_then_edited_is_one_tree(repo: Repo) -> None:
    """P7: staged and unstaged diffs one after the other do not apply."""
    repo.write("a", "1\n2\n3\n")
    repo.commit()
    repo.write("a", "1\nstaged\n3\n")
    repo.git("add", "a")
    repo.write("a", "1\nstaged\nunstaged\n")
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert taken.overlay is not None
    opened = read_overlay(taken.overlay.data, tar_sha256=taken.overlay.tar_sha256, sha256=taken.overlay.sha256)
    assert [entry.read() for entry in opened] == [b"1\nstaged\nunstaged\n"]


def test_the_users_own_diff_settings_change_nothing(repo: Repo) -> None:
    """P8: diff.noprefix, color.ui=always and diff.external break a diff that is captured as text."""
    repo.write("a", "1")
    repo.commit()
    for name, value in (
        ("diff.noprefix", "true"), ("color.ui", "always"), ("diff.external", "/bin/false"), ("core.quotePath", "false"),
        ("status.showUntrackedFiles", "no"), ("status.relativePaths", "true"), ("status.branch", "false"),
        ("diff.renames", "copies"), ("status.renames", "copies"), ("core.pager", "false"),
        ("diff.ignoreSubmodules", "all"),
    ):  # fmt: skip
        repo.git("config", name, value)
    repo.write("sub/b", "2")
    taken = take_snapshot(Git(str(repo.path / "sub"), environment=repo.env), Request(here=True))
    assert taken.tree is not None and taken.tree.hex == repo.tree()
    assert taken.layout is not None and taken.layout.prefix == b"sub/"


def test_a_binary_change_travels_byte_for_byte(repo: Repo) -> None:
    """P4, P6: text patches drop binary changes and what is not UTF-8."""
    data = bytes(range(256)) * 50
    repo.write("weights.bin", data)
    repo.commit()
    repo.write("weights.bin", data[::-1])
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert taken.overlay is not None
    opened = read_overlay(taken.overlay.data, tar_sha256=taken.overlay.tar_sha256, sha256=taken.overlay.sha256)
    assert [entry.read() for entry in opened] == [data[::-1]]


def test_a_sha256_repository_is_named_by_sha256(tmp_path: Path, env: dict[str, str]) -> None:
    repo = Repo.init(tmp_path / "c", env, object_format="sha256")
    repo.write("a", "1")
    repo.commit()
    repo.write("b", "2")
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert taken.tree is not None and taken.tree.hex == repo.tree() and len(taken.tree.hex) == 64


def test_what_is_secret_by_name_stays_here_and_is_named(repo: Repo) -> None:
    repo.write("a", "1")
    repo.commit()
    for name in (".env", "deploy/.env.production", "id_rsa", "server.key", ".env.example", "notes.txt"):
        repo.write(name, "x")
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert sorted(taken.omitted) == [
        (b".env", "secret-name"),
        (b"deploy/.env.production", "secret-name"),
        (b"id_rsa", "secret-name"),
        (b"server.key", "secret-name"),
    ]
    assert sorted(row.path for row in taken.travels) == [b".env.example", b"notes.txt"]


def test_excluded_files_stay_here_and_ignored_ones_come_when_asked_for(repo: Repo) -> None:
    repo.write(".gitignore", "*.log\n")
    repo.commit()
    repo.git("config", "coderepo.exclude", "outputs/")
    repo.git("config", "--add", "coderepo.exclude", "*.tmp")
    for name in ("outputs/big.bin", "x.tmp", "kept.txt", "train.log"):
        repo.write(name, "x")
    git = Git(str(repo.path), environment=repo.env)
    taken = take_snapshot(git, Request(here=True, include=[b"train.log"]))
    assert sorted(taken.omitted) == [(b"outputs/big.bin", "excluded"), (b"x.tmp", "excluded")]
    assert sorted(row.path for row in taken.travels) == [b"kept.txt", b"train.log"]


def test_a_token_about_to_travel_stops_it_with_file_and_line(repo: Repo) -> None:
    repo.write("a", "1")
    repo.commit()
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"
    repo.write("config/deploy.py", f"first\nTOKEN = '{token}'\n")
    git = Git(str(repo.path), environment=repo.env)
    with pytest.raises(NotReproducible, match=r"'config/deploy\.py', line 2") as caught:
        take_snapshot(git, Request(here=True))
    assert token not in str(caught.value)
    repo.git("config", "coderepo.secretScan", "false")
    assert take_snapshot(git, Request(here=True)).overlay is not None


def test_above_the_limit_it_stops_before_anything_is_read(repo: Repo) -> None:
    """P5: ClearML replaces a large diff by a comment and runs the clean commit."""
    repo.write("a", "1")
    repo.commit()
    repo.write("outputs/model.bin", "")
    with open(repo.file("outputs/model.bin"), "wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(NotReproducible, match=r"5\.0 GiB of changes would be stored.*'outputs/' 5\.0 GiB"):
        take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))


def test_a_repository_inside_is_refused_by_name(repo: Repo, env: dict[str, str]) -> None:
    repo.write("a", "1")
    repo.commit()
    inner = Repo.init(repo.path / "vendor" / "lib", env)
    inner.write("b", "2")
    git = Git(str(repo.path), environment=repo.env)
    with pytest.raises(NotReproducible, match="'vendor/lib/' is a Git repository of its own"):
        take_snapshot(git, Request(here=True))
    repo.git("config", "coderepo.exclude", "vendor/")
    assert take_snapshot(git, Request(here=True)).overlay is None


def check_tree(repo: Repo) -> Snapshot:
    """The tree is git's, and so is what is said to differ from HEAD's."""
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert taken.tree is not None and taken.tree.hex == repo.tree()
    for old, found in taken.unpacked.tree.differences.known.items():
        wanted = differences(taken.git_with_store, old, taken.tree)
        assert [(row.path, row.old_mode, row.mode, row.id) for row in found] == [
            (row.path, row.old_mode, row.mode, row.id) for row in wanted
        ]
    check_overlay(taken)
    return taken


def test_a_directory_named_like_a_revision_is_a_directory(repo: Repo) -> None:
    """git takes `TREE:docs/v1-2-g1a2b3c4` for what `git describe` gives, and takes a CR off the end of a line."""
    repo.write("a", "1")
    commit = repo.commit()[:8].encode()
    folders = [
        b"docs/v1-2-g" + commit, b"d\r", b"x~1", b"x^{tree}", b"@{1}", b"a:b", b"new\nline", b"new-g" + commit + b"\n",
        b"-z", b"\xff", b" sp ace ", b"n" * 250,
    ]  # fmt: skip
    for folder in folders:
        repo.write(folder + b"/edited", "1")
        repo.write(folder + b"/as it was", "1")
    repo.commit()
    for folder in folders:
        repo.write(folder + b"/edited", "2")
        repo.write(folder + b"/below/new", "2")
    taken = check_tree(repo)
    assert len(taken.travels) == 2 * len(folders)


@pytest.mark.parametrize("gone", [False, True], ids=["edited", "gone"])
def test_what_a_tool_of_long_ago_wrote_into_a_tree_is_written_anew_as_git_writes_it(repo: Repo, gone: bool) -> None:
    """Group-writable modes, a directory's mode with a leading zero, and directories without files."""
    repo.write("a", "1")
    repo.commit()
    blob = bytes.fromhex(repo.line("rev-parse", "HEAD:a"))

    def tree(*rows: tuple[bytes, bytes]) -> bytes:
        data = b"".join(name + b"\0" + id for name, id in rows)
        made = repo.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", input=data)
        return bytes.fromhex(made.decode())

    empty = tree()
    inner = tree((b"100664 a", blob), (b"40000 nothing", empty), (b"100775 run", blob))
    outer = tree((b"100664 a", blob), (b"040000 d", inner), (b"40000 nothing", empty))
    repo.git("reset", "-q", "--hard", repo.line("commit-tree", "-m", "c", outer.hex()))
    if gone:
        repo.remove("d")
    else:
        repo.write("d/a", "2")
    taken = check_tree(repo)
    assert [row.path for row in taken.travels] == ([b"d/a", b"d/run"] if gone else [b"d/a"])


@pytest.mark.parametrize("committed", [False, True], ids=["new", "in the place of a file"])
def test_a_directory_named_gitattributes_is_a_directory(repo: Repo, committed: bool) -> None:
    repo.write("d/a.txt", "1\r\n")
    if committed:
        repo.write(".gitattributes", "*.txt text\n")
        repo.write("d/.gitattributes", "*.txt -text\n")
    repo.commit()
    for path in (".gitattributes", "d/.gitattributes"):
        if committed:
            repo.remove(path)
        repo.write(path + "/file", "1")
    repo.write("d/a.txt", "2\r\n")
    repo.write("b.txt", "2\r\n")
    check_tree(repo)
    check_tree(repo)
    repo.git("add", "-A")
    check_tree(repo)


def test_a_repository_in_the_place_of_a_file_is_refused_until_it_is_added(repo: Repo, env: dict[str, str]) -> None:
    """The index has a file there, so that git does not call it untracked; without a word it was missing in the run."""
    repo.write("s", "1")
    repo.commit()
    repo.remove("s")
    inner = Repo.init(repo.path / "s", env)
    inner.write("b", "2")
    inner.commit()
    git = Git(str(repo.path), environment=repo.env)
    repo.git("config", "coderepo.exclude", "s")  # what is tracked is not left out
    with pytest.raises(NotReproducible, match="'s/' is a Git repository of its own") as refused:
        take_snapshot(git, Request(here=True))
    # This process stands elsewhere: the command names the checkout, from here or by its whole path.
    git_word, option, place, *rest = shlex.split(refused.value.hints[0])
    assert [git_word, option, *rest] == ["git", "-C", "add", "--", "s"]
    assert os.path.realpath(place) == os.path.realpath(repo.path)
    lenient = take_snapshot(git, Request(here=True, allow_unreproducible=True))
    assert lenient.omitted == [(b"s", "repository-inside")]
    assert [error.waived_as for error in lenient.unreproducible] == ["repository-inside"]
    repo.git("add", "s")
    added = take_snapshot(git, Request(here=True))
    assert added.tree is not None and added.tree.hex == repo.tree()
    assert [each.path for each in added.submodules] == [b"s"]


def test_conflicts_and_intent_to_add_are_recorded_as_they_stand_on_the_disk(repo: Repo) -> None:
    repo.write("a", "base\n")
    repo.commit()
    repo.git("checkout", "-q", "-b", "other")
    repo.write("a", "theirs\n")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.write("a", "ours\n")
    repo.commit()
    repo.git("merge", "other", check=False)
    repo.write("later", "x")
    repo.git("add", "--intent-to-add", "later")
    taken = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert taken.tree is not None and taken.tree.hex == repo.tree()


def test_the_users_index_is_not_touched_and_no_lock_is_left(repo: Repo) -> None:
    """P9: DVC stashes, detaches and resets the user's checkout."""
    repo.write("a", "1")
    repo.commit()
    repo.write("a", "2")
    index = repo.git_dir() / "index"
    before = (index.read_bytes(), index.stat().st_mtime_ns, sorted(os.listdir(repo.git_dir())))
    take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    names = sorted(name for name in os.listdir(repo.git_dir()) if name != "coderepo")
    assert (index.read_bytes(), index.stat().st_mtime_ns, names) == before
    # The seed of the next private index is kept only where the file is old enough for the file system to tell.
    assert set(os.listdir(repo.git_dir() / "coderepo")) - {"seed"} == {"objects", "overlays"}


def test_a_survey_starts_four_processes(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here is what a clean checkout costs; HEAD is listed only where the index is not its tree."""
    repo.write("a", "1")
    repo.commit()
    started: list[list[str | bytes]] = []
    start = Git.start

    def counted(self: Git, *arguments: str | bytes, stdin: bytes | None = None):
        started.append(list(arguments))
        return start(self, *arguments, stdin=stdin)

    monkeypatch.setattr(Git, "start", counted)
    survey(Git(str(repo.path), environment=repo.env))
    assert len(started) == 4
    repo.write("b", "1")
    repo.git("add", "b")
    survey(Git(str(repo.path), environment=repo.env))
    assert len(started) == 9 and started[-1][0] == "ls-tree"
