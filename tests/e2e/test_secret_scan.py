"""The search for tokens looks at what becomes newly public, names all findings, and takes an excuse for one."""

from __future__ import annotations

import os
import random
import re
import string
from pathlib import Path

import pytest

from tests.e2e.support import lines
from tests.support.program import Program, Result
from tests.support.repo import Repo


def token(seed: int) -> str:
    """Something in the shape of a token of GitHub, which no file of these tests has as it is."""
    return "gh" + "p_" + "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=36))


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    platform = Repo.init(tmp_path / "platform.git", repo.env, bare=True)
    repo.git("remote", "add", "origin", f"file://{platform.path}")
    repo.write("known.py", f"import os\nold = '{token(1)}'\nx = 1\n")
    push(repo)
    return repo


def push(repo: Repo) -> None:
    repo.commit()
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    repo.git("fetch", "--quiet", "origin")


def snapshot(program: Program, repo: Repo) -> Result:
    return program.run("snapshot", cwd=repo.path, check=False)


def test_what_the_base_has_is_no_news(checkout: Repo, program: Program) -> None:
    checkout.git("config", "grep.lineNumber", "true")
    checkout.git("config", "color.ui", "always")
    checkout.write("known.py", f"import os\nold = '{token(1)}'\nx = 2\n")
    assert snapshot(program, checkout).status == 0
    checkout.git("mv", "known.py", "renamed.py")  # all its lines are new at this path
    checkout.write("copy.py", f"another = '{token(1)}'  # the same one\n")
    assert snapshot(program, checkout).status == 0
    checkout.write("renamed.py", f"old = '{token(1)}'\nnew = '{token(2)}'\n")
    refused = snapshot(program, checkout)
    assert lines(refused, "fatal") == ["a probable token would travel with the run: 'renamed.py', line 2"]


def test_without_a_base_everything_is_new(checkout: Repo, program: Program) -> None:
    checkout.git("remote", "remove", "origin")
    assert "'known.py', line 2" in snapshot(program, checkout).errors


def test_a_private_key_that_the_base_has(checkout: Repo, program: Program) -> None:
    def key(seed: int) -> str:
        body = "".join(random.Random(seed).choices(string.ascii_letters, k=64))
        return f"-----BEGIN RSA PRIVATE {'KEY'}-----\n{body}\n-----END RSA PRIVATE KEY-----\n"

    checkout.write("test_key", key(1))
    push(checkout)
    checkout.write("test_key", "# moved down\n" + key(1))
    assert snapshot(program, checkout).status == 0
    checkout.write("test_key", key(2))
    assert "'test_key', line 1" in snapshot(program, checkout).errors


@pytest.mark.parametrize("example", [
    "AKIA" + "IOSFODNN7EXAMPLE", "AKIA" + "I44QH8DHBEXAMPLE", "ASIA" + "IOSFODNN7EXAMPLE",
    "gho" + "_16C7e42F292c6912E7710c838347Ae178B4a", "AIza" + "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",
    "dapi" + "1234567890ab1cde2f3ab456c7d89efa", "xoxb-" + "17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
])  # fmt: skip
def test_keys_that_vendors_document(checkout: Repo, program: Program, example: str) -> None:
    checkout.write("docs.py", f"key = '{example}'\n")
    assert snapshot(program, checkout).status == 0
    checkout.write("docs.py", f"key = 'AKIA{'QWERTZUIOP123456'}'\n")
    assert "'docs.py', line 1" in snapshot(program, checkout).errors


def test_all_findings_are_named_at_once(checkout: Repo, program: Program) -> None:
    odd = os.fsdecode(b"caf\xe9 \n-x")
    checkout.write("a.py", f"x\n'{token(2)}' '{token(3)}'\n\n'{token(4)}'\n")
    checkout.write(odd, token(5))
    refused = snapshot(program, checkout)
    assert refused.status == 128
    assert "3 probable tokens would travel with the run: 'a.py', line 2, 'a.py', line 4, 'caf" in refused.errors
    assert token(2) not in refused.errors


@pytest.mark.slow
@pytest.mark.parametrize("place", ["config", "team", "both"])
def test_one_false_positive_is_excused(checkout: Repo, program: Program, place: str) -> None:
    """The hint's own command does it; another line, another file or another token is no less refused."""
    checkout.write("a.py", f"x = 1\ny = '{token(2)}'\n")
    checkout.write("b.py", f"z = '{token(3)}'\n")
    refused = snapshot(program, checkout)
    commands = re.findall(r"git config --add coderepo\.allowSecret [0-9a-f]{20}$", refused.errors, re.M)
    assert len(commands) == 2
    for number, command in enumerate(commands):
        team = place == "team" or (place == "both" and number)
        words = command.split()[1:]
        checkout.git(*(["config", "--file", ".coderepo", *words[1:]] if team else words))
    assert snapshot(program, checkout).status == 0
    checkout.write("a.py", f"# moved\nx = 1\n  y = '{token(2)}'\n")
    assert snapshot(program, checkout).status == 0
    checkout.write("c.py", f"y = '{token(2)}'\n")
    assert lines(snapshot(program, checkout), "fatal")[0].endswith("'c.py', line 1")


def test_an_excuse_that_is_taken_back(checkout: Repo, program: Program) -> None:
    checkout.write("a.py", f"y = '{token(2)}'\n")
    checkout.write("large.bin", os.urandom(200_000))  # an overlay of this size is kept for the next time
    (print_,) = re.findall(r"allowSecret ([0-9a-f]{20})$", snapshot(program, checkout).errors, re.M)
    checkout.git("config", "coderepo.allowSecret", print_)
    assert snapshot(program, checkout).status == 0
    checkout.git("config", "--unset", "coderepo.allowSecret")
    assert snapshot(program, checkout).status == 128


@pytest.mark.parametrize("pragma", ["# coderepo:allow-secret", "// pragma: allowlist secret", "-- gitleaks:allow"])
def test_a_pragma_on_the_line(checkout: Repo, program: Program, pragma: str) -> None:
    checkout.write("a.py", f"y = '{token(2)}'  {pragma}\n")
    assert snapshot(program, checkout).status == 0
    checkout.write("a.py", f"y = '{token(2)}'\n{pragma}\n")
    assert snapshot(program, checkout).status == 128


# --- what is likely a mistake ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_likely_mistakes_are_named_once(checkout: Repo, program: Program) -> None:
    checkout.write("env/pyvenv.cfg", "home = /usr/bin\n")
    checkout.write("env/lib/python3.11/site-packages/x.py", "x\n")
    checkout.write("web/node_modules/left-pad/index.js", "x\n")
    checkout.write("images/train/big.npy", os.urandom(11 << 20))
    for number in range(120):
        checkout.write(f"csv files/{number}.csv", "1\n")
        checkout.write(f"source/{number}.py", "x\n")
    run = program.run("run", "--", "true", cwd=checkout.path)
    named = [line for line in lines(run, "warning") if "is untracked and travels with the run" in line]
    assert [line.split(":")[0] + ": " + line.split(": ")[1].split(";")[0] for line in named] == [
        "'csv files/' is untracked and travels with the run: it looks like a dataset (120 files, 240 bytes)",
        "'env/' is untracked and travels with the run: it looks like a virtual environment",
        "'images/' is untracked and travels with the run: it looks like a dataset (1 file, 11.0 MiB)",
        "'web/node_modules/' is untracked and travels with the run: it looks like installed packages",
    ]
    for verb in (["run", "--", "true"], ["snapshot"], ["hook", "pre-run"]):
        assert "is untracked and travels" not in program.run(*verb, cwd=checkout.path).errors
    checkout.write("venv2/pyvenv.cfg", "home = /usr/bin\n")
    assert "'venv2/'" in program.run("hook", "pre-run", cwd=checkout.path).errors


# --- a scope from the settings ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", ["team", "config", "environment"])
def test_a_scope_is_named_each_time(checkout: Repo, program: Program, where: str) -> None:
    checkout.write("src/a.py", "x\n")
    env = {}
    if where == "team":
        checkout.write(".coderepo", "[coderepo]\n\tscope = src\n")
    elif where == "config":
        checkout.git("config", "coderepo.scope", "src")
    else:
        env["CODEREPO_SCOPE"] = "src"
    push(checkout)
    words = {"team": "'coderepo.scope' in '.coderepo'", "config": "'coderepo.scope'", "environment": "'CODEREPO_SCOPE'"}
    for _ in range(2):
        for verb in (["run", "--", "true"], ["snapshot"], ["hook", "pre-run"]):
            said = program.run(*verb, cwd=checkout.path, env=env).errors
            assert f"warning: only 'src' is recorded, because of {words[where]}\n" in said
    asked = program.run("snapshot", "--subdirectory", "src", cwd=checkout.path, env=env).errors
    assert "is recorded, because of" not in asked  # whoever asks for it knows
