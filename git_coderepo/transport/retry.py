"""How long to wait before a request is repeated, after a rate limit and after a failure.

The time is spread, so that a thousand runners do not come back at the same moment.
"""

from __future__ import annotations

from git_coderepo.errors import RateLimited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.transport.http import Response

# Attempts after a broken connection or a failure of the server.
TRIES = 3
_LEAST = 0.2  # seconds; doubled with each time that a platform asks to wait


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures: about 0.4, 0.8, 1.5, with jitter."""
    import random

    return random.uniform(0.25, 0.5) * (1 << max(failures - 1, 0))  # noqa: S311


def spread(delay: float) -> float:
    """Return the seconds to wait if a platform asked for `delay`: a little more, never less."""
    import random

    return delay + random.uniform(0, min(delay / 8, 5))  # noqa: S311


def shown_seconds(seconds: float) -> str:
    """Return `1 second` or `60 seconds`."""
    whole = max(round(seconds), 1)
    return "1 second" if whole == 1 else f"{whole} seconds"


def max_wait_hints(seconds: float) -> tuple[str, str]:
    """Return the commands that set the maximum wait to `seconds`."""
    whole = -int(-seconds // 1)
    return f"git config coderepo.maxWait {whole}", f"outside a checkout: export CODEREPO_MAX_WAIT={whole}"


def limited(response: Response, delay: float, waited: float, log_in: str) -> RateLimited:
    """Return the error for a limit of `delay` more seconds, after `waited`; `log_in` is the hint for a token."""
    hints = [*max_wait_hints(delay + waited)] if delay + waited < 7200 else []
    if response.credential is None:
        hints.append(f"raise the limit with a token: {log_in}")
    after = f", after {shown_seconds(waited)} of waiting" if waited else ""
    return RateLimited(
        f"'{response.origin}' limits requests and asks to come back in {shown_seconds(delay)}{after}",
        hints=hints or ["try again later"],
    )


def asked_delay(response: Response, attempt: int, now: float) -> float | None:
    """Return for how many seconds a server limits requests; None if the answer is not about a limit.

    `attempt` counts how often it has asked before, from 0. Times are the server's own: where its answer has a `Date`,
    that is the present, and `now`, in seconds since 1970, only where it has none.
    `Retry-After`: RFC 9110, section 10.2.3. `x-ratelimit-reset`: GitHub, seconds since the epoch. `RateLimit-Reset`:
    GitLab, the same; the IETF draft of that name counts from now.
    """
    headers = response.headers
    exhausted = headers.get("x-ratelimit-remaining") == "0" or headers.get("ratelimit-remaining") == "0"
    retry_after = headers.get("retry-after")
    if response.status not in (429, 403, 503) or (response.status != 429 and retry_after is None and not exhausted):
        return None
    if response.status == 503 and retry_after is None:
        return None
    there = _moment(headers.get("date", ""))
    now = now if there is None else there
    delay: float | None
    if retry_after is not None:
        delay = _delay(retry_after, now)
    else:
        reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
        delay = None if not reset.isascii() or not reset.isdigit() else float(reset)
        if delay is not None and delay > 1e8:
            delay -= now
    if delay is None:
        delay = float(1 << attempt)
    return max(delay, _LEAST * (1 << attempt))


def _delay(retry_after: str, now: float) -> float | None:
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    moment = _moment(retry_after)
    return None if moment is None else moment - now


def _moment(date: str) -> float | None:
    """Parse an HTTP date (RFC 9110, section 5.6.7) to seconds since 1970; None if it is invalid."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
