"""The credentials of this user or runner: the chain of sources, with the host rules and the platforms' variables."""

from __future__ import annotations

from git_coderepo.credentials.sources import Setup, chain_of
from git_coderepo.registration.infer import built_in, host_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.credentials.chain import Chain
    from git_coderepo.git.process import Git
    from git_coderepo.platforms.base import TokenVariable
    from git_coderepo.settings import Settings


def token_variables() -> list[TokenVariable]:
    """Return the environment variables in which people keep tokens of the built-in platforms."""
    return [variable for platform in built_in() for variable in platform.token_variables]


def users_chain(settings: Settings, git: Git, *, interactive: bool = False) -> Chain:
    """Return the chain of all credential sources; `git` runs credential helpers in its directory.

    `interactive` allows git to prompt on the terminal or through its askpass program.
    """
    return chain_of(Setup(settings, git, host_rules(settings), token_variables(), interactive))
