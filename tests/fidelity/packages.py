"""Public packages as they were released: sdists from PyPI, sources from Debian, by the ordinary clients."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

_OUT_OF_REACH = (
    "connection",
    "timed out",
    "no matching distribution",
    "name resolution",
    "proxy",
    "resolve",
    "connect",
)


def unpack_sdist(name: str, into: Path, scratch: Path) -> None:
    """A package's source release on PyPI; skips the test only where the registry is out of reach."""
    options = ["--no-deps", "--no-binary", name, "--disable-pip-version-check", "--retries", "1"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(scratch / "sdist"), name]
    _run(command, dict(os.environ), scratch)
    (archive,) = (scratch / "sdist").glob("*.tar.gz")
    _extract(archive, into)


def unpack_debian_source(name: str, into: Path, scratch: Path) -> None:
    """A package's upstream source in the Debian archive that this machine uses; skips the test where it uses none."""
    lists = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
    stanzas = [stanza for file in lists for stanza in re.split(r"\n[ \t]*\n", file.read_text(encoding="utf-8"))]
    debian = next((stanza for stanza in stanzas if re.search(r"^URIs:.*/debian/?\s*$", stanza, re.MULTILINE)), None)
    if debian is None or shutil.which("apt-get") is None:
        pytest.skip("this machine has no Debian archive in its list of sources")
    source = re.sub(r"^Types:.*", "Types: deb-src", debian, flags=re.MULTILINE)
    (scratch / "lists" / "partial").mkdir(parents=True)
    (scratch / "debian.sources").write_text(source + "\n", encoding="utf-8")
    settings = {
        "Dir::Etc::sourcelist": scratch / "debian.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": scratch / "lists",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
    }
    config = scratch / "apt.conf"
    config.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()), encoding="utf-8")
    env = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
    _run(["apt-get", "-qq", "update"], env, scratch)
    _run(["apt-get", "-qq", "source", "--download-only", name], env, scratch)
    (archive,) = scratch.glob("*.orig.tar.*z")
    _extract(archive, into)


def _run(command: list[str], env: dict[str, str], cwd: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        if any(phrase in done.stderr.lower() for phrase in _OUT_OF_REACH):
            pytest.skip(f"the archive cannot be reached: {words[-1]}")
        raise AssertionError(done.stderr)


def _extract(archive: Path, into: Path) -> None:
    """Everything below the one folder that a release has at its top."""
    with tarfile.open(archive) as opened:
        for member in opened:
            member.name = member.name.partition("/")[2]
            if member.name:
                opened.extract(member, into, filter="tar")
