"""A checkout looked at once: every question to git is asked at the same time, and none is asked twice."""

from __future__ import annotations

import os

from git_coderepo.checkout.base import GUESS, start_walk
from git_coderepo.checkout.layout import read_layout, start_layout
from git_coderepo.checkout.marks import marked_paths
from git_coderepo.checkout.scope import inside, looked_at, pathspecs, rows_inside, scope_of
from git_coderepo.checkout.status import read_status, start_status
from git_coderepo.checkout.team import start_team, with_team
from git_coderepo.errors import CodeRepoError
from git_coderepo.settings import READ_ARGUMENTS, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.status import Status
    from git_coderepo.git import Git, Process
    from git_coderepo.urls import RemoteURL

_ATTEMPTS = 3


class Survey:
    """The answers; `listing` is `ls-tree -r -z` of HEAD, `guessed_walk` the walk to the base of the usual remote.

    `marked` are the raw paths of which git was told not to look at them, see `marked_paths`. Where there is a `scope`
    (see `scope.scope_of`), listing, status and marked are those of what is `looked_at` alone.
    """

    __slots__ = ("git", "guessed_walk", "layout", "listing", "looked_at", "marked", "scope", "settings", "status")

    def __init__(
        self,
        git: Git,
        layout: Layout,
        status: Status,
        settings: Settings,
        listing: bytes,
        guessed_walk: Process,
        marked: list[bytes],
        scope: tuple[bytes, ...],
        looked_at: tuple[bytes, ...],
    ) -> None:
        self.git = git
        self.layout = layout
        self.status = status
        self.settings = settings
        self.listing = listing
        self.guessed_walk = guessed_walk
        self.marked = marked
        self.scope = scope
        self.looked_at = looked_at

    def remotes(self) -> dict[str, RemoteURL]:
        """Each remote's URL by its name; see `urls.remotes_of`."""
        from git_coderepo.urls import remotes_of

        return remotes_of(self.git, self.settings)

    @property
    def upstream_remote(self) -> str | None:
        """The remote that HEAD's branch follows, None where it follows none."""
        branch = self.status.branch
        remote = self.settings.value("branch", "remote", branch) if branch is not None else None
        return None if remote == "." else remote


class Asked:
    """The questions, while git works on them; `layout` is known as soon as that one is answered.

    The status is not asked for where a `scope` was given: it is that of what is looked at, which the layout tells.
    """

    __slots__ = ("git", "layout", "layout_process", "listing", "settings", "status", "walk")

    def __init__(self, git: Git, scope: Sequence[bytes]) -> None:
        self.git = git
        self.layout: Layout | None = None
        # What takes longest comes first.
        self.status = start_status(git) if not scope else None
        self.listing = git.start("ls-tree", "-r", "-z", "--full-tree", "HEAD")
        self.layout_process = start_layout(git)
        self.settings = git.start(*READ_ARGUMENTS)
        self.walk = start_walk(git, GUESS)


def start_survey(git: Git, scope: Sequence[bytes] = ()) -> Asked:
    """Ask git about the checkout that it stands in, and go on. Raises GitNotFound."""
    return Asked(git, scope)


def survey(
    git: Git,
    notify: Callable[[str], None] = lambda _: None,
    *,
    scope: Sequence[bytes] = (),
    include: Callable[[Layout], Sequence[bytes]] = lambda _: (),
) -> Survey:
    """Look at the checkout that `git` stands in; as `read_survey`."""
    return read_survey(start_survey(git, scope), notify, scope=scope, include=include)


def read_survey(
    asked: Asked,
    notify: Callable[[str], None] = lambda _: None,
    *,
    scope: Sequence[bytes] = (),
    include: Callable[[Layout], Sequence[bytes]] = lambda _: (),
) -> Survey:
    """The answers; `notify` hears of what is passed over in a team's file.

    `scope` are paths as seen from there, in the place of `coderepo.scope`; `include` gives what is looked at beside it.

    Raises NotACheckout, GitFailed, NotReproducible, and CodeRepoError where HEAD keeps moving meanwhile.
    """
    git = asked.git
    for attempt in range(_ATTEMPTS):
        if attempt:
            asked = start_survey(git, scope)
        layout = asked.layout = read_layout(asked.layout_process, git)
        team_process = start_team(git, layout.toplevel)
        settings = with_team(Settings.parse(asked.settings.checked(1), git.environment), team_process, notify)
        limit = scope_of(layout, settings, scope)
        looked = looked_at(limit, include(layout) if limit else ())
        status_process = asked.status
        if looked or status_process is None:
            if status_process is not None:
                status_process.kill()  # it has just begun
            status_process = start_status(git, pathspecs(looked))
        marked = marked_paths(git, layout)  # while git looks at the work tree
        status = read_status(status_process)
        asked.listing.finish()
        asked.walk.finish()
        if status.head != layout.head:
            continue
        listing = asked.listing.checked() if layout.head is not None else b""
        marked = [path for path in marked if inside(looked)(path)]
        listing = rows_inside(listing, looked)
        return Survey(git, layout, status, settings, listing, asked.walk, marked, limit, looked)
    raise CodeRepoError("HEAD keeps moving: another git command is at work in this checkout")


def embedded_repositories(found: Status) -> list[bytes]:
    """Untracked directories that are repositories of their own: git names them with a final slash."""
    return [change.path for change in found.changes if change.untracked and change.path.endswith(b"/")]


def populated_submodules(layout: Layout, links: list[tuple[bytes, str]]) -> list[bytes]:
    """The submodules whose work tree is here; also one that lost its `.git`, whose files git does not look at."""
    return [path for path, _ in links if _holds_anything(layout.toplevel + b"/" + path)]


def _holds_anything(path: bytes) -> bool:
    try:
        with os.scandir(path) as found:
            return next(found, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
