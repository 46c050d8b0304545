"""An answer of a platform: whose it is, and what of it is believed."""

from __future__ import annotations

from git_coderepo.errors import UnexpectedAnswer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from git_coderepo.credentials.secret import Credential
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.transport.download import Download

MOST_JSON = 8 << 20  # bytes


class Response:
    """An answer whose body is still to be read: `status`, `headers` (any case), `origin`.

    `credential` is the one that went with the request, None without; `asked` the origin and path it was found for.
    """

    __slots__ = ("_answer", "asked", "credential", "headers", "origin", "status", "url")

    def __init__(
        self,
        answer: requests.Response,
        url: str,
        origin: Origin,
        credential: Credential | None,
        asked: tuple[Origin, str] | None,
    ) -> None:
        self._answer = answer
        self.url = url
        self.origin = origin
        self.credential = credential
        self.asked = asked
        self.status = answer.status_code
        self.headers: Mapping[str, str] = answer.headers

    @property
    def content_type(self) -> str:
        """`application/json`, without parameters; "" where the answer names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> dict[str, object]:
        """The object in the body; raises UnexpectedAnswer for anything else, of whatever status."""
        value = self._value()
        if not isinstance(value, dict):
            raise UnexpectedAnswer(f"'{self.origin}' answered with JSON that its API does not describe")
        return value

    def rows(self) -> list[dict[str, object]]:
        """Return the list of objects in the body; raises as `json`."""
        value = self._value()
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise UnexpectedAnswer(f"'{self.origin}' answered with JSON that its API does not describe")
        return value

    def _value(self) -> object:
        import json

        if "json" not in self.content_type:
            self.close()
            raise _not_the_api(self, "JSON")
        body = self.download().read(MOST_JSON + 1)
        self.close()
        try:
            value: object = json.loads(body) if len(body) <= MOST_JSON else None
        except (ValueError, RecursionError):
            value = None
        return value

    def download(self, *, raw: bool = False) -> Download:
        """The body as a file, decoded unless `raw`."""
        from git_coderepo.transport.download import Download

        return Download(self._answer.raw, str(self.origin), raw=raw)

    def archive(self) -> Download:
        """The body, once its type and first bytes say that it is a gzip archive; raises UnexpectedAnswer."""
        kind, _, subtype = self.content_type.partition("/")
        trusted = kind in ("", "binary") or (
            kind == "application" and not subtype.endswith(("json", "xml", "javascript"))
        )
        if not trusted:
            self.close()
            raise _not_the_api(self, "an archive")
        download = self.download(raw=True)
        try:
            is_gzip = download.peek(2) == b"\x1f\x8b"  # RFC 1952, section 2.3.1
        except BaseException:
            download.close()
            raise
        if not is_gzip:
            download.close()
            raise UnexpectedAnswer(f"'{self.origin}' answered with something else than a gzip archive")
        return download

    def close(self) -> None:
        self._answer.close()


def _not_the_api(response: Response, wanted: str) -> UnexpectedAnswer:
    kind = response.content_type
    shown = f"'{kind}'" if kind.isprintable() and kind else "no type"
    return UnexpectedAnswer(
        f"'{response.origin}' answered {response.status} with {shown} where {wanted} was asked for",
        hints=["check the URL of the API, and whether a proxy or a login page answers instead"],
    )
