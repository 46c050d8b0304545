"""The way to a server: which certificate authorities are trusted and which proxy is used, as git knows both."""

from __future__ import annotations

import os

from git_coderepo.errors import GitNotFound
from git_coderepo.git.process import Git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.git.process import Process
    from git_coderepo.git.url.remote import Origin

# One setting for git and the API; git's own name comes first.
CA_VARIABLES = ("GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
# Where systems keep theirs, for a Python whose OpenSSL was built elsewhere: Debian, Fedora, Alpine and macOS.
_SYSTEM_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_HEX = frozenset("0123456789abcdef")


def ca_bundle(environment: Mapping[str, str]) -> str | None:
    """The file with the certificate authorities to trust, None for the system's own."""
    return next((path for name in CA_VARIABLES if (path := environment.get(name))), None)


def system_authorities() -> str | None:
    """The file or directory in which the system keeps its certificate authorities; None where it has none."""
    import ssl

    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return paths.cafile
    if paths.capath is not None and any(_is_hashed(name) for name in os.listdir(paths.capath)):
        return paths.capath
    return next((path for path in _SYSTEM_FILES if os.path.isfile(path)), None)


def _is_hashed(name: str) -> bool:
    """Whether OpenSSL would find it in a directory: eight hex digits, a dot and a number."""
    start, _, number = name.partition(".")
    return len(start) == 8 and _HEX.issuperset(start) and number.isdigit()


class Way:
    """What the environment and git's configuration, where there is a git, say of the way to each origin."""

    __slots__ = ("_environment", "_everything", "_said")

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._everything: Mapping[str, str] | None = None
        self._said: dict[str, Mapping[str, str]] = {}

    def start(self) -> Process | None:
        """Ask git for what it says of any origin, which it answers meanwhile; None where there is no git."""
        try:
            return Git(environment=self._environment).start("config", "--null", "--get-regexp", r"^http\.")
        except GitNotFound:
            return None

    def take(self, asked: Process | None) -> None:
        """The answer. Raises GitFailed."""
        self._everything = _by_name(asked)

    def authorities(self, origin: Origin) -> str:
        """The file or directory of those to trust: what is named, as git would find it, else the system's.

        Where the system has none they are those that come with certifi. Raises OSError where those cannot be had.
        """
        named = self._environment.get("GIT_SSL_CAINFO") or self._settings(origin).get("http.sslcainfo")
        found = os.path.expanduser(named) if named else ca_bundle(self._environment) or system_authorities()
        if found:
            return found
        import certifi

        return certifi.where()

    def proxies(self, url: str, origin: Origin) -> dict[str, str]:
        """The proxies to ask for a URL, by scheme: git's `http.proxy`, else what `https_proxy` and its kin name."""
        from requests.utils import get_environ_proxies, should_bypass_proxies

        proxy = self._settings(origin).get("http.proxy")
        if proxy is None:
            return get_environ_proxies(url)
        # As for git, an empty one means none, and `no_proxy` holds there as well.
        if not proxy or should_bypass_proxies(url, no_proxy=None):
            return {}
        return {"http": proxy, "https": proxy}

    def _settings(self, origin: Origin) -> Mapping[str, str]:
        """git's `http.*` and `http.URL.*` for the origin, names in lower case."""
        if self._everything is None:
            self.take(self.start())
            assert self._everything is not None
        if all(name.count(".") < 2 for name in self._everything):
            return self._everything  # nothing is said of some URLs alone: git need not be asked which are meant
        place = str(origin)
        if place not in self._said:
            git = Git(environment=self._environment)
            self._said[place] = _by_name(git.start("config", "--null", "--get-urlmatch", "http", place))
        return self._said[place]


def _by_name(asked: Process | None) -> Mapping[str, str]:
    """What a `git config --null` printed; of several values the last one counts."""
    rows = os.fsdecode(asked.checked(1)).split("\0") if asked is not None else ()
    return {name: value for name, _, value in (row.partition("\n") for row in rows if row)}
