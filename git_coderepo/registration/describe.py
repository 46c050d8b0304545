"""What `describe` and `list` show of a code repository: its options and the source of its credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from git_coderepo.credentials.secret import parse_reference
from git_coderepo.registration.options import config_key, is_secret, platform_of
from git_coderepo.registration.secret_options import CustomClass, credential_home, is_custom, public_options
from git_coderepo.trace import redact

if TYPE_CHECKING:
    from git_coderepo.git.url.remote import RemoteURL
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.registration.config import Registration


def described(registration: Registration, remote: RemoteURL | None = None) -> dict[str, object]:
    """Return a registration as JSON values: name, type, registered, remote, url, source, description, logoUrl, options.

    Options have their keys in the configuration. The value of a secret option is its reference, or `****`.
    """
    platform = platform_of(registration.type, registration.source)
    options = {}
    for name, value in registration.options.items():
        hidden = is_secret(platform, name) and parse_reference(value) is None
        options[config_key(platform, name)] = "****" if hidden else redact(value)
    return {
        "name": registration.name,
        "type": registration.type,
        "registered": registration.registered,
        "remote": registration.remote,
        "url": str(remote) if remote is not None else None,
        "source": registration.source,
        "description": registration.description,
        "logoUrl": registration.logo_url,
        "options": options,
    }


def credential_source(repository: BaseCodeRepository) -> str | None:
    """Return in words which source has a credential for a code repository, or None. Raises CredentialError."""
    if is_custom(repository):
        custom = CustomClass(type(repository), public_options(repository), repository.remote)
        credential = custom.credential(repository.credentials)
        return credential.source if credential is not None else None
    home = credential_home(repository)
    credential = repository.credentials.find(*home) if home is not None else None
    return credential.source if credential is not None else None
