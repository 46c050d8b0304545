"""Submodules: each one with a work tree is a snapshot of its own, made by the same code as its superproject's.

The superproject's tree id proves each gitlink, which is the id of a commit. The manifest also records the tree of each
submodule's work tree, whose id proves its files; for a clean submodule that is the tree of the commit, looked up when
the manifest is written. A runner trusts the manifest for it, since only a fetch by git has the commit.
"""

from __future__ import annotations

import os

from git_coderepo.errors import CodeRepoError, NotReproducible, TooLarge
from git_coderepo.filesystem.atomic import not_yet_noted
from git_coderepo.git.process import git_word, path_word
from git_coderepo.snapshots.snapshot import BY_NAME, OWN_OUTPUT, Submodule, Within
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.snapshots.inspect_checkout import Surveys
    from git_coderepo.snapshots.snapshot import Attempt, Checkout, Request, Snapshot, Unpacked

# The reader allows a manifest to be nested about twenty deep.
_DEEPEST = 16


class Superproject(Value):
    """The checkout whose submodules are taken; `surveys` are those under way, None for a commit."""

    attempt: Attempt
    checkout: Checkout
    surveys: Surveys | None


def take_submodules(
    superproject: Superproject,
    links: Sequence[tuple[bytes, str]],
    take: Callable[[Git, Request, Within], Snapshot],
) -> tuple[Submodule, ...]:
    """Return the submodules of a snapshot whose tree has these gitlinks (raw path, commit in hex), nested ones too.

    `take` is `take_snapshot`. Raises what it does, with the submodule's name, and NotReproducible for a submodule that
    cannot be recorded.
    """
    submodules = []
    for path, commit in links:
        inner = None
        with superproject.attempt.waived.waiving():
            inner = _take_one(superproject, path, commit, take)
        submodules.append(Submodule(path=path, commit=commit, snapshot=inner))
    return tuple(submodules)


def below(path: bytes, include: Sequence[bytes], layout: Layout) -> tuple[bytes, ...]:
    """Return the included paths that lie in the submodule at `path`, made absolute."""
    root = os.path.normpath(layout.toplevel + b"/" + path)
    absolute = (os.path.normpath(os.path.join(layout.toplevel, layout.prefix, each)) for each in include)
    return tuple(each for each in absolute if each == root or each.startswith(root + b"/"))


def snapshots_in(snapshot: Snapshot | Unpacked, prefix: bytes = b"") -> Iterator[tuple[bytes, Snapshot]]:
    """Yield (raw path with a final slash, snapshot) of each submodule that is recorded, nested ones too."""
    for each in snapshot.submodules:
        if each.snapshot is not None:
            yield prefix + each.path + b"/", each.snapshot
            yield from snapshots_in(each.snapshot, prefix + each.path + b"/")


def omitted(snapshot: Snapshot) -> list[tuple[bytes, str]]:
    """Return (raw path from the checkout's root, reason) of what was left out, in submodules too."""
    return [*snapshot.omitted, *omitted_in(snapshot)]


def omitted_in(snapshot: Snapshot | Unpacked) -> list[tuple[bytes, str]]:
    """Return (raw path from the checkout's root, reason) of what was left out in submodules."""
    return [(place + path, reason) for place, inner in snapshots_in(snapshot) for path, reason in inner.omitted]


def omission_lines(snapshot: Snapshot) -> list[str]:
    """Return lines for people about what was left out, one for all files that this program wrote.

    A file that is left out because of its name is named once per checkout; `status` and the manifest always list it.
    """
    rows = omitted(snapshot)
    by_name = [path for path, reason in rows if reason == BY_NAME]
    if by_name:
        new = not_yet_noted(snapshot.layout.own_here + b"/named-files", by_name)
        rows = [(path, reason) for path, reason in rows if reason != BY_NAME or path in new]
    lines = [f"'{os.fsdecode(path)}' does not travel ({reason})" for path, reason in rows if reason != OWN_OUTPUT]
    own = sorted((path for path, reason in rows if reason == OWN_OUTPUT), key=len)
    if own:
        others = f" and {len(own) - 1} more" if len(own) > 1 else ""
        lines.append(f"left out files that git coderepo wrote: '{os.fsdecode(own[0])}'{others} ({OWN_OUTPUT})")
    return lines


def unreproducible(snapshot: Snapshot) -> list[NotReproducible]:
    """Return the reasons why no runner can fetch a snapshot, its submodules included."""
    reasons = list(snapshot.unreproducible)
    for _, inner in snapshots_in(snapshot):
        reasons += inner.unreproducible
    return reasons


def _take_one(
    superproject: Superproject, path: bytes, commit: str, take: Callable[[Git, Request, Within], Snapshot]
) -> Snapshot | None:
    checkout, request = superproject.checkout, superproject.attempt.request
    layout = checkout.layout
    root = layout.toplevel + b"/" + path
    started = superproject.surveys.of(path) if superproject.surveys is not None else None
    if request.rev is not None:
        if layout.toplevel == layout.git_dir or not os.path.lexists(root + b"/.git"):
            return None  # a bare repository has no work tree in which to look
    elif not _has_entries(root):
        return None
    try:
        if checkout.depth >= _DEEPEST:
            raise NotReproducible(f"submodules are nested more than {_DEEPEST} deep")
        if not os.path.lexists(root + b"/.git"):
            raise NotReproducible(
                "it holds files, and its '.git' is gone: git does not look at them",
                hints=[
                    f"move '{os.fsdecode(path)}' away, and then: "
                    f"{git_word(layout.toplevel)} submodule update --init -- {path_word(path, layout.toplevel)}"
                ],
                waived_as="submodule",
            )
        inner_request = request.replace(
            rev=commit if request.rev is not None else None,
            include=below(path, request.include, layout),
            code_repository=None,
            publishes=False,
            scope=(),
            prefix=b"",
        )
        within = Within(outer=checkout, path=path, started=started, weights=superproject.attempt.weights)
        inner = take(checkout.git.submodule(root), inner_request, within)
        _refuse_other_commit(inner, commit)
    except TooLarge:
        raise  # it is about all submodules together
    except CodeRepoError as error:
        raise _in_submodule(error, path, root) from None
    return inner


def _refuse_other_commit(inner: Snapshot, commit: str) -> None:
    """Raise NotReproducible if a submodule's HEAD is not the commit that its superproject names."""
    if inner.head is None:
        raise NotReproducible(
            "it has no commit yet, so that nothing can name it", hints=["git commit"], waived_as="submodule"
        )
    if inner.head.commit.hex != commit:
        raise NotReproducible(
            f"its HEAD went from {commit[:12]} to {inner.head.commit.hex[:12]} meanwhile",
            hints=["another git command is at work in it: try again"],
        )


def _in_submodule(error: CodeRepoError, path: bytes, root: bytes) -> CodeRepoError:
    """Return an error that names the submodule in which it arose; git's commands in its hints run there."""
    return error.replace(
        message=f"in the submodule '{os.fsdecode(path)}': {error.message}",
        hints=[_run_in(root, text) for text in error.hints],
    )


def _run_in(root: bytes, hint: str) -> str:
    """Return a hint whose git command runs in the submodule at `root`."""
    start = "git " if hint.startswith("git ") else ": git "
    before, command, after = hint.partition(start)
    if not command or after.startswith(("-C ", "submodule update")) or "--allow-unreproducible" in hint:
        return hint
    return f"{before}{command.removesuffix('git ')}{git_word(root)} {after}"


def _has_entries(path: bytes) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
