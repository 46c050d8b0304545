"""Each hint about registrations, typed: names, options, remotes, and what is in the configuration."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.hints import cures
from tests.hints.desk import Desk, hint, quoted
from tests.support.repo import Repo

pytestmark = pytest.mark.slow

GITHUB = "https://github.com/acme/widgets.git"
GITLAB = "https://gitlab.com/acme/widgets.git"
# A section of the configuration, and where it stands: a rule for a host counts in the user's configuration only.
PLACES = [("it's", "--local"), ("it's", "--global"), ("https://git.corp/", "--global")]


@pytest.fixture
def desk(repo: Repo) -> Desk:
    """A checkout with one commit and without a remote."""
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    return Desk.of(repo)


def remote(desk: Desk, name: str, url: str) -> None:
    desk.types(f"git remote add {name} {url}")


def register(desk: Desk, *words: str) -> None:
    desk.run("register", "--no-verify", *words)


def registered(desk: Desk) -> list[str]:
    return [each["name"] for each in desk.run("list", "--json").json() if each.get("registered", True)]


# --- which one is meant -----------------------------------------------------------------------------------


@cures("did you mean '{near[0]}'?", "git coderepo list")
@pytest.mark.parametrize("verb", [("describe",), ("update", "--no-verify", "--description=x"), ("remove", "-y")])
def test_a_name_that_is_not_registered(desk: Desk, verb: tuple[str, ...]) -> None:
    remote(desk, "origin", GITHUB)
    register(desk, "widgets")
    (near,) = desk.refused(*verb, "wigdets", says="not found: 'wigdets'")
    (listing,) = desk.refused(*verb, "unlike", says="not found: 'unlike'")
    assert desk.types(listing).text.split()[-2:] != [] and "widgets" in desk.types(listing).text
    desk.run(*verb, quoted(near))


@cures(
    "git config coderepo.default {shell_word(min(likely))}",
    "--code-repository {shell_word(min(likely))}",
    "git remote -v",
)
@pytest.mark.parametrize("follow", ["git config", "--code-repository", "git remote"])
def test_several_remotes_of_which_none_is_meant(desk: Desk, follow: str) -> None:
    for name in ("a#b", "other"):
        remote(desk, f"'{name}'", f"https://git.corp/{name.replace('#', '')}.git")
    hints = desk.refused("snapshot", says="several remotes may serve this code")
    typed = hint(hints, follow)
    if follow == "git config":
        desk.types(typed)
        desk.run("snapshot")
    elif follow == "git remote":
        name = desk.types(typed).text.split()[0]
        desk.run("snapshot", "--code-repository", name)
    else:
        desk.types(f"git coderepo snapshot {typed}")


@cures(
    "git config coderepo.default {shell_word(likely)}", "--code-repository {shell_word(likely)}", "git coderepo list"
)
@pytest.mark.parametrize("follow", ["git config", "--code-repository", "git coderepo list"])
def test_several_registrations_match(desk: Desk, follow: str) -> None:
    remote(desk, "up", GITHUB)
    for name, type in (("it's", "github"), ("plain", "git")):
        register(desk, "--type", type, name)
    typed = hint(desk.refused("snapshot", says="several code repositories match"), follow)
    if follow == "git config":
        desk.types(typed)
        desk.run("snapshot")
    elif follow == "git coderepo list":
        assert "plain" in desk.types(typed).text
        desk.run("snapshot", "--code-repository", "plain")
    else:
        desk.types(f"git coderepo snapshot {typed}")


@cures("git coderepo register --remote {shell_word(candidates[0])}")
def test_register_among_several_remotes(desk: Desk) -> None:
    for name in ("a#b", "other"):
        remote(desk, f"'{name}'", f"https://git.corp/{name.replace('#', '')}.git")
    hints = desk.refused("register", "--no-verify", says="several git remotes match")
    desk.types(f"{hint(hints, 'git coderepo register')} --no-verify")
    assert registered(desk) == ["a#b"]


@cures("git remote add origin URL")
@pytest.mark.parametrize("words", [(), ("--type=github",)])
def test_register_without_a_remote(desk: Desk, words: tuple[str, ...]) -> None:
    hints = desk.refused("register", "--no-verify", *words, says="this checkout has no git remote")
    desk.types(hint(hints, "git remote add").replace("URL", GITHUB))
    register(desk, *words)
    assert registered(desk) == ["origin"]


def test_register_with_a_remote_that_is_not_there(desk: Desk) -> None:
    remote(desk, "origin", GITHUB)
    (typed,) = desk.refused("register", "--remote=orogin", says="not found: 'orogin' (known: origin)")
    name = desk.types(typed).text.split()[0]
    register(desk, f"--remote={name}")


@cures("add {flags}")
def test_a_type_that_no_remote_is_of(desk: Desk) -> None:
    remote(desk, "origin", "https://git.corp/acme/widgets.git")
    words = ("hub", "--type=github", "--host=code.corp")
    hints = desk.refused("register", "--no-verify", *words, says="no remote of this checkout matches the options")
    assert hint(hints, "add ") == "add --owner and --repository"
    register(desk, *words, "--owner=acme", "--repository=widgets")
    name = desk.types(hint(hints, "git remote")).text.split()[0]
    register(desk, "lab", "--type=gitlab", f"--remote={name}")


@cures("give {names[0]} and {names[1]}, or a remote")
def test_a_remote_that_names_no_repository(desk: Desk) -> None:
    remote(desk, "origin", "https://git.corp/x.git")
    (given,) = desk.refused("register", "--no-verify", "--type=gitlab", says="cannot tell which repository")
    flags = given.removeprefix("give ").removesuffix(", or a remote").split(" and ")
    register(desk, "lab", "--type=gitlab", *(f"{flag}=x" for flag in flags))
    remote(desk, "up", "https://git.corp/acme/widgets.git")
    register(desk, "--type=gitlab", "--remote=up")


@cures("--type={other}")
def test_a_type_that_the_remote_is_not_of(desk: Desk) -> None:
    remote(desk, "origin", GITLAB)
    says = "no remote of this checkout is on GitHub: 'origin' is on 'gitlab.com', which is GitLab"
    hints = desk.refused("register", "--no-verify", "--type=github", says=says)
    register(desk, hint(hints, "--type"))
    register(desk, "hub", "--type=github", *(f"{flag}=x" for flag in hint(hints, "add")[4:].split(" and ")))


@cures(
    "omit the options to register that remote",
    "--remote={shell_word(remote)} uses that remote anyway",
    "use --no-remote to register a repository that is not a remote of this checkout",
)
@pytest.mark.parametrize("follow", ["omit", "--remote", "use --no-remote"])
def test_options_that_contradict_the_remote(desk: Desk, follow: str) -> None:
    remote(desk, "origin", GITHUB)
    words = ["hub", "--type=github", "--owner=acme", "--repository=other"]
    hints = desk.refused("register", "--no-verify", *words, says="the options name 'acme/other', but the remote")
    typed = hint(hints, follow).removeprefix("use ").split(" ")[0]
    register(desk, *(words[:1] if follow == "omit" else [*words, typed]))
    assert registered(desk) == ["hub"]


@cures("add --type=github, --type=gitlab or --type=git")
def test_no_remote_without_a_type(desk: Desk) -> None:
    words = ("hub", "--no-remote", "--owner=acme", "--repository=widgets")
    (given,) = desk.refused("register", *words, says="--no-remote requires --type")
    register(desk, *words, given.split()[1].rstrip(","))


@cures("git coderepo register NAME")
def test_without_a_remote_a_name_is_needed(desk: Desk) -> None:
    words = "--no-verify --no-remote --type=github --owner=acme --repository=widgets"
    (typed,) = desk.refused("register", *words.split(), says="requires a name")
    desk.types(f"{typed.replace('NAME', 'hub')} {words}")


@cures(
    "add the options to: git coderepo update {shell_word(existing.name)}",
    "git coderepo register NAME creates another registration of the remote",
)
def test_a_remote_that_is_registered_under_another_name(desk: Desk) -> None:
    remote(desk, "origin", GITHUB)
    register(desk, "it's")
    words = "--no-verify --description='a try'"
    hints = desk.refused("register", "--no-verify", "--description=a try", says="is already registered as 'it's'")
    desk.types(f"{hint(hints, 'add').partition(': ')[2]} {words}")
    assert "a try" in desk.run("describe", "it's").text
    typed = hint(hints, "git coderepo register").partition(" creates")[0].replace("NAME", "another")
    desk.types(f"{typed} {words}")
    assert sorted(registered(desk)) == ["another", "it's"]


@cures("add {flags} to git coderepo register or update, or choose another remote: --remote REMOTE")
@pytest.mark.parametrize("follow", [("--owner=acme", "--repository=widgets"), ("--remote", "hub")])
def test_a_registered_remote_that_was_moved_to_another_platform(desk: Desk, follow: tuple[str, ...]) -> None:
    remote(desk, "origin", GITHUB)
    register(desk, "widgets")
    desk.types(f"git remote set-url origin {GITLAB}; git remote add hub {GITHUB}")
    (given,) = desk.refused("snapshot", "--code-repository=widgets", says="which is GitLab and not GitHub")
    assert follow[0].partition("=")[0] in given
    desk.run("update", "--no-verify", "widgets", *follow)
    desk.run("snapshot", "--code-repository=widgets")


@cures("use --type={other}, or another --host")
def test_a_host_that_is_another_platforms(desk: Desk) -> None:
    words = ["hub", "--no-remote", "--host=gitlab.com"]
    path = ["--owner=acme", "--repository=widgets"]
    (given,) = desk.refused("register", "--no-verify", *words, *path, "--type=github", says="its host 'gitlab.com' is")
    register(desk, *words, "--group=acme", "--project=widgets", given.split()[1].rstrip(","))
    register(desk, "other", "--no-remote", *path, "--type=github", "--host=github.com")


# --- names and options ------------------------------------------------------------------------------------


@cures("choose a name without '://', '{{' and control characters that does not begin with '-'")
@pytest.mark.parametrize("name", ["", "a://b", "{{a}}", "a\tb"])
def test_what_cannot_be_a_name(desk: Desk, name: str) -> None:
    remote(desk, "origin", GITHUB)
    (given,) = desk.refused("register", "--no-verify", "--", name, says="invalid name")
    register(desk, "--", "a: b-{")
    assert desk.refused("update", "a: b-{", "--name=-a", says="invalid name") == [given]
    desk.run("update", "--no-verify", "a: b-{", "--name=b a-")


@cures("git coderepo update {shell_word(name)}", "git coderepo remove {shell_word(name)}")
def test_a_name_that_is_taken(desk: Desk) -> None:
    remote(desk, "origin", GITHUB)
    register(desk, "it's")
    words = "--description=new"
    hints = desk.refused("register", "--no-verify", "it's", words, says="is already registered")
    desk.types(f"{hint(hints, 'git coderepo update')} --no-verify {words}")
    assert "new" in desk.run("describe", "it's").text
    desk.types(f"{hint(hints, 'git coderepo remove')} --yes")
    register(desk, "it's", words)


@cures("git config --show-origin --get-regexp {shell_word(_pattern(name))}")
@pytest.mark.parametrize("name", ["it's", "a+b (c)", "x.y"])
def test_one_that_is_registered_outside_of_the_checkout(desk: Desk, name: str) -> None:
    desk.config("--global", f'"coderepo.{name}.type" git')
    desk.config("--global", f'"coderepo.{name}.url" https://git.corp/x.git')
    (typed,) = desk.refused("remove", name, says="is registered outside of this checkout")
    rows = desk.types(typed).text.splitlines()
    assert len(rows) == 2
    file = rows[0].partition("\t")[0].removeprefix("file:")
    desk.config(f"--file '{file}' --remove-section \"coderepo.{name}\"")
    assert registered(desk) == []


@cures(
    "did you mean '{flags[near[0]]}'?",
    "options of the platform '{platform.type}': {', '.join(flags.values())}",
)
def test_an_option_that_the_platform_has_not(desk: Desk) -> None:
    remote(desk, "origin", GITHUB)
    words = ("hub", "--type=github", "--repository=widgets")
    (near,) = desk.refused("register", "--no-verify", *words, "--ownr=acme", says="unknown option '--ownr'")
    (all,) = desk.refused("register", "--no-verify", *words, "--zzz=acme", says="unknown option '--zzz'")
    assert all.split("': ")[1].split(", ")[0] == quoted(near) == "--owner"
    register(desk, *words, f"{quoted(near)}=acme")


@cures("add a value: --{bare}=VALUE")
def test_a_reference_in_an_option_that_is_recorded(desk: Desk) -> None:
    words = ("hub", "--no-remote", "--type=github", "--repository=widgets")
    (given,) = desk.refused("register", *words, "--owner={{a.b}}", says="cannot refer to a secret")
    register(desk, *words, given.partition(": ")[2].replace("VALUE", "acme"))


@cures("remove it from the URL, and give the token with --token @FILE or git coderepo login")
def test_a_url_with_a_token_in_it(desk: Desk, tmp_path: Path) -> None:
    desk.env.update(PYTHON_KEYRING_BACKEND="tests.support.keyring_backend.FileKeyring", PYTHONPATH=os.getcwd())
    (tmp_path / "token").write_text("hunter2\n")
    words = ("x", "--no-remote", "--type=git")
    desk.refused("register", *words, "--url=https://a:b@git.corp/x.git", says="invalid URL of '--url'")
    register(desk, *words, "--url=https://git.corp/x.git", "--token", f"@{tmp_path}/token")
    desk.run("remove", "-y", "x")
    register(desk, *words, "--url=https://git.corp/x.git")
    desk.run("login", "--host=git.corp", "--no-verify", f"--token=@{tmp_path}/token")
    assert "hunter2" not in (desk.here / ".git" / "config").read_text()


# --- the configuration ------------------------------------------------------------------------------------


@cures("git config {shell_word(f'coderepo.{name}.type')} github")
def test_a_registration_without_a_type(desk: Desk) -> None:
    remote(desk, "origin", GITHUB)
    desk.config('"coderepo.it\'s.remote" origin')
    (typed,) = desk.refused("snapshot", says="requires a type")
    desk.types(typed)
    desk.run("snapshot")


@cures("git config{_scope(settings, section, key)} --unset-all {shell_word(f'coderepo.{section}.{key}')}")
@pytest.mark.parametrize(("section", "scope"), [*PLACES, ("it's", "--worktree")])
def test_a_setting_that_the_platform_has_not(desk: Desk, section: str, scope: str) -> None:
    remote(desk, "origin", GITHUB)
    desk.config("extensions.worktreeConfig true")
    for key, value in (("type", "github"), ("hosst", "a"), ("hosst", "b")):
        desk.config(scope, f'--add "coderepo.{section}.{key}" {value}')
    if "://" not in section:
        desk.config(f'"coderepo.{section}.remote" origin')
    (typed,) = desk.refused("snapshot", says="unknown option")
    desk.types(typed)
    desk.run("snapshot")


@cures(
    "git coderepo secret set NAME --{key}=@FILE",
    "git config{_scope(settings, section, key)} --replace-all {setting} '{{NAME.{key}}}'",
    "revoke the old token where it was issued, since others may have read it",
)
@pytest.mark.parametrize(("section", "scope"), PLACES)
def test_a_token_in_plain_text(desk: Desk, tmp_path: Path, section: str, scope: str) -> None:
    """Nothing here can revoke it: the hint that says so is followed by a new token, which alone works then."""
    desk.env.update(PYTHON_KEYRING_BACKEND="tests.support.keyring_backend.FileKeyring", PYTHONPATH=os.getcwd())
    (tmp_path / "new").write_text("ghp_new\n")
    remote(desk, "origin", GITHUB)
    for key, value in (("type", "github"), ("token", "ghp_old")):
        desk.config(scope, f'"coderepo.{section}.{key}" {value}')
    if "://" not in section:
        desk.config(f'"coderepo.{section}.remote" origin')
    keep, replace, revoke = desk.refused("snapshot", says="a secret in plain text")
    assert revoke.startswith("revoke the old token")
    desk.types(keep.replace("NAME", "corp").replace("FILE", str(tmp_path / "new")))
    desk.types(replace.replace("NAME", "corp"))
    desk.run("snapshot")
    assert "ghp_" not in desk.types("git config --list").text


@cures("if none is: rm {shell_word(lock)}")
def test_a_lock_that_was_left_behind(desk: Desk) -> None:
    remote(desk, "origin", GITHUB)
    (desk.here / ".git" / "config.lock").write_text("")
    (given,) = desk.refused("register", "--no-verify", "hub", says="another git process is changing")
    desk.types(given.partition(": ")[2])
    register(desk, "hub")


@cures("try again")
def test_a_configuration_that_is_being_changed_all_the_time(desk: Desk, tmp_path: Path) -> None:
    """Whenever the copy of the file is edited, another process has just written a line to the file itself."""
    remote(desk, "origin", GITHUB)
    git = shutil.which("git", path=desk.env["PATH"])
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    config = desk.here / ".git" / "config"
    script.write_text(f"#!/bin/sh\ncase \"$*\" in *--file*) echo '# busy' >>'{config}';; esac\nexec {git} \"$@\"\n")
    script.chmod(0o755)
    alone = desk.env["PATH"]
    desk.env["PATH"] = f"{script.parent}:{alone}"
    hints = desk.refused("register", "--no-verify", "hub", says="keep changing it")
    assert hints == ["try again"]
    desk.env["PATH"] = alone
    register(desk, "hub")
