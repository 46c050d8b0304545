"""Three platforms under fixed names, so that what is recorded of them names no port and serves again on any machine.

Programs reach them through a proxy, which gives every name to a forge on this machine.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.forge import Forge, Repository
from tests.forge import server as forge_server
from tests.support.proxy import Proxy

# By kind: the host of repositories and API, and the one that archives and large files come from.
HOSTS = {
    "github": ("github.example.org", "archives.github.example.org"),
    "gitlab": ("gitlab.example.org", "archives.gitlab.example.org"),
    "git": ("git.example.org", "archives.git.example.org"),
}
# Tokens of nobody: (user, value) by kind. They may read and push.
TOKENS = {
    "github": ("x-access-token", "made-up-for-github"),
    "gitlab": ("oauth2", "made-up-for-gitlab"),
    "git": ("ada", "made-up-for-git"),
}
_SCOPES = {
    "github": ("contents:read", "contents:write"),
    "gitlab": ("api", "read_api", "read_repository", "write_repository"),
    "git": ("read", "write"),
}


class Platforms:
    """The forges by kind, and `env`: what a program needs to reach them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.forges: dict[str, Forge] = {}
        ports = {}
        for kind, (host, archives) in HOSTS.items():
            forge = self.forges[kind] = Forge(root / kind, platforms=() if kind == "git" else (kind,))
            user, token = TOKENS[kind]
            forge.add_token(kind, value=token, scopes=_SCOPES[kind], user=user if kind == "git" else "")
            for name, public in (("web", host), ("codeload", archives)):
                listener = forge.server.listeners[name]
                ports[f"{public}:443"] = listener.port
                # The names of a certificate are those that clients use; the default port is left out of a URL.
                listener.tls = _context(public)
                listener.host, listener.port = public, 443
        self.proxy = Proxy(ports=ports)
        self.env = {
            "HTTPS_PROXY": self.proxy.address,
            "https_proxy": self.proxy.address,
            "GIT_SSL_CAINFO": str(self.forges["github"].ca_file),
        }

    def close(self, check: bool = True) -> None:
        self.proxy.__exit__(None, None, None)
        for forge in self.forges.values():
            forge.close(check)

    def add(self, kind: str, name: str, **options: Any) -> Repository:
        return self.forges[kind].add_repository(name, platform=kind, **options)

    @property
    def repositories(self) -> list[Repository]:
        return [each for forge in self.forges.values() for each in forge.repositories]

    def save(self, folder: Path) -> None:
        """Write every repository to `folder` as a bundle, with its large files, and a list of them."""
        listed = []
        for number, repository in enumerate(self.repositories):
            bundle = f"{number}.bundle"
            repository.git("bundle", "create", "--quiet", str(folder / bundle), "--all")
            objects = sorted(path for path in (repository.path / "lfs").rglob("*") if path.is_file())
            listed.append(
                {
                    "kind": repository.platform,
                    "name": repository.name,
                    "private": repository.private,
                    "objectFormat": repository.git("rev-parse", "--show-object-format"),
                    "bundle": bundle,
                    "lfs": [base64.b64encode(path.read_bytes()).decode() for path in objects],
                }
            )
        (folder / "repositories.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Serve what `save` wrote."""
        from tests.forge.lfs import put

        for each in json.loads((folder / "repositories.json").read_bytes()):
            repository = self.add(
                each["kind"], each["name"], private=each["private"], object_format=each["objectFormat"]
            )
            repository.git("fetch", "--quiet", str((folder / each["bundle"]).absolute()), "+refs/*:refs/*")
            for contents in each["lfs"]:
                put(repository, base64.b64decode(contents))


def credentials() -> str:
    """A credentials file with the tokens of all three."""
    return "".join(f"https://{user}:{token}@{HOSTS[kind][0]}\n" for kind, (user, token) in TOKENS.items())


@contextmanager
def platforms(root: Path) -> Iterator[Platforms]:
    made = Platforms(root)
    try:
        yield made
    except BaseException:
        made.close(check=False)
        raise
    made.close()


def _context(name: str) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    forge_server._authority().issue_cert(name).configure_cert(context)
    return context
