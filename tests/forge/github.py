"""GitHub's REST API, version 2022-11-28, as its OpenAPI description and its recorded answers have it.

https://docs.github.com/rest/repos/repos, /rest/git/commits, /rest/repos/contents#download-a-repository-archive-tar
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.forge.http import Request, Response
from tests.forge.model import Repository, Route
from tests.forge.tokens import Token, basic

if TYPE_CHECKING:
    from tests.forge.server import Forge

DOCS = "https://docs.github.com/rest"
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class _Refused(Exception):
    """An answer that ends the request."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def api(forge: Forge, request: Request, path: str) -> Route:
    """The route of a request below the API's base; `path` without it."""
    match [urllib.parse.unquote(part) for part in path.split("/") if part]:
        case [] | ["meta"]:
            return Route("meta", lambda: _answer(200, _meta(), anonymous="authorization" not in request.headers))
        case ["user"]:
            return Route("other", lambda: _guarded(lambda: _user(forge, request)))
        case ["repos", owner, name, *rest]:
            repository = forge.repository(f"{owner}/{name}", "github", former=True)
            moved = repository is not None and repository.name.lower() != f"{owner}/{name}".lower()
        case ["repositories", number, *rest] if number.isdigit():
            repository = next((one for one in forge.repositories if one.id == int(number)), None)
            moved = False
        case _:
            return Route("other", lambda: missing("other"))
    kind = "other" if rest else "access"
    if rest[:1] == ["tarball"]:
        kind = "link"
    elif rest[:1] == ["commits"] or rest[:2] == ["git", "commits"]:
        kind = "commit"
    return Route(kind, lambda: _guarded(lambda: _repository(forge, request, repository, moved, rest)), repository)


def codeload(forge: Forge, request: Request) -> Route:
    """`/OWNER/REPO/legacy.tar.gz/REF[?token=…]`; a private archive only with the token of its link."""
    match request.segments:
        case [owner, name, "legacy.tar.gz", *ref]:
            repository = forge.repository(f"{owner}/{name}", "github")
            if repository is not None:
                return Route("archive", lambda: _archive(forge, request, repository, "/".join(ref)), repository)
    return Route("other", lambda: missing("archive"))


def missing(kind: str) -> Response:
    """404, which is also said of what is hidden from the credential."""
    if kind == "archive":
        return Response(404, {"Content-Type": "text/plain; charset=utf-8"}, b"404: Not Found")
    return _error(404, "Not Found", "/repos/repos#get-a-repository")


def _guarded(answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except _Refused as refused:
        return refused.response


def _authenticate(forge: Forge, request: Request) -> Token | None:
    """The token of `Authorization: Bearer T`, `token T` or Basic; a wrong one is refused even for what is public."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    credential = basic(header)
    if credential is not None:
        value = credential[1] or credential[0]
    elif scheme.lower() not in ("bearer", "token"):
        value = ""
    token = forge.tokens.find("github", value.strip())
    if token is None:
        raise _Refused(_error(401, "Bad credentials"))
    return token


def _user(forge: Forge, request: Request) -> Response:
    token = _authenticate(forge, request)
    if token is None:
        return _error(401, "Requires authentication", "/users/users#get-the-authenticated-user")
    if token.kind == "installation":
        return _error(403, "Resource not accessible by integration", "/users/users#get-the-authenticated-user")
    return _answer(200, {"login": "ada", "id": 1, "type": "User"})


def _repository(
    forge: Forge, request: Request, repository: Repository | None, moved: bool, rest: list[str]
) -> Response:
    token = _authenticate(forge, request)
    if repository is None or (repository.private and (token is None or not token.sees(repository.name))):
        return missing("access")
    if moved:
        below = "".join("/" + part for part in rest)
        location = f"{forge.api_url('github')}/repositories/{repository.id}{below}"
        body = {"message": "Moved Permanently", "url": location, "documentation_url": f"{DOCS}#http-redirects"}
        return _answer(301, body, {"Location": location})
    if request.method not in ("GET", "HEAD"):
        return missing("other")
    match rest:
        case []:
            return _answer(200, _described(forge, repository, token), anonymous=token is None)
        case ["git", "commits", sha]:
            _require_contents(repository, token, "/git/commits#get-a-commit-object")
            return _git_commit(forge, repository, sha)
        case ["git", "trees", sha]:
            _require_contents(repository, token, "/git/trees#get-a-tree")
            return _tree(forge, repository, sha, recursive="recursive" in request.query)
        case ["contents", *path]:
            _require_contents(repository, token, "/repos/contents#get-repository-content")
            return _contents(repository, "/".join(path), request.query.get("ref") or repository.default_branch)
        case ["commits", *ref]:
            _require_contents(repository, token, "/commits/commits#get-a-commit")
            return _commit(forge, repository, "/".join(ref))
        case ["tarball", *ref]:
            if forge.tarball_refuses_bearer and request.headers.get("authorization", "").lower().startswith("bearer"):
                return _error(401, "Bad credentials")
            _require_contents(repository, token, "/repos/contents#download-a-repository-archive-tar")
            return _link(forge, repository, "/".join(ref) or repository.default_branch)
    return missing("other")


def _require_contents(repository: Repository, token: Token | None, page: str) -> None:
    if repository.private and token is not None and not token.may("contents:read", "contents:write", "repo"):
        kind = "integration" if token.kind == "installation" else "personal access token"
        refused = _error(403, f"Resource not accessible by {kind}", page)
        refused.headers["X-Accepted-GitHub-Permissions"] = "contents=read"
        raise _Refused(refused)


def _described(forge: Forge, repository: Repository, token: Token | None) -> dict[str, object]:
    owner, _, name = repository.name.partition("/")
    url = f"{forge.api_url('github')}/repos/{repository.name}"
    described: dict[str, object] = {
        "id": repository.id,
        "node_id": f"R_{repository.id}",
        "name": name,
        "full_name": repository.name,
        "owner": {"login": owner, "id": 1, "type": "Organization", "site_admin": False},
        "private": repository.private,
        "visibility": "private" if repository.private else "public",
        "html_url": f"{forge.url}/{repository.name}",
        "url": url,
        "archive_url": url + "/{archive_format}{/ref}",
        "git_commits_url": url + "/git/commits{/sha}",
        "clone_url": repository.url,
        "ssh_url": f"git@{forge.host}:{repository.name}.git",
        "default_branch": repository.default_branch,
        "fork": False,
        "archived": False,
        "disabled": False,
        "size": 1,
    }
    if token is not None:
        push = token.may("contents:write", "repo")
        described["permissions"] = {"admin": False, "maintain": False, "push": push, "triage": False, "pull": True}
    return described


def _git_commit(forge: Forge, repository: Repository, sha: str) -> Response:
    page = "/git/commits#get-a-commit-object"
    if repository.is_empty():
        return _error(409, "Git Repository is empty.", page)
    if not _SHA.fullmatch(sha):
        return _error(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].", page)
    if repository.resolve(sha) != sha:
        return _error(404, "Not Found", page)
    return _answer(200, _commit_object(forge, repository, sha))


def _commit(forge: Forge, repository: Repository, ref: str) -> Response:
    page = "/commits/commits#get-a-commit"
    if repository.is_empty():
        return _error(409, "Git Repository is empty.", page)
    sha = repository.resolve(ref)
    if sha is None:
        return _error(422, f"No commit found for SHA: {ref}", page)
    commit = _commit_object(forge, repository, sha)
    url = f"{forge.api_url('github')}/repos/{repository.name}/commits/{sha}"
    return _answer(200, {"url": url, "sha": sha, "commit": commit, "parents": commit["parents"], "files": []})


def _tree(forge: Forge, repository: Repository, sha: str, *, recursive: bool) -> Response:
    """https://docs.github.com/rest/git/trees#get-a-tree; `truncated` where there are more rows than it gives."""
    words = ["-r", "-t"] if recursive else []
    listed = repository.list_tree(sha, *words)
    if listed is None:
        return _error(404, "Not Found", "/git/trees#get-a-tree")
    rows = [{"path": path, "mode": mode, "type": kind, "sha": id} for mode, kind, id, path in listed]
    cut = recursive and forge.most_rows is not None and len(rows) > forge.most_rows
    return _answer(200, {"sha": sha, "tree": rows[: forge.most_rows] if cut else rows, "truncated": bool(cut)})


def _contents(repository: Repository, path: str, ref: str) -> Response:
    """https://docs.github.com/rest/repos/contents#get-repository-content, of a file."""
    id = repository.git("rev-parse", "--verify", "--quiet", f"{ref}:{path}", check=False)
    if not id:
        return _error(404, "Not Found", "/repos/contents#get-repository-content")
    contents = base64.encodebytes(repository.git("cat-file", "blob", id).encode() + b"\n").decode()
    return _answer(200, {"type": "file", "encoding": "base64", "path": path, "sha": id, "content": contents})


def _commit_object(forge: Forge, repository: Repository, sha: str) -> dict[str, object]:
    fields = repository.git("show", "--no-patch", "--format=%T%x00%P%x00%an%x00%ae%x00%aI%x00%B", sha).split("\0")
    tree, parents, author, email, date, message = fields
    url = f"{forge.api_url('github')}/repos/{repository.name}/git"
    person = {"name": author, "email": email, "date": date}
    return {
        "sha": sha,
        "node_id": f"C_{sha[:12]}",
        "url": f"{url}/commits/{sha}",
        "html_url": f"{forge.url}/{repository.name}/commit/{sha}",
        "author": person,
        "committer": person,
        "message": message.strip("\n"),
        "tree": {"sha": tree, "url": f"{url}/trees/{tree}"},
        "parents": [{"sha": parent, "url": f"{url}/commits/{parent}"} for parent in parents.split()],
        "verification": {"verified": False, "reason": "unsigned", "signature": None, "payload": None},
    }


def _link(forge: Forge, repository: Repository, ref: str) -> Response:
    sha = repository.resolve(ref)
    if sha is None:
        return missing("link")
    location = f"{forge.codeload_url}/{repository.name}/legacy.tar.gz/{ref}"
    if repository.private:
        location += "?token=" + forge.new_link(repository, sha, time.monotonic() + forge.link_lifetime)
    headers = {**_headers(), "Content-Type": "text/html;charset=utf-8", "Location": location}
    headers["Cache-Control"] = "public, must-revalidate, max-age=0"
    return Response(302, headers)


def _archive(forge: Forge, request: Request, repository: Repository, ref: str) -> Response:
    sha = repository.resolve(ref)
    if repository.private:
        number, commit, until = forge.links.get(request.query.get("token", ""), (0, "", 0.0))
        if (number, commit) != (repository.id, sha) or time.monotonic() > until:
            return missing("archive")
    if sha is None:
        return missing("archive")
    top = f"{repository.name.replace('/', '-')}-{sha[:7]}"
    body = forge.archive(repository, sha, top)
    assert body is not None
    headers = {
        "Content-Type": "application/x-gzip",
        "Content-Disposition": f"attachment; filename={top}.tar.gz",
        "ETag": f'"{sha}"',
        "Vary": "Authorization,Accept-Encoding",
        "X-GitHub-Request-Id": _request_id(),
    }
    return Response(200, headers, body, framing="chunked")


def _meta() -> dict[str, object]:
    return {"verifiable_password_authentication": True, "installed_version": "3.17.0", "packages": [], "domains": {}}


def _error(status: int, message: str, page: str = "") -> Response:
    return _answer(status, {"message": message, "documentation_url": DOCS + page, "status": str(status)})


def _answer(status: int, body: object, headers: dict[str, str] | None = None, *, anonymous: bool = False) -> Response:
    return Response(status, {**_headers(anonymous), **(headers or {})}, json.dumps(body).encode())


def _headers(anonymous: bool = False) -> dict[str, str]:
    limit = 60 if anonymous else 5000
    return {
        "Server": "GitHub.com",
        "Content-Type": "application/json; charset=utf-8",
        "X-GitHub-Media-Type": "github.v3; format=json",
        "X-GitHub-Api-Version-Selected": "2022-11-28",
        "X-GitHub-Enterprise-Version": "3.17.0",
        "X-GitHub-Request-Id": _request_id(),
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(limit - 1),
        "x-ratelimit-used": "1",
        "x-ratelimit-reset": str(int(time.time()) + 3600),
        "x-ratelimit-resource": "core",
    }


def _request_id() -> str:
    return ":".join(secrets.token_hex(size).upper() for size in (2, 2, 3, 3, 4))
