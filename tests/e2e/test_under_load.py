"""A platform that is asked by a thousand runners at once: who waits, for how long, and who goes another way."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.transport.retry import pause, spread
from tests.e2e.support import World, lines, load, refused, world
from tests.forge import Hangup, RetryAfter


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("load"), "gitlab") as made:
        made.checkout.git("config", "--global", f"coderepo.{made.forge.url}/.type", "gitlab")
        made.manifest()
        yield made


@pytest.fixture
def place(hosted: World, tmp_path: Path) -> Iterator[World]:
    yield hosted
    hosted.forge.behave()
    hosted.forge.forget_requests()
    hosted.forge.archive_limit = None
    if (hosted.runner.home / "code").exists():
        (hosted.runner.home / "code").rename(tmp_path / "what came")


def test_a_limit_on_archives_leads_to_git_at_once_and_says_so(place: World) -> None:
    place.forge.misbehave("archive", RetryAfter(50), times=None)
    said = place.runner.run("fetch", "--receipt", "receipt.json", "run.json", "code")
    receipt = load(place.runner.home / "receipt.json")
    assert (receipt["method"], receipt["fallbacks"][0]["method"]) == ("git", "archive")
    assert "asks to come back in 50 seconds; trying git first" in lines(said, "warning")[0]
    assert len(place.forge.requests("archive")) == 1
    assert place.runner.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_who_insists_on_the_archive_waits_for_it(place: World) -> None:
    place.forge.misbehave("archive", RetryAfter(1))
    said = place.runner.run("fetch", "--method", "archive", "run.json", "code")
    assert "asks to wait 1 second" in said.errors
    assert len(place.forge.requests("archive")) == 2


@pytest.mark.slow
def test_where_git_does_not_work_the_archive_is_waited_for(place: World) -> None:
    place.forge.misbehave("archive", RetryAfter(1))
    place.forge.misbehave("git/refs", Hangup(), times=None)
    said = place.runner.run("fetch", "--receipt", "receipt.json", "run.json", "code")
    receipt = load(place.runner.home / "receipt.json")
    assert receipt["method"] == "archive"
    assert [each["method"] for each in receipt["fallbacks"]] == ["archive", "git"]
    assert "by archive" in said.text


@pytest.mark.slow
def test_where_there_is_no_git_the_archive_is_waited_for(place: World, tmp_path: Path) -> None:
    place.forge.misbehave("archive", RetryAfter(1))
    program = place.runner.program.executable()
    env = {**place.runner.env, "PATH": str(tmp_path)}
    done = subprocess.run(
        [program, "fetch", "run.json", "code"], cwd=place.runner.home, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "by archive" in done.stdout
    assert place.runner.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_a_limit_that_never_ends_is_given_up_and_the_setting_named(place: World) -> None:
    place.forge.misbehave("*", RetryAfter(1), times=None)
    asked = ("fetch", "--quiet", "run.json", "code")
    env = {"CODEREPO_MAX_WAIT": "2"}
    refused(place.runner, *asked, env=env, status=128, says="limits requests", hint="coderepo.maxWait")
    assert len(place.forge.requests()) < 12, "it is left alone meanwhile"


def test_a_thousand_runners_do_not_come_back_at_the_same_moment_and_none_too_early() -> None:
    for asked in (0.2, 1, 60):
        moments = {spread(asked) for _ in range(1000)}
        assert min(moments) >= asked and max(moments) <= asked + 5 and len(moments) > 900
    for failures in (1, 2, 3):
        pauses = {pause(failures) for _ in range(1000)}
        assert len(pauses) > 900 and 0 < min(pauses) <= max(pauses) < 2
