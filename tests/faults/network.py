"""What goes wrong between the runner and the platform, and what the platform itself says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.faults.case import PLATFORMS, Fault, Stage, Wrong
from tests.forge import (
    BrokenGzip,
    Cut,
    Hangup,
    Html,
    LimitReset,
    Misbehaviour,
    Redirect,
    Reset,
    RetryAfter,
    Stall,
    Status,
    Typed,
    closed_port,
)

HOSTED = ("github", "gitlab")
# What a server that has fallen silent is given, in seconds: for git and for ourselves.
IMPATIENT = {"GIT_HTTP_LOW_SPEED_TIME": "2"}


def _refused(on: Stage) -> Wrong:
    """Nobody listens there."""
    gone = closed_port()
    text = (on.home / "run.json").read_text().replace(str(on.place.forge.port), str(gone))
    (on.home / "gone.json").write_text(text)

    def afterwards(left: list[str]) -> list[str]:
        (on.home / "gone.json").unlink()
        return [path for path in left if path != "gone.json"]

    bound = {"CODEREPO_TOKEN_ORIGIN": f"https://127.0.0.1:{gone}"}
    return Wrong(env=bound, manifest="gone.json", afterwards=afterwards)


def _stalled(times: int | None) -> Callable[[Stage], Wrong]:
    def make(on: Stage) -> Wrong:
        on.code(Stall(after=100), times=times)
        return Wrong(env=dict(IMPATIENT))

    return make


def _cut_gzip(times: int | None) -> Callable[[Stage], Wrong]:
    """A gzip that ends early; to git, a pack that does."""

    def make(on: Stage) -> Wrong:
        on.place.forge.misbehave("archive", BrokenGzip(), times=times)
        on.place.forge.misbehave("git/upload-pack", Cut(after=50, framing="terminated"), times=times)
        return Wrong()

    return make


def _five_a_minute(on: Stage) -> Wrong:
    """One archive a minute here, and somebody has had it."""
    on.place.forge.archive_limit = 1
    on.place.runner.run("fetch", "run.json", "code")
    (on.home / "code").rename(on.home / "somebody's")
    return Wrong(afterwards=lambda left: [path for path in left if not path.startswith("somebody's")])


def _secondary(on: Stage) -> Wrong:
    body = b'{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
    on.place.forge.misbehave("link", Status(403, body), times=None)
    return Wrong()


def _everywhere(misbehaviour: Misbehaviour, times: int | None = None, **env: str) -> Callable[[Stage], Wrong]:
    def make(on: Stage) -> Wrong:
        on.everywhere(misbehaviour, times=times)
        return Wrong(env=dict(env))

    return make


def _code(misbehaviour: Misbehaviour, times: int | None = None) -> Callable[[Stage], Wrong]:
    return lambda on: on.code(misbehaviour, times=times)


def _reset_time(times: int | None, clock: int = 0) -> Callable[[Stage], Wrong]:
    """As each platform names it; GitLab answers 429, GitHub 403."""

    def make(on: Stage) -> Wrong:
        if on.platform == "gitlab":
            return on.everywhere(LimitReset(1, status=429, clock=clock, prefix="ratelimit"), times=times)
        return on.everywhere(LimitReset(1, clock=clock), times=times)

    return make


def _both(
    group: str, name: str, make: Callable[[int | None], Callable[[Stage], Wrong]], slow: bool = False
) -> Iterator[Fault]:
    """Once, and each time."""
    yield Fault(group, f"{name}, once", make(1), slow=slow)
    yield Fault(group, f"{name}, each time", make(None), slow=True)


def faults() -> Iterator[Fault]:
    group = "The connection"
    yield Fault(group, "connection refused", _refused)
    yield from _both(group, "reset before an answer", lambda times: _everywhere(Hangup(), times))
    yield from _both(group, "reset in the middle", lambda times: _code(Reset(after=100), times))
    yield from _both(group, "cut off in the middle", lambda times: _code(Cut(after=100), times))
    yield from _both(group, "stalled in the middle", _stalled, slow=True)

    group = "What arrives"
    yield from _both(group, "a truncated gzip, or pack", _cut_gzip)
    yield Fault(group, "the code with a wrong content type", _code(Typed("text/plain")))
    yield Fault(group, "HTML with status 200", _everywhere(Html()))
    yield Fault(group, "HTML with status 200 in place of the code", _code(Html()))

    group = "Redirects"
    yield Fault(group, "to another host, that asks for a credential", lambda on: on.at_home(Redirect("evil")))
    yield Fault(group, "to http", lambda on: on.at_home(Redirect("http")))
    yield Fault(group, "in a loop", _everywhere(Redirect("loop")))

    group = "Refusals"
    asks = (("WWW-Authenticate", 'Basic realm="code"'),)
    yield Fault(group, "401", _everywhere(Status(401, b'{"message": "401 Unauthorized"}', asks)))
    for status in (403, 404, 406, 409, 422):
        yield Fault(group, str(status), _everywhere(Status(status, b'{"message": "no"}')), slow=status > 406)
    for status in (500, 502, 503):
        yield from _both(group, str(status), partial(_everywhere, Status(status)), slow=status > 500)

    group = "Limits"
    yield Fault(group, "429, Retry-After in seconds", _everywhere(RetryAfter(1), 1))
    yield Fault(group, "429, Retry-After as a date", _everywhere(RetryAfter(1, as_date=True), 1), HOSTED)
    yield Fault(group, "429 or 403, a reset time", _reset_time(1), HOSTED)
    yield Fault(group, "403, Retry-After in seconds", _everywhere(RetryAfter(1, status=403), 1), HOSTED)
    yield Fault(group, "503, Retry-After in seconds", _everywhere(RetryAfter(1, status=503), 3), HOSTED, slow=True)
    yield Fault(group, "429, longer than coderepo.maxWait", _everywhere(RetryAfter(600), CODEREPO_MAX_WAIT="2"))
    yield Fault(group, "429, never ending", _everywhere(RetryAfter(1), CODEREPO_MAX_WAIT="3"), slow=True)
    yield Fault(group, "GitLab's five archives a minute", _five_a_minute, ("gitlab",))
    yield Fault(group, "GitHub's secondary limit, that names no time", _secondary, ("github",))

    group = "The clock"
    for hours, word in ((-1, "ahead of"), (1, "behind")):
        late = _everywhere(RetryAfter(1, as_date=True, clock=3600 * hours), 1)
        yield Fault(group, f"an hour {word} the platform's: Retry-After as a date", late, HOSTED)
        yield Fault(
            group, f"an hour {word} the platform's: a reset time", _reset_time(1, 3600 * hours), HOSTED, slow=True
        )


assert set(HOSTED) < set(PLATFORMS)
