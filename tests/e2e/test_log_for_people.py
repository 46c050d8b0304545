"""`git coderepo log` as `git log` behaves: a pager, colours, short forms, and words where there is nothing to list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, lines, world
from tests.support.program import Result
from tests.support.records import ENDED, add_run
from tests.support.terminal import on_terminal


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "file") as made:
        yield made


def log(place: World, *words: str, check: bool = True) -> Result:
    return place.user.run("log", *words, cwd=place.checkout.path, check=check)


def test_the_first_look_says_what_to_do(place: World) -> None:
    empty = log(place)
    assert empty.text == "" and "no runs yet\n" in empty.errors
    assert lines(empty, "hint") == ["git coderepo run -- COMMAND"]
    assert log(place, "--json").json() == [] and log(place, "-0").errors == ""
    assert "no published runs yet" in log(place, "--remote").errors
    add_run(place.checkout)
    assert log(place, "--since", "yesterday").errors == ""
    assert log(place, "--name", "x").errors == "no run matches\n"
    refused = log(place, "--since", "soonish", check=False)
    assert refused.status == 129 and "invalid date 'soonish'" in refused.errors


def test_short_forms_and_formats(place: World) -> None:
    first = add_run(place.checkout, name="one", now=1_795_000_000, result=ENDED).id
    place.checkout.write("train.py", "lr = 0.2\n")
    second = add_run(place.checkout, name="two\u00a0%id", now=1_795_000_060).id
    assert "2026-11-18 11:06:40 +0000" in log(place).text
    assert log(place, "-1", "--format", "%id").text == f"{second}\n"
    assert log(place, "-n1", "--format=%short|%name|%dirty|%%id %(state)s").text == (
        f"{second[:13]}|two\\xa0%id|+|%id recordeds\n"
    )
    assert log(place, "--oneline").text.splitlines() == [
        f"{second[:13]} recorded two\\xa0%id: python train.py",
        f"{first[:13]} ok one: python train.py",
    ]
    assert log(place, "--format", "%utc %date %status").text.splitlines()[1] == (
        "2026-11-18T11:06:40Z 2026-11-18 11:06:40 +0000 0"
    )
    assert log(place, "--name", "-1").errors == "no run matches\n"  # the value of an option
    for words in (
        ["--oneline", "--json"],
        ["--group", "--format", "%id"],
        ["--format", "%nonsense"],
        ["--format", "%"],
    ):
        assert log(place, *words, check=False).status == 129, words


@pytest.mark.slow
def test_the_pager_is_gits(place: World) -> None:
    add_run(place.checkout)
    program, cwd = place.user.program, place.checkout.path
    env = {"GIT_PAGER": "sed 's/^/paged: /'"}
    status, shown = on_terminal(program, "log", cwd=cwd, env=env)
    assert status == 0 and re.match(r"paged: \x1b\[33m[0-9a-f]{8}-[0-9a-f]{4}\x1b\[m 2", shown), shown
    assert "paged" not in on_terminal(program, "log", "--no-pager", cwd=cwd, env=env)[1]
    assert "paged" not in on_terminal(program, "log", "--name", "x", cwd=cwd, env=env)[1]
    # A pager that is not there, and a reader who leaves at once.
    assert "recorded" in on_terminal(program, "log", cwd=cwd, env={"GIT_PAGER": "no-such-pager"})[1]
    assert on_terminal(program, "log", cwd=cwd, env={"GIT_PAGER": "exit 3;"}) == (0, "")


def test_status_answers_first_and_explains_then(place: World) -> None:
    def status(*words: str) -> list[str]:
        return place.user.run("status", *words, cwd=place.checkout.path).text.splitlines()

    assert status() == [
        "reproducible  yes, on this machine only: the remote is a path",
        f"base          origin/main ({place.base[:7]})",
        "travels       nothing",
    ]
    place.checkout.write("model.py", "layers = 3\n")
    place.checkout.commit("not pushed")
    place.checkout.write("train.py", "lr = 0.2\n")
    place.checkout.write("new", "untracked\n")
    answer, base, travels = status()
    assert answer.startswith("reproducible  yes")
    assert base == f"base          origin/main ({place.base[:7]}), 1 unpushed commit"
    assert travels.startswith("travels       3 files, ")
    assert travels.endswith(" (1 unpushed commit, 1 unstaged, 1 untracked)")
    details = "\n".join(status("-v"))
    assert "known by remote-tracking" in details and place.checkout.tree() in details
    _, shown = on_terminal(place.user.program, "status", cwd=place.checkout.path)
    assert shown.startswith("\x1b[1mreproducible\x1b[m  \x1b[33myes\x1b[m, on this machine only")


@pytest.mark.slow
def test_each_success_says_how_to_get_it_back(place: World) -> None:
    def said(*words: str) -> str:
        done = place.user.run(*words, cwd=place.checkout.path)
        return done.text + done.errors

    assert said("register").endswith("to record a run: git coderepo run -- COMMAND\n")
    said("run", "--", "true")
    published = said("publish")
    command = published.strip().rpartition("git coderepo ")[2].replace("DIR", "../code")
    said(*command.split())
    assert place.user.tree("code") == place.checkout.tree()
    for words in (
        ("publish",),
        ("publish", "--delete"),
        ("run", "--", "true"),
        ("register",),
        ("snapshot", "-o", "../r"),
    ):
        assert said(words[0], "-q", *words[1:]) == "", words
