"""HTTP for platforms with an API: redirects, credentials by origin, rate limits.

A credential is looked up for the origin and path of the request that is about to be sent, and never forwarded: requests
and curl drop `Authorization` at another host, but forward any other header. A URL with a `.` or `..` segment, encoded
or not, is never requested: what the server makes of it would be another path than the one looked up.
"""

from __future__ import annotations

import os

from git_coderepo import __version__
from git_coderepo.credentials.secret import log_in_hint
from git_coderepo.errors import DownloadDamaged, HostUnreachable, InvalidRemoteURL, ProtocolNotAllowed, UnexpectedAnswer
from git_coderepo.git.url.parse import first_of, has_dot_segment
from git_coderepo.git.url.remote import Origin
from git_coderepo.trace import silent, trace
from git_coderepo.transport.http_failures import unreachable, untrusted
from git_coderepo.transport.proxy import NetworkSettings
from git_coderepo.transport.retry import asked_delay, limited, pause, shown_seconds, spread

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from threading import Thread
    from types import TracebackType
    from typing import Any

    import requests
    from urllib3 import HTTPResponse

    from git_coderepo.credentials.secret import Credential, CredentialSource

    Authorize = Callable[[Credential], tuple[str, str]]
    Key = tuple[str, int, int, int, int]

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds; git's own variable names another for the second
MOST_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def allowed_by_environment(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the protocols in CODEREPO_ALLOW_PROTOCOL, which are separated by `:`."""
    return frozenset(environment.get("CODEREPO_ALLOW_PROTOCOL", "").split(":")) - {""}


def check_protocol(origin: Origin, environment: Mapping[str, str]) -> None:
    """Raise ProtocolNotAllowed unless it is https, or http to this machine and CODEREPO_ALLOW_PROTOCOL allows that."""
    if origin.scheme == "https":
        return
    if origin.scheme != "http":
        raise ProtocolNotAllowed(f"'{origin}' is not https")
    if origin.host not in LOOPBACK:
        raise ProtocolNotAllowed(f"'{origin}' is not encrypted", hints=[f"use https://{origin.host}"])
    allowed = allowed_by_environment(environment)
    if "http" not in allowed:
        raise ProtocolNotAllowed(
            f"'{origin}' is not https",
            hints=[f"if you trust it: export CODEREPO_ALLOW_PROTOCOL={':'.join(sorted({'http', *allowed}))}"],
        )


def bearer(credential: Credential) -> tuple[str, str]:
    """Return the header of a bearer token (RFC 6750)."""
    return "Authorization", f"Bearer {credential.secret.reveal()}"


class Http:
    """Requests for one repository that change nothing; see the module.

    `repository_path` gives, for a request's origin and URL path, the path of the repository that it is about where the
    URL path does not begin with that, as in an API; both are percent-encoded. A credential's path prefix is held
    against it; None: against the URL's own path. `credential_origin` names the other origin whose credential serves
    here, by the platform's own table.
    """

    __slots__ = (
        "_accepted",
        "_authorize",
        "_credential_origin",
        "_credentials",
        "_environment",
        "_max_wait",
        "_network",
        "_notify",
        "_repository_path",
        "_session",
    )  # fmt: skip

    def __init__(
        self,
        credentials: CredentialSource,
        *,
        authorize: Authorize = bearer,
        repository_path: Callable[[Origin, str], str | None] = lambda origin, path: None,
        credential_origin: Callable[[Origin], Origin | None] = lambda _: None,
        notify: Callable[[str], None] = silent,
        max_wait: float = 60,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._credentials = credentials
        self._authorize = authorize
        self._repository_path = repository_path
        self._credential_origin = credential_origin
        self._notify = notify
        self._max_wait = max_wait
        self._environment = os.environ if environment is None else environment
        self._network = NetworkSettings(self._environment)
        self._session: requests.Session | None = None
        self._accepted: set[tuple[str, str]] = set()

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        authorize: Authorize | None = None,
        bound: Mapping[str, str] | None = None,
        max_wait: float | None = None,
    ) -> Response:
        """Send a GET, follow redirects, wait for rate limits, and return the answer, whatever its status.

        `bound` are headers that may hold a secret of this origin's: a redirect to another one drops them. `max_wait`
        are the seconds for which a limit is waited for, None for those of this object.
        Raises HostUnreachable, RateLimited, ProtocolNotAllowed, UnexpectedAnswer.
        """
        most = self._max_wait if max_wait is None else max_wait
        return self._ask(url, headers or {}, authorize or self._authorize, bound or {}, None, most)

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, bound: Mapping[str, str] | None = None
    ) -> Response:
        """Send a POST that changes nothing, so that it may be repeated or redirected; otherwise as `get`."""
        return self._ask(url, headers, self._authorize, bound or {}, body, self._max_wait)

    def open(self, origin: Origin | None = None) -> None:
        """Open the session; call it before several threads send requests.

        The certificates for `origin` are read first, if it is given.
        """
        if self._session is not None:
            return
        asked = self._network.start()
        from urllib3.util.ssl_ import create_urllib3_context  # takes a while, in which git answers

        contexts = Contexts(create_urllib3_context)
        self._network.take(asked)
        if origin is not None and origin.scheme == "https":
            try:
                contexts.begin(self._network.authorities(origin))  # read while the rest is imported
            except OSError:
                pass  # raised again when the request is sent
        self._session = _new_session(contexts)

    def _ask(
        self,
        url: str,
        headers: Mapping[str, str],
        authorize: Authorize,
        bound: Mapping[str, str],
        body: bytes | None,
        max_wait: float,
    ) -> Response:
        import time

        waited = 0.0
        attempt = 0
        while True:
            response = self._follow(url, headers, authorize, bound, body)
            delay = asked_delay(response, attempt, time.time())
            if delay is None:
                return response
            response.close()
            if waited + delay > max_wait:
                raise limited(response, delay, waited, self._log_in(response.origin))
            self._notify(f"'{response.origin}' asks to wait {shown_seconds(delay)}")
            time.sleep(spread(delay))
            waited += delay
            attempt += 1

    def _log_in(self, origin: Origin) -> str:
        return log_in_hint(self._credentials, self._credential_origin(origin) or origin)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _follow(
        self,
        url: str,
        headers: Mapping[str, str],
        authorize: Authorize,
        bound: Mapping[str, str],
        body: bytes | None,
    ) -> Response:
        from urllib.parse import urldefrag, urljoin

        first = origin = Origin.parse(url)
        if not _is_plain(url):
            raise InvalidRemoteURL(f"cannot request a URL of '{origin}': '.' or '..' in its path is not allowed")
        seen = {url}
        at_home = True
        while True:
            check_protocol(origin, self._environment)
            sent = {**headers, **bound} if at_home else headers
            response = self._send(url, origin, sent, authorize if at_home else None, body)
            if not at_home and response.status in (401, 403, 404):
                # A stranger that was sent nothing may be one for whom there is a credential of its own.
                response = self._send(url, origin, sent, authorize, body, instead_of=response)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or not location:
                self._take_note(response)
                return response
            response.close()
            if not _is_plain(location):
                raise UnexpectedAnswer(f"'{origin}' redirects to a URL with '.' or '..' in its path")
            url = urldefrag(urljoin(url, location)).url
            before, origin = origin, _origin_of_redirect(url, before=origin)
            if before.scheme == "https" and origin.scheme != "https":
                raise ProtocolNotAllowed(f"'{before}' redirects to '{origin}', which is not https")
            if url in seen:
                raise UnexpectedAnswer(f"'{before}' redirects in a circle")
            if len(seen) > MOST_REDIRECTS:
                raise UnexpectedAnswer(f"'{first}' redirects more than {MOST_REDIRECTS} times")
            seen.add(url)
            at_home = at_home and origin == first

    def _send(
        self,
        url: str,
        origin: Origin,
        headers: Mapping[str, str],
        authorize: Authorize | None,
        body: bytes | None,
        instead_of: Response | None = None,
    ) -> Response:
        """Send a request, without a credential if `authorize` is None; if there is none, return `instead_of`."""
        self.open(origin)
        import requests

        credential, asked = self._find(origin, url) if authorize is not None else (None, None)
        if instead_of is not None:
            if credential is None:
                return instead_of
            instead_of.close()
        assert self._session is not None
        method = "GET" if body is None else "POST"
        sent = dict(headers)
        if credential is not None and authorize is not None:
            name, value = authorize(credential)
            sent[name] = value
        proxies = self._network.proxies(url, origin)
        failure: HostUnreachable | UnexpectedAnswer
        try:
            answer = self._session.request(
                method,
                url,
                data=body,
                headers=sent,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT, self._silence()),
                verify=self._network.authorities(origin),
                proxies=proxies,
            )
        except requests.RequestException as error:
            failure = unreachable(origin, error, proxies.get(origin.scheme) or proxies.get("all"))
        except OSError as error:
            failure = untrusted(origin, error)
        except ValueError:
            failure = UnexpectedAnswer(f"'{origin}' cannot be reached: invalid URL or header")
        else:
            trace(f"{method} {url} {answer.status_code}")
            return Response(answer, url, origin, credential, asked)
        # Raised here, outside the handler: the original error holds the request with its headers.
        raise failure

    def _silence(self) -> float:
        """Return for how many seconds a server may send nothing."""
        named = self._environment.get("GIT_HTTP_LOW_SPEED_TIME", "")
        return float(named) if named.isascii() and named.isdigit() and int(named) > 0 else READ_TIMEOUT

    def _find(self, origin: Origin, url: str) -> tuple[Credential | None, tuple[Origin, str] | None]:
        path = self._looked_up(origin, url)
        other = self._credential_origin(origin)
        for candidate in (other, origin):
            if candidate is not None:
                credential = self._credentials.find(candidate, path)
                if credential is not None:
                    return credential, (candidate, path)
        return None, None

    def _looked_up(self, origin: Origin, url: str) -> str:
        """Return the path that a credential's prefix is held against; `/`, which only credentials without one fit."""
        from urllib.parse import unquote, urlsplit

        path = urlsplit(url).path
        found = self._repository_path(origin, path)
        encoded = path if found is None else found
        decoded = unquote(encoded, errors="surrogateescape")
        # An encoded slash or a backslash parts names for some servers and not for others.
        is_plain = decoded.count("/") == encoded.count("/") and "\\" not in decoded and not has_dot_segment(encoded)
        return decoded if is_plain else "/"

    def _take_note(self, response: Response) -> None:
        if response.credential is None or response.asked is None or response.status >= 300:
            return
        origin, path = response.asked
        if (str(origin), path) not in self._accepted:
            self._accepted.add((str(origin), path))
            self._credentials.accepted(origin, path, response.credential)


def _new_session(contexts: Contexts) -> requests.Session:
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Jittered(Retry):
        def get_backoff_time(self) -> float:
            return pause(len(self.history))

    class Trusting(HTTPAdapter):
        def build_connection_pool_key_attributes(
            self, request: requests.PreparedRequest, verify: Any, cert: Any = None
        ) -> Any:
            host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
            context = contexts.of(verify) if isinstance(verify, str) and host["scheme"] == "https" else None
            return host, pool if context is None else {**pool, "ssl_context": context}

    session = requests.Session()
    # Without it requests would read ~/.netrc and send what it finds there; proxies and CA files are given per call.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update({"User-Agent": f"git-coderepo/{__version__}", "Accept-Encoding": "gzip"})
    retry = Jittered(
        total=3,
        connect=2,
        read=1,
        other=0,
        status=2,
        redirect=False,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=("GET", "POST"),  # see `Http.post`
        respect_retry_after_header=False,  # limits are waited for by `get`, which knows how long it may
        raise_on_status=False,
    )
    for prefix in ("https://", "http://"):
        session.mount(prefix, Trusting(max_retries=retry))
    return session


def _is_plain(url: str) -> bool:
    """Return whether every server and library sees the same path in a URL, or in a reference relative to one."""
    path = url[: first_of(url, "?#")]
    return not any(char < " " or char == "\x7f" for char in url) and not has_dot_segment(path)


def _origin_of_redirect(url: str, *, before: Origin) -> Origin:
    from urllib.parse import urlsplit

    try:
        if "@" in urlsplit(url).netloc:
            raise UnexpectedAnswer(f"'{before}' redirects to a URL with a user name in it")
        return Origin.parse(url)
    except (InvalidRemoteURL, ValueError):
        raise UnexpectedAnswer(f"'{before}' redirects to an invalid URL") from None


# --- Answers, and which of them are accepted ------------------------------------------------

MOST_JSON = 8 << 20  # bytes


class Response:
    """An answer whose body is still to be read: `status`, `headers` (any case), `origin`.

    `credential` is the one that was sent, or None; `asked` is the origin and path for which it was found.
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
        """Return the JSON object in the body, whatever the status. Raises UnexpectedAnswer."""
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
        """Return the body as a file, decoded unless `raw`."""
        return Download(self._answer.raw, str(self.origin), raw=raw)

    def archive(self) -> Download:
        """Return the body if its type and first bytes are those of a gzip archive. Raises UnexpectedAnswer."""
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
            raise UnexpectedAnswer(f"'{self.origin}' did not return a gzip archive")
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


# --- Bodies as they arrive -------------------------------------


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
        """Return up to `size` bytes, or all that are left for -1; fewer only at the end."""
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
        """Return the next bytes, which `read` returns again."""
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
            reason = "no more data arrived"
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
        """Interrupt another thread that waits in `read`, which then raises."""
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


# --- TLS contexts that connections share: reading the system's authorities takes 25 ms each time ------------------


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
        """Start to read a file, in another thread if one can be started."""
        from threading import Thread

        thread = Thread(target=self._read_ahead, args=(path,), name="git-coderepo-authorities", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        self._reading = thread

    def of(self, path: str) -> ssl.SSLContext | None:
        """Return the context of a file; None for a directory and an unreadable file, which the connection reports."""
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
            pass  # raised again by the request that needs it

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
    """Keep urllib3 from reading the same file again for each connection."""
    read = context.load_verify_locations

    def load(cafile: str | None = None, capath: str | None = None, cadata: str | bytes | None = None) -> None:
        if (cafile, capath, cadata) != (path, None, None):
            read(cafile, capath, cadata)

    context.load_verify_locations = load  # type: ignore[method-assign,assignment]
