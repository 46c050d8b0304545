"""What `prune` takes away, and what it never does."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from git_coderepo.errors import UsageError
from git_coderepo.git.dates import required_age
from git_coderepo.git.process import Git
from git_coderepo.git.store import Store
from git_coderepo.runs import prune as module
from git_coderepo.runs.find import runs_here
from git_coderepo.runs.history import newest
from git_coderepo.runs.prune import Pruned, PruneRequest, prune
from tests.support.records import ENDED, add_run, record_of
from tests.support.repo import Repo

DAY = 86400.0


@pytest.fixture
def checkout(repo: Repo) -> Repo:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    return repo


def pruned(checkout: Repo, **request: object) -> Pruned:
    git = Git(str(checkout.path), environment=checkout.env)
    runs, layout = runs_here(git)
    return prune(runs, Store(layout), git, PruneRequest(**request), now=time.time())  # type: ignore[arg-type]


def files(checkout: Repo) -> set[str]:
    root = checkout.git_dir() / "coderepo"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "index" not in path.name}


def age(checkout: Repo, seconds: float = 2 * 3600) -> None:
    """All that lies in the record becomes so old."""
    then = time.time() - seconds
    for path in (checkout.git_dir() / "coderepo").rglob("*"):
        os.utime(path, (then, then))


def has(checkout: Repo, tree: str) -> bool:
    git = Git(str(checkout.path), environment=checkout.env)
    _, layout = runs_here(git)
    return Store(layout).git(git).start("rev-list", "--objects", tree).finish().status == 0


def test_only_old_runs_go_and_only_beyond_the_newest(checkout: Repo) -> None:
    now = time.time()
    ids = [add_run(checkout, now=now - days * DAY, result=ENDED).id for days in (100, 90, 10, 2)]
    runs = record_of(checkout)
    assert pruned(checkout).runs == ()
    assert pruned(checkout, older_than=30 * DAY, keep=3, dry_run=True).runs == (ids[0],)
    assert len(list(newest(runs))) == 4
    assert pruned(checkout, older_than=30 * DAY).runs == (ids[1], ids[0])
    assert list(newest(runs)) == [ids[3], ids[2]] and not os.path.exists(runs.result_path_of(ids[0]))
    assert pruned(checkout, keep=1).runs == (ids[2],)
    assert list(newest(runs)) == [ids[3]]


def test_nothing_young_goes_and_nothing_that_still_runs(checkout: Repo) -> None:
    now = time.time()
    young = add_run(checkout, now=now - 600).id
    running = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "startedOn": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    days = add_run(checkout, now=now - 2 * DAY, result=running).id
    elsewhere = add_run(checkout, now=now - 3 * DAY, result={}).id
    lost = add_run(checkout, now=now - 40 * DAY, result={}).id
    assert pruned(checkout, keep=0).runs == (lost,)
    assert list(newest(record_of(checkout))) == [young, days, elsewhere]


def test_overlays_and_objects_go_with_the_last_run_that_needs_them(checkout: Repo) -> None:
    now = time.time()
    checkout.git("config", "coderepo.inlineLimit", "0")
    checkout.write("train.py", "lr = 0.2\n")
    old = add_run(checkout, now=now - 50 * DAY).document["code"]["snapshot"]["tree"]  # type: ignore[index]
    add_run(checkout, now=now - 49 * DAY)
    checkout.write("train.py", "lr = 0.3\n")
    kept = add_run(checkout, now=now - DAY).document["code"]["snapshot"]["tree"]  # type: ignore[index]
    assert pruned(checkout, older_than=49.5 * DAY).overlays == 0  # the second run has the same one
    before = files(checkout)
    assert pruned(checkout, older_than=30 * DAY, dry_run=True).overlays == 0  # all of it is young
    age(checkout)
    would = pruned(checkout, older_than=30 * DAY, dry_run=True)
    assert files(checkout) == before and len(would.runs) == 1
    done = pruned(checkout, older_than=30 * DAY)
    assert (done.overlays, done.objects, done.size > 0) == (would.overlays, would.objects, True) == (1, 2, True)
    assert has(checkout, kept) and not has(checkout, old)
    assert pruned(checkout).objects == 0


@pytest.mark.slow
def test_many_objects_become_one_pack_and_useless_ones_leave_it(
    checkout: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MANY", 10)
    now = time.time()
    trees = []
    for number in range(8):
        checkout.write("train.py", f"lr = {number}\n")
        record = add_run(checkout, now=now - (100 - number) * DAY)
        trees.append(record.document["code"]["snapshot"]["tree"])  # type: ignore[index]
    age(checkout)
    assert pruned(checkout).objects == 0
    packs = list((checkout.git_dir() / "coderepo" / "objects" / "pack").glob("*.pack"))
    loose = [name for name in files(checkout) if name.startswith("objects/") and len(Path(name).parent.name) == 2]
    assert len(packs) == 1 and not loose and all(has(checkout, tree) for tree in trees)
    age(checkout)
    done = pruned(checkout, keep=2)
    assert len(done.runs) == 6 and done.objects == 12
    assert [has(checkout, tree) for tree in trees] == [False] * 6 + [True] * 2
    assert len(list((checkout.git_dir() / "coderepo" / "objects" / "pack").glob("*.pack"))) == 1


def test_a_manifest_that_cannot_be_read_keeps_what_it_may_need(checkout: Repo) -> None:
    checkout.write("train.py", "lr = 0.2\n")
    tree = add_run(checkout, now=time.time() - DAY).document["code"]["snapshot"]["tree"]  # type: ignore[index]
    damaged = record_of(checkout).path_of(next(newest(record_of(checkout))))
    with open(damaged, "wb") as file:
        file.write(b"{")
    age(checkout)
    done = pruned(checkout)
    assert done.unreadable == (damaged,) and done.objects == 0 and has(checkout, tree)


def test_what_a_killed_writer_left_goes(checkout: Repo) -> None:
    add_run(checkout)
    folder = Path(os.fsdecode(record_of(checkout).path_of(next(newest(record_of(checkout)))))).parent
    for name in ("x.json.12.ab.tmp", "019ab1c2-7f00-7abc-8def-0123456789ab.result.json"):
        (folder / name).write_bytes(b"{")
    young = files(checkout)
    pruned(checkout)
    assert files(checkout) == young
    age(checkout)
    pruned(checkout)
    assert not (folder / "x.json.12.ab.tmp").exists() and len(list(newest(record_of(checkout)))) == 1


def test_the_users_own_objects_are_not_touched(checkout: Repo) -> None:
    checkout.write("staged.txt", "only staged\n")
    checkout.git("add", "staged.txt")
    add_run(checkout, now=time.time() - DAY)
    objects = {path: path.stat().st_ino for path in (checkout.git_dir() / "objects").rglob("*")}
    age(checkout)
    pruned(checkout, keep=0)
    assert {path: path.stat().st_ino for path in (checkout.git_dir() / "objects").rglob("*")} == objects


def test_an_age_that_is_none_is_refused() -> None:
    assert [required_age(text) for text in ("90m", "12h", "7d", "2 weeks", "1.day.ago")] == [
        5400, 43200, 604800, 1209600, 86400,
    ]  # fmt: skip
    for text in ("", "7", "yesterday", "-1d", "1 fortnight", "1d2h"):
        with pytest.raises(UsageError):
            required_age(text)
