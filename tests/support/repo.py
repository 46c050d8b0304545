"""A real Git repository with a work tree, driven by the machine's git; paths may be any bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

_FIRST_COMMIT = 1_767_322_000  # seconds since 1970; each commit of a `Repo` is a minute later than the one before

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def run_git(
    *arguments: PathLike,
    cwd: PathLike,
    env: Mapping[str, str],
    input: bytes | None = None,
    check: bool = True,
    timeout: float = 120,
) -> bytes:
    """git's stdout; a status other than 0 is an AssertionError with its stderr, unless `check` is false."""
    done = subprocess.run(
        [b"git", *map(os.fsencode, arguments)],
        executable=shutil.which("git", path=env["PATH"]),
        cwd=os.fsencode(cwd),
        env=dict(env),
        input=input if input is not None else b"",
        capture_output=True,
        timeout=timeout,
    )
    if check and done.returncode != 0:
        words = " ".join(os.fsdecode(argument) for argument in arguments)
        raise AssertionError(f"git {words}: status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


class Repo:
    """`path` is the work tree (or the bare repository), `env` what git runs with."""

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self.path = Path(path)
        self.env = dict(env)
        self.commits = 0

    @classmethod
    def init(cls, path: Path, env: Mapping[str, str], bare: bool = False, object_format: str = "sha1") -> Repo:
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        options = ["--bare"] if bare else []
        run_git("init", "--quiet", f"--object-format={object_format}", *options, cwd=path, env=env)
        return cls(path, env)

    @classmethod
    def clone(cls, url: PathLike, path: Path, env: Mapping[str, str], *options: PathLike) -> Repo:
        """`options` stand before the URL: `--depth=1`, `--bare`, `--branch=…`."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        run_git("clone", "--quiet", *options, "--", url, path, cwd=Path(path).parent, env=env)
        return cls(path, env)

    def git(self, *arguments: PathLike, input: bytes | None = None, check: bool = True) -> bytes:
        """stdout of git, run in the work tree."""
        return run_git(*arguments, cwd=self.path, env=self.env, input=input, check=check)

    def line(self, *arguments: PathLike) -> str:
        """The one line that git prints."""
        return self.git(*arguments).decode("utf-8", "surrogateescape").strip()

    def file(self, path: PathLike) -> bytes:
        """The absolute path of a file of the work tree, as bytes."""
        return os.path.join(os.fsencode(self.path), os.fsencode(path))

    def write(self, path: PathLike, data: bytes | str, mode: int | None = None) -> None:
        """Writes a file, making its folders; what is not a directory there is replaced, `mode` as for chmod."""
        full = self.file(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if os.path.islink(full):
            os.unlink(full)
        with open(full, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
        if mode is not None:
            os.chmod(full, mode)

    def read(self, path: PathLike) -> bytes:
        with open(self.file(path), "rb") as stream:
            return stream.read()

    def remove(self, path: PathLike) -> None:
        """Removes a file, a link or a whole folder."""
        full = self.file(path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        else:
            os.unlink(full)

    def symlink(self, path: PathLike, target: PathLike) -> None:
        full = self.file(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if os.path.lexists(full):
            self.remove(path)
        os.symlink(os.fsencode(target), full)

    def commit(self, message: str = "c", *, allow_empty: bool = True) -> str:
        """Commits everything (`git add -A`); gives the commit's id in hex."""
        self.git("add", "-A")
        date = f"{_FIRST_COMMIT + 60 * self.commits} +0000"
        self.commits += 1
        env = {**self.env, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        options = ["--allow-empty"] if allow_empty else []
        run_git("commit", "--quiet", *options, "-m", message, cwd=self.path, env=env)
        git_dir = self.path / ".git"
        if git_dir.is_dir():  # most are, and then git need not be asked
            branch = git_dir / (git_dir / "HEAD").read_text(encoding="utf-8", errors="replace").strip()[len("ref: ") :]
            if branch.is_file():
                return branch.read_text(encoding="ascii").strip()
        return self.head()

    def push_to(self, path: Path) -> Repo:
        """Make a bare repository the remote `origin`, push HEAD to it, and return it."""
        remote = Repo.init(path, self.env, bare=True)
        self.git("remote", "add", "origin", f"file://{remote.path}")
        self.git("push", "--quiet", "origin", "HEAD")
        return remote

    def head(self) -> str:
        """HEAD's commit in hex."""
        return self.line("rev-parse", "--verify", "HEAD^{commit}")

    def git_dir(self) -> Path:
        return Path(self.line("rev-parse", "--absolute-git-dir"))

    def tree(self, *without: str) -> str:
        """The tree id that `git add -A` and `git write-tree` would give now; the paths `without` are left out.

        Works on a copy of the index and writes objects to a folder of its own: the repository stays as it is.
        """
        index, objects = self.line(
            "rev-parse", "--path-format=absolute", "--git-path", "index", "--git-path", "objects"
        ).split("\n")
        with tempfile.TemporaryDirectory(dir=self.env["TMPDIR"]) as scratch:
            if os.path.exists(index):
                shutil.copy2(index, os.path.join(scratch, "index"))
            env = {
                **self.env,
                "GIT_INDEX_FILE": os.path.join(scratch, "index"),
                "GIT_OBJECT_DIRECTORY": os.path.join(scratch, "objects"),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects),
            }
            os.mkdir(env["GIT_OBJECT_DIRECTORY"])
            run_git("add", "-A", "--", ".", *(f":(exclude,literal){path}" for path in without), cwd=self.path, env=env)
            return run_git("write-tree", cwd=self.path, env=env).decode().strip()


def tree_of(directory: PathLike, env: Mapping[str, str], object_format: str = "sha1") -> str:
    """The tree id of any directory, as git sees it with nothing ignored: what a runner was given is judged by this."""
    with tempfile.TemporaryDirectory(dir=env["TMPDIR"]) as scratch:
        run_git("init", "--quiet", "--bare", f"--object-format={object_format}", scratch, cwd=scratch, env=env)
        env = {**env, "GIT_DIR": scratch, "GIT_WORK_TREE": os.fsdecode(os.path.abspath(os.fspath(directory)))}
        run_git("-c", "core.bare=false", "add", "-A", "--force", cwd=directory, env=env)
        return run_git("write-tree", cwd=directory, env=env).decode().strip()


def _quoted(path: str) -> str:
    # git(1): an entry of GIT_ALTERNATE_OBJECT_DIRECTORIES that begins with a double quote is C-quoted.
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
