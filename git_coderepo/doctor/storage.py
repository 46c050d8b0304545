"""Checks of the places that this program writes to: temporary files, the cache, the record, the shared store."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from functools import partial

from git_coderepo.doctor.answers import Known
from git_coderepo.doctor.finding import CheckResult, from_error, note, ok, problem
from git_coderepo.errors import CodeRepoError
from git_coderepo.fetching.cache.location import CandidatePlace, candidate_places, old_parts
from git_coderepo.fetching.cache.tree_cache import Cache
from git_coderepo.filesystem.paths import quoted
from git_coderepo.filesystem.private import is_exchangeable, is_writable_by_others
from git_coderepo.filesystem.scratch import temporary_place
from git_coderepo.git.process import shell_word
from git_coderepo.plural import count
from git_coderepo.settings import Settings, variable_of
from git_coderepo.snapshots.size_limits import shown_size
from git_coderepo.trace import silent

# Free bytes. A fetched tree may not fit below the first limit; below the second, a run may not be recorded.
_NOTE_BELOW, _PROBLEM_BELOW = 1 << 30, 64 << 20


def temporary(known: Known) -> Iterator[CheckResult]:
    """Check that there is a directory for temporary files."""
    place = temporary_place()
    if place is None:
        yield problem("no writable directory for temporary files", 'export TMPDIR="$HOME"')
    else:
        yield ok(quoted(os.fsencode(place)))


# --- the cache ---


def cache(known: Known) -> Iterator[CheckResult]:
    """Check the directories of the tree cache until one can be used."""
    settings = known.place.settings
    for candidate in candidate_places(settings):
        try:
            place = candidate.look()
        except FileNotFoundError:
            if _can_be_made(candidate.path):
                yield ok(f"none yet; it will be in {quoted(os.fsencode(candidate.path))}")
                break
            yield _unusable(candidate, "it cannot be created", settings)
        except OSError as error:
            yield _unusable(candidate, _reason(error), settings)
        else:
            trees = Cache(place, notify=silent).kept(measure=False)
            os.close(place.descriptor)
            size = shown_size(sum(tree.size for tree in trees))
            yield ok(f"{count(len(trees), 'tree')}, {size} in {quoted(os.fsencode(candidate.path))}")
            break
    for part in old_parts(settings):
        yield note(f"an older release left {shown_size(part.size)} in '{part.directory}'", "git coderepo cache prune")


def _reason(error: OSError) -> str:
    words = error.strerror or str(error)
    return words if error.errno == errno.EPERM else words.lower()


def _can_be_made(path: str) -> bool:
    above = os.path.dirname(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    return os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)


def _unusable(candidate: CandidatePlace, why: str, settings: Settings) -> CheckResult:
    words = f"cannot be in {quoted(os.fsencode(candidate.path))}: {why}"
    for path in _upwards(candidate.path):
        facts = os.lstat(path)
        open_to_others = is_writable_by_others(facts) if path == candidate.path else is_exchangeable(facts)
        if open_to_others and stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid():
            return problem(words, f"chmod go-w {shell_word(path)}", partial(_close, path))
    variable = variable_of("cacheDir")
    if variable in settings.environment:
        return problem(words, f"unset {variable}")
    if candidate.is_configured:
        return problem(words, 'git config --global coderepo.cacheDir "$HOME/.cache/git-coderepo"')
    return problem(words, f"export {variable}=/path/to/directory")


def _upwards(path: str) -> Iterator[str]:
    """Yield a path and the directories above it, those that exist."""
    while path != "/":
        if os.path.lexists(path):
            yield path
        path = os.path.dirname(path)


def _close(path: str) -> None:
    """Take the right to write to a directory from other users."""
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~0o022)


# --- the record and the shared store ---


def record(known: Known) -> Iterator[CheckResult]:
    """Check that runs can be recorded in the checkout."""
    checkout = known.place.checkout
    if checkout is None:
        return
    own = checkout.layout.own
    place = own if os.path.isdir(own) else os.path.dirname(own)
    if os.access(place, os.W_OK | os.X_OK):
        yield ok(quoted(own))
        return
    word = shell_word(place)
    if os.path.isdir(place) and os.stat(place).st_uid == os.geteuid():
        yield problem(f"{quoted(place)} is not writable", f"chmod u+rwx {word}", partial(_open, place))
    else:
        yield problem(f"{quoted(place)} is not writable", f'sudo chown -R "$(id -u)" {word}')


def _open(path: bytes) -> None:
    """Give the owner of a directory all rights to it."""
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o700)


def store(known: Known) -> Iterator[CheckResult]:
    """Check that the shared store answers."""
    url = known.place.settings.text("store")
    if not url:
        return
    answer = known.answers.store
    if known.answers.is_offline:
        yield note(f"{url}: not asked (--offline)")
    elif isinstance(answer, CodeRepoError):
        scheme, _, path = url.partition("://")
        missing = scheme == "file" and not os.path.lexists(path)
        otherwise = f"mkdir -p {shell_word(path)}" if missing else "git config --unset-all coderepo.store"
        yield problem(answer.message, otherwise) if missing else from_error(answer, otherwise=otherwise)
    else:
        yield ok(f"{url} answers")


# --- free space ---


def space(known: Known) -> Iterator[CheckResult]:
    """Check the free space of each file system that this program writes to."""
    checkout = known.place.checkout
    places = [candidate.path for candidate in candidate_places(known.place.settings)[:1]]
    places += [place for place in (temporary_place(),) if place is not None]
    if checkout is not None:
        places.insert(0, os.fsdecode(checkout.layout.own))
    cached = _devices_of_trees(known.place.settings)
    seen = set()
    for place in places:
        path = next(_upwards(place), "/")
        device = os.stat(path).st_dev
        if device not in seen:
            seen.add(device)
            yield _space(path, cached)


def _space(path: str, cached: set[int]) -> CheckResult:
    """Return the free space at a path; `cached` are the devices on which the cache has trees."""
    facts = os.statvfs(path)
    free = facts.f_bavail * facts.f_frsize
    name = quoted(os.fsencode(path))
    words = f"{shown_size(free)} free at {name}"
    line = f"du -xh -d 1 {shell_word(path)} | sort -h"
    if os.stat(path).st_dev in cached:
        line = "git coderepo cache prune --max-size 0"
    if facts.f_files and not facts.f_favail:
        return problem(f"no inodes free at {name}", line)
    if free < _PROBLEM_BELOW:
        return problem(words, line)
    return note(words, line) if free < _NOTE_BELOW else ok(words)


def _devices_of_trees(settings: Settings) -> set[int]:
    devices = set()
    for candidate in candidate_places(settings):
        try:
            place = candidate.look()
        except OSError:
            continue
        if Cache(place, notify=silent).all_keys():
            devices.add(os.fstat(place.descriptor).st_dev)
        os.close(place.descriptor)
    return devices
