"""The token that was given for one code repository, as an option or by reference."""

from __future__ import annotations

from git_coderepo.credentials.secret import Credential, Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from git_coderepo.git.url.remote import Origin


class OptionCredentials:
    """A secret for one origin, the one that the code repository's own API or git server has.

    `secret` is the secret, or what reads it when it is first needed; `user` goes with it for git.
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
