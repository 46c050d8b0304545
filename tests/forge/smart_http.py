"""Git over HTTP through git's own CGI program, `git http-backend` (its manual page has the variables).

Who may do what, and the words of a refusal, are the platform's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.forge.http import PIECE, Request, Response
from tests.forge.model import Repository, Route
from tests.forge.tokens import Token, basic

if TYPE_CHECKING:
    from tests.forge.server import Forge

_READ = {
    "github": ("contents:read", "contents:write", "repo"),
    "gitlab": ("read_repository", "write_repository", "api"),
    "git": ("read", "write"),
}
_WRITE = {"github": ("contents:write", "repo"), "gitlab": ("write_repository", "api"), "git": ("write",)}
_DENIED = {
    "github": "Invalid username or token. Password authentication is not supported for Git operations.",
    "gitlab": "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect"
    " or you're required to use a token instead of a password. If a token was provided, it was either incorrect,"
    " expired, or improperly scoped.",
    "git": "Access denied.",
}
_HIDDEN = {
    "github": "Repository not found.",
    "gitlab": "The project you were looking for could not be found or you don't have permission to view it.",
    "git": "Repository not found.",
}
_FORBIDDEN = {
    "github": "Write access to repository not granted.",
    "gitlab": "You are not allowed to push code to this project.",
    "git": "Forbidden.",
}


_ENDINGS = {
    "/info/refs": "git/refs",
    "/git-upload-pack": "git/upload-pack",
    "/git-receive-pack": "git/receive-pack",
}


def route(forge: Forge, request: Request) -> Route | None:
    """`/PATH[.git]/info/refs`, `…/git-upload-pack`, `…/git-receive-pack`; None for what is none of these."""
    path = "/" + "/".join(request.segments)
    ending = next((ending for ending in _ENDINGS if path.endswith(ending)), None)
    if ending is None:
        return None
    name = path.removesuffix(ending).removesuffix(".git")
    repository = find(forge, name)
    return Route(_ENDINGS[ending], lambda: _answer(forge, request, repository, name, ending), repository)


def find(forge: Forge, name: str) -> Repository | None:
    """The repository at a path of the host."""
    for repository in forge.repositories:
        names = [repository.name, *repository.former_names]
        if name.lower() in [_path(forge, repository.platform, one) for one in names]:
            return repository
    return None


def _path(forge: Forge, platform: str, name: str) -> str:
    """Where a repository of this name is, in lower case: the platforms do not tell case apart."""
    return f"{forge.gitlab_root if platform == 'gitlab' else ''}/{name}".lower()


def _answer(forge: Forge, request: Request, repository: Repository | None, name: str, ending: str) -> Response:
    push = "git-receive-pack" in (ending[1:], request.query.get("service"))
    platforms = [repository.platform] if repository is not None else sorted({*forge.platforms, "git"})
    platform = platforms[0]
    header = request.headers.get("authorization")
    found = (_token(forge, one, header) for one in platforms) if header is not None else ()
    token = next((one for one in found if one is not None), None)
    if header is not None and token is None:
        return _challenge(platform)
    if repository is None:
        # A platform does not tell a stranger whether a repository exists.
        return _challenge(platform) if token is None else _refusal(404, _HIDDEN[platform])
    refusal = _not_allowed(repository, token, push)
    if refusal is not None:
        return refusal
    if token is None and name.lower() != _path(forge, repository.platform, repository.name):
        # With a credential the old name is served as it is: git goes on with the new one only where its first
        # request, which never has a credential, was redirected.
        return Response(301, {"Location": repository.url + request.target[request.target.index(ending) :]})
    if ending == "/info/refs" and not request.query.get("service", "").startswith("git-"):
        return _refusal(400, "Please upgrade your git client.")
    return _backend(forge, request, repository, ending, token)


def refusal(forge: Forge, request: Request, repository: Repository | None) -> Response | None:
    """What is said to somebody who may not read it; None where the request's credential, or anybody, may."""
    platform = repository.platform if repository is not None else "git"
    header = request.headers.get("authorization")
    token = _token(forge, platform, header) if header is not None else None
    if header is not None and token is None:
        return _challenge(platform)
    if repository is None:
        return _challenge(platform) if token is None else _refusal(404, _HIDDEN[platform])
    return _not_allowed(repository, token, push=False)


def _token(forge: Forge, platform: str, header: str) -> Token | None:
    credential = basic(header)
    if credential is None:
        return None
    user, password = credential
    token = forge.tokens.find(platform, password)
    if platform == "github":
        return token or forge.tokens.find(platform, user)
    if token is None or not user:
        return None
    if token.kind == "job" and user != "gitlab-ci-token":
        return None
    if token.kind == "deploy" and user != token.user:
        return None
    return token


def _not_allowed(repository: Repository, token: Token | None, push: bool) -> Response | None:
    platform = repository.platform
    if token is None:
        return _challenge(platform) if push or repository.private else None
    if repository.private and not token.sees(repository.name):
        return _refusal(404, _HIDDEN[platform])
    if repository.private and not token.may(*_READ[platform]):
        return _challenge(platform) if platform == "gitlab" else _refusal(403, _FORBIDDEN[platform])
    if push and not (token.sees(repository.name) and token.may(*_WRITE[platform])):
        return _refusal(403, _FORBIDDEN[platform])
    return None


def _challenge(platform: str) -> Response:
    realm = {"github": "GitHub", "gitlab": "GitLab"}.get(platform, "git")
    refused = _refusal(401, _DENIED[platform])
    refused.headers["WWW-Authenticate"] = f'Basic realm="{realm}"'
    return refused


def _refusal(status: int, text: str) -> Response:
    return Response(status, {"Content-Type": "text/plain; charset=UTF-8"}, text.encode())


def _backend(forge: Forge, request: Request, repository: Repository, ending: str, token: Token | None) -> Response:
    body = request.body.read()
    env = {
        **forge.git_env,
        "GIT_PROJECT_ROOT": str(repository.path),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": ending,
        "QUERY_STRING": request.target.partition("?")[2],
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
    }
    if token is not None:
        env["REMOTE_USER"] = "ada"
    for header, variable in (("git-protocol", "HTTP_GIT_PROTOCOL"), ("content-encoding", "HTTP_CONTENT_ENCODING")):
        if header in request.headers:
            env[variable] = request.headers[header]
    output = _cgi(env, body)
    head = next(output)
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
    status = int(headers.pop("Status", "200 OK").split()[0])
    return Response(status, headers, output, framing="chunked")


def _cgi(env: dict[str, str], body: bytes) -> Iterator[bytes]:
    """The header block of the CGI's answer, then its body in pieces."""
    process = subprocess.Popen(
        ["git", "http-backend"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        try:
            with process.stdin:
                process.stdin.write(body)  # git reads all of its input before it answers
        except BrokenPipeError:
            pass
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            line = process.stdout.readline()
            if not line:
                raise AssertionError(f"git http-backend ended within its headers: {bytes(head)!r}")
            head += line
        yield bytes(head)
        while piece := process.stdout.read1(PIECE):  # type: ignore[attr-defined]
            yield piece
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
