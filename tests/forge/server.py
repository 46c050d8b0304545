"""The forge: a hosting platform on 127.0.0.1, with real bare repositories behind it."""

from __future__ import annotations

import functools
import json
import secrets
import shutil
import ssl
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

import trustme

from tests.forge import archives, github, gitlab, lfs, smart_http
from tests.forge.http import Request, Response, Server
from tests.forge.misbehaviour import Misbehaviour
from tests.forge.model import Recorded, Repository, Route
from tests.forge.tokens import Tokens
from tests.support.environment import program_path

PLATFORMS = ("github", "gitlab", "git")

# As the platforms have it: any commit by its id, partial clones, and no housekeeping in the middle of a test.
_SERVED = """\
[uploadpack]
\tallowAnySHA1InWant = true
\tallowFilter = true
[receive]
\tautoGC = false
"""


@dataclass
class _Planned:
    kind: str
    misbehaviour: Misbehaviour
    times: int | None
    skip: int


class Forge:
    """A platform to test against; use it as a context manager, `close` asserts that the forge itself did not break.

        with Forge() as forge:
            repository = forge.add_repository("acme/widgets", private=True, platform="github")
            token = forge.add_token("github")

    Its origins: `url` (web, git and API, as GitHub Enterprise and GitLab have them), `codeload_url` (where GitHub's
    archives come from), `evil_url` (`localhost`, a foreign host that asks for credentials), `plain_url` (the web
    without TLS). With `api_prefix=""` GitHub's API has an origin of its own, as api.github.com: `api_url("github")`.

    A platform's API is there when a repository of it has been added, or `platforms` names it, so that a host can be
    told by asking it. `gitlab_root` is a relative root such as `/gitlab`. `latency` in seconds is paid by each
    request, once more by each connection, and once more for TLS. With `cache_archives` an archive is made once and
    then served from memory.

    Kinds of requests, for `misbehave` and `requests`: `meta`, `access` (the repository), `commit`, `link` (GitHub's
    redirect to the archive), `archive` (the bytes, on either platform), `git/refs`, `git/upload-pack`,
    `git/receive-pack`, `other`; `git` means all three and `*` all of them.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        tls: bool = True,
        platforms: Iterable[str] = (),
        api_prefix: str = "/api/v3",
        gitlab_root: str = "",
        latency: float = 0.0,
        cache_archives: bool = False,
    ) -> None:
        self._own_root = root is None
        self.root = Path(root) if root is not None else Path(tempfile.mkdtemp(prefix="forge-"))
        self.root.mkdir(parents=True, exist_ok=True)
        self.platforms = set(platforms)
        self.api_prefix = api_prefix
        self.gitlab_root = gitlab_root
        self.latency = latency
        self.cache_archives = cache_archives
        self.archive_cache: dict[tuple[int, str, str, str | None], bytes] = {}
        self.git_env = _git_env(self.root)
        self.repositories: list[Repository] = []
        self.tokens = Tokens()
        self.link_lifetime = 300.0  # seconds, as documented for private archives
        self.links: dict[str, tuple[int, str, float]] = {}
        self.tarball_refuses_bearer = False  # as was reported of fine-grained tokens: 401 with Bearer, 302 with token
        self.archive_limit: int | None = None  # GitLab: so many archives a minute by user and project, 5 on gitlab.com
        self.archive_times: dict[tuple[str, int], list[float]] = {}
        self.most_rows: int | None = None  # of a tree's listing: GitHub cuts it off there, GitLab's pages end there
        self.forgets_next = False  # GitLab's listing of a tree without its next page
        self.lfs = lfs.Lfs()
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._log: list[Recorded] = []

        self.server = Server(self._handle, lambda: self.latency)
        context = _server_context() if tls else None
        self.ca_file = self.root / "ca.pem"
        self.ca_file.write_bytes(_authority().cert_pem.bytes())
        for name, host, listener_tls in (
            ("web", "127.0.0.1", context),
            ("codeload", "127.0.0.1", context),
            ("evil", "localhost", context),
            ("plain", "127.0.0.1", None),
            *([("api", "127.0.0.1", context)] if api_prefix == "" else []),
        ):
            self.server.listen(name, host, listener_tls)
        self.server.start()

    def __enter__(self) -> Forge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(check=error is None)

    def close(self, check: bool = True) -> None:
        """Ends all threads and sockets (then nobody listens); AssertionError when an answer failed by our own fault."""
        self.server.close()
        if self._own_root:
            shutil.rmtree(self.root, ignore_errors=True)
        assert not check or not self.server.failures, "the forge broke:\n" + "\n".join(self.server.failures)

    # --- where things are ---

    def _origin(self, listener: str) -> str:
        return self.server.listeners[listener].origin

    @property
    def url(self) -> str:
        return self._origin("web")

    @property
    def host(self) -> str:
        return self.server.listeners["web"].host

    @property
    def port(self) -> int:
        return self.server.listeners["web"].port

    @property
    def codeload_url(self) -> str:
        return self._origin("codeload")

    @property
    def evil_url(self) -> str:
        return self._origin("evil")

    @property
    def plain_url(self) -> str:
        return self._origin("plain")

    def api_url(self, platform: str) -> str:
        """The API's base, as `--api-url` takes it."""
        if platform == "gitlab":
            return f"{self.url}{self.gitlab_root}/api/v4"
        return self._origin("web") + self.api_prefix if self.api_prefix else self._origin("api")

    def certify(self, not_before: datetime | None = None, not_after: datetime | None = None) -> None:
        """Show a certificate that is valid between these times from now on; one that is valid now without them."""
        for listener in self.server.listeners.values():
            if listener.tls is not None:
                listener.tls = _server_context(not_before, not_after)

    @property
    def env(self) -> dict[str, str]:
        """What a user sets to trust a company's own certificate authority, for git and for the program."""
        return {"GIT_SSL_CAINFO": str(self.ca_file)}

    # --- what is there ---

    def add_repository(
        self,
        name: str,
        *,
        platform: str = "github",
        private: bool = True,
        source: Path | None = None,
        copy_of: Path | None = None,
        object_format: str = "sha1",
        default_branch: str = "main",
    ) -> Repository:
        """A new repository, empty, with all references of the one at `source`, or a copy of another forge's."""
        assert platform in PLATFORMS, platform
        assert self.repository(name) is None, f"'{name}' exists"
        path = self.root / "repositories" / f"{len(self.repositories) + 1}.git"
        repository = Repository(self, 1000 + len(self.repositories), name, platform, private, path, default_branch)
        if copy_of is not None:
            shutil.copytree(copy_of, path)
        else:
            path.mkdir(parents=True)
            repository.git(
                "init", "--quiet", "--bare", f"--object-format={object_format}", f"--initial-branch={default_branch}"
            )
            with open(path / "config", "a", encoding="utf-8") as config:
                config.write(_SERVED)
        if source is not None:
            repository.git("fetch", "--quiet", str(source), "+refs/*:refs/*")
        self.repositories.append(repository)
        if platform != "git":
            self.platforms.add(platform)
        return repository

    def rename(self, repository: Repository, name: str) -> None:
        """GitHub's API then answers 301 under the old name, GitLab's 404; git is served by both."""
        repository.former_names.append(repository.name)
        repository.name = name

    def repository(self, name: str, platform: str | None = None, *, former: bool = False) -> Repository | None:
        """The repository of this name (case is ignored, as the platforms do), or that once had it."""
        for repository in self.repositories:
            if platform in (None, repository.platform) and name.lower() == repository.name.lower():
                return repository
        for repository in self.repositories if former else ():
            if platform in (None, repository.platform) and name in repository.former_names:
                return repository
        return None

    def add_token(
        self,
        platform: str,
        *,
        scopes: Iterable[str] | None = None,
        repositories: Iterable[str] | None = None,
        kind: str = "personal",
        value: str | None = None,
        user: str = "",
    ) -> str:
        """A token that works; see `tokens` for scopes and kinds. Without `scopes` it may read, not push."""
        return self.tokens.add(platform, scopes, repositories, kind, value, user)

    def archive(
        self, repository: Repository, commit: str, prefix: str, path: str | None = None
    ) -> Iterable[bytes] | bytes | None:
        """The tar.gz of a commit, None where git makes none."""
        key = (repository.id, commit, prefix, path)
        with self._lock:
            cached = self.archive_cache.get(key)
        if cached is not None:
            return cached
        made = archives.archive(repository.path, self.git_env, commit, prefix, path)
        if made is None or not self.cache_archives:
            return made
        data = b"".join(made)
        with self._lock:
            self.archive_cache[key] = data
        return data

    def new_link(self, repository: Repository, commit: str, until: float) -> str:
        """The token of a temporary link to an archive."""
        token = secrets.token_hex(16).upper()
        self.links[token] = (repository.id, commit, until)
        return token

    # --- what goes wrong, and what arrived ---

    def misbehave(self, kind: str, misbehaviour: Misbehaviour, times: int | None = 1, skip: int = 0) -> None:
        """The next `times` requests of a kind (None: all), after `skip` good ones, are answered wrongly."""
        with self._lock:
            self._planned.append(_Planned(kind, misbehaviour, times, skip))

    def behave(self) -> None:
        """Forgets all planned misbehaviour."""
        with self._lock:
            self._planned.clear()

    def requests(self, kind: str = "*", *, listener: str | None = None, method: str | None = None) -> list[Recorded]:
        """What arrived so far, in order."""
        with self._lock:
            log = list(self._log)
        return [
            entry
            for entry in log
            if _is(entry.kind, kind) and listener in (None, entry.listener) and method in (None, entry.method)
        ]

    def forget_requests(self) -> None:
        with self._lock:
            self._log.clear()

    def origins_that_saw(self, secret: str) -> set[str]:
        """The origins that were sent the secret, in whatever form."""
        return {entry.origin for entry in self.requests() if entry.carries(secret)}

    # --- answering ---

    def route(self, request: Request) -> Route:
        if request.listener == "evil":
            return Route("other", lambda: _entice(request))
        found = lfs.route(self, request)
        if found is not None:
            return found
        if request.listener == "codeload":
            return github.codeload(self, request)
        if request.listener == "api":
            return github.api(self, request, request.path)
        if "github" in self.platforms and self.api_prefix and _below(request.path, self.api_prefix):
            return github.api(self, request, request.path[len(self.api_prefix) :])
        if "gitlab" in self.platforms and _below(request.path, f"{self.gitlab_root}/api/v4"):
            return gitlab.api(self, request, request.path[len(f"{self.gitlab_root}/api/v4") :])
        return smart_http.route(self, request) or Route("other", lambda: _page(200 if request.path == "/" else 404))

    def asked_repository(self, request: Request) -> Repository | None:
        return self.route(request).repository

    def not_found(self, request: Request) -> Response:
        """404 in the words of the platform and route."""
        route = self.route(request)
        if route.repository is not None and route.kind in ("access", "commit", "link", "archive"):
            missing = gitlab.missing if route.repository.platform == "gitlab" else github.missing
            return missing(route.kind)
        return _page(404)

    def _handle(self, request: Request) -> Response:
        route = self.route(request)
        name = route.repository.name if route.repository is not None else None
        entry = Recorded(
            request.listener,
            request.origin,
            request.method,
            request.target,
            request.path,
            request.query,
            request.headers,
            route.kind,
            name,
        )
        with self._lock:
            self._log.append(entry)
            wrong = self._take(route.kind)
        response = wrong.answer(self, request, route.answer) if wrong is not None else route.answer()
        entry.status = response.status
        return response

    def _take(self, kind: str) -> Misbehaviour | None:
        for planned in self._planned:
            if not _is(kind, planned.kind):
                continue
            if planned.skip:
                planned.skip -= 1
                continue
            if planned.times is not None:
                planned.times -= 1
                if planned.times == 0:
                    self._planned.remove(planned)
            return planned.misbehaviour
        return None


def _is(kind: str, wanted: str) -> bool:
    return wanted in ("*", kind) or kind.startswith(wanted + "/")


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _entice(request: Request) -> Response:
    """A foreign host that would like to have the credential: it asks for one, and thanks for it."""
    if "authorization" in request.headers:
        return Response(200, {"Content-Type": "application/json"}, json.dumps({"message": "thank you"}).encode())
    headers = {"Content-Type": "application/json", "WWW-Authenticate": 'Basic realm="evil"'}
    return Response(401, headers, b'{"message": "Requires authentication"}')


def _page(status: int) -> Response:
    """What a platform shows to people."""
    title = "Welcome" if status == 200 else "Page not found"
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body>{title}</body></html>\n"
    return Response(status, {"Content-Type": "text/html; charset=utf-8"}, page.encode())


def _git_env(root: Path) -> dict[str, str]:
    return {
        "PATH": program_path(),
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "LC_ALL": "C.UTF-8",
    }


@functools.cache
def _authority() -> trustme.CA:
    """One certificate authority for the process: making keys costs more than most tests."""
    return trustme.CA()


@functools.cache
def _server_context(not_before: datetime | None = None, not_after: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown = _authority().issue_cert("127.0.0.1", "localhost", not_before=not_before, not_after=not_after)
    shown.configure_cert(context)
    return context
