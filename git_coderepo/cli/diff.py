"""`git coderepo diff RUN [RUN|.]`: what changed in the code, through git's own diff."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.show import RUN_HELP

if TYPE_CHECKING:
    from git_coderepo.checkout.store import Store
    from git_coderepo.git import Git
    from git_coderepo.objects import ObjectId

_FOR_GIT = "git_coderepo.diff"


class DiffVerb(Verb):
    """What stands after the first `--` is git's, with a second `--` in it if there is one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ours, _, rest = _parted(args)
        ctx.meta[_FOR_GIT] = rest
        return super().parse_args(ctx, ours)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- <git diff options>]"]


@app.command(cls=DiffVerb)
def diff(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    other: Annotated[
        str, typer.Argument(metavar="[RUN]", help="Another run, or . for the checkout as it is now.")
    ] = ".",
) -> None:
    """Show what changed in the code since a run, or between two.

    It is git's own diff of the two trees, with the user's pager, colours and drivers; what stands after -- is for it:
    `git coderepo diff @{-2} @{-1} -- --stat -- src/`.
    """
    from git_coderepo.checkout.layout import read_layout, start_layout
    from git_coderepo.checkout.store import Store
    from git_coderepo.git import Git

    git = Git()
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    store = Store(layout)
    store.prepare()
    scope = scope_of_run(run, git)
    trees = [tree_of(word, git, store, scope) for word in (run, other)]
    arguments = ["git", "diff", *(tree.hex for tree in trees), *context.meta[_FOR_GIT]]
    sys.stdout.flush()
    # git takes our place: its pager, its status and its answer to ^C are the user's.
    os.execvpe("git", arguments, {**os.environ, "GIT_ALTERNATE_OBJECT_DIRECTORIES": alternates(store)})  # noqa: S606


def scope_of_run(word: str, git: Git) -> tuple[bytes, ...]:
    """What alone a run looked at; nothing where that was everything."""
    from git_coderepo.record.history import named_run

    return (() if word == "." else named_run(word, git).manifest.code.scope) or ()


def tree_of(word: str, git: Git, store: Store, scope: tuple[bytes, ...]) -> ObjectId:
    """The tree of a run, or of `scope` in the checkout for `.`, with its objects at hand."""
    from git_coderepo.errors import CodeRepoError
    from git_coderepo.record.history import named_run
    from git_coderepo.record.keep import find_overlay
    from git_coderepo.record.snapshot import Request, Snapshot, take_snapshot
    from git_coderepo.runner.local import restore_tree

    if word == ".":
        snapshot = Snapshot(git)
        try:
            root = git.line("rev-parse", "--show-toplevel")
            take_snapshot(git, Request(scope=[os.path.join(os.fsencode(root), path) for path in scope]), into=snapshot)
        except CodeRepoError:
            if snapshot.tree is None:
                raise  # else it could not be sent to a runner, which is no matter here
        assert snapshot.tree is not None
        return snapshot.tree
    found = named_run(word, git)
    overlay = found.manifest.code.overlay
    data = overlay.data if overlay is not None else None
    if overlay is not None and data is None:
        beside = find_overlay(overlay.sha256, found.folder, git)
        data = beside[0] if beside is not None else None
    restore_tree(found.manifest, data, store.git(git))
    return found.manifest.code.snapshot_tree


def alternates(store: Store) -> str:
    """The value with which git finds our objects beside the user's."""
    from git_coderepo.checkout.store import quoted_path

    ours = os.fsdecode(quoted_path(store.objects))
    inherited = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    return f"{ours}:{inherited}" if inherited else ours


def _parted(args: list[str]) -> tuple[list[str], list[str], list[str]]:
    at = args.index("--") if "--" in args else len(args)
    return args[:at], args[at : at + 1], args[at + 1 :]
