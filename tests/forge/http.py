"""A small HTTP/1.1 server (RFC 9112) whose answers can be cut, stretched and framed wrongly on purpose."""

from __future__ import annotations

import http.client
import io
import selectors
import socket
import ssl
import struct
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

PIECE = 256 * 1024  # bytes written at once

Body = bytes | Iterable[bytes]
Handler = Callable[["Request"], "Response"]


@dataclass
class Request:
    """What a client sent: `path` percent-encoded as on the wire, `query` decoded, names of headers in lower case."""

    listener: str
    origin: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: BinaryIO
    target: str

    @property
    def segments(self) -> list[str]:
        """The path's parts, each decoded: `a/b%2Fc` has two."""
        return [urllib.parse.unquote(part) for part in self.path.strip("/").split("/")]


@dataclass
class Response:
    """An answer.

    `framing` says how the end of the body is told: `length` (Content-Length), `chunked`, `close` (end of connection).
    `declared` is the Content-Length to claim, `unterminated` drops the connection where the end should be told,
    `reset` with a TCP reset; without a body nothing at all is sent before it.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = b""
    framing: str = "length"
    declared: int | None = None
    unterminated: bool = False
    reset: bool = False

    def content(self) -> bytes:
        """The whole body; the response can still be sent afterwards."""
        if not isinstance(self.body, bytes):
            self.body = b"".join(pieces(self.body))
        return self.body

    def with_body(self, body: Body, **changes: object) -> Response:
        return replace(self, body=body, **changes)  # type: ignore[arg-type]


def pieces(body: Body) -> Iterator[bytes]:
    """The body in writable pieces; what it was read from is closed at the end."""
    if isinstance(body, bytes):
        view = memoryview(body)
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]  # type: ignore[misc]
        return
    try:
        yield from body
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


@dataclass
class Listener:
    """A listening socket; `origin` is how clients name it."""

    name: str
    host: str
    socket: socket.socket
    tls: ssl.SSLContext | None
    port: int

    @property
    def origin(self) -> str:
        default = 443 if self.tls else 80
        port = "" if self.port == default else f":{self.port}"
        return f"{'https' if self.tls else 'http'}://{self.host}{port}"


class Server:
    """Several listeners, one thread to accept and one for each connection; `close` ends all of them."""

    def __init__(self, handler: Handler, latency: Callable[[], float]) -> None:
        self.handler = handler
        self.latency = latency
        self.listeners: dict[str, Listener] = {}
        self.failures: list[str] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, woken = socket.socketpair()
        self._woken = woken
        self._selector.register(woken, selectors.EVENT_READ)
        self._acceptor = threading.Thread(target=self._accept, name="forge", daemon=True)

    def listen(self, name: str, host: str, tls: ssl.SSLContext | None) -> Listener:
        """`host` is the name in the origin; the socket is always bound to 127.0.0.1."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener = self.listeners[name] = Listener(name, host, listening, tls, listening.getsockname()[1])
        self._selector.register(listening, selectors.EVENT_READ, listener)
        return listener

    def start(self) -> None:
        self._acceptor.start()

    def close(self) -> None:
        """Ends every connection, whatever it is doing, and waits for the threads; the second time nothing happens."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._wake.send(b".")
        if self._acceptor.is_alive():
            self._acceptor.join()
        self._selector.close()
        for end in (self._wake, self._woken, *(listener.socket for listener in self.listeners.values())):
            end.close()
        with self._lock:
            threads = dict(self._open)
            for connection in threads.values():
                _shut(connection)
        for thread in threads:
            thread.join(timeout=30)
            if thread.is_alive():
                self.failures.append(f"{thread.name} did not end")

    def _accept(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                connection, _address = key.data.socket.accept()
                thread = threading.Thread(target=self._serve, args=(key.data, connection), daemon=True)
                with self._lock:
                    self._open[thread] = connection
                thread.start()

    def _serve(self, listener: Listener, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._travel()  # the round trip of TCP's handshake
            if listener.tls is not None:
                self._travel()  # and of TLS 1.3's
                secured = listener.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                connection = secured
                with self._lock:
                    self._open[threading.current_thread()] = connection
                if self.closing.is_set():
                    return
                secured.do_handshake()
            stream = connection.makefile("rb")
            with stream:
                while self._exchange(listener, connection, stream):
                    pass
        except (OSError, http.client.HTTPException):
            pass  # the client left, or did not like the certificate
        except Exception:
            self.failures.append(traceback.format_exc())
        finally:
            with self._lock:
                del self._open[threading.current_thread()]
            connection.close()

    def _travel(self) -> None:
        """One round trip; cut short when the forge closes."""
        latency = self.latency()
        if latency > 0:
            self.closing.wait(latency)

    def _exchange(self, listener: Listener, connection: socket.socket, stream: BinaryIO) -> bool:
        """One request and its answer; whether the connection stays open."""
        line = stream.readline(65537)
        if not line.strip():
            return False
        method, target, version = line.decode("latin-1").split()
        headers = {name.lower(): value for name, value in http.client.parse_headers(stream).items()}
        if headers.get("expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _request_body(headers, stream)
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        request = Request(listener.name, listener.origin, method, parts.path, query, headers, body, target)
        self._travel()
        try:
            response = self.handler(request)
        except Exception:
            self.failures.append(traceback.format_exc())
            response = Response(500, {"Content-Type": "text/plain"}, b"the forge broke, see its failures\n")
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return _send(connection, response, method == "HEAD") and keep


def _request_body(headers: dict[str, str], stream: BinaryIO) -> BinaryIO:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = io.BytesIO()
        while size := int(stream.readline().split(b";")[0], 16):
            body.write(stream.read(size))
            stream.readline()
        while stream.readline().strip():
            pass  # trailers
        body.seek(0)
        return body
    return io.BytesIO(stream.read(int(headers.get("content-length", "0"))))


def _send(connection: socket.socket, response: Response, head_only: bool) -> bool:
    """Sends an answer; whether the connection can be used again."""
    if response.reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if response.body == b"":
            return False
    bodiless = response.status in (204, 304)
    headers = dict(response.headers)
    headers.setdefault("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()))
    if response.framing == "chunked" and not bodiless:
        headers["Transfer-Encoding"] = "chunked"
    elif response.framing == "close":
        headers["Connection"] = "close"
    elif not bodiless:
        size = response.declared if response.declared is not None else len(response.content())
        headers["Content-Length"] = str(size)
    reason = http.client.responses.get(response.status, "Unknown")
    lines = [f"HTTP/1.1 {response.status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    connection.sendall("\r\n".join(lines).encode("latin-1"))
    if head_only or bodiless:
        close = getattr(response.body, "close", None)
        if close is not None:
            close()
        return True
    for piece in pieces(response.body):
        if response.framing == "chunked":
            if piece:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            connection.sendall(piece)
    if response.unterminated or response.framing == "close":
        return False
    if response.framing == "chunked":
        connection.sendall(b"0\r\n\r\n")
    return True


def _shut(connection: socket.socket) -> None:
    try:
        # The plain method: the one of SSLSocket would take the TLS state away from the thread that uses it.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        pass
