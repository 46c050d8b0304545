"""Turn errors of requests and urllib3, which wrap the reason several times, into errors of ours."""

from __future__ import annotations

from git_coderepo.errors import ConnectionBroken, HostUnreachable, UnexpectedAnswer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.url.remote import Origin

CERTIFICATE_HINTS = ("trust its certificate authority, in git as well: export GIT_SSL_CAINFO=/path/to/authority.pem",)
PROXY_HINTS = ("check HTTPS_PROXY and git's http.proxy, or list the host in NO_PROXY",)

CLOCK_HINTS = ("check this machine's clock (date -u) and the certificate's dates",)
_TIMES = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


def proxy_failed(place: str, proxy: str | None, why: str) -> HostUnreachable:
    """Return the error for `place` (quoted), which `proxy` (`HOST:PORT`, None: unknown) does not connect to.

    `why` is a status of the proxy's answer in digits, or says it in words.
    """
    named = f"the proxy '{proxy}'" if proxy is not None else "the proxy"
    hints = PROXY_HINTS
    if why == "407":
        why = "it requires a user name and a password, or refuses the given ones (407)"
        hints = ("write them into the proxy's URL, in HTTPS_PROXY or git's http.proxy",)
    elif why.isdigit():
        why = f"it answered {why}"
    return HostUnreachable(f"cannot reach {place} through {named}: {why}", hints=hints)


def proxy_shown(url: str | None) -> str | None:
    """Return `HOST:PORT` of a proxy's URL, without the user name and the password that may stand in it."""
    # The last `@`: a slash in a password is not always encoded.
    return (url or "").rpartition("://")[2].rpartition("@")[2].partition("/")[0] or None


def unreachable(origin: Origin, error: Exception, proxy: str | None = None) -> HostUnreachable | UnexpectedAnswer:
    """Return the error for a request without an answer: unknown name, refused, timed out, invalid certificate …

    `proxy` is the URL of the proxy that was asked.
    """
    import http.client
    import socket
    import ssl

    import requests
    import urllib3.exceptions as urllib3

    causes = _causes(error)

    def caused_by(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    name = f"'{origin}'"
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader)):
        return UnexpectedAnswer(f"{name} cannot be reached: invalid URL or header")
    if caused_by(urllib3.ProxyError, requests.exceptions.InvalidProxyURL):
        return proxy_failed(name, proxy_shown(proxy), _proxy_said(causes))
    if isinstance(error, requests.exceptions.InvalidSchema):  # what requests says of SOCKS without PySocks
        return HostUnreachable(
            f"cannot reach {name}: the proxy does not speak http",
            hints=["use an HTTP proxy: HTTPS_PROXY=http://HOST:PORT"],
        )
    certificate = caused_by(ssl.SSLCertVerificationError)
    if isinstance(certificate, ssl.SSLCertVerificationError):
        reason = certificate.verify_message.rstrip(".")
        told = certificate.verify_code in _TIMES
        hints = CLOCK_HINTS if told else CERTIFICATE_HINTS
        return HostUnreachable(f"cannot trust {name}: its certificate does not verify: {reason}", hints=hints)
    if caused_by(ssl.SSLError, urllib3.SSLError):
        return HostUnreachable(
            f"cannot reach {name}: no TLS connection",
            hints=["check the port, at which the server does not speak https"],
        )
    if caused_by(urllib3.NameResolutionError, socket.gaierror):
        return HostUnreachable(f"cannot reach {name}: unknown host name", hints=["check the spelling and the network"])
    if caused_by(ConnectionRefusedError):
        return HostUnreachable(f"cannot reach {name}: connection refused", hints=["check the host and the port"])
    # NewConnectionError is a ConnectTimeoutError by inheritance only.
    if caused_by(TimeoutError, urllib3.ReadTimeoutError) or (
        caused_by(urllib3.ConnectTimeoutError) and not caused_by(urllib3.NewConnectionError)
    ):
        return HostUnreachable(f"cannot reach {name}: timed out", hints=["check the network, or set HTTPS_PROXY"])
    if caused_by(http.client.HTTPException, ConnectionResetError, urllib3.ProtocolError):
        return ConnectionBroken(f"'{origin}' closed the connection without an answer", hints=["try again"])
    system = caused_by(OSError)
    return HostUnreachable(f"cannot reach {name}: {_words(system)}", hints=["check the network"])


def _proxy_said(causes: list[BaseException]) -> str:
    """Return why a proxy failed: the digits of its status, or words."""
    import socket

    import urllib3.exceptions as urllib3

    for cause in causes:
        # http.client: "Tunnel connection failed: 407 Proxy Authentication Required".
        _, told, rest = str(cause).partition("Tunnel connection failed: ")
        if told and rest[:3].isdigit():
            return rest[:3]
    if any(isinstance(cause, (urllib3.NameResolutionError, socket.gaierror)) for cause in causes):
        return "unknown host name"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connection refused"
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return "timed out"
    return "it does not answer as a proxy"


def untrusted(origin: Origin, error: OSError) -> HostUnreachable:
    """Return the error for a missing file of certificate authorities, which requests reports before it connects."""
    return HostUnreachable(f"cannot reach '{origin}': {_words(error)}", hints=CERTIFICATE_HINTS)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, which requests and urllib3 keep in `args`, `reason`, cause and context."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and not any(cause is known for known in found):
            found.append(cause)
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
    return found


def _words(error: BaseException | None) -> str:
    text = getattr(error, "strerror", None)
    if not isinstance(text, str):
        # What requests says where a CA file is missing: a plain OSError without a number.
        text = str(error) if type(error) is OSError else "no connection"
    return text[:1].lower() + text[1:]
