"""Read a stream ahead in a thread, while the data before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread

# The most blocks, of up to 1 MiB each, that wait in memory.
_MOST = 3
_PATIENCE = 0.05  # seconds after which a full queue is checked for the end
_LOOK = 1.0  # seconds after which an empty queue is checked for a dead thread


class Ahead:
    """Read blocks in a thread, a few ahead of the consumer; a context manager that ends the thread.

    `abandon` is called at the end if the thread may still wait for data: it ends this wait from another thread.
    """

    def __init__(self, abandon: Callable[[], None]) -> None:
        self._abandon = abandon
        self._unwanted = Event()
        self._queue: Queue[bytes | BaseException | None] = Queue(_MOST)
        self._thread: Thread | None = None

    def blocks(self, source: Iterator[bytes]) -> Iterator[bytes]:
        """Return the blocks of `source` in order; an error of `source` is raised in its place. Call it once.

        If no thread can be started (as in a container with a limit), blocks are read when they are requested.
        """
        thread = self._thread = Thread(target=self._take, args=(source,), name="git-coderepo-ahead", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return source
        return self._given(thread)

    def _given(self, thread: Thread) -> Iterator[bytes]:
        while True:
            try:
                block = self._queue.get(timeout=_LOOK)
            except Empty:
                # A thread that ran out of memory may have had none to report it.
                if not thread.is_alive() and self._queue.empty():
                    raise MemoryError("the thread that reads ahead has ended") from None
                continue
            if block is None:
                return
            if isinstance(block, BaseException):
                raise block
            yield block

    def _take(self, source: Iterator[bytes]) -> None:
        try:
            for block in source:
                self._put(block)
                if self._unwanted.is_set():
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)  # raised where the block would have been

    def _put(self, block: bytes | BaseException | None) -> None:
        while not self._unwanted.is_set():
            try:
                self._queue.put(block, timeout=_PATIENCE)
                return
            except Full:
                pass

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted.set()
        if self._thread is None:
            return
        if self._thread.is_alive():
            self._abandon()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=_PATIENCE)
            except Empty:
                self._thread.join(_PATIENCE)
