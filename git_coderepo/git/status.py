"""Read the state of the work tree from one `git status`.

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
    from git_coderepo.git.spawn import StartedProcess


_DEPRECATED = "core.fsyncObjectFiles is deprecated"  # git before 2.36 needs this setting
_FILTER_WORDS = ("initialization for subprocess", "packet write ", "the remote end hung up")
# strerror(3) in the C locale for errors of lstat(2) other than a missing file.
_UNREACHABLE = frozenset(
    ("Permission denied", "Operation not permitted", "Input/output error", "Stale file handle", "File name too long",
     "Transport endpoint is not connected")
)  # fmt: skip


class Change:
    """A path that differs: `path` raw from the root, `index` and `worktree` git's letters (`.` for no difference).

    `index` is `?` for an untracked path and `u` for an unmerged one. `submodule` is true for a gitlink, `marked` for a
    path with assume-unchanged or skip-worktree. `entry` is the index entry, `100644 ID`, b"" if there is none; for an
    unmerged path it is that from which `git add` takes the mode, and may have no id.
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
        """Whether the work tree has a repository where the index has a file or a link."""
        return self.submodule and self.worktree == "T" and not self.entry.startswith(b"160000 ")

    @property
    def unmerged(self) -> bool:
        return self.index == "u"


class Status:
    """HEAD's commit (None if unborn), its branch (None if detached), the upstream (`origin/main` or None), the changes.

    `changes` are parsed on first use, because there may be thousands. `counts` are the numbers of staged, unstaged and
    untracked paths.
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

    def with_changes(self, more: Sequence[Change]) -> Status:
        """Return a copy of this status with more changes, for paths that git was told to ignore."""
        status = Status(self.head, self.branch, self.upstream, self._output, self._at)
        status._changes = [*self.changes, *more]
        return status

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


def start_status(git: Git, pathspecs: Sequence[bytes] = (), *, started: StartedProcess | None = None) -> Process:
    """Start `git status` on these paths (see `subtree.pathspecs`), or adopt one that was `started` earlier."""
    own = {name for name, _ in git.settings}
    settings = [setting for setting in STATUS_SETTINGS if setting[0] != "lfs.storage" or setting[0] not in own]
    git = git.with_settings(*settings)
    return git.start(*STATUS, *pathspecs) if started is None else git.adopt(started, *STATUS)


def read_status(process: Process, git: Git | None = None) -> Status:
    """Return the state that `git status` reported.

    `git` is used to find a broken submodule, or the commands that repair a damaged reference. Raises GitFailed,
    NotACheckout, and NotReproducible if git could not read a path.
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
    """Raise NotReproducible if git stopped at a submodule without a valid repository.

    git's message has the path in the submodule's `.git` file, not that of the submodule, so the index is searched.
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
        f"the '.git' of the submodule '{name}' is not a repository",
        hints=[
            f"move '{name}' away, and then: "
            f"{git_word(top)} submodule update --init{recursive} -- {path_word(path[0], top)}"
        ],
    )


def _broken_submodule(git: Git, top: bytes) -> list[bytes] | None:
    """Return the path of the first broken submodule: raw parts, each from the root of the checkout around it."""
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
    """Return the error for a clean filter, such as that of git-lfs, whose process cannot be started; None for others.

    The message depends on timing: git or its shell may be the first to fail. If git names the path, `messages.failure`
    handles it.
    """
    lines = stderr.decode("utf-8", "replace").splitlines()
    if not any(word in line for line in lines for word in _FILTER_WORDS):
        return None
    return NotReproducible(
        f"a file cannot be recorded: its filter failed: {next(line for line in lines if _DEPRECATED not in line)}",
        hints=["install the command that the filter names in git's configuration, such as git-lfs"],
    )


def _refuse_unseen(words: bytes, git: Git | None) -> None:
    """Raise NotReproducible for a directory or path that git could not read: it prints a warning and ends with 0."""
    for line in words.decode("utf-8", "surrogateescape").splitlines():
        reason = line.rpartition(": ")[2]
        listing = line.startswith("warning: could not open directory '")
        if listing or (not line.startswith(("warning: ", "hint: ", "trace: ")) and reason in _UNREACHABLE):
            path = line.partition("'")[2].rpartition("'")[0] if listing else line.rpartition(": ")[0]
            import os

            top = os.getcwdb() if git is None else git.run("rev-parse", "--show-toplevel").removesuffix(b"\n")
            raise NotReproducible(
                f"git cannot read '{path}': {reason}",
                hints=["make it readable", f"or exclude it: {ignore_command(os.fsencode(path), top)}"],
            )


def parse_status(output: bytes, git: Git | None = None) -> Status:
    """Parse the output of `git status`; `git` is used for hints that repair a damaged reference.

    Raises NotReproducible for such a reference.
    """
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
        # git reports a branch with a damaged reference as unborn, and the record would say that there is no commit.
        raise NotReproducible(
            "HEAD does not resolve to a commit: the reference of its branch is damaged",
            hints=_reference_hints(git) if git is not None else [],
        )
    return Status(head, branch, upstream, output, at)


def _reference_hints(git: Git) -> list[str]:
    """Return the commands that set HEAD's branch to the last commit in HEAD's reflog; none if that is unknown.

    git neither reads nor replaces a damaged reference, so that its file has to be removed first.
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
            # `git add --intent-to-add` leaves an entry with id 0, a staged deletion one with mode 0.
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
    """Return the stage of an unmerged path from which `git add` takes the mode: ours, else the base, else theirs.

    It takes the line endings from ours alone, so that only ours has an id here.
    """
    if modes[1].strip(b"0"):
        return modes[1] + b" " + ids[1]
    return next((mode + b" " for mode in (modes[0], modes[2]) if mode.strip(b"0")), b"")
