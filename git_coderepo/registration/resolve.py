"""Where a checkout's code is served from: the code repository that is meant, its remote, its platform."""

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
from git_coderepo.registration.platform_object import build, class_of
from git_coderepo.settings import Settings, team_settings
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.credentials.chain import Chain
    from git_coderepo.credentials.secret import CredentialSource, Secret
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.snapshots.inspect_checkout import Survey


class CodeSource:
    """A code repository in this checkout: its `registration` and `remote` (None where only the platform knows one).

    `walks` are those by which it was chosen, from the commit that is looked at.
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
        """The git remote whose tracking references say what the platform has."""
        return self.registration.remote

    @property
    def platform_class(self) -> type[BaseCodeRepository]:
        return class_of(self.registration.type, self.registration.source, self._directory)

    @property
    def _directory(self) -> str | None:
        """Where a custom class may lie that is not installed."""
        return checkout_directory(self.git) if self.registration.source is not None else None

    def platform(self) -> BaseCodeRepository:
        """The platform itself, with the user's credentials at hand."""
        from git_coderepo.registration.remotes import give_users_remote

        platform = self._built(self._users_chain())
        give_users_remote(platform, self.git, self.remote_name, self.remote)
        return platform

    def described(self) -> BaseCodeRepository:
        """Return the platform as far as it describes itself: no credential is looked for.

        But for a custom class whose constructor does without its secrets no better than its other methods.
        """
        try:
            return self._built(NoCredentials())
        except RegistrationError:
            if self.registration.source is None or not any(
                option.secret for option in declared(self.platform_class).values()
            ):
                raise
        return self.platform()

    def with_secrets(self, secrets: Mapping[str, Secret]) -> BaseCodeRepository:
        """Return the platform with secrets that were just given, and the user's credentials beside them."""
        return self._built(self._users_chain(), secrets)

    def _users_chain(self) -> Chain:
        # The hook's path, which needs no credentials, loads none of their modules.
        from git_coderepo.registration.users_credentials import users_chain

        return users_chain(self.settings, self.git)

    def _built(self, credentials: CredentialSource, secrets: Mapping[str, Secret] | None = None) -> BaseCodeRepository:
        return build(
            self.registration,
            self.remote,
            credentials,
            secrets=secrets,
            settings=self.settings,
            directory=self._directory,
        )


def choose_source(found: Survey, name: str | None) -> CodeSource | None:
    """The code repository that is meant in this checkout; None where there is none. Raises RegistrationError."""
    walks = Walks(found.git, found.settings, found.layout.head, found.guessed_walk)
    return _source(found.git, found.settings, found.layout, found.remotes(), name, found.status.branch, walks)


def stand_in(found: Survey) -> CodeSource:
    """The checkout's own objects in the place of a platform: over `file://`, on this machine only."""
    remote = RemoteURL.from_parts("file", None, None, None, os.fsdecode(found.layout.common_dir))
    return CodeSource(Registration("here", "git", registered=False), remote, found.settings, found.git)


def choose_source_of(
    git: Git,
    settings: Settings,
    layout: Layout,
    name: str | None,
    *,
    branch: str | None = None,
    walks: Walks | None = None,
) -> CodeSource | None:
    """Return the code repository without reading the work tree; `walks` start from the commit of `branch`."""
    return _source(git, settings, layout, remotes_of(git, settings), name, branch, walks)


def import_platform(git: Git, settings: Settings, layout: Layout) -> None:
    """Import the platform that is probably meant, while git is at work; `choose_source` says which one is."""
    try:
        source = choose_source_of(git, settings, layout, None)
        if source is not None and source.registration.source is None:
            source.described()
    except CodeRepoError:
        pass  # raised again where it counts


def source_here(git: Git, name: str | None) -> CodeSource:
    """The code repository of that name, or the one that is meant where `git` stands. Raises RegistrationError."""
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    settings = team_settings(git, layout, Settings.read(git), trace)
    source = choose_source_of(
        git, settings, layout, name, branch=branch_of_head(git), walks=Walks(git, settings, layout.head)
    )
    if source is None:
        raise RegistrationError("this checkout has no code repository", hints=["git coderepo register"])
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
            resolve_remote(git, settings, each)  # one that makes no sense was left out: here it says why
        return None
    remote = remotes.get(registration.remote) if registration.remote is not None else None
    return CodeSource(registration, remote, settings, git, walks)


def absolute(url: RemoteURL, layout: Layout) -> RemoteURL:
    """A local path from the root of the file system; git reads a relative one from the work tree's root."""
    if url.transport != "local" or url.path is None or url.path.startswith("/"):
        return url
    path = os.path.normpath(os.path.join(os.fsdecode(layout.toplevel), url.path))
    return RemoteURL.from_parts("local", None, None, None, path)


def _refuse_references(source: CodeSource) -> None:
    """Raise NotReproducible where what a manifest records of a code repository holds '{{', which no manifest may."""
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
    """Stop where no runner could use the remote: it speaks what a runner may not, or cannot be written down."""
    _refuse_references(source)
    remote = source.remote
    if remote is None:
        return
    if source.registration.type != "git":
        return
    transport, meant = remote.transport or "", remote.hint()
    if remote.path is None or transport.startswith("helper:"):
        raise NotReproducible(
            f"the remote '{source.remote_name}' needs the remote helper '{transport.removeprefix('helper:')}', "
            "and a runner uses https and ssh alone",
            hints=[meant]
            if meant is not None
            else [
                "git coderepo register --remote REMOTE, with one that has an https or ssh URL",
                "and have runs use it: git config coderepo.default REMOTE",
            ],
            waived_as="remote",
        )
    if transport == "http" and remote.host not in ("127.0.0.1", "localhost", "::1"):
        raise NotReproducible(
            f"the remote '{source.remote_name}' is not encrypted, and a runner does not use it",
            hints=[f"git remote set-url {source.remote_name} https://{remote.host}{remote.path}"],
            waived_as="remote",
        )
