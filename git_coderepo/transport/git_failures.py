"""Turn git's messages about a remote repository into errors of ours."""

from __future__ import annotations

from git_coderepo.credentials.secret import log_in_hint
from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    ConnectionBroken,
    CredentialMissing,
    DownloadDamaged,
    GitFailed,
    HostUnreachable,
    ProtocolNotAllowed,
    RateLimited,
    RepositoryMissing,
    ScopeMissing,
    ServerFailed,
    ServerTooOld,
    TokenRefused,
    UnexpectedAnswer,
)
from git_coderepo.transport.http_failures import CERTIFICATE_HINTS, CLOCK_HINTS, proxy_failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.credentials.secret import Credential, CredentialSource
    from git_coderepo.git.url.remote import RemoteURL

_UNKNOWN_NAME = ("could not resolve host", "name or service not known", "name resolution", "nodename nor servname")
_REFUSED = ("connection refused", "failed to connect", "couldn't connect", "no route to host", "network is unreachable")
# Of curl before and since 8: a proxy that does not let one through, or that is not known.
_PROXY = ("connect tunnel failed", "from proxy after connect", "could not resolve proxy", "proxy connect aborted")
_TIMED_OUT = ("timed out", "timeout was reached")
_NO_ROOM = ("no space left on device", "disk quota exceeded")
_CERTIFICATE = (
    "ssl certificate problem", "certificate verification failed", "server verification failed", "certificate signer",
    "no alternative certificate", "ssl: certificate", "unable to get local issuer", "error setting certificate",
)  # fmt: skip
_WRONG_TIME = ("certificate has expired", "not yet valid", "not yet activated", "certificate expired")
_NO_AUTHORITIES = ("problem with the ssl ca cert", "error setting certificate")
_NO_GIT_SERVER = (
    "not valid: is this a git repository",
    "invalid content type",
    "invalid server response",
    "bad line length",
)
_REDIRECTED = ("redirects followed", "unable to update url base from redirection", "returned error: 30")
_RESET = ("connection reset", "empty reply from server", "recv failure", "send failure")
_NO_COMMIT = (
    "not our ref", "couldn't find remote ref", "unadvertised object", "no such remote ref",
    "cannot obtain needed object",
)  # fmt: skip
# Of fetch-pack.c, remote-curl.c and list-objects-filter-options.c; a server that does not know a depth or a filter may
# also just answer with the wrong line.
_TOO_OLD = (
    "dumb http transport does not support", "server does not support shallow", "server does not support --",
    "expected shallow", "expected ack/nak", "expected 'acknowledgments'", "expected 'shallow-info'",
    "expected 'packfile'", "' not supported", "object filtering",
)  # fmt: skip
_NO_ANSWER_TO_QUESTION = ("could not read username", "could not read password", "terminal prompts disabled")
_UNAUTHORIZED = ("authentication failed", "access denied", "invalid username or", "returned error: 401")
_NO_REPOSITORY = (
    "returned error: 404", "not found", "could not be found", "does not appear to be a git repository",
    "does not exist", "no such file or directory", "no such repository",
)  # fmt: skip
_CUT_OFF = (
    "early eof",
    "unexpected disconnect",
    "hung up unexpectedly",
    "rpc failed",
    "invalid index-pack",
    "transfer closed",
)


def explain(
    failure: GitFailed,
    url: RemoteURL,
    credential: Credential | None,
    credentials: CredentialSource,
    *,
    proxy: str | None = None,
) -> CodeRepoError:
    """Return the error for a failed git command: unreachable, refused, missing …; `failure` itself if it is unknown.

    `credential` is what git was given by us, None where it used the user's own means; `credentials` say where another
    one can be kept; `proxy` is the one that git asks, `HOST:PORT`.
    """
    error = _explained(failure, url, credential, credentials, proxy)
    if (meant := url.hint()) is not None:
        error.hints = (meant, *error.hints)
    return error


def _explained(
    failure: GitFailed,
    url: RemoteURL,
    credential: Credential | None,
    credentials: CredentialSource,
    proxy: str | None,
) -> CodeRepoError:
    words = failure.stderr.decode("utf-8", "replace").lower()

    def said(phrases: tuple[str, ...]) -> bool:
        return any(phrase in words for phrase in phrases)

    origin = url.origin() if url.transport in ("https", "http") else None
    place = f"'{origin}'" if origin is not None else f"'{url.host or url.path}'"
    log_in = log_in_hint(credentials, origin, credential) if origin is not None else f"ssh -T {url.host}"
    if "host key verification failed" in words:
        return HostUnreachable(f"cannot trust {place}: its ssh host key is not known", hints=[log_in])
    if (failed := _failed_proxy(words, url)) is not None or said(_PROXY):
        named, why = failed if failed is not None else (None, "it refuses the connection")
        return proxy_failed(place, named or proxy, why)
    if said(_UNKNOWN_NAME):
        return HostUnreachable(f"cannot reach {place}: unknown host name", hints=["check the spelling and the network"])
    if said(_CERTIFICATE) or said(_NO_AUTHORITIES):
        # GnuTLS, with which Debian builds git, does not say why.
        clock = said(_WRONG_TIME)
        hints = CLOCK_HINTS if clock else [*CERTIFICATE_HINTS, *CLOCK_HINTS]
        why = ": it is not valid now" if clock else ""
        return HostUnreachable(f"cannot trust {place}: its certificate does not verify{why}", hints=hints)
    if said(_NO_ROOM):
        return CodeRepoError(
            "git cannot keep what it fetches: there is no space left on the device",
            hints=[
                "free some space, or choose another directory for temporary files: export TMPDIR=/path/to/directory"
            ],
        )
    if "operation too slow" in words:
        return DownloadDamaged(
            f"the download from {place} broke off: no more data arrived", hints=["try again", "check the network"]
        )
    if said(_TIMED_OUT):
        return HostUnreachable(f"cannot reach {place}: timed out", hints=["check the network, or set HTTPS_PROXY"])
    if said(_REFUSED):
        return HostUnreachable(f"cannot reach {place}: connection refused", hints=["check the host and the port"])
    if "disabled in libcurl" in words:
        return ProtocolNotAllowed(
            f"{place} redirects git to a protocol that is not allowed here", hints=["check the URL of the remote"]
        )
    if "transport '" in words and "not allowed" in words:
        return ProtocolNotAllowed(f"git may not use '{url.transport}' here", hints=_allow_hints(words))
    if "permission denied (" in words:
        return CredentialMissing(
            f"{place} accepted none of your ssh keys", hints=[log_in, "list the keys that ssh can use: ssh-add -l"]
        )
    if "returned error: 429" in words:
        return RateLimited(f"{place} limits requests and asks to come back later", hints=["try again later"])
    if said(_NO_ANSWER_TO_QUESTION):
        return CredentialMissing(f"{place} requires a credential, and none was found", hints=[log_in])
    if "returned error: 403" in words:
        if credential is None:
            return CredentialMissing(f"{place} requires a credential, and none was found", hints=[log_in])
        return ScopeMissing(
            f"the token from {credential.source} may not read {_repository(url)} on {place}", hints=[log_in]
        )
    if said(_UNAUTHORIZED):
        source = (
            f"the token from {credential.source}" if credential is not None else "what git's credential helper gave"
        )
        return TokenRefused(f"{place} refused {source}", hints=[log_in])
    status = words.partition("returned error: ")[2][:3]
    if said(_NO_COMMIT):
        return CommitMissing(
            f"{place} has no such commit in {_repository(url)}",
            hints=["push it again: it was never pushed there, or its branch was deleted or rewritten"],
        )
    if said(_TOO_OLD) and status in ("", "404"):
        return ServerTooOld(failure.message, hints=["check the version of the git server"])
    if said(_NO_GIT_SERVER):
        return UnexpectedAnswer(
            f"{place} does not answer as a git server",
            hints=["check the URL of the remote, and whether a proxy or a login page answers instead"],
        )
    if said(_REDIRECTED):
        return UnexpectedAnswer(
            f"{place} redirects git elsewhere, or in a circle", hints=["check the URL of the remote"]
        )
    if status.isascii() and status.isdigit() and status != "404":
        if status.startswith("5"):
            return ServerFailed(f"{place} answered git with the status {status}", hints=["try again later"])
        return UnexpectedAnswer(
            f"{place} answered git with the status {status}",
            hints=["check the URL of the remote, and whether a proxy answers instead"],
        )
    if said(_CUT_OFF) and "remote error: " not in words:  # else the server has said why
        return DownloadDamaged(f"the download from {place} broke off", hints=["try again"])
    if said(_RESET):
        return ConnectionBroken(f"{place} closed the connection without an answer", hints=["try again"])
    if said(_NO_REPOSITORY):
        unseen = "" if url.transport in ("local", "file") else ", or this credential may not see it"
        return RepositoryMissing(f"no repository {_repository(url)} on {place}{unseen}", hints=["check the spelling"])
    return failure


def _allow_hints(words: str) -> list[str]:
    """Return hints that let git use a protocol that its own settings forbid."""
    name = words.partition("transport '")[2].partition("'")[0]
    if not name.isalnum():
        return []
    return [f"git config protocol.{name}.allow always", f"or, if GIT_ALLOW_PROTOCOL is set, add '{name}' to it"]


def _failed_proxy(words: str, url: RemoteURL) -> tuple[str | None, str] | None:
    """Return (`HOST:PORT`, why) of a proxy that could not be used, in curl's words; None where there was none.

    curl does not say that it is a proxy to which it cannot connect: it is one where it is not the server itself.
    """
    if url.transport not in ("https", "http"):
        return None
    name = words.partition("could not resolve proxy: ")[2].partition("\n")[0].strip()
    if name:
        return name, "unknown host name"
    for before in ("received http code ", "connect tunnel failed, response "):
        status = words.partition(before)[2][:3]
        if status.isdigit():
            return None, status
    host, _, rest = words.partition("failed to connect to ")[2].partition(" port ")
    port = rest.split(" ")[0].rstrip(":")
    if not host or not port.isdigit():
        return None
    if (host.strip("[]"), int(port)) == (url.host, url.port or {"https": 443, "http": 80}[url.transport]):
        return None
    why = "timed out" if any(each in words for each in _TIMED_OUT) else "connection refused"
    return f"{host}:{port}", why


def _repository(url: RemoteURL) -> str:
    return f"'{(url.path or '').strip('/') if url.host else url.path}'"
