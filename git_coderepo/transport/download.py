"""A body as it arrives, read as a file: what was received is counted, what is cut off is said."""

from __future__ import annotations

from git_coderepo.errors import DownloadDamaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from urllib3 import HTTPResponse


class Download:
    """Bytes from a server, to be read once and closed; `received` counts those that arrived.

    `raw` gives them as they were sent, without undoing a content encoding. `read` raises DownloadDamaged where the
    connection ends before the body does.
    """

    __slots__ = ("_ahead", "_body", "_origin", "_raw", "closed", "received")

    def __init__(self, body: HTTPResponse, origin: str, *, raw: bool) -> None:
        self._body = body
        self._origin = origin
        self._raw = raw
        self._ahead = b""
        self.received = 0
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that is left for -1; fewer only at the end."""
        ahead = self._ahead
        if size is None or size < 0:
            self._ahead = b""
            return b"".join([ahead, *iter(lambda: self._receive(1 << 20), b"")])
        if ahead:
            self._ahead = ahead[size:]
            if len(ahead) >= size:
                return ahead[:size]
            return ahead + self._receive(size - len(ahead))
        return self._receive(size)

    def peek(self, size: int) -> bytes:
        """The next bytes, which `read` gives again."""
        if len(self._ahead) < size:
            self._ahead += self._receive(size - len(self._ahead))
        return self._ahead[:size]

    def _receive(self, size: int) -> bytes:
        import http.client
        import zlib

        import urllib3.exceptions

        if size == 0:
            return b""
        try:
            piece = self._body.read(size, decode_content=not self._raw)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
            reason = "no more data came"
        except urllib3.exceptions.DecodeError:
            reason = "its encoding is damaged"
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, zlib.error, ValueError):
            reason = "the connection was cut"
        else:
            self.received += len(piece)
            return piece
        self.close()
        raise DownloadDamaged(
            f"the download from '{self._origin}' broke off after {self.received} bytes: {reason}", hints=["try again"]
        )

    def readable(self) -> bool:
        return True

    def abandon(self) -> None:
        """Have another thread that waits for data in `read` wait no longer; what comes of it is an error there."""
        try:
            self._body.shutdown()
        except (OSError, RuntimeError, TypeError, ValueError):
            pass  # the connection is gone already, or is just being closed, and nobody can wait for it

    def close(self) -> None:
        """Close the connection: it may hold the rest of the body."""
        self.closed = True
        self._body.close()

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
