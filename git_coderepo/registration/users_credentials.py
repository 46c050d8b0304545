"""The credentials that this user or runner has: the sources, with the host rules and the platforms' variables."""

from __future__ import annotations

from git_coderepo.credentials.chain import Chain
from git_coderepo.credentials.environment import EnvironmentCredentials
from git_coderepo.credentials.git_helper import GitCredentials
from git_coderepo.credentials.host_rule import HostRuleCredentials
from git_coderepo.credentials.keyring import KeyringCredentials
from git_coderepo.credentials.secret import NoCredentials
from git_coderepo.registration.infer import built_in, host_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.platforms.base import TokenVariable
    from git_coderepo.settings import Settings


def token_variables() -> list[TokenVariable]:
    """Return the environment variables in which people keep tokens of the platforms that come with the program."""
    return [variable for platform in built_in() for variable in platform.token_variables]


def users_chain(settings: Settings, git: Git, *, interactive: bool = False) -> Chain:
    """Return the sources that this user or runner has; `git` runs its helpers where it stands.

    `interactive` allows git to prompt on the terminal or through its askpass program.
    """
    rules = host_rules(settings)
    return Chain(
        [
            EnvironmentCredentials(settings, token_variables()),
            HostRuleCredentials(rules, settings),
            KeyringCredentials(settings),
            GitCredentials(git, rules, interactive=interactive),
            NoCredentials(),
        ],
        rules=rules,
    )
