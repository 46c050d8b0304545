"""Find the remote of the user's own repository that leads to a code repository."""

from __future__ import annotations

from git_coderepo.credentials.chain import Chain
from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.url.remote import RemoteURL, resolve_remote
from git_coderepo.transport.users_remote import serves, users_remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.settings import Settings


def give_users_remote(repository: BaseCodeRepository, git: Git, name: str | None, remote: RemoteURL | None) -> None:
    """Let a code repository be asked through the remote `name` of the repository that `git` stands in.

    `remote` is its URL with ssh's aliases resolved. Nothing is done where it leads to another place.
    """
    if name is None or remote is None or not serves(repository, remote):
        return
    known = repository.credentials
    repository.users_remote = users_remote(git, name, known.without_git() if isinstance(known, Chain) else known)


def find_users_remote(repository: BaseCodeRepository, git: Git, settings: Settings) -> None:
    """Let a code repository be asked through the first remote of `git`'s repository that leads to it."""
    for name in settings.subsections("remote"):
        try:
            remote = resolve_remote(git, settings, name)
        except InvalidRemoteURL:
            continue
        give_users_remote(repository, git, name, remote)
        if repository.users_remote is not None:
            return
