"""The base: the commit from which the platform serves what does not travel.

It is the first commit on HEAD's first-parent chain, else any ancestor, that is reachable from a tracking reference
of the remote, is a shallow boundary or FETCH_HEAD of it, or is the commit that the CI checked out.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidObjectId, InvalidRemoteURL
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.url.remote import RemoteURL, push_differs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from git_coderepo.git.process import Git, Process
    from git_coderepo.git.repository import Layout
    from git_coderepo.settings import Settings


class BaseCommit:
    """`commit`, and `known_by`, the fact that says the platform has it; `unpushed` counts HEAD's commits after it.

    `tree` is the commit's, None where it was not asked for yet.
    """

    __slots__ = ("commit", "known_by", "tree", "unpushed")

    def __init__(self, commit: ObjectId, known_by: str, unpushed: int, tree: ObjectId | None = None) -> None:
        self.commit = commit
        self.known_by = known_by
        self.tree = tree
        self.unpushed = unpushed


# The tracking references of a remote that was never configured otherwise.
GUESS = ("--remotes=origin",)


def start_walk(
    git: Git, served: Sequence[str], *, start: str = "HEAD", commits: Iterable[ObjectId] = (), first_parent: bool = True
) -> Process:
    """List the commits of `start` that neither `served` (arguments of rev-list) nor `commits` reach, and their end."""
    # A log may be written in UTF-16, and all that has a format with it.
    arguments = ["--boundary", "--ignore-missing", "--stdin", "--format=%T", "--encoding=UTF-8"]
    if first_parent:
        arguments.append("--first-parent")
    lines = [start, *(f"^{commit}" for commit in commits)]
    stdin = "".join(f"{line}\n" for line in lines).encode()
    return git.start("rev-list", *arguments, "--not", *served, "--not", stdin=stdin)


def guessed_walk(git: Git, layout: Layout) -> Process | Walk | None:
    """The walk from HEAD to what is known of GUESS, whose ids are the layout's `others`; None on an unborn branch.

    Where HEAD is one of them there is nothing to walk.
    """
    if layout.head is None:
        return None
    if layout.head.hex.encode() in layout.others:
        return Walk(None, None, 0)
    return start_walk(git, GUESS, start=layout.head.hex)


def tracking_arguments(settings: Settings, remote: str) -> tuple[str, ...]:
    """The rev-list arguments that name a remote's tracking references, from its fetch refspecs.

    A refspec that writes local branches (a mirror) tracks nothing: what is committed here would look served.
    """
    arguments = []
    for refspec in settings.values("remote", "fetch", remote):
        target = refspec.removeprefix("+").partition(":")[2]
        before = target.partition("*")[0]
        writes_branches = before.startswith("refs/heads/") or ("*" in target and "refs/heads/".startswith(before))
        if refspec.startswith("^") or not target.startswith("refs/") or writes_branches:
            continue
        if target == f"refs/remotes/{remote}/*" and not set(remote) & set("*?[\\"):
            arguments.append(f"--remotes={remote}")
        elif "*" in target:
            arguments.append(f"--glob={target}")
        else:
            arguments.append(f"--glob={target[:-1]}[{target[-1]}]")  # without a wildcard it would mean a folder
    return tuple(arguments)


class Walks:
    """The walks from one commit, `head`, to what each remote is known to serve; each is asked for once.

    `guessed` is the walk of a survey from that commit to GUESS, where there was one.
    """

    __slots__ = ("_guessed", "_settings", "_walks", "git", "head")

    def __init__(
        self, git: Git, settings: Settings, head: ObjectId | None, guessed: Process | Walk | None = None
    ) -> None:
        self.git = git
        self.head = head
        self._settings = settings
        self._guessed = guessed
        self._walks: dict[str, tuple[tuple[str, ...], Process | Walk | None]] = {}

    def walk(self, remote: str) -> tuple[tuple[str, ...], Process | Walk | None]:
        """Return the rev-list arguments of what a remote serves, and the walk to it; (), None for nothing."""
        if remote not in self._walks:
            served = () if push_differs(self._settings, remote) else tracking_arguments(self._settings, remote)
            walk = self._guessed if served == GUESS else None
            if served and walk is None and self.head is not None:
                walk = start_walk(self.git, served, start=self.head.hex)
            self._walks[remote] = served, walk
        return self._walks[remote]

    def unpushed(self, remote: str) -> int | None:
        """Count the commits of `head` that a remote's references lack; None where they have no base of it."""
        served, walk = self.walk(remote)
        found = _read_walk(walk, served) if self.head is not None else None
        self._walks[remote] = served, found if found is not None else walk
        if found is None or (found.first is None and found.before > 0):
            return None
        return found.before


def find_base(
    git: Git,
    layout: Layout,
    head: ObjectId,
    walk: Process | Walk | None,
    served: Sequence[str],
    *,
    shallow: bool,
    fetched_from: RemoteURL | None,
    ci_commit: ObjectId | None,
) -> BaseCommit | None:
    """The base of `head`, or None where the platform is not known to have it or any ancestor.

    `walk` is `start_walk(git, served)` from `head`, or what it comes to, None where nothing is served; `shallow` says
    whether the shallow boundary is the remote's, `fetched_from` is the remote whose FETCH_HEAD counts.
    """
    tracked = _read_walk(walk, served)
    if tracked is not None and tracked.before == 0:
        return BaseCommit(head, "remote-tracking", 0)
    more: dict[ObjectId, str] = {}
    if ci_commit is not None:
        more[ci_commit] = "ci"
    if fetched_from is not None:
        more.update(dict.fromkeys(fetch_heads(layout, fetched_from), "fetch-head"))
    if shallow and layout.shallow:
        more.update(dict.fromkeys(_shallow_boundary(layout), "shallow"))
    if head in more:
        return BaseCommit(head, more[head], 0)
    if more:
        nearer = _read_walk(start_walk(git, served, start=head.hex, commits=more), [*served, "more"])
        if nearer is not None and nearer.before == 0:
            return BaseCommit(head, "fetch-head", 0)
        if nearer is not None and nearer.first is not None and (tracked is None or nearer.first != tracked.first):
            return nearer.base(more, "fetch-head")
    if tracked is not None and tracked.first is not None:
        return tracked.base({}, "remote-tracking")
    everywhere = start_walk(git, served, start=head.hex, commits=more, first_parent=False)
    elsewhere = _read_walk(everywhere, [*served, *map(str, more)])
    if elsewhere is not None and elsewhere.first is not None:
        return elsewhere.base(more, "remote-tracking")
    return None


class Walk:
    """What a walk came to: the `first` commit that is served, its `tree`, and the number of commits `before` it."""

    __slots__ = ("before", "first", "tree")

    def __init__(self, first: ObjectId | None, tree: ObjectId | None, before: int) -> None:
        self.first = first
        self.tree = tree
        self.before = before

    def base(self, known_by: Mapping[ObjectId, str], otherwise: str) -> BaseCommit:
        assert self.first is not None
        return BaseCommit(self.first, known_by.get(self.first, otherwise), self.before, self.tree)


def _read_walk(walk: Process | Walk | None, served: Sequence[object]) -> Walk | None:
    """The answer; None where nothing is known to be served. Lines in turn: `commit ID` or `commit -ID`, its tree."""
    if walk is None or not served:
        return None
    if isinstance(walk, Walk):
        return walk
    lines = walk.checked().split(b"\n")[:-1]
    commits = [line.removeprefix(b"commit ") for line in lines[::2]]
    at = next((number for number, commit in enumerate(commits) if commit.startswith(b"-")), None)
    if at is None:
        return Walk(None, None, len(commits))
    before = sum(not commit.startswith(b"-") for commit in commits)
    return Walk(ObjectId(commits[at][1:].decode()), ObjectId(lines[2 * at + 1].decode()), before)


def _shallow_boundary(layout: Layout) -> list[ObjectId]:
    """The commits that git knows without their parents: `shallow` in the common directory, one id a line."""
    try:
        with open(layout.common_dir + b"/shallow", "rb") as file:
            return [ObjectId(line.decode()) for line in file.read().split()]
    except FileNotFoundError:
        return []


def fetch_heads(layout: Layout, remote: RemoteURL) -> list[ObjectId]:
    """What the last `git fetch` from this remote brought: `ID TAB [not-for-merge] TAB [branch 'x' of ]URL` a line."""
    try:
        with open(layout.git_dir + b"/FETCH_HEAD", "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        id, _, rest = line.partition(b"\t")
        note = rest.partition(b"\t")[2].decode("utf-8", "surrogateescape")
        named = note.startswith(("branch ", "tag ", "remote-tracking branch ", "'"))
        url = note.rpartition(" of ")[2] if named else note
        try:
            if RemoteURL.parse(url).same_place(remote):
                found.append(ObjectId(id.decode()))
        except (InvalidRemoteURL, InvalidObjectId, UnicodeDecodeError):
            continue
    return found
