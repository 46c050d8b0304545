"""What goes wrong on the way to a platform, on demand: `forge.misbehave("archive", Cut(after=10_000))`.

Each is asked with the request and a function that gives the proper answer, and gives the answer to send.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from tests.forge import archives
from tests.forge.http import Request, Response, pieces

if TYPE_CHECKING:
    from tests.forge.server import Forge

Proceed = Callable[[], Response]


class Misbehaviour(Protocol):
    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response: ...


@dataclass(frozen=True)
class Delay:
    """The proper answer, `seconds` late."""

    seconds: float

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        forge.server.closing.wait(self.seconds)
        return proceed()


@dataclass(frozen=True)
class Slow:
    """The proper answer, at so many bytes a second."""

    bytes_per_second: int

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        return response.with_body(self._drip(forge, response), declared=_declared(response))

    def _drip(self, forge: Forge, response: Response) -> Iterator[bytes]:
        step = max(1, self.bytes_per_second // 20)
        for piece in pieces(response.body):
            for start in range(0, len(piece), step):
                yield piece[start : start + step]
                if forge.server.closing.wait(step / self.bytes_per_second):
                    return


@dataclass(frozen=True)
class Cut:
    """Only the first `after` bytes of the body.

    `framing` is how the whole was announced: `length` (a Content-Length that is not kept), `chunked` (without its end),
    `terminated` (chunked, and ended as if that were all), `close` (nothing announced, the connection just ends).
    """

    after: int
    framing: str = "length"

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        whole = response.content()
        assert len(whole) > self.after, f"nothing to cut: {len(whole)} bytes"
        start = whole[: self.after]
        if self.framing == "length":
            return response.with_body(start, framing="length", declared=len(whole), unterminated=True)
        if self.framing == "close":
            return response.with_body(start, framing="close")
        return response.with_body(start, framing="chunked", unterminated=self.framing == "chunked")


@dataclass(frozen=True)
class Stall:
    """The first `after` bytes of the body, then silence for `seconds` (or until the forge closes), then the end."""

    after: int = 0
    seconds: float = 3600

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        whole = response.content()

        def body() -> Iterator[bytes]:
            yield whole[: self.after]
            forge.server.closing.wait(self.seconds)

        return response.with_body(body(), framing="length", declared=len(whole), unterminated=True)


@dataclass(frozen=True)
class Hangup:
    """No answer: the connection is reset."""

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        return Response(500, reset=True)


@dataclass(frozen=True)
class Reset:
    """The first `after` bytes of the body, then a TCP reset; none at all where there is no more to send."""

    after: int

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        whole = response.content()

        def body() -> Iterator[bytes]:
            yield whole[: self.after]
            # A reset takes with it what the other side has not read yet.
            forge.server.closing.wait(0.5)

        started = body() if len(whole) > self.after else b""
        return response.with_body(started, framing="length", declared=len(whole), unterminated=True, reset=True)


@dataclass(frozen=True)
class Status:
    """An answer with this status, and JSON for a body."""

    status: int
    body: bytes = b'{"message": "Server Error"}'
    headers: tuple[tuple[str, str], ...] = ()

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        headers = {"Content-Type": "application/json; charset=utf-8", **dict(self.headers)}
        return Response(self.status, headers, self.body)


@dataclass(frozen=True)
class RetryAfter:
    """A limit that names seconds to wait: GitLab's 429, GitHub's secondary limit (429 or 403)."""

    seconds: int = 1
    status: int = 429
    as_date: bool = False  # RFC 9110, section 10.2.3, allows both
    clock: int = 0  # the seconds by which the server's clock is ahead

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        body = (
            b'{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
        )
        now = time.time() + self.clock
        until = formatdate(now + self.seconds, usegmt=True) if self.as_date else str(self.seconds)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Date": formatdate(now, usegmt=True),
            "Retry-After": until,
        }
        return Response(self.status, headers, body)


@dataclass(frozen=True)
class LimitReset:
    """GitHub's primary limit: 403 or 429, `x-ratelimit-remaining: 0`, and when it ends in seconds since 1970.

    GitLab's has the same names without `x-`: https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/
    """

    seconds: int = 1
    status: int = 403
    clock: int = 0  # the seconds by which the server's clock is ahead
    prefix: str = "x-ratelimit"

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        now = int(time.time()) + self.clock
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Date": formatdate(now, usegmt=True),
            f"{self.prefix}-limit": "60",
            f"{self.prefix}-remaining": "0",
            f"{self.prefix}-reset": str(now + self.seconds),
        }
        if self.prefix == "x-ratelimit":
            headers.update({"x-ratelimit-used": "60", "x-ratelimit-resource": "core"})
        return Response(self.status, headers, b'{"message": "API rate limit exceeded for 127.0.0.1."}')


@dataclass(frozen=True)
class Html:
    """A page for people, with status 200: a login page, a proxy's notice."""

    status: int = 200

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        page = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"
        return Response(self.status, {"Content-Type": "text/html; charset=utf-8"}, page)


@dataclass(frozen=True)
class Typed:
    """The proper answer, under another content type."""

    content_type: str

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        response.headers["Content-Type"] = self.content_type
        return response


@dataclass(frozen=True)
class Gone:
    """404, in the platform's words."""

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        return forge.not_found(request)


@dataclass(frozen=True)
class Redirect:
    """A redirect to `evil` (another host), `http` (not encrypted), `loop` (here again), or any URL.

    To the listeners of the forge the request's own path and query are kept.
    """

    to: str
    status: int = 302

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        origins = {"evil": forge.evil_url, "http": forge.plain_url, "loop": request.origin}
        location = origins[self.to] + request.target if self.to in origins else self.to
        return Response(self.status, {"Location": location, "Content-Type": "text/html;charset=utf-8"})


@dataclass(frozen=True)
class WrongByte:
    """An archive with one bit of one file's content turned; its checksums are those of what is sent."""

    name: str | None = None

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        return _rewritten(proceed(), lambda tar: archives.flipped(tar, self.name))


@dataclass(frozen=True)
class MissingEntry:
    """An archive without one of its files."""

    name: str | None = None

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        return _rewritten(proceed(), lambda tar: archives.without(tar, self.name))


@dataclass(frozen=True)
class RewrittenTar:
    """An archive whose tar is what `rewrite` makes of the proper one."""

    rewrite: archives.Rewrite

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        return _rewritten(proceed(), self.rewrite)


@dataclass(frozen=True)
class OtherCommit:
    """The archive of another commit of the same repository, with status 200."""

    commit: str

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        repository = forge.asked_repository(request)
        assert repository is not None
        top = f"{repository.name.replace('/', '-')}-{self.commit[:7]}"
        body = forge.archive(repository, self.commit, top)
        assert body is not None
        response.content()
        return response.with_body(body)


@dataclass(frozen=True)
class BrokenGzip:
    """A gzip that ends too early (`truncated`) or with one bit turned in the middle; HTTP says nothing of it."""

    truncated: bool = True

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        data = response.content()
        middle = len(data) // 2
        broken = data[:middle] if self.truncated else data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return response.with_body(broken)


@dataclass(frozen=True)
class Garbled:
    """The proper answer with one bit of its body turned."""

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        response = proceed()
        data = response.content()
        middle = len(data) // 2
        return response.with_body(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def _rewritten(response: Response, rewrite: archives.Rewrite) -> Response:
    return response.with_body(archives.rewritten(response.content(), rewrite))


def _declared(response: Response) -> int | None:
    return len(response.content()) if response.framing == "length" else None
