"""The base class of platforms: their data (names, options, hosts, CI variables) and their methods.

To add one, copy a platform's file and add its type to the table in `platforms/registry.py`. The files of this
package are imported on the hook's path: nothing beyond this module, `git.url` and `errors` is imported at their top.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from git_coderepo.credentials.secret import NoCredentials
from git_coderepo.trace import silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, BinaryIO, ClassVar, TypeVar

    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.url.remote import Origin, RemoteURL
    from git_coderepo.platforms.context import LocalRepositoryContext
    from git_coderepo.transport.http import Http
    from git_coderepo.transport.users_remote import UsersRemote

    Platform = TypeVar("Platform", bound="BaseCodeRepository")


class Option:
    """One option of a platform, as data: the command line, the configuration, the manifest and the docs come from it.

    `name` is the Python name (`api_url`); `flag` (`--api-url`) and `key` (`apiUrl`, in the configuration and the
    manifest) follow from it. `default` is what holds when nothing is given, None for "taken from the remote".
    A secret option is in no configuration and no manifest: a reference `{{name.key}}` or the keyring holds it.
    """

    __slots__ = ("default", "help", "name", "required", "secret")

    def __init__(
        self, name: str, help: str, *, default: str | None = None, required: bool = False, secret: bool = False
    ) -> None:
        self.name = name
        self.help = help
        self.default = default
        self.required = required
        self.secret = secret

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)


class CIVariables:
    """The environment variables of a platform's CI, as its documentation names them.

    They count only while `marker` (name, value) is set so; `commit` names the variable with the commit that is
    checked out, `server` the one with the server's URL, `repository` the one with `owner/name`.
    """

    __slots__ = ("commit", "marker", "repository", "server")

    def __init__(self, *, marker: tuple[str, str], commit: str, server: str, repository: str) -> None:
        self.marker = marker
        self.commit = commit
        self.server = server
        self.repository = repository


class TokenVariable:
    """An environment variable in which people keep a platform's token, and the one host its documents bind it to.

    `host_variables` name variables with that host or its URL, tried in order; `default_host` holds when none is
    set, None means: then the token is not used at all. `user` is git's user name for such a token.
    """

    __slots__ = ("default_host", "host_variables", "name", "user")

    def __init__(
        self, name: str, *, host_variables: tuple[str, ...] = (), default_host: str | None, user: str | None = None
    ) -> None:
        self.name = name
        self.host_variables = host_variables
        self.default_host = default_host
        self.user = user


class Archive:
    """An archive as it arrives: `stream` gives its compressed bytes, to be read once and closed.

    `top_directory` says whether all its paths stand below one directory that is not part of the tree;
    `path` is the part of the repository it holds, b"" for all of it; its paths begin at the root all the same.
    """

    __slots__ = ("path", "stream", "top_directory")

    def __init__(self, stream: BinaryIO, *, top_directory: bool, path: bytes = b"") -> None:
        self.stream = stream
        self.top_directory = top_directory
        self.path = path

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


class CommitTree:
    """What a platform's API says of a commit, or of one directory of it: its `tree` id, and the submodules in it.

    `gitlinks` has the raw commit of each submodule by its path from there; it is empty where nothing says where
    submodules are.
    """

    __slots__ = ("gitlinks", "tree")

    def __init__(self, tree: ObjectId, gitlinks: Mapping[bytes, bytes]) -> None:
        self.tree = tree
        self.gitlinks = gitlinks


class BaseCodeRepository(ABC):
    """A code repository on a platform. Three methods are required; the others have defaults that do nothing.

    `name` is its registered name, `options` its options by Python name, defaults filled in. The attributes by which it
    is reached (`remote`, `credentials` and those below them) are set while it is built (`registration.platform_object`)
    and stay as they are.
    """

    type: ClassVar[str] = "custom"
    title: ClassVar[str] = "a custom class"
    options: ClassVar[tuple[Option, ...]] = ()
    hosts: ClassVar[tuple[str, ...]] = ()
    # The ends of further public hosts: ".ghe.com", below which each tenant has a host.
    host_suffixes: ClassVar[tuple[str, ...]] = ()
    # An ssh endpoint (host, port) that stands for another host: ("ssh.github.com", 443) for "github.com".
    host_aliases: ClassVar[Mapping[tuple[str, int | None], str]] = {}
    # Origins that share one credential by the platform's own documents: "https://api.github.com" asks as "https://github.com".
    credential_aliases: ClassVar[Mapping[str, str]] = {}
    ci: ClassVar[CIVariables | None] = None
    token_variables: ClassVar[tuple[TokenVariable, ...]] = ()
    token_help: ClassVar[str] = ""
    # Whether the code comes from `download_files` only, which loses modes and links: then the manifest lists `special`.
    # True for a class with neither an archive nor a git URL, unless it says otherwise.
    needs_special: ClassVar[bool] = True

    remote: RemoteURL | None = None
    credentials: CredentialSource = NoCredentials()
    # In a checkout of it: the remote by which the user's own git reaches it.
    users_remote: UsersRemote | None = None
    # Whether the user gave a token for this code repository alone, which then has to work.
    has_own_token: bool = False
    # Where progress and warnings go, and the longest wait for a rate limit, in seconds.
    notify: Callable[[str], None] = staticmethod(silent)
    max_wait: float = 60
    # Whether archives have a limit of their own, which git does not share; and for how long it is waited for where that
    # differs from any other limit.
    limits_archives: ClassVar[bool] = False
    archive_wait: float | None = None
    # The protocols that git may use, on a runner (rule 3 in docs/design/safety.md); None for those of the user's git.
    protocols: frozenset[str] | None = None

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self.name = name
        self.option_values = dict(options)

    def __init_subclass__(cls, **names: Any) -> None:
        super().__init_subclass__(**names)
        if "needs_special" not in cls.__dict__:
            base = BaseCodeRepository
            cls.needs_special = cls.open_archive is base.open_archive and cls.git_url is base.git_url

    @classmethod
    def is_own_host(cls, host: str) -> bool:
        """Return whether a host (lower case) is a public one of the platform: for people, its API or ssh."""
        apis = [alias.partition("://")[2] for alias in cls.credential_aliases]
        return (
            host in cls.hosts
            or host.endswith(cls.host_suffixes)
            or host in apis
            or any(host == alias for alias, _ in cls.host_aliases)
        )

    @classmethod
    def recognises(cls, http: Http, site: Any) -> bool:
        """Return whether an unknown host, a `hosted.Site`, answers as this platform does. Raises PlatformError."""
        return False

    @abstractmethod
    def login(self) -> None:
        """Ask the platform once whether the credential works and the repository exists.

        Raises TokenRefused, ScopeMissing, CredentialMissing, RepositoryMissing, HostUnreachable, or another
        PlatformError: each says which it is.
        """

    @abstractmethod
    def download_files(self, commit: str, directory: str, repo_sub_directory: str | None) -> None:
        """Write the files of a commit (full hex id), or of one directory of it, below `directory`, which exists.

        The last resort: modes and links that it loses are completed from the manifest, and all of it is verified.
        """

    @abstractmethod
    def get_local_context(self, path: str) -> LocalRepositoryContext | None:
        """Return the checkout that holds `path`, if this repository serves its code, else None."""

    # --- better methods, each optional ---

    def open_archive(self, commit: ObjectId, path: bytes) -> Archive | None:
        """Open an archive of a commit, or of one directory of it; None if the platform has none.

        Raises CommitMissing, RateLimited and other PlatformErrors.
        """
        return None

    def git_url(self) -> str | None:
        """Return the URL from which git fetches, without a credential; None if git cannot."""
        return None

    def git_credential_user(self) -> str | None:
        """Return the user name for a token when git asks for one; None for the credential's own."""
        return None

    def commit_tree(self, commit: ObjectId) -> ObjectId | None:
        """Return the tree id of a commit, as the platform reports it; None if it does not.

        Raises CommitMissing.
        """
        return None

    def describe_tree(self, commit: ObjectId, path: bytes) -> CommitTree | None:
        """Return the tree of a commit, or of a directory in it, by the platform's API; None where it has none.

        Raises CommitMissing, CodeRepoError where the commit has no such directory, UnexpectedAnswer where the answer is
        cut off or contradicts itself.
        """
        return None

    def read_file(self, commit: ObjectId, path: str) -> bytes | None:
        """Return the contents of a small file of a commit; None if it or the API for it is missing."""
        return None

    def resolve(self, revision: str) -> ObjectId | None:
        """Return the commit that a branch, a tag or the beginning of an id names; None where no API knows one.

        Raises PlatformErrors.
        """
        return None

    def tree_entries(self, tree: ObjectId) -> Mapping[bytes, tuple[int, bytes]] | None:
        """Return (mode, raw id) by the names in a directory, given by its tree id; None where no API knows them."""
        return None

    def has_commit(self, commit: ObjectId) -> bool | None:
        """Return whether the platform serves this commit now; None if it cannot be asked."""
        return None

    def web_url(self, commit: ObjectId) -> str | None:
        """Return the web page of a commit, or None."""
        return None

    def api_origin(self) -> Origin | None:
        """Return the origin of the API; None if there is none."""
        return None

    def recorded_options(self) -> Mapping[str, str]:
        """Return the options in effect, by Python name and without secrets: given ones and those from the remote."""
        public = [option.name for option in self.options if not option.secret]
        return {name: self.option_values[name] for name in public if name in self.option_values}

    def close(self) -> None:  # noqa: B027
        """Close connections. The repository can be used again."""


def located(platform: type[Platform], name: str, options: Mapping[str, str], remote: RemoteURL | None) -> Platform:
    """Create a code repository of a class from its options (by Python name) and its remote."""
    repository = platform(name, options)
    repository.remote = remote
    return repository
