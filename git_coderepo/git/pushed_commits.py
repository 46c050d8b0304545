"""Find which commits a remote is known to have, without asking it, and the base of a snapshot among them.

The base is the nearest such commit on HEAD's first-parent chain, or else any ancestor of HEAD. A remote is known to
have what its remote-tracking branches reach, the boundary of a shallow clone, what FETCH_HEAD names, and the commit
that CI checked out.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidObjectId, InvalidRemoteURL
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.url.remote import RemoteURL, push_differs
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from git_coderepo.git.process import Git, Process
    from git_coderepo.git.repository import Layout
    from git_coderepo.settings import Settings


class BaseCommit:
    """The base of a snapshot: its `commit`, and the number of commits in HEAD that the platform lacks (`unpushed`).

    `known_by` says how that is known: a value of `knownBy` in the manifest. `tree` is the commit's tree, None if it
    has not been read.
    """

    __slots__ = ("commit", "known_by", "tree", "unpushed")

    def __init__(self, commit: ObjectId, known_by: str, unpushed: int, tree: ObjectId | None = None) -> None:
        self.commit = commit
        self.known_by = known_by
        self.tree = tree
        self.unpushed = unpushed


# The rev-list arguments for `origin` as `git clone` configures it. The walk starts before the settings are read.
GUESS = ("--remotes=origin",)


def start_walk(
    git: Git, served: Sequence[str], *, start: str = "HEAD", commits: Iterable[ObjectId] = (), first_parent: bool = True
) -> Process:
    """Start listing the commits of `start` that neither `served` (rev-list arguments) nor `commits` reach.

    The boundary commits are listed too. Read the output with `_read_walk`.
    """
    # `i18n.logOutputEncoding` applies to `--format`, and may be UTF-16.
    arguments = ["--boundary", "--ignore-missing", "--stdin", "--format=%T", "--encoding=UTF-8"]
    if first_parent:
        arguments.append("--first-parent")
    lines = [start, *(f"^{commit}" for commit in commits)]
    stdin = "".join(f"{line}\n" for line in lines).encode()
    return git.start("rev-list", *arguments, "--not", *served, "--not", stdin=stdin)


def guessed_walk(git: Git, layout: Layout) -> Process | Walk | None:
    """Start the walk from HEAD to GUESS; return its result if HEAD is one of those references (`layout.others`).

    Returns None on an unborn branch.
    """
    if layout.head is None:
        return None
    if layout.head.hex.encode() in layout.others:
        return Walk(None, None, 0)
    return start_walk(git, GUESS, start=layout.head.hex)


def tracking_arguments(settings: Settings, remote: str) -> tuple[str, ...]:
    """Return the rev-list arguments that select a remote's tracking references, from its fetch refspecs.

    A refspec that writes local branches (a mirror) is left out: a local commit would look as if it had been pushed.
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
            # rev-list appends `/*` to a glob without a wildcard.
            arguments.append(f"--glob={target[:-1]}[{target[-1]}]")
    return tuple(arguments)


class Walks:
    """The walks from the commit `head` to what each remote is known to have; each is run once.

    `guessed` is a walk from `head` to GUESS that has already been started.
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
        """Return the rev-list arguments for a remote's tracking references, and the walk to them.

        Returns ((), None) if none of them can be trusted: fetch and push use different URLs.
        """
        if remote not in self._walks:
            served = () if push_differs(self._settings, remote) else tracking_arguments(self._settings, remote)
            walk = self._guessed if served == GUESS else None
            if served and walk is None and self.head is not None:
                walk = start_walk(self.git, served, start=self.head.hex)
            self._walks[remote] = served, walk
        return self._walks[remote]

    def unpushed(self, remote: str) -> int | None:
        """Count the commits of `head` that a remote's references lack; None if they contain no ancestor of it."""
        served, walk = self.walk(remote)
        result = _read_walk(walk, served) if self.head is not None else None
        self._walks[remote] = served, result if result is not None else walk
        if result is None or (result.first is None and result.before > 0):
            return None
        return result.before


class KnownCommits(Value):
    """What a remote is known to have.

    `references` are the rev-list arguments for its tracking references, and `walk` the walk from HEAD to them (see
    `Walks.walk`). `is_shallow_origin` is true if a shallow clone came from this remote. The FETCH_HEAD of
    `fetched_from` counts, and so does `ci_commit`, the commit that CI checked out.
    """

    references: Sequence[str]
    walk: Process | Walk | None
    is_shallow_origin: bool
    fetched_from: RemoteURL | None
    ci_commit: ObjectId | None


def find_base(git: Git, layout: Layout, head: ObjectId, known: KnownCommits) -> BaseCommit | None:
    """Return the base of `head`; None if the remote is known to have neither `head` nor an ancestor of it.

    Raises GitFailed.
    """
    tracked = _read_walk(known.walk, known.references)
    if tracked is not None and tracked.before == 0:
        return BaseCommit(head, "remote-tracking", 0)
    more = _commits_by_other_facts(layout, known)
    if head in more:
        return BaseCommit(head, more[head], 0)
    if more:
        nearer = _read_walk(start_walk(git, known.references, start=head.hex, commits=more), [*known.references, *more])
        if nearer is not None and nearer.before == 0:
            return BaseCommit(head, "fetch-head", 0)
        base = nearer.base(more, "fetch-head") if nearer is not None else None
        if base is not None and (tracked is None or base.commit != tracked.first):
            return base
    base = tracked.base({}, "remote-tracking") if tracked is not None else None
    return base if base is not None else _base_off_first_parent(git, head, known, more)


def _commits_by_other_facts(layout: Layout, known: KnownCommits) -> dict[ObjectId, str]:
    """Return the commits that the remote has by other facts than its tracking references, with the fact."""
    more: dict[ObjectId, str] = {}
    if known.ci_commit is not None:
        more[known.ci_commit] = "ci"
    if known.fetched_from is not None:
        more.update(dict.fromkeys(fetch_heads(layout, known.fetched_from), "fetch-head"))
    if known.is_shallow_origin and layout.shallow:
        more.update(dict.fromkeys(_shallow_boundary(layout), "shallow"))
    return more


def _base_off_first_parent(
    git: Git, head: ObjectId, known: KnownCommits, more: Mapping[ObjectId, str]
) -> BaseCommit | None:
    """Return the nearest base that only a merged branch reaches."""
    walk = start_walk(git, known.references, start=head.hex, commits=more, first_parent=False)
    result = _read_walk(walk, [*known.references, *more])
    return result.base(more, "remote-tracking") if result is not None else None


class Walk:
    """The result of a walk: the `first` commit that is served, its `tree`, and the number of commits `before` it.

    `first` and `tree` are None if no commit is served.
    """

    __slots__ = ("before", "first", "tree")

    def __init__(self, first: ObjectId | None, tree: ObjectId | None, before: int) -> None:
        self.first = first
        self.tree = tree
        self.before = before

    def base(self, known_by: Mapping[ObjectId, str], otherwise: str) -> BaseCommit | None:
        """Return the first served commit as a base; its source is `known_by[commit]`, or else `otherwise`."""
        if self.first is None:
            return None
        return BaseCommit(self.first, known_by.get(self.first, otherwise), self.before, self.tree)


def _read_walk(walk: Process | Walk | None, served: Sequence[object]) -> Walk | None:
    """Return the result of a walk; None if nothing is known to be served.

    Output of `rev-list --boundary --format=%T`: pairs of lines, `commit ID` (a boundary: `commit -ID`) and the tree.
    """
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
    """Return the commits whose parents a shallow clone lacks: `shallow` in the common directory, one id per line."""
    try:
        with open(layout.common_dir + b"/shallow", "rb") as file:
            return [ObjectId(line.decode()) for line in file.read().split()]
    except FileNotFoundError:
        return []


def fetch_heads(layout: Layout, remote: RemoteURL) -> list[ObjectId]:
    """Return the commits that the last `git fetch` brought from this remote.

    Lines of FETCH_HEAD: `ID TAB [not-for-merge] TAB [branch 'x' of ]URL`; see `store_updated_refs` in Git's
    builtin/fetch.c.
    """
    try:
        with open(layout.git_dir + b"/FETCH_HEAD", "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    commits = []
    for line in lines:
        id, _, rest = line.partition(b"\t")
        note = rest.partition(b"\t")[2].decode("utf-8", "surrogateescape")
        named = note.startswith(("branch ", "tag ", "remote-tracking branch ", "'"))
        url = note.rpartition(" of ")[2] if named else note
        try:
            if RemoteURL.parse(url).same_place(remote):
                commits.append(ObjectId(id.decode()))
        except (InvalidRemoteURL, InvalidObjectId, UnicodeDecodeError):
            continue
    return commits
