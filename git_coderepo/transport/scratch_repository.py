"""A temporary bare repository to fetch into. Nothing is ever checked out in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from git_coderepo.errors import CodeRepoError, CommitMissing, GitUnusable, TargetUnusable, UnsafeTree
from git_coderepo.filesystem.directories import OPEN_DIRECTORY
from git_coderepo.filesystem.leftovers import hold, sweep
from git_coderepo.filesystem.scratch import temporary_directory
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import Git
from git_coderepo.transport.git_remote import fetch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.platforms.base import BaseCodeRepository

# A server that serves only tips (protocol v0) is asked for its branches, deeper each time.
_DEPTHS = (1, 50, 1000)
# `git help check-ref-format`.
_NOT_IN_REVISIONS = frozenset(map(chr, range(0x21))) | frozenset("\x7f~^:?*[\\")
# A user may have told git to look into no bare repository that is found by its place alone.
_ANY_BARE = ("safe.bareRepository", "all")
# What a killed process left under this name goes when the next one comes.
_PREFIX = "git-coderepo-scratch-"
# More than any message of a commit.
_COMMIT_BYTES = 16 << 20


def is_revision(text: str) -> bool:
    """Return whether a text can be the name of a branch or tag, or an id: `git help check-ref-format`."""
    if not text or text[0] in "-/." or ".." in text or "@{" in text:
        return False
    return _NOT_IN_REVISIONS.isdisjoint(text)


def _place(environment: Mapping[str, str]) -> str:
    """Return the directory for scratch repositories. Raises GitNotFound, and GitUnusable if there is none."""
    try:
        return temporary_directory()
    except TargetUnusable as error:
        Git(environment=environment).run("version")  # without a git there is nothing to make room for
        raise GitUnusable(f"git cannot work here: {error.message}", hints=error.hints) from None


class Scratch:
    """A context manager; `git` reads its objects, and ignores the caller's variables for other repositories."""

    def __init__(self, object_format: str, environment: Mapping[str, str]) -> None:
        self.object_format = object_format
        self.environment = environment
        self.directory = ""

    def __enter__(self) -> Scratch:
        place = _place(self.environment)
        self._parent = os.open(place, OPEN_DIRECTORY)
        try:
            sweep(self._parent, _PREFIX)
            self._held = hold(self._parent, _PREFIX, mode=0o700)
        except BaseException:
            os.close(self._parent)
            raise
        self.directory = os.path.join(place, self._held.name)
        try:
            plain = Git(environment=self.environment).foreign(self.directory).with_settings(_ANY_BARE)
            plain.run(
                "init", "--quiet", "--bare", "--template=", f"--object-format={self.object_format}", self.directory
            )
        except BaseException:
            self.__exit__()
            raise
        self.git = plain.with_environment(GIT_NO_LAZY_FETCH="1")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._held.remove()
        except OSError:
            pass  # the next process removes it
        finally:
            os.close(self._parent)

    def size(self) -> int:
        """Return the size in bytes of the objects that were fetched."""
        return sum(
            os.path.getsize(os.path.join(folder, name))
            for folder, _, names in os.walk(os.path.join(self.directory, "objects"))
            for name in names
        )

    def has(self, commit: ObjectId) -> bool:
        """Return whether git has the commit; it echoes any 40 hex digits (P1 in docs/design/faults.md)."""
        return self.git.succeeds("cat-file", "-e", f"{commit}^{{commit}}")

    def fetch_commit(
        self,
        platform: BaseCodeRepository,
        commit: ObjectId,
        *,
        reference: str | None = None,
        branch: str | None = None,
        only: str | None = None,
    ) -> None:
        """Fetch one commit with its tree; `only` is an object filter (`tree:0` brings the commit alone).

        By its id; else the `reference` that leads to it alone, if there is one; else the recorded branch, ever deeper;
        else all branches and tags. Raises CommitMissing,
        MethodUnavailable, and the errors of `git_failures.explain`.
        """
        attempts: list[tuple[list[str], int | None, str | None]] = [([commit.hex], 1, only)]
        if reference is not None:
            attempts.append(([reference], 1, None))
        elif branch is not None and is_revision(branch):  # we write no other one into a manifest
            attempts += [([f"refs/heads/{branch}"], depth, None) for depth in _DEPTHS]
        if reference is None:
            attempts.append((["+refs/heads/*:refs/fetched/heads/*", "+refs/tags/*:refs/fetched/tags/*"], None, None))
        missing: CommitMissing | None = None
        for refspecs, depth, filter in attempts:
            try:
                fetch(platform, self.git, refspecs, depth=depth, filter=filter)
            except CommitMissing as error:
                missing = missing or CommitMissing(f"{error.message}: {commit}", hints=error.hints)
            if self.has(commit):
                return
        raise missing or CommitMissing(
            f"no branch or tag of '{platform.name}' has the commit '{commit}'",
            hints=["push it again: it was never pushed there, or its branch was deleted or rewritten"],
        )

    def fetch_reference(self, platform: BaseCodeRepository, reference: str) -> ObjectId:
        """Fetch the commit of a reference, without its history, and return its id.

        Raises CommitMissing where there is no such reference, and the errors of `git_failures.explain`.
        """
        fetch(platform, self.git, [f"+{reference}:refs/fetched/reference"], depth=1)
        return ObjectId(self.git.line("rev-parse", "--verify", "refs/fetched/reference^{commit}"))

    def fetch_blobs(self, platform: BaseCodeRepository, ids: Sequence[str]) -> None:
        """Fetch these blobs, except those that are here already. Raises CommitMissing, GitFailed."""
        if ids:
            fetch(platform, self.git, (), stdin="".join(f"{id}\n" for id in ids).encode())

    def tree_of(self, commit: ObjectId, part: bytes = b"") -> ObjectId:
        """Return the tree id of a commit, or of one directory of it, whose tree must be here too.

        The commit's own tree need not be here: it is read from the commit (`git help commit-tree`). Raises
        CodeRepoError where the commit has no such directory, GitFailed.
        """
        if part:
            # A final slash, as `v1-2-g1a2b3c4` alone would be the commit that `git describe` means by it.
            name = f"{commit}:{os.fsdecode(part)}/"
            found = self.git.start("rev-parse", "--verify", "--end-of-options", name).finish()
            id = found.stdout.strip().decode()
            # A file's blob is not here: only trees were asked for.
            if found.status != 0 or self.git.start("cat-file", "-t", id).finish().stdout != b"tree\n":
                raise CodeRepoError(
                    f"the commit {commit} has no directory '{os.fsdecode(part)}'",
                    hints=["give the path from the root of the repository, without a leading '/'"],
                )
            return ObjectId(id)
        first_line = self.contents("commit", commit.hex, _COMMIT_BYTES).split(b"\n", 1)[0]
        return ObjectId(first_line.removeprefix(b"tree ").decode())

    def contents(self, kind: str, id: str, most: int) -> bytes:
        """Return the contents of an object that is here.

        Raises UnsafeTree for more than `most` bytes, since a few from a server can become gigabytes; GitFailed.
        """
        with self.git.stream("cat-file", kind, id) as output:
            contents = output.read(most + 1)
            if len(contents) > most:
                raise UnsafeTree(f"the {kind} {id} has more than {most} bytes")
        return contents
