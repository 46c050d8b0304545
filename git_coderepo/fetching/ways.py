"""The ways to a base: in which order they are tried, and how often each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from git_coderepo.errors import DownloadDamaged, RateLimited
from git_coderepo.fetching.node import Wanted
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.transport.retry import TRIES, pause

Result = TypeVar("Result")


def order(wanted: Wanted, method: str) -> tuple[str, ...]:
    """The methods to try, `method` alone unless it is `auto`."""
    if method != "auto":
        return (method,)
    found: tuple[str, ...] = ("archive", "git") if wanted.archive_exact else ("git", "archive")
    if wanted.base is not None and wanted.base.platform.needs_special:
        found = (*found, "files")
    if wanted.problem is not None:
        found = found[:1]  # it is the same, whatever is tried
    if wanted.published is not None:
        found = (*found, "published")
    if wanted.store is not None:
        found = ("store", *found)
    return ("local", *found) if wanted.local is not None else found


def tried(name: str, coming: list[str], platform: BaseCodeRepository, attempt: Callable[[], Result]) -> Result:
    """What `attempt` gives, by the method `name`, while those in `coming` are still to be tried.

    An archive that is cut off is begun anew. Where a platform limits archives and not git, git does not wait for the
    limit to end: it comes first, and the archive, waited for, once more after it. Raises what `attempt` raises.
    """
    if name != "archive":
        return attempt()
    hurried = platform.limits_archives and "git" in coming
    platform.archive_wait = 0 if hurried else None
    failures = 0
    while True:
        try:
            return attempt()
        except RateLimited as error:
            if hurried:
                platform.notify(f"warning: {error.message}; git is asked meanwhile")
                coming.append(name)
            raise
        except DownloadDamaged as error:
            failures += 1
            if failures == TRIES:
                raise
            platform.notify(f"warning: {error.message}; beginning anew")
        time.sleep(pause(failures))
