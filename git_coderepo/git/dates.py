"""Parse ages and dates that users write, such as `7d`, `2 weeks ago` or `2026-11-23 14:30`.

git answers "now" for any text that it does not understand, so it is asked only for forms that it documents (see
git-commit(1), "Date formats").
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git

_AGE = re.compile(r"([0-9]{1,6})[ .]?(s|m|h|d|w|y|(?:second|minute|hour|day|week|year)s?)(?:[ .]ago)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}

_EPOCH = re.compile(r"@([0-9]{1,11})(?:[ ][+-][0-9]{4})?")
_DATES = (
    re.compile(r"(?P<year>[0-9]{4})[-.](?P<month>[0-9]{1,2})[-.](?P<day>[0-9]{1,2})"),
    re.compile(r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4})"),
    re.compile(r"(?P<day>[0-9]{1,2})\.(?P<month>[0-9]{1,2})\.(?P<year>[0-9]{4})"),
)
_TIME = re.compile(
    r"(?:[t ]+(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.[0-9]+)?)?"
    r"(?: ?(?P<zone>z|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_UNIT = "second|minute|hour|day|week|fortnight|month|year"
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_CLOCK = "[0-9]{1,2}:[0-9]{2}:[0-9]{2}"
_FOR_GIT = re.compile(
    "|".join((
        "yesterday|noon|midnight|last[ .](?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|week|month|year)",
        rf"(?:[0-9]{{1,6}}[ .](?:{_UNIT})s?[ .])+ago",
        # RFC 2822, and the date of `git log`.
        rf"(?:[a-z]{{3}}, )?[0-9]{{1,2}} {_MONTH} [0-9]{{4}} {_CLOCK}(?: [+-][0-9]{{4}})?",
        rf"(?:[a-z]{{3}} )?{_MONTH} [0-9]{{1,2}} {_CLOCK} [0-9]{{4}}(?: [+-][0-9]{{4}})?",
    ))
)  # fmt: skip


def age_in_seconds(text: str) -> float | None:
    """Parse an age such as `90m`, `12h`, `7d`, `2w`, `1y` or `7 days`; return None for any other text."""
    age = _AGE.fullmatch(text.strip().lower())
    return None if age is None else float(int(age[1]) * _UNITS[age[2][0]])


def required_age(text: str) -> float:
    """Parse an age; raises UsageError for any other text, since a guess would remove the wrong runs."""
    age = age_in_seconds(text)
    if age is None:
        raise UsageError(f"invalid age '{text}'", hints=["write a number and a unit, such as 12h, 7d, 2w or 1y"])
    return age


def past_moment(text: str, git: Git, *, now: float) -> float:
    """Parse an age or a date; return seconds since 1970. A date without a time is the beginning of that day here.

    Raises UsageError for any other text, and for a date in the future.
    """
    words = " ".join(text.lower().split())
    moment = _moment(words, git, now)
    if moment is None or moment < 0:
        raise UsageError(
            f"invalid date '{text}'",
            hints=[
                "write an age such as 7d or '2 weeks ago', yesterday, or a date such as 2026-11-23 or 2026-11-23T14:30"
            ],
        )
    if moment > now:
        raise UsageError(f"the date '{text}' is in the future")
    return moment


def _moment(words: str, git: Git, now: float) -> float | None:
    age = age_in_seconds(words)
    if age is not None:
        return now - age
    epoch = _EPOCH.fullmatch(words)
    if epoch is not None:
        return float(epoch[1])
    if words in ("now", "today"):
        midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
        return now if words == "now" else midnight.timestamp()
    for each in _DATES:
        date = each.match(words)
        if date is not None:
            return _at(date, words[date.end() :])
    if _FOR_GIT.fullmatch(words):
        return float(git.line("rev-parse", f"--since={words}").removeprefix("--max-age="))
    return None


def _at(date: re.Match[str], rest: str) -> float | None:
    """Return the seconds since 1970 of a day and a time of day, or None if they do not exist."""
    time = _TIME.fullmatch(rest)
    if time is None:
        return None
    try:
        year, month, day = (int(date[each]) for each in ("year", "month", "day"))
        hour, minute, second = (int(time[each] or 0) for each in ("hour", "minute", "second"))
        local = datetime(year, month, day, hour, minute, second)
        return local.replace(tzinfo=_zone(time["zone"])).timestamp()
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone | None:
    """Return the time zone of `z`, `+0100` or `+01:00`; None, which means local time, for None."""
    if text is None:
        return None
    if text == "z":
        return timezone.utc
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
