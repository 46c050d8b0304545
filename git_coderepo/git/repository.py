"""Find the directories of a checkout: one `git rev-parse` reports them all.

Nothing is joined to `.git` by guess: in a linked worktree or a submodule it is a file.
"""

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

    from git_coderepo.errors import CodeRepoError
    from git_coderepo.git.process import Git, Process

_FACTS = ("--is-bare-repository", "--is-inside-work-tree", "--is-shallow-repository", "--show-object-format")
_PATHS = (
    ("--git-dir",), ("--git-common-dir",), ("--show-prefix",), ("--git-path", "index"), ("--git-path", "objects"),
    ("--show-toplevel",),
)  # fmt: skip
_ABSOLUTE = "--path-format=absolute"
# A value that is known already, printed again after the paths: if it is not in its place, a path has a line break.
_END = "--show-object-format"
_HEAD = ("HEAD", "HEAD^{tree}")
# git stops at `--show-toplevel` in a bare repository and at `HEAD` on an unborn branch, after printing the rest.
_ARGUMENTS = ("rev-parse", *_FACTS, _ABSOLUTE, *(word for words in _PATHS for word in words), _END, *_HEAD)

# The environment variable with another directory for what is otherwise in `.git/coderepo`.
RECORD_DIRECTORY = "CODEREPO_RECORD_DIR"


class Layout(Value):
    """A checkout's directories (absolute raw paths) and the facts that do not change while a command runs.

    `prefix` is the directory in which git was started, from `toplevel`: b"" or ending in `/`. `is_inside` says whether
    git considers that directory part of the work tree; see `stand_inside`. `head` and `head_tree` are None on an unborn
    branch. `others` are the ids (hex) of the references that `start_layout` was given. `own` is the directory of this
    program's record and objects, `own_here` that of the worktree's last run.
    """

    toplevel: bytes
    prefix: bytes
    is_inside: bool
    git_dir: bytes
    common_dir: bytes
    index: bytes
    objects: bytes
    object_format: str
    shallow: bool
    head: ObjectId | None
    head_tree: ObjectId | None
    others: frozenset[bytes]
    own: bytes
    own_here: bytes


def own_elsewhere(directory: bytes, common_dir: bytes) -> bytes:
    """Return a repository's directory below one that several repositories share: a digest of `common_dir`."""
    digest = hasher("sha256")
    digest.update(common_dir)
    return os.path.abspath(directory) + b"/" + digest.hexdigest()[:16].encode()


def _own_directories(git: Git, git_dir: bytes, common_dir: bytes) -> tuple[bytes, bytes]:
    """Return (`Layout.own`, `Layout.own_here`)."""
    elsewhere = git.environment.get(RECORD_DIRECTORY)
    if not elsewhere:
        return common_dir + b"/coderepo", git_dir + b"/coderepo"
    own = own_elsewhere(os.fsencode(elsewhere), common_dir)
    return own, own if git_dir == common_dir else own + b"/worktrees/" + os.path.basename(git_dir)


def checkout_directory(git: Git) -> str:
    """Return the root of the work tree in which `git` starts. Raises NotACheckout, GitFailed."""
    return git.line("rev-parse", "--show-toplevel")


def branch_of_head(git: Git) -> str | None:
    """Return the name of the current branch, such as `topic/x`; None on a detached HEAD."""
    name = git.start("symbolic-ref", "--quiet", "HEAD").finish().stdout.removesuffix(b"\n")
    return os.fsdecode(name).removeprefix("refs/heads/") or None


def start_layout(git: Git, others: Sequence[str] = ()) -> Process:
    """Start the command whose output `read_layout` reads.

    `others` are options of git-rev-parse(1) that select more references, such as `--remotes=origin`.
    """
    return git.start(*_ARGUMENTS, *others)


def read_layout(process: Process, git: Git, *, bare_allowed: bool = False) -> Layout:
    """Return the layout that `start_layout` asked for.

    With `bare_allowed` a repository without a work tree is accepted, and `toplevel` is then its git directory. Raises
    NotACheckout outside a work tree, with git's own message, and GitFailed.
    """
    process.finish()
    lines = process.stdout.split(b"\n")[:-1]
    if len(lines) < len(_FACTS):
        raise process.failure()
    bare, inside, shallow, object_format = (line.decode() for line in lines[: len(_FACTS)])
    # With GIT_WORK_TREE, git reports the root of the work tree outside it, too.
    has_root = inside == "true" or (bare != "true" and len(lines) >= len(_FACTS) + len(_PATHS))
    if not has_root and not bare_allowed:
        raise _bare_refusal(process, is_bare=bare == "true")
    paths, ids = _paths_and_ids(process, git, lines, has_root=has_root)
    git_dir, common_dir, prefix, index, objects, toplevel = paths
    is_born = len(ids) >= 2 and b"HEAD" not in ids
    head, head_tree = (ObjectId(id.decode()) for id in ids[:2]) if is_born else (None, None)
    own, own_here = _own_directories(git, git_dir, common_dir)
    return Layout(
        toplevel=toplevel,
        prefix=prefix,
        is_inside=inside == "true",
        git_dir=git_dir,
        common_dir=common_dir,
        index=index,
        objects=objects,
        object_format=object_format,
        shallow=shallow == "true",
        head=head,
        head_tree=head_tree,
        others=frozenset(ids[2:]),
        own=own,
        own_here=own_here,
    )


def _bare_refusal(process: Process, *, is_bare: bool) -> CodeRepoError:
    if not is_bare:
        return process.failure()
    return NotACheckout(
        "this is a bare repository: it has no work tree",
        hints=["for a commit as it is: git coderepo snapshot REV"],
    )


def _paths_and_ids(
    process: Process, git: Git, lines: Sequence[bytes], *, has_root: bool
) -> tuple[list[bytes], list[bytes]]:
    """Return the paths of `_PATHS` and the ids after them, from the lines that `rev-parse` printed."""
    questions = _PATHS if has_root else _PATHS[:-1]
    end = len(_FACTS) + len(questions)
    paths, ids = list(lines[len(_FACTS) : end]), list(lines[end + 1 :])
    if list(lines[end : end + 1]) != ([lines[len(_FACTS) - 1]] if has_root else []) or (
        not all(map(_is_id, ids)) if process.status == 0 else len(ids) > 1
    ):
        # A path has a line break: get each one alone.
        paths = [git.run("rev-parse", _ABSOLUTE, *words).removesuffix(b"\n") for words in questions]
        ids = git.run("rev-parse", *_HEAD).split() if process.status == 0 else []
    if not has_root:
        paths = [*paths, paths[0]]
        ids = git.start("rev-parse", *_HEAD).finish().stdout.split()
    return paths, ids


def stand_inside(layout: Layout, git: Git) -> Layout:
    """Return the layout with the prefix that git could not report; refuse a directory outside the work tree.

    `core.worktree` (in a copied submodule, or shared by the worktrees of one) and GIT_WORK_TREE can name another
    directory, and GIT_DIR alone makes git take any directory for the root. Directories are compared by device and
    inode, because a bind mount has another path. Raises NotReproducible, which names both directories.
    """
    environment = git.environment
    is_named = "GIT_DIR" in environment or "GIT_WORK_TREE" in environment
    if layout.is_inside and not is_named:
        return layout  # git walked up from the current directory to the repository
    here = os.path.realpath(os.fsencode(git.directory if git.directory is not None else os.curdir))
    if not layout.is_inside:
        prefix = _below(here, layout.toplevel)
        if prefix is None:
            _refuse_outside(here, layout, environment)
        layout = layout.replace(prefix=prefix)
    root = _nearest_repository(here) if is_named else None
    if root is None or _leads_to(root + b"/.git", layout.git_dir):
        # git takes a subdirectory for the root if GIT_DIR is set and GIT_WORK_TREE is not.
        if root is None or "GIT_WORK_TREE" in environment or not _is_above(root, layout.toplevel):
            return layout
    elif "GIT_WORK_TREE" in environment and _is_above(root, layout.toplevel):
        return layout  # the user named a work tree that is inside another checkout
    raise NotReproducible(
        f"'{os.fsdecode(here)}' belongs to the checkout '{os.fsdecode(root)}', and the environment makes Git use the "
        f"work tree '{os.fsdecode(layout.toplevel)}' of '{os.fsdecode(layout.git_dir)}'",
        hints=["unset GIT_DIR GIT_WORK_TREE"],
    )


def pinned(git: Git, layout: Layout) -> Git:
    """Return a git that finds this repository also when it starts in the root of the work tree.

    With `core.worktree`, the root can be without a `.git`, or inside another repository.
    """
    dot_git = layout.toplevel + b"/.git"
    is_default = layout.git_dir in (dot_git, layout.toplevel) or _leads_to(dot_git, layout.git_dir)
    if is_default or "GIT_DIR" in git.environment:
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
    """Return the path of `place` from `root`, b"" or ending in `/`; None if `place` is not inside `root`."""
    try:
        root_facts = os.stat(root)
    except OSError:
        return None
    prefix = b""
    while True:
        try:
            if os.path.samestat(os.stat(place), root_facts):
                return prefix
        except OSError:
            return None
        above, _, name = place.rpartition(b"/")
        if not name:
            return None
        place, prefix = above or b"/", name + b"/" + prefix


def _is_above(root: bytes, place: bytes) -> bool:
    """Return whether `place` is inside `root`, and not `root` itself."""
    return bool(_below(os.path.realpath(place), root))


def _nearest_repository(place: bytes) -> bytes | None:
    """Return the nearest directory, from `place` upwards, with a `.git` that Git would use."""
    while True:
        dot_git = place.rstrip(b"/") + b"/.git"
        if os.path.isfile(dot_git) or all(os.path.exists(dot_git + name) for name in (b"/HEAD", b"/objects", b"/refs")):
            return place
        if place == b"/":
            return None
        place = os.path.dirname(place)


def _leads_to(dot_git: bytes, git_dir: bytes) -> bool:
    """Return whether a `.git` is this directory, or a file that names it (gitrepository-layout(5))."""
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
