"""Inspect a checkout once: all git commands run at the same time, and none runs twice."""

from __future__ import annotations

import os
import time

from git_coderepo.errors import CodeRepoError
from git_coderepo.git.index import IndexFile
from git_coderepo.git.objects import ID_LENGTHS
from git_coderepo.git.pushed_commits import GUESS, Walk, guessed_walk
from git_coderepo.git.repository import read_layout, stand_inside, start_layout
from git_coderepo.git.status import read_status, start_status
from git_coderepo.git.subtree import inside, looked_at, pathspecs, rows_inside, scope_of
from git_coderepo.git.url.remote import remotes_of
from git_coderepo.settings import READ_ARGUMENTS, Settings, start_team, with_team
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from git_coderepo.git.process import Git, Process
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change, Status
    from git_coderepo.git.url.remote import RemoteURL

_ATTEMPTS = 3
# The surveys of submodules that run at once: five processes each.
_AHEAD = 8


class Survey(Value):
    """An inspected checkout; `guessed_walk` is the walk to the base of the usual remote.

    `listing` has the rows of `ls-tree -r -z` of HEAD that affect other paths, those of attributes files and submodules;
    if it `is_whole` it has all others. `began` is when git began to look at the work tree, in nanoseconds since 1970.
    `marked` are the raw paths that git was told to ignore, see `marked_paths`. With a `scope` (see `subtree.scope_of`),
    listing, status and marked are limited to the paths that are `looked_at`.
    """

    git: Git
    layout: Layout
    status: Status
    settings: Settings
    listing: bytes
    is_whole: bool
    guessed_walk: Process | Walk | None
    marked: Sequence[bytes]
    scope: tuple[bytes, ...]
    looked_at: tuple[bytes, ...]
    began: int

    def remotes(self) -> dict[str, RemoteURL]:
        """Return each remote's URL by its name."""
        return remotes_of(self.git, self.settings)


class Surveying:
    """A survey under way: every git command starts as soon as its arguments are known.

    `scope` as for `survey`; a `whole` one, of a submodule, has none, whatever the settings say. `status` is a process
    that was started for all paths at the time `began`. `layout` is None until git has answered.
    """

    __slots__ = ("_began", "_layout", "_listing", "_scope", "_settings", "_status", "_walk", "git", "layout", "whole")

    def __init__(
        self,
        git: Git,
        scope: Sequence[bytes] = (),
        *,
        whole: bool = False,
        status: Process | None = None,
        began: int | None = None,
    ) -> None:
        self.git = git
        self.whole = whole
        self.layout: Layout | None = None
        self._scope = scope
        self._began = time.time_ns() if began is None else began
        # What takes longest comes first.
        self._status = status or (start_status(git) if not scope else None)
        self._listing: Process | None = None
        self._layout = start_layout(git, GUESS)
        self._settings = git.start(*READ_ARGUMENTS)
        self._walk: Process | Walk | None = None

    def locate(self) -> Layout:
        """Wait for the layout, and return it.

        Raises NotACheckout, and NotReproducible if git's directory is outside the work tree.
        """
        if self.layout is None:
            layout = read_layout(self._layout, self.git)
            self.layout = layout if self.whole else stand_inside(layout, self.git)
            self._walk = guessed_walk(self.git, self.layout)
        return self.layout

    def read(
        self,
        notify: Callable[[str], None],
        include: Callable[[Layout], Sequence[bytes]],
        meanwhile: Callable[[Git, Settings, Layout], None],
    ) -> Survey | None:
        """Return the survey; None if HEAD moved meanwhile. Raises NotACheckout, GitFailed, NotReproducible."""
        git = self.git
        layout = self.locate()
        team_process = start_team(git, layout.toplevel)
        settings = with_team(Settings.parse(self._settings.checked(1), git.environment), team_process, notify)
        scope = () if self.whole else scope_of(layout, settings, self._scope)
        paths = looked_at(scope, include(layout) if scope else ())
        status_process = self._limited_status(paths)
        # While git looks at the work tree.
        index = _read_index(layout)
        rows = self._start_listing(layout, index)
        marked: list[bytes] = []
        if index is not None and index.has_marks:
            from git_coderepo.snapshots.tree.hidden_changes import marked_paths

            marked = marked_paths(git, layout)
        meanwhile(git, settings, layout)
        for process in (self._walk, self._listing):
            if process is not None and not isinstance(process, Walk):
                process.finish()
        status = read_status(status_process, git)
        if status.head != layout.head:
            self.end()
            return None
        listing = self._listing.checked() if self._listing is not None else rows
        return Survey(
            git=git,
            layout=layout,
            status=status,
            settings=settings,
            listing=rows_inside(listing, paths),
            is_whole=self._listing is not None,
            guessed_walk=self._walk,
            marked=[path for path in marked if inside(paths)(path)],
            scope=scope,
            looked_at=paths,
            began=self._began,
        )

    def _limited_status(self, paths: Sequence[bytes]) -> Process:
        """Return the status that is under way; a new one if it has to be limited to some paths."""
        if self._status is None or paths:
            if self._status is not None:
                self._status.kill()  # it has just begun
            self._began = time.time_ns()
            self._status = start_status(self.git, pathspecs(paths))
        return self._status

    def _start_listing(self, layout: Layout, index: IndexFile | None) -> bytes:
        """Return the rows of HEAD's tree that affect other paths; if the index does not have them, ask git for all."""
        if layout.head_tree is None:
            return b""
        rows = index.rows_of(layout.head_tree.raw) if index is not None else None
        if rows is None:
            self._listing = self.git.start("ls-tree", "-r", "-z", "--full-tree", layout.head_tree.hex)
        return rows or b""

    def end(self) -> None:
        """Kill the processes that are still running."""
        for process in (self._layout, self._status, self._settings, self._listing, self._walk):
            if process is not None and not isinstance(process, Walk):
                process.kill()


class Surveys:
    """The surveys of the submodules that have a work tree, which run while their superproject is inspected."""

    __slots__ = ("_git", "_started", "_toplevel", "_waiting")

    def __init__(self, git: Git, layout: Layout, paths: Iterable[bytes]) -> None:
        self._git = git
        self._toplevel = layout.toplevel
        self._waiting = [path for path in sorted(set(paths)) if os.path.lexists(self._place(path) + b"/.git")]
        self._started: dict[bytes, Surveying] = {}
        self._start()

    def of(self, path: bytes) -> Surveying | None:
        """Return the running survey of a submodule, or None, and start the next waiting survey."""
        surveying = self._started.pop(path, None)
        self._start()
        return surveying

    def end(self) -> None:
        """Kill the processes of the surveys that were not used."""
        while self._started:
            self._started.popitem()[1].end()

    def _start(self) -> None:
        while self._waiting and len(self._started) < _AHEAD:
            path = self._waiting.pop(0)
            self._started[path] = Surveying(self._git.submodule(self._place(path)), whole=True)

    def _place(self, path: bytes) -> bytes:
        return self._toplevel + b"/" + path


def _read_index(layout: Layout) -> IndexFile | None:
    """Return the user's index; None if nothing was ever added."""
    try:
        with open(layout.index, "rb") as file:
            return IndexFile(file.read(), ID_LENGTHS[layout.object_format])
    except FileNotFoundError:
        return None


def survey(
    git: Git,
    notify: Callable[[str], None] = lambda _: None,
    *,
    scope: Sequence[bytes] = (),
    include: Callable[[Layout], Sequence[bytes]] = lambda _: (),
    started: Surveying | None = None,
    meanwhile: Callable[[Git, Settings, Layout], None] = lambda *_: None,
) -> Survey:
    """Inspect the checkout that `git` stands in; `notify` receives warnings about a team's file.

    `scope` are paths relative to git's directory, and replace `coderepo.scope`; `include` returns the included paths.
    `started` is a survey under way; `meanwhile` is called while git looks at the work tree, which takes longest. Raises
    NotACheckout, GitFailed, NotReproducible, and CodeRepoError if HEAD keeps moving.
    """
    whole = started is not None and started.whole
    for _ in range(_ATTEMPTS):
        surveying = started or Surveying(git, scope, whole=whole)
        try:
            inspected = surveying.read(notify, include, meanwhile)
        except BaseException:
            surveying.end()
            raise
        if inspected is not None:
            return inspected
        started = None
    raise CodeRepoError("HEAD keeps moving: another git command is at work in this checkout")


def embedded_repositories(status: Status) -> list[Change]:
    """Return the directories that are Git repositories but not submodules.

    git names the untracked ones with a final slash; the index may have a file of the same name.
    """
    return [
        change for change in status.changes if change.is_repository or (change.untracked and change.path.endswith(b"/"))
    ]
