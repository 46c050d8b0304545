"""Reading ahead: a thread takes what comes while what came is being used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread

# Blocks of up to 1 MiB that wait at most.
_MOST = 3
_PATIENCE = 0.05  # seconds between two looks at whether anybody still wants what is read
_LOOK = 1.0  # seconds until one who waits for data looks whether it is still being read


class Ahead:
    """Takes blocks in a thread of its own, a few ahead of whoever asks for them; a context manager.

    `abandon` is called at the end where the thread may still be waiting for data: it makes that wait end, from another
    thread.
    """

    def __init__(self, abandon: Callable[[], None]) -> None:
        self._abandon = abandon
        self._unwanted = Event()
        self._queue: Queue[bytes | BaseException | None] = Queue(_MOST)
        self._thread: Thread | None = None

    def blocks(self, source: Iterator[bytes]) -> Iterator[bytes]:
        """The blocks of `source`, in their order; raises what `source` raises, in its place. To be called once.

        Where no thread can be had (a container that may have no more of them) they are read when they are asked for.
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
                # One that died for want of memory may have had none to say so.
                if not thread.is_alive() and self._queue.empty():
                    raise MemoryError("the thread that reads ahead is gone") from None
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
            self._put(error)  # told where the block would have come

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
