"""The remote of the user's own repository through which their git reaches a code repository.

Git can reach it in many ways that only git knows: an alias of ssh, a header from `git config`, a token in the remote's
URL, `netrc`, a proxy of that remote alone. All of them depend on the repository in which git runs and on the name of
the remote, so git runs there and is given that name. Nothing of this configuration is read, copied or used elsewhere.
"""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, InvalidRemoteURL
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import RemoteURL, resolve_ssh_alias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from git_coderepo.credentials.secret import CredentialSource

# What ties git to the files of one repository; the rest of the user's environment stays, `git -c` included.
_PLACES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
)  # fmt: skip
# The files that a repository's configuration includes, and those that they include: more would be a circle.
_MOST_FILES = 64


class UsersRemote:
    """The remote `name` of the repository that `git` stands in.

    `url` is what git fetches it from, after `insteadOf`, with the host as the user wrote it; `credentials` are the
    sources that are not git's own, which may have a token for the same place. `serves` receives the URL of a remote,
    with ssh's aliases resolved, and returns whether it leads to the code repository.
    """

    __slots__ = ("credentials", "git", "name", "serves", "url")

    def __init__(
        self, git: Git, name: str, url: RemoteURL, credentials: CredentialSource, serves: Callable[[RemoteURL], bool]
    ) -> None:
        self.git = git
        self.name = name
        self.url = url
        self.credentials = credentials
        self.serves = serves

    def git_into(self, scratch: str) -> Git:
        """Return git that fetches into the bare repository `scratch` with the configuration of the user's repository.

        The scratch repository gets a second git directory, like that of a linked work tree, with a configuration of
        its own, which includes the files that are in effect in the user's repository. So objects and references go to
        the scratch repository, and whoever reads them there later is not affected by the user's configuration.

        Raises GitFailed.
        """
        own = os.path.join(scratch, "own")
        git = self._git_for(own)
        if not os.path.isdir(own):
            git.foreign(scratch).run("config", "extensions.worktreeConfig", "true")
            os.mkdir(own, 0o700)
            for name, text in (("commondir", ".."), ("HEAD", "ref: refs/heads/none"), ("config.worktree", "")):
                with open(os.path.join(own, name), "x", encoding="ascii") as file:
                    file.write(f"{text}\n")
            self._include_configuration(git, os.path.join(own, "config.worktree"))
        return git

    def _git_for(self, git_dir: str) -> Git:
        environment = {name: value for name, value in self.git.environment.items() if name not in _PLACES}
        # A relative path in the configuration counts from the root of the work tree, where git itself goes.
        asked = self.git.start("rev-parse", "--path-format=absolute", "--show-toplevel").finish()
        top = asked.stdout.removesuffix(b"\n") or os.fsencode(self.git.directory or os.curdir)
        return Git(top, environment={**environment, "GIT_DIR": git_dir}, settings=self.git.settings)

    def _include_configuration(self, git: Git, path: str) -> None:
        """Include the files that are in effect in the user's repository and not yet in `git`, in their order.

        One at a time, since a file may include the next one itself: a header that is configured twice is sent twice.
        `includeIf "gitdir:…"` has been decided by then: it holds for the user's repository.
        """
        user_dir = self.git.line("rev-parse", "--path-format=absolute", "--git-dir")
        users = _files(self.git, user_dir)
        for _ in range(_MOST_FILES):
            present = set(_files(git))
            missing = next((file for file in users if file not in present), None)
            if missing is None:
                return
            git.run("config", "--file", path, "--add", "include.path", missing)
        raise CodeRepoError("the configuration of this repository includes too many files")


def users_remote(
    git: Git, name: str, credentials: CredentialSource, serves: Callable[[RemoteURL], bool]
) -> UsersRemote | None:
    """Return the remote of that name in the repository that `git` stands in; None without a URL that git takes."""
    asked = git.start("ls-remote", "--get-url", "--", name).finish()
    try:
        url = RemoteURL.parse(os.fsdecode(asked.stdout).removesuffix("\n"))
    except InvalidRemoteURL:
        return None
    return UsersRemote(git.online(), name, url, credentials, serves)


def pushed_to(own: UsersRemote, git: Git) -> UsersRemote | None:
    """Return a remote for `git push` that reaches this code repository only, or None if pushes go elsewhere.

    `git` stands in the user's repository. It is the remote's name itself, unless that pushes to several places; None
    where it pushes only to others.
    """
    asked = git.start("remote", "get-url", "--push", "--all", own.name).finish()
    texts = os.fsdecode(asked.stdout).splitlines() if asked.status == 0 else []
    command = os.fsdecode(git.start("config", "--get", "core.sshCommand").finish().stdout).rstrip("\n") or None
    fitting: list[tuple[str, RemoteURL]] = []
    for text in texts:
        try:
            url = RemoteURL.parse(text)
        except InvalidRemoteURL:
            continue
        # A relative path counts from this very work tree, as that from which it is fetched.
        if url.transport == "local" or own.serves(resolve_ssh_alias(url, git.environment, command)):
            fitting.append((text, url))
    for text, url in fitting:
        if len(fitting) == len(texts) and "=" not in own.name:  # `git -c` parts a setting at the first `=`
            return UsersRemote(git, own.name, url, own.credentials, own.serves)
        if not url.has_secret:
            return UsersRemote(git, text, url, own.credentials, own.serves)
    return None


def _files(git: Git, git_dir: str | None = None) -> list[bytes]:
    """Return the files from which git reads its configuration, in order; only names are listed, never values."""
    settings = (f"--git-dir={git_dir}",) if git_dir is not None else ()
    fields = git.run(*settings, "config", "--list", "--null", "--show-origin", "--name-only").split(b"\0")
    paths = (origin.removeprefix(b"file:") for origin in fields[0:-1:2] if origin.startswith(b"file:"))
    return list(dict.fromkeys(paths))  # as git writes them: a relative include counts from the path as it is written
