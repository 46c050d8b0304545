"""TLS contexts that connections share: a system's certificate authorities take 25 ms to read, for each context anew."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from threading import Thread

    Key = tuple[str, int, int, int, int]


class Contexts:
    """A context for each file of certificate authorities, which trusts those and no others; a changed file is another.

    `new` makes one that trusts nobody yet, as urllib3 makes them for itself.
    """

    __slots__ = ("_made", "_new", "_reading")

    def __init__(self, new: Callable[[], ssl.SSLContext]) -> None:
        self._new = new
        self._made: dict[Key, ssl.SSLContext] = {}
        self._reading: Thread | None = None

    def begin(self, path: str) -> None:
        """Read a file ahead, in another thread where there is one to be had."""
        from threading import Thread

        thread = Thread(target=self._read_ahead, args=(path,), name="git-coderepo-authorities", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        self._reading = thread

    def of(self, path: str) -> ssl.SSLContext | None:
        """The context of a file; None for a directory, and for what cannot be read: whoever connects says why."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.join()
        try:
            return self._read(path)
        except OSError:
            return None

    def _read_ahead(self, path: str) -> None:
        try:
            self._read(path)
        except (OSError, MemoryError):
            pass  # the same is met again, and told, where it is asked for

    def _read(self, path: str) -> ssl.SSLContext | None:
        if not os.path.isfile(path):
            return None
        facts = os.stat(path)
        key = (path, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if key not in self._made:
            context = self._new()
            context.load_verify_locations(path)
            _has_read(context, path)
            self._made[key] = context
        return self._made[key]


def _has_read(context: ssl.SSLContext, path: str) -> None:
    """urllib3 has a context read the file for each connection; whatever else it may be given is still read."""
    read = context.load_verify_locations

    def load(cafile: str | None = None, capath: str | None = None, cadata: str | bytes | None = None) -> None:
        if (cafile, capath, cadata) != (path, None, None):
            read(cafile, capath, cadata)

    context.load_verify_locations = load  # type: ignore[method-assign,assignment]
