"""Which run a word names, and what the index answers: the files are the truth, whatever becomes of the index."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from git_coderepo.errors import UnknownRun
from git_coderepo.git.process import Git
from git_coderepo.runs.find import named_run
from git_coderepo.runs.history import abbreviated, id_of_run, ids_since, load_run, newest, select
from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.result import Result
from git_coderepo.runs.search_index import Filter, path_of_index
from git_coderepo.snapshots.manifest_document import uuid7
from tests.support.records import ENDED, add_run, record_of, unfinished
from tests.support.repo import Repo


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


@pytest.fixture
def checkout(repo: Repo) -> Repo:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    return repo


@pytest.fixture
def three(checkout: Repo) -> tuple[Runs, list[str]]:
    """Three runs of two months, oldest first: the second one dirty, the first and the last of one name."""
    ids = [add_run(checkout, name="train", now=at("2026-10-31T23:59:59"), result=ENDED).id]
    checkout.write("new.txt", "draft\n")
    ids.append(add_run(checkout, name="test", now=at("2026-11-01T00:00:00")).id)
    checkout.remove("new.txt")
    ids.append(add_run(checkout, name="train", now=at("2026-11-23T12:00:00"), result={}).id)
    return record_of(checkout), ids


# --- which run a word names ---


def test_the_nth_last_a_name_and_the_beginning_of_an_id(three: tuple[Runs, list[str]]) -> None:
    runs, (first, second, third) = three
    assert [id_of_run(runs, word) for word in ("@{-1}", "@{-2}", "@{-3}")] == [third, second, first]
    assert (id_of_run(runs, "train"), id_of_run(runs, "test")) == (third, second)
    for id in (first, second, third):
        assert id_of_run(runs, id) == id_of_run(runs, id[:13]) == id_of_run(runs, id[:12]) == id
        assert id_of_run(runs, id.replace("-", "")[:14]) == id


def test_a_beginning_that_several_ids_have_names_them(three: tuple[Runs, list[str]]) -> None:
    runs, (first, second, _) = three
    alike = first[:10]  # within one second, in two months
    assert second.startswith(alike)
    with pytest.raises(UnknownRun, match="ambiguous: 2 runs begin with it") as error:
        id_of_run(runs, alike)
    assert any(second in hint for hint in error.value.hints) and any(first in hint for hint in error.value.hints)


@pytest.mark.parametrize("word", ["@{-4}", "nothing", "ffff", "abc", "tr*", "@{-0}", "019"])
def test_what_names_no_run_is_said(three: tuple[Runs, list[str]], word: str) -> None:
    with pytest.raises(UnknownRun, match="unknown run"):
        id_of_run(three[0], word)


def test_a_name_that_reads_like_a_pattern_or_an_id_is_a_name(checkout: Repo) -> None:
    ids = {name: add_run(checkout, name=name).id for name in ("a*b", "[x]", "beef", "what?", "dead-beef")}
    runs = record_of(checkout)
    assert {name: id_of_run(runs, name) for name in ids} == ids


def test_a_file_that_is_there_is_a_file(
    three: tuple[Runs, list[str]], checkout: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, (first, _, third) = three
    monkeypatch.chdir(tmp_path)
    git = Git(str(checkout.path), environment=checkout.env)
    assert named_run("train", git).manifest.run.id == third
    (tmp_path / "train").mkdir()  # a folder is no manifest
    assert named_run("train", git).manifest.run.id == third
    (tmp_path / "train").rmdir()
    shutil.copyfile(runs.path_of(first), tmp_path / "train")
    assert named_run("train", git).manifest.run.id == first


def test_an_empty_record_has_no_last_run(checkout: Repo) -> None:
    runs = record_of(checkout)
    assert list(newest(runs)) == [] and select(runs, Filter(dirty=True)) == []
    with pytest.raises(UnknownRun):
        id_of_run(runs, "@{-1}")
    assert not os.path.exists(runs.directory)


def test_ids_are_as_short_as_they_can_stand_beside_each_other() -> None:
    alike = ["01a2082a-0d1d-76a7-a7fd-7a12728776fb", "01a2082a-0d1d-76b0-8000-000000000000", uuid7(0)]
    short = abbreviated(alike)
    assert short[alike[0]] == "01a2082a-0d1d-76a" and short[alike[2]] == alike[2][:13]
    assert all(sum(id.startswith(each) for id in alike) == 1 for each in short.values())


# --- what the index answers ---


def test_each_question_is_answered_from_what_was_written(three: tuple[Runs, list[str]], checkout: Repo) -> None:
    runs, (first, second, third) = three
    commit, tree = checkout.head(), checkout.line("rev-parse", "HEAD^{tree}")
    assert select(runs, Filter()) == list(newest(runs)) == [third, second, first]
    assert select(runs, Filter(commit=commit)) == select(runs, Filter(commit=commit[:7])) == [third, second, first]
    assert select(runs, Filter(tree=tree)) == [third, first]
    assert select(runs, Filter(dirty=True)) == [second]
    assert select(runs, Filter(name="t*", dirty=True)) == [second]
    assert select(runs, Filter(name="train"), limit=1) == [third]
    november = at("2026-11-01T00:00:00")
    assert select(runs, Filter(since=november)) == list(ids_since(runs, november)) == [third, second]


def test_what_is_written_after_the_index_was_made_is_found(three: tuple[Runs, list[str]], checkout: Repo) -> None:
    runs, ids = three
    assert len(select(runs, Filter(name="*"))) == 3
    late = add_run(checkout, name="late", now=at("2026-10-01T00:00:00")).id  # its clock was wrong
    newer = add_run(checkout, name="newer").id
    assert select(runs, Filter(name="late")) == [late] and select(runs, Filter(name="newer")) == [newer]
    os.unlink(runs.path_of(ids[2]))
    assert select(runs, Filter(name="train")) == [ids[0]] and id_of_run(runs, "train") == ids[0]


def test_a_run_that_ends_later_is_found_by_what_it_produced(checkout: Repo) -> None:
    record = add_run(checkout, result={})
    runs = record_of(checkout)
    digest = sha256(b"model").hexdigest()
    assert select(runs, Filter(produced=digest)) == []
    output = {"path": "out/model", "sha256": digest, "size": 5}
    ended = unfinished(record.id) | ENDED | {"outputs": [output]}
    temporary = runs.result_path_of(record.id) + b".tmp"
    Path(os.fsdecode(temporary)).write_text(str(ended).replace("'", '"').replace("None", "null"), encoding="utf-8")
    os.rename(temporary, runs.result_path_of(record.id))
    assert select(runs, Filter(produced=digest)) == [record.id]
    assert load_run(runs, record.id).state == "ok"


@pytest.mark.parametrize("damage", [b"", b"no database at all, but quite long" * 100, None])
def test_a_damaged_index_is_built_anew(three: tuple[Runs, list[str]], damage: bytes | None) -> None:
    runs, ids = three
    select(runs, Filter(dirty=True))
    with open(path_of_index(runs), "r+b") as file:
        if damage is None:
            file.seek(4096)
            file.write(os.urandom(12000))
        else:
            file.truncate()
            file.write(damage)
    assert select(runs, Filter(name="train")) == [ids[2], ids[0]]
    assert list(newest(runs)) == ids[::-1]


def test_where_the_index_cannot_be_written_the_files_are_read(three: tuple[Runs, list[str]]) -> None:
    runs, ids = three
    os.mkdir(path_of_index(runs))  # stands in for a folder without permission, which root would not mind
    assert select(runs, Filter(name="train")) == [ids[2], ids[0]]
    assert id_of_run(runs, "test") == ids[1] and id_of_run(runs, "@{-1}") == ids[2]


def test_a_damaged_manifest_hides_no_other_run(three: tuple[Runs, list[str]]) -> None:
    runs, ids = three
    with open(runs.path_of(ids[1]), "wb") as file:
        file.write(b'{"run": ')
    assert select(runs, Filter(name="train")) == [ids[2], ids[0]] and select(runs, Filter(name="test")) == []


def test_files_of_others_in_the_record_are_left_alone(three: tuple[Runs, list[str]]) -> None:
    runs, ids = three
    folder = os.path.dirname(runs.path_of(ids[0]))
    shutil.copy(runs.path_of(ids[0]), folder + b"/notes.json")
    shutil.copy(runs.path_of(ids[0]), folder + b"/" + ids[2].encode() + b".json")  # not of this month
    os.makedirs(runs.directory + b"/attic")
    assert list(newest(runs)) == ids[::-1] and len(select(runs, Filter())) == 3


# --- how a run ended ---


def result(**fields: object) -> Result:
    import json

    found = Result.parse(json.dumps({**unfinished(uuid7(0)), **fields}).encode())
    assert found is not None
    return found


def test_a_run_whose_process_is_gone_was_killed() -> None:
    host = socket.gethostname()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    running = result(pid=process.pid, host=host, startedOn=now)
    assert running.state == "running"
    # A process that was born after the run began is another one with its number.
    if sys.platform == "linux":
        assert result(pid=process.pid, host=host, startedOn="2020-01-01T00:00:00Z").state == "killed"
    process.communicate()
    assert running.state == "killed"
    assert result(pid=process.pid, host="elsewhere").state == "unfinished"


def test_an_ended_run_says_how() -> None:
    assert result(**ENDED).state == "ok" and result(**ENDED).seconds == 5
    assert result(**{**ENDED, "status": 3}).state == "exit 3"
    assert result(**{**ENDED, "status": 143, "signal": "SIGTERM"}).state == "SIGTERM"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"startedOn": 1}', b"\xff", b"null"])
def test_a_damaged_result_is_none(data: bytes) -> None:
    assert Result.parse(data) is None
