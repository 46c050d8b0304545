"""A tiny server on loopback that answers what a test tells it to, and a source of credentials that remembers."""

from __future__ import annotations

import io
import os
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from git_coderepo.credentials.secret import Credential, Secret
from git_coderepo.git.url.remote import Origin


class Tokens:
    """A CredentialSource: `origin` to token, or to (user, token)."""

    def __init__(self, tokens: Mapping[str, str | tuple[str, str]] | None = None) -> None:
        self.tokens = dict(tokens or {})
        self.asked: list[tuple[str, str]] = []
        self.refusals: list[tuple[str, str]] = []
        self.acceptances: list[tuple[str, str]] = []

    def find(self, origin: Origin, path: str) -> Credential | None:
        self.asked.append((str(origin), path))
        found = self.tokens.get(str(origin))
        if found is None:
            return None
        user, token = found if isinstance(found, tuple) else (None, found)
        return Credential(Secret(token), user=user, source="the test")

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        self.refusals.append((str(origin), path))

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        self.acceptances.append((str(origin), path))


@dataclass(frozen=True)
class Answer:
    """`cut` sends that many bytes of the body and closes the connection; `chunked` sends it without a length."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    chunked: bool = False


def json_answer(text: str, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, text.encode(), {"Content-Type": "application/json; charset=utf-8", **named})


def archive_answer(body: bytes, **options: Any) -> Answer:
    return Answer(200, body, {"Content-Type": "application/x-gzip"}, **options)


def archive(files: Mapping[str, tuple[int, bytes]], top: str = "acme-widgets-5f3c1de/") -> bytes:
    """A gzip tar of path to (mode, contents), as GitHub makes them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for path, (mode, data) in files.items():
            member = tarfile.TarInfo(top + path)
            if mode == 0o120000:
                member.type, member.linkname = tarfile.SYMTYPE, data.decode()
                tar.addfile(member)
                continue
            member.mode, member.size = mode & 0o777, len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True)
class Request:
    path: str
    query: str
    headers: Mapping[str, str]


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away early is none of this server's errors."""


class Server:
    """`answers` maps a path to an Answer, to a list of them (the last one stays), or to a function of the request."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", git_root: str | None = None) -> None:
        self.answers: dict[str, Answer | list[Answer] | Callable[[Request], Answer]] = {}
        self.requests: list[Request] = []
        self.git_root = git_root
        self.git_password: str | None = None
        self._server = _QuietServer((host, 0), _handler(self))
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        name = "localhost" if tls is not None else host
        self.url = f"{'https' if tls is not None else 'http'}://{name}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        found = self.answers.get(request.path)
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        if found is None or isinstance(found, Answer):
            return found or json_answer('{"message": "Not Found"}', 404)
        return found(request)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(**options: Any) -> Iterator[Server]:
    server = Server(**options)
    try:
        yield server
    finally:
        server.close()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if server.git_root is not None and path.startswith("/git/"):
                self._git(path, query, b"")
                return
            answer = server.answer(Request(path, query, {name.lower(): value for name, value in self.headers.items()}))
            self._send(answer)

        def do_POST(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._git(path, query, body)

        def _send(self, answer: Answer) -> None:
            self.log_request(answer.status)
            self.send_response_only(answer.status)
            usual = {"Server": self.version_string(), "Date": self.date_time_string()}
            for name, value in {**usual, **answer.headers}.items():
                self.send_header(name, value)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            body = answer.body if answer.cut is None else answer.body[: answer.cut]
            if answer.chunked:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if body else b"")
                if answer.cut is None:
                    self.wfile.write(b"0\r\n\r\n")
            else:
                self.wfile.write(body)
            if answer.cut is not None:
                self.close_connection = True

        def _git(self, path: str, query: str, body: bytes) -> None:
            """git http-backend as a CGI: https://git-scm.com/docs/git-http-backend"""
            authorization = self.headers.get("Authorization")
            server.requests.append(Request(path, query, {"authorization": authorization or ""}))
            if server.git_password is not None:
                import base64

                expected = base64.b64encode(server.git_password.encode()).decode()
                if authorization != f"Basic {expected}":
                    self._send(Answer(401, b"no", {"WWW-Authenticate": 'Basic realm="git"'}))
                    return
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": server.git_root or "",
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path.removeprefix("/git"),
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": "127.0.0.1",
            }
            done = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True)
            head, _, rest = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            status = int(headers.pop("Status", "200 OK").split()[0])
            self._send(Answer(status, rest, headers))

    return Handler
