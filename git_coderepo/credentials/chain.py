"""The chain: which source answers for an origin, and who hears how the origin took the answer."""

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
    """A CredentialSource made of others: the first link that has a credential for the origin gives it.

    Which origins share one credential is no matter of the chain: the platforms ask for the other one by name, from
    constant tables of their own. `rules` name the user where a link knows only a token. Where `named` is given, links
    that name no origin themselves, as git's helpers, are asked only about those for which it says yes.
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
        """The same chain behind one more link."""
        return Chain((link, *self.links), rules=self.rules, named=self.named)

    def confined(self, named: Callable[[Origin], bool]) -> Chain:
        """The same chain, in which links that name no origin themselves answer only where `named` says yes."""
        return Chain(self.links, rules=self.rules, named=named)

    def without_git(self) -> Chain:
        """Return the same chain without git's helpers."""
        links = [link for link in self.links if not getattr(link, "names_no_origin", False)]
        return Chain(links, rules=self.rules, named=self.named)

    def find(self, origin: Origin, path: str) -> Credential | None:
        """The credential for a request to `origin` for the repository at `path`; None: it is sent without one."""
        for link in self.links:
            if self.named is not None and getattr(link, "names_no_origin", False) and not self.named(origin):
                trace(f"no helper of git's is asked for {origin}: only a manifest names it")
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
        """Return whether some link can keep a token that the user gives, as `login` does."""
        links = [link for link in self.links if hasattr(link, "can_keep")]
        return not links or any(link.can_keep() for link in links)

    def find_option(self, origin: Origin, path: str, option: str) -> Credential | None:
        """Return the credential that is kept for an option of a custom class by name; None: there is none."""
        for link in self.links:
            by_name = getattr(link, "find_option", None)
            credential: Credential | None = by_name(origin, path, option) if by_name is not None else None
            if credential is not None:
                trace(f"credential for the option '{option}' at {origin} from {credential.source}")
                return credential
        return None

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        """The origin answered 401: told to the link that gave the credential, if it was for this very origin."""
        for given, link, asked in self._given:
            if given is credential and asked == origin:
                link.refused(origin, path, credential)

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        """The origin took it: told as `refused` is."""
        for given, link, asked in self._given:
            if given is credential and asked == origin:
                link.accepted(origin, path, credential)

    def _user(self, origin: Origin, path: str) -> str | None:
        for rule in self.rules:
            if rule.user is not None and rule.origin == origin and below(rule.prefix, path):
                return rule.user
        return None
