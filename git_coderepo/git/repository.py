"""Where a checkout's parts lie, asked of git once; no path is ever joined to `.git` by guess."""

from __future__ import annotations

import os

from git_coderepo.errors import NotACheckout, NotReproducible
from git_coderepo.git.objects import ObjectId, hasher
from git_coderepo.git.process import shell_word, shown
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from git_coderepo.git.process import Git, Process

_FACTS = ("--is-bare-repository", "--is-inside-work-tree", "--is-shallow-repository", "--show-object-format")
_PATHS = (
    ("--git-dir",), ("--git-common-dir",), ("--show-prefix",), ("--git-path", "index"), ("--git-path", "objects"),
    ("--show-toplevel",),
)  # fmt: skip
_ABSOLUTE = "--path-format=absolute"
# Where the paths end: one of them may hold a newline.
_END = "--show-object-format"
_HEAD = ("HEAD", "HEAD^{tree}")
# git stops at `--show-toplevel` in a bare repository and at `HEAD` on an unborn branch, with all before it printed.
_ARGUMENTS = ("rev-parse", *_FACTS, _ABSOLUTE, *(word for words in _PATHS for word in words), _END, *_HEAD)


# Where runs, overlays and objects are kept in the place of `.git/coderepo`.
RECORD_DIRECTORY = "CODEREPO_RECORD_DIR"


class Layout(Value):
    """A checkout's directories (absolute, raw bytes) and the facts that never change while a command runs.

    `prefix` is where git was started below `toplevel`, b"" or ending in `/`. `head` and `head_tree` are None on an
    unborn branch. `others` are the ids, in hex, of the references that were asked for beside it, as far as known.
    What this program keeps lies in `own`, a worktree's last run in `own_here`; the environment may name another place.
    `is_inside` is whether git sees the directory it was started in inside the work tree; see `stand_inside`.
    """

    toplevel: bytes
    prefix: bytes
    git_dir: bytes
    common_dir: bytes
    index: bytes
    objects: bytes
    object_format: str
    shallow: bool
    head: ObjectId | None
    head_tree: ObjectId | None
    others: frozenset[bytes]
    is_inside: bool
    own: bytes
    own_here: bytes


def own_elsewhere(directory: bytes, common_dir: bytes) -> bytes:
    """Return where a repository's record lies below a directory that several repositories may share."""
    digest = hasher("sha256")
    digest.update(common_dir)
    return os.path.abspath(directory) + b"/" + digest.hexdigest()[:16].encode()


def checkout_directory(git: Git) -> str:
    """The root of the work tree that `git` stands in. Raises NotACheckout, GitFailed."""
    return git.line("rev-parse", "--show-toplevel")


def branch_of_head(git: Git) -> str | None:
    """Return the branch that HEAD is on, `topic/x`; None on a detached HEAD."""
    found = git.start("symbolic-ref", "--quiet", "HEAD").finish().stdout.removesuffix(b"\n")
    return os.fsdecode(found).removeprefix("refs/heads/") or None


def start_layout(git: Git, others: Sequence[str] = ()) -> Process:
    """The question; `others` are references as git-rev-parse(1) takes them, `--remotes=origin`."""
    return git.start(*_ARGUMENTS, *others)


def read_layout(process: Process, git: Git, *, bare_allowed: bool = False) -> Layout:
    """The answer; raises NotACheckout outside a work tree, with git's own words where git refuses.

    With `bare_allowed` a repository without a work tree will do; its `toplevel` is then its own directory.
    """
    process.finish()
    lines = process.stdout.split(b"\n")[:-1]
    if len(lines) < len(_FACTS):
        raise process.failure()
    bare, inside, shallow, object_format = (line.decode() for line in lines[: len(_FACTS)])
    # A work tree that GIT_WORK_TREE names has a root also for whoever stands outside of it.
    has_root = inside == "true" or (bare != "true" and len(lines) >= len(_FACTS) + len(_PATHS))
    if not has_root and not bare_allowed:
        if bare != "true":
            raise process.failure()
        raise NotACheckout(
            "this is a bare repository: it has no work tree",
            hints=["for a commit as it is: git coderepo snapshot REV"],
        )
    questions = _PATHS if has_root else _PATHS[:-1]
    end = len(_FACTS) + len(questions)
    paths, ids = lines[len(_FACTS) : end], lines[end + 1 :]
    if lines[end : end + 1] != ([object_format.encode()] if has_root else []) or (
        not all(map(_is_id, ids)) if process.status == 0 else len(ids) > 1
    ):
        # A directory's name holds a newline: ask for each one alone.
        paths = [git.run("rev-parse", _ABSOLUTE, *words).removesuffix(b"\n") for words in questions]
        ids = git.run("rev-parse", *_HEAD).split() if process.status == 0 else []
    if not has_root:
        paths = [*paths, paths[0]]
        ids = git.start("rev-parse", *_HEAD).finish().stdout.split()
    git_dir, common_dir, prefix, index, objects, toplevel = paths
    is_born = len(ids) >= 2 and b"HEAD" not in ids
    head, head_tree = (ObjectId(id.decode()) for id in ids[:2]) if is_born else (None, None)
    own, own_here = _own_directories(git_dir, common_dir, git.environment.get(RECORD_DIRECTORY))
    return Layout(
        toplevel=toplevel,
        prefix=prefix,
        git_dir=git_dir,
        common_dir=common_dir,
        index=index,
        objects=objects,
        object_format=object_format,
        shallow=shallow == "true",
        head=head,
        head_tree=head_tree,
        others=frozenset(ids[2:]),
        is_inside=inside == "true",
        own=own,
        own_here=own_here,
    )


def _own_directories(git_dir: bytes, common_dir: bytes, elsewhere: str | None) -> tuple[bytes, bytes]:
    """Return `own` and `own_here` of a layout; `elsewhere` is the directory that the environment names."""
    if not elsewhere:
        return common_dir + b"/coderepo", git_dir + b"/coderepo"
    own = own_elsewhere(os.fsencode(elsewhere), common_dir)
    return own, own if git_dir == common_dir else own + b"/worktrees/" + os.path.basename(git_dir)


def stand_inside(layout: Layout, git: Git) -> Layout:
    """Check that the directory `git` stands in belongs to the work tree; return the layout, with its `prefix`.

    `core.worktree` (in a copied submodule, or shared by the worktrees of one) and GIT_WORK_TREE can lead elsewhere, and
    GIT_DIR alone makes git take any directory for the root. Directories are compared by device and inode, as a bind
    mount has another path. Raises NotReproducible, which names both places.
    """
    environment = git.environment
    named = "GIT_DIR" in environment or "GIT_WORK_TREE" in environment
    if layout.is_inside and not named:
        return layout  # git found the repository by walking up from here
    here = os.path.realpath(os.fsencode(git.directory if git.directory is not None else os.curdir))
    if not layout.is_inside:
        prefix = _below(here, layout.toplevel)
        if prefix is None:
            _refuse_outside(here, layout, environment)
        layout = layout.replace(prefix=prefix)
    root = _nearest_repository(here) if named else None
    if root is None or _leads_to(root + b"/.git", layout.git_dir):
        # Git takes a subdirectory for the root where GIT_DIR is set and GIT_WORK_TREE is not.
        if root is None or "GIT_WORK_TREE" in environment or not _is_above(root, layout.toplevel):
            return layout
    elif "GIT_WORK_TREE" in environment and _is_above(root, layout.toplevel):
        return layout  # a work tree that was named on purpose, and lies in some other checkout
    raise NotReproducible(
        f"'{os.fsdecode(here)}' belongs to the checkout '{os.fsdecode(root)}', and the environment makes Git use the "
        f"work tree '{os.fsdecode(layout.toplevel)}' of '{os.fsdecode(layout.git_dir)}'",
        hints=["unset GIT_DIR GIT_WORK_TREE"],
    )


def pinned(git: Git, layout: Layout) -> Git:
    """Return a git that also finds this repository from the root of the work tree.

    A root without a `.git` of this repository, as `core.worktree` allows, can lie in another repository.
    """
    own = layout.toplevel + b"/.git"
    if layout.git_dir in (own, layout.toplevel) or "GIT_DIR" in git.environment or _leads_to(own, layout.git_dir):
        return git
    return git.with_environment(GIT_DIR=os.fsdecode(layout.git_dir), GIT_WORK_TREE=os.fsdecode(layout.toplevel))


def _refuse_outside(here: bytes, layout: Layout, environment: Mapping[str, str]) -> NoReturn:
    toplevel = os.fsdecode(layout.toplevel)
    hints = [f"cd {shell_word(toplevel)}"] if os.path.exists(layout.toplevel + b"/.git") else []
    root = _nearest_repository(here)
    if "GIT_WORK_TREE" in environment:
        hints.append("unset GIT_DIR GIT_WORK_TREE")
    elif root is not None:
        hints.append(f"{shown(['git', b'--work-tree=' + root, 'coderepo'])} run …")
    raise NotReproducible(
        f"'{os.fsdecode(here)}' is outside the work tree '{toplevel}' that Git reports for it", hints=hints
    )


def _below(place: bytes, root: bytes) -> bytes | None:
    """Return the path of `place` below `root`, b"" or ending in `/`; None where it lies elsewhere."""
    try:
        wanted = os.stat(root)
    except OSError:
        return None
    prefix = b""
    while True:
        try:
            if os.path.samestat(os.stat(place), wanted):
                return prefix
        except OSError:
            return None
        above, _, name = place.rpartition(b"/")
        if not name:
            return None
        place, prefix = above or b"/", name + b"/" + prefix


def _is_above(root: bytes, place: bytes) -> bool:
    """Return whether `place` lies below `root`, and is not `root` itself."""
    return bool(_below(os.path.realpath(place), root))


def _nearest_repository(place: bytes) -> bytes | None:
    """Return the nearest directory, from `place` upwards, whose `.git` is one that Git would use."""
    while True:
        found = place.rstrip(b"/") + b"/.git"
        if os.path.isfile(found) or all(os.path.exists(found + name) for name in (b"/HEAD", b"/objects", b"/refs")):
            return place
        if place == b"/":
            return None
        place = os.path.dirname(place)


def _leads_to(dot_git: bytes, git_dir: bytes) -> bool:
    """Return whether a `.git` is this directory, or a file that leads there (gitrepository-layout(5))."""
    try:
        if os.path.isfile(dot_git):
            with open(dot_git, "rb") as file:
                link = file.read(1 << 16).rstrip(b"\r\n").removeprefix(b"gitdir: ")
            dot_git = os.path.join(os.path.dirname(dot_git), link)
        return os.path.samefile(dot_git, git_dir)
    except (OSError, ValueError):
        return False


def _is_id(line: bytes) -> bool:
    return len(line) in (40, 64) and not line.strip(b"0123456789abcdef")
