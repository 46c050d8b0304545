"""Tokens and what each may do, with the scopes' names as the platforms document them.

GitHub: `contents:read`, `contents:write` (fine-grained; every token has `metadata:read`). GitLab: `api`, `read_api`,
`read_repository`, `write_repository`.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

# What a token has when nothing is said: enough to register, to fetch by either method, and no more.
DEFAULT_SCOPES = {
    "github": frozenset({"contents:read"}),
    "gitlab": frozenset({"read_api", "read_repository"}),
    "git": frozenset({"read"}),
}
# Prefixes as in the platforms' own tokens, so that what scans for secrets finds these too.
_PREFIXES = {
    ("github", "personal"): "github_pat_",
    ("github", "installation"): "ghs_",
    ("gitlab", "personal"): "glpat-",
    ("gitlab", "job"): "glcbt-64_",
    ("gitlab", "deploy"): "gldt-",
    ("git", "personal"): "pass-",
}


@dataclass(frozen=True)
class Token:
    """`kind`: `personal`, `installation` (GitHub Actions), `job` and `deploy` (GitLab); `user` for deploy tokens."""

    value: str
    platform: str
    scopes: frozenset[str]
    repositories: frozenset[str] | None
    kind: str
    user: str

    def sees(self, repository: str) -> bool:
        return self.repositories is None or repository in self.repositories

    def may(self, *any_of: str) -> bool:
        return not self.scopes.isdisjoint(any_of)


class Tokens:
    """The registry; a value that is not in it is a wrong token."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], Token] = {}
        self.expires_at = "2099-12-31"  # of each of GitLab's

    def add(
        self,
        platform: str,
        scopes: Iterable[str] | None,
        repositories: Iterable[str] | None,
        kind: str,
        value: str | None,
        user: str,
    ) -> str:
        text = value if value is not None else _PREFIXES[platform, kind] + secrets.token_hex(20)
        allowed = frozenset(scopes) if scopes is not None else DEFAULT_SCOPES[platform]
        seen = frozenset(repositories) if repositories is not None else None
        self._tokens[platform, text] = Token(text, platform, allowed, seen, kind, user)
        return text

    def find(self, platform: str, value: str) -> Token | None:
        return self._tokens.get((platform, value))


def basic(authorization: str) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic …` header (RFC 7617), None for anything else."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
