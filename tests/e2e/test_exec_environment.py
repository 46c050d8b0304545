"""What the environment of `exec` gives to code that was fetched, and what it keeps from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, remove, world
from tests.support.marks import first_quick

FILES: dict[str | bytes, bytes] = {
    "train.py": b"import random, pathlib\nprint(pathlib.Path(random.__file__).parent.name)\n",
    "helper.py": b"NAME = 'helper'\n",
    "services/main.py": b"print('main')\n",
}
CREDENTIALS = ("CODEREPO_TOKEN", "CODEREPO_TOKEN_FILE", "CODEREPO_CREDENTIALS_FILE", "CODEREPO_TOKEN_ORIGIN")
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("environment"), "file", files=FILES) as made:
        made.register()
        made.manifest()
        yield made


@pytest.fixture
def place(hosted: World, tmp_path: Path) -> Iterator[World]:
    hosted.runner.program.env["CODEREPO_CACHE_DIR"] = str(tmp_path / "cache")
    yield hosted
    hosted.checkout.git("reset", "--quiet", "--hard")
    hosted.checkout.git("clean", "-qfdx")


def told(place: World, *options: str, env: dict[str, str]) -> dict[str, str]:
    """The environment of a command."""
    shown = place.runner.run("exec", *options, "run.json", "--", "python3", "-c", SHOW, env=env)
    found: dict[str, str] = json.loads(shown.stdout)
    return found


# --- credentials ----------------------------------------------------------------------------------


@pytest.fixture
def given(place: World) -> dict[str, str]:
    """Variables with which a runner reaches its platform, and some of the job's own."""
    path = place.runner.path("credentials")
    path.write_text('[credential "https://github.example"]\n\tusername = x\n\tpassword = secret\n')
    path.chmod(0o600)
    return {
        "CODEREPO_TOKEN": "secret",
        "CODEREPO_TOKEN_ORIGIN": "https://github.example",
        "CODEREPO_CREDENTIALS_FILE": "",
        "GITHUB_TOKEN": "the job's own",
        "CI_JOB_TOKEN": "the job's own",
        "AWS_SECRET_ACCESS_KEY": "the job's own",
    }


@pytest.mark.slow
def test_fetched_code_does_not_get_the_credentials_that_fetched_it(place: World, given: dict[str, str]) -> None:
    remove(place.runner.path("code"))
    for options in ((), ("--copy", "code")):
        environment = told(place, *options, env=given)
        assert environment.keys().isdisjoint(CREDENTIALS)
        assert {environment[name] for name in ("GITHUB_TOKEN", "CI_JOB_TOKEN", "AWS_SECRET_ACCESS_KEY")} == {
            "the job's own"
        }
    file = {"CODEREPO_TOKEN_FILE": str(place.runner.path("credentials")), "CODEREPO_TOKEN_ORIGIN": "https://a.example"}
    assert told(place, env=file).keys().isdisjoint(CREDENTIALS)


@pytest.mark.slow
def test_a_command_that_needs_them_is_given_them(place: World, given: dict[str, str]) -> None:
    environment = told(place, "--keep-credentials", env=given)
    assert {name: environment.get(name) for name in CREDENTIALS if name in given} == {
        name: given[name] for name in CREDENTIALS if name in given
    }


@pytest.mark.parametrize("frozen", [(), ("--frozen",)], ids=["here", "frozen"])
def test_run_leaves_the_users_own_environment_alone(place: World, given: dict[str, str], frozen: tuple[str]) -> None:
    shown = place.user.run("run", *frozen, "python3", "-c", SHOW, cwd=place.checkout.path, env=given)
    environment = json.loads(shown.stdout)
    assert {name: environment.get(name) for name in given} == given


# --- PYTHONPATH -----------------------------------------------------------------------------------


def snapshot(place: World, *, folder: str = ".") -> None:
    place.user.run("snapshot", "-o", place.runner.path("odd.json"), cwd=place.checkout.path / folder)


def paths(place: World, *options: str, env: dict[str, str] | None = None) -> tuple[list[str], str]:
    """PYTHONPATH in a command of the last snapshot, and what was said."""
    shown = place.runner.run("exec", *options, "odd.json", "--", "sh", "-c", 'printf %s "$PYTHONPATH"', env=env or {})
    return shown.text.split(":") if shown.text else [], shown.errors


@pytest.mark.slow
@pytest.mark.parametrize("name", first_quick("x:/tmp:y", "a:b", ":"))
def test_a_directory_with_a_colon_puts_no_other_directory_on_the_path(place: World, name: str) -> None:
    place.checkout.write(f"{name}/main.py", "print('main')\n")
    snapshot(place, folder=name)
    found, said = paths(place, env={"PYTHONPATH": "/the/users/own"})
    assert [os.path.basename(found[0]), *found[1:]] == ["tree", "/the/users/own"]
    assert f"warning: '{name}' is not on PYTHONPATH: its path contains ':'" in said
    assert place.runner.run("exec", "odd.json", "--", "python3", "main.py").text == "main\n"


def test_a_cache_or_a_copy_with_a_colon_is_not_split(place: World, tmp_path: Path) -> None:
    snapshot(place)
    found, said = paths(place, env={"CODEREPO_CACHE_DIR": str(tmp_path / "c:/tmp/x")})
    assert found == []
    assert "warning: the root of the code is not on PYTHONPATH" in said
    found, said = paths(place, "--copy", str(tmp_path / "co:py"))
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    first_quick(
        "random.py", "encodings.py", "site.py", "types/__init__.py", "sitecustomize.py", "_random.abi3.so", "io.pyc"
    ),
)
def test_a_module_with_the_name_of_one_of_pythons_own_does_not_break_python(place: World, name: str) -> None:
    place.checkout.write(name, "raise SystemExit('the wrong module')\n")
    snapshot(place)
    program = "import random, pathlib; print(pathlib.Path(random.__file__).parent.name)"
    below = ("exec", "--directory", "services", "odd.json", "--", "python3")
    shown = place.runner.run(*below, "-P", "-c", program, check=False)
    if shown.status == 2:  # a Python without -P
        shown = place.runner.run(*below, "-c", program)
    assert shown.status == 0, shown.errors
    assert shown.text.startswith("python3")
    top = name.partition("/")[0]
    assert (
        f"warning: the root of the code is not on PYTHONPATH: '{top}' has the name of a standard module" in shown.errors
    )
    # A script finds what lies beside it, as in the checkout.
    assert place.runner.run(*below, "main.py").text == "main\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", first_quick("randomly.py", "random.txt", "types/data.csv", "test/__init__.py", "json/x/y.py")
)
def test_other_names_do_no_harm(place: World, name: str) -> None:
    place.checkout.write(name, "raise SystemExit('the wrong module')\n")
    snapshot(place)
    found, said = paths(place)
    assert [os.path.basename(path) for path in found] == ["tree"]
    assert "PYTHONPATH" not in said
    program = "import helper, random, json, types; print(helper.NAME)"
    assert (
        place.runner.run("exec", "--directory", "services", "odd.json", "--", "python3", "-c", program).text
        == "helper\n"
    )


def test_frozen_runs_keep_to_the_same(place: World) -> None:
    place.checkout.write("encodings.py", "raise SystemExit('the wrong module')\n")
    shown = place.user.run("run", "--frozen", "python3", "services/main.py", cwd=place.checkout.path)
    assert shown.text == "main\n"
    assert "'encodings.py' has the name of a standard module" in shown.errors


# --- bytecode -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_bytecode_is_read_or_written_beside_the_code(place: World) -> None:
    remove(place.runner.path("code"))
    program = "import helper, sys; print(sys.pycache_prefix)"
    for options in ((), ("--copy", "code")):
        shown = place.runner.run("exec", *options, "run.json", "--", "python3", "-c", program)
        assert shown.text not in ("", "None\n")
    assert list(place.runner.path("code").rglob("__pycache__")) == []
    assert place.runner.run("verify", "--strict", "run.json", "code").status == 0
    own = str(place.runner.path("my bytecode"))
    assert told(place, env={"PYTHONPYCACHEPREFIX": own})["PYTHONPYCACHEPREFIX"] == own


# --- the receipt ----------------------------------------------------------------------------------


def test_a_receipt_that_is_no_file_is_written_once(place: World) -> None:
    shown = place.runner.run("exec", "--receipt", "/dev/stdout", "run.json", "--", "true")
    assert json.loads(shown.stdout)["verified"] is True


def test_a_receipt_whose_folder_is_gone_changes_no_status(place: World) -> None:
    folder = place.runner.path("receipts")
    folder.mkdir()
    shown = place.runner.run(
        "exec", "--receipt", "receipts/r.json", "run.json", "--", "sh", "-c", 'rm -r "$0"; exit 3', folder, check=False
    )
    assert shown.status == 3
    assert "the receipt does not say whether the command changed the code" in shown.errors
