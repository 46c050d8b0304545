"""Reading ahead: the blocks come in their order, what goes wrong comes in its place, and no thread is left behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from git_coderepo.errors import DownloadDamaged
from git_coderepo.fetching.sources.read_ahead import Ahead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "git-coderepo-ahead"]


def never() -> None:
    raise AssertionError("nobody waits for anything")


def test_the_blocks_come_in_their_order() -> None:
    blocks = [b"%d" % number for number in range(1000)]
    with Ahead(lambda: None) as ahead:
        assert list(ahead.blocks(iter(blocks))) == blocks
    assert threads() == []


def test_what_goes_wrong_comes_after_what_came_before_it() -> None:
    def source() -> Iterator[bytes]:
        yield b"1"
        yield b"2"
        raise DownloadDamaged("cut off")

    seen = []
    with pytest.raises(DownloadDamaged, match="cut off"), Ahead(lambda: None) as ahead:
        given = ahead.blocks(source())
        while True:
            seen.append(next(given))
    assert seen == [b"1", b"2"] and threads() == []


def test_only_a_few_blocks_wait() -> None:
    taken = []

    def source() -> Iterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b"x"

    with Ahead(lambda: None) as ahead:
        given = ahead.blocks(source())
        for _ in range(10):
            next(given)
        assert len(taken) < 40
    assert threads() == [] and len(taken) < 1000


def test_a_wait_for_data_that_does_not_come_is_ended() -> None:
    """As where an archive is refused for its first entry, or the user interrupts, while the server says nothing."""
    ours, theirs = socket.socketpair()

    def source() -> Iterator[bytes]:
        while block := ours.recv(10):
            yield block

    theirs.sendall(b"first")
    with pytest.raises(KeyboardInterrupt), Ahead(lambda: ours.shutdown(socket.SHUT_RDWR)) as ahead:
        for block in ahead.blocks(source()):
            assert block == b"first"
            raise KeyboardInterrupt
    assert threads() == []
    ours.close()
    theirs.close()


def test_where_nothing_was_asked_for_nothing_is_abandoned() -> None:
    with Ahead(never):
        pass
    assert threads() == []


def test_where_no_thread_can_be_had_all_is_read_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have no more threads than it has."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with Ahead(never) as ahead:
        assert list(ahead.blocks(iter([b"1", b"2"]))) == [b"1", b"2"]


@pytest.mark.slow
def test_a_thread_that_is_gone_without_a_word_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no memory for a block may have none to say so, either."""
    monkeypatch.setattr(Ahead, "_put", lambda self, block: None)
    with pytest.raises(MemoryError), Ahead(never) as ahead:
        list(ahead.blocks(iter([b"1"])))
    assert threads() == []
