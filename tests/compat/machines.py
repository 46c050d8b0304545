"""A user's and a runner's machine, with the program of any version in their PATH."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.compat.platforms import Platforms, credentials
from tests.e2e.support import Machine
from tests.support.program import Program
from tests.support.repo import PathLike, Repo

# Where everything is recorded, whoever does it: what is kept then names no other place.
ROOT = Path("/tmp/coderepo-compat")
FOLDER = Path(__file__).parent


def machine(
    home: Path, programs: Path | None, platforms: Platforms | None, env: Mapping[str, str] | None = None
) -> Machine:
    """A HOME with the tokens of all platforms in a credentials file; `programs` has the `git-coderepo` to use."""
    made = Machine(home, {**(platforms.env if platforms is not None else {}), **(env or {})})
    if programs is not None:
        made.env["PATH"] = os.pathsep.join([str(programs), made.env["PATH"]])
    file = home / "credentials"
    if not file.exists():
        file.write_text(credentials(), encoding="utf-8")
        file.chmod(0o600)
    made.env.setdefault("CODEREPO_CREDENTIALS_FILE", str(file))
    made.program = Program(made.env)
    made.run = made.program.run
    return made


def clone(user: Machine, platforms: Platforms, kind: str, name: str, path: Path, *options: PathLike) -> Repo:
    """A checkout whose remote is the platform's public URL."""
    repository = platforms.forges[kind].repository(name)
    assert repository is not None
    checkout = Repo.clone(f"file://{repository.path}", path, user.env, *options)
    checkout.git("remote", "set-url", "origin", repository.url)
    return checkout


def pack(directory: Path, into: Path) -> None:
    """Everything below a directory as a compressed tar, in one order and of no owner."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for path in _below(directory):
            member = tar.gettarinfo(path, arcname=os.path.relpath(path, directory))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            if member.isreg():
                with open(path, "rb") as file:
                    tar.addfile(member, file)
            elif member.isdir() or member.issym():
                tar.addfile(member)
    import lzma

    into.write_bytes(lzma.compress(buffer.getvalue(), preset=9))


def _below(directory: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted([*folders, *names]):
            yield os.path.join(folder, name)


def unpack(file: Path, directory: Path) -> Path:
    """What `pack` wrote, owned by this process's user; times are as they were."""
    directory.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, mode="r:xz", errors="surrogateescape") as tar:
        members = tar.getmembers()
        for member in members:
            member.uid, member.gid = os.geteuid(), os.getegid()
        tar.extractall(directory, members, numeric_owner=True, filter="fully_trusted")
    return directory


def emptied(directory: Path) -> Path:
    """An empty directory; whatever was there is gone, read-only or not."""
    if directory.exists():
        for folder, _, _ in os.walk(directory):
            os.chmod(folder, 0o700)
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    return directory
