"""The chain of credential sources that a user or a runner has."""

from __future__ import annotations

from git_coderepo.credentials.chain import Chain
from git_coderepo.credentials.environment import EnvironmentCredentials
from git_coderepo.credentials.git import GitCredentials
from git_coderepo.credentials.host_rule import HostRuleCredentials
from git_coderepo.credentials.keyring_tokens import KeyringCredentials
from git_coderepo.credentials.secret import NoCredentials
from git_coderepo.registration.infer import host_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.settings import Settings


def users_chain(settings: Settings, git: Git, *, interactive: bool = False) -> Chain:
    """The sources that this user or runner has; `git` asks its helpers where it stands.

    `interactive` allows git to ask on the terminal or through its askpass program.
    """
    rules = host_rules(settings)
    return Chain(
        [
            EnvironmentCredentials(settings),
            HostRuleCredentials(rules, settings),
            KeyringCredentials(settings),
            GitCredentials(git, rules, interactive=interactive),
            NoCredentials(),
        ],
        rules=rules,
    )
