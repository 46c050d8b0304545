"""A company's proxy: it opens tunnels (RFC 9110, section 9.3.6) to where it may, and keeps account of them."""

from __future__ import annotations

import base64
import selectors
import socket
import threading
from collections.abc import Mapping
from types import TracebackType


class Proxy:
    """A context manager; `asked` are the `host:port` that were to be reached, in order.

    It listens on 127.0.0.1, or where `listener` already does. With `user` (`name:password`) it wants to be told them.
    `ports` are those of this machine that stand for a `host:port`, so that a test can give its servers any name.
    """

    def __init__(
        self,
        listener: socket.socket | None = None,
        *,
        user: str | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self.asked: list[str] = []
        self.refused = 0
        self._user = user
        self._ports = dict(ports or {})
        if listener is None:
            listener = socket.create_server(("127.0.0.1", 0))
        self._listener = listener
        self.address = "http://{}:{}".format(*listener.getsockname()[:2])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it is closed already
        for thread in list(self._threads):
            thread.join(timeout=60)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            request, *headers = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            method, where, _ = request.split(" ")
            if method != "CONNECT":
                client.sendall(b"HTTP/1.1 405 Tunnels only\r\nConnection: close\r\n\r\n")
                return
            if self._user is not None:
                wanted = "Basic " + base64.b64encode(self._user.encode()).decode()
                given = [line.partition(": ")[2] for line in headers if line.lower().startswith("proxy-authorization:")]
                if given != [wanted]:
                    self.refused += 1
                    client.sendall(
                        b"HTTP/1.1 407 Who asks?\r\nProxy-Authenticate: Basic realm=x\r\nConnection: close\r\n\r\n"
                    )
                    return
            self.asked.append(where)
            host, _, port = where.rpartition(":")
            if where in self._ports:
                host, port = "127.0.0.1", str(self._ports[where])
            with socket.create_connection((host.strip("[]"), int(port))) as server:
                with self._lock:
                    self._open |= {client, server}
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pass_on(client, server)
                with self._lock:
                    self._open -= {client, server}


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """What the one says the other hears, until either has nothing more to say."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                try:
                    piece = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    if not piece:
                        return
                    key.data.sendall(piece)
                except OSError:
                    return  # either of them broke off
