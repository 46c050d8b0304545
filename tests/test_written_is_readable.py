"""What is written is checked when it is written: no run starts whose record no verb could read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest.codec import MANIFEST, schema
from git_coderepo.manifest.model import Manifest
from git_coderepo.manifest.validate import problems
from git_coderepo.manifest.writer import encode
from git_coderepo.snapshots.manifest_document import refuse_unreadable
from tests.support.manifests import example_document, paths, validator
from tests.support.program import Program
from tests.support.repo import Repo


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    return repo


NAMES = ["", "a\nb", "\t", "a\x1b[31m", "a\x7f", "x" * 1025, "caf\udce9"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_reader_takes_starts_nothing(checkout: Repo, program: Program, name: str) -> None:
    done = program.run("run", "--name", os.fsencode(name), "--", "touch", "ran", cwd=checkout.path, check=False)
    assert done.status == 125 and "fatal: invalid run name: it " in done.errors, done.errors
    assert not (checkout.path / "ran").exists() and not (checkout.git_dir() / "coderepo").exists()


@pytest.mark.parametrize("name", ["x" * 1024, " ", "é", "日本", "a\u00a0b", "-x", "@{-1}"])
def test_any_other_name_is_read_back(checkout: Repo, program: Program, name: str) -> None:
    program.run("run", f"--name={name}", "--", "true", cwd=checkout.path)
    (logged,) = program.run("log", "--json", cwd=checkout.path).json()
    assert logged["name"] == name


@pytest.mark.parametrize("verb", ["run", "hook", "snapshot"])
@pytest.mark.parametrize("what", ["name", "url", "prefix"])
def test_settings_and_environment_that_no_reader_takes(checkout: Repo, program: Program, verb: str, what: str) -> None:
    env = {}
    if what == "name":
        name = "n" * 1500
        checkout.git("config", f"coderepo.{name}.type", "git")
        checkout.git("config", f"coderepo.{name}.remote", "origin")
    elif what == "url":
        checkout.git("remote", "set-url", "origin", f"ssh://{'u' * 1500}@example.org/acme/x.git")
    else:
        if verb != "hook":
            pytest.skip("only a hook is told a prefix")
        env["GIT_PREFIX"] = "../elsewhere/"
    words = {"run": ["run", "--", "touch", "ran"], "hook": ["hook", "pre-run"], "snapshot": ["snapshot"]}[verb]
    done = program.run(*words, cwd=checkout.path, env=env, check=False)
    assert done.status == {"run": 125, "hook": 1, "snapshot": 128}[verb], done.errors
    assert not (checkout.path / "ran").exists()
    assert not list((checkout.git_dir() / "coderepo").glob("runs/*/*"))


def test_a_reason_that_names_an_odd_path_is_one_line(checkout: Repo, program: Program) -> None:
    os.makedirs(checkout.file("in\nner"))
    Repo.init(checkout.path / "in\nner", checkout.env)
    program.run("run", "--allow-unreproducible", "--", "true", cwd=checkout.path)
    assert len(program.run("log", "--json", cwd=checkout.path).json()) == 1


TEXTS = st.one_of(
    st.none(), st.text(max_size=8), st.sampled_from(["", "\n", "x" * 1025, "x" * 9000, "\udce9", "a\x7f", "\u2028"])
)


def _set(document: Any, place: str, value: object) -> None:
    *above, last = place.split(".")
    for key in above:
        document = document[key]
    document[last] = value


@given(
    place=st.sampled_from(
        ["run.name", "repository.name", "repository.source", "repository.remote.user", "code.head.webUrl"]
    ),
    text=TEXTS,
)
def test_whatever_passes_here_is_read_back(place: str, text: str | None) -> None:
    """The quick look that a hook has time for, beside the reader itself."""
    document = example_document()
    if text is None and place == "repository.name":
        return
    _set(document, place, text)
    try:
        refuse_unreadable(document)
        data = encode(document)
    except InvalidManifest:
        data = None
    try:
        Manifest.parse(json.dumps(document).encode())
        readable = True
    except InvalidManifest:
        readable = False
    assert (data is not None) == readable or (text is not None and "{{" in text)
    if data is not None:
        Manifest.parse(data)


@given(words=st.lists(st.text(max_size=6), min_size=1, max_size=3))
def test_so_does_a_command(words: list[str]) -> None:
    document = example_document()
    document["run"]["command"] = words
    try:
        refuse_unreadable(document)
        data = encode(document)
    except InvalidManifest:
        assert any("\0" in word or any("\ud800" <= char <= "\udfff" for char in word) for word in words)
        return
    assert Manifest.parse(data).run.command == tuple(word.encode() for word in words)


# --- whatever state a checkout is in -----------------------------------------------------------

EDITS = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.just("link"), paths()),
    st.sampled_from(["remove", "execute", "stage", "commit"]),
)


def apply(checkout: Repo, path: bytes, edit: Any) -> None:
    """Do one edit of a checkout; one that the file system does not allow is not done."""
    place = os.path.join(os.fsencode(checkout.path), path)
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if isinstance(edit, bytes):
            with open(place, "wb") as file:
                file.write(edit)
        elif edit == "remove":
            os.unlink(place)
        elif edit == "execute":
            os.chmod(place, 0o755)
        elif edit in ("stage", "commit"):
            checkout.git("add", "-A")
            if edit == "commit":
                checkout.git("commit", "--allow-empty", "-q", "-m", "x")
        else:
            os.symlink(edit[1], place)
    except OSError:
        pass


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(st.tuples(st.sampled_from([b"train.py", b"caf\xe9", b"a/\n"]) | paths(), EDITS), max_size=8))
def test_what_the_hook_writes_satisfies_schema_and_invariants(checkout: Repo, program: Program, edits: Any) -> None:
    """The hook's path never interprets the schema: its writer has to be right by itself, in whatever state of files."""
    for path, edit in edits:
        apply(checkout, path, edit)
    program.run("hook", "pre-run", cwd=checkout.path)
    newest = max((checkout.git_dir() / "coderepo/runs").glob("*/*.json"))
    assert problems(newest.read_bytes()) == []
    assert validator(schema(MANIFEST)).is_valid(json.loads(newest.read_bytes()))
