"""The checkout, for authors of custom platforms.

Every question goes to git's plumbing and is answered in every state a checkout can be in: no commit yet, a detached
HEAD, a remote that cannot be reached (Z4 in docs/design/faults.md). Nothing is fetched, and names of files are never
split at white space (Z6).
"""

from __future__ import annotations

import os

from git_coderepo.errors import InvalidRemoteURL, NotACheckout
from git_coderepo.git.process import Git
from git_coderepo.git.pushed_commits import tracking_arguments
from git_coderepo.git.url.remote import RemoteURL, resolve_remote
from git_coderepo.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from git import Repo

    from git_coderepo.git.url.remote import RemoteURL


class LocalRepositoryContext:
    """A checkout; `remote_name` is the git remote by which it belongs to a code repository.

    Raises NotACheckout if `path` is not in a checkout.
    """

    def __init__(self, path: str, remote_name: str | None = None) -> None:
        top = Git(path).run("rev-parse", "--show-toplevel").removesuffix(b"\n")
        if not top:
            raise NotACheckout(f"'{path}' is not in a work tree")
        self._root = os.fsdecode(top)
        self.remote_name = remote_name

    @classmethod
    def at(cls, path: str, serves: Callable[[RemoteURL], bool]) -> LocalRepositoryContext | None:
        """Return the checkout that holds `path`, with its first remote that `serves` accepts, or None."""
        try:
            context = cls(path)
        except NotACheckout:
            return None
        git = Git(context.root)
        settings = Settings.read(git)
        for name in settings.subsections("remote"):
            try:
                url = resolve_remote(git, settings, name)
            except InvalidRemoteURL:
                continue
            if url is not None and serves(url):
                context.remote_name = name
                return context
        return None

    @property
    def root(self) -> str:
        """The top directory of the work tree."""
        return self._root

    @property
    def is_dirty(self) -> bool:
        """Whether anything is staged, edited, deleted or untracked (unless `coderepo.untracked=ignore`)."""
        rule = self._settings().choice("untracked")
        untracked = "no" if rule == "ignore" else "all"
        return bool(
            self._git().run(
                "--no-optional-locks",
                "status",
                "--porcelain=v2",
                "-z",
                f"--untracked-files={untracked}",
                "--no-renames",
            )
        )

    @property
    def has_local_changes(self) -> bool:
        """Whether the checkout is dirty or HEAD is not known to be pushed.

        A commit counts as pushed when any tracking reference of the remote reaches it, whatever the branch's name.
        """
        if self.current_commit is None or self.is_dirty:
            return True
        if self.remote_name is None:
            return True
        tracking = tracking_arguments(self._settings(), self.remote_name)
        if not tracking:
            return True
        return bool(self._git().run("rev-list", "--max-count=1", "HEAD", "--not", *tracking))

    @property
    def current_commit(self) -> str | None:
        """The full id of HEAD's commit, None before the first one."""
        found = self._git().start("rev-parse", "--verify", "--quiet", "HEAD^{commit}").finish()
        return os.fsdecode(found.stdout.strip()) or None

    @property
    def branch(self) -> str | None:
        """The branch that is checked out, `topic/x`; None on a detached HEAD."""
        found = self._git().start("symbolic-ref", "--quiet", "HEAD").finish()
        return os.fsdecode(found.stdout.removesuffix(b"\n")).removeprefix("refs/heads/") or None

    @property
    def repo(self) -> Repo:
        """The checkout as a GitPython object, for authors of custom platforms. Nothing else uses it."""
        from git import Repo

        return Repo(self._root)

    def _git(self) -> Git:
        return Git(self._root)

    def _settings(self) -> Settings:
        return Settings.read(self._git())
