"""Why there was no answer, in words: requests and urllib3 wrap the reason many times over."""

from __future__ import annotations

from git_coderepo.errors import ConnectionBroken, HostUnreachable, UnexpectedAnswer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.urls import Origin

CERTIFICATE_HINTS = ("GIT_SSL_CAINFO=/path/to/authority.pem names the certificate authority to trust, for git as well",)
PROXY_HINTS = ("look at HTTPS_PROXY and git's http.proxy; NO_PROXY names hosts to be reached without",)

CLOCK_HINTS = ("look at this machine's clock (date -u), and at the certificate's dates",)
_TIMES = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


def unreachable(origin: Origin, error: Exception) -> HostUnreachable | UnexpectedAnswer:
    """Why there was no answer, in words: unknown name, refused, timed out, a certificate that does not verify."""
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
        return UnexpectedAnswer(f"{name} cannot be asked: its URL or header is not valid")
    if caused_by(urllib3.ProxyError, requests.exceptions.InvalidProxyURL):
        return HostUnreachable(
            f"cannot reach {name} through the proxy",
            hints=PROXY_HINTS,
        )
    if isinstance(error, requests.exceptions.InvalidSchema):  # what requests says of SOCKS without PySocks
        return HostUnreachable(
            f"cannot reach {name}: the proxy does not speak http", hints=["name one that does: HTTPS_PROXY=http://…"]
        )
    certificate = caused_by(ssl.SSLCertVerificationError)
    if isinstance(certificate, ssl.SSLCertVerificationError):
        reason = certificate.verify_message.rstrip(".")
        told = certificate.verify_code in _TIMES
        hints = CLOCK_HINTS if told else CERTIFICATE_HINTS
        return HostUnreachable(f"cannot trust {name}: its certificate does not verify: {reason}", hints=hints)
    if caused_by(ssl.SSLError, urllib3.SSLError):
        return HostUnreachable(f"cannot reach {name}: no TLS connection", hints=["does it speak https at this port?"])
    if caused_by(urllib3.NameResolutionError, socket.gaierror):
        return HostUnreachable(
            f"cannot reach {name}: unknown host name", hints=["look at the spelling and at the network"]
        )
    if caused_by(ConnectionRefusedError):
        return HostUnreachable(f"cannot reach {name}: connection refused", hints=["look at the host and the port"])
    # NewConnectionError is a ConnectTimeoutError by inheritance only.
    if caused_by(TimeoutError, urllib3.ReadTimeoutError) or (
        caused_by(urllib3.ConnectTimeoutError) and not caused_by(urllib3.NewConnectionError)
    ):
        return HostUnreachable(f"cannot reach {name}: timed out", hints=["look at the network, or set HTTPS_PROXY"])
    if caused_by(http.client.HTTPException, ConnectionResetError, urllib3.ProtocolError):
        return ConnectionBroken(f"'{origin}' closed the connection without an answer", hints=["try again"])
    system = caused_by(OSError)
    return HostUnreachable(f"cannot reach {name}: {_words(system)}", hints=["look at the network"])


def untrusted(origin: Origin, error: OSError) -> HostUnreachable:
    """There is no such file of certificate authorities: requests says so before it connects."""
    return HostUnreachable(f"cannot reach '{origin}': {_words(error)}", hints=CERTIFICATE_HINTS)


def _causes(error: BaseException) -> list[BaseException]:
    """An error and whatever it was made from: requests and urllib3 keep it in `args`, `reason`, cause and context."""
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
