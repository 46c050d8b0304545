"""Where a checkout's parts lie, asked of git once; no path is ever joined to `.git` by guess."""

from __future__ import annotations

from git_coderepo.errors import NotACheckout
from git_coderepo.objects import ObjectId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git import Git, Process

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


class Layout:
    """A checkout's directories (absolute, raw bytes) and the facts that never change while a command runs.

    `prefix` is where git was started below `toplevel`, b"" or ending in `/`. `head` and `head_tree` are None on an
    unborn branch. `others` are the ids, in hex, of the references that were asked for beside it, as far as known.
    """

    __slots__ = (
        "common_dir", "git_dir", "head", "head_tree", "index", "object_format", "objects", "others", "prefix",
        "shallow", "toplevel",
    )  # fmt: skip

    def __init__(
        self,
        *,
        toplevel: bytes,
        prefix: bytes,
        git_dir: bytes,
        common_dir: bytes,
        index: bytes,
        objects: bytes,
        object_format: str,
        shallow: bool,
        head: ObjectId | None,
        head_tree: ObjectId | None,
        others: frozenset[bytes] = frozenset(),
    ) -> None:
        self.toplevel = toplevel
        self.prefix = prefix
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.index = index
        self.objects = objects
        self.object_format = object_format
        self.shallow = shallow
        self.head = head
        self.head_tree = head_tree
        self.others = others


def checkout_directory(git: Git) -> str:
    """The root of the work tree that `git` stands in. Raises NotACheckout, GitFailed."""
    return git.line("rev-parse", "--show-toplevel")


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
    )


def _is_id(line: bytes) -> bool:
    return len(line) in (40, 64) and not line.strip(b"0123456789abcdef")
