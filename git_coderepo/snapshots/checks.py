"""What stops a run before it starts, each with its reason and the line that cures it; and what is left out by rule."""

from __future__ import annotations

import os

from git_coderepo.errors import NotReproducible, TooLarge, UnsafeTree
from git_coderepo.git.objects import SYMLINK
from git_coderepo.git.process import git_word, path_word, read_blobs
from git_coderepo.snapshots.overlay import largest_folders
from git_coderepo.snapshots.secret_scan import Scan, excluded, secret_by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from git_coderepo.errors import ObjectMissing
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout
    from git_coderepo.git.status import Change
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.settings import Settings
    from git_coderepo.snapshots.find_base import MissingFact
    from git_coderepo.snapshots.snapshot import Snapshot
    from git_coderepo.snapshots.tree.worktree_stat import Found

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md#the-pointer
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def screened(
    changes: Sequence[Change], settings: Settings, omitted: list[tuple[bytes, str]], toplevel: bytes
) -> list[Change]:
    """The changes that belong to the snapshot of the checkout at `toplevel`.

    What is left out is added to `omitted` with its reason.
    """
    rule = settings.choice("untracked")
    is_excluded = exclusion(settings)
    wanted = []
    staged = any(change.index not in ".?" for change in changes)
    for change in changes:
        if change.untracked:
            left_out = is_excluded(change.path)
            if rule == "refuse" and not left_out:
                from git_coderepo.git.process import ignore_command

                raise NotReproducible(
                    f"'{os.fsdecode(change.path)}' is untracked, and 'coderepo.untracked' is 'refuse'",
                    hints=[
                        f"{git_word(toplevel)} add -- {path_word(change.path, toplevel)}",
                        f"or leave it out: {ignore_command(change.path, toplevel)}",
                    ],
                )
            reason = (
                "untracked-ignored-by-setting"
                if rule == "ignore"
                else "secret-name"
                if secret_by_name(change.path)
                else "excluded"
                if left_out
                else "repository-inside"
                if change.path.endswith(b"/")
                else None
            )
            if reason is not None:
                omitted.append((change.path.rstrip(b"/"), reason))
                continue
        if change.is_repository:
            omitted.append((change.path, "repository-inside"))  # the file that was there is gone
        if change.worktree != ".":
            wanted.append(change)
    # What is left out makes nothing dirty: the tree is HEAD's all the same.
    if (wanted or staged) and settings.choice("dirty") == "refuse":
        raise NotReproducible("the checkout is dirty, and 'coderepo.dirty' is 'refuse'", hints=["git commit"])
    return wanted


def exclusion(settings: Settings) -> Callable[[bytes], bool]:
    """Whether `coderepo.exclude` names a raw path, here or, from its own root, in a superproject."""
    patterns = settings.texts("exclude")
    outer = exclusion(settings.outer) if settings.outer is not None else None
    inside = settings.path + b"/"

    def is_excluded(path: bytes) -> bool:
        return bool(patterns and excluded(path, patterns)) or (outer is not None and outer(inside + path))

    return is_excluded


def included(layout: Layout, include: Sequence[bytes], submodules: Sequence[bytes] = ()) -> list[Change]:
    """The ignored paths that were asked for by name, folders with all they hold; not those in a submodule."""
    from git_coderepo.git.status import Change as Row

    found = []
    for path in include:
        absolute = os.path.normpath(os.path.join(layout.toplevel, layout.prefix, path))
        below = os.path.relpath(absolute, layout.toplevel)
        if below == b".." or below.startswith(b"../"):
            raise NotReproducible(f"'{os.fsdecode(path)}' is outside of the checkout")
        if not os.path.lexists(absolute):
            raise NotReproducible(f"'{os.fsdecode(path)}' does not exist")
        if any(below == each or below.startswith(each + b"/") for each in submodules):
            continue  # it goes with the submodule
        if os.path.islink(absolute) or not os.path.isdir(absolute):
            found.append(Row(below, "?", "?", False))
            continue
        for folder, below_it, files in os.walk(absolute):
            links = [name for name in below_it if os.path.islink(os.path.join(folder, name))]
            paths = (os.path.relpath(os.path.join(folder, name), layout.toplevel) for name in files + links)
            found += [Row(path, "?", "?", False) for path in paths]
    return found


def refuse_changed(
    settings: Settings,
    found: Found,
    is_tracked: Callable[[bytes], bool],
    *,
    limit: str = "overlayLimit",
) -> None:
    """Stop before anything is read where what changed here is above the limit, `overlayLimit` or `publishLimit`.

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
    from git_coderepo.git.process import ignore_command

    heaviest = named[0][0]
    # `ignore` does nothing for what git tracks: only a folder without any such is worth naming.
    while heaviest.endswith(b"/") and (word(heaviest) != "untracked" or is_tracked(heaviest)):
        heaviest = largest_folders(sizes, below=heaviest, count=1)[0][0]
    ignorable = heaviest in untracked or heaviest.endswith(b"/")
    _refuse_large(
        settings,
        total,
        [(path, size, word(path)) for path, size in named],
        [
            f"leave it out: {ignore_command(heaviest, found.toplevel)}"
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
    """Stop before anything is read where what the platform does not have is above the limit.

    `missing` is asked which fact is missing where it is not known what the platform has.
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
    """Stop where what would travel of the checkout and its submodules is together above the outermost one's limit.

    `sizes` has the paths from the checkout's root, which is at `toplevel`; `word` says what is wrong with them. Raises
    TooLarge.
    """
    total, named = _above_limit(settings.outermost, sizes, limit)
    if named:
        from git_coderepo.git.process import ignore_command

        most = shown_size(settings.outermost.size(limit))
        heaviest = named[0][0]
        raise TooLarge(
            f"{shown_size(total)} would travel with the run, more than the limit of {most}: "
            + ", ".join(f"'{os.fsdecode(path)}' {shown_size(size)} {word}" for path, size in named),
            hints=[
                f"commit and push '{os.fsdecode(heaviest)}', or leave it out where it is untracked: "
                f"{ignore_command(heaviest, toplevel)}"
                if word == "changed"
                else "git push, so that the platform serves it",
                f"or raise the limit: git config coderepo.{limit} {-(-total >> 20)}m",
            ],
            waived_as="too-large",
        )


def refuse_large(
    snapshot: Snapshot,
    sizes: Sequence[tuple[bytes, int]],
    word: str,
    alone: Callable[[str], None],
    *,
    publishes: bool,
) -> None:
    """Judge what would travel of a snapshot, (path, bytes), and together with what is known of the others.

    `alone` is called with the name of the limit that holds, and judges the checkout's own. What is too large to
    travel may still be published, where the caller `publishes` it and the settings say so. Raises NotReproducible.
    """
    checkout, settings = snapshot.checkout, snapshot.settings
    toplevel = (checkout.layout.toplevel + b"/").removesuffix(b"/" + checkout.place)
    together = snapshot.weights.setdefault(word, [])
    together += [(checkout.place + path, size) for path, size in sizes]

    def refuse(limit: str) -> None:
        if not checkout.depth:
            alone(limit)
        refuse_together(settings, together, word, toplevel=toplevel, limit=limit)

    try:
        refuse("overlayLimit")
    except NotReproducible as error:
        if not publishes or settings.text("publish") not in ("ask", "auto"):
            raise
        refuse("publishLimit")
        snapshot.oversize = error


def _above_limit(
    settings: Settings, sizes: Sequence[tuple[bytes, int]], limit: str
) -> tuple[int, list[tuple[bytes, int]]]:
    """(all bytes, the heaviest folders); no folder where the limit is kept."""
    total = sum(size for _, size in sizes)
    return total, largest_folders(sizes) if total > settings.size(limit) else []


def _refuse_large(
    settings: Settings,
    total: int,
    named: Sequence[tuple[bytes, int, str]],
    cures: Sequence[str],
    limit: str,
    *,
    why: str = "",
) -> None:
    most = shown_size(settings.size(limit))
    raise NotReproducible(
        f"{shown_size(total)} would travel with the run, more than the limit of {most}: "
        + ", ".join(f"'{os.fsdecode(path)}' {shown_size(size)} {word}" for path, size, word in named)
        + (why and f"; {why}"),
        hints=[*cures, f"or raise the limit: git config coderepo.{limit} {-(-total >> 20)}m"],
        waived_as="too-large",
    )


def refuse_tokens(git: Git, sending: Sequence[Difference], base_tree: ObjectId | None, allowed: Iterable[str]) -> None:
    """Read all that would be sent, file by file, and stop where files hold tokens that the base does not have."""
    scan = Scan(allowed)
    blobs = read_blobs(git, [row.id for row in sending])
    for row, (_, size, source) in zip(sending, blobs, strict=True):
        scan.look(row.path, source.read(size))
    scan.check(git, base_tree)


def absent(sending: Sequence[Difference], error: ObjectMissing) -> NotReproducible:
    """The error for a path of `sending` whose contents this partial clone does not have."""
    path = next((row.path for row in sending if row.id == error.id), None)
    if path is None:
        return error
    return NotReproducible(
        f"'{os.fsdecode(path)}' would travel with the run, and its contents are not in this partial clone",
        hints=error.hints,
    )


# The code points that HFS+ leaves out of a name begin so in UTF-8.
_PASSED_OVER = (b"\xe2\x80", b"\xe2\x81", b"\xef\xbb\xbf")

_GITS_OWN = frozenset((b".gitattributes", b".gitignore", b".gitkeep", b".github", b".gitlab-ci.yml", b".gitmodules"))


def refuse_names(sending: Sequence[Difference]) -> None:
    """Stop at a path that no runner writes: `.git` as some system spells it, which git takes here.

    Only what travels is looked at: the platforms take no such path either.
    """
    names = b"\0".join([row.path for row in sending]).lower()
    if b"git" not in names and not any(mark in names for mark in _PASSED_OVER):
        return
    for row in sending:
        path = row.path.lower()
        if not (b"git" in path or any(mark in path for mark in _PASSED_OVER)):
            continue
        if (
            row.mode != SYMLINK
            and path.isascii()
            and all(b"git" not in part or part in _GITS_OWN for part in path.split(b"/"))
        ):
            continue  # what most checkouts have: the check itself costs the hook the import of `re`
        from git_coderepo.filesystem.paths import check_path

        try:
            check_path(row.path, is_link=row.mode == SYMLINK)
        except UnsafeTree as error:
            raise NotReproducible(
                f"no runner writes such a path: {error.message}", hints=["leave it out: git coderepo ignore PATH"]
            ) from error


def shown_size(size: int) -> str:
    """A number of bytes for people: `17 bytes`, `3.4 MiB`."""
    if size < 1024:
        return f"{size} bytes"
    for unit, scale in (("KiB", 1 << 10), ("MiB", 1 << 20)):
        if size < scale << 10:
            return f"{size / scale:.1f} {unit}"
    return f"{size / (1 << 30):.1f} GiB"
