"""What others wrote: every dependency has an upper bound, and the runner's one file is built from hashes."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pyz.build import LOCK, check_lock
from tests.support.pyz import PROJECT


def test_every_dependency_of_a_user_has_a_lower_and_an_upper_bound() -> None:
    for text in requires("git-coderepo") or ():
        each = Requirement(text)
        if each.marker is not None and re.search(r"""extra == ['"](test|lint|fuzz|coverage)['"]""", str(each.marker)):
            continue
        operators = {part.operator for part in each.specifier}
        assert {">=", "<"} <= operators, text


def test_the_lock_is_accepted_and_names_no_place() -> None:
    text = LOCK.read_text()
    check_lock(text)
    assert "://" not in text
    assert "index" not in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"\nidna==.*", "", "out of date"),
        (r"(?m)^idna==\S+", "idna==0.0.1", ""),
        (r"(?m)^urllib3==\S+", "urllib3==1.26.0", "urllib3 1.26.0"),
        (r"(?m)^(typer==\S+) .*$", r"\1", "invalid line"),
        (r"(?m)^(typer==.*)$", r"\1\n\1", "invalid line"),
        (r"\Z", f"evil==1 --hash=sha256:{'0' * 64}\n", "out of date"),
    ],
)
def test_a_lock_that_the_project_does_not_accept_is_refused(old: str, new: str, message: str) -> None:
    text = re.sub(old, new, LOCK.read_text())
    if not message:
        check_lock(text)  # the project has no range for it
        return
    with pytest.raises(SystemExit, match=re.escape(message)):
        check_lock(text)


@pytest.mark.slow
def test_a_wheel_with_another_hash_stops_the_build(tmp_path: Path) -> None:
    scratch = tmp_path / "project"
    subprocess.run(["git", "clone", "-q", PROJECT, scratch], check=True)
    lock = scratch / "pyz" / LOCK.name
    lock.write_bytes(LOCK.read_bytes())
    (scratch / "pyz" / "build.py").write_bytes((PROJECT / "pyz" / "build.py").read_bytes())
    changed = re.sub(r"(idna==\S+ --hash=sha256:).*", rf"\g<1>{'0' * 64}", LOCK.read_text())
    lock.write_text(changed)
    done = subprocess.run(
        [sys.executable, "-m", "pyz", tmp_path / "out.pyz"], cwd=scratch, capture_output=True, text=True, timeout=250
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout + done.stderr
    assert not (tmp_path / "out.pyz").exists()


@pytest.mark.slow
def test_the_sdist_has_the_lock_and_the_security_page(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, PROJECT],
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"SECURITY.md", f"pyz/{LOCK.name}"} <= names
