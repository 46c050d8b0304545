"""A user with a checkout, a platform that hosts it, and a runner on another machine: what every story here needs."""

from __future__ import annotations

import atexit
import base64
import functools
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.forge import Forge, Repository
from tests.support.environment import clean_environment
from tests.support.marks import first_quick
from tests.support.program import Program, Result
from tests.support.repo import PathLike, Repo, run_git, tree_of

PROJECT = Path(__file__).parents[2]
Files = Mapping[str | bytes, bytes]
WIDGETS: Files = {
    "train.py": b"lr = 0.1\n",
    "data/weights.bin": bytes(range(256)) * 16,
    "docs/read me.txt": b"caf\xc3\xa9\n",
    "run.sh": b"#!/bin/sh\n",
}


class Machine:
    """A HOME of its own, with the program in it; `env` is what its user has set."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.home = home
        self.env = {**clean_environment(home), **env}
        self.program = Program(self.env)
        self.run = self.program.run

    def path(self, name: PathLike) -> Path:
        return self.home / os.fsdecode(name)

    def tree(self, directory: PathLike, object_format: str = "sha1") -> str:
        """The tree id of a directory below HOME, as git itself sees it."""
        return tree_of(self.path(directory), self.env, object_format)


class World:
    """One repository on a forge, a user's checkout of it and a runner that has never seen either.

    `platform` is `github`, `gitlab`, `git` (https) or `file`. User and runner have the token for the forge, in
    CODEREPO_TOKEN, and trust its certificate authority.
    """

    def __init__(
        self,
        root: Path,
        platform: str,
        *,
        files: Files = WIDGETS,
        source: Repo | None = None,
        name: str = "acme/widgets",
        object_format: str = "sha1",
        private: bool = True,
    ) -> None:
        self.root = root
        self.platform = platform
        kind = "git" if platform == "file" else platform
        self.forge = Forge(root / "forge", platforms=() if kind == "git" else (kind,))
        self.scratch = Machine(root / "scratch home", {})
        self.repository: Repository
        if source is None:
            committed = _committed(files, object_format)
            self.repository = self.forge.add_repository(name, platform=kind, private=private, copy_of=committed)
        else:
            self.repository = self.forge.add_repository(
                name, platform=kind, private=private, source=source.path, object_format=object_format
            )
            branch = source.line("branch", "--show-current") or "main"
            self.repository.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        self.token = self.forge.add_token(kind)
        self.git_user = {"github": "x-access-token", "gitlab": "oauth2"}.get(platform, "ada")
        if platform == "file":
            trusted = {"CODEREPO_ALLOW_PROTOCOL": "file"}
            self.url = f"file://{self.repository.path}"
        else:
            trusted = self.forge.env
            self.url = self.repository.url
        self.credential = (
            {} if platform == "file" else {"CODEREPO_TOKEN": self.token, "CODEREPO_TOKEN_ORIGIN": self.forge.url}
        )
        self.trusted = trusted
        self.user = Machine(root / "user", {**trusted, **self.credential})
        self.runner = Machine(root / "runner", {**trusted, **self.credential})
        self.checkout = self.clone("my checkout")
        self.base = self.checkout.head()

    def clone(self, name: str, *options: str) -> Repo:
        """Another checkout of it in the user's HOME, whose remote is the forge."""
        checkout = Repo.clone(f"file://{self.repository.path}", self.user.home / name, self.user.env, *options)
        checkout.git("remote", "set-url", "origin", self.url)
        return checkout

    def register(self, *arguments: PathLike, **options: Any) -> Result:
        return self.user.run("register", *arguments, cwd=self.checkout.path, **options)

    def manifest(self, *arguments: PathLike, checkout: Repo | None = None, name: str = "run.json") -> Path:
        """A manifest of the checkout as it is now, in the runner's HOME, where nothing but it arrives."""
        checkout = checkout if checkout is not None else self.checkout
        written = self.user.path("to send") / name
        written.parent.mkdir(exist_ok=True)
        self.user.run("snapshot", "-o", written, *arguments, cwd=checkout.path)
        for file in written.parent.iterdir():
            shutil.move(file, self.runner.home / file.name)
        return self.runner.home / name

    def push(self, checkout: Repo | None = None, refspec: str = "HEAD:refs/heads/main", *, force: bool = True) -> None:
        """What is committed reaches the platform, and the checkout knows it."""
        checkout = checkout if checkout is not None else self.checkout
        aside = ["-c", f"url.file://{self.repository.path}.insteadOf={self.url}"]
        checkout.git(*aside, "push", "--quiet", *(["--force"] if force else []), "origin", refspec)

    def close(self) -> None:
        self.forge.close()


@functools.cache
def _templates() -> Path:
    """A directory of this process, for what is made once and copied."""
    atexit.register(remove_templates)
    return Path(tempfile.mkdtemp(prefix="coderepo-templates-"))


def remove_templates() -> None:
    """Remove what was made for copies; a worker of pytest-xdist ends without the functions of `atexit`."""
    if _templates.cache_info().currsize:
        shutil.rmtree(_templates(), ignore_errors=True)
        _templates.cache_clear()
        _made.clear()


_made: dict[object, Path] = {}


def _committed(files: Files, object_format: str) -> Path:
    """A forge's repository with one commit of these files, for copies; made once in each process."""
    key = (tuple(files.items()), object_format)
    if key not in _made:
        place = _templates() / str(len(_made))
        source = Repo.init(place / "first author", Machine(place / "home", {}).env, object_format=object_format)
        for path, contents in files.items():
            source.write(path, contents, mode=0o755 if os.fsencode(path).endswith(b".sh") else None)
        source.commit("first")
        with Forge(place / "forge") as forge:
            _made[key] = forge.add_repository("first", source=source.path, object_format=object_format).path
    return _made[key]


@contextmanager
def world(root: Path, platform: str, **options: Any) -> Iterator[World]:
    made = World(root, platform, **options)
    try:
        yield made
    except BaseException:
        made.forge.close(check=False)
        raise
    made.close()


def own_repository(path: Path, env: Mapping[str, str]) -> Repo:
    """This project's own code under git: a clone where the tests lie in a checkout, else its files, committed anew."""
    if (PROJECT / ".git").exists():
        run_git("-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks", PROJECT, path, cwd="/", env=env)
        repo = Repo(path, env)
        repo.git("checkout", "--quiet", "-B", "main")
        return repo
    repo = Repo.init(path, env)
    skipped = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("git_coderepo", "tests", "man", "bench"):
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, path / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "Makefile", "LICENSE"):
        if (PROJECT / name).is_file():
            shutil.copy(PROJECT / name, path / name)
    repo.commit("the project")
    return repo


def on_platforms(first: object, *others: object) -> list[object]:
    """Parameters of a test that is played on several platforms, since one writer serves them all."""
    return first_quick(first, *others)


# --- what a user sees -------------------------------------------------------------------------------


def lines(result: Result, word: str) -> list[str]:
    """What follows `WORD: ` in the lines of stderr that begin so."""
    return [line.removeprefix(f"{word}: ") for line in result.errors.splitlines() if line.startswith(f"{word}: ")]


def refused(
    machine: Machine,
    *arguments: PathLike,
    status: int,
    says: str,
    hint: str | None = "",
    watched: Path | None = None,
    **options: Any,
) -> Result:
    """Runs what must be refused, as every error reads: one `fatal:` line that holds `says`, a hint that holds `hint`
    (None: without one), this exit status, nothing on stdout, and no file more or less than before in its HOME.
    """
    before = everything(watched or machine.home)
    result = machine.run(*arguments, check=False, **options)
    text = f"{result.text}{result.errors}"
    assert result.status == status, text
    word = "error" if status == 1 else "fatal"
    assert len(lines(result, word)) == 1, text
    assert says in lines(result, word)[0], text
    for line in result.errors.splitlines():
        assert line.startswith(("fatal: ", "error: ", "hint: ", "warning: ", "using the overlay ")), text
    message = lines(result, word)[0]
    assert message[:1] == message[:1].lower() or not message[:1].isalpha(), message
    assert not message.endswith("."), message
    if hint is not None:
        assert any(hint in each for each in lines(result, "hint")), text
    assert status == 1 or result.stdout == b"", text
    after = everything(watched or machine.home)
    assert sorted(after - before) == [], "left behind"
    assert sorted(before - after) == [], "taken away"
    return result


def everything(directory: Path) -> set[str]:
    """The relative path of everything below a directory, but for our own store in a checkout's git directory."""
    found: set[str] = set()
    for folder, folders, names in os.walk(directory):
        if os.path.basename(folder) == ".git" and "coderepo" in folders:
            folders.remove("coderepo")
        found.update(os.path.relpath(os.path.join(folder, name), directory) for name in [*folders, *names])
    return found


def contents(directory: Path, *, without: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    """Each path below a directory with its type, mode and bytes, and for an index its time; `without` are left out."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, names in os.walk(os.fsencode(directory)):
        here = os.path.relpath(folder, os.fsencode(directory))
        relative = {name: os.fsdecode(os.path.normpath(os.path.join(here, name))) for name in [*folders, *names]}
        folders[:] = [name for name in folders if relative[name] not in without]
        for name in [*folders, *names]:
            full = os.path.join(folder, name)
            facts = os.lstat(full)
            data: object = None
            if os.path.islink(full):
                data = os.readlink(full)
            elif os.path.isfile(full):
                with open(full, "rb") as file:
                    data = file.read()
            when = facts.st_mtime_ns if name == b"index" else None
            found[relative[name]] = (facts.st_mode, facts.st_ino, when, data)
    return found


# --- tokens where none should be ----------------------------------------------------------------------


def forms(token: str) -> list[bytes]:
    """A token as it stands, and what base64 makes of it behind 0, 1 or 2 other bytes (as in `user:token`)."""
    raw = token.encode()
    found = [raw]
    for before in range(3):
        packed = base64.b64encode(b"\0" * before + raw + b"\0" * 2)
        start = -(-before * 4 // 3)
        found.append(packed[start : (before + len(raw)) * 4 // 3])
    return found


def holding(token: str, *places: Path, without: tuple[Path, ...] = ()) -> list[str]:
    """The files below these places that hold the token in any form, by contents or by name."""
    found = []
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                path = Path(folder, name)
                if path in without or path.is_symlink() or not path.is_file():
                    continue
                data = path.read_bytes() + os.fsencode(name)
                if any(form in data for form in forms(token)):
                    found.append(str(path))
    return found


class ProcessWatch:
    """Reads every process's argument vector, over and over, while the block runs; `seen` counts commands of git's."""

    def __init__(self, *tokens: str) -> None:
        self.wanted = [form for token in tokens for form in forms(token)]
        self.found: set[bytes] = set()
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        # What was there before has nothing to do with it.
        others = set(os.listdir("/proc"))
        while not self._stop.wait(0.005):
            for name in os.listdir("/proc"):
                if not name.isdigit() or name in others:
                    continue
                try:
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        line = file.read()
                except OSError:
                    continue
                if b"git" in line:
                    self.seen.add(line)
                if any(form in line for form in self.wanted):
                    self.found.add(line)


# --- manifests -----------------------------------------------------------------------------------------


def load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def altered(path: Path, *keys: str, to: object, name: str = "altered.json") -> Path:
    """A copy of a manifest beside it, with one value changed."""
    document = load(path)
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    copy = path.with_name(name)
    copy.write_text(json.dumps(document), encoding="utf-8")
    return copy


def problems(machine: Machine, path: Path) -> list[str]:
    """What `validate` says is wrong with a manifest or receipt."""
    result = machine.run("validate", path, check=False)
    return [] if result.status == 0 else result.text.splitlines()


def remove(path: Path) -> None:
    """Remove what a test left at `path`, a directory or a file, if there is anything."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait until something has happened; a minute at most, or so many `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def can_mount() -> bool:
    """Whether this process may mount a file system of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
