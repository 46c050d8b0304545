"""Ask about a code repository: first its API, then the user's own git in the user's own repository.

So a repository that `git fetch` can reach without a prompt needs no token for the API, and a token for another purpose
does no harm.
"""

from __future__ import annotations

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    CredentialError,
    CredentialMissing,
    PlatformError,
    RepositoryMissing,
)
from git_coderepo.platforms.git import GitRemote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.platforms.base import BaseCodeRepository


class Asking:
    """A code repository that is asked several questions; `by_git` says whether its API has failed to answer one."""

    __slots__ = ("by_git", "repository")

    def __init__(self, repository: BaseCodeRepository) -> None:
        self.repository = repository
        self.by_git = False

    def login(self) -> None:
        """Ask whether the repository can be reached. Raises what `BaseCodeRepository.login` does."""
        try:
            self.repository.login()
        except (CredentialError, PlatformError) as error:
            self._ask_git_instead(error)

    def has_commit(self, commit: ObjectId) -> bool | None:
        """Return whether the repository has the commit now, None where it cannot be asked. Raises as `login`."""
        if not self.by_git:
            try:
                return self.repository.has_commit(commit)
            except (CredentialError, PlatformError) as error:
                self._ask_git_instead(error)
        from git_coderepo.transport.git_remote import serves_commit

        return serves_commit(self.repository, commit)

    def _ask_git_instead(self, error: CodeRepoError) -> None:
        """Raise the API's error where git cannot be asked either, since that error says what to do."""
        repository = self.repository
        if repository.users_remote is None or repository.has_own_token or isinstance(repository, GitRemote):
            raise error
        if isinstance(error, CommitMissing):
            raise error
        from git_coderepo.transport.git_remote import check_own_access

        try:
            check_own_access(repository, repository.users_remote)
        except CodeRepoError as second:
            if second.message != error.message:
                error.hints = (*error.hints, f"your own git cannot reach the repository either: {second.message}")
            raise error from None
        self.by_git = True
        if not isinstance(error, CredentialMissing | RepositoryMissing):
            repository.notify(f"warning: {error.message}; using your own git instead")
