"""`verify` on a directory beside whose code something was planted: an added file can change what runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, lines, world
from tests.hints import cures

FILES = {b"train.py": b"import json\n", b".gitignore": b"*.pyc\noutputs/\n", b"pkg/__init__.py": b""}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("verified"), "github", files=FILES) as made:
        made.register()
        yield made


@pytest.fixture
def code(place: World, tmp_path: Path) -> Path:
    manifest = place.manifest(name="run.json")
    place.runner.run("fetch", manifest, tmp_path / "code")
    return tmp_path / "code"


PLANTED = [
    b"json.py",
    b"_json.cpython-311-x86_64-linux-gnu.so",
    b"evil.pth",
    b"sitecustomize.py",
    b"train/__init__.py",
    b"pkg/__pycache__/__init__.cpython-311.pyc",
    b"outputs/loader.py",
    b"-n",
    b"line\nbreak.py",
    b"caf\xe9.py",
]


@pytest.mark.slow
@cures("to accept added files: {pattern}")
@pytest.mark.parametrize("name", PLANTED, ids=repr)
def test_any_added_file_is_a_difference(place: World, code: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(code), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(os.fsdecode(path)).write_bytes(b"planted")
    done = place.runner.run("verify", "run.json", code, check=False)
    shown = name.decode("utf-8", "backslashreplace").replace("\n", "\\n")
    assert (done.status, done.text) == (1, f"added: {shown}\n")
    assert "--allow-added" in done.errors
    answer = place.runner.run("verify", "--json", "run.json", code, check=False)
    assert (answer.status, answer.json()["holds"]) == (1, False)
    hinted = b"".join(b"[%c]" % byte if byte in b"*?[\\" else bytes((byte,)) for byte in b"/" + name)
    accepted = place.runner.run("verify", f"--allow-added={os.fsdecode(hinted)}", "run.json", code)
    assert "1 accepted added file" in accepted.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "added", "status"),
    [
        ("*.log", "deep/er/run.log", 0),
        ("outputs/", "outputs/a/b.bin", 0),
        ("outputs", "outputs/a/b.bin", 0),
        ("/outputs", "pkg/outputs/b.bin", 1),
        ("outputs/", "outputs", 1),  # a file, where directories are accepted
        ("pkg/*.pyc", "pkg/__pycache__/x.pyc", 1),
        ("pkg/**/*.pyc", "pkg/__pycache__/x.pyc", 0),
        ("*.log", "run.log.py", 1),
    ],
)
def test_a_pattern_reads_as_in_gitignore(place: World, code: Path, pattern: str, added: str, status: int) -> None:
    (code / added).parent.mkdir(parents=True, exist_ok=True)
    (code / added).write_text("x")
    done = place.runner.run("verify", f"--allow-added={pattern}", "run.json", code, check=False)
    assert done.status == status, done.text


@pytest.mark.parametrize("pattern", ["", "/", "!x", "#x"])
def test_a_pattern_that_means_nothing_is_refused(place: World, code: Path, pattern: str) -> None:
    done = place.runner.run("verify", f"--allow-added={pattern}", "run.json", code, check=False)
    assert (done.status, "invalid pattern" in done.errors) == (129, True)


@pytest.mark.slow
def test_a_pattern_excuses_no_change(place: World, code: Path) -> None:
    (code / "train.py").write_text("import json, os\n")
    done = place.runner.run("verify", "--allow-added=*", "run.json", code, check=False)
    assert (done.status, done.text) == (1, "changed: train.py\n")


@pytest.mark.slow
def test_outputs_that_the_run_recorded_are_expected_and_others_are_not(place: World) -> None:
    checkout = place.checkout.path
    place.user.run("run", "--output", "outputs", "--", "sh", "-c", "mkdir outputs; echo m >outputs/model", cwd=checkout)
    place.user.run("fetch", "@{-1}", place.user.home / "again", cwd=checkout)
    made = place.user.home / "again" / "outputs" / "model"
    made.parent.mkdir()
    made.write_text("m\n")
    done = place.user.run("verify", "@{-1}", place.user.home / "again", cwd=checkout)
    assert "1 accepted added file" in done.text
    made.write_text("another\n")
    done = place.user.run("verify", "@{-1}", place.user.home / "again", cwd=checkout, check=False)
    assert (done.status, done.text) == (1, "added: outputs/model\n")
    made.unlink()
    made.symlink_to(checkout / "outputs" / "model")
    done = place.user.run("verify", "@{-1}", place.user.home / "again", cwd=checkout, check=False)
    assert (done.status, done.text) == (1, "added: outputs/model\n")


@pytest.mark.slow
def test_a_checkout_of_git_needs_its_git_directory_accepted(place: World, code: Path) -> None:
    (code / ".git").mkdir()
    (code / ".git" / "config").write_text("[core]\n\tfsmonitor = evil\n")
    done = place.runner.run("verify", "run.json", code, check=False)
    assert (done.status, done.text) == (1, "added: .git/config\n")
    (hint,) = lines(done, "hint")
    assert place.runner.run("verify", hint.rpartition(" ")[2], "run.json", code).status == 0
