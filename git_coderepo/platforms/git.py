"""Any Git remote, over https, ssh or in a directory: everything is done by git."""

from __future__ import annotations

import os

from git_coderepo.errors import RegistrationError, UnsafeTree
from git_coderepo.git.objects import EXECUTABLE, GITLINK, SYMLINK, ObjectId
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.base import BaseCodeRepository, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.platforms.context import LocalRepositoryContext


class GitRemote(BaseCodeRepository):
    """A Git remote without an API."""

    type = "git"
    title = "any Git remote"
    options = (
        Option("url", "where git fetches it; taken from the remote"),
        Option(
            "token",
            "the password for https; use @FILE, - or {{secret.key}} to keep it off the command line",
            secret=True,
        ),
    )
    token_help = "Whatever the server gives as a password for git over https; ssh uses your keys"  # noqa: S105

    @property
    def place(self) -> RemoteURL:
        """The URL from the options, or else of the remote. Raises RegistrationError if there is neither."""
        given = self.option_values.get("url")
        if given:
            return RemoteURL.parse(given)
        if self.remote is None:
            raise RegistrationError(f"no URL is known for '{self.name}'", hints=["give --url or --remote"])
        return self.remote

    def serves(self, remote: RemoteURL) -> bool:
        """Return whether a remote is this repository."""
        return self.place.same_place(remote)

    def git_url(self) -> str | None:
        return self.place.url()

    def recorded_options(self) -> Mapping[str, str]:
        return {"url": self.place.url()} if self.option_values.get("url") else {}

    def login(self) -> None:
        from git_coderepo.transport.git_remote import check_access

        check_access(self)

    def has_commit(self, commit: ObjectId) -> bool | None:
        from git_coderepo.transport.git_remote import serves_commit

        return serves_commit(self, commit)

    def commit_tree(self, commit: ObjectId) -> ObjectId | None:
        from git_coderepo.filesystem.scratch import scratch_directory
        from git_coderepo.transport.git_remote import fetch_commit

        with scratch_directory() as directory:
            contents = fetch_commit(self, commit, directory).run("cat-file", "commit", commit.hex)
        # The first line of a commit is `tree ID`: gitformat-commit, and `git cat-file -p`.
        return ObjectId(contents.split(b"\n", 1)[0].removeprefix(b"tree ").decode())

    def download_files(self, commit: str, directory: str, repo_sub_directory: str | None) -> None:
        from git_coderepo.filesystem.scratch import scratch_directory
        from git_coderepo.git.process import read_blobs
        from git_coderepo.transport.git_remote import fetch_commit

        id = ObjectId(commit)
        below = os.fsencode(repo_sub_directory or "").strip(b"/")
        tree = os.fsencode(f"{id}:") + below
        with scratch_directory() as scratch:
            git = fetch_commit(self, id, scratch, filter=None)
            rows = [_row(line) for line in git.run("ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0") if line]
            rows = [row for row in rows if row[0] != GITLINK]
            target = os.fsencode(directory)
            links: list[tuple[bytes, bytes]] = []
            for (mode, _, path), (_, size, blob) in zip(rows, read_blobs(git, [row[1] for row in rows]), strict=True):
                contents = blob.read(size)
                if mode == SYMLINK:
                    links.append((path, contents))
                else:
                    _write(target, path, contents, 0o777 if mode == EXECUTABLE else 0o666)
            # Links last: nothing is written through one.
            for path, contents in links:
                os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
                os.symlink(contents, os.path.join(target, path))

    def get_local_context(self, path: str) -> LocalRepositoryContext | None:
        from git_coderepo.platforms.context import LocalRepositoryContext

        return LocalRepositoryContext.at(path, self.serves)


def _row(line: bytes) -> tuple[int, str, bytes]:
    """Parse a row of `git ls-tree -z` to (mode, id, path). Raises UnsafeTree for a path that must not be written."""
    facts, _, path = line.partition(b"\t")
    mode, _, id = facts.split(b" ")
    names = path.split(b"/")
    if any(name in (b"", b".", b"..") or name.lower() == b".git" for name in names):
        raise UnsafeTree(f"unsafe path in the repository: {os.fsdecode(path)!r}")
    return int(mode, 8), id.decode(), path


def _write(target: bytes, path: bytes, contents: bytes, mode: int) -> None:
    name = os.path.join(target, path)
    os.makedirs(os.path.dirname(name), exist_ok=True)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(contents)
