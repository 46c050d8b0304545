"""`git coderepo diff RUN [RUN|.]`: compare the code of runs with `git diff`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.history.show import RUN_HELP
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.errors import UsageError
from git_coderepo.fetching.sources.local import Here
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.git.repository import read_layout, start_layout
from git_coderepo.git.store import Store
from git_coderepo.manifest.writer import path_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from git_coderepo.fetching.sources.local import Here
    from git_coderepo.git.process import Git
    from git_coderepo.manifest.model import Code, Repository

_FOR_GIT = "git_coderepo.diff"


class DiffVerb(Verb):
    """`diff`, which passes all arguments after the first `--` on to git, including a second `--`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ours, _, rest = _split(args)
        ctx.meta[_FOR_GIT] = rest
        return super().parse_args(ctx, ours)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- <git diff options>]"]


@app.command(cls=DiffVerb)
def diff(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP + ".")],
    other: Annotated[str, typer.Argument(metavar="[RUN]", help="Another run, or . for the checkout (default).")] = ".",
    as_json: Json = None,
) -> None:
    """Show code changes since a run, or between two runs.

    This runs `git diff` on the two trees, with the files of submodules in place and with your pager, colours and diff
    drivers. Arguments after -- are passed on to it:
    `git coderepo diff @{-2} @{-1} -- --stat -- src/`.
    """
    git = Git()
    layout = read_layout(start_layout(git), git, bare_allowed=True)
    here = Here(git, layout, Store(layout))
    here.store.prepare()
    scope = scope_of_run(run, git)
    sides = [Side.of(word, here, scope) for word in (run, other)]
    whole = any(len(side.parts) > 1 for side in sides)
    trees = [side.whole(here) if whole else side.parts[0][1] for side in sides]
    stores = [here.store.objects, *(objects for side in sides for objects in side.objects)]
    words = context.meta[_FOR_GIT]
    if as_json:
        if words and words[0] != "--":
            raise UsageError(
                "--json and options of git diff are mutually exclusive",
                hints=["git coderepo diff --json RUN -- -- PATH"],
            )
        reading = git.with_environment(GIT_ALTERNATE_OBJECT_DIRECTORIES=alternates(stores))
        print_json(changed_files(reading, trees, words), as_json)
        return
    arguments = ["git", "diff", *(tree.hex for tree in trees), *words]
    sys.stdout.flush()
    # Replace this process by git, so that its pager, its exit status and ^C work as usual.
    os.execvpe("git", arguments, {**os.environ, "GIT_ALTERNATE_OBJECT_DIRECTORIES": alternates(stores)})  # noqa: S606


_STATUS = {"A": "added", "D": "deleted", "M": "modified", "T": "type-changed"}
_NO_FILE = "000000"


def changed_files(git: Git, trees: Sequence[ObjectId], paths: Sequence[str]) -> list[dict[str, object]]:
    """Return the files that differ between two trees as JSON values."""
    hexes = [tree.hex for tree in trees]
    raw = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", *hexes, *paths).split(b"\0")
    numbers = git.run("diff-tree", "-r", "-z", "--numstat", "--no-renames", *hexes, *paths).split(b"\0")
    lines = {path: (added, removed) for added, removed, path in (each.split(b"\t", 2) for each in numbers if each)}
    found: list[dict[str, object]] = []
    for entry, path in zip(raw[::2], raw[1::2], strict=False):
        old, new, _, _, status = entry.decode().removeprefix(":").split(" ")
        added, removed = lines.get(path, (b"-", b"-"))
        found.append(
            {
                "path": path_value(path),
                "status": _STATUS.get(status, status),
                "oldMode": None if old == _NO_FILE else old,
                "newMode": None if new == _NO_FILE else new,
                "additions": None if added == b"-" else int(added),
                "deletions": None if removed == b"-" else int(removed),
            }
        )
    return found


def scope_of_run(word: str, git: Git) -> tuple[bytes, ...]:
    """Return the paths to which a run was limited, or nothing."""
    from git_coderepo.runs.find import find_run

    return (() if word == "." else find_run(word, git).named.manifest.code.scope) or ()


class Side:
    """One side of the comparison.

    `parts` are pairs (raw path, tree): the code, with an empty path, and each submodule that was recorded with a work
    tree. Their objects are in our own store, in the repository, or in `objects`, the object directories of submodules.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[bytes, ObjectId]] = []
        self.objects: list[bytes] = []

    @classmethod
    def of(cls, word: str, here: Here, scope: tuple[bytes, ...]) -> Side:
        """Return the side for a run, or for `.` the checkout limited to `scope`.

        Raises the errors of resolving a run, of fetching its tree and of taking a snapshot.
        """
        from git_coderepo.errors import CodeRepoError
        from git_coderepo.fetching.sources.local import is_complete
        from git_coderepo.runs.find import find_run
        from git_coderepo.snapshots.pipeline import take_snapshot
        from git_coderepo.snapshots.snapshot import Reached, Request, SnapshotTree, Unpacked
        from git_coderepo.snapshots.submodules import snapshots_in
        from git_coderepo.stores.published_runs import PublishedRun, bring_tree

        side = cls()
        if word == ".":
            reached = Reached()
            root = here.layout.toplevel
            try:
                take_snapshot(here.git, Request(scope=[os.path.join(root, path) for path in scope]), reached=reached)
            except CodeRepoError:
                if reached.of(SnapshotTree) is None:
                    raise  # with a tree, only the recording failed, and the tree can be compared
            tree, unpacked = reached.of(SnapshotTree), reached.of(Unpacked)
            side.parts += [(b"", tree.id)] if tree is not None else []
            for place, each in snapshots_in(unpacked) if unpacked is not None else ():
                side.parts.append((place.rstrip(b"/"), each.tree))
                side.objects.append(each.layout.objects)
            return side
        any_run = find_run(word, here.git)
        found = any_run.named
        if any_run.platform is not None and any_run.commit is not None:
            store = here.store.git(here.git)
            if not is_complete(store, found.manifest.code.snapshot_tree):
                bring_tree(any_run.platform, PublishedRun(found.manifest, any_run.commit), store)
        side._add(found.manifest.code, found.manifest.repository, b"", here, found.folder, run=found.manifest.run.id)
        return side

    def _add(
        self, code: Code, repository: Repository | None, path: bytes, here: Here, folder: bytes | None, *, run: str
    ) -> None:
        from git_coderepo.fetching.sources.local import restore_tree
        from git_coderepo.git.store import find_overlay

        overlay = code.overlay
        data = overlay.data if overlay is not None else None
        if overlay is not None and data is None:
            beside = find_overlay(overlay.sha256, overlay.size, folder, here.git)
            data = beside[0] if beside is not None else None
        restore_tree(code, repository, data, here.git, here.store, run=run, notify=output.say)
        self.parts.append((path, code.snapshot_tree))
        self.objects += [here.layout.objects] if path else []
        for each in code.submodules:
            if each.code is not None:
                inside = here.submodule(each.path)
                inner = path + b"/" + each.path if path else each.path
                # Without a work tree, our own store can still have all of its objects.
                self._add(each.code, each.repository, inner, inside or here, folder, run=run)

    def whole(self, here: Here) -> ObjectId:
        """Return one tree of all parts, with the files of submodules in place of their gitlinks."""
        from git_coderepo.filesystem.scratch import scratch_directory

        with scratch_directory() as scratch:
            git = here.store.git(here.git).with_environment(
                GIT_INDEX_FILE=os.path.join(scratch, "index"),
                GIT_ALTERNATE_OBJECT_DIRECTORIES=alternates([here.layout.objects, *self.objects]),
            )
            (_, root), *inside = self.parts
            git.run("read-tree", root.hex)
            for path, tree in inside:
                git.run("update-index", "-z", "--force-remove", "--stdin", stdin=path + b"\0")
                git.run("read-tree", b"--prefix=" + path + b"/", tree.hex)
            return ObjectId(git.line("write-tree"))


def alternates(directories: Iterable[bytes]) -> str:
    """Return the value of GIT_ALTERNATE_OBJECT_DIRECTORIES that adds these directories to the user's own value."""
    from git_coderepo.git.store import quoted_path

    found = [os.fsdecode(quoted_path(each)) for each in dict.fromkeys(directories)]
    inherited = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    return ":".join([*found, inherited] if inherited else found)


def _split(args: list[str]) -> tuple[list[str], list[str], list[str]]:
    at = args.index("--") if "--" in args else len(args)
    return args[:at], args[at : at + 1], args[at + 1 :]
