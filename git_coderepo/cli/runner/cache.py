"""`git coderepo cache list|prune`: manage the local tree cache."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Group, Verb, app, usage
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.plural import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.fetching.cache.location import OldPart
    from git_coderepo.fetching.cache.tree_cache import Cache, Evicted, Kept

cache = typer.Typer(name="cache", cls=Group, rich_markup_mode=None)
app.add_typer(cache)


@cache.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Manage the local tree cache."""
    if context.invoked_subcommand is None:
        usage(context)


@cache.command("list", cls=Verb)
def list_(as_json: Json = None) -> None:
    """List the cached trees, most recently used first.

    Modified trees are listed with their paths. They are kept for 30 days and never used again.
    """
    here, old = _cache()
    found = here.kept() if here is not None else []
    if as_json:
        print_json([*(_document(tree) for tree in found), *(_old_document(part) for part in old)], as_json)
    else:
        show(found, old)


@cache.command("prune", cls=Verb)
def prune(
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="SIZE", help="Shrink the cache to SIZE: 500m, 20g.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Remove trees unused for AGE: 12h, 7d, 2w, 1y.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only print what would be removed.")] = False,
    as_json: Json = None,
) -> None:
    """Remove cached trees, least recently used first.

    Modified trees and the caches of older releases are removed too; with --older-than only if they are older than AGE.
    Trees in use are kept.
    """
    from git_coderepo.fetching.cache.tree_cache import Evicted, prune_cache
    from git_coderepo.git.dates import required_age
    from git_coderepo.settings import size_of

    size = None if max_size is None else size_of(max_size, "--max-size")
    age = None if older_than is None else required_age(older_than)
    here, old = _cache()
    now = time.time()
    pruned = Evicted((), ())
    if here is not None:
        pruned = prune_cache(here, max_size=size, older_than=age, dry_run=dry_run, now=now)
    aged = [part for part in old if age is None or now - part.used > age]
    removed = [part for part in aged if dry_run or part.remove()]
    if as_json:
        print_json(pruned_document(pruned, removed, dry_run=dry_run), as_json)
        return
    if pruned.gone or pruned.in_use or not removed:
        show_pruned(pruned, dry_run=dry_run)
    for part in removed:
        show_removed(part, dry_run=dry_run)


def _cache() -> tuple[Cache | None, list[OldPart]]:
    """Return the cache, or None if there is none, and the caches of older releases."""
    from git_coderepo.fetching.cache.cached_fetch import known_cache
    from git_coderepo.fetching.cache.location import old_parts
    from git_coderepo.git.process import Git
    from git_coderepo.settings import runner_settings

    settings = runner_settings(Git())
    return known_cache(settings, notify=output.say), old_parts(settings)


def show_removed(part: OldPart, *, dry_run: bool) -> None:
    """Print that the cache of an older release was or would be removed."""
    from git_coderepo.snapshots.size_limits import shown_size

    word = "would remove" if dry_run else "removed"
    output.line(f"{word} the cache of an older release, {shown_size(part.size)}: {part.directory}")


def _old_document(part: OldPart) -> dict[str, object]:
    used = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(part.used))
    return {
        "key": part.name,
        "directory": part.directory,
        "size": part.size,
        "usedOn": used,
        "good": False,
        "kind": "old",
    }


def pruned_document(pruned: Evicted, old: Sequence[OldPart], *, dry_run: bool) -> dict[str, object]:
    """Return what was or would be removed as JSON values."""
    return {
        "removed": [_removed(each) for each in (*map(_document, pruned.gone), *map(_old_document, old))],
        "inUse": [tree.key for tree in pruned.in_use],
        "size": sum(tree.size for tree in pruned.gone) + sum(part.size for part in old),
        "dryRun": dry_run,
    }


def _removed(document: dict[str, object]) -> dict[str, object]:
    return {key: document[key] for key in ("key", "directory", "size")}


def _document(tree: Kept) -> dict[str, object]:
    used = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(tree.used))
    return {
        "key": tree.key,
        "directory": tree.directory,
        "size": tree.size,
        "usedOn": used,
        "good": tree.kind == "tree",
        "kind": tree.kind,
    }


_NOTES = {"modified": "modified, kept", "copy": "copy for one command, kept"}


def show(found: list[Kept], old: Sequence[OldPart] = ()) -> None:
    """Print a line for each tree, and their total size."""
    from git_coderepo.snapshots.size_limits import shown_size

    for tree in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(tree.used))
        line = f"{tree.key}  {shown_size(tree.size):>10}"
        if tree.kind == "tree":
            output.line(f"{line}  used {used}")
            continue
        days = max(0, int((time.time() - tree.used) // 86400))
        output.line(f"{line}  {_NOTES[tree.kind]} since {used} ({count(days, 'day')}): {tree.directory}/tree")
    for part in old:
        output.line(f"cache of an older release, {shown_size(part.size)}: {part.directory} (cache prune removes it)")
    output.line(f"{count(len(found), 'tree')}, {shown_size(sum(tree.size for tree in found))}")


def show_pruned(pruned: Evicted, *, dry_run: bool) -> None:
    """Print what was or would be removed."""
    from git_coderepo.snapshots.size_limits import shown_size

    for tree in pruned.in_use:
        output.say(f"kept, in use: {tree.key}")
    if not pruned.gone:
        output.line("nothing to remove")
        return
    if dry_run:
        for tree in pruned.gone:
            output.line(f"tree {tree.key}")
    size = shown_size(sum(tree.size for tree in pruned.gone))
    output.line(f"{'would remove' if dry_run else 'removed'} {count(len(pruned.gone), 'tree')}, {size}")
