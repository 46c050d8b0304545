"""Download from a Git LFS server, by its batch API.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md and `basic-transfers.md` beside it. A credential of ours
goes to the remote's own origin and to no other; an action's own headers go to the origin of its `href` alone.
"""

from __future__ import annotations

import os

from git_coderepo.credentials.secret import NoCredentials, log_in_hint
from git_coderepo.errors import (
    CodeRepoError,
    CredentialMissing,
    DownloadDamaged,
    HostUnreachable,
    InvalidRemoteURL,
    LfsObjectMissing,
    RateLimited,
    ScopeMissing,
    TokenRefused,
    UnexpectedAnswer,
)
from git_coderepo.git.process import Git, Process
from git_coderepo.git.url.remote import Origin, RemoteURL
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.transport.git_remote import check_transport, ssh_without_questions
from git_coderepo.transport.http import Http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from git_coderepo.credentials.secret import Credential
    from git_coderepo.git.lfs_pointer import Pointer
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.transport.http import Authorize, Response

MEDIA_TYPE = "application/vnd.git-lfs+json"
# Objects in one question: what git-lfs itself asks for.
BATCH = 100
# What follows a repository's path in the URLs of its LFS server; GitLab has the objects below the second one.
_LFS_PARTS = ("/info/lfs", "/gitlab-lfs")
# So often a question is asked whose answer is cut off.
_ATTEMPTS = 4
# An action's headers that are ours to set, or that would change what is asked.
_OURS = frozenset(("host", "range", "content-length", "transfer-encoding", "accept-encoding", "connection"))


class Action:
    """Where an object's contents are: `href`, and the `headers` that its server wants to see there.

    `authenticated`: these are enough, no credential is wanted.
    """

    __slots__ = ("authenticated", "headers", "href")

    def __init__(self, href: str, headers: Mapping[str, str], *, authenticated: bool = False) -> None:
        self.href = href
        self.headers = dict(headers)
        self.authenticated = authenticated or any(name.lower() == "authorization" for name in headers)


class LfsServer:
    """The LFS server of a repository, asked as a runner asks; close it after use.

    `lfsconfig` are the contents of the tree's `.lfsconfig`, None without one; `branch` is told to the server, which
    may allow by it. Raises what `find_endpoint` raises.
    """

    def __init__(
        self,
        platform: BaseCodeRepository,
        *,
        lfsconfig: bytes | None = None,
        branch: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        self._platform = platform
        self._branch = branch
        self._endpoint = find_endpoint(platform, lfsconfig, environment)
        self.folder = self._endpoint.folder
        self._origin = None if self.folder is not None else Origin.parse(self._endpoint.url)
        self._ours, self._strange = (
            Http(
                credentials,
                authorize=_basic(platform.git_credential_user()),
                repository_path=lambda _, path: _repository_path(path),
                notify=platform.notify,
                max_wait=platform.max_wait,
                environment=environment,
            )
            for credentials in (platform.credentials, NoCredentials())
        )

    @property
    def place(self) -> str:
        """The server, for people."""
        return str(self._origin) if self._origin is not None else self._endpoint.url

    def open(self) -> None:
        """Open the sessions; call it before several threads request objects."""
        self._ours.open()
        self._strange.open()

    def close(self) -> None:
        self._ours.close()
        self._strange.close()

    # --- the batch API ---

    def actions(self, pointers: Sequence[Pointer]) -> dict[str, Action | str]:
        """Return, by oid, where each of at most `BATCH` objects is, or the server's reason for not giving it.

        Raises CredentialMissing, TokenRefused, ScopeMissing, LfsObjectMissing where the server has no LFS,
        RateLimited, HostUnreachable, DownloadDamaged, UnexpectedAnswer.
        """
        import json

        asked: dict[str, object] = {
            "operation": "download",
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": [{"oid": each.oid, "size": each.size} for each in pointers],
        }
        if self._branch is not None:
            asked["ref"] = {"name": f"refs/heads/{self._branch}"}
        damage: DownloadDamaged | None = None
        for _ in range(_ATTEMPTS):
            response = self._post(json.dumps(asked).encode())
            if response.status == 413 and len(pointers) > 1:
                response.close()
                middle = len(pointers) // 2
                return {**self.actions(pointers[:middle]), **self.actions(pointers[middle:])}
            if response.status != 200:
                raise self._refusal(response)
            try:
                return self._read(response.json(), pointers)
            except DownloadDamaged as error:
                damage = error
        assert damage is not None
        raise damage

    def _post(self, question: bytes) -> Response:
        http = self._ours if self._endpoint.trusted else self._strange
        return http.post(
            f"{self._endpoint.url}/objects/batch",
            question,
            {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE},
            bound=_sendable(self._endpoint.headers),
        )

    def _read(self, answer: dict[str, object], pointers: Sequence[Pointer]) -> dict[str, Action | str]:
        if answer.get("transfer", "basic") != "basic":
            raise UnexpectedAnswer(f"'{self.place}' uses a Git LFS transfer that is not supported")
        if answer.get("hash_algo", "sha256") != "sha256":
            raise UnexpectedAnswer(f"'{self.place}' uses another hash than sha256 for Git LFS objects")
        rows = answer.get("objects")
        if not isinstance(rows, list):
            raise UnexpectedAnswer(f"'{self.place}' answered without a list of objects")
        found: dict[str, Action | str] = {}
        for row in rows:
            if isinstance(row, dict) and isinstance(oid := row.get("oid"), str):
                found[oid] = self._action(row)
        return {each.oid: found.get(each.oid, "the server did not mention it") for each in pointers}

    def _action(self, row: dict[str, object]) -> Action | str:
        error = row.get("error")
        if isinstance(error, dict):
            code, message = error.get("code"), error.get("message")
            known = {404: "the server does not have it", 410: "it was removed from the server", 403: "it is locked out"}
            words = known.get(code) if isinstance(code, int) else None
            said = shown(message) if isinstance(message, str) else ""
            return f"{words}: {said}" if words and said else words or f"{code}: {said}"
        actions = row.get("actions")
        download = actions.get("download") if isinstance(actions, dict) else None
        if not isinstance(download, dict) or not isinstance(href := download.get("href"), str):
            return "the server does not say where it is"
        headers = download.get("header") or {}
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            return "the server sent invalid headers for it"
        return Action(href, headers, authenticated=row.get("authenticated") is True)

    # --- downloads ---

    def get(self, action: Action, start: int = 0) -> Response:
        """Request an object from byte `start` on; return the answer, whatever its status, with its body not decoded.

        Raises HostUnreachable, RateLimited, ProtocolNotAllowed, UnexpectedAnswer.
        """
        try:
            origin = Origin.parse(action.href)
        except CodeRepoError:
            raise UnexpectedAnswer(f"'{self.place}' returned an invalid URL for a Git LFS object") from None
        bound = _sendable(action.headers)
        ours = self._endpoint.trusted and origin == self._origin and not action.authenticated
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        return (self._ours if ours else self._strange).get(action.href, headers, bound=bound)

    # --- errors ---

    def _refusal(self, response: Response) -> CodeRepoError:
        status, credential, origin = response.status, response.credential, response.origin
        said = _message(response)
        log_in = log_in_hint(self._platform.credentials, origin, credential)
        if status in (401, 403) and credential is None:
            other = " other than the one from ssh" if self._endpoint.headers else ""
            hints = [log_in] if self._endpoint.trusted else ["fetch the pointers as they are: --no-lfs"]
            return CredentialMissing(f"the Git LFS server '{origin}' requires a credential{other}{said}", hints=hints)
        if status == 401 and credential is not None:
            if response.asked is not None:
                self._platform.credentials.refused(*response.asked, credential)
            return TokenRefused(
                f"the Git LFS server '{origin}' refused the token from {credential.source}{said}", hints=[log_in]
            )
        if status == 403 and credential is not None:
            return ScopeMissing(
                f"the token from {credential.source} may not read Git LFS objects on '{origin}'{said}", hints=[log_in]
            )
        if status in (404, 410, 501):
            return LfsObjectMissing(
                f"'{origin}' has no Git LFS for this repository{said}",
                hints=["fetch the pointers as they are: --no-lfs", *([log_in] if credential is None else [])],
            )
        if status in (429, 509):
            return RateLimited(f"the Git LFS server '{origin}' limits downloads{said}", hints=["try again later"])
        hints = ["try again later"] if status >= 500 else []
        return UnexpectedAnswer(f"the Git LFS server '{origin}' answered {status}{said}", hints=hints)


def _basic(user: str | None) -> Authorize:
    """Return a function that makes a Basic header (RFC 7617); `user` is for a token without a user name."""

    def authorize(credential: Credential) -> tuple[str, str]:
        from base64 import b64encode

        name = credential.user or user or "git"
        return "Authorization", "Basic " + b64encode(f"{name}:{credential.secret.reveal()}".encode()).decode()

    return authorize


def _repository_path(url_path: str) -> str:
    """Return `/acme/widgets` for `/acme/widgets.git/info/lfs/objects/batch`, and any other path unchanged.

    Only what stands before an LFS server's own part is a repository: `/acme.git/x` is not below `/acme`.
    """
    for part in _LFS_PARTS:
        repository, found, rest = url_path.rpartition(part)
        if found and rest[:1] in ("", "/"):
            return repository.removesuffix(".git")
    return url_path


def _sendable(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OURS}


def _message(response: Response) -> str:
    """Return `: ` and the server's message, if there is one."""
    try:
        said = response.json().get("message")
    except CodeRepoError:
        return ""
    return f": {shown(said)}" if isinstance(said, str) and said.strip() else ""


def shown(text: str) -> str:
    """Return a server's message on one line, at most 200 characters."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:200]


# --- Where the Git LFS server of a repository is ---------------------------------------------------------------------


class Endpoint:
    """Where to ask: `url` without a final slash; or `folder`, raw, the `lfs/objects` of a repository on this machine.

    `headers` came with it over ssh, and go to its origin alone. `trusted`: it is on the remote's own origin, whose
    credential it is sent.
    """

    __slots__ = ("folder", "headers", "trusted", "url")

    def __init__(
        self, url: str, *, trusted: bool, headers: Mapping[str, str] | None = None, folder: bytes | None = None
    ) -> None:
        self.url = url
        self.trusted = trusted
        self.headers = dict(headers or {})
        self.folder = folder


def find_endpoint(platform: BaseCodeRepository, lfsconfig: bytes | None, environment: Mapping[str, str]) -> Endpoint:
    """Return the endpoint of a repository; `lfsconfig` is the contents of the tree's own `.lfsconfig`.

    Raises LfsObjectMissing where there is none, ProtocolNotAllowed, and what ssh says.
    """
    text = platform.git_url()
    remote = RemoteURL.parse(text) if text is not None else None
    configured = configured_url(lfsconfig, platform.name) if lfsconfig is not None else None
    if configured is not None:
        return _configured(configured, remote, platform, environment)
    if remote is None:
        raise LfsObjectMissing(f"'{platform.name}' does not name a Git LFS server")
    return _of_remote(remote, platform, environment)


def _of_remote(remote: RemoteURL, platform: BaseCodeRepository, environment: Mapping[str, str]) -> Endpoint:
    if platform.protocols is not None:
        check_transport(remote, platform.protocols)
    if remote.transport in ("https", "http"):
        return Endpoint(_below(remote.url()), trusted=True)
    if remote.transport == "ssh":
        return _authenticated(remote, platform, environment)
    if remote.transport in ("file", "local") and remote.path is not None:
        return Endpoint(remote.url(), trusted=True, folder=_folder(os.fsencode(remote.path)))
    raise LfsObjectMissing(f"Git LFS over '{remote.transport}' is not supported", hints=["use an https or ssh remote"])


def _configured(
    text: str, remote: RemoteURL | None, platform: BaseCodeRepository, environment: Mapping[str, str]
) -> Endpoint:
    if not text.startswith(("https://", "http://")):
        url = RemoteURL.parse(text)
        if remote is None or (url.transport == "ssh" and url.platform_host() != remote.platform_host()):
            raise LfsObjectMissing(f"the tree's '.lfsconfig' names the Git LFS server '{url}', which is not used")
        return _of_remote(url, platform, environment)
    homes = []
    if remote is not None:
        homes.append(remote.origin())
        if remote.transport == "ssh":
            homes.append(Origin("https", remote.platform_host(platform.host_aliases)))
    place = _web_url(text)
    return Endpoint(place, trusted=Origin.parse(place) in homes)


def _web_url(text: str) -> str:
    """Return a URL without user name, query and final slash. Raises InvalidRemoteURL."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidRemoteURL("invalid URL of a Git LFS server") from None
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    Origin.parse(url)
    return url + parts.path.rstrip("/")


def _below(url: str) -> str:
    url = url.rstrip("/")
    return f"{url}/info/lfs" if url.endswith(".git") else f"{url}.git/info/lfs"


def _folder(path: bytes) -> bytes:
    """Return the directory of LFS objects of a repository on this machine, bare or not."""
    inner = path + b"/.git"
    return (inner if os.path.isdir(inner) else path) + b"/lfs/objects"


# --- ssh ------------------------------------------------------------------------------------------


def _authenticated(remote: RemoteURL, platform: BaseCodeRepository, environment: Mapping[str, str]) -> Endpoint:
    """Ask `git-lfs-authenticate PATH download` over ssh; it answers `{"href": …, "header": {…}}`, both optional."""
    import json
    from shlex import quote

    git = Git(environment=environment)
    command = ssh_without_questions(git).get("GIT_SSH_COMMAND") or environment.get("GIT_SSH_COMMAND")
    if command is None:
        command = quote(environment["GIT_SSH"]) if "GIT_SSH" in environment else git.line("config", "core.sshCommand")
    assert remote.host is not None
    words = ["-p", str(remote.port)] if remote.port is not None else []
    words.append(remote.host if remote.user is None else f"{remote.user}@{remote.host}")
    words.append(f"git-lfs-authenticate {quote(remote.path or '')} download")
    # As git does it: the command is the user's, and may need a shell.
    asked = Process.start(["sh", "-c", f'{command} "$@"', "ssh", *words], git.environment).finish()
    if asked.status != 0:
        said = asked.stderr.decode("utf-8", "replace").strip().splitlines()
        raise HostUnreachable(
            f"'{remote.host}' does not answer 'git-lfs-authenticate' over ssh: {said[-1] if said else 'no reason'}",
            hints=_ssh_hints(platform, remote),
        )
    try:
        answer = json.loads(asked.stdout)
        headers = answer.get("header") or {}
        href = answer.get("href")
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise ValueError
        url = _web_url(href) if href else None
    except (ValueError, AttributeError, TypeError, RecursionError, CodeRepoError):
        raise UnexpectedAnswer(f"'{remote.host}' answered 'git-lfs-authenticate' with something else") from None
    if url is None:
        url = _below(f"{Origin('https', remote.host)}/{(remote.path or '').strip('/')}")
    return Endpoint(url, trusted=False, headers=headers)


def _ssh_hints(platform: BaseCodeRepository, remote: RemoteURL) -> list[str]:
    """Return hints: a hosted repository can be reached over https with a token, another one only over ssh."""
    if isinstance(platform, HostedRepository):
        return [f"use https, with a token: {log_in_hint(platform.credentials, platform.web_origin())}"]
    return ["fetch the pointers as they are: --no-lfs"]


# --- .lfsconfig -----------------------------------------------------------------------------------


def configured_url(contents: bytes, name: str) -> str | None:
    """Return `lfs.url` or `remote.NAME.lfsurl` (`origin`, too) from the bytes of a `.lfsconfig`: git-lfs-config(5).

    It has the form of git's configuration; includes are not followed. None if it names no server.
    """
    found: dict[str, str] = {}
    section = ""
    for raw in contents.decode("utf-8", "replace").splitlines():
        line = raw.strip()
        if line.startswith("["):
            head, _, line = line[1:].partition("]")
            word, _, rest = head.strip().partition(" ")
            section = word.lower() + (f".{rest.strip()[1:-1]}" if rest.strip().startswith('"') else "")
            line = line.strip()
        if not line or line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        if equals:
            found[f"{section}.{key.strip().lower()}"] = _value(value.strip())
    for key in ("lfs.url", f"remote.{name}.lfsurl", "remote.origin.lfsurl"):
        if found.get(key):
            return found[key]
    return None


def _value(text: str) -> str:
    """Return a value without its quotes and comment."""
    quoted = False
    kept = []
    escaped = False
    for char in text:
        if escaped:
            kept.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char in "#;" and not quoted:
            break
        else:
            kept.append(char)
    return "".join(kept).strip()
