"""The cache: proved trees on this machine, each under its own tree id, read-only and never half there.

    PLACE/KEY/lock               held (flock) by whoever fills the entry; the others wait, or take over when it dies
    PLACE/KEY/GENERATION/use     held shared by whoever uses the tree; nothing is evicted meanwhile
    PLACE/KEY/GENERATION/tree    the tree
    PLACE/KEY/GENERATION/stamp   what its contents and a look at it give, see `stamps`; while this is there, it is good
    PLACE/KEY/.filling-…         a tree on its way, renamed to a generation once it is proved and on the disk

A tree that something wrote into loses its stamp and is replaced by another generation: what still runs in it keeps it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from git_coderepo.checkout.store import write_whole
from git_coderepo.errors import TargetUnusable
from git_coderepo.runner.copying import make_read_only
from git_coderepo.runner.directories import remove_tree, sync_file_system, unusable
from git_coderepo.runner.stamps import contents_id, stamp

_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, errno.ENOSYS)
_FILLING = ".filling-"


@dataclass
class Entry:
    """A tree that is held for use: `tree` is its directory. A context manager, at whose end it may be evicted again.

    `contents` is `stamps.contents_id` of what was proved. `descriptor` holds it: a process that inherits it goes on
    holding it.
    """

    directory: str
    descriptor: int
    contents: str = ""

    @property
    def tree(self) -> str:
        return os.path.join(self.directory, "tree")

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


class Cache:
    """The trees below `place`, see `cache_place`; `notify` hears of waiting and of what was found damaged."""

    def __init__(self, place: str, *, notify: Callable[[str], None]) -> None:
        self.place = place
        self.notify = notify

    def find(self, key: str) -> Entry | None:
        """The entry of `key`, None where there is none that is as it was.

        One whose paths do not look as they did is hashed again, and stays if its contents are those that were proved.
        """
        for generation in self.generations(key):
            entry = _hold(generation)
            if entry is None:
                continue
            if self._is_good(entry):
                os.utime(entry.descriptor)  # when it was used last
                return entry
            entry.__exit__()
            evict(generation)
        return None

    def fill(self, key: str, make: Callable[[str], None]) -> Entry:
        """The entry of `key`: made by `make(DIRECTORY)`, which is absent, where there was none.

        `make` proves what it makes, or raises; then nothing is left. Of several callers at once one makes it.
        """
        while True:
            entry = self.find(key)
            if entry is not None:
                return entry
            try:
                with self._filling(key) as folder:
                    assert folder is not None
                    entry = self.find(key)
                    if entry is not None:
                        return entry
                    self._made(folder, make)
                    entry = self.find(key)
                    if entry is not None:
                        return entry
            except BaseException:
                self._tidy(key)
                raise
            # Evicted in the very moment in which it came: once more.

    def trees(self, key: str) -> list[str]:
        """The directories of the trees that `key` names, for whoever copies them and hashes the copy."""
        return [os.path.join(generation, "tree") for generation in self.generations(key)]

    def kept(self) -> list[str]:
        """The keys of which there is anything, in order."""
        try:
            return sorted(name for name in os.listdir(self.place) if not name.startswith("."))
        except FileNotFoundError:
            return []

    def generations(self, key: str) -> list[str]:
        """The directories of a key's generations, the good ones and others."""
        folder = os.path.join(self.place, key)
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [os.path.join(folder, name) for name in sorted(names) if name != "lock" and not name.startswith(".")]

    def _is_good(self, entry: Entry) -> bool:
        path = os.fsencode(os.path.join(entry.directory, "stamp"))
        try:
            with open(path, "rb") as file:
                entry.contents, known = file.read().decode("ascii").split("\n")
        except FileNotFoundError:
            return False
        except ValueError:
            known = ""  # damaged itself
        try:
            if stamp(entry.tree) == known:
                return True
            if contents_id(entry.tree) == entry.contents:
                write_whole(path, f"{entry.contents}\n{stamp(entry.tree)}".encode())
                return True
        except TargetUnusable as error:
            self.notify(f"warning: the cache: {error.message}")
        self.notify("warning: a tree in the cache was written into: it is fetched again")
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # another process found it as well
        return False

    @contextmanager
    def _filling(self, key: str, *, wait: bool = True) -> Iterator[str | None]:
        """The folder of a key while nobody else fills it; without `wait` None where somebody does."""
        folder = os.path.join(self.place, key)
        try:
            lock = self._lock(folder, key, wait)
        except OSError as error:
            raise unusable(error, folder) from None
        try:
            yield folder if lock is not None else None
        finally:
            if lock is not None:
                os.close(lock)

    def _lock(self, folder: str, key: str, wait: bool) -> int | None:
        path = os.path.join(folder, "lock")
        while True:
            os.makedirs(folder, exist_ok=True)
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:
                continue  # the folder was cleared away in between
            try:
                if _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) is False:
                    if not wait:
                        os.close(lock)
                        return None
                    self.notify(f"waiting for another process that fetches the tree {key[:12]}")
                    fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_at(path, lock):
                    return lock
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # cleared away by whoever had it

    def clear(self, key: str) -> None:
        """Remove what killed processes left of a key, and the key where nothing else is left of it."""
        with self._filling(key, wait=False) as folder:
            if folder is None:
                return
            self._remove_leftovers(folder)
            if self.generations(key) == []:
                os.unlink(os.path.join(folder, "lock"))
                try:
                    os.rmdir(folder)
                except OSError:
                    pass  # somebody begins anew

    def _tidy(self, key: str) -> None:
        """As `clear`, after an error that says more than what may fail here."""
        try:
            self.clear(key)
        except (OSError, TargetUnusable):
            pass  # the next one that fills or prunes it comes by here

    def _remove_leftovers(self, folder: str) -> None:
        """With the lock in hand, whatever is being filled is being filled by nobody."""
        for name in os.listdir(folder):
            if name.startswith(_FILLING):
                _remove(folder, name)

    def _made(self, folder: str, make: Callable[[str], None]) -> None:
        """A new generation; what a killed process left of its own goes first."""
        self._remove_leftovers(folder)
        number = os.urandom(6).hex()
        filling = os.path.join(folder, _FILLING + number)
        generation = os.path.join(folder, number)
        try:
            os.mkdir(filling)
            os.close(os.open(os.path.join(filling, "use"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
            tree = os.path.join(filling, "tree")
            make(tree)
            make_read_only(tree)
            known = f"{contents_id(tree)}\n{stamp(tree)}"
            write_whole(os.fsencode(os.path.join(filling, "stamp")), known.encode())
            descriptor = os.open(filling, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sync_file_system(descriptor)
            finally:
                os.close(descriptor)
            os.rename(filling, generation)
        except OSError as error:
            _remove(folder, _FILLING + number)
            raise unusable(error, folder) from None
        except BaseException:
            _remove(folder, _FILLING + number)
            raise


def _hold(generation: str) -> Entry | None:
    """Hold a generation for use; None where it is being evicted."""
    try:
        descriptor = os.open(os.path.join(generation, "use"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    if _locked(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB) is False or not os.path.exists(generation):
        os.close(descriptor)
        return None
    return Entry(generation, descriptor)


def evict(generation: str) -> bool:
    """Remove a generation, unless somebody uses it; whether it is gone."""
    try:
        descriptor = os.open(os.path.join(generation, "use"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = -1  # killed in the middle of this very removal
    except OSError:
        return False
    try:
        if descriptor >= 0 and _locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) is not True:
            return False
        folder, name = os.path.split(generation)
        _remove(folder, name)
        return not os.path.lexists(generation)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _remove(folder: str, name: str) -> None:
    """Remove a directory of ours with all in it, as far as it goes: what is left is found by a later call."""
    try:
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        remove_tree(name, parent=parent)
    except OSError:
        pass
    finally:
        os.close(parent)


def _is_at(path: str, descriptor: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _locked(descriptor: int, kind: int) -> bool | None:
    """Whether the lock is ours; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True
