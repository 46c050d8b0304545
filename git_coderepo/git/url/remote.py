"""URLs of remotes in parts, what git and ssh make of a checkout's remotes, and the origins that credentials belong to.

How the text is read stands in `urltext`. No message and no `repr` holds what may be secret.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.url.parse import (
    SSH_SCHEMES,
    WEB,
    authority_of,
    encoded,
    first_of,
    has_dot_segment,
    is_known_scheme,
    lower,
    read_url,
    safe,
    split_host,
)
from git_coderepo.git.url.ssh import ask_ssh

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.git.process import Git
    from git_coderepo.settings import Settings

    Aliases = Mapping[tuple[str, int | None], str]

_DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418, "ftp": 21, "ftps": 990}
# Transports that lead to one repository on one host; the others are compared among their own kind.
_ALIKE = frozenset(("https", "http", "ssh", "git"))
_NO_ALIASES: Aliases = {}


class Origin:
    """Where a credential belongs: scheme (`https`, `http`, `ssh`), host in lower case, port (None: its default)."""

    __slots__ = ("host", "port", "scheme")

    def __init__(self, scheme: str, host: str, port: int | None = None) -> None:
        self.scheme = scheme
        self.host = lower(host)
        self.port = None if port == _DEFAULT_PORTS.get(scheme) else port

    @classmethod
    def parse(cls, text: str) -> Origin:
        """From `https://host[:port][/…]`; raises InvalidRemoteURL, also for a user name or password in it."""
        scheme, colon, rest = safe(text).partition("://")
        scheme = scheme.lower()
        if not colon or scheme not in ("https", "http", "ssh"):
            raise InvalidRemoteURL("not an origin", hints=["write https://HOST[:PORT]"])
        authority = rest[: first_of(rest, "/?#")]
        if "@" in authority:
            raise InvalidRemoteURL("an origin holds no user name and no password", hints=["write https://HOST[:PORT]"])
        return cls(scheme, *split_host(authority))

    def __str__(self) -> str:
        return f"{self.scheme}://{authority_of(self.host, self.port)}"

    def __repr__(self) -> str:
        return f"Origin({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, int | None]:
        return self.scheme, self.host, self.port


def below(prefix: str, path: str) -> bool:
    """Return whether `path` is `prefix` or lies below it, name by name; the first slash and `.git` do not count.

    A path that a server might read as another one lies below no prefix.
    """
    wanted = prefix.strip("/")
    if not wanted:
        return True
    if has_dot_segment(path):
        return False
    actual = path.strip("/")
    return actual.startswith(wanted + "/") or without_git_suffix(actual) == without_git_suffix(wanted)


def without_git_suffix(path: str) -> str:
    """Return a path without slashes around it and without `.git` at its end."""
    return path.strip("/").removesuffix(".git")


def place_of(text: str) -> tuple[Origin, str]:
    """(origin, path prefix) of `https://git.corp[:port][/group]`; the prefix starts with `/` and has none at its end.

    Raises InvalidRemoteURL.
    """
    authority = text.partition("://")[2]
    return Origin.parse(text), "/" + authority.partition("/")[2].strip("/")


class RemoteURL:
    """The URL of a remote, in parts.

    `transport` is how git would reach it: `https`, `http`, `ssh`, `git`, `ftp`, `ftps`, `file`, `local` or
    `helper:NAME` (gitremote-helpers(7)). `path` is what git would ask for, decoded once (bytes that are not UTF-8 as
    surrogates): with its first `/`, or without one where ssh starts at the home directory; for a helper that is not
    known it is the whole address, None where that may hold a secret. `owner` and `repository` are the names in it,
    None where there are none. `has_secret`: the text held a password, a token or a query; none of them is kept,
    but for a token in place of the user name. `user` is never shown, and recorded for ssh only.
    """

    __slots__ = ("_ssh_host", "has_secret", "host", "owner", "path", "port", "repository", "transport", "user")

    def __init__(
        self,
        transport: str,
        user: str | None,
        host: str | None,
        port: int | None,
        path: str | None,
        names: tuple[str | None, str | None] = (None, None),
        has_secret: bool = False,
    ) -> None:
        self.transport = transport
        self.user = user
        self.host = None if host is None else lower(host)
        self.port = port
        self.path = path
        self.owner, self.repository = names
        self.has_secret = has_secret
        self._ssh_host = host  # as written: ssh's own configuration tells Work from work

    @classmethod
    def parse(cls, text: str, *, windows: bool = False) -> RemoteURL:
        """The URL or path `text` as git reads it, after `insteadOf`; `windows`: as git for Windows does.

        Raises InvalidRemoteURL, and nothing else, for whatever git would not take or refuses for safety.
        """
        return cls(*read_url(text, windows))

    @classmethod
    def from_parts(
        cls, transport: str, host: str | None, port: int | None, user: str | None, path: str | None
    ) -> RemoteURL:
        """From the parts that a manifest records, which nobody vouches for; a user is kept for ssh only.

        Raises InvalidRemoteURL unless the URL made of them is read, by `parse`, as these very parts again.
        """
        user = user if transport == "ssh" else None
        host, user, path = (None if part is None else safe(part) for part in (host, user, path))
        given = cls(safe(transport), user, host, port, path)
        try:
            read = cls.parse(given.url())
        except InvalidRemoteURL as error:
            raise InvalidRemoteURL(f"the recorded remote is no URL: {error.message}") from None
        if read._key() != given._key() or read.has_secret:
            raise InvalidRemoteURL("the recorded remote is no URL: git would read its parts otherwise")
        return read

    def url(self) -> str:
        """The text to give to git, from the parts: never a password or a query, a user name for ssh only.

        Raises InvalidRemoteURL for a helper's address that holds a secret: it cannot be told apart from it.
        """
        if self.path is None:
            raise InvalidRemoteURL("an address for a remote helper that is not known, or holds a secret")
        if self.transport == "local":
            return self.path
        if self.transport == "file":
            return "file://" + encoded(self.path)
        scheme = self.transport.removeprefix("helper:")
        if self.host is None:
            is_whole = self.path.startswith(scheme + "://") and not is_known_scheme(scheme)
            return self.path if is_whole else f"{scheme}::{self.path}"
        user = None if self.user is None or self.transport != "ssh" else self.user
        if self.transport == "ssh" and self.path[:1] not in ("/", "~"):
            # Relative to the home directory: only the scp-like form says that. Brackets take a port, and tell a host
            # from git's former protocol and from a drive of Windows.
            host = self.host
            is_misread = user is None and (host == "rsync" or len(host) == 1)
            if self.port is not None or ":" in host or self.path.startswith(":") or is_misread:
                host = f"[{host}]" if self.port is None else f"[{host}:{self.port}]"
            return f"{host}:{self.path}" if user is None else f"{user}@{host}:{self.path}"
        authority = authority_of(self.host, self.port)
        if user is not None:
            authority = f"{encoded(user)}@{authority}"
        slash = "/" if self.path.startswith("~") else ""
        return f"{scheme}://{authority}{slash}{encoded(self.path)}"

    def origin(self) -> Origin | None:
        """The origin of requests to it; None where no credential belongs to one (git, file, local, helpers)."""
        if self.host is None or self.transport not in ("https", "http", "ssh"):
            return None
        return Origin(self.transport, self.host, self.port)

    def platform_host(self, aliases: Aliases = _NO_ALIASES) -> str:
        """The host by which a platform is known: github.com where its table of ssh endpoints has `ssh.github.com:443`.

        A key's port None stands for the transport's own. Empty for what has no host.
        """
        return self._place(aliases)[0]

    def same_place(self, other: RemoteURL, *, aliases: Aliases = _NO_ALIASES, fold_path: bool = False) -> bool:
        """Whether both lead to one repository: ssh, https, http and git alike, whatever the user.

        The case of the host, `.git` and `/` at the end do not count; ports count between transports of one kind. The
        case of the path counts unless `fold_path`, for platforms that fold the names of owners and repositories.
        """
        if self.host is None or other.host is None or not {self.transport, other.transport} <= _ALIKE:
            local = {self.transport, other.transport} <= {"file", "local"}
            if not local and self.transport != other.transport:
                return False
        host, port = self._place(aliases)
        other_host, other_port = other._place(aliases)
        if host != other_host or (_kind(self.transport) == _kind(other.transport) and port != other_port):
            return False
        path, other_path = self._plain_path(), other._plain_path()
        if fold_path and path is not None and other_path is not None:
            return path.lower() == other_path.lower()
        return path is not None and path == other_path

    def hint(self) -> str | None:
        """What to tell a user who probably meant another URL, or None."""
        helper = self.transport.removeprefix("helper:")
        if helper != helper.lower() and helper.lower() in WEB | SSH_SCHEMES | {"git", "file"}:
            return f"git minds the case of a protocol: write '{helper.lower()}://'"
        first, _, rest = (self.path or "").partition("/")
        if self.transport == "ssh" and self.port is None and first.isdecimal() and "/" in rest:
            return f"'{first}' is part of the path here: a port is written ssh://HOST:{first}/PATH"
        return None

    def _place(self, aliases: Aliases) -> tuple[str, int | None]:
        """The host without aliases and a final dot, and its port, None for the transport's own."""
        host = (self.host or "").removesuffix(".")
        port = None if self.port == _DEFAULT_PORTS.get(self.transport) else self.port
        alias = aliases.get((host, port))
        return (host, port) if alias is None else (alias, None)

    def _plain_path(self) -> str | None:
        if self.path is None or self.transport.startswith("helper:"):
            return self.path
        if self.transport in ("file", "local"):
            path = self.path.rstrip("/").removesuffix(".git")
            return (path.rstrip("/") or "/") if self.path.startswith("/") else path.rstrip("/")
        path = self.path.strip("/")
        return path if path.endswith("/.git") else path.removesuffix(".git")

    def _key(self) -> tuple[str, str | None, str | None, int | None, str | None]:
        return self.transport, self.user, self.host, self.port, self.path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteURL) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        """For people: without the user, and without the address that only a helper understands."""
        scheme = self.transport.removeprefix("helper:")
        if self.transport == "local":
            return self.path or ""
        if self.transport == "file":
            return f"file://{self.path}"
        if self.host is None:
            return f"{scheme}::…"
        return f"{scheme}://{authority_of(self.host, self.port)}/{(self.path or '').removeprefix('/')}"

    def __repr__(self) -> str:
        return f"RemoteURL({str(self)!r})"


def _kind(transport: str) -> str:
    """Transports whose ports can be compared."""
    return "http" if transport in ("https", "http") else transport


# --- the remotes of a checkout -----------------------------------------------------------------


def resolve_remote(git: Git, settings: Settings, name: str) -> RemoteURL | None:
    """What the remote `name` of the checkout fetches from, None without a URL: after `insteadOf` and ssh's aliases.

    Raises InvalidRemoteURL, naming the remote. It may run what the user's own configuration of git and ssh names,
    as a fetch would: it is for the user's checkout, never for what a manifest says.
    """
    urls = _urls(settings, "url", name)
    if not urls:
        return None
    text = urls[0]
    if any(entry.section == "url" and entry.name == "insteadof" for entry in settings.entries):
        text = git.line("ls-remote", "--get-url", "--", name)
    try:
        url = RemoteURL.parse(text)
    except InvalidRemoteURL as error:
        hints = error.hints or (f"git remote set-url {name} URL",)
        raise InvalidRemoteURL(f"the remote '{name}' is {error.message}", hints=hints) from None
    return resolve_ssh_alias(url, git.environment, settings.value("core", "sshCommand"))


def resolve_ssh_alias(url: RemoteURL, environment: Mapping[str, str], command: str | None = None) -> RemoteURL:
    """The URL with the host, port and user that ssh's configuration puts in place of a `Host` alias.

    `command` is `core.sshCommand`. The URL comes back as it is where ssh would not change it, or cannot be asked.
    """
    if url.transport != "ssh" or url.host is None or url.path is None:
        return url
    answer = ask_ssh(url._ssh_host or url.host, url.port, url.user, environment, command)
    if answer is None:
        return url
    host, port, user = answer
    if (lower(host), port, user) == (url.host, url.port, url.user):
        return url
    try:
        resolved = RemoteURL.from_parts("ssh", host, port, user, url.path)
    except InvalidRemoteURL:
        return url
    resolved.has_secret = url.has_secret
    return resolved


def push_differs(settings: Settings, name: str) -> bool:
    """Whether a push to the remote `name` goes, also, to another place than a fetch comes from.

    By git's rules (git-config(1), `url.<base>.insteadOf`, `pushInsteadOf`), from the settings alone. What cannot be
    compared differs.
    """
    urls = _urls(settings, "url", name)
    pushed = [_rewritten(url, settings, "insteadof") or url for url in _urls(settings, "pushurl", name)]
    if not urls:
        return bool(pushed)
    if not pushed:  # pushInsteadOf counts only then, and what it gives is not rewritten again
        pushed = [_rewritten(u, settings, "pushinsteadof") or _rewritten(u, settings, "insteadof") or u for u in urls]
    fetched = _rewritten(urls[0], settings, "insteadof") or urls[0]
    return any(url != fetched and not _same_text(url, fetched) for url in pushed)


def _urls(settings: Settings, variable: str, name: str) -> list[str]:
    """The values of `remote.NAME.VARIABLE`; an empty one takes back those before it (git 2.46)."""
    urls: list[str] = []
    for value in settings.values("remote", variable, name):
        urls = urls + [value] if value else []
    return urls


def _rewritten(text: str, settings: Settings, variable: str) -> str | None:
    """The text after `url.BASE.VARIABLE`, the longest that matches (the first of equals), or None."""
    base, length = None, 0
    for entry in settings.entries:
        prefix = entry.value if entry.section == "url" and entry.name == variable else None
        if prefix and len(prefix) > length and text.startswith(prefix):
            base, length = entry.subsection, len(prefix)
    return None if base is None else base + text[length:]


def _same_text(url: str, other: str) -> bool:
    try:
        return RemoteURL.parse(url).same_place(RemoteURL.parse(other))
    except InvalidRemoteURL:
        return False


def followed_remote(settings: Settings, branch: str | None) -> str | None:
    """Return the name of the remote that a branch follows; None where it follows none, or a branch of this checkout."""
    remote = settings.value("branch", "remote", branch) if branch is not None else None
    return None if remote == "." else remote


def refuse_invalid_remotes(git: Git, settings: Settings) -> None:
    """Raise InvalidRemoteURL where a remote has a URL that makes no sense."""
    for name in settings.subsections("remote"):
        resolve_remote(git, settings, name)


def remotes_of(git: Git, settings: Settings) -> dict[str, RemoteURL]:
    """Each remote's URL by its name, as `resolve_remote` reads it; one whose URL makes no sense is left out."""
    found = {}
    for name in settings.subsections("remote"):
        try:
            url = resolve_remote(git, settings, name)
        except InvalidRemoteURL:
            continue
        if url is not None:
            found[name] = url
    return found
