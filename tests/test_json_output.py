"""`--json`: each document has the fields that the table names, and `--json=A,B` chooses among them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.cli.help.introspection import verbs
from git_coderepo.cli.json_output import DOCUMENTS, Fields, parse_fields
from tests.hints import cures
from tests.support.environment import clean_environment
from tests.support.program import Program, Result
from tests.support.repo import Repo

Say = Callable[..., Result]


@pytest.fixture(scope="module")
def say(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Say]:
    """Run the program in a checkout with two runs, a pushed commit and a strange name."""
    place = tmp_path_factory.mktemp("json")
    env = clean_environment(place / "home")
    repo = Repo.init(place / "my checkout", env)
    repo.write("requirements.txt", "numpy\n")
    repo.commit("first")
    repo.git("init", "--quiet", "--bare", str(place / "origin.git"))
    repo.git("remote", "add", "origin", str(place / "origin.git"))
    repo.git("push", "--quiet", "origin", "HEAD")
    (place / "token.txt").write_text("hunter2\n")
    keyring = {"PYTHON_KEYRING_BACKEND": "tests.support.keyring_backend.FileKeyring", "PYTHONPATH": os.getcwd()}
    program = Program({**env, **keyring, "CODEREPO_CACHE_DIR": str(place / "cache"), "CODEREPO_ALLOW_PROTOCOL": "file"})

    def run(*words: str, check: bool = True) -> Result:
        return program.run(*words, cwd=repo.path, check=check)

    run("run", "--name", "first", "--", sys.executable, "-c", "")
    repo.write(b"-new \xff\nfile", b"two\nlines\n")
    run("run", "--name", "second", "--manifest", "../run.json", "--", sys.executable, "-c", "")
    yield run


ANSWERS = {
    "list": ["list"],
    "describe": ["describe"],
    "status": ["status"],
    "log": ["log"],
    "log --group": ["log", "--group"],
    "show": ["show"],
    "diff": ["diff", "first", "second"],
    "restore": ["restore", "--worktree", "../again", "second"],
    "hooks install": ["hooks", "install"],
    "hooks status": ["hooks", "status"],
    "hooks uninstall": ["hooks", "uninstall"],
    "fetch": ["fetch", "--cache", "../run.json", "../code"],
    "verify": ["verify", "../run.json", "../code"],
    "validate": ["validate", "../run.json"],
    "cache list": ["cache", "list"],
    "cache prune": ["cache", "prune", "--dry-run", "--max-size", "0"],
    "publish": ["publish", "first", "second"],
    "register": ["register", "ours", "--type=git", "--no-verify"],
    "update": ["update", "ours", "--name=theirs", "--no-verify"],
    "remove": ["remove", "-y", "theirs"],
    "prune": ["prune", "--dry-run", "--keep=0"],
    "build-key": ["build-key"],
    "doctor": ["doctor", "--offline"],
    "login": ["login", "--host=git.corp", "--token=@../token.txt"],
    "logout": ["logout", "--host=git.corp"],
    "secret set": ["secret", "set", "corp", "--key=@../token.txt"],
    "secret list": ["secret", "list"],
    "secret remove": ["secret", "remove", "corp"],
}


@pytest.mark.slow
def test_every_document_has_the_fields_of_the_table(say: Say) -> None:
    assert set(ANSWERS) == set(DOCUMENTS)
    optional = {"status": {"asRunner"}, "doctor": {"fixed"}}
    for name, words in ANSWERS.items():
        answer = say(*words, "--json", check=name != "doctor").json()
        assert "hunter2" not in json.dumps(answer)
        for document in answer if isinstance(answer, list) else [answer]:
            known = set(DOCUMENTS[name]) or {"corp"}
            assert set(document) == known - optional.get(name, set()), name
        assert answer != [], name


def test_every_verb_that_answers_something_has_json() -> None:
    without = {
        "report",
        "run",
        "snapshot",
        "ignore",
        "exec",
        "demo",
        "help",
        "completion",
    }  # streams of their own, or text
    for verb in verbs():
        has_json = any("--json" in option.flags for option in verb.options)
        assert has_json == (" ".join(verb.words) in DOCUMENTS), f"{verb.words}: describe its document in DOCUMENTS"
        assert has_json or verb.words[0] in without, verb.words


@pytest.mark.slow
def test_fields_are_chosen_in_their_order(say: Say) -> None:
    assert [list(each) for each in say("log", "--json", "name,id").json()] == [["name", "id"]] * 2
    assert say("log", "--json=name").json() == [{"name": "second"}, {"name": "first"}]
    assert say("log", "--json", "-n", "1").json()[0]["name"] == "second"
    assert say("status", "--json", "reproducible", "--check").json() == {"reproducible": True}
    tree = say("log", "--json=tree", "-n1").json()[0]["tree"]
    assert say("show", "--json=run.name,code.snapshot.tree,code.lfs.size", "second").json() == {
        "run": {"name": "second"},
        "code": {"snapshot": {"tree": tree}, "lfs": None},
    }
    assert say("show", "--json", "second").stdout == Path(say("log", "--json").json()[0]["manifest"]).read_bytes()
    (changed,) = say("diff", "--json=path,status,additions", "first", "second").json()
    assert changed == {"path": {"base64": "LW5ldyD/CmZpbGU="}, "status": "added", "additions": 2}


def test_fields_are_read_without_spaces_and_repetitions() -> None:
    assert parse_fields(" id, name,,id") == Fields(("id", "name"))
    assert Fields(("a.b",)).of([{"a": [{"b": 1, "c": 2}]}, {"a": None}]) == [{"a": [{"b": 1}]}, {"a": None}]


@cures("choose from: {', '.join(known)}")
def test_an_unknown_field_lists_the_valid_ones_before_anything_is_done(say: Say) -> None:
    refused = say("prune", "--keep=0", "--json=runs,bytes", check=False)
    assert (refused.status, refused.text) == (129, "")
    assert "fatal: unknown field 'bytes'\nhint: choose from: runs, overlays, objects, size" in refused.errors
    fields = refused.errors.partition("choose from: ")[2].strip().replace(" ", "")
    assert say("prune", "--dry-run", f"--json={fields}").json()["runs"] == []


@cures("git coderepo diff --json RUN -- -- PATH")
def test_the_json_of_diff_is_limited_to_paths(say: Say) -> None:
    refused = say("diff", "--json", "first", "second", "--", "--stat", check=False)
    assert refused.status == 129
    assert say("diff", "--json", "first", "second", "--", "--", "requirements.txt").json() == []


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_jq_reads_it(say: Say) -> None:
    done = subprocess.run(
        ["jq", "-r", ".[] | .name"], input=say("log", "--json", "name").stdout, capture_output=True, check=True
    )
    assert done.stdout == b"second\nfirst\n"


def test_an_invalid_file_is_a_document_and_a_negative_answer(say: Say) -> None:
    answer: Any = say("validate", "--json=file,valid", "../run.json", "requirements.txt", check=False)
    assert answer.status == 1
    assert json.loads(answer.stdout) == [
        {"file": "../run.json", "valid": True},
        {"file": "requirements.txt", "valid": False},
    ]
