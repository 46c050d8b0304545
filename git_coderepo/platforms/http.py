"""HTTP for the platforms that have an API: one session, redirects by hand, credentials by origin, limits waited for.

A credential is looked up for the origin of the request that is about to be sent, and never forwarded: requests and
curl drop `Authorization` at another host, but forward any other header.
"""

from __future__ import annotations

import os

from git_coderepo.errors import HostUnreachable, InvalidRemoteURL, ProtocolNotAllowed, RateLimited, UnexpectedAnswer
from git_coderepo.platforms.base import silent
from git_coderepo.platforms.way import Way
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from git_coderepo.credential import Credential, CredentialSource
    from git_coderepo.platforms.download import Download
    from git_coderepo.urls import Origin

    Authorize = Callable[[Credential], tuple[str, str]]

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60  # seconds
MOST_REDIRECTS = 5
MOST_WAITS = 10
MOST_JSON = 8 << 20  # bytes
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def allowed_by_environment(environment: Mapping[str, str]) -> frozenset[str]:
    """The protocols that CODEREPO_ALLOW_PROTOCOL adds, names parted by `:`."""
    return frozenset(environment.get("CODEREPO_ALLOW_PROTOCOL", "").split(":")) - {""}


def check_protocol(origin: Origin, environment: Mapping[str, str]) -> None:
    """https, or http to this very machine where CODEREPO_ALLOW_PROTOCOL says so; raises ProtocolNotAllowed."""
    if origin.scheme == "https":
        return
    if origin.scheme != "http":
        raise ProtocolNotAllowed(f"'{origin}' is not https")
    if origin.host not in LOOPBACK:
        raise ProtocolNotAllowed(f"'{origin}' is not encrypted", hints=[f"use https://{origin.host}"])
    if "http" not in allowed_by_environment(environment):
        raise ProtocolNotAllowed(
            f"'{origin}' is not https", hints=["CODEREPO_ALLOW_PROTOCOL=http allows it on this machine"]
        )


def bearer(credential: Credential) -> tuple[str, str]:
    """RFC 6750."""
    return "Authorization", f"Bearer {credential.secret.reveal()}"


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
        import json

        if "json" not in self.content_type:
            self.close()
            raise _not_the_api(self, "JSON")
        body = self.download().read(MOST_JSON + 1)
        self.close()
        try:
            value = json.loads(body) if len(body) <= MOST_JSON else None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise UnexpectedAnswer(f"'{self.origin}' answered with JSON that its API does not describe")
        return value

    def download(self, *, raw: bool = False) -> Download:
        """The body as a file, decoded unless `raw`."""
        from git_coderepo.platforms.download import Download

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
        hints=["look whether a proxy or a login page stands in between, and at the URL of the API"],
    )


class Http:
    """Requests for one repository that change nothing; see the module.

    `credential_path` turns a request's origin and URL path into the path of the repository that a credential's prefix
    is held against; `credential_origin` names the other origin whose credential serves here, by the platform's own
    table.
    """

    __slots__ = (
        "_accepted", "_authorize", "_credential_origin", "_credential_path", "_credentials", "_environment",
        "_max_wait", "_notify", "_session", "_way",
    )  # fmt: skip

    def __init__(
        self,
        credentials: CredentialSource,
        *,
        authorize: Authorize = bearer,
        credential_path: Callable[[Origin, str], str] = lambda _, path: path,
        credential_origin: Callable[[Origin], Origin | None] = lambda _: None,
        notify: Callable[[str], None] = silent,
        max_wait: float = 60,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._credentials = credentials
        self._authorize = authorize
        self._credential_path = credential_path
        self._credential_origin = credential_origin
        self._notify = notify
        self._max_wait = max_wait
        self._environment = os.environ if environment is None else environment
        self._way = Way(self._environment)
        self._session: requests.Session | None = None
        self._accepted: set[tuple[str, str]] = set()

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        authorize: Authorize | None = None,
        bound: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer to a GET, of whatever status, redirects followed and rate limits waited for.

        `bound` are headers that may hold a secret of this origin's: a redirect to another one drops them.
        Raises HostUnreachable, RateLimited, ProtocolNotAllowed, UnexpectedAnswer.
        """
        return self._ask(url, headers or {}, authorize or self._authorize, bound or {}, None)

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, bound: Mapping[str, str] | None = None
    ) -> Response:
        """The answer to a POST that only asks: it may be sent twice, and a redirect sends it on. As `get` otherwise."""
        return self._ask(url, headers, self._authorize, bound or {}, body)

    def open(self) -> None:
        """Have the session that requests share: before threads are started that ask at the same time."""
        if self._session is None:
            self._session = _new_session()

    def _ask(
        self,
        url: str,
        headers: Mapping[str, str],
        authorize: Authorize,
        bound: Mapping[str, str],
        body: bytes | None,
    ) -> Response:
        import time

        waited = delay = 0.0
        for attempt in range(MOST_WAITS):
            response = self._follow(url, headers, authorize, bound, body)
            asked = asked_delay(response, attempt, time.time())
            if asked is None:
                return response
            delay = asked
            response.close()
            if waited + delay > self._max_wait:
                break
            self._notify(f"'{response.origin}' asks to wait {delay:.0f} seconds")
            time.sleep(delay)
            waited += delay
        hints = [f"git config coderepo.maxWait {delay + waited:.0f}"] if delay + waited < 7200 else []
        if response.credential is None:
            hints.append(f"a token raises the limit: git coderepo login --host {response.origin.host}")
        raise RateLimited(
            f"'{response.origin}' limits requests and asks to come back in {delay:.0f} seconds", hints=hints
        )

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

        from git_coderepo.urls import Origin

        first = origin = Origin.parse(url)
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
        """One request; `authorize` None sends no credential. `instead_of` is returned where there is no credential."""
        import requests

        from git_coderepo.platforms.unreachable import unreachable, untrusted

        credential, asked = self._find(origin, url) if authorize is not None else (None, None)
        if instead_of is not None:
            if credential is None:
                return instead_of
            instead_of.close()
        self.open()
        assert self._session is not None
        method = "GET" if body is None else "POST"
        sent = dict(headers)
        if credential is not None and authorize is not None:
            name, value = authorize(credential)
            sent[name] = value
        failure: HostUnreachable | UnexpectedAnswer
        try:
            answer = self._session.request(
                method,
                url,
                data=body,
                headers=sent,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                verify=self._way.authorities(origin),
                proxies=self._way.proxies(url, origin),
            )
        except requests.RequestException as error:
            failure = unreachable(origin, error)
        except OSError as error:
            failure = untrusted(origin, error)
        except ValueError:
            failure = UnexpectedAnswer(f"'{origin}' cannot be asked: its URL or header is not valid")
        else:
            trace(f"{method} {url} {answer.status_code}")
            return Response(answer, url, origin, credential, asked)
        # Raised here, outside the handler: the original error holds the request with its headers.
        raise failure

    def _find(self, origin: Origin, url: str) -> tuple[Credential | None, tuple[Origin, str] | None]:
        from urllib.parse import urlsplit

        path = self._credential_path(origin, urlsplit(url).path)
        other = self._credential_origin(origin)
        for candidate in (other, origin):
            if candidate is not None:
                credential = self._credentials.find(candidate, path)
                if credential is not None:
                    return credential, (candidate, path)
        return None, None

    def _take_note(self, response: Response) -> None:
        if response.credential is None or response.asked is None or response.status >= 300:
            return
        origin, path = response.asked
        if (str(origin), path) not in self._accepted:
            self._accepted.add((str(origin), path))
            self._credentials.accepted(origin, path, response.credential)


def _new_session() -> requests.Session:
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    from git_coderepo import __version__

    session = requests.Session()
    # Without it requests would read ~/.netrc and send what it finds there; proxies and CA files are given per call.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update({"User-Agent": f"git-coderepo/{__version__}", "Accept-Encoding": "gzip"})
    retry = Retry(
        total=3,
        connect=2,
        read=1,
        other=0,
        status=2,
        redirect=False,
        status_forcelist=(500, 502, 503, 504),
        allowed_methods=("GET", "POST"),  # see `Http.post`
        backoff_factor=0.25,
        backoff_jitter=0.25,
        respect_retry_after_header=False,  # limits are waited for by `get`, which knows how long it may
        raise_on_status=False,
    )
    for prefix in ("https://", "http://"):
        session.mount(prefix, HTTPAdapter(max_retries=retry))
    return session


def _origin_of_redirect(url: str, *, before: Origin) -> Origin:
    from urllib.parse import urlsplit

    from git_coderepo.urls import Origin

    try:
        if "@" in urlsplit(url).netloc:
            raise UnexpectedAnswer(f"'{before}' redirects to a URL with a user name in it")
        return Origin.parse(url)
    except (InvalidRemoteURL, ValueError):
        raise UnexpectedAnswer(f"'{before}' redirects to something that is no URL of a server") from None


# --- rate limits ---------------------------------------------------------------------------------


def asked_delay(response: Response, attempt: int, now: float) -> float | None:
    """For how many seconds a server asks to be left alone; None where the answer is not about a limit.

    `Retry-After`: RFC 9110, section 10.2.3. `x-ratelimit-reset`: GitHub, seconds since the epoch. `RateLimit-Reset`:
    GitLab, the same; the IETF draft of that name counts from now.
    """
    headers = response.headers
    exhausted = headers.get("x-ratelimit-remaining") == "0" or headers.get("ratelimit-remaining") == "0"
    retry_after = headers.get("retry-after")
    if response.status not in (429, 403, 503) or (response.status != 429 and retry_after is None and not exhausted):
        return None
    if response.status == 503 and retry_after is None:
        return None
    if retry_after is not None:
        delay = _seconds(retry_after, now)
    else:
        reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
        delay = None if not reset.isascii() or not reset.isdigit() else float(reset)
        if delay is not None and delay > 1e8:
            delay -= now
    if delay is None:
        delay = float(1 << attempt)
    return max(delay, 0.2)


def _seconds(retry_after: str, now: float) -> float | None:
    from email.utils import parsedate_to_datetime

    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return parsedate_to_datetime(retry_after).timestamp() - now
    except ValueError:
        return None
