"""Find the code repository of a checkout, with its remote and its platform."""

from __future__ import annotations

import os

from git_coderepo.credentials.secret import NoCredentials
from git_coderepo.errors import CodeRepoError, NotReproducible, RegistrationError
from git_coderepo.git.process import shell_word
from git_coderepo.git.pushed_commits import Walks
from git_coderepo.git.repository import branch_of_head, checkout_directory, read_layout, start_layout
from git_coderepo.git.url.remote import RemoteURL, followed_remote, remotes_of, resolve_remote
from git_coderepo.registration.config import Registration, choose
from git_coderepo.registration.infer import nothing_served
from git_coderepo.registration.options import config_key, declared, is_hidden
from git_coderepo.registration.platform_object import Access, build, class_of, users_access
from git_coderepo.settings import Settings, team_settings
from git_coderepo.trace import silent, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from git_coderepo.credentials.chain import Chain
    from git_coderepo.credentials.secret import CredentialSource, Secret
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.snapshots.inspect_checkout import Survey


class CodeSource:
    """The code repository of a checkout: its `registration` and `remote` (None where only the options name it).

    `walks` are the walks from the commit in question by which it was chosen.
    """

    __slots__ = ("git", "registration", "remote", "settings", "walks")

    def __init__(
        self,
        registration: Registration,
        remote: RemoteURL | None,
        settings: Settings,
        git: Git,
        walks: Walks | None = None,
    ) -> None:
        self.registration = registration
        self.remote = remote
        self.settings = settings
        self.walks = walks
        self.git = git.online()

    @property
    def remote_name(self) -> str | None:
        """The git remote whose remote-tracking branches show what the platform has."""
        return self.registration.remote

    @property
    def platform_class(self) -> type[BaseCodeRepository]:
        """The class of the platform. Raises RegistrationError, SourceNotAllowed."""
        return class_of(self.registration.type, self.registration.source, self._directory)

    @property
    def _directory(self) -> str | None:
        """The directory of a custom class that is not installed; None for a built-in platform."""
        return checkout_directory(self.git) if self.registration.source is not None else None

    def platform(self, *, notify: Callable[[str], None] = silent) -> BaseCodeRepository:
        """Return the platform with the user's credentials; `notify` receives its messages for people.

        Raises RegistrationError, CredentialError.
        """
        access = users_access(self.git, self.remote_name, self.remote, notify=notify)
        return self._built(self._users_chain(), access=access)

    def described(self) -> BaseCodeRepository:
        """Return the platform without credentials, to describe it.

        Only a custom class that cannot be created without its secrets receives them.
        """
        try:
            return self._built(NoCredentials())
        except RegistrationError:
            if self.registration.source is None or not any(
                option.secret for option in declared(self.platform_class).values()
            ):
                raise
        return self.platform()

    def with_credentials(self, credentials: CredentialSource) -> BaseCodeRepository:
        """Return the platform with these credentials and no others."""
        return self._built(credentials, access=Access(only_credentials=True))

    def with_secrets(self, secrets: Mapping[str, Secret]) -> BaseCodeRepository:
        """Return the platform with secrets that were just given, and with the user's credentials."""
        return self._built(self._users_chain(), secrets)

    def _users_chain(self) -> Chain:
        # The hook's path, which needs no credentials, loads none of their modules.
        from git_coderepo.registration.users_credentials import users_chain

        return users_chain(self.settings, self.git)

    def _built(
        self,
        credentials: CredentialSource,
        secrets: Mapping[str, Secret] | None = None,
        *,
        access: Access | None = None,
    ) -> BaseCodeRepository:
        return build(
            self.registration,
            self.remote,
            credentials,
            secrets=secrets,
            settings=self.settings,
            directory=self._directory,
            access=access,
        )


def choose_source(survey: Survey, name: str | None) -> CodeSource | None:
    """Return the code repository that a checkout uses, or the one named `name`; None without any.

    Raises RegistrationError.
    """
    walks = Walks(survey.git, survey.settings, survey.layout.head, survey.guessed_walk)
    return _source(survey.git, survey.settings, survey.layout, survey.remotes(), name, survey.status.branch, walks)


def stand_in(survey: Survey) -> CodeSource:
    """Return the checkout's own repository in place of a platform: over `file://`, for this machine only."""
    remote = RemoteURL.from_parts("file", None, None, None, os.fsdecode(survey.layout.common_dir))
    return CodeSource(Registration("here", "git", registered=False), remote, survey.settings, survey.git)


def choose_source_of(
    git: Git,
    settings: Settings,
    layout: Layout,
    name: str | None,
    *,
    branch: str | None = None,
    walks: Walks | None = None,
) -> CodeSource | None:
    """Return the code repository of a checkout, or None, without reading the work tree.

    `walks` start from the commit of `branch`. Raises RegistrationError.
    """
    return _source(git, settings, layout, remotes_of(git, settings), name, branch, walks)


def import_platform(git: Git, settings: Settings, layout: Layout) -> None:
    """Import the likely platform class while git runs; `choose_source` makes the final choice later."""
    try:
        source = choose_source_of(git, settings, layout, None)
        if source is not None and source.registration.source is None:
            source.described()
    except CodeRepoError:
        pass  # `choose_source` raises it again


def source_here(git: Git, name: str | None) -> CodeSource:
    """Return the code repository named `name`, else the one of the checkout of `git`'s directory.

    Raises RegistrationError.
    """
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    settings = team_settings(git, layout, Settings.read(git), trace)
    source = choose_source_of(
        git, settings, layout, name, branch=branch_of_head(git), walks=Walks(git, settings, layout.head)
    )
    if source is None:
        added = [] if any(settings.subsections("remote")) else ["git remote add origin URL"]
        raise RegistrationError("this checkout has no code repository", hints=[*added, "git coderepo register"])
    return source


def _source(
    git: Git,
    settings: Settings,
    layout: Layout,
    remotes: dict[str, RemoteURL],
    name: str | None,
    branch: str | None,
    walks: Walks | None,
) -> CodeSource | None:
    remotes = {key: absolute(url, layout) for key, url in remotes.items()}
    unpushed = walks.unpushed if walks is not None else nothing_served
    registration = choose(settings, remotes, name=name, upstream=followed_remote(settings, branch), unpushed=unpushed)
    if registration is None:
        for each in settings.subsections("remote"):
            resolve_remote(git, settings, each)  # raises the error of a URL that `remotes_of` left out
        return None
    remote = remotes.get(registration.remote) if registration.remote is not None else None
    return CodeSource(registration, remote, settings, git, walks)


def absolute(url: RemoteURL, layout: Layout) -> RemoteURL:
    """Return a remote whose local path is absolute; git reads a relative path from the root of the work tree."""
    if url.transport != "local" or url.path is None or url.path.startswith("/"):
        return url
    path = os.path.normpath(os.path.join(os.fsdecode(layout.toplevel), url.path))
    return RemoteURL.from_parts("local", None, None, None, path)


def _refuse_references(source: CodeSource) -> None:
    """Raise NotReproducible if '{{', which a manifest must not contain, is in a value that would be recorded."""
    registration, remote = source.registration, source.remote
    if remote is not None and any("{{" in (text or "") for text in (remote.host, remote.user, remote.path)):
        raise NotReproducible(
            "the remote's URL contains '{{', which is not allowed in a manifest",
            hints=["git remote set-url REMOTE URL"],
        )
    if "{{" in registration.name:
        word = "git coderepo update" if registration.registered else "git remote rename"
        new = "--name NEW" if registration.registered else "NEW"
        raise NotReproducible(
            f"the name '{registration.name}' contains '{{{{', which is not allowed in a manifest",
            hints=[f"{word} {shell_word(registration.name)} {new}"],
        )
    for name, value in registration.options.items():
        if "{{" in value and not is_hidden(source.platform_class, name, value):
            key = config_key(source.platform_class, name)
            raise NotReproducible(
                f"the option '{key}' of '{registration.name}' is recorded with each run and cannot refer to a secret",
                hints=[f"git config {shell_word(f'coderepo.{registration.name}.{key}')} VALUE"],
            )


def refuse_source(source: CodeSource) -> None:
    """Raise NotReproducible if no runner could use the remote, or it cannot be recorded."""
    _refuse_references(source)
    remote = source.remote
    if remote is None:
        return
    if source.registration.type != "git":
        return
    transport, hint = remote.transport or "", remote.hint()
    if remote.path is None or transport.startswith("helper:"):
        raise NotReproducible(
            f"the remote '{source.remote_name}' requires the remote helper '{transport.removeprefix('helper:')}', "
            "and runners use https and ssh only",
            hints=[hint]
            if hint is not None
            else [
                "git coderepo register --remote REMOTE, with one that has an https or ssh URL",
                "and have runs use it: git config coderepo.default REMOTE",
            ],
            waived_as="remote",
        )
    if transport == "http" and remote.host not in ("127.0.0.1", "localhost", "::1"):
        raise NotReproducible(
            f"the remote '{source.remote_name}' is not encrypted, and runners do not use it",
            hints=[f"git remote set-url {source.remote_name} https://{remote.host}{remote.path}"],
            waived_as="remote",
        )
