"""A checkout looked at once: every question to git is asked at the same time, and none is asked twice."""

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
# So many submodules are asked ahead: five processes each.
_AHEAD = 8


class Survey(Value):
    """The answers; `guessed_walk` is the walk to the base of the usual remote.

    `listing` has the rows of `ls-tree -r -z` of HEAD that say what becomes of others, those of attributes files and
    submodules, and may have all the rest; if it `is_whole` it has. `began` is when git began to look at the work tree,
    in nanoseconds since 1970. `marked` are the raw paths of which git was told not to look at them, see `marked_paths`.
    Where there is a `scope` (see `scope.scope_of`), listing, status and marked are those of what is `looked_at` alone.
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
    """A survey under way: all questions that hang on no other are asked, and the answers come while others are asked.

    `scope` as for `survey`; what is `whole` has none, whatever the settings say: a submodule. `status` was asked for
    already, of everything, at the time `began`. `layout` is known as soon as that question is answered.
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
        """Return where this is, as soon as git has said that; what lies there is asked for next.

        Raises NotACheckout, and NotReproducible where this place is outside the work tree.
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
        """The answers; None where HEAD moved between them. Raises NotACheckout, GitFailed, NotReproducible."""
        git = self.git
        layout = self.locate()
        team_process = start_team(git, layout.toplevel)
        settings = with_team(Settings.parse(self._settings.checked(1), git.environment), team_process, notify)
        limit = () if self.whole else scope_of(layout, settings, self._scope)
        looked = looked_at(limit, include(layout) if limit else ())
        if looked or self._status is None:
            if self._status is not None:
                self._status.kill()  # it has just begun
            self._began = time.time_ns()
            self._status = start_status(git, pathspecs(looked))
        # While git looks at the work tree.
        index = _read_index(layout)
        rows: bytes | None = b""
        if layout.head_tree is not None:
            rows = index.rows_of(layout.head_tree.raw) if index is not None else None
            if rows is None:
                self._listing = git.start("ls-tree", "-r", "-z", "--full-tree", layout.head_tree.hex)
        marked: list[bytes] = []
        if index is not None and index.has_marks:
            from git_coderepo.snapshots.tree.hidden_changes import marked_paths

            marked = marked_paths(git, layout)
        meanwhile(git, settings, layout)
        for process in (self._walk, self._listing):
            if process is not None and not isinstance(process, Walk):
                process.finish()
        status = read_status(self._status, git)
        if status.head != layout.head:
            self.end()
            return None
        listing = self._listing.checked() if self._listing is not None else rows or b""
        marked = [path for path in marked if inside(looked)(path)]
        listing = rows_inside(listing, looked)
        return Survey(
            git=git,
            layout=layout,
            status=status,
            settings=settings,
            listing=listing,
            is_whole=self._listing is not None,
            guessed_walk=self._walk,
            marked=marked,
            scope=limit,
            looked_at=looked,
            began=self._began,
        )

    def end(self) -> None:
        """Nobody wants the answers any more."""
        for process in (self._layout, self._status, self._settings, self._listing, self._walk):
            if process is not None and not isinstance(process, Walk):
                process.kill()


class Surveys:
    """The submodules that have a work tree, looked at all at once while their superproject is being looked at."""

    __slots__ = ("_git", "_started", "_toplevel", "_waiting")

    def __init__(self, git: Git, layout: Layout, paths: Iterable[bytes]) -> None:
        self._git = git
        self._toplevel = layout.toplevel
        self._waiting = [path for path in sorted(set(paths)) if os.path.lexists(self._place(path) + b"/.git")]
        self._started: dict[bytes, Surveying] = {}
        self._start()

    def of(self, path: bytes) -> Surveying | None:
        """The survey of one, None where none was begun; others begin in its place."""
        found = self._started.pop(path, None)
        self._start()
        return found

    def end(self) -> None:
        """Whoever asked is gone."""
        while self._started:
            self._started.popitem()[1].end()

    def _start(self) -> None:
        while self._waiting and len(self._started) < _AHEAD:
            path = self._waiting.pop(0)
            self._started[path] = Surveying(self._git.submodule(self._place(path)), whole=True)

    def _place(self, path: bytes) -> bytes:
        return self._toplevel + b"/" + path


def _read_index(layout: Layout) -> IndexFile | None:
    """The user's index; None where nothing was ever added."""
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
    """Look at the checkout that `git` stands in; `notify` hears of what is passed over in a team's file.

    `scope` are paths as seen from there, in the place of `coderepo.scope`; `include` gives what is looked at beside it.
    `started` has asked already; `meanwhile` is called while git looks at the work tree, which takes longest. Raises
    NotACheckout, GitFailed, NotReproducible, and CodeRepoError where HEAD keeps moving meanwhile.
    """
    whole = started is not None and started.whole
    for _ in range(_ATTEMPTS):
        asked = started or Surveying(git, scope, whole=whole)
        try:
            found = asked.read(notify, include, meanwhile)
        except BaseException:
            asked.end()
            raise
        if found is not None:
            return found
        started = None
    raise CodeRepoError("HEAD keeps moving: another git command is at work in this checkout")


def embedded_repositories(found: Status) -> list[Change]:
    """The directories that are repositories of their own, and no submodules.

    git names the untracked ones with a final slash; one may stand where the index has a file.
    """
    return [
        change for change in found.changes if change.is_repository or (change.untracked and change.path.endswith(b"/"))
    ]
