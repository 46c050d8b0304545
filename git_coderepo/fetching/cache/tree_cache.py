"""The cache of trees on this machine: each under its tree id, read-only, complete, and verified at every use.

    PLACE/KEY/lock                    locked (flock) by the process that fills the key; others wait, or take over
    PLACE/KEY/GENERATION/use          locked (shared) by each process that uses the tree; it is not removed meanwhile
    PLACE/KEY/GENERATION/tree         the tree
    PLACE/KEY/GENERATION/listing      the recorded paths and ids, which `rehash` checks before it uses them
    PLACE/KEY/GENERATION/size         the size on the disk in bytes, for `coderepo.cacheLimit`
    PLACE/KEY/GENERATION/altered      exists only if the tree was modified while it was in use: it is not served again
    PLACE/KEY/modified-GENERATION     a modified tree: it is kept for its owner, and never served
    PLACE/KEY/copy-NUMBER             a tree that one command may write to, with `use` and `tree`
    PLACE/KEY/.filling-…              an incomplete tree, renamed to a generation once it is verified and synced

Directories have mode 0700, files 0600. Everything is opened relative to the descriptor of PLACE, which no other user
can replace (see `filesystem.private`).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from git_coderepo.errors import NoSpace, TargetUnusable
from git_coderepo.fetching.cache.copying import copy_tree, make_read_only
from git_coderepo.fetching.cache.location import CachePlace
from git_coderepo.fetching.cache.rehash import TreeAltered
from git_coderepo.filesystem.directories import OPEN_DIRECTORY, remove_tree, size_on_disk, sync_file_system, unusable
from git_coderepo.filesystem.locks import is_named, try_lock, wait_for_lock
from git_coderepo.filesystem.paths import quoted

T = TypeVar("T")

_FILLING = ".filling-"
_COPYING = ".copying-"
_ABANDONED = 3600
MODIFIED, COPY = "modified-", "copy-"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# More than the listing of a million long paths.
_LISTING_BYTES = 1 << 30
# How long a modified tree is kept, unless `cache prune` removes it earlier.
KEPT_SECONDS = 30 * 24 * 3600
_LEAST_FREED = 64 << 20


class Entry:
    """A cached tree that is locked for use; a context manager that unlocks it.

    `descriptor` has the lock: a process that inherits it keeps the tree locked.
    """

    def __init__(self, directory: str, folder: int, descriptor: int) -> None:
        self.directory = directory
        self.descriptor = descriptor
        self._folder = folder

    @property
    def tree(self) -> str:
        """The path of the tree."""
        return os.path.join(self.directory, "tree")

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a descriptor of the tree. Raises TreeAltered if the directory is missing."""
        try:
            tree = os.open("tree", OPEN_DIRECTORY, dir_fd=self._folder)
        except OSError as error:
            raise TreeAltered(reason=f"it cannot be opened: {error.strerror}") from None
        try:
            yield tree
        finally:
            os.close(tree)

    def listing(self) -> bytes:
        """Return the recorded listing, as `rehash.encode_listing` wrote it. Raises TreeAltered if it is missing."""
        data = _contents(self._folder, "listing", _LISTING_BYTES)
        if data is None:
            raise TreeAltered(reason="its listing is missing")
        return data

    def close(self) -> None:
        """Unlock the tree."""
        os.close(self._folder)
        os.close(self.descriptor)

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Kept(NamedTuple):
    """A tree or copy in the cache: its `name` below `key`, its size on the disk in bytes, and the time of its last use.

    `kind`: `tree` may be served; `modified` was written to, and `used` is when that was noticed; `copy` was made for
    one command, which could write to it. `used` is in seconds since the epoch.
    """

    key: str
    name: str
    directory: str
    size: int
    used: float
    kind: str


class Cache:
    """The trees in a `place`; `notify` receives messages about waiting and about modified trees.

    With a `limit` (in bytes), adding a tree removes the least recently used ones.
    """

    def __init__(self, place: CachePlace, *, notify: Callable[[str], None], limit: int | None = None) -> None:
        self.place = place
        self.notify = notify
        self.limit = limit

    # --- use ---

    def find(self, key: str, check: Callable[[Entry], T]) -> tuple[Entry, T] | None:
        """Return an entry of `key` and what `check` returned for it; None if there is none.

        `check` verifies the tree, or raises TreeAltered: then the tree is set aside and never served again.
        """
        for name in self._names(key, served=True):
            entry = self._hold(key, name)
            if entry is None:
                continue
            try:
                found = check(entry)
            except TreeAltered as error:
                entry.close()
                place = self._set_aside(key, name)
                self.notify(
                    f"warning: a tree in the cache was modified ({error.message}): it is kept as "
                    f"{quoted(os.fsencode(place))}, and the code is fetched again"
                )
                continue
            except BaseException:
                entry.close()
                raise
            try:
                os.utime(entry.descriptor)  # the time of the last use
            except OSError:
                pass  # with the old time the tree may only be removed earlier
            return entry, found
        return None

    def fill(self, key: str, check: Callable[[Entry], T], make: Callable[[str], bytes]) -> tuple[Entry, T | None]:
        """Return the entry for `key` and the result of `check`, creating the entry if necessary (result None).

        If there is no entry, `make(DIRECTORY)` creates the tree at an absent path, verifies it and returns its encoded
        listing; if it raises, nothing is left. One of several simultaneous callers creates it. If the file system is
        full, the least recently used trees are removed. Raises TargetUnusable, and what `make` raises.
        """
        found = self.find(key, check)
        while found is None:
            free = _free(self.place.descriptor)
            try:
                with self._filling(key) as folder:
                    assert folder is not None
                    found = self.find(key, check)  # another process may have made it meanwhile
                    if found is None:
                        self.sweep()
                        entry = self._made(key, folder, make)
                        break
            except NoSpace as error:
                self._tidy(key)
                self._make_room(free, error)
            except BaseException:
                self._tidy(key)
                raise
        if found is not None:
            return found
        if self.limit is not None:
            self.shrink(self.limit)
        return entry, None

    def copy(self, key: str, entry: Entry) -> Entry:
        """Return a writable copy of an entry's tree, for one command; see `discard`.

        If the file system is full, the least recently used trees are removed. Raises TargetUnusable.
        """
        while True:
            free = _free(self.place.descriptor)
            try:
                return self._copied(key, entry)
            except NoSpace as error:
                self._make_room(free, error)

    def _copied(self, key: str, entry: Entry) -> Entry:
        number = os.urandom(6).hex()
        hidden, name = _COPYING + number, COPY + number
        copied = None
        with self._opened_key(key) as folder:
            try:
                # It gets its name once it is locked: otherwise another process would remove it as a leftover.
                os.mkdir(hidden, 0o700, dir_fd=folder)
                copied = self._new_entry(key, hidden, folder, name)
                os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
                with entry.opened() as tree:
                    os.mkdir(copied.tree)
                    copy_tree(tree, copied.tree)
            except BaseException as error:
                if copied is not None:
                    copied.close()
                for each in (hidden, name):
                    _remove(folder, each)
                if isinstance(error, OSError):
                    raise unusable(error, os.path.join(self.place.path, key)) from None
                raise
        return copied

    def discard(self, key: str, copied: Entry) -> bool:
        """Unlock a copy and remove it, unless another process still uses it; return whether it is gone."""
        copied.close()
        return self.evict(key, os.path.basename(copied.directory))

    # --- list and remove ---

    def all_keys(self) -> list[str]:
        """Return the keys in order."""
        return sorted(name for name in os.listdir(self.place.descriptor) if not name.startswith("."))

    def kept(self, *, measure: bool = True) -> list[Kept]:
        """Return all trees and copies, the most recently used first; without `measure` with their recorded sizes."""
        found = [self._look(key, name, measure=measure) for key in self.all_keys() for name in self._names(key)]
        return sorted(found, key=lambda kept: -kept.used)

    def evict(self, key: str, name: str) -> bool:
        """Remove a generation, unless a process uses it; return whether it is gone."""
        try:
            with self._opened_key(key) as folder:
                try:
                    held = _held(folder, name)
                except FileNotFoundError:
                    held = None  # an earlier removal was killed
                except OSError:
                    return False
                if held is not None and held[1] is not True:
                    os.close(held[0])
                    return False
                try:
                    return _remove(folder, name)
                finally:
                    if held is not None:
                        os.close(held[0])
        except TargetUnusable:
            return True  # the whole key is gone

    def sweep(self) -> None:
        """Remove modified trees and copies that were kept for KEPT_SECONDS."""
        oldest = time.time() - KEPT_SECONDS
        for key in self.all_keys():
            for name in self._names(key):
                kind = _kind(name)
                if kind != "tree" and self._used(key, name) < oldest:
                    self.evict(key, name)

    def shrink(self, size: int) -> int:
        """Remove the least recently used trees until the cache is at most `size` bytes; return the bytes freed.

        What was written into stays, and so does what is in use: nobody asked for the removal of outputs.
        """
        kept = self.kept(measure=False)
        taken, freed = sum(each.size for each in kept), 0
        for each in reversed(kept):
            if taken - freed <= size:
                break
            if each.kind != "tree":
                continue
            if self._is_touched(each.key, each.name):
                self._set_aside(each.key, each.name)
            elif self.evict(each.key, each.name):
                freed += each.size
        return freed

    def clear(self, key: str) -> None:
        """Remove what killed processes left of a key, and the key itself if it is then empty."""
        with self._filling(key, wait=False) as folder:
            if folder is None:
                return
            self._remove_leftovers(folder)
            if self._names(key) == []:
                os.unlink("lock", dir_fd=folder)
                try:
                    os.rmdir(key, dir_fd=self.place.descriptor)
                except OSError:
                    pass  # another process starts to fill it

    # --- inside ---

    @contextmanager
    def _opened_key(self, key: str) -> Iterator[int]:
        try:
            folder = os.open(key, OPEN_DIRECTORY, dir_fd=self.place.descriptor)
        except OSError as error:
            raise unusable(error, os.path.join(self.place.path, key), "read") from None
        try:
            yield folder
        finally:
            os.close(folder)

    def _names(self, key: str, *, served: bool = False) -> list[str]:
        """Return the names of the generations of a key; `served`: only those that may be served."""
        try:
            with self._opened_key(key) as folder:
                names = sorted(name for name in os.listdir(folder) if name != "lock" and not name.startswith("."))
                if served:
                    names = [name for name in names if _kind(name) == "tree" and not _is_altered(folder, name)]
        except TargetUnusable:
            return []
        return names

    def _is_touched(self, key: str, name: str) -> bool:
        """Return whether a tree may have been written to since it was created, by the times of its paths."""
        try:
            with self._opened_key(key) as folder:
                made = os.stat(f"{name}/size", dir_fd=folder, follow_symlinks=False).st_mtime_ns
                tree = os.open(f"{name}/tree", OPEN_DIRECTORY, dir_fd=folder)
                try:
                    return any(
                        os.stat(each, dir_fd=here, follow_symlinks=False).st_ctime_ns > made
                        for _, folders, names, here in os.fwalk(".", dir_fd=tree)
                        for each in (*folders, *names, ".")
                    )
                finally:
                    os.close(tree)
        except (OSError, TargetUnusable):
            return False  # it is being removed, or has nothing worth keeping

    def _hold(self, key: str, name: str) -> Entry | None:
        """Lock a generation for use; None if it is being removed."""
        try:
            folder = os.open(key, OPEN_DIRECTORY, dir_fd=self.place.descriptor)
        except OSError:
            return None
        try:
            try:
                descriptor, locked = _held(folder, name, shared=True)
            except OSError:
                return None
            try:
                if locked is not False:
                    generation = os.open(name, OPEN_DIRECTORY, dir_fd=folder)
                    if is_named("use", generation, descriptor):
                        return Entry(os.path.join(self.place.path, key, name), generation, descriptor)
                    os.close(generation)
            except OSError:
                pass  # renamed or removed between the two calls
            os.close(descriptor)
        finally:
            os.close(folder)
        return None

    def _new_entry(self, key: str, name: str, folder: int, final: str) -> Entry:
        """Lock the new directory `name` in the key's `folder`, which will be renamed to `final`."""
        generation = os.open(name, OPEN_DIRECTORY, dir_fd=folder)
        descriptor = os.open("use", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=generation)
        wait_for_lock(descriptor, shared=True)
        return Entry(os.path.join(self.place.path, key, final), generation, descriptor)

    def _set_aside(self, key: str, name: str) -> str:
        """Mark a modified generation so that it is never served again, and return the path of its tree."""
        aside = name
        with self._opened_key(key) as folder:
            try:
                descriptor, locked = _held(folder, name)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESTALE):
                    raise unusable(error, os.path.join(self.place.path, key, name)) from None
                return os.path.join(self.place.path, key, MODIFIED + name, "tree")  # another process did it already
            try:
                if locked is True:
                    aside = MODIFIED + name
                    os.utime(descriptor)  # KEPT_SECONDS start now
                    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
                else:
                    # A command runs in it and imports its modules by this path.
                    generation = os.open(name, OPEN_DIRECTORY, dir_fd=folder)
                    try:
                        os.close(os.open("altered", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=generation))
                    finally:
                        os.close(generation)
            except OSError as error:
                raise unusable(error, os.path.join(self.place.path, key, name)) from None
            finally:
                os.close(descriptor)
        return os.path.join(self.place.path, key, aside, "tree")

    @contextmanager
    def _filling(self, key: str, *, wait: bool = True) -> Iterator[int | None]:
        """Yield a key's folder, locked against other processes; without `wait`, None where another holds the lock."""
        try:
            folder, lock = self._lock(key, wait)
        except OSError as error:
            raise unusable(error, os.path.join(self.place.path, key)) from None
        try:
            yield folder if lock is not None else None
        finally:
            os.close(folder)
            if lock is not None:
                os.close(lock)

    def _lock(self, key: str, wait: bool) -> tuple[int, int | None]:
        while True:
            try:
                os.mkdir(key, 0o700, dir_fd=self.place.descriptor)
            except FileExistsError:
                pass
            try:
                folder = os.open(key, OPEN_DIRECTORY, dir_fd=self.place.descriptor)
            except FileNotFoundError:
                continue  # cleared away in between
            try:
                lock = os.open("lock", _LOCK | os.O_CREAT, 0o600, dir_fd=folder)
            except FileNotFoundError:
                os.close(folder)
                continue
            except BaseException:
                os.close(folder)
                raise
            try:
                if try_lock(lock) is False:
                    if not wait:
                        os.close(lock)
                        return folder, None
                    self.notify(f"waiting for another process that fetches the tree {key[:12]}")
                    wait_for_lock(lock)
                if is_named("lock", folder, lock):
                    return folder, lock
            except BaseException:
                os.close(lock)
                os.close(folder)
                raise
            os.close(lock)  # cleared away by the process that had it
            os.close(folder)

    def _tidy(self, key: str) -> None:
        """Clear a key after an error, which hides any error of the clearing."""
        try:
            self.clear(key)
        except (OSError, TargetUnusable):
            pass  # the next process that fills or prunes the key will clear it

    def _remove_leftovers(self, folder: int) -> None:
        """Remove what killed processes left. The caller has the lock, so no living process fills the key."""
        for name in os.listdir(folder):
            if name.startswith(_FILLING) or (name.startswith(_COPYING) and _is_abandoned(folder, name)):
                _remove(folder, name)

    def _make_room(self, free: int, error: NoSpace) -> None:
        """Remove trees before another attempt: `free` bytes were not enough. Raises `error` if none can be removed."""
        taken = sum(each.size for each in self.kept(measure=False))
        # Each attempt has at least twice as much room as the one before.
        if not self.shrink(max(taken - max(free, _LEAST_FREED), 0)):
            if self.kept(measure=False):
                hints = [
                    "git coderepo cache list shows what the cache takes, git coderepo cache prune removes it",
                    "or set CODEREPO_CACHE_DIR to a directory on another file system",
                ]
                raise error.replace(hints=hints) from error
            raise error
        self.notify("the file system is full: the least recently used trees were removed from the cache")

    def _made(self, key: str, folder: int, make: Callable[[str], bytes]) -> Entry:
        """Create a generation, after removing what killed processes left."""
        self._remove_leftovers(folder)
        number = os.urandom(6).hex()
        filling = _FILLING + number
        place = os.path.join(self.place.path, key)
        entry = None
        try:
            os.mkdir(filling, 0o700, dir_fd=folder)
            entry = self._new_entry(key, filling, folder, number)
            generation = os.open(filling, OPEN_DIRECTORY, dir_fd=folder)
            try:
                tree = os.path.join(place, filling, "tree")
                _write(generation, "listing", make(tree))
                make_read_only(tree)
                _write(generation, "size", b"%d" % size_on_disk(generation))
                sync_file_system(generation)
            finally:
                os.close(generation)
            os.rename(filling, number, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException as error:
            if entry is not None:
                entry.close()
            _remove(folder, filling)
            if isinstance(error, OSError):
                raise unusable(error, place) from None
            raise
        return entry

    def _look(self, key: str, name: str, *, measure: bool) -> Kept:
        size, kind = 0, _kind(name)
        try:
            with self._opened_key(key) as folder:
                generation = os.open(name, OPEN_DIRECTORY, dir_fd=folder)
                try:
                    if kind == "tree" and _exists(generation, "altered"):
                        kind = "modified"
                    noted = None if measure or kind != "tree" else _contents(generation, "size", 32)
                    size = int(noted) if noted is not None and noted.isdigit() else size_on_disk(generation)
                finally:
                    os.close(generation)
        except (OSError, TargetUnusable):
            pass  # removed at this moment
        return Kept(key, name, os.path.join(self.place.path, key, name), size, self._used(key, name), kind)

    def _used(self, key: str, name: str) -> float:
        """Return when a generation was last used or, if modified, set aside, in seconds since the epoch."""
        path = f"{key}/{name}"
        for each in (f"{path}/use", path):
            try:
                return os.stat(each, dir_fd=self.place.descriptor, follow_symlinks=False).st_mtime
            except OSError:
                continue
        return time.time()  # removed at this moment


def _kind(name: str) -> str:
    """Return the kind of a generation by its name, see `Kept`."""
    return "modified" if name.startswith(MODIFIED) else "copy" if name.startswith(COPY) else "tree"


def _is_abandoned(folder: int, name: str) -> bool:
    """Return whether a directory still has a temporary name long after it was made."""
    try:
        return time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > _ABANDONED
    except OSError:
        return False


def _is_altered(folder: int, name: str) -> bool:
    return _exists(folder, f"{name}/altered")


def _exists(folder: int, path: str) -> bool:
    try:
        os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _held(folder: int, name: str, *, shared: bool = False) -> tuple[int, bool | None]:
    """Open the file `use` of a generation and try to lock it: (descriptor, answer of `try_lock`). Raises OSError."""
    descriptor = os.open(f"{name}/use", _LOCK, dir_fd=folder)
    try:
        return descriptor, try_lock(descriptor, shared=shared)
    except BaseException:
        os.close(descriptor)
        raise


def _contents(folder: int, name: str, most: int) -> bytes | None:
    """Return the contents of a regular file; None if it is missing or larger than `most` bytes."""
    try:
        file = os.open(name, _OPEN, dir_fd=folder)
    except OSError:
        return None
    with open(file, "rb") as opened:
        facts = os.fstat(file)
        return opened.read(most) if stat.S_ISREG(facts.st_mode) and facts.st_size <= most else None


def _write(folder: int, name: str, contents: bytes) -> None:
    with open(os.open(name, _NEW, 0o600, dir_fd=folder), "wb") as file:
        file.write(contents)


def _free(descriptor: int) -> int:
    found = os.fstatvfs(descriptor)
    return found.f_bavail * found.f_frsize


def _remove(folder: int, name: str) -> bool:
    """Remove a directory of the cache, and return whether it is gone; a later call removes the rest."""
    try:
        remove_tree(name, parent=folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


# --- Choose the trees that `cache prune` removes ---------------------------------------------------------------------


class Evicted(NamedTuple):
    """The trees that were removed, or would be, and those that stay because they are in use."""

    gone: tuple[Kept, ...]
    in_use: tuple[Kept, ...]


def prune_cache(cache: Cache, *, max_size: int | None, older_than: float | None, dry_run: bool, now: float) -> Evicted:
    """Remove trees unused for `older_than` seconds, then the least recently used ones above `max_size` bytes.

    Modified trees and copies are removed as well, with `older_than` only those as old, and so is what killed processes
    left. Trees in use stay. `max_size` None stands for the cache's own limit, if it has one and there is no
    `older_than`. `now` is in seconds since the epoch.
    """
    if max_size is None and older_than is None:
        max_size = cache.limit
    gone: list[Kept] = []
    in_use: list[Kept] = []
    size = 0
    for each in cache.kept():
        size += each.size
        old = older_than is not None and now - each.used > older_than
        written_into = each.kind != "tree" and older_than is None
        if not old and not written_into and (max_size is None or size <= max_size):
            continue
        size -= each.size
        (gone if dry_run or cache.evict(each.key, each.name) else in_use).append(each)
    if not dry_run:
        for key in cache.all_keys():
            cache.clear(key)
    return Evicted(tuple(gone), tuple(in_use))
