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
    """Return the file of certificate authorities to trust, None for the system's."""
    return next((path for name in CA_VARIABLES if (path := environment.get(name))), None)


def system_authorities() -> str | None:
    """Return the file or directory of the system's certificate authorities, or None."""
    import ssl

    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return paths.cafile
    if paths.capath is not None and any(_is_hashed(name) for name in os.listdir(paths.capath)):
        return paths.capath
    return next((path for path in _SYSTEM_FILES if os.path.isfile(path)), None)


def _is_hashed(name: str) -> bool:
    """Return whether OpenSSL would use a file of this name in a directory: eight hex digits, a dot and a number."""
    start, _, number = name.partition(".")
    return len(start) == 8 and _HEX.issuperset(start) and number.isdigit()


class NetworkSettings:
    """Proxy and CA settings for each origin, from the environment and git's configuration."""

    __slots__ = ("_by_origin", "_environment", "_everything")

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._everything: Mapping[str, str] | None = None
        self._by_origin: dict[str, Mapping[str, str]] = {}

    def start(self) -> Process | None:
        """Start git to list its `http.*` settings; None if there is no git."""
        try:
            return Git(environment=self._environment).start("config", "--null", "--get-regexp", r"^http\.")
        except GitNotFound:
            return None

    def take(self, asked: Process | None) -> None:
        """Read the settings that `start` asked for. Raises GitFailed."""
        self._everything = _by_name(asked)

    def authorities(self, origin: Origin) -> str:
        """Return the file or directory of authorities to trust: the configured one, as for git, or else the system's.

        Without either they are certifi's. Raises OSError if those cannot be read.
        """
        named = self._environment.get("GIT_SSL_CAINFO") or self._settings(origin).get("http.sslcainfo")
        found = os.path.expanduser(named) if named else ca_bundle(self._environment) or system_authorities()
        if found:
            return found
        import certifi

        return certifi.where()

    def proxies(self, url: str, origin: Origin) -> dict[str, str]:
        """Return the proxies for a URL by scheme: git's `http.proxy`, or else `https_proxy` and similar variables."""
        from requests.utils import get_environ_proxies, should_bypass_proxies

        proxy = self._settings(origin).get("http.proxy")
        if proxy is None:
            return get_environ_proxies(url)
        # As for git, an empty one means none, and `no_proxy` holds there as well.
        if not proxy or should_bypass_proxies(url, no_proxy=None):
            return {}
        return {"http": proxy, "https": proxy}

    def _settings(self, origin: Origin) -> Mapping[str, str]:
        """Return git's `http.*` and `http.URL.*` settings for the origin, names in lower case."""
        if self._everything is None:
            self.take(self.start())
            assert self._everything is not None
        if all(name.count(".") < 2 for name in self._everything):
            return self._everything  # no setting is for some URLs only
        place = str(origin)
        if place not in self._by_origin:
            git = Git(environment=self._environment)
            self._by_origin[place] = _by_name(git.start("config", "--null", "--get-urlmatch", "http", place))
        return self._by_origin[place]


def _by_name(asked: Process | None) -> Mapping[str, str]:
    """Parse the output of `git config --null`; of several values the last one counts."""
    rows = os.fsdecode(asked.checked(1)).split("\0") if asked is not None else ()
    return {name: value for name, _, value in (row.partition("\n") for row in rows if row)}
