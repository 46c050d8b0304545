"""The working tree's state, from one `git status`.

Format: https://git-scm.com/docs/git-status#_porcelain_format_version_2, with `-z`.
"""

from __future__ import annotations

from git_coderepo.errors import CodeRepoError, GitFailed, NotReproducible
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import git_word, ignore_command, path_word, shell_word
from git_coderepo.git.spawn import STATUS, STATUS_SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.errors import NotReproducible
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git, Process
    from git_coderepo.git.spawn import Asked


_DEPRECATED = "core.fsyncObjectFiles is deprecated"  # git's word for a setting that only older ones need
_FILTER_WORDS = ("initialization for subprocess", "packet write ", "the remote end hung up")
# strerror(3) in the C locale, for what keeps lstat(2) from an answer other than "there is none".
_UNREACHABLE = frozenset(
    ("Permission denied", "Operation not permitted", "Input/output error", "Stale file handle", "File name too long",
     "Transport endpoint is not connected")
)  # fmt: skip


class Change:
    """One path that differs: `path` raw from the root, `index` and `worktree` git's letters (`.` for none).

    `index` is `?` for an untracked path and `u` for an unmerged one; `submodule` is true for a gitlink; `marked` for
    a path that git was told not to look at. `entry` is what the index has there, `100644 ID`, b"" where it has nothing;
    of an unmerged path what `git add` starts from, which may be a mode without an id.
    """

    __slots__ = ("entry", "index", "marked", "path", "submodule", "worktree")

    def __init__(
        self, path: bytes, index: str, worktree: str, submodule: bool, *, marked: bool = False, entry: bytes = b""
    ) -> None:
        self.path = path
        self.entry = entry
        self.index = index
        self.marked = marked
        self.worktree = worktree
        self.submodule = submodule

    @property
    def untracked(self) -> bool:
        return self.index == "?"

    @property
    def is_repository(self) -> bool:
        """Whether a repository of its own stands on the disk where the index has a file or a link."""
        return self.submodule and self.worktree == "T" and not self.entry.startswith(b"160000 ")

    @property
    def unmerged(self) -> bool:
        return self.index == "u"


class Status:
    """HEAD's commit (None: unborn), branch (None: detached), its upstream (`origin/main`, None) and what differs.

    `changes` are taken from the command's bytes when they are looked at, as there may be thousands. `counts` are the
    paths staged, unstaged and untracked.
    """

    __slots__ = ("_at", "_changes", "_counts", "_output", "branch", "head", "upstream")

    def __init__(self, head: ObjectId | None, branch: str | None, upstream: str | None, output: bytes, at: int) -> None:
        self.branch = branch
        self.head = head
        self.upstream = upstream
        self._output = output
        self._at = at
        self._changes: list[Change] | None = None
        self._counts: tuple[int, int, int] | None = None

    @property
    def changes(self) -> list[Change]:
        if self._changes is None:
            self._changes = _changes(self._output[self._at :])
        return self._changes

    @property
    def counts(self) -> tuple[int, int, int]:
        if self._counts is None:
            staged = unstaged = untracked = 0
            for change in self.changes:
                untracked += change.untracked
                staged += change.index not in ".?u"
                unstaged += change.unmerged or (change.worktree != "." and not change.untracked)
            self._counts = staged, unstaged, untracked
        return self._counts

    @property
    def staged(self) -> int:
        return self.counts[0]

    @property
    def unstaged(self) -> int:
        return self.counts[1]

    @property
    def untracked(self) -> int:
        return self.counts[2]


def start_status(git: Git, pathspecs: Sequence[bytes] = (), *, asked: Asked | None = None) -> Process:
    """The question; see `scope.pathspecs`, and `question`, by which it may have been `asked` already."""
    given = {name for name, _ in git.settings}
    settings = [setting for setting in STATUS_SETTINGS if setting[0] != "lfs.storage" or setting[0] not in given]
    git = git.with_settings(*settings)
    return git.start(*STATUS, *pathspecs) if asked is None else git.adopt(asked, *STATUS)


def read_status(process: Process, git: Git | None = None) -> Status:
    """Return the answer; raises GitFailed or NotACheckout, and NotReproducible for what git could not look at.

    `git` is asked which submodule is broken.
    """
    process.finish()
    _refuse_broken(process.stderr, git)
    if process.status != 0:
        failure = process.failure()
        raise (filter_failure(process.stderr) if isinstance(failure, GitFailed) else None) or failure
    output = process.stdout
    if process.stderr:
        _refuse_unseen(process.stderr, git)
    return parse_status(output, git)


_BROKEN = (b"not a git repository: ", b"/.git' not recognized as a git repository", b"invalid gitfile format: ")


def _refuse_broken(words: bytes, git: Git | None) -> None:
    """Raise NotReproducible, naming the submodule, where git stopped at one whose `.git` is none or leads nowhere.

    git's own words hold what the `.git` file says, which need not be below the submodule: the index tells which it is.
    """
    if git is None or not words or not any(each in words for each in _BROKEN):
        return
    top = git.run("rev-parse", "--show-toplevel").removesuffix(b"\n")
    path = _broken_submodule(git, top)
    if path is None:
        return
    import os

    name = os.fsdecode(b"/".join(path))
    recursive = " --recursive" if len(path) > 1 else ""
    raise NotReproducible(
        f"git finds no repository in the '.git' of the submodule '{name}'",
        hints=[
            f"move '{name}' away, and then: "
            f"{git_word(top)} submodule update --init{recursive} -- {path_word(path[0], top)}"
        ],
    )


def _broken_submodule(git: Git, top: bytes) -> list[bytes] | None:
    """Return the raw path of the first submodule without a repository, each from the root of the one that holds it."""
    import os

    for row in git.at(top).run("ls-files", "-z", "--stage").split(b"\0"):
        facts, _, path = row.partition(b"\t")
        place = top + b"/" + path
        if not facts.startswith(b"160000 ") or not os.path.lexists(place + b"/.git"):
            continue
        inner = git.submodule(place)
        if not inner.succeeds("rev-parse", "--git-dir"):
            return [path]
        root = inner.run("rev-parse", "--show-toplevel").removesuffix(b"\n")
        if not os.path.samefile(root, place):
            return [path]
        below = _broken_submodule(inner, root)
        if below is not None:
            return [path, *below]
    return None


def filter_failure(stderr: bytes) -> NotReproducible | None:
    """What git says where a clean filter that is a process, as git-lfs, has no program; None for other words.

    Which of them is chance: of git and of the shell that finds none, either may be the first to notice. Where git
    comes as far as to name the path, `failure` has the words for it.
    """
    lines = stderr.decode("utf-8", "replace").splitlines()
    if not any(word in line for line in lines for word in _FILTER_WORDS):
        return None
    return NotReproducible(
        f"a file cannot be recorded: its filter failed: {next(line for line in lines if _DEPRECATED not in line)}",
        hints=["install the command that the filter names in git's configuration, such as git-lfs"],
    )


def _refuse_unseen(words: bytes, git: Git | None) -> None:
    """git passes over a directory that it cannot list and a path that it cannot reach, says so, and ends with 0."""
    for line in words.decode("utf-8", "surrogateescape").splitlines():
        reason = line.rpartition(": ")[2]
        listing = line.startswith("warning: could not open directory '")
        if listing or (not line.startswith(("warning: ", "hint: ", "trace: ")) and reason in _UNREACHABLE):
            path = line.partition("'")[2].rpartition("'")[0] if listing else line.rpartition(": ")[0]
            import os

            top = os.getcwdb() if git is None else git.run("rev-parse", "--show-toplevel").removesuffix(b"\n")
            raise NotReproducible(
                f"git cannot look at '{path}': {reason}",
                hints=["make it readable", f"or leave it out: {ignore_command(os.fsencode(path), top)}"],
            )


def parse_status(output: bytes, git: Git | None = None) -> Status:
    """The state from the command's bytes: what begins with `#` comes first; `git` finds what repairs a reference."""
    head: ObjectId | None = None
    branch: str | None = None
    upstream: str | None = None
    at = 0
    while output.startswith(b"# ", at):
        end = output.index(b"\0", at)
        _, name, value = output[at:end].split(b" ", 2)
        text = value.decode("utf-8", "surrogateescape")
        if name == b"branch.oid":
            head = None if text == "(initial)" else ObjectId(text)
        elif name == b"branch.head":
            branch = None if text == "(detached)" else text
        elif name == b"branch.upstream":
            upstream = text
        at = end + 1
    if head is None and branch == "(unknown)":
        # git calls a branch whose reference cannot be read unborn: a record would say that there is no commit yet.
        raise NotReproducible(
            "HEAD does not resolve to a commit: the reference of its branch is damaged",
            hints=_reference_hints(git) if git is not None else [],
        )
    return Status(head, branch, upstream, output, at)


def _reference_hints(git: Git) -> list[str]:
    """Return the commands that write the reference of HEAD's branch anew, to the last commit that HEAD's log names.

    git itself neither reads such a reference nor replaces it: its file has to go first.
    """
    try:
        with open(_git_path(git, b"HEAD"), "rb") as file:
            branch = file.read().removeprefix(b"ref: ").strip()
        with open(_git_path(git, b"logs/HEAD"), "rb") as file:
            commit = ObjectId(file.read().splitlines()[-1].split(b" ")[1].decode())
        if not branch.startswith(b"refs/heads/") or b".." in branch:
            return []
        reference = _git_path(git, branch)
        with open(reference, "rb"):
            return [f"rm {shell_word(reference)}", f"then: git update-ref {shell_word(branch)} {commit}"]
    except (OSError, IndexError, CodeRepoError):
        return []


def _git_path(git: Git, name: bytes) -> bytes:
    return git.run("rev-parse", "--path-format=absolute", "--git-path", name).removesuffix(b"\n")


def _changes(records: bytes) -> list[Change]:
    changes = []
    for record in records.split(b"\0"):
        kind = record[:2]
        if kind == b"? ":
            changes.append(Change(record[2:], "?", "?", False))
        elif kind == b"1 ":
            # 1 XY sub mH mI mW hH hI path
            fields = record.split(b" ", 8)
            letters = fields[1].decode()
            # An intent to add has no contents in the index (id 0), nor has what is staged as deleted (mode 0).
            entry = fields[4] + b" " + fields[7] if fields[4].strip(b"0") and fields[7].strip(b"0") else b""
            changes.append(Change(fields[8], letters[0], letters[1], fields[2] != b"N...", entry=entry))
        elif kind == b"u ":
            # u XY sub m1 m2 m3 mW h1 h2 h3 path
            fields = record.split(b" ", 10)
            changes.append(
                Change(fields[10], "u", "u", fields[2] != b"N...", entry=_preferred(fields[3:6], fields[7:10]))
            )
    return changes


def _preferred(modes: Sequence[bytes], ids: Sequence[bytes]) -> bytes:
    """Return the stage of an unmerged path that `git add` takes the mode from: ours, else the base, else theirs.

    It takes the line ends from ours alone, so no other one has an id here.
    """
    if modes[1].strip(b"0"):
        return modes[1] + b" " + ids[1]
    return next((mode + b" " for mode in (modes[0], modes[2]) if mode.strip(b"0")), b"")
