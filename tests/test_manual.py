"""The manual page says what is so: it is made from the program, and nothing that the program reads is left out."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import git_coderepo
from git_coderepo import errors
from git_coderepo.cli.app import commands
from git_coderepo.cli.help import manual, manual_text
from git_coderepo.cli.help.help import plain
from git_coderepo.cli.help.introspection import program_options, verbs
from git_coderepo.cli.table import VERBS
from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types
from git_coderepo.settings import PROGRAM, SETTINGS, TEAM, TRUSTED_SCOPES, Entry, Settings
from tests.hints import cures
from tests.support.program import Program
from tests.support.repo import Repo

PACKAGE = Path(git_coderepo.__file__).parent
PAGE = PACKAGE.parent / "man" / "git-coderepo.1"

# What the program sets for the helper that it gives to git: nobody else may set them.
OURS_ALONE = {"CODEREPO_GIT_USER", "CODEREPO_GIT_PASSWORD"}

READERS = ("text", "texts", "configured", "choice", "flag", "size", "seconds")


@pytest.fixture(scope="module")
def page() -> str:
    return plain(manual.make())


def sources() -> Iterator[ast.AST]:
    """Every node of the program's sources, those of the manual itself left out."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.name.startswith("manual"):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


# --- the page ---


def test_the_pages_are_those_that_make_man_writes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in PAGE.parent.iterdir()} == manual.pages(), "make man"


def test_every_verb_has_a_page_with_each_of_its_options_and_the_main_page_lists_it(page: str) -> None:
    for verb in verbs():
        own = plain(manual.make_verb(verb.words[0]))
        titles = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"]
        assert [line for line in own.splitlines() if line in titles] == titles, f"add {verb.words[0]} to VERB_EXAMPLES"
        assert f"git coderepo {' '.join(verb.words)}" in own
        assert " ".join(verb.help.split()).replace("`", "") in " ".join(own.split())
        for each in verb.parameters:
            for name in each.flags or (str(each.metavar),):
                assert re.search(rf"(?m)^    .*{re.escape(name)}", own), f"{verb.words} has {name}"
        assert f"git-coderepo-{verb.words[0]}(1)" in page
    for option in program_options():
        for flag in option.flags:
            assert flag in page


def test_every_option_and_token_page_of_each_platform_is_in_it(page: str) -> None:
    flat = " ".join(page.split())
    for name in platform_types():
        assert f"\n  {name}: " in page
        if name == CUSTOM:
            continue
        platform = platform_class(name)
        for option in platform.options:
            assert f"{option.flag} {option.help}".replace("`", "") in flat
        assert platform.token_help in flat
        for variable in platform.token_variables:
            assert variable.name in page


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_finds_no_fault_in_any_page() -> None:
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", *sorted(PAGE.parent.glob("git-*.1"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_shows_it(env: dict[str, str]) -> None:
    done = subprocess.run(
        ["man", "--local-file", PAGE] if b"--local-file" in _help_of_man() else ["man", PAGE],
        capture_output=True, check=False, timeout=60, env={**env, "MANPAGER": "cat", "MANWIDTH": "100"},
    )  # fmt: skip
    assert done.returncode == 0
    shown = re.sub(r".\x08", "", done.stdout.decode())
    assert "git coderepo fetch [<options>] RUN DIR" in shown
    assert shown.isprintable() or all(char.isprintable() or char == "\n" for char in shown)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_finds_no_fault_in_any_page() -> None:
    done = subprocess.run(
        ["groff", "-Kutf8", "-man", "-Tutf8", "-ww", "-z", *sorted(PAGE.parent.glob("git-*.1"))],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)


def _help_of_man() -> bytes:
    return subprocess.run(["man", "--help"], capture_output=True, check=False, timeout=60).stdout


def test_help_prints_the_page_where_it_goes_into_a_pipe(program: Program, page: str) -> None:
    assert program.run("help").text == page
    assert max(map(len, page.splitlines())) < 100
    assert "\\" not in page


def test_help_shows_the_page_of_a_verb_and_the_sections_of_a_topic(program: Program, page: str) -> None:
    shown = program.run("help", "fetch").text
    assert shown == plain(manual.make_verb("fetch"))
    assert program.run("fetch", "--help").text == program.run("fetch", "RUN", "--help").text == shown
    assert program.run("secret", "set", "--help").text == plain(manual.make_verb("secret"))
    headings = set(re.findall(r"(?m)^[A-Z].*$", page))
    for topic, titles in manual_text.TOPICS.items():
        assert topic not in VERBS, "the page of a verb hides the topic"
        assert set(titles) <= headings
    assert {title for each in manual_text.VERB_SECTIONS.values() for title in each} <= headings
    shown = program.run("help", "store").text
    assert shown.startswith("SHARED STORE\n") and shown in page


@cures("git coderepo help {similar[0]}")
def test_a_mistyped_topic_is_answered_with_a_similar_one(program: Program) -> None:
    refused = program.run("help", "credential", check=False)
    assert (refused.status, refused.errors.splitlines()[0]) == (129, "fatal: no help for 'credential'")
    hint = refused.errors.splitlines()[1].removeprefix("hint: git coderepo ")
    assert program.run(*hint.split()).text.startswith("CREDENTIALS\n")


@cures("git coderepo help -h")
def test_the_topics_are_listed_where_none_is_similar(program: Program) -> None:
    refused = program.run("help", "zzz", check=False)
    assert refused.errors.endswith("hint: git coderepo help -h\n")
    listed = " ".join(program.run("help", "-h").text.split())
    assert all(topic in listed for topic in manual_text.TOPICS)


# --- what it says is so ---


def read_settings() -> set[tuple[str, str]]:
    """The readers and the names that the program gives them: `settings.size("inlineLimit")` and its like."""
    found = set()
    for node in sources():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
            names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            found |= {(node.func.attr, name) for name in names[:1] if name in SETTINGS}
    return found


def test_every_setting_of_the_table_is_read_as_what_it_is() -> None:
    readers = read_settings()
    limits = {("size", name) for name in ("overlayLimit", "publishLimit")}  # read by a name in a variable
    for setting in SETTINGS.values():
        used = {reader for reader, name in readers | limits if name == setting.name}
        if setting.set_by == PROGRAM:
            continue
        assert used, f"{setting.name} is never read"
        if setting.repeated:
            assert used <= {"texts", "configured"}, setting.name
        elif setting.choices:
            assert used <= {"choice", "text"}, setting.name
        else:
            kind = {"BOOL": "flag", "SIZE": "size", "SECONDS": "seconds"}.get(setting.value)
            assert used == {kind} if kind else used <= {"text", "configured"}, setting.name
    assert all(callable(getattr(Settings, name)) for name in READERS)


def test_a_setting_that_is_not_in_the_table_cannot_be_read() -> None:
    for reader in ("text", "texts", "choice", "flag", "size"):
        with pytest.raises(KeyError):
            getattr(Settings([], {}), reader)("noSuchSetting")


def test_every_default_of_the_table_is_a_value_that_its_reader_accepts() -> None:
    unset = Settings([], {})
    for name, setting in SETTINGS.items():
        if setting.value == "SIZE":
            assert unset.size(name) >= 0
        elif setting.value == "BOOL":
            assert unset.flag(name) in (True, False)
        elif setting.choices:
            assert unset.choice(name) == setting.default


def test_only_the_user_and_the_system_set_what_chooses_a_program_or_a_credential() -> None:
    for name in ("credentialsFile", "allowSource"):
        entries = [Entry("coderepo", None, name.lower(), scope, scope) for scope in ("local", "worktree", TEAM)]
        assert Settings(entries, {}).configured(name) == []
        entries += [Entry("coderepo", None, name.lower(), scope, scope) for scope in TRUSTED_SCOPES]
        assert Settings(entries, {}).configured(name) == list(TRUSTED_SCOPES)


def test_the_manual_lists_every_setting(page: str) -> None:
    for setting in SETTINGS.values():
        assert f"coderepo.{setting.name} = {setting.value}" in page


def test_the_lists_that_the_program_keeps_are_in_the_table() -> None:
    from git_coderepo.credentials import keyring, named_secrets

    ours = {each.name for each in SETTINGS.values() if each.set_by == PROGRAM}
    assert ours == {keyring.LIST, keyring.OPTION_LIST, named_secrets._LIST}


def test_every_variable_that_is_read_is_in_it_and_no_other(page: str) -> None:
    spelt = {
        name
        for node in sources()
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in re.findall(r"\bCODEREPO_[A-Z_]*[A-Z]\b", node.value)
    }
    variables = {each.variable for each in SETTINGS.values() if each.set_by != PROGRAM}
    tables = (manual_text.ENVIRONMENT, manual_text.RUN_ENVIRONMENT, manual_text.HOOK_ENVIRONMENT)
    documented = {name for table in tables for name, _ in table}
    assert spelt - OURS_ALONE - variables == documented
    assert documented | variables == set(re.findall(r"\bCODEREPO_[A-Z_]*[A-Z]\b", page))


def test_each_exit_status_of_an_error_is_in_it() -> None:
    def statuses(kind: type[errors.CodeRepoError]) -> Iterator[int]:
        yield kind.exit_status
        for each in kind.__subclasses__():
            yield from statuses(each)

    documented = {int(number) for number, _ in manual_text.STATUS}
    # 0 done, 130 interrupted, 141 a broken pipe: no error's own.
    assert set(statuses(errors.CodeRepoError)) | {0, 130, 141} == documented


def test_the_examples_are_commands_that_there_are() -> None:
    for command, _ in (*manual_text.EXAMPLES, *(row for rows in manual_text.VERB_EXAMPLES.values() for row in rows)):
        words = command.partition(" -- ")[0].split()
        if words[:2] == ["git", "config"]:
            continue
        assert words[:2] == ["git", "coderepo"]
        (verb,) = (each for each in verbs() if each.words == tuple(words[2 : 2 + len(each.words)]))
        flags = {flag for option in verb.options for flag in option.flags}
        if verb.takes_platform_options or verb.words == ("secret", "set"):
            flags |= {"--instance-url", "--token"}
        used = {word.partition("=")[0] for word in words[3:] if word.startswith("-") and word != "-"}
        assert used <= flags, command


# What needs a platform, a keyring or another command before it; or takes long and has tests of its own.
_NOT_RUN = ("--check", "ci.txt", "--frozen", "publish", "register", "update", "remove", "login", "logout", "secret",
            "--token", "github.com", "build-key", "demo", "help", "--as-runner", "completion", "--branch")  # fmt: skip


@pytest.mark.slow
def test_the_examples_of_the_verbs_work_in_their_order(program: Program, repo: Repo, tmp_path: Path) -> None:
    repo.write("train.py", "import os\nif os.access('.', os.W_OK):\n    open('model.bin', 'w').close()\n")
    repo.write(".gitignore", "model.bin\ncode*/\n*.json\n")
    repo.write("scratch.txt", "draft\n")
    repo.git("add", "train.py", ".gitignore")
    repo.git("commit", "--quiet", "-m", "first")
    repo.git("init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    repo.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    repo.git("push", "--quiet", "origin", "HEAD")
    env = {"CODEREPO_CACHE_DIR": str(tmp_path / "cache"), "CODEREPO_ALLOW_PROTOCOL": "file"}
    ran = 0
    for rows in manual_text.VERB_EXAMPLES.values():
        for command, _ in rows:
            if not any(word in command for word in _NOT_RUN):
                words = [sys.executable if word == "python" else word for word in shlex.split(command)[2:]]
                program.run(*words, cwd=repo.path, env=env)
                ran += 1
    assert ran > 20


# --- the short help ---


def test_the_list_of_verbs_has_the_first_sentence_of_each_verbs_help() -> None:
    helps = {name: command.help for name, command in commands(*VERBS).items()}
    listed = {name: verb.summary for name, verb in VERBS.items()}
    helped = {name: " ".join(help.split("\n\n")[0].split()) for name, help in helps.items()}
    assert listed == helped, "change the summary in git_coderepo/cli/table.py as well"


def test_no_summary_is_cut_short_in_the_list_of_verbs(program: Program) -> None:
    listed = "".join(program.run(*group, "-h").text for group in ((), ("secret",), ("hooks",), ("cache",)))
    assert "..." not in listed.replace("[ARGS]...", "")
    for verb in verbs():
        assert verb.summary in listed
        assert len(verb.summary) <= 62


def test_usage_lines_read_as_gits_do(program: Program) -> None:
    assert program.run("fetch", "-h").text.splitlines()[0] == "Usage: git coderepo fetch [OPTIONS] RUN DIR"
    for verb in verbs():
        assert "{" not in program.run(*verb.words, "-h").text.splitlines()[0]
        assert all(each.help for each in verb.parameters), f"{verb.words} leaves an option unexplained"


def test_register_and_update_list_the_options_of_the_platforms(program: Program) -> None:
    for verb in ("register", "update"):
        shown = program.run(verb, "-h").text
        for name in platform_types():
            assert f"Options of '{name}'" in shown
        assert "--instance-url" in shown and "--owner" in shown


def helps(width: int) -> Iterator[str]:
    """The short help of each command, in a terminal of that width."""
    found = list(commands(*VERBS).values())
    for command in [*found, *(each for group in found for each in getattr(group, "commands", {}).values())]:
        yield command.get_help(command.context_class(command, info_name="git coderepo verb", terminal_width=width))


@pytest.mark.parametrize("width", [60, 70, 80, 90, 100])
def test_the_short_help_fits_the_terminal_and_breaks_between_words(width: int) -> None:
    for shown in helps(width):
        assert max(map(len, shown.splitlines())) <= width, shown
        assert not re.search(r"(?m)\w-$", shown), shown
        assert not re.search(r"(?m)git coderepo$|git coderepo run --$", shown), shown


def test_without_a_verb_the_help_is_shown_on_standard_error(program: Program) -> None:
    for words in ([], ["secret"]):
        shown = program.run(*words, check=False)
        assert (shown.status, shown.text) == (129, "")
        assert shown.errors.startswith("Usage: git coderepo")


def test_the_verbs_are_listed_in_one_order_whichever_was_imported_first(program: Program) -> None:
    listed = re.findall(r"(?m)^  ([a-z-]+)  ", program.run("-h").text.partition("Everyday:")[2])
    assert listed == list(dict.fromkeys(verb.words[0] for verb in verbs()))
    assert listed[0] == "run"
