"""A bug in this program: the user reads one line and where the report is; the report holds no secret."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import platformdirs
import pytest

import git_coderepo
from git_coderepo.crash_report import crash_directory, report_crash
from git_coderepo.credentials.secret import Secret
from tests.e2e.support import forms, lines
from tests.hints import cures
from tests.hints.support import tail, typed
from tests.support.program import Program, Result
from tests.support.repo import Repo

TOKEN = "glpat-Zx9_Qw7rTy5uIo3pAs1d"
PASSWORD = "it's a/pass+wörd %40\\"
HIDDEN = (TOKEN, PASSWORD, "hunter-of-2", "swordfish")


@pytest.fixture
def checkout(repo: Repo, program: Program) -> Repo:
    program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    repo.write("train.py", "print('trained')\n")
    repo.write("run.json", '{"manifestVersion": "1.0"}')
    repo.commit()
    repo.push_to(repo.path.parent / "remote.git")
    return repo


def broken(tmp_path: Path, source: str, module: str = "pkgutil") -> dict[str, str]:
    """The environment in which one of Python's modules is replaced by this source, where nobody expects a bug."""
    folder = tmp_path / "broken"
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def reports(program: Program) -> list[Path]:
    return sorted(Path(program.env["XDG_STATE_HOME"], "git-coderepo", "crashes").glob("*"))


def report_of(program: Program) -> str:
    (path,) = reports(program)
    return path.read_text(encoding="utf-8")


def assert_hidden(text: str, *secrets: str) -> None:
    for secret in secrets:
        for form in (secret, repr(secret)[1:-1], quote(secret, safe=""), *(each.decode() for each in forms(secret))):
            assert form not in text, f"{form} in {text}"


@cures(
    "read the crash report: cat {shell_word(path)}",
    "report this bug and attach that file: it holds no tokens and no values of variables",
)
def test_the_user_reads_one_line_and_where_the_report_is(checkout: Repo, program: Program, tmp_path: Path) -> None:
    program.env.update(broken(tmp_path, "def helper():\n    1 / 0\nhelper()\n"))
    for words in (("validate", "run.json"), ("--verbose", "validate", "run.json")):
        done = program.run(*words, cwd=checkout.path, check=False)
        assert done.status == 128
        assert lines(done, "fatal") == ["internal error: ZeroDivisionError: division by zero"]
        assert "Traceback" not in done.errors
    read, sent = lines(done, "hint")
    shown = typed(tail(read), checkout.path, program.env).text
    assert re.search(r"(?m)^git-coderepo +" + re.escape(git_coderepo.__version__), shown)
    assert re.search(r"(?m)^python +3\.", shown) and re.search(r"(?m)^git +\d+\.\d+", shown)
    assert re.search(r"(?m)^requests +\d", shown) and re.search(r"(?m)^system +\w+ ", shown)
    assert re.search(r"(?m)^command +git coderepo --verbose validate run.json$", shown)
    assert 'File "git_coderepo/manifest/codec.py", line ' in shown and "\n    import pkgutil\n" in shown
    assert 'pkgutil.py", line 2, in helper' in shown
    assert "1 / 0" not in shown, "a line of a file that is not ours"
    assert shown.endswith("\nZeroDivisionError: division by zero\n")
    assert "attach that file" in sent
    for path in reports(program):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_secret_of_the_command_or_of_a_message_is_in_it(checkout: Repo, program: Program, tmp_path: Path) -> None:
    """In the message: what a client says of a header, of a URL, and a token by its shape."""
    basic = base64.b64encode(f"ada:{TOKEN}".encode()).decode()
    messages = [
        f"Invalid header value b'Bearer {TOKEN}'", "{'Authorization': 'token swordfish', 'A': 'b'}",
        f"Invalid leading whitespace in header value: 'Basic {basic}'", "Private-Token: swordfish",
        "https://ada:swordfish@git.corp/x and https://git.corp/x?private_token=swordfish", f"it is {TOKEN}.",
        "variable hunter-of-2", "password swordfish", f"as typed {PASSWORD}, escaped {PASSWORD!r}",
    ]  # fmt: skip
    source = f"text = {messages!r}\ntry:\n    raise KeyError(text[0])\nexcept KeyError as error:\n"
    source += "    raise ValueError('\\n'.join(text)) from error\n"
    program.env.update(broken(tmp_path, source))
    program.env["MY_TOKEN"] = "hunter-of-2"
    url = f"https://ada:{quote(PASSWORD, safe='')}@git.corp/x"
    command = ["train", url, "--token", "swordfish", "--api-key=swordfish", TOKEN, "--epochs=3"]
    done = program.run("exec", "run.json", "--", *command, cwd=checkout.path, check=False)
    assert done.status == 125, "nothing was started"
    assert lines(done, "fatal")[0].startswith("internal error: ValueError: Invalid header value b'Bearer ****")
    text = report_of(program)
    assert re.search(r"(?m)^KeyError: ", text) and re.search(r"(?m)^ValueError: ", text)
    assert "'https://****@git.corp/x' --token '****' '--api-key=****' '****' --epochs=3\n" in text
    for each in (done.errors, done.text, text):
        assert_hidden(each, *HIDDEN, basic)


def test_values_that_only_a_platform_knows_are_hidden(checkout: Repo, program: Program, tmp_path: Path) -> None:
    """Somebody's own class raises whatever it likes, with the secret that it was given."""
    checkout.write(
        "mine.py",
        "from git_coderepo import BaseCodeRepository, Option\n"
        "class Mine(BaseCodeRepository):\n"
        "    options = (Option('key', 'key', secret=True), Option('pin', 'pin'))\n"
        "    def __init__(self, name, options):\n"
        "        super().__init__(name, options)\n"
        "        self.given = dict(options)\n"
        "    def login(self):\n"
        "        raise LookupError(f'{self.given}')  # swordfish\n"
        "    def download_files(self, commit, directory, repo_sub_directory): ...\n"
        "    def get_local_context(self, path): ...\n",
    )
    (tmp_path / "key").write_text(f"{PASSWORD}\n")
    program.env["PYTHONPATH"] = str(checkout.path)
    words = ("register", "mine", "--source", "mine.Mine", f"--key=@{tmp_path / 'key'}", "--pin=swordfish")
    done = program.run(*words, cwd=checkout.path, check=False)
    assert lines(done, "fatal")[0].startswith("internal error: LookupError: {"), done.errors
    for text in (done.errors, report_of(program)):
        assert_hidden(text, PASSWORD, "swordfish")
    assert "git coderepo register mine --source '****' '--key=****' '--pin=****'\n" in report_of(program)


@pytest.mark.slow
def test_every_form_of_a_secret_of_this_process_is_hidden(tmp_path: Path) -> None:
    made = [Secret(PASSWORD), Secret("four")]
    error = ValueError(PASSWORD, quote(PASSWORD), PASSWORD.encode(), base64.b64encode(f"u:{PASSWORD}".encode()), "four")
    notes = getattr(error, "add_note", None)
    if notes is not None:
        notes(f"a note about {PASSWORD}")
    crash = report_crash(error, ["status"], {"XDG_STATE_HOME": str(tmp_path)})
    (path,) = (tmp_path / "git-coderepo" / "crashes").iterdir()
    for text in (crash.message, path.read_text(encoding="utf-8")):
        assert_hidden(text, PASSWORD, "four")
    assert len(made) == 2


@pytest.mark.slow
def test_the_newest_twenty_are_kept(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    folder = tmp_path / "git-coderepo" / "crashes"
    report_crash(ValueError("first"), ["status"], environment)
    (first,) = folder.iterdir()
    first.rename(folder / f"20000101T000000Z-{first.name}")
    (folder / "my notes.txt").write_text("mine\n")
    for number in range(20):
        report_crash(ValueError(f"number {number}"), ["status"], environment)
    assert len(list(folder.glob("*.crash.txt"))) == 20
    assert not [path for path in folder.iterdir() if path.name.startswith("2000")]
    assert (folder / "my notes.txt").exists()


def read_only(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "a file").write_text("")
    return {"XDG_STATE_HOME": str(tmp_path / "a file")}


def of_everybody(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "public").mkdir()
    (tmp_path / "public").chmod(0o777)
    return {"XDG_STATE_HOME": str(tmp_path / "public")}


@cures("report this bug with the line above; a crash report cannot be written: {reason}")
@pytest.mark.parametrize("place", [read_only, of_everybody])
def test_where_no_file_can_be_written_the_line_says_more(
    checkout: Repo, program: Program, tmp_path: Path, place: Callable[[Path], Mapping[str, str]]
) -> None:
    program.env.update(broken(tmp_path, f"raise ValueError('Bearer {TOKEN}')\n"), **place(tmp_path))
    done = program.run("validate", "run.json", cwd=checkout.path, check=False)
    assert done.status == 128
    (line,) = lines(done, "fatal")
    version = re.escape(git_coderepo.__version__)
    words = (
        rf"internal error: ValueError: Bearer \*{{4}} \(at git_coderepo/manifest/codec\.py:\d+; git-coderepo {version},"
    )
    assert re.match(words + r" Python 3\.\d+\.\S+, \w+ .*\)$", line), line
    (hint,) = lines(done, "hint")
    assert hint.startswith("report this bug with the line above; a crash report cannot be written: ")
    assert len(done.errors.splitlines()) == 2
    assert not list(tmp_path.rglob("*.crash.txt"))


def test_the_place_is_the_one_of_platformdirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for state in (None, str(tmp_path / "state"), "relative/state"):
        if state is None:
            monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        else:
            monkeypatch.setenv("XDG_STATE_HOME", state)
        if state != "relative/state":  # platformdirs takes it as it is
            assert crash_directory() == os.path.join(platformdirs.user_state_dir("git-coderepo"), "crashes")
        assert os.path.isabs(crash_directory())


# --- outside of the verbs ----------------------------------------------------------------------


def damaged(tmp_path: Path, module: str, bug: str = f"raise LookupError('Bearer {TOKEN}')\n") -> Path:
    """A copy of the package in which one module has a bug at its end."""
    copy = tmp_path / "site packages" / "git_coderepo"
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(os.path.dirname(git_coderepo.__file__), copy, ignore=skipped)
    with open(copy / module, "a", encoding="utf-8") as file:
        file.write(f"\n\n{bug}")
    return copy


def started(copy: Path, program: Program, checkout: Repo, *words: str | Path) -> Result:
    env = {**program.env, "PYTHONPATH": str(copy.parent)}
    done = subprocess.run([sys.executable, *words], cwd=checkout.path, env=env, capture_output=True, timeout=60)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True], ids=["as the installed hook starts it", "the whole program"])
def test_the_pre_run_hook_says_it_and_leaves_no_record(
    checkout: Repo, program: Program, tmp_path: Path, whole: bool
) -> None:
    copy = damaged(tmp_path, "snapshots/packing.py")
    current = checkout.git_dir() / "coderepo" / "current.json"
    current.parent.mkdir(exist_ok=True)
    current.write_text("{}")
    checkout.write("train.py", "an edit\n")
    words = ["-m", "git_coderepo", "hook", "pre-run"] if whole else ["-IS", copy / "hooks" / "lean.py"]
    done = started(copy, program, checkout, *words)
    assert done.status == 1
    assert not current.exists()
    assert lines(done, "fatal") == ["internal error: LookupError: Bearer ****"]
    assert "Traceback" not in done.errors
    text = report_of(program)
    assert_hidden(text + done.errors, TOKEN)
    assert "\ncommand " in text and "git coderepo hook pre-run\n" in text
    assert 'File "git_coderepo/snapshots/packing.py", line ' in text


@pytest.mark.slow
@pytest.mark.parametrize(("words", "status"), [(("status",), 128), (("run", "--", "true"), 125)])
def test_a_command_line_that_cannot_be_imported(
    checkout: Repo, program: Program, tmp_path: Path, words: tuple[str, ...], status: int
) -> None:
    copy = damaged(tmp_path, "cli/output.py")
    done = started(copy, program, checkout, "-m", "git_coderepo", *words)
    assert done.status == status
    assert lines(done, "fatal") == ["internal error: LookupError: Bearer ****"]
    assert_hidden(report_of(program) + done.errors, TOKEN)


def test_an_installation_in_which_nothing_works(checkout: Repo, program: Program, tmp_path: Path) -> None:
    copy = damaged(tmp_path, "errors.py")
    done = started(copy, program, checkout, "-m", "git_coderepo", "status")
    assert done.status == 128
    assert done.errors == "fatal: internal error: LookupError, and no crash report: LookupError\n"
    assert reports(program) == []


@pytest.mark.slow
def test_a_bug_after_the_command_has_run_does_not_change_its_status(
    checkout: Repo, program: Program, tmp_path: Path
) -> None:
    bug = f"def _say_outputs(finished):\n    raise LookupError('Bearer {TOKEN}')\n"
    copy = damaged(tmp_path, "cli/record/run.py", bug)
    done = started(copy, program, checkout, "-m", "git_coderepo", "run", "--", "sh", "-c", "exit 7")
    assert done.status == 7, done.errors
    assert lines(done, "warning")[-1] == "internal error: LookupError: Bearer ****"
    assert len(lines(done, "hint")) == 2
    assert_hidden(report_of(program) + done.errors, TOKEN)


@pytest.mark.slow
def test_a_thread_that_fails_is_reported_and_the_verb_goes_on(checkout: Repo, program: Program, tmp_path: Path) -> None:
    bug = f"import threading\nfailing = threading.Thread(target=lambda: int('Bearer {TOKEN}'))\n"
    copy = damaged(tmp_path, "snapshots/report.py", bug + "failing.start()\nfailing.join()\n")
    done = started(copy, program, checkout, "-m", "git_coderepo", "status")
    assert done.status == 0
    assert lines(done, "warning")[0].startswith("internal error: ValueError: invalid literal for int()")
    assert "reproducible" in done.text and "Traceback" not in done.errors
    assert_hidden(report_of(program) + done.errors, TOKEN)


def test_a_machine_on_which_even_versions_cannot_be_told(checkout: Repo, program: Program, tmp_path: Path) -> None:
    """Whatever is broken: the report says what it can."""
    bug = f"raise LookupError('Bearer {TOKEN}')\n"
    program.env.update(broken(tmp_path, bug), **broken(tmp_path, bug, module="email"))
    done = program.run("validate", "run.json", cwd=checkout.path, env={"PATH": str(tmp_path)}, check=False)
    assert lines(done, "fatal") == ["internal error: LookupError: Bearer ****"]
    text = report_of(program)
    assert re.search(r"(?m)^git +unknown \(GitNotFound\)$", text)
    assert re.search(r"(?m)^dependencies +unknown \(LookupError\)$", text)
