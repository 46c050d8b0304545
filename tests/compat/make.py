"""Record what a version writes: `python -m tests.compat.make COMMIT`, see README.md in this folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from tests.compat.machines import FOLDER, ROOT, emptied
from tests.compat.recording import Recorder, install_extras

PROJECT = FOLDER.parents[1]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tests.compat.make COMMIT\n")
        return 129
    commit = _git("rev-parse", "--verify", "--end-of-options", f"{arguments[0]}^{{commit}}").decode().strip()
    with open(Path(tempfile.gettempdir()) / "coderepo-compat.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        emptied(ROOT)
        try:
            version = install(commit, ROOT / "venv")
            name = f"{version}-{commit[:7]}"
            print(f"recording {name}", flush=True)
            into = emptied(ROOT / "recorded")
            Recorder(ROOT / "venv", into).record()
            check(into)
            target = FOLDER / name
            if target.exists():
                shutil.rmtree(target)
            shutil.copytree(into, target)
        finally:
            emptied(ROOT).rmdir()
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"wrote tests/compat/{name}: {size / 1e6:.2f} MB")
    return 0


def install(commit: str, venv: Path) -> str:
    """Install the program of a commit into a new environment; return its version."""
    source = venv.parent / "source"
    with tarfile.open(fileobj=BytesIO(_git("archive", "--format=tar", commit))) as tar:
        tar.extractall(source, filter="data")
    # `git_coderepo.testing`, one of the public modules, imports pytest.
    if shutil.which("uv"):
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(venv))
        _run("uv", "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), str(source), "pytest")
    else:
        _run(sys.executable, "-m", "venv", str(venv))
        _run(str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", str(source), "pytest")
    shutil.rmtree(source)
    (site_packages,) = venv.glob("lib/python*/site-packages")
    install_extras(site_packages)
    said = subprocess.run(
        [venv / "bin" / "git-coderepo", "--version"], capture_output=True, check=True, text=True
    ).stdout
    return said.split()[-1]


def check(folder: Path) -> None:
    """Raise AssertionError where something that was recorded names this machine or one of its directories."""
    import lzma
    import socket

    forbidden = [
        socket.gethostname(),
        str(PROJECT),
        os.path.expanduser("~/"),
        os.environ.get("USER") or "",
        str(Path(sys.prefix)),
    ]
    words = [word.encode() for word in forbidden if len(word) > 3 and word != "root"]
    for path in folder.rglob("*"):
        if path.is_file():
            contents = path.read_bytes()
            if path.suffix == ".xz":
                contents = lzma.decompress(contents)
            found = [word for word in words if re.search(rb"(?<![\w-])" + re.escape(word), contents)]
            assert not found, f"'{path.relative_to(folder)}' names {found}"


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, check=True).stdout


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
