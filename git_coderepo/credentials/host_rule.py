"""The token of a host rule: `[coderepo "https://git.corp/"]` with `token = {{name.key}}`."""

from __future__ import annotations

from git_coderepo.credentials.named_secrets import resolve
from git_coderepo.credentials.secret import Credential
from git_coderepo.git.url.remote import below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git.url.remote import Origin
    from git_coderepo.registration.infer import HostRule
    from git_coderepo.settings import Settings


class HostRuleCredentials:
    """The references of the user's host rules, the longest prefix first. Raises CredentialError for a dangling one."""

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
