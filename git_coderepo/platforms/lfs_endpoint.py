"""Where the Git LFS server of a repository is: https://github.com/git-lfs/git-lfs/blob/main/docs/api/server-discovery.md

A tracked `.lfsconfig` may name another one. Nobody vouches for it: on another origin than the remote's it is sent no
credential. Over ssh the server itself names its LFS server, and gives a header for it (`git-lfs-authenticate`).
"""

from __future__ import annotations

import os

from git_coderepo.credentials.secret import log_in_hint
from git_coderepo.errors import CodeRepoError, InvalidRemoteURL, LfsObjectMissing, UnexpectedAnswer
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin, RemoteURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.platforms.base import BaseCodeRepository


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
    """The endpoint of a repository; `lfsconfig` are the contents of the tree's own `.lfsconfig`.

    Raises LfsObjectMissing where there is none, ProtocolNotAllowed, and what ssh says.
    """
    text = platform.git_url()
    remote = RemoteURL.parse(text) if text is not None else None
    configured = configured_url(lfsconfig, platform.name) if lfsconfig is not None else None
    if configured is not None:
        return _configured(configured, remote, platform, environment)
    if remote is None:
        raise LfsObjectMissing(f"'{platform.name}' has no Git LFS server that is known")
    return _of_remote(remote, platform, environment)


def _of_remote(remote: RemoteURL, platform: BaseCodeRepository, environment: Mapping[str, str]) -> Endpoint:
    from git_coderepo.transport.git import check_transport

    if platform.protocols is not None:
        check_transport(remote, platform.protocols)
    if remote.transport in ("https", "http"):
        return Endpoint(_below(remote.url()), trusted=True)
    if remote.transport == "ssh":
        return _authenticated(remote, platform, environment)
    if remote.transport in ("file", "local") and remote.path is not None:
        return Endpoint(remote.url(), trusted=True, folder=_folder(os.fsencode(remote.path)))
    raise LfsObjectMissing(f"Git LFS is not spoken over '{remote.transport}'", hints=["use an https or ssh remote"])


def _configured(
    text: str, remote: RemoteURL | None, platform: BaseCodeRepository, environment: Mapping[str, str]
) -> Endpoint:
    if not text.startswith(("https://", "http://")):
        url = RemoteURL.parse(text)
        if remote is None or (url.transport == "ssh" and url.platform_host() != remote.platform_host()):
            raise LfsObjectMissing(f"the tree's '.lfsconfig' names the Git LFS server '{url}', which is not asked")
        return _of_remote(url, platform, environment)
    homes = []
    if remote is not None:
        homes.append(remote.origin())
        if remote.transport == "ssh":
            homes.append(Origin("https", remote.platform_host(platform.host_aliases)))
    place = _web_url(text)
    return Endpoint(place, trusted=Origin.parse(place) in homes)


def _web_url(text: str) -> str:
    """An http URL without user name, query and final slash. Raises InvalidRemoteURL."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidRemoteURL("the URL of a Git LFS server that is none") from None
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    Origin.parse(url)
    return url + parts.path.rstrip("/")


def _below(url: str) -> str:
    url = url.rstrip("/")
    return f"{url}/info/lfs" if url.endswith(".git") else f"{url}.git/info/lfs"


def _folder(path: bytes) -> bytes:
    """Where a repository on this machine keeps its objects, bare or not."""
    inner = path + b"/.git"
    return (inner if os.path.isdir(inner) else path) + b"/lfs/objects"


# --- ssh ------------------------------------------------------------------------------------------


def _authenticated(remote: RemoteURL, platform: BaseCodeRepository, environment: Mapping[str, str]) -> Endpoint:
    """What `git-lfs-authenticate PATH download` answers over ssh: `{"href": …, "header": {…}}`, both optional."""
    import json
    from shlex import quote

    from git_coderepo.errors import HostUnreachable
    from git_coderepo.git.process import Process
    from git_coderepo.transport.git import ssh_without_questions

    git = Git(environment=environment)
    command = ssh_without_questions(git).get("GIT_SSH_COMMAND") or environment.get("GIT_SSH_COMMAND")
    if command is None:
        command = quote(environment["GIT_SSH"]) if "GIT_SSH" in environment else git.line("config", "core.sshCommand")
    assert remote.host is not None
    words = ["-p", str(remote.port)] if remote.port is not None else []
    words.append(remote.host if remote.user is None else f"{remote.user}@{remote.host}")
    words.append(f"git-lfs-authenticate {quote(remote.path or '')} download")
    # As git does it: the command is the user's, and may need a shell.
    asked = Process(["sh", "-c", f'{command} "$@"', "ssh", *words], git.environment, stdin=None, pipe=False).finish()
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
    """A hosted repository is asked over https where there is a token for it; a plain git remote stays on ssh."""
    from git_coderepo.platforms.hosted import HostedRepository

    if isinstance(platform, HostedRepository):
        return [f"use https, with a token: {log_in_hint(platform.credentials, platform.web_origin())}"]
    return ["fetch the pointers as they are: --no-lfs"]


# --- .lfsconfig -----------------------------------------------------------------------------------


def configured_url(contents: bytes, name: str) -> str | None:
    """`lfs.url`, else `remote.NAME.lfsurl` (of `origin`, too), from the bytes of a `.lfsconfig`: git-lfs-config(5).

    It has the form of git's configuration; nothing is included from it. None where it names none.
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
    """A value without its quotes and comment."""
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
