"""The chain of credential sources: it asks them in order, and tells the right one whether its answer was accepted."""

from __future__ import annotations

from git_coderepo.credentials.secret import Credential
from git_coderepo.git.url.remote import below
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.registration.infer import HostRule


class Chain:
    """A CredentialSource made of others, its links: the first that has a credential for an origin gives it.

    Platforms whose origins share one credential look up the other origin themselves, by constant tables. `rules` give
    the user name where a link has only a token. With `named`, links that may answer for any host, such as git's
    helpers, are asked only about the origins for which `named` returns True.
    """

    __slots__ = ("_given", "links", "named", "rules")

    def __init__(
        self,
        links: Sequence[CredentialSource],
        *,
        rules: Sequence[HostRule] = (),
        named: Callable[[Origin], bool] | None = None,
    ) -> None:
        self.links = tuple(links)
        self.rules = tuple(rules)
        self.named = named
        self._given: list[tuple[Credential, CredentialSource, Origin]] = []

    def preceded_by(self, link: CredentialSource) -> Chain:
        """Return this chain with one more link before the others."""
        return Chain((link, *self.links), rules=self.rules, named=self.named)

    def confined(self, named: Callable[[Origin], bool]) -> Chain:
        """Return this chain, in which links that may answer for any host are asked only where `named` returns True."""
        return Chain(self.links, rules=self.rules, named=named)

    def without_git(self) -> Chain:
        """Return this chain without git's helpers."""
        links = [link for link in self.links if not getattr(link, "names_no_origin", False)]
        return Chain(links, rules=self.rules, named=self.named)

    def find(self, origin: Origin, path: str) -> Credential | None:
        """Return the credential for a request to `origin` for the repository at `path`; None to send it without one.

        Raises CredentialError for a source that is set up wrongly.
        """
        for link in self.links:
            if self.named is not None and getattr(link, "names_no_origin", False) and not self.named(origin):
                trace(f"git's credential helpers are not asked for {origin}: only a manifest names it")
                continue
            credential = link.find(origin, path)
            if credential is None:
                continue
            if credential.user is None and (user := self._user(origin, path)) is not None:
                credential = Credential(
                    credential.secret, user=user, source=credential.source, prefix=credential.prefix
                )
            self._given.append((credential, link, origin))
            trace(f"credential for {origin} from {credential.source}")
            return credential
        trace(f"no credential for {origin}")
        return None

    def can_keep(self) -> bool:
        """Return whether a link can store a token that the user gives, as `login` does."""
        links = [link for link in self.links if hasattr(link, "can_keep")]
        return not links or any(link.can_keep() for link in links)

    def find_option(self, origin: Origin, path: str, option: str) -> Credential | None:
        """Return the credential that is stored for an option of a custom class by name, or None."""
        for link in self.links:
            find_option = getattr(link, "find_option", None)
            credential: Credential | None = find_option(origin, path, option) if find_option is not None else None
            if credential is not None:
                trace(f"credential for the option '{option}' at {origin} from {credential.source}")
                return credential
        return None

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        """Tell the link that gave a credential for this very origin that the origin answered 401."""
        for each, link, requested in self._given:
            if each is credential and requested == origin:
                link.refused(origin, path, credential)

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        """Tell the link that gave a credential for this very origin that the origin accepted it."""
        for each, link, requested in self._given:
            if each is credential and requested == origin:
                link.accepted(origin, path, credential)

    def _user(self, origin: Origin, path: str) -> str | None:
        for rule in self.rules:
            if rule.user is not None and rule.origin == origin and below(rule.prefix, path):
                return rule.user
        return None
