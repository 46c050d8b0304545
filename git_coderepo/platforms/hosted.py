"""What GitHub, GitLab and similar platforms share: a path on a host, an HTTP session, and errors from statuses."""

from __future__ import annotations

import os
from abc import abstractmethod

from git_coderepo.credentials.secret import GIT_SOURCE, log_in_hint
from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    CredentialMissing,
    DownloadDamaged,
    MethodUnavailable,
    RegistrationError,
    RepositoryMissing,
    ScopeMissing,
    ServerFailed,
    TokenRefused,
    UnexpectedAnswer,
    UnsafeTree,
)
from git_coderepo.git.objects import DIRECTORY, MODES, ObjectId
from git_coderepo.git.url.parse import has_dot_segment
from git_coderepo.git.url.remote import Origin, RemoteURL
from git_coderepo.platforms.base import Archive, BaseCodeRepository
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO, ClassVar

    from git_coderepo.credentials.secret import Credential
    from git_coderepo.platforms.context import LocalRepositoryContext
    from git_coderepo.transport.http import Authorize, Http, Response

_MODES = {f"{mode:06o}": mode for mode in (*MODES, DIRECTORY)}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quoted(text: str | bytes, safe: bytes = b"/") -> str:
    """Percent-encode a text for the path or query of a URL (RFC 3986), without importing `urllib.parse`."""
    data = os.fsencode(text) if isinstance(text, str) else text
    return "".join(chr(byte) if byte in _UNRESERVED or byte in safe else f"%{byte:02X}" for byte in data)


class Site:
    """Where an instance lives: `scheme`, `host`, `port` (None: the scheme's own), `root` ("" or "/gitlab")."""

    __slots__ = ("host", "port", "root", "scheme")

    def __init__(self, scheme: str, host: str, port: int | None, root: str = "") -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.root = root

    @classmethod
    def parse(cls, text: str) -> Site:
        """Parse `https://host:8443/gitlab/`, `host:8443/gitlab` or `host`. Raises RegistrationError."""
        scheme, separator, rest = text.strip().partition("://")
        if not separator:
            scheme, rest = "https", scheme
        authority, _, path = rest.partition("/")
        try:
            if scheme not in ("https", "http") or "@" in authority or set(rest) & set("?#"):
                raise RegistrationError(f"'{scheme}://…' is not the URL of a server")
            origin = Origin.parse(f"{scheme}://{authority}")
        except CodeRepoError:
            # The text itself is not shown: it may hold a password.
            raise RegistrationError(
                "not the URL of a server", hints=["write it as https://HOST, without user name and query"]
            ) from None
        root = path.strip("/")
        return cls(scheme, origin.host, origin.port, f"/{root}" if root else "")

    @property
    def authority(self) -> str:
        """`host:8443`, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """`https://host:8443/gitlab`, without a final slash."""
        return f"{self.scheme}://{self.authority}{self.root}"


class TokenFacts(Value):
    """What a platform says of the token that it was sent, and of its own clock.

    `scopes` are in its own words, None where it does not say; `expires` is the day or time in its own words. `date` is
    the header of that name (RFC 9110).
    """

    scopes: tuple[str, ...] | None
    expires: str | None
    date: str | None


def object_id(value: object, response: Response) -> ObjectId:
    """Return an id in an answer. Raises UnexpectedAnswer."""
    try:
        return ObjectId(value if isinstance(value, str) else "")
    except CodeRepoError:
        raise UnexpectedAnswer(f"'{response.origin}' returned an invalid object id") from None


def listed_rows(rows: object, response: Response, id_key: str) -> list[tuple[bytes, int, bytes]]:
    """Return (path, mode, raw id) of the rows of a tree in an answer. Raises UnexpectedAnswer."""
    found = []
    malformed = UnexpectedAnswer(f"'{response.origin}' returned a malformed listing of a tree")
    if not isinstance(rows, list):
        raise malformed
    for row in rows:
        if not isinstance(row, dict):
            raise malformed
        path, mode = row.get("path"), row.get("mode")
        if not isinstance(path, str) or not isinstance(mode, str) or mode not in _MODES:
            raise malformed
        found.append((os.fsencode(path), _MODES[mode], object_id(row.get(id_key), response).raw))
    return found


def no_directory(commit: ObjectId, path: bytes) -> CodeRepoError:
    """Return the error for a directory that a commit does not have."""
    return CodeRepoError(
        f"the commit {commit} has no directory '{os.fsdecode(path)}'",
        hints=["give the path from the root of the repository, without a leading '/'"],
    )


def _named(repository: str | None) -> str:
    """Return the name of a repository without slashes and `.git`."""
    return (repository or "").strip("/").removesuffix(".git")


class HostedRepository(BaseCodeRepository):
    """A repository at `path` (`owner/repository`) of a `site`, with an API.

    Subclasses say what is particular to a platform. Errors here follow from an answer's status alone, on which the
    platforms' documentation agrees.
    """

    default_host: ClassVar[str]
    # What a token needs, in the platform's own words.
    scopes: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}
    # The statuses that say "no such commit" on an existing repository.
    commit_missing: ClassVar[frozenset[int]] = frozenset((404,))

    _http: Http | None = None
    # Whether the user, or the platform's own rule, says where the API is: then a request to it counts, for a token that
    # is bound to a path, as one to the repository. Where only a manifest says so, the request's own path counts.
    trusts_api: bool = True

    # --- for each platform to implement ---

    @property
    @abstractmethod
    def site(self) -> Site:
        """The instance that people see in a browser."""

    @property
    @abstractmethod
    def path(self) -> str:
        """`owner/repository`, the owner perhaps nested; without `.git`. Raises RegistrationError if unknown."""

    @property
    @abstractmethod
    def api_url(self) -> str:
        """The base of the API, without a final slash."""

    @abstractmethod
    def access_url(self) -> str:
        """Return a URL that answers 200 with JSON if the repository exists and the credential may see it."""

    @abstractmethod
    def commit_url(self, commit: ObjectId) -> str:
        """Return a URL that answers 200 with JSON if the commit exists."""

    @abstractmethod
    def archive_url(self, commit: ObjectId, path: bytes) -> str:
        """Return the URL of a gzip archive of the commit."""

    def archive_covers(self, path: bytes) -> bytes:
        """Return which part of the repository the archive for `path` contains."""
        return b""

    def authorize(self, credential: Credential) -> tuple[str, str]:
        """Return the header (name, value) that carries a credential."""
        from git_coderepo.transport.http import bearer

        return bearer(credential)

    # --- its place ---

    def option(self, name: str) -> str | None:
        """Return the value of an option, None if it is missing or empty."""
        return self.option_values.get(name) or None

    def site_from(self, given: Site | None) -> Site:
        """Return the instance from the options, or else from the remote, or else the public one."""
        remote = self.remote
        remote_host = remote.platform_host(self.host_aliases) if remote is not None and remote.host else None
        site = given or (Site("https", remote_host, None) if remote_host else Site("https", self.default_host, None))
        if (given is not None and given.port is not None) or remote is None or remote_host != site.host:
            return site
        if remote.transport in ("https", "http") and remote.host == site.host:
            # The remote knows the port; an ssh port says nothing about https.
            return Site(remote.transport, site.host, remote.port, site.root)
        return site

    def path_from(self, owner: str | None, repository: str | None, root: str = "") -> str:
        """Return `owner/repository` from the options, or else from the remote's path below `root`."""
        if not owner or not repository:
            remote = self.remote
            remote_path = (remote.path or "").strip("/") if remote is not None else ""
            if remote is not None and remote.transport in ("https", "http"):
                remote_path = self.without_page(
                    remote_path.removeprefix(root.strip("/") + "/") if root else remote_path
                )
            remote_path = remote_path.removesuffix(".git")
            remote_owner, _, remote_repository = remote_path.rpartition("/")
            if not (owner or remote_owner) or not (repository or remote_repository):
                names = [option.flag for option in self.options[:2]]
                raise RegistrationError(
                    f"cannot tell which repository '{self.name}' is",
                    hints=[f"give {names[0]} and {names[1]}, or a remote"],
                )
            found = f"{(owner or remote_owner).strip('/')}/{_named(repository) or remote_repository}"
        else:
            found = f"{owner.strip('/')}/{_named(repository)}"
        if has_dot_segment(found) or "\\" in found or "//" in found:
            raise RegistrationError(f"invalid repository '{found}': a name cannot be '.', '..' or empty")
        return found

    def without_page(self, path: str) -> str:
        """Return the path of a repository from the path of a web URL, which may be that of a page below it."""
        return path

    def serves(self, remote: RemoteURL) -> bool:
        """Return whether a remote leads to this repository, over ssh or https."""
        site = self.site
        places = {f"{site.root}/{self.path}.git", f"/{self.path}.git"}
        return any(
            RemoteURL.from_parts(site.scheme, site.host, site.port, None, place).same_place(
                remote, aliases=self.host_aliases, fold_path=True
            )
            for place in places
        )

    def recorded_host(self) -> Mapping[str, str]:
        """Return the `host` option to record, unless the remote already names the host."""
        return {"host": self.site.url} if self.remote is None else {}

    def web_origin(self) -> Origin:
        return Origin.parse(self.site.url)

    def api_origin(self) -> Origin | None:
        return Origin.parse(self.api_url)

    def credential_path(self) -> str:
        """Return the repository's path on its host, with which a credential's path prefix is compared."""
        return f"{self.site.root}/{self.path}"

    def credential(self) -> Credential | None:
        """Return the credential for the host."""
        return self.credentials.find(self.web_origin(), self.credential_path())

    def credential_origin(self, origin: Origin) -> Origin | None:
        """Return the other origin whose credential is valid for `origin`, from the platform's table, or None."""
        other = self.credential_aliases.get(str(origin))
        return Origin.parse(other) if other else None

    def git_url(self) -> str | None:
        """Return an https URL, unless the remote is ssh and there is no credential for https."""
        if self.remote is not None and self.remote.transport == "ssh" and self.credential() is None:
            return self.remote.url()
        return f"{self.site.url}/{quoted(self.path)}.git"

    def get_local_context(self, path: str) -> LocalRepositoryContext | None:
        from git_coderepo.platforms.context import LocalRepositoryContext

        return LocalRepositoryContext.at(path, self.serves)

    # --- requests ---

    def login(self) -> None:
        response = self.get(self.access_url())
        if response.status != 200:
            raise self.refusal(response)
        response.json()

    def token_facts(self) -> TokenFacts:
        """Return what the platform says of the token. Raises HostUnreachable and other PlatformErrors."""
        response = self.get(self.access_url())
        response.close()
        return TokenFacts(scopes=None, expires=None, date=response.headers.get("date"))

    def open_archive(self, commit: ObjectId, path: bytes, *, max_wait: float | None = None) -> Archive | None:
        """Return an archive as `BaseCodeRepository` does; `max_wait` is in seconds, None for the usual wait."""
        from typing import cast

        response = self.get(self.archive_url(commit, path), expects_archive=True, max_wait=max_wait)
        if response.status == 200:
            return Archive(cast("BinaryIO", response.archive()), top_directory=True, path=self.archive_covers(path))
        if response.status in self.commit_missing:
            raise self.missing(commit, response)
        raise self.refusal(response)

    def has_commit(self, commit: ObjectId) -> bool | None:
        try:
            self.commit_answer(commit)
        except CommitMissing:
            return False
        return True

    def commit_answer(self, commit: ObjectId) -> dict[str, object]:
        """Return the API's answer about a commit. Raises CommitMissing."""
        response = self.get(self.commit_url(commit))
        if response.status == 200:
            return response.json()
        if response.status in self.commit_missing:
            raise self.missing(commit, response)
        raise self.refusal(response)

    def answer_about(self, commit: ObjectId, url: str) -> Response:
        """Return the answer, of status 200, to a GET of a URL about a commit. Raises CommitMissing, PlatformErrors."""
        response = self.get(url)
        if response.status == 200:
            return response
        raise self.missing(commit, response) if response.status in self.commit_missing else self.refusal(response)

    def file_contents(self, url: str) -> bytes | None:
        """Return the contents of a file that an API answers in base64 (GitHub's and GitLab's form); None for 404."""
        from base64 import b64decode

        response = self.get(url)
        if response.status == 404:
            response.close()
            return None
        if response.status != 200:
            raise self.refusal(response)
        found = response.json()
        text = found.get("content")
        if found.get("encoding") != "base64" or not isinstance(text, str):
            raise UnexpectedAnswer(f"'{response.origin}' did not return the contents of a file")
        try:
            return b64decode(text)
        except ValueError:
            raise UnexpectedAnswer(f"'{response.origin}' returned invalid base64") from None

    def revision(self, url: str, key: str) -> ObjectId | None:
        """Return the commit id under `key` in the answer for the URL of a revision; None where it does not exist."""
        response = self.get(url)
        if response.status in self.commit_missing:
            response.close()
            return None
        if response.status != 200:
            raise self.refusal(response)
        return object_id(response.json().get(key), response)

    def download_files(self, commit: str, directory: str, repo_sub_directory: str | None) -> None:
        path = os.fsencode(repo_sub_directory or "").strip(b"/")
        archive = self.open_archive(ObjectId(commit), path)
        if archive is None:
            raise CodeRepoError(
                f"'{self.name}' serves no archive", hints=["use git instead: git coderepo fetch --method git RUN DIR"]
            )
        with archive:
            unpack(archive, directory, path)

    def get(
        self,
        url: str,
        *,
        expects_archive: bool = False,
        authorize: Authorize | None = None,
        max_wait: float | None = None,
    ) -> Response:
        """Send a GET to the platform; see `Http.get`. With `max_wait` None an archive waits for `archive_wait`."""
        from git_coderepo.transport.http import Http

        if self._http is None:
            self._http = Http(
                self.credentials,
                authorize=self.authorize,
                repository_path=self._repository_path,
                credential_origin=self.credential_origin,
                notify=self.notify,
                max_wait=self.max_wait,
            )
        headers = dict(self.headers)
        if expects_archive:
            headers["Accept-Encoding"] = "identity"
        if expects_archive and max_wait is None:
            max_wait = self.archive_wait
        return self._http.get(url, headers, authorize=authorize, max_wait=max_wait)

    def _repository_path(self, origin: Origin, url_path: str) -> str | None:
        """Return for `Http` the repository of an API request; `/` where that is not this single repository."""
        api = Site.parse(self.api_url)
        if not self.trusts_api or origin != Origin.parse(api.url) or not url_path.startswith(f"{api.root}/"):
            return None
        mine = self.access_url().removeprefix(api.url.removesuffix(api.root))
        return quoted(self.credential_path()) if url_path == mine or url_path.startswith(f"{mine}/") else "/"

    def has_usual_api(self) -> bool:
        """Return whether the API is at the URL that this platform uses on every host."""
        return False

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    # --- errors ---

    def missing(self, commit: ObjectId, response: Response) -> CodeRepoError:
        """Return CommitMissing, or the error for the repository itself: a 404 can mean either."""
        response.close()
        try:
            self.login()
        except CodeRepoError as error:
            return error
        return CommitMissing(
            f"'{self.site.authority}' has no commit '{commit}' in '{self.path}'",
            hints=["push it again: it was never pushed there, or its branch was deleted or rewritten"],
        )

    def refusal(self, response: Response) -> CodeRepoError:
        """Return the error for an answer other than 2xx."""
        response.close()
        origin, credential, status = response.origin, response.credential, response.status
        log_in = log_in_hint(self.credentials, self.web_origin(), credential)
        if status in (401, 403) and credential is None:
            return CredentialMissing(
                f"'{origin}' requires a credential, and none was found", hints=[log_in, *self._token_hint()]
            )
        if status == 401 and credential is not None:
            # A password may be for git only: its helpers would erase it, and git would prompt for it.
            if response.asked is not None and credential.source != GIT_SOURCE:
                self.credentials.refused(*response.asked, credential)
            return TokenRefused(
                f"'{origin}' refused the token from {credential.source}", hints=[log_in, *self._token_hint()]
            )
        if status == 403 and credential is not None:
            return ScopeMissing(
                f"the token from {credential.source} may not read '{self.path}' on '{origin}'",
                hints=self.scope_hints(response),
            )
        if status == 404:
            if credential is None:
                return RepositoryMissing(
                    f"no repository '{self.path}' on '{self.site.authority}' that anybody may see",
                    hints=["check the spelling", f"if it is private: {log_in}", *self._token_hint()],
                )
            return RepositoryMissing(
                f"no repository '{self.path}' on '{self.site.authority}', or the token from {credential.source} "
                "may not see it",
                hints=["check the spelling", f"give the token {self.scopes}"],
            )
        if status >= 500:
            return ServerFailed(f"'{origin}' answered {status}", hints=["try again later"])
        return UnexpectedAnswer(
            f"'{origin}' answered {status}, which its documentation does not describe",
            hints=["check the URL of the API, and whether a proxy answers instead"],
        )

    def scope_hints(self, response: Response) -> list[str]:
        """Return hints for a 403."""
        return [f"give the token {self.scopes}", *self._token_hint()]

    def _token_hint(self) -> list[str]:
        return [f"create a token at {self.token_page()}"]

    def token_page(self) -> str:
        """Return the page on which users create a token."""
        return self.site.url


# --- The last resort: unpack an archive with the standard library ----------------------------------------------------


def unpack(archive: Archive, directory: str, path: bytes = b"") -> None:
    """Write the files of an archive, or of the directory `path` in it, below `directory`.

    Raises UnsafeTree for a path outside `directory`, DownloadDamaged for an archive that is cut off.
    """
    import tarfile
    import zlib

    if not hasattr(tarfile, "data_filter"):
        raise MethodUnavailable(
            "this Python is too old to unpack an archive safely",
            hints=["use git instead: git coderepo fetch --method git RUN DIR"],
        )
    wanted = os.fsdecode(path)
    try:
        with tarfile.open(fileobj=archive.stream, mode="r|gz", errors="surrogateescape") as tar:
            for member in tar:
                name = member.name.partition("/")[2] if archive.top_directory else member.name
                if wanted:
                    inside = name.startswith(f"{wanted}/")
                    name = name.removeprefix(f"{wanted}/") if inside else ""
                if name:
                    tar.extract(member.replace(name=name, deep=False), directory, set_attrs=True, filter="data")
    except tarfile.FilterError as error:
        raise UnsafeTree(f"unsafe path in the archive: {error}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DownloadDamaged(f"the archive is damaged: {error}", hints=["try again"]) from None
