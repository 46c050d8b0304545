"""Credentials from environment variables: our own, then the platforms', each for the one host that it is bound to.

The name of a variable is never built from the name of a host, since a manifest can name any host.
"""

from __future__ import annotations

from git_coderepo.credentials.file import FileEntry, matching, parse_file, read_token, secret_of
from git_coderepo.credentials.secret import Credential, Secret
from git_coderepo.errors import CodeRepoError, CredentialError
from git_coderepo.git.url.remote import Origin, below, place_of
from git_coderepo.settings import variable_of
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from git_coderepo.platforms.base import TokenVariable
    from git_coderepo.settings import Settings

_TOKEN = "CODEREPO_TOKEN"  # noqa: S105 - the names of variables
_TOKEN_FILE = "CODEREPO_TOKEN_FILE"  # noqa: S105
_TOKEN_ORIGIN = "CODEREPO_TOKEN_ORIGIN"  # noqa: S105


class EnvironmentCredentials:
    """CODEREPO_CREDENTIALS_FILE, CODEREPO_TOKEN or CODEREPO_TOKEN_FILE, then the `variables` of the platforms.

    Files are read again for each request, since mounted secrets rotate. `find` raises CredentialError for a variable
    that cannot be used as it is set.
    """

    __slots__ = ("settings", "variables")

    def __init__(self, settings: Settings, variables: Iterable[TokenVariable]) -> None:
        self.settings = settings
        self.variables = tuple(variables)

    def find(self, origin: Origin, path: str) -> Credential | None:
        return self._from_file(origin, path) or self._from_token(origin, path) or self._from_platforms(origin)

    def find_option(self, origin: Origin, path: str, option: str) -> Credential | None:
        """Return the credential whose user in the file of credentials is the name of a custom class's option, or None.

        Raises CredentialError.
        """
        name = credentials_file(self.settings)
        entries = (
            [each for each in parse_file(name) if isinstance(each, FileEntry) and each.user == option] if name else []
        )
        entry = matching(entries, origin, path)
        if entry is None:
            return None
        secret = secret_of(entry, what=f"'{name}'")
        return Credential(secret, user=option, source="CODEREPO_CREDENTIALS_FILE", prefix=entry.prefix)

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        return None

    def _from_file(self, origin: Origin, path: str) -> Credential | None:
        name = credentials_file(self.settings)
        if not name:
            return None
        entry = matching(parse_file(name), origin, path)
        if entry is None:
            return None
        secret = secret_of(entry, what=f"'{name}'")
        return Credential(secret, user=entry.user, source="CODEREPO_CREDENTIALS_FILE", prefix=entry.prefix)

    def _from_token(self, origin: Origin, path: str) -> Credential | None:
        environment = self.settings.environment
        variables = [name for name in (_TOKEN, _TOKEN_FILE) if environment.get(name)]
        if not variables:
            return None
        if len(variables) == 2:
            raise CredentialError(f"'{_TOKEN}' and '{_TOKEN_FILE}' are mutually exclusive", hints=[f"unset {_TOKEN}"])
        bound = environment.get(_TOKEN_ORIGIN)
        if not bound:
            raise CredentialError(
                f"'{variables[0]}' requires '{_TOKEN_ORIGIN}', since a token belongs to one origin",
                hints=[f"export {_TOKEN_ORIGIN}={origin}"],
            )
        try:
            token_origin, prefix = place_of(bound)
        except CodeRepoError:
            raise CredentialError(
                f"invalid origin in '{_TOKEN_ORIGIN}'", hints=[f"export {_TOKEN_ORIGIN}={origin}"]
            ) from None
        if token_origin != origin or not below(prefix, path):
            return None
        if variables[0] == _TOKEN:
            return Credential(_secret(environment, _TOKEN), source=_TOKEN, prefix=prefix)
        token = read_token(environment[_TOKEN_FILE], what=f"'{_TOKEN_FILE}'")
        return Credential(token, source=_TOKEN_FILE, prefix=prefix)

    def _from_platforms(self, origin: Origin) -> Credential | None:
        environment = self.settings.environment
        for variable in self.variables:
            if environment.get(variable.name) and bound_origin(variable, environment) == origin:
                return Credential(_secret(environment, variable.name), user=variable.user, source=variable.name)
        return None


def credentials_file(settings: Settings) -> str | None:
    """Return the path of the user's file of credentials, None without one. An empty variable counts as not set."""
    name = settings.environment.get(variable_of("credentialsFile"))
    return name or next(reversed(settings.configured("credentialsFile")), None)


def bound_origin(variable: TokenVariable, environment: Mapping[str, str]) -> Origin | None:
    """Return the one origin that a platform's variable is for; None where the variable may not be used."""
    text = next((environment[name] for name in variable.host_variables if environment.get(name)), variable.default_host)
    if text is None:
        return None
    try:
        return Origin.parse(text if "://" in text else f"https://{text}")
    except CodeRepoError:
        trace(f"'{variable.name}' is ignored: the variable of its host has an invalid value")
        return None


def _secret(environment: Mapping[str, str], name: str) -> Secret:
    return Secret.read(environment[name], what=f"'{name}'")
