"""What `--since` accepts: ages and dates, and nothing that git would silently call "now"."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from git_coderepo.errors import UsageError
from git_coderepo.git.dates import past_moment
from git_coderepo.git.process import Git
from tests.support.repo import Repo

NOW = time.time()


@pytest.fixture
def git(repo: Repo) -> Iterator[Git]:
    """git, and this process, in the zone of Paris."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Paris"
    time.tzset()
    yield Git(str(repo.path), environment={**repo.env, "TZ": "Europe/Paris"})
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_ages_count_from_now(git: Git) -> None:
    for text, seconds in (("90m", 5400), ("7d", 604800), ("2 weeks ago", 1209600), ("1.day.ago", 86400), ("now", 0)):
        assert past_moment(text, git, now=NOW) == NOW - seconds
    for text, low, high in (("yesterday", 0, 2), ("3 months ago", 88, 93), ("1 year 2 months ago", 420, 428),
                            ("last friday", 0, 8), ("noon", 0, 2)):  # fmt: skip
        assert low * 86400 <= NOW - past_moment(text, git, now=time.time()) <= high * 86400, text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23", 1795388400),  # midnight in Paris
        ("2026.11.23", 1795388400),
        ("11/23/2026", 1795388400),
        ("23.11.2026", 1795388400),
        ("2026-11-23 14:30", 1795440600),
        ("2026-11-23T14:30:05", 1795440605),
        ("2026-11-23T14:30:05.25Z", 1795444205),
        ("2026-11-23 14:30:05 +0000", 1795444205),
        ("2026-11-23T14:30:05-01:30", 1795449605),
        ("@1795444205", 1795444205),
        ("Mon, 23 Nov 2026 14:30:05 +0000", 1795444205),
        ("Mon Nov 23 14:30:05 2026 +0000", 1795444205),
    ],
)
def test_dates_are_those_that_git_documents(git: Git, text: str, seconds: int) -> None:
    assert past_moment(text, git, now=1_800_000_000) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "soon", "7", "-7d", "2026-13-45", "2026-02-30", "2026-11-23x", "2026-11-23 25:00", "@", "@-5", "friday",
     "2026-11-23 14:30 +9999", "ago", "two weeks ago", "-x", "caf\udce9", "a\nb"],
)  # fmt: skip
def test_any_other_text_is_refused(git: Git, text: str) -> None:
    with pytest.raises(UsageError, match="invalid date"):
        past_moment(text, git, now=NOW)


def test_the_future_is_refused(git: Git) -> None:
    for text in ("2999-01-01", f"@{int(NOW) + 60}"):
        with pytest.raises(UsageError, match="is in the future"):
            past_moment(text, git, now=NOW)
