"""The table of platforms, by type and by host."""

from __future__ import annotations

from git_coderepo.errors import CodeRepoError, RegistrationError
from git_coderepo.similar import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.platforms.base import BaseCodeRepository


def _git() -> type[BaseCodeRepository]:
    from git_coderepo.platforms.git import GitRemote

    return GitRemote


def _github() -> type[BaseCodeRepository]:
    from git_coderepo.platforms.github import GitHub

    return GitHub


def _gitlab() -> type[BaseCodeRepository]:
    from git_coderepo.platforms.gitlab import GitLab

    return GitLab


# To add a platform, copy a platform's file and add its type here. Each is imported when it is needed.
_PLATFORMS = {"github": _github, "gitlab": _gitlab, "git": _git}
CUSTOM = "custom"  # the registration's source names its class: see platforms/custom.py


def platform_types() -> tuple[str, ...]:
    """Return the types that `--type` accepts, `custom` last."""
    return (*_PLATFORMS, CUSTOM)


def platform_class(type: str) -> type[BaseCodeRepository]:
    """Return the class of a type. Raises RegistrationError for an unknown type, and for `custom`."""
    if type == CUSTOM:
        raise RegistrationError(
            "a custom code repository requires its class",
            hints=["name its class: --source my_module.MyRepositoryClass"],
        )
    if type not in _PLATFORMS:
        near = closest(type.lower(), platform_types())
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of: {', '.join(platform_types())}"
        raise RegistrationError(f"'{type}' is not a type of code repository", hints=[hint])
    return _PLATFORMS[type]()


def class_for_host(host: str) -> type[BaseCodeRepository] | None:
    """Return the platform of a public host (`github.com`, `ssh.github.com`, any case), or None."""
    wanted = host.lower().removesuffix(".")
    return next((found for load in _PLATFORMS.values() if (found := load()).is_own_host(wanted)), None)


def recognise(host: str, *, first: str | None = None) -> type[BaseCodeRepository] | None:
    """Ask an unknown host (`git.corp`, `git.corp:8443`, `https://corp/gitlab`) which platform it is; None if unclear.

    No credential is sent. The platform of type `first` is tried first. An unreachable host also gives None: `login`
    reports it.
    """
    from git_coderepo.credentials.secret import NoCredentials
    from git_coderepo.platforms.hosted import Site
    from git_coderepo.transport.http import Http

    site = Site.parse(host)
    http = Http(NoCredentials(), max_wait=0)
    try:
        candidates = [load() for load in reversed(_PLATFORMS.values())]
        for platform in sorted(candidates, key=lambda each: each.type != first):
            try:
                if platform.recognises(http, site):
                    return platform
            except CodeRepoError:
                continue
    finally:
        http.close()
    return None
