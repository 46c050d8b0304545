"""Represent URLs of remotes and the origins of credentials, and resolve the remotes of a checkout as git and ssh do.

`url.parse` parses the text. No message and no `repr` contains what may be secret.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.url.parse import (
    REASON,
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.git.process import Git
    from git_coderepo.settings import Settings

    Aliases = Mapping[tuple[str, int | None], str]

_DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418, "ftp": 21, "ftps": 990}
# Transports that reach the same repository on a host; other transports are compared only with themselves.
_ALIKE = frozenset(("https", "http", "ssh", "git"))
_NO_ALIASES: Aliases = {}


class Origin:
    """The owner of a credential: scheme (`https`, `http`, `ssh`), host in lower case, port (None for the default)."""

    __slots__ = ("host", "port", "scheme")

    def __init__(self, scheme: str, host: str, port: int | None = None) -> None:
        self.scheme = scheme
        self.host = lower(host)
        self.port = None if port == _DEFAULT_PORTS.get(scheme) else port

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Parse `https://host[:port][/…]`; raises InvalidRemoteURL, also if there is a user name or password."""
        scheme, colon, rest = safe(text).partition("://")
        scheme = scheme.lower()
        if not colon or scheme not in ("https", "http", "ssh"):
            raise InvalidRemoteURL("invalid origin", hints=["write https://HOST[:PORT]"])
        authority = rest[: first_of(rest, "/?#")]
        if "@" in authority:
            raise InvalidRemoteURL("an origin cannot have a user name or password", hints=["write https://HOST[:PORT]"])
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
    """Return whether `path` is `prefix` or below it; outer slashes and `.git` are ignored.

    A path with dot segments, which a server might read as another one, is below no prefix.
    """
    prefix = prefix.strip("/")
    if not prefix:
        return True
    if has_dot_segment(path):
        return False
    path = path.strip("/")
    return path.startswith(prefix + "/") or without_git_suffix(path) == without_git_suffix(prefix)


def without_git_suffix(path: str) -> str:
    """Return a path without slashes around it and without `.git` at its end."""
    return path.strip("/").removesuffix(".git")


def place_of(text: str) -> tuple[Origin, str]:
    """Return (origin, path prefix) of `https://git.corp[:port][/group]`; the prefix starts, but does not end, with `/`.

    Raises InvalidRemoteURL.
    """
    authority = text.partition("://")[2]
    return Origin.parse(text), "/" + authority.partition("/")[2].strip("/")


class RemoteURL:
    """The URL of a remote, in parts.

    `transport` is how git reaches it: `https`, `http`, `ssh`, `git`, `ftp`, `ftps`, `file`, `local` or `helper:NAME`
    (gitremote-helpers(7)). `path` is what git requests, decoded once (bytes that are not UTF-8 as surrogates): with its
    first `/`, or for ssh without it if relative to the home directory. For an unknown helper it is the whole address,
    None if that may have a secret. `owner` and `repository` are the names in the path, or None. `has_secret` is true if
    the text had a password, a token or a query; these are not stored, except a token in place of the user name. `user`
    is never shown, and recorded for ssh only.
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
        self._ssh_host = host  # as written: ssh_config(5) is case-sensitive

    @classmethod
    def parse(cls, text: str, *, windows: bool = False) -> RemoteURL:
        """Parse a URL or path as git does after `insteadOf`; with `windows` as Git for Windows does.

        Raises InvalidRemoteURL for any text that git would not accept, or that is refused for safety.
        """
        return cls(*read_url(text, windows))

    @classmethod
    def from_parts(
        cls, transport: str, host: str | None, port: int | None, user: str | None, path: str | None
    ) -> RemoteURL:
        """Build a URL from the parts in a manifest, which is untrusted; the user counts for ssh only.

        Raises InvalidRemoteURL unless `parse` reads the resulting URL as the same parts.
        """
        user = user if transport == "ssh" else None
        host, user, path = (None if part is None else safe(part) for part in (host, user, path))
        given = cls(safe(transport), user, host, port, path)
        try:
            read = cls.parse(given.url())
        except InvalidRemoteURL as error:
            raise InvalidRemoteURL(f"invalid recorded remote: {error.message.removeprefix(REASON)}") from None
        if read._key() != given._key() or read.has_secret:
            raise InvalidRemoteURL("invalid recorded remote: git would read its parts differently")
        return read

    def url(self) -> str:
        """Return the URL for git, made from the parts: without password and query, with a user name for ssh only.

        Raises InvalidRemoteURL for a helper's address that may have a secret.
        """
        if self.path is None:
            raise InvalidRemoteURL("cannot use the address for a remote helper: it may contain a secret")
        if self.transport == "local":
            return self.path
        if self.transport == "file":
            return "file://" + encoded(self.path)
        scheme = self.transport.removeprefix("helper:")
        if self.host is None:
            is_whole = self.path.startswith(scheme + "://") and not is_known_scheme(scheme)
            return self.path if is_whole else f"{scheme}::{self.path}"
        if self.transport == "ssh" and self.path[:1] not in ("/", "~"):
            return self._scp_like(self.host, self.path)
        user = f"{encoded(self.user)}@" if self.transport == "ssh" and self.user is not None else ""
        slash = "/" if self.path.startswith("~") else ""
        return f"{scheme}://{user}{authority_of(self.host, self.port)}{slash}{encoded(self.path)}"

    def _scp_like(self, host: str, path: str) -> str:
        """Return `[USER@]HOST:PATH`, the only form for a path relative to the home directory.

        Brackets around the host allow a port, and keep git from reading `rsync` as a protocol or a single letter as a
        drive of Windows.
        """
        is_misread = self.user is None and (host == "rsync" or len(host) == 1)
        if self.port is not None or ":" in host or path.startswith(":") or is_misread:
            host = f"[{host}]" if self.port is None else f"[{host}:{self.port}]"
        return f"{host}:{path}" if self.user is None else f"{self.user}@{host}:{path}"

    def origin(self) -> Origin | None:
        """Return the origin of requests to it; None for transports without credentials (git, file, local, helpers)."""
        if self.host is None or self.transport not in ("https", "http", "ssh"):
            return None
        return Origin(self.transport, self.host, self.port)

    def platform_host(self, aliases: Aliases = _NO_ALIASES) -> str:
        """Return the host that identifies a platform, such as github.com for the alias `ssh.github.com:443`.

        In `aliases`, port None is the default of the transport. Returns "" without a host.
        """
        return self._place(aliases)[0]

    def same_place(self, other: RemoteURL, *, aliases: Aliases = _NO_ALIASES, fold_path: bool = False) -> bool:
        """Return whether both URLs name the same repository, for any user, over ssh, https, http or git.

        The case of the host, and a final `.git` or `/`, are ignored; ports are compared between http and https, and
        within each other transport. With `fold_path`, for platforms that ignore case, the case of the path is ignored.
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
        """Return a hint if the user probably meant another URL; None otherwise."""
        helper = self.transport.removeprefix("helper:")
        if helper != helper.lower() and helper.lower() in WEB | SSH_SCHEMES | {"git", "file"}:
            return f"git reads protocols in lower case: write '{helper.lower()}://'"
        first, _, rest = (self.path or "").partition("/")
        if self.transport == "ssh" and self.port is None and first.isdecimal() and "/" in rest:
            return f"'{first}' is part of the path here: write a port as ssh://HOST:{first}/PATH"
        return None

    def _place(self, aliases: Aliases) -> tuple[str, int | None]:
        """Return the host, with aliases resolved and without a final dot, and the port, None for the default."""
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
        """Return the URL for messages: without the user, and without a helper's address."""
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
    """Return the kind of a transport; ports are compared within a kind."""
    return "http" if transport in ("https", "http") else transport


# --- the remotes of a checkout -----------------------------------------------------------------


def resolve_remote(git: Git, settings: Settings, name: str) -> RemoteURL | None:
    """Return the URL from which the remote `name` fetches, after `insteadOf` and ssh's aliases; None without a URL.

    Raises InvalidRemoteURL, which names the remote. May run commands from the user's configuration of git and ssh, as a
    fetch would: use it for the user's checkout, and never for a manifest.
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
        reason = error.message.removeprefix(REASON)
        raise InvalidRemoteURL(f"invalid URL of the remote '{name}': {reason}", hints=hints) from None
    return resolve_ssh_alias(url, git.environment, settings.value("core", "sshCommand"))


def resolve_ssh_alias(url: RemoteURL, environment: Mapping[str, str], command: str | None = None) -> RemoteURL:
    """Return the URL with the host, port and user that ssh's configuration has for a `Host` alias.

    `command` is `core.sshCommand`. Returns the URL unchanged if ssh would not change it, or cannot be started.
    """
    if url.transport != "ssh" or url.host is None or url.path is None:
        return url
    # The hook reads URLs, and `ssh` imports `os`, which takes as long as starting git.
    from git_coderepo.git.url.ssh import ask_ssh

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
    names = (resolved.owner, resolved.repository)
    return RemoteURL("ssh", resolved.user, resolved._ssh_host, resolved.port, resolved.path, names, url.has_secret)


def push_differs(settings: Settings, name: str) -> bool:
    """Return whether a push to the remote `name` goes to another repository than a fetch comes from.

    Applies git's rules (git-config(1): `url.<base>.insteadOf`, `pushInsteadOf`) to the settings. URLs that cannot be
    compared count as different.
    """
    urls = _urls(settings, "url", name)
    pushed = [_rewritten(url, settings, "insteadof") or url for url in _urls(settings, "pushurl", name)]
    if not urls:
        return bool(pushed)
    if not pushed:  # pushInsteadOf applies only without pushurl, and its result is not rewritten again
        pushed = [_rewritten(u, settings, "pushinsteadof") or _rewritten(u, settings, "insteadof") or u for u in urls]
    fetched = _rewritten(urls[0], settings, "insteadof") or urls[0]
    return any(url != fetched and not _same_text(url, fetched) for url in pushed)


def _urls(settings: Settings, variable: str, name: str) -> list[str]:
    """Return the values of `remote.NAME.VARIABLE`; an empty value clears those before it (git 2.46)."""
    urls: list[str] = []
    for value in settings.values("remote", variable, name):
        urls = urls + [value] if value else []
    return urls


def _rewritten(text: str, settings: Settings, variable: str) -> str | None:
    """Return the text rewritten by the longest matching `url.BASE.VARIABLE` (the first of equals), or None."""
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
    """Return the name of the remote that a branch tracks; None if it tracks none, or a local branch."""
    remote = settings.value("branch", "remote", branch) if branch is not None else None
    return None if remote == "." else remote


def refuse_invalid_remotes(git: Git, settings: Settings) -> None:
    """Raise InvalidRemoteURL if a remote has an invalid URL."""
    for name in settings.subsections("remote"):
        resolve_remote(git, settings, name)


def remotes_of(git: Git, settings: Settings) -> dict[str, RemoteURL]:
    """Return the URL of each remote by name (see `resolve_remote`), without remotes that have an invalid URL."""
    remotes = {}
    for name in settings.subsections("remote"):
        try:
            url = resolve_remote(git, settings, name)
        except InvalidRemoteURL:
            continue
        if url is not None:
            remotes[name] = url
    return remotes
