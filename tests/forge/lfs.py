"""Git LFS as the platforms serve it: the batch API below `/PATH.git/info/lfs`, and the objects where each keeps them.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md. GitHub's objects are on another host, behind a link that
is good for a while; GitLab's on its own, with a header that it names; plain git's (as Gitea's) on its own, where the
client's own credential is wanted. Objects lie in the bare repository, as git-lfs puts them over `file://`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.forge import smart_http
from tests.forge.http import Request, Response
from tests.forge.model import Repository, Route

if TYPE_CHECKING:
    from tests.forge.server import Forge

MEDIA_TYPE = "application/vnd.git-lfs+json"
_BATCH = "/info/lfs/objects/batch"
_OBJECT = "/lfs-objects/"


class Lfs:
    """What the LFS servers of a forge do: `lifetime` of GitHub's links in seconds, `most` objects in a question (413
    above it), `ranges` whether a part is given, `refused` the error by oid, `asked` how many objects each question had.
    """

    def __init__(self) -> None:
        self.lifetime = 300.0
        self.most = 1000
        self.ranges = True
        self.refused: dict[str, tuple[int, str]] = {}
        self.asked: list[int] = []
        self.refs: list[str | None] = []
        self.answer_extra: dict[str, object] = {}
        self.href_extra: dict[str, str] = {}  # by oid: another place than the proper one
        self.links: dict[str, tuple[Repository, str, float]] = {}
        self.secret = secrets.token_hex(16)  # what GitLab's header holds


def put(repository: Repository, contents: bytes) -> str:
    """The server has this object; its oid."""
    oid = hashlib.sha256(contents).hexdigest()
    path = object_path(repository, oid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    return oid


def pointer(contents: bytes) -> bytes:
    """The pointer to these contents."""
    oid = hashlib.sha256(contents).hexdigest()
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize %d\n" % (oid.encode(), len(contents))


def object_path(repository: Repository, oid: str) -> Path:
    return repository.path / "lfs" / "objects" / oid[:2] / oid[2:4] / oid


def route(forge: Forge, request: Request) -> Route | None:
    """`/PATH.git/info/lfs/objects/batch`, `/PATH.git/lfs-objects/OID`, and on codeload `/lfs-objects/LINK`."""
    path = "/" + "/".join(request.segments)
    if request.listener == "codeload":
        if not path.startswith(_OBJECT):
            return None
        return Route("lfs/object", lambda: _linked(forge, request, path.removeprefix(_OBJECT)))
    if path.endswith(_BATCH):
        name = path.removesuffix(_BATCH).removesuffix(".git")
        repository = smart_http.find(forge, name)
        return Route("lfs/batch", lambda: _batch(forge, request, repository), repository)
    name, middle, oid = path.rpartition(_OBJECT)
    if not middle:
        return None
    repository = smart_http.find(forge, name.removesuffix(".git"))
    return Route("lfs/object", lambda: _object(forge, request, repository, oid), repository)


def _batch(forge: Forge, request: Request, repository: Repository | None) -> Response:
    refused = smart_http.refusal(forge, request, repository)
    if refused is not None:
        return _said(
            401 if refused.status == 401 else 404, "Credentials needed" if refused.status == 401 else "Not found"
        )
    assert repository is not None
    if request.method != "POST" or request.headers.get("accept") != MEDIA_TYPE:
        return _said(406, "the Accept header must be application/vnd.git-lfs+json")
    asked: dict[str, Any] = json.loads(request.body.read())
    if asked["operation"] != "download" or "basic" not in asked.get("transfers", ["basic"]):
        return _said(422, "only basic downloads are served here")
    forge.lfs.asked.append(len(asked["objects"]))
    forge.lfs.refs.append(asked.get("ref", {}).get("name"))
    if len(asked["objects"]) > forge.lfs.most:
        return _said(413, "too many objects")
    rows = [_row(forge, request, repository, each["oid"], each["size"]) for each in asked["objects"]]
    answer = {"transfer": "basic", "objects": rows, "hash_algo": "sha256", **forge.lfs.answer_extra}
    return Response(200, {"Content-Type": MEDIA_TYPE}, json.dumps(answer).encode())


def _row(forge: Forge, request: Request, repository: Repository, oid: str, size: int) -> dict[str, object]:
    row: dict[str, object] = {"oid": oid, "size": size}
    path = object_path(repository, oid)
    if oid in forge.lfs.refused:
        code, message = forge.lfs.refused[oid]
        return {**row, "error": {"code": code, "message": message}}
    if not path.is_file():
        return {**row, "error": {"code": 404, "message": "Object does not exist on the server"}}
    href, headers = f"{repository.url}{_OBJECT}{oid}", {}
    if repository.platform == "github":
        link = secrets.token_hex(8)
        forge.lfs.links[link] = (repository, oid, time.time() + forge.lfs.lifetime)
        href = f"{forge.codeload_url}{_OBJECT}{link}"
    elif repository.platform == "gitlab":
        headers = {"Authorization": f"Basic {forge.lfs.secret}"}
    href = forge.lfs.href_extra.get(oid, href)
    # Where it is left out, git-lfs looks for a credential of its own.
    if repository.platform != "git":
        row["authenticated"] = True
    return {**row, "actions": {"download": {"href": href, "header": headers, "expires_in": 300}}}


def _linked(forge: Forge, request: Request, link: str) -> Response:
    found = forge.lfs.links.get(link)
    if found is None or found[2] < time.time():
        return Response(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
    return _contents(forge, request, object_path(found[0], found[1]))


def _object(forge: Forge, request: Request, repository: Repository | None, oid: str) -> Response:
    if repository is not None and repository.platform == "gitlab":
        if request.headers.get("authorization") != f"Basic {forge.lfs.secret}":
            return _said(401, "Credentials needed")
    else:
        refused = smart_http.refusal(forge, request, repository)
        if refused is not None:
            return refused
    assert repository is not None
    return _contents(forge, request, object_path(repository, oid))


def _contents(forge: Forge, request: Request, path: Path) -> Response:
    contents = path.read_bytes()
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    start = request.headers.get("range", "").removeprefix("bytes=").removesuffix("-")
    if not start or not forge.lfs.ranges:
        return Response(200, headers, contents)
    if int(start) >= len(contents):
        return Response(416, {"Content-Range": f"bytes */{len(contents)}"})
    headers["Content-Range"] = f"bytes {start}-{len(contents) - 1}/{len(contents)}"
    return Response(206, headers, contents[int(start) :])


def _said(status: int, message: str) -> Response:
    headers = {"Content-Type": MEDIA_TYPE}
    if status == 401:
        headers["LFS-Authenticate"] = 'Basic realm="Git LFS"'
    return Response(status, headers, json.dumps({"message": message}).encode())
