"""`git coderepo demo`: demonstrate the workflow in a scratch directory or on the current checkout."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.errors import CodeRepoError
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.own_command import own_command
from git_coderepo.plural import count

if TYPE_CHECKING:
    from git_coderepo.fetching.planned_tree import PlannedTree
    from git_coderepo.manifest.model import Code
    from git_coderepo.snapshots.manifest_document import Record
    from git_coderepo.snapshots.snapshot import Snapshot

_WEIGHTS = bytes(range(256)) * 8


@app.command(cls=Verb)
def demo(
    here: Annotated[
        bool, typer.Option("--here", help="Use this checkout, including its changes; it is only read.")
    ] = False,
) -> None:
    """Demonstrate the workflow, without a network or an account.

    In a scratch directory, it registers a checkout, edits it, takes a snapshot, fetches and verifies it. Then it
    changes one byte, and `verify` fails.
    """
    with scratch_directory() as scratch:
        if here:
            _demo_here(os.path.realpath(scratch))
        else:
            _demo_in(os.path.realpath(scratch))


class _Stage:
    """A directory in which commands are printed and run as if a user typed them."""

    def __init__(self, directory: str, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.environment = environment

    def run(self, *command: str, expect: int = 0) -> None:
        """Print a command, run it and print its output. Raises CodeRepoError for an unexpected exit status."""
        output.line("$ " + shlex.join(command))
        # `git coderepo` may not be on PATH.
        argv = [*own_command(), *command[2:]] if command[:2] == ("git", "coderepo") else command
        done = subprocess.run(
            argv,
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        for text in os.fsdecode(done.stdout).splitlines():
            output.line("  " + text)
        if done.returncode != expect:
            raise CodeRepoError(f"the demo failed: the last command exited with {done.returncode} instead of {expect}")

    def quietly(self, *command: str) -> None:
        """Run a command without printing it."""
        subprocess.run(command, cwd=self.directory, env=self.environment, capture_output=True, check=True)

    def write(self, shown: str, name: str, contents: bytes, mode: str = "wb") -> None:
        """Write a file, and print the shell command for it."""
        output.line("$ " + shown)
        with open(os.path.join(self.directory, name), mode) as file:
            file.write(contents)


def _environment(scratch: str) -> dict[str, str]:
    """Return an environment with a temporary HOME and without the user's settings, where `file://` is allowed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "CODEREPO_", "XDG_"))}
    return {
        **kept,
        "HOME": scratch,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.path.join(scratch, "gitconfig"),
        "CODEREPO_ALLOW_PROTOCOL": "file",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }


def _demo_in(scratch: str) -> None:
    environment = _environment(scratch)
    everywhere = _Stage(scratch, environment)
    with open(environment["GIT_CONFIG_GLOBAL"], "w") as file:
        file.write("[user]\n\tname = Demo\n\temail = demo@example.com\n[init]\n\tdefaultBranch = main\n")
    everywhere.quietly("git", "init", "--quiet", "--bare", "platform.git")
    everywhere.quietly("git", "clone", "--quiet", f"file://{scratch}/platform.git", "checkout")
    checkout = _Stage(os.path.join(scratch, "checkout"), environment)
    for name, contents in (("train.py", b"lr = 0.1\n"), ("weights.bin", _WEIGHTS)):
        with open(os.path.join(checkout.directory, name), "wb") as file:
            file.write(contents)
    checkout.quietly("git", "add", ".")
    checkout.quietly("git", "commit", "--quiet", "--message", "first")
    checkout.quietly("git", "push", "--quiet", "origin", "HEAD")

    output.line("# your machine: a checkout whose remote is a bare repository beside it")
    checkout.run("git", "coderepo", "register")
    checkout.write("echo 'lr = 0.2' > train.py", "train.py", b"lr = 0.2\n")
    checkout.run("git", "commit", "--quiet", "--all", "--message", "never pushed")
    checkout.write("printf '\\377' >> weights.bin", "weights.bin", b"\xff", "ab")
    checkout.write("echo draft > 'new notes.txt'", "new notes.txt", b"draft\n")
    checkout.run("git", "coderepo", "status")
    checkout.run("git", "coderepo", "snapshot", "-o", "../run.json")

    output.line("# a runner: another directory, without a checkout, with only run.json")
    everywhere.run("git", "coderepo", "fetch", "run.json", "code")
    everywhere.run("git", "coderepo", "verify", "run.json", "code")
    everywhere.write("printf 'L' | dd of=code/train.py conv=notrunc status=none", "code/train.py", b"L", "r+b")
    everywhere.run("git", "coderepo", "verify", "run.json", "code", expect=1)


def _demo_here(scratch: str) -> None:
    from git_coderepo.fetching.fetch import FetchOptions, fetch
    from git_coderepo.fetching.verify import verify_directory
    from git_coderepo.git.process import Git, check_version
    from git_coderepo.manifest.model import Manifest
    from git_coderepo.snapshots.manifest_document import write_record
    from git_coderepo.snapshots.pipeline import take_snapshot
    from git_coderepo.snapshots.size_limits import shown_size
    from git_coderepo.snapshots.snapshot import Request
    from git_coderepo.snapshots.submodules import omitted, snapshots_in

    git = Git()
    git_version = check_version(git)
    started = time.perf_counter()
    taken = take_snapshot(git, Request(here=True, store_directory=os.fsencode(scratch) + b"/store"))
    record = write_record(taken, now=time.time(), git_version=git_version)
    seconds = time.perf_counter() - started
    manifest = Manifest.parse(record.data)
    output.line("# your checkout; its own Git objects stand in for the platform (no network, no token)")
    state = "dirty" if taken.dirty else "clean"
    output.line(f"snapshot  tree {manifest.code.snapshot_tree}, {state}, in {seconds:.2f} s")
    for path, reason in omitted(taken):
        output.line(f"left out  {os.fsdecode(path)} ({reason})")
    overlays = [
        each.overlay for each in (taken, *(inner for _, inner in snapshots_in(taken))) if each.overlay is not None
    ]
    if not overlays:
        output.line(f"travels   only the manifest, {shown_size(len(record.data))}: HEAD has all of the code")
    else:
        files, deleted = sum(each.files for each in overlays), sum(len(each.deleted) for each in overlays)
        changed = count(files, "file")
        gone = f" and {count(deleted, 'deletion')}" if deleted else ""
        size = shown_size(record.size)
        output.line(f"travels   {changed}{gone} that HEAD lacks: {size} with the manifest")

    planned = _planned_here(manifest.code, taken, record, git.environment)
    directory = os.path.join(scratch, "code")
    receipt = fetch(planned, directory, FetchOptions())
    took = receipt.finished - receipt.started
    output.line(f"fetched   {count(receipt.files, 'file')} by {receipt.method}, in {took:.2f} s")
    output.line(f"verified  tree {receipt.tree}, identical to the snapshot")
    flipped = _flip_one_byte(directory)
    if flipped is not None:
        refused = verify_directory(planned, directory, git=taken.git_with_store)
        names = ", ".join(os.fsdecode(each) for each in refused.changed)
        output.line(
            f"tampered  one byte of '{os.path.relpath(flipped, directory)}'; verify reports changed files: {names}"
        )
    output.line("# your checkout was not changed; to use its platform: git coderepo register")


def _planned_here(code: Code, taken: Snapshot, record: Record, environment: Mapping[str, str]) -> PlannedTree:
    """Return the fetch plan of a manifest, with the checkout and its submodules as platforms."""
    from git_coderepo.fetching.planned_tree import CodeLocations, PlannedSubmodule, plan_code
    from git_coderepo.platforms.base import located
    from git_coderepo.platforms.git import GitRemote

    assert taken.source is not None
    platform = located(GitRemote, "here", {}, taken.source.remote)
    inner = {each.path: each.snapshot for each in taken.submodules}
    submodules = []
    for each in code.submodules:
        snapshot = inner[each.path]
        if each.code is not None and snapshot is not None:
            planned = _planned_here(each.code, snapshot, record, environment)
            submodules.append(PlannedSubmodule(each.path, each.commit, planned))
    return plan_code(
        code,
        CodeLocations(
            platform,
            environment,
            overlay=record.beside.get(code.overlay.sha256) if code.overlay is not None else None,
            lfs=record.beside.get(code.lfs.sha256) if code.lfs is not None else None,
        ),
        submodules=tuple(submodules),
    )


def _flip_one_byte(directory: str) -> str | None:
    """Change the first byte of the first file that is not empty; return its path, or None if there is none."""
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.getsize(path):
                continue
            with open(path, "r+b") as file:
                first = file.read(1)
                file.seek(0)
                file.write(bytes([first[0] ^ 1]))
            return path
    return None
