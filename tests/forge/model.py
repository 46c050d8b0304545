"""What the parts of the forge hand each other: repositories, routes, and requests that arrived."""

from __future__ import annotations

import subprocess
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.forge.http import Response
from tests.forge.tokens import basic

if TYPE_CHECKING:
    from tests.forge.server import Forge


@dataclass(eq=False)
class Repository:
    """`name` is the path below the host (`acme/widgets`), `path` the bare repository on disk, `url` what one clones."""

    forge: Forge
    id: int
    name: str
    platform: str
    private: bool
    path: Path
    default_branch: str
    former_names: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        root = self.forge.gitlab_root if self.platform == "gitlab" else ""
        return f"{self.forge.url}{root}/{urllib.parse.quote(self.name)}.git"

    def git(self, *arguments: str, check: bool = True) -> str:
        """The output of git in the bare repository, without the last newline."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=self.forge.git_env, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"git {arguments}: {done.stderr}"
        return done.stdout.removesuffix("\n") if done.returncode == 0 else ""

    def list_tree(self, name: str, *options: str) -> list[tuple[str, str, str, str]] | None:
        """(mode, type, id, path) of the rows of a tree, None for no tree; U+FFFD for bytes that JSON cannot hold."""
        done = subprocess.run(
            ["git", "ls-tree", "-z", "--full-tree", *options, name],
            cwd=self.path,
            env=self.forge.git_env,
            capture_output=True,
        )
        if done.returncode != 0:
            return None
        rows = [row.partition(b"\t") for row in done.stdout.split(b"\0") if row]
        parted = [(facts.decode().split(" "), path.decode("utf-8", "replace")) for facts, _, path in rows]
        return [(facts[0], facts[1], facts[2], path) for facts, path in parted]

    def resolve(self, revision: str) -> str | None:
        """The id of a commit that is here, by id or name."""
        return (
            self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", check=False)
            or None
        )

    def is_empty(self) -> bool:
        return not self.git("for-each-ref", "--count=1")

    def prune(self) -> None:
        """Removes every object that no reference reaches, as a platform's housekeeping does."""
        self.git("-c", "gc.reflogExpire=now", "gc", "--quiet", "--prune=now")
        self.forge.archive_cache.clear()


@dataclass
class Recorded:
    """A request that arrived: `headers` in lower case with the credential as sent, `status` of the answer.

    `at` is when it was read, in seconds since the epoch.
    """

    listener: str
    origin: str
    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    kind: str
    repository: str | None
    status: int = 0
    at: float = field(default_factory=time.time)

    def carries(self, secret: str) -> bool:
        """Whether the secret is in the target, in a header, or in the Basic credential."""
        credential = basic(self.headers.get("authorization", "")) or ()
        return any(secret in text for text in (urllib.parse.unquote(self.target), *self.headers.values(), *credential))


@dataclass(frozen=True)
class Route:
    """What a request means: its kind, what answers it, and the repository it is about."""

    kind: str
    answer: Callable[[], Response]
    repository: Repository | None = None
