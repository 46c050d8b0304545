"""Submodules: each one that has a work tree here is a snapshot of its own, made by the same code as its superproject's.

What proves what: the superproject's tree id proves each gitlink, that is the id of a commit. The manifest records the
tree of each submodule's work tree beside it, and that id proves its files; a clean submodule's tree is the one that
git reads from that very commit, looked up here when the manifest is written. On a runner the manifest is what is
trusted for it: only a fetch by git has the commit itself at hand.
"""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, NotReproducible, TooLarge
from git_coderepo.git.process import git_word, path_word
from git_coderepo.snapshots.snapshot import OWN_OUTPUT, Request, Submodule
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.snapshots.inspect_checkout import Surveying
    from git_coderepo.snapshots.snapshot import Checkout, Snapshot

# A manifest may be nested so deep that some twenty fit into each other.
_DEEPEST = 16


class Within(Value):
    """Where a submodule lies: in the checkout `outer`, at a raw `path`.

    `started` has asked already; `weights` are those of its superproject's snapshot.
    """

    outer: Checkout
    path: bytes
    started: Surveying | None
    weights: dict[str, list[tuple[bytes, int]]]

    def refuse_elsewhere(self, layout: Layout) -> None:
        """git looks for a repository in the folders above, too, where there is none: that would be another one."""
        if not os.path.samefile(layout.toplevel, self.outer.layout.toplevel + b"/" + self.path):
            raise NotReproducible(
                "its '.git' is that of another work tree",
                hints=["git config --unset core.worktree"],
                waived_as="submodule",
            )


def take_submodules(
    snapshot: Snapshot,
    links: Sequence[tuple[bytes, str]],
    request: Request,
    take: Callable[[Git, Request, Within], Snapshot],
) -> list[Submodule]:
    """Return the submodules of a snapshot whose tree has these gitlinks (raw path, commit in hex), with all in them.

    `take` is `take_snapshot`. Raises what it does, with the submodule's name, and NotReproducible for one that cannot
    be told.
    """
    found = []
    for path, commit in links:
        inner = None
        with snapshot.waiving():
            inner = _taken(snapshot, path, commit, request, take)
        found.append(Submodule(path=path, commit=commit, snapshot=inner))
    return found


def below(path: bytes, include: Sequence[bytes], layout: Layout) -> tuple[bytes, ...]:
    """Those of the paths that were asked for by name which lie in the submodule at `path`, made absolute."""
    root = os.path.normpath(layout.toplevel + b"/" + path)
    absolute = (os.path.normpath(os.path.join(layout.toplevel, layout.prefix, each)) for each in include)
    return tuple(each for each in absolute if each == root or each.startswith(root + b"/"))


def snapshots_in(snapshot: Snapshot, prefix: bytes = b"") -> Iterator[tuple[bytes, Snapshot]]:
    """(raw path with a final slash, snapshot) of each submodule that is recorded, however deep."""
    for each in snapshot.submodules:
        if each.snapshot is not None:
            yield prefix + each.path + b"/", each.snapshot
            yield from snapshots_in(each.snapshot, prefix + each.path + b"/")


def omitted(snapshot: Snapshot) -> list[tuple[bytes, str]]:
    """(raw path from the checkout's root, reason) of all that was left out, in submodules, too."""
    found = list(snapshot.omitted)
    for place, inner in snapshots_in(snapshot):
        found += [(place + path, reason) for path, reason in inner.omitted]
    return found


def omission_lines(snapshot: Snapshot) -> list[str]:
    """Return what was left out, in lines for people; what this program wrote itself in one."""
    found = omitted(snapshot)
    lines = [f"'{os.fsdecode(path)}' does not travel ({reason})" for path, reason in found if reason != OWN_OUTPUT]
    own = sorted((path for path, reason in found if reason == OWN_OUTPUT), key=len)
    if own:
        others = f" and {len(own) - 1} more" if len(own) > 1 else ""
        lines.append(f"left out files that git coderepo wrote: '{os.fsdecode(own[0])}'{others} ({OWN_OUTPUT})")
    return lines


def unreproducible(snapshot: Snapshot) -> list[NotReproducible]:
    """Why no runner can get it back, its submodules included."""
    found = list(snapshot.unreproducible)
    for _, inner in snapshots_in(snapshot):
        found += inner.unreproducible
    return found


def _taken(
    snapshot: Snapshot,
    path: bytes,
    commit: str,
    request: Request,
    take: Callable[[Git, Request, Within], Snapshot],
) -> Snapshot | None:
    layout = snapshot.layout
    place = layout.toplevel + b"/" + path
    started = snapshot.surveys.of(path) if snapshot.surveys is not None else None
    if request.rev is not None:
        if layout.toplevel == layout.git_dir or not os.path.lexists(place + b"/.git"):
            return None  # a bare repository has no work tree in which to look
    elif not _holds_anything(place):
        return None
    within = Within(outer=snapshot.checkout, path=path, started=started, weights=snapshot.weights)
    try:
        if within.outer.depth >= _DEEPEST:
            raise NotReproducible(f"submodules are nested more than {_DEEPEST} deep")
        if not os.path.lexists(place + b"/.git"):
            raise NotReproducible(
                "it holds files, and its '.git' is gone: git does not look at them",
                hints=[
                    f"move '{os.fsdecode(path)}' away, and then: "
                    f"{git_word(layout.toplevel)} submodule update --init -- {path_word(path, layout.toplevel)}"
                ],
                waived_as="submodule",
            )
        wanted = request.replace(
            rev=commit if request.rev is not None else None,
            include=below(path, request.include, layout),
            code_repository=None,
            publishes=False,
            scope=(),
            prefix=b"",
        )
        inner = take(snapshot.git.submodule(place), wanted, within)
        if inner.head is None:
            raise NotReproducible(
                "it has no commit yet, so that nothing can name it", hints=["git commit"], waived_as="submodule"
            )
        if inner.head.commit.hex != commit:
            raise NotReproducible(
                f"its HEAD went from {commit[:12]} to {inner.head.commit.hex[:12]} meanwhile",
                hints=["another git command is at work in it: try again"],
            )
    except TooLarge:
        raise  # it speaks of all together
    except CodeRepoError as error:
        raise _named(error, path, place) from None
    return inner


def _named(error: CodeRepoError, path: bytes, place: bytes) -> CodeRepoError:
    """The same error, said of the submodule in which it arose; git's commands in its hints are for there."""
    name = os.fsdecode(path)
    return error.replace(
        message=f"in the submodule '{name}': {error.message}", hints=[_said_there(text, place) for text in error.hints]
    )


def _said_there(hint: str, place: bytes) -> str:
    start = "git " if hint.startswith("git ") else ": git "
    before, found, after = hint.partition(start)
    if not found or after.startswith(("-C ", "submodule update")) or "--allow-unreproducible" in hint:
        return hint
    return f"{before}{found.removesuffix('git ')}{git_word(place)} {after}"


def _holds_anything(path: bytes) -> bool:
    try:
        with os.scandir(path) as found:
            return next(found, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
