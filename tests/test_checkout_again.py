"""Where thousands of paths are changed the last snapshot serves again as a whole, and never where anything differs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.checkout import seedfile
from git_coderepo.errors import CodeRepoError
from git_coderepo.git import Git
from git_coderepo.record import changes
from git_coderepo.record.snapshot import Request, Snapshot
from git_coderepo.record.taking import take_snapshot
from tests.support.repo import Repo
from tests.test_checkout_seed import (
    ODD,
    RULES,
    SINCE,
    seed_of,
    snapshot,
    with_crlf,
)
from tests.test_checkout_snapshot import check_overlay

MANY = 600


def settle(repo: Repo) -> None:
    """Wait until a write to any of the files shows in the whole seconds of its times."""
    latest = max(
        os.lstat(os.path.join(folder, name)).st_ctime
        for folder, _, names in os.walk(os.fsencode(repo.path))
        for name in names
    )
    while time.time() < int(latest) + 1.05:
        time.sleep(0.05)


@pytest.fixture
def many(repo: Repo) -> Repo:
    """Hundreds of new files beside edited ones, one gone, one staged, one left out; the last snapshot is kept."""
    for name in ODD:
        repo.write(b"tracked/" + name, b"1\n")
    repo.write("run.sh", "echo\n", 0o755)
    repo.write("gone", "x")
    repo.write("staged", "1\n")
    repo.commit()
    for name in ODD[:3]:
        repo.write(b"tracked/" + name, b"2\n")
    for name in ODD:
        repo.write(b"new/" + name, b"untracked\n")
    for number in range(MANY):
        repo.write(f"outputs/step {number // 100}/metric {number}", f"{number}\n")
    repo.write(".env", "TOKEN=1\n")
    repo.write("staged", "2\n")
    repo.git("add", "staged")
    repo.remove("gone")
    settle(repo)
    check(repo)
    return repo


class Looks:
    """Counts the snapshots from here on for which each path that changed was looked at, and the calls of git."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.words: list[object] = []
        self._count = 0
        take, start = changes.take_changes, Git.start

        def taken(*arguments: Any) -> bytes:
            self._count += 1
            return take(*arguments)

        def started(git: Git, *arguments: Any, stdin: bytes | None = None) -> Any:
            self.words += arguments
            return start(git, *arguments, stdin=stdin)

        monkeypatch.setattr(changes, "take_changes", taken)
        monkeypatch.setattr(Git, "start", started)

    def count(self) -> int:
        """How many there were since it was asked last."""
        count, self._count = self._count, 0
        return count


def check(repo: Repo) -> Snapshot:
    taken = snapshot(repo)
    assert taken.tree is not None and taken.tree.hex == repo.tree(".env")
    return taken


def facts(taken: Snapshot) -> tuple[object, ...]:
    """All that a manifest says of the changes."""
    assert taken.status is not None
    overlay = taken.overlay
    return (
        taken.tree, taken.dirty, taken.omitted, taken.status.counts, [(row.path, row.id) for row in taken.travels],
        [change.path for change in taken.taken], overlay and (overlay.sha256, overlay.files, overlay.deleted),
    )  # fmt: skip


def test_the_same_snapshot_is_told_by_one_question(many: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    before = seed_of(many).read_bytes()
    first = facts(snapshot(many))
    looks = Looks(monkeypatch)
    taken = snapshot(many)
    assert looks.count() == 0
    assert "diff-files" in looks.words and not {"update-index", "mktree"} & set(looks.words)
    assert taken.omitted == [(b".env", "secret-name")]
    assert taken.status is not None and taken.status.counts == (1, 4, MANY + len(ODD) + 1)
    assert facts(taken) == first
    check_overlay(taken)
    assert seed_of(many).read_bytes() == before


def test_one_that_was_edited_is_found_among_hundreds(many: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was made of it serves the next time."""
    check(many)
    many.write("outputs/step 3/metric 321", "edited\n")
    looks = Looks(monkeypatch)
    check(many)
    assert looks.count() == 1
    settle(many)
    check(many)
    assert looks.count() == 1  # it was too young when it was hashed
    check(many)
    assert looks.count() == 0


def one_more(repo: Repo) -> None:
    repo.write("outputs/step 0/more", "x")


def one_less(repo: Repo) -> None:
    os.unlink(repo.file("outputs/step 0/metric 0"))


def one_for_another(repo: Repo) -> None:
    one_less(repo)
    one_more(repo)


def left_out_now(repo: Repo) -> None:
    os.rename(repo.file("outputs/step 0/metric 0"), repo.file("outputs/step 0/.env"))


def one_that_is_deleted_and_back(repo: Repo) -> None:
    repo.write("gone", "other\n")


def executable(repo: Repo) -> None:
    os.chmod(repo.file("outputs/step 0/metric 0"), 0o755)


def a_link_to_the_same(repo: Repo) -> None:
    """A directory of the same files, behind a link of the name that the directory had."""
    os.rename(repo.file("outputs/step 5"), repo.file("elsewhere"))
    os.symlink(b"../elsewhere", repo.file("outputs/step 5"))


def two_swapped(repo: Repo) -> None:
    first, second, between = (repo.file(f"outputs/step 0/{name}") for name in ("metric 1", "metric 2", "between"))
    os.rename(first, between)
    os.rename(second, first)
    os.rename(between, second)


def staged_other(repo: Repo) -> None:
    repo.write("staged", "3\n")
    repo.git("add", "staged")
    repo.write("staged", "2\n")


def ctime_alone(repo: Repo) -> None:
    path = repo.file("outputs/step 0/metric 7")
    facts = os.lstat(path)
    with open(path, "r+b") as file:
        file.write(b"8")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


MORE = [
    one_more, one_less, one_for_another, one_that_is_deleted_and_back, executable, a_link_to_the_same, two_swapped,
    staged_other, ctime_alone,
]  # fmt: skip
QUICK = (one_for_another, ctime_alone, with_crlf)


def _marked(acts: Sequence[Callable[[Repo], None]]) -> list[Any]:
    return [act if act in QUICK else pytest.param(act, marks=pytest.mark.slow) for act in acts]


@pytest.mark.parametrize("act", _marked([*MORE, *SINCE]), ids=lambda act: act.__name__)
def test_whatever_happened_the_tree_is_gits(many: Repo, act: Callable[[Repo], None]) -> None:
    act(many)
    check_overlay(check(many))
    check(many)


@pytest.mark.slow
def test_what_is_left_out_by_its_name_today_is_left_out(many: Repo) -> None:
    left_out_now(many)
    taken = snapshot(many)
    assert (b"outputs/step 0/.env", "secret-name") in taken.omitted


@pytest.mark.parametrize("act", _marked(RULES), ids=lambda act: act.__name__)
def test_under_other_rules_all_of_it_is_cleaned_anew(many: Repo, act: Callable[[Repo], None]) -> None:
    for name in ("new/crlf", "new/d/crlf", "tracked/d/crlf", "a.wide"):
        many.write(name, "a $Id: 123 $\r\nb\r\n".encode("utf-16-le" if name == "a.wide" else "ascii"))
    settle(many)
    before = check(many).tree
    snapshot(many)
    act(many)
    settle(many)
    after = check(many).tree
    assert after != before
    assert check(many).tree == after


SETTINGS = {
    "exclude": ("new", None),
    "untracked=ignore": ("ignore", None),
    "untracked=refuse": ("refuse", "is untracked"),
    "dirty": ("refuse", "the checkout is dirty"),
    "overlayLimit": ("1k", "would travel"),
    "overlayLimit, no size": ("much", "is no size"),
}


@pytest.mark.parametrize(
    "where", ["configuration", *(pytest.param(where, marks=pytest.mark.slow) for where in ("environment", "team"))]
)
@pytest.mark.parametrize(
    "name", [name if name == "exclude" else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]
)
def test_a_setting_that_decides_is_obeyed_at_once(many: Repo, name: str, where: str) -> None:
    value, refused = SETTINGS[name]
    key = name.partition("=")[0].partition(",")[0]
    before = snapshot(many)
    if where == "team":
        if key not in ("exclude", "overlayLimit"):
            pytest.skip("a team's file may not set it")
        many.write(".coderepo", f"[coderepo]\n\t{key} = {value}\n")
        many.git("add", ".coderepo")
    elif where == "environment":
        many.env["CODEREPO_" + "".join("_" + char if char.isupper() else char for char in key).upper()] = value
    else:
        many.git("config", f"coderepo.{key}", value)
    if refused is None:
        assert snapshot(many).tree != before.tree
        return
    with pytest.raises(CodeRepoError, match=refused):
        snapshot(many)


@pytest.mark.parametrize("trouble", ["setting", "index"])
def test_a_snapshot_that_cannot_be_taken_leaves_no_process_and_no_file_open(
    many: Repo, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """A service may take thousands of them in one process."""
    words: list[tuple[object, ...]] = []
    processes: list[Any] = []
    start = Git.start

    def started(git: Git, *arguments: Any, stdin: bytes | None = None) -> Any:
        words.append(arguments)
        processes.append(start(git, *arguments, stdin=stdin))
        return processes[-1]

    monkeypatch.setattr(Git, "start", started)
    if trouble == "setting":
        many.git("config", "coderepo.overlayLimit", "much")
    else:
        (many.git_dir() / "index").write_bytes(b"DIRC, and nothing more")
    before = os.listdir("/dev/fd")
    with pytest.raises(CodeRepoError):
        snapshot(many)
    assert os.listdir("/dev/fd") == before
    assert ("--no-optional-locks", "diff-files", "--quiet") in words
    assert [process for process in processes if process.status is None] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        ("core.trustctime", "false"),
        ("core.checkStat", "minimal"),
        ("core.preloadIndex", "false"),
        ("core.ignoreStat", "true"),
    ],
    ids=lambda setting: "=".join(setting),
)
def test_what_git_is_told_to_pass_over_counts_all_the_same(many: Repo, setting: tuple[str, str]) -> None:
    many.git("config", *setting)
    snapshot(many)
    snapshot(many)
    settle(many)
    before = snapshot(many).tree
    ctime_alone(many)
    assert snapshot(many).tree != before


@pytest.mark.slow
def test_one_that_git_was_told_not_to_look_at_is_looked_at(many: Repo) -> None:
    many.git("update-index", "--assume-unchanged", "run.sh")
    snapshot(many)
    many.write("run.sh", "echo edited\n", 0o755)
    many.git("update-index", "--no-assume-unchanged", "run.sh")
    want = many.tree(".env")
    many.git("update-index", "--assume-unchanged", "run.sh")
    for _ in range(2):
        taken = snapshot(many)
        assert taken.tree is not None and taken.tree.hex == want


@pytest.mark.slow
def test_objects_that_were_taken_away_are_made_again(many: Repo) -> None:
    taken = snapshot(many)
    assert taken.tree is not None
    for folder in (many.git_dir() / "coderepo" / "objects").iterdir():
        if len(folder.name) == 2:
            shutil.rmtree(folder)
    shutil.rmtree(many.git_dir() / "coderepo" / "overlays")
    check_overlay(check(many))


def test_objects_that_were_the_users_and_went_with_gits_own_gc_are_made_again(many: Repo) -> None:
    """A stash that was popped had the folders of what is untracked: git wrote none of them twice."""
    many.git("reset", "-q")
    many.git("stash", "-q", "--include-untracked")
    shutil.rmtree(many.git_dir() / "coderepo")
    many.git("stash", "pop", "-q")
    settle(many)
    first = facts(check(many))
    many.git("reflog", "expire", "--expire=all", "--all")
    many.git("gc", "-q", "--prune=now")
    assert facts(snapshot(many)) == first
    check_overlay(check(many))


@pytest.mark.slow
def test_an_overlay_that_was_taken_away_is_made_again(many: Repo) -> None:
    """Of the trees' own objects: some of its blobs are gone as well."""
    many.write("weights.bin", os.urandom(200_000))
    settle(many)
    check(many)
    first = facts(snapshot(many))
    shutil.rmtree(many.git_dir() / "coderepo" / "overlays")
    assert facts(snapshot(many)) == first


@pytest.mark.slow
def test_another_version_of_the_program_looks_at_each_path(many: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch)
    monkeypatch.setattr(seedfile, "_PROGRAM", b"another")
    check(many)
    assert looks.count() == 1


@pytest.mark.slow
def test_where_the_clock_was_set_back_each_path_is_looked_at(many: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 3_600_000_000_000)
    check(many)
    assert looks.count() == 1


@pytest.mark.slow
def test_a_seed_that_was_copied_with_another_time_is_not_trusted_as_a_whole(
    many: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git tells a racy entry by the time of its index."""
    os.utime(seed_of(many))
    looks = Looks(monkeypatch)
    check(many)
    assert looks.count() == 1


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no second file system")
def test_where_the_files_lie_on_another_file_system_its_clock_may_be_off(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network share's second a run may see the first half, and our own clock says that it is long over."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == os.stat(repo.path).st_dev:
            pytest.skip("it is the same file system")
        repo.write("a", "1\n")
        repo.commit()
        shutil.move(repo.git_dir(), os.path.join(elsewhere, "there"))
        repo.write(".git", f"gitdir: {elsewhere}/there\n")
        for number in range(MANY):
            repo.write(f"outputs/{number}", f"{number}\n")
        settle(repo)
        check(repo)
        looks = Looks(monkeypatch)
        check(repo)
        assert looks.count() == 1
        assert "update-index" not in looks.words  # the nanoseconds of each path still tell


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["monotonic_ns", "time_ns"])
def test_a_machine_that_slept_or_had_its_clock_set_while_it_looked_keeps_nothing_whole(
    many: Repo, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """What was written just after the look began is younger than what was kept, whichever clock says so."""
    check(many)
    many.write("outputs/more", "x")
    settle(many)
    real = getattr(time, clock)
    with monkeypatch.context() as patched:
        calls = iter(range(1000))
        patched.setattr(time, clock, lambda: real() + 3600 * 10**9 * next(calls))
        check(many)
    looks = Looks(monkeypatch)
    check(many)
    assert looks.count() == 1


@pytest.mark.slow
def test_a_file_that_vanishes_while_it_is_looked_at_is_no_part_of_what_is_kept(
    many: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git's status still had it: the same answer another day means the file is there."""
    many.write("outputs/flickers", "x")
    settle(many)
    lstat = os.lstat

    def gone(path: Any, **words: Any) -> os.stat_result:
        if path == many.file("outputs/flickers"):
            raise FileNotFoundError
        return lstat(path, **words)

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", gone)
        without = snapshot(many)
    assert without.tree != check(many).tree


@pytest.mark.slow
def test_a_seed_of_another_checkout_in_the_place_of_ours_is_told(many: Repo, tmp_path: Path) -> None:
    """Another process may write its own seed while git looks at what is under the name."""
    check(many)
    old = seed_of(many).read_bytes()
    many.write("outputs/step 1/metric 111", "edited\n")
    settle(many)
    check(many)
    snapshot(many)
    from git_coderepo.checkout.again import Again
    from git_coderepo.checkout.layout import read_layout, start_layout
    from git_coderepo.checkout.rules import deciding
    from git_coderepo.checkout.status import read_status, start_status
    from git_coderepo.settings import Settings

    git = Git(str(many.path), environment=many.env)
    layout = read_layout(start_layout(git), git)
    settings = Settings.read(git)
    said = read_status(start_status(git)).said
    asked = Again(git, layout)
    assert asked.answer(said, deciding(settings), settings) is not None
    asked.end()
    asked = Again(git, layout)
    facts = seed_of(many).stat()
    other = seed_of(many).with_name("other")
    other.write_bytes(old)
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    os.replace(other, seed_of(many))
    assert asked.answer(said, deciding(settings), settings) is None
    asked.end()


@pytest.mark.slow
def test_sha256_repositories_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.environment import clean_environment

    repo = Repo.init(tmp_path / "checkout", clean_environment(tmp_path / "home"), object_format="sha256")
    repo.write("a", "1\n")
    repo.commit()
    for number in range(MANY):
        repo.write(f"outputs/{number}", f"{number}\n")
    settle(repo)
    first = take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    looks = Looks(monkeypatch)
    assert facts(snapshot(repo)) == facts(first)
    assert looks.count() == 0
