"""GitLab's REST API, version 4, as its documentation and its source (`lib/api`, `lib/gitlab/git`) have it.

https://docs.gitlab.com/api/rest/authentication, /api/projects, /api/commits, /api/repositories#get-file-archive
"""

from __future__ import annotations

import base64
import json
import math
import secrets
import time
import urllib.parse
from typing import TYPE_CHECKING

from tests.forge.http import Request, Response
from tests.forge.model import Repository, Route
from tests.forge.tokens import Token

if TYPE_CHECKING:
    from tests.forge.server import Forge

VERSION = "18.5.1-ee"


def api(forge: Forge, request: Request, path: str) -> Route:
    """The route of a request below `/api/v4`; `path` without it."""
    match [urllib.parse.unquote(part) for part in path.strip("/").split("/")]:
        case ["version"] | ["metadata"]:
            return Route("meta", lambda: _metadata(forge, request))
        case ["personal_access_tokens", "self"]:
            return Route("other", lambda: _token_itself(forge, request))
        case ["projects", project, *rest]:
            repository = _project(forge, project)
        case _:
            return Route("other", lambda: _answer(404, {"error": "404 Not Found"}))
    match rest:
        case []:
            return Route("access", lambda: _access(forge, request, repository), repository)
        case ["repository", "commits", sha]:
            return Route("commit", lambda: _commit(forge, request, repository, sha), repository)
        case ["repository", "tree"]:
            return Route("tree", lambda: _tree(forge, request, repository), repository)
        case ["repository", "files", file]:
            return Route("file", lambda: _file(forge, request, repository, file), repository)
        case ["repository", name] if name == "archive" or name.startswith("archive."):
            format = name.partition(".")[2] or "tar.gz"
            return Route("archive", lambda: _archive(forge, request, repository, format), repository)
    return Route("other", lambda: _answer(404, {"error": "404 Not Found"}))


def missing(kind: str) -> Response:
    """404, which is also said of what is hidden from the credential."""
    subject = {"commit": "Commit", "archive": "File"}.get(kind, "Project")
    return _answer(404, {"message": f"404 {subject} Not Found"})


def _project(forge: Forge, project: str) -> Repository | None:
    if project.isdigit():
        return next((one for one in forge.repositories if one.id == int(project) and one.platform == "gitlab"), None)
    return forge.repository(project, "gitlab")


def _authenticate(
    forge: Forge, request: Request, *scopes: str, job_token: bool = False
) -> tuple[Token | None, Response | None]:
    """The token, or the answer that refuses it. A job's token counts only where the documents allow it."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    job = request.headers.get("job-token") or request.query.get("job_token")
    value = (
        request.headers.get("private-token")
        or request.query.get("private_token")
        or request.query.get("access_token")
        or (value if scheme.lower() == "bearer" else "")
    )
    if job and not value:
        if not job_token:
            return None, None
        token = forge.tokens.find("gitlab", job)
        valid = token is not None and token.kind == "job"
        return (token, None) if valid else (None, _unauthorized())
    if not value:
        return None, None
    token = forge.tokens.find("gitlab", value)
    if token is None or token.kind != "personal":
        return None, _unauthorized()  # neither a job's nor a deploy token is taken for a user's
    if not token.may(*scopes):
        refusal = {
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": " ".join(scopes),
        }
        return None, _answer(403, refusal)
    return token, None


def _unauthorized() -> Response:
    return _answer(401, {"message": "401 Unauthorized"})


def _metadata(forge: Forge, request: Request) -> Response:
    token, refusal = _authenticate(forge, request, "api", "read_api", "read_user", "ai_features")
    if token is None:
        return refusal or _unauthorized()
    kas = {"enabled": False, "externalUrl": None, "externalK8sProxyUrl": None, "version": None}
    return _answer(200, {"version": VERSION, "revision": "ceb07b24cb0", "kas": kas, "enterprise": True})


def _token_itself(forge: Forge, request: Request) -> Response:
    """https://docs.gitlab.com/api/personal_access_tokens/#self-inform, which needs no scope of its own."""
    scopes = ("api", "read_api", "read_user", "read_repository", "write_repository")
    token, refusal = _authenticate(forge, request, *scopes)
    if token is None:
        return refusal or _unauthorized()
    described = {"id": 4, "name": "laptop", "revoked": False, "active": True, "scopes": sorted(token.scopes)}
    return _answer(200, {**described, "expires_at": forge.tokens.expires_at})


def _visible(
    forge: Forge, request: Request, repository: Repository | None, *, job_token: bool = False
) -> tuple[Repository | None, Token | None, Response | None]:
    token, refusal = _authenticate(forge, request, "api", "read_api", job_token=job_token)
    if refusal is not None:
        return None, None, refusal
    if repository is None or (repository.private and (token is None or not token.sees(repository.name))):
        return None, None, missing("access")
    return repository, token, None


def _access(forge: Forge, request: Request, asked: Repository | None) -> Response:
    repository, token, refusal = _visible(forge, request, asked)
    if repository is None:
        assert refusal is not None
        return refusal
    group, _, path = repository.name.rpartition("/")
    url = repository.url.removesuffix(".git")
    described: dict[str, object] = {
        "id": repository.id,
        "description": None,
        "name": path,
        "name_with_namespace": f"{group.replace('/', ' / ')} / {path}",
        "path": path,
        "path_with_namespace": repository.name,
        "created_at": "2026-01-02T03:04:05.000Z",
        "default_branch": repository.default_branch,
        "http_url_to_repo": repository.url,
        "ssh_url_to_repo": f"git@{forge.host}:{repository.name}.git",
        "web_url": url,
        "namespace": {"id": 1, "name": group, "path": group, "kind": "group", "full_path": group},
        "empty_repo": repository.is_empty(),
        "archived": False,
        "visibility": "private" if repository.private else "public",
        "repository_object_format": repository.git("rev-parse", "--show-object-format"),
    }
    if token is not None:
        described["permissions"] = {
            "project_access": {"access_level": 20, "notification_level": 3},
            "group_access": None,
        }
    return _answer(200, described)


def _commit(forge: Forge, request: Request, asked: Repository | None, sha: str) -> Response:
    repository, _, refusal = _visible(forge, request, asked, job_token=True)
    if repository is None:
        assert refusal is not None
        return refusal
    commit = repository.resolve(sha)
    if commit is None:
        return missing("commit")
    fields = repository.git("show", "--no-patch", "--format=%P%x00%an%x00%ae%x00%aI%x00%s%x00%B", commit).split("\0")
    parents, author, email, date, title, message = fields
    described = {
        "id": commit,
        "short_id": commit[:8],
        "created_at": date,
        "parent_ids": parents.split(),
        "title": title,
        "message": message,
        "author_name": author,
        "author_email": email,
        "authored_date": date,
        "committer_name": author,
        "committer_email": email,
        "committed_date": date,
        "web_url": f"{repository.url.removesuffix('.git')}/-/commit/{commit}",
        "stats": {"additions": 0, "deletions": 0, "total": 0},
    }
    return _answer(200, described)


def _tree(forge: Forge, request: Request, asked: Repository | None) -> Response:
    """https://docs.gitlab.com/api/repositories/#list-repository-tree, with keyset pagination."""
    repository, _, refusal = _visible(forge, request, asked)
    if repository is None:
        assert refusal is not None
        return refusal
    query = request.query
    commit = repository.resolve(query.get("ref") or repository.default_branch)
    path = query.get("path") or ""
    if commit is None:
        return _answer(404, {"message": "404 Tree Not Found"})
    words = ["-r", "-t"] if query.get("recursive") == "true" else []
    rows = []
    for mode, kind, id, name in repository.list_tree(f"{commit}:{path}", *words) or ():
        full = f"{path}/{name}" if path else name
        rows.append({"id": id, "name": name.rpartition("/")[2], "type": kind, "path": full, "mode": mode})
    size = min(int(query.get("per_page", "20")), 100, forge.most_rows or 100)
    start = int(query.get("page_token") or 0)
    headers = {}
    if start + size < len(rows) and not forge.forgets_next:
        following = {**query, "page_token": str(start + size)}
        url = f"{forge.api_url('gitlab')}/projects/{repository.id}/repository/tree"
        headers["Link"] = f'<{url}?{urllib.parse.urlencode(following)}>; rel="next"'
    return _answer(200, rows[start : start + size], headers)


def _file(forge: Forge, request: Request, asked: Repository | None, path: str) -> Response:
    """https://docs.gitlab.com/api/repository_files/#get-file-from-repository"""
    repository, _, refusal = _visible(forge, request, asked)
    if repository is None:
        assert refusal is not None
        return refusal
    ref = request.query.get("ref") or repository.default_branch
    id = repository.git("rev-parse", "--verify", "--quiet", f"{ref}:{path}", check=False)
    if not id:
        return missing("archive")
    contents = base64.b64encode(repository.git("cat-file", "blob", id).encode() + b"\n").decode()
    return _answer(200, {"file_path": path, "encoding": "base64", "content": contents, "blob_id": id, "ref": ref})


def _archive(forge: Forge, request: Request, asked: Repository | None, format: str) -> Response:
    """`?sha=&path=`; the top directory is PROJECT-REF-SHA[-PATH] (`archive_prefix` in the source)."""
    repository, token, refusal = _visible(forge, request, asked)
    if repository is None:
        assert refusal is not None
        return refusal
    wait = _too_many(forge, repository, token)
    if wait:
        message = {"error": "This archive has been requested too many times. Try again later."}
        return _answer(429, {"message": message}, {"Retry-After": str(wait)})
    if format != "tar.gz":
        return _answer(406, {"error": f"The requested format '{format}' is not supported."})
    ref = request.query.get("sha") or repository.default_branch
    path = request.query.get("path") or None
    commit = repository.resolve(ref)
    if commit is None:
        return missing("archive")
    segments = [repository.name.rpartition("/")[2], ref.replace("/", "-"), commit]
    if path is not None:
        segments.append(path.replace("/", "-").strip("-"))
    prefix = "-".join(segments)
    body = forge.archive(repository, commit, prefix, path)
    if body is None:
        return missing("archive")
    headers = {
        **_headers(),
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{prefix}.tar.gz"',
        "Content-Transfer-Encoding": "binary",
    }
    return Response(200, headers, body, framing="chunked")


def _too_many(forge: Forge, repository: Repository, token: Token | None) -> int:
    """The seconds to wait, 0 when the user may have another archive of this project."""
    if forge.archive_limit is None:
        return 0
    now = time.monotonic()
    times = forge.archive_times.setdefault((token.value if token else "", repository.id), [])
    times[:] = [moment for moment in times if now - moment < 60]
    if len(times) >= forge.archive_limit:
        return math.ceil(60 - (now - times[0]))
    times.append(now)
    return 0


def _answer(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(status, {**_headers(), **(headers or {})}, json.dumps(body).encode())


def _headers() -> dict[str, str]:
    identity = secrets.token_hex(13).upper()
    return {
        "Server": "nginx",
        "Content-Type": "application/json",
        "Cache-Control": "max-age=0, private, must-revalidate",
        "Vary": "Origin",
        "X-Content-Type-Options": "nosniff",
        "X-Gitlab-Meta": json.dumps({"correlation_id": identity, "version": "1"}),
        "X-Request-Id": identity,
    }
