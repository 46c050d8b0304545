"""The sources of credentials in the order in which they are asked, and the two of them that need no file of their own.

The chain and the manual's list of sources are derived from `CREDENTIAL_SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.credentials.chain import Chain
from git_coderepo.credentials.environment import EnvironmentCredentials
from git_coderepo.credentials.git_helper import GitCredentials
from git_coderepo.credentials.keyring import KeyringCredentials
from git_coderepo.credentials.named_secrets import resolve
from git_coderepo.credentials.secret import Credential, NoCredentials, Secret
from git_coderepo.git.url.remote import below

if TYPE_CHECKING:
    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.git.process import Git
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.platforms.base import TokenVariable
    from git_coderepo.registration.infer import HostRule
    from git_coderepo.settings import Settings


class OptionCredentials:
    """The token of one code repository, given as an option or by reference, for the origin of its API or git server.

    `secret` is the secret, or a function that reads it when it is first needed. git gets it with the name `user`.
    """

    __slots__ = ("origin", "secret", "source", "user")

    def __init__(
        self, origin: Origin, secret: Secret | Callable[[], Secret], *, source: str, user: str | None = None
    ) -> None:
        self.origin = origin
        self.secret = secret
        self.source = source
        self.user = user

    def find(self, origin: Origin, path: str) -> Credential | None:
        if origin != self.origin:
            return None
        secret = self.secret if isinstance(self.secret, Secret) else self.secret()
        self.secret = secret
        return Credential(secret, user=self.user, source=self.source)

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        return None


class HostRuleCredentials:
    """The tokens of the user's host rules, `[coderepo "https://git.corp/"]` with `token = {{name.key}}`.

    `rules` has the longest prefix first. `find` raises CredentialError for a reference to a secret that does not exist.
    """

    __slots__ = ("rules", "settings")

    def __init__(self, rules: Sequence[HostRule], settings: Settings | None = None) -> None:
        self.rules = tuple(rules)
        self.settings = settings

    def find(self, origin: Origin, path: str) -> Credential | None:
        for rule in self.rules:
            if rule.token is not None and rule.origin == origin and below(rule.prefix, path):
                secret = resolve(rule.token, self.settings)
                return Credential(secret, user=rule.user, source=f"the secret {rule.token}", prefix=rule.prefix)
        return None

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        return None


class Setup(NamedTuple):
    """The values from which sources are built.

    `git` runs credential helpers in its directory; `interactive` allows git to prompt on the terminal or through its
    askpass program.
    """

    settings: Settings
    git: Git
    rules: Sequence[HostRule]
    variables: Sequence[TokenVariable]
    interactive: bool = False


class CredentialSourceKind(NamedTuple):
    """A row of the table: `title` and `help` for the manual, and the function that builds the source."""

    title: str
    help: str
    build: Callable[[Setup], CredentialSource] | None


# To add a source, add its row at its place in the order.
CREDENTIAL_SOURCES = (
    # Its place is before the chain, and in the chain of its own code repository only: see `Chain.preceded_by`.
    CredentialSourceKind(
        "the option `token`",
        "given on the command line, or a reference `{{name.key}}` in the registration",
        None,
    ),
    CredentialSourceKind(
        "the environment",
        "`CODEREPO_CREDENTIALS_FILE`, then `CODEREPO_TOKEN` or `CODEREPO_TOKEN_FILE`, then the platforms' own "
        "variables, each for the one host that it is bound to; see ENVIRONMENT",
        lambda setup: EnvironmentCredentials(setup.settings, setup.variables),
    ),
    CredentialSourceKind(
        "a host rule",
        '`token = {{name.key}}` in `[coderepo "https://HOST/"]`',
        lambda setup: HostRuleCredentials(setup.rules, setup.settings),
    ),
    CredentialSourceKind(
        "the keyring",
        "the tokens that `login` or `register --token` stored there",
        lambda setup: KeyringCredentials(setup.settings),
    ),
    CredentialSourceKind(
        "`git credential`",
        "the credential helpers of git, without a prompt",
        lambda setup: GitCredentials(setup.git, setup.rules, interactive=setup.interactive),
    ),
    CredentialSourceKind(
        "none",
        "public repositories need no token. In a checkout, if the API refuses or does not answer, your own git runs in "
        "your own repository: if `git fetch` works without a prompt, you are done. Git does not follow a redirect to "
        "another origin then.",
        lambda setup: NoCredentials(),
    ),
)


def chain_of(setup: Setup) -> Chain:
    """Return the chain of all sources, in the order of the table."""
    links = [each.build(setup) for each in CREDENTIAL_SOURCES if each.build is not None]
    return Chain(links, rules=setup.rules)
