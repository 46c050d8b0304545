"""The limits on what travels: a run is stopped before its files are read if they are too large."""

from __future__ import annotations

import os

from git_coderepo.errors import NotReproducible, TooLarge
from git_coderepo.git.process import ignore_command
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.settings import Settings
    from git_coderepo.snapshots.find_base import MissingFact
    from git_coderepo.snapshots.snapshot import Attempt, Checkout
    from git_coderepo.snapshots.tree.worktree_stat import Found


class Load(Value):
    """The (raw path, bytes) of what would travel of one checkout; `word` says what is known of it.

    `alone` receives the name of the limit, and raises NotReproducible where this checkout exceeds it by itself.
    """

    word: str
    sizes: Sequence[tuple[bytes, int]]
    alone: Callable[[str], None]


def refuse_large(attempt: Attempt, checkout: Checkout, load: Load, *, publishes: bool) -> NotReproducible | None:
    """Raise NotReproducible if the overlay exceeds a limit, alone or together with those of other checkouts.

    Return the error of a load that is too large for an overlay and may be published: the caller `publishes`, and the
    settings say so. None if it fits. Raises NotReproducible.
    """
    settings = checkout.settings
    toplevel = (checkout.layout.toplevel + b"/").removesuffix(b"/" + checkout.place)
    together = attempt.weights.add(load.word, [(checkout.place + path, size) for path, size in load.sizes])

    def refuse(limit: str) -> None:
        if not checkout.depth:
            load.alone(limit)
        refuse_together(settings, together, load.word, toplevel=toplevel, limit=limit)

    try:
        refuse("overlayLimit")
    except NotReproducible as error:
        if not publishes or settings.text("publish") not in ("ask", "auto"):
            raise
        refuse("publishLimit")
        return error
    return None


def refuse_changed(
    settings: Settings,
    found: Found,
    is_tracked: Callable[[bytes], bool],
    *,
    limit: str = "overlayLimit",
) -> None:
    """Raise NotReproducible, before anything is read, if the changes exceed `overlayLimit` or `publishLimit`.

    `found` are the changes on the disk, `is_tracked` says whether HEAD has anything at a raw path.
    """
    sizes = found.sizes()
    untracked = {change.path for change in found.changes if change.untracked}

    def word(folder: bytes) -> str:
        kinds = {path in untracked for path, _ in sizes if path.startswith(folder)}
        return "untracked" if kinds == {True} else "changed"

    total, named = _above_limit(settings, sizes, limit)
    if not named:
        return
    heaviest = named[0][0]
    # `ignore` has no effect on tracked files: name a folder that has none.
    while heaviest.endswith(b"/") and (word(heaviest) != "untracked" or is_tracked(heaviest)):
        heaviest = largest_folders(sizes, below=heaviest, count=1)[0][0]
    ignorable = heaviest in untracked or heaviest.endswith(b"/")
    _refuse_large(
        settings,
        total,
        [(path, size, word(path)) for path, size in named],
        [
            f"exclude it: {ignore_command(heaviest, found.toplevel)}"
            if ignorable
            else f"commit and push '{os.fsdecode(heaviest)}', so that the platform serves it"
        ],
        limit,
    )


def refuse_unserved(
    settings: Settings,
    sizes: Sequence[tuple[bytes, int]],
    source: CodeSource | None,
    *,
    limit: str = "overlayLimit",
    missing: Callable[[], MissingFact | None] = lambda: None,
) -> None:
    """Raise NotReproducible, before anything is read, if the files that the platform lacks exceed the limit.

    `missing` returns the fact that is missing if it is not known what the platform has.
    """
    total, named = _above_limit(settings, sizes, limit)
    if named and source is not None and (fact := missing()) is not None:
        _refuse_large(
            settings,
            total,
            [(path, size, "not known to be on the platform") for path, size in named],
            list(fact.hints),
            limit,
            why=fact.sentence,
        )
    if named:
        _refuse_large(
            settings,
            total,
            [(path, size, "not on the platform" if source is not None else "and no platform") for path, size in named],
            [
                "git push, so that the platform serves it"
                if source is not None
                else "git remote add origin URL, push there, then: git coderepo register"
            ],
            limit,
        )


def refuse_together(
    settings: Settings, sizes: Sequence[tuple[bytes, int]], word: str, *, toplevel: bytes, limit: str = "overlayLimit"
) -> None:
    """Raise TooLarge if the checkout and its submodules together exceed the limit of the outermost one.

    `sizes` has the paths from the checkout's root, which is at `toplevel`; `word` says what is wrong with them.
    """
    total, named = _above_limit(settings.outermost, sizes, limit)
    if named:
        most = shown_size(settings.outermost.size(limit))
        heaviest = named[0][0]
        raise TooLarge(
            f"{shown_size(total)} of changes would be stored with the run, more than the limit of {most}: "
            + ", ".join(f"'{os.fsdecode(path)}' {shown_size(size)} {word}" for path, size in named),
            hints=[
                f"commit and push '{os.fsdecode(heaviest)}', or exclude it if it is untracked: "
                f"{ignore_command(heaviest, toplevel)}"
                if word == "changed"
                else "git push, so that the platform serves it",
                f"or raise the limit: git config coderepo.{limit} {-(-total >> 20)}m",
            ],
            waived_as="too-large",
        )


def _above_limit(
    settings: Settings, sizes: Sequence[tuple[bytes, int]], limit: str
) -> tuple[int, list[tuple[bytes, int]]]:
    """Return (all bytes, the largest folders); no folder if the limit is not exceeded."""
    total = sum(size for _, size in sizes)
    return total, largest_folders(sizes) if total > settings.size(limit) else []


def _refuse_large(
    settings: Settings,
    total: int,
    named: Sequence[tuple[bytes, int, str]],
    remedies: Sequence[str],
    limit: str,
    *,
    why: str = "",
) -> None:
    most = shown_size(settings.size(limit))
    raise NotReproducible(
        f"{shown_size(total)} of changes would be stored with the run, more than the limit of {most}: "
        + ", ".join(f"'{os.fsdecode(path)}' {shown_size(size)} {word}" for path, size, word in named)
        + (why and f"; {why}"),
        hints=[*remedies, f"or raise the limit: git config coderepo.{limit} {-(-total >> 20)}m"],
        waived_as="too-large",
    )


def largest_folders(
    sizes: Iterable[tuple[bytes, int]], *, below: bytes = b"", count: int = 3
) -> list[tuple[bytes, int]]:
    """Return (path, bytes) of the largest folders and files in the folder `below`, b"" or ending in `/`.

    A folder's path ends in `/`.
    """
    totals: dict[bytes, int] = {}
    for path, size in sizes:
        if path.startswith(below):
            first, slash, _ = path[len(below) :].partition(b"/")
            totals[below + first + slash] = totals.get(below + first + slash, 0) + size
    return sorted(totals.items(), key=lambda item: -item[1])[:count]


def shown_size(size: int) -> str:
    """Return a number of bytes for people: `17 bytes`, `3.4 MiB`."""
    if size < 1024:
        return f"{size} bytes" if size != 1 else "1 byte"
    for unit, scale in (("KiB", 1 << 10), ("MiB", 1 << 20)):
        if size < scale << 10:
            return f"{size / scale:.1f} {unit}"
    return f"{size / (1 << 30):.1f} GiB"
