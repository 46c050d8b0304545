"""A tracked `.coderepo` carries a team's settings: some, none that executes, and the user's own win."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, lines, load, refused, world
from tests.support.repo import Repo


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("team"), "file") as place:
        yield place


@pytest.fixture
def checkout(made: World) -> Repo:
    return made.clone(f"checkout {len(list(made.user.home.iterdir()))}")


def status(made: World, checkout: Repo, **env: str) -> Any:
    return made.user.run("status", "--json", cwd=checkout.path, env=env).json()


def left_out(made: World, checkout: Repo, **env: str) -> set[str]:
    return {each["path"] for each in status(made, checkout, **env)["omitted"]}


@pytest.mark.slow
def test_what_a_team_excludes_stays_here_from_the_moment_that_it_is_written(made: World, checkout: Repo) -> None:
    checkout.write("outputs/a b.log", "x\n")
    checkout.write("cache/x", "x\n")
    assert left_out(made, checkout) == set()
    checkout.write(".coderepo", "[coderepo]\n\texclude = outputs/\n\texclude = cache/\n")
    assert left_out(made, checkout) == {"outputs/a b.log", "cache/x"}, "not committed yet"
    checkout.git("add", ".coderepo")
    checkout.git("commit", "-q", "-m", "settings")
    assert left_out(made, checkout) == {"outputs/a b.log", "cache/x"}
    checkout.write(".coderepo", "[coderepo]\n\texclude = cache/\n")
    assert left_out(made, checkout) == {"cache/x"}, "as it is now"
    (checkout.path / "below").mkdir()
    below = made.user.run("status", "--json", cwd=checkout.path / "below").json()
    assert {each["path"] for each in below["omitted"]} == {"cache/x"}


@pytest.mark.slow
def test_the_users_own_settings_win_and_the_environment_over_both(made: World, checkout: Repo) -> None:
    checkout.write("outputs/x", "x\n")
    checkout.write("cache/x", "x\n")
    checkout.write(".coderepo", "[coderepo]\nexclude = outputs/\noverlayLimit = 1k\n")
    checkout.commit("settings")
    checkout.write("big", "x" * 2000)
    assert "the limit of 1.0 KiB" in status(made, checkout)["problem"]["message"]
    checkout.git("config", "coderepo.overlayLimit", "1m")
    assert status(made, checkout)["reproducible"] is True
    checkout.git("config", "--unset", "coderepo.overlayLimit")
    assert status(made, checkout, CODEREPO_OVERLAY_LIMIT="1m")["reproducible"] is True
    checkout.git("config", "coderepo.overlayLimit", "1m")
    checkout.git("config", "coderepo.exclude", "cache/")
    checkout.git("rm", "-q", "--cached", "-r", "outputs", "cache")
    assert left_out(made, checkout) == {"cache/x"}
    assert left_out(made, checkout, CODEREPO_EXCLUDE="outputs/") == {"outputs/x"}


@pytest.mark.slow
def test_the_platform_of_a_host_is_known_to_the_whole_team(made: World, checkout: Repo) -> None:
    checkout.git("remote", "set-url", "origin", "https://git.corp/acme/widgets.git")
    assert status(made, checkout)["repository"]["type"] == "git"
    checkout.write(".coderepo", '[coderepo "https://git.corp/"]\n\ttype = gitlab\n')
    assert status(made, checkout)["repository"]["type"] == "gitlab"
    assert [row["type"] for row in made.user.run("list", "--json", cwd=checkout.path).json()] == ["gitlab"]
    made.user.run("register", "--no-verify", cwd=checkout.path)
    assert checkout.line("config", "coderepo.origin.type") == "gitlab"
    checkout.git("config", "--remove-section", "coderepo.origin")
    # Another spelling of the same host in the user's own configuration.
    made.user.run("status", cwd=checkout.path)
    checkout.git("config", "--global", "coderepo.https://git.corp.type", "github")
    assert status(made, checkout)["repository"]["type"] == "github"
    checkout.git("config", "--global", "--remove-section", "coderepo.https://git.corp")


FORBIDDEN = (
    "coderepo.origin.type", "coderepo.origin.source", "coderepo.default", "coderepo.secretscan", "coderepo.dirty",
    "coderepo.allowsource", "coderepo.credentialsfile", "coderepo.https://git.corp/.token",
    "coderepo.https://git.corp/.source", "coderepo.https://git.corp/.user", "coderepo.https://git.corp/group/.type",
    "coderepo.http://git.corp/.type", "coderepo.https://ada@git.corp/.type", "coderepo.https://evil.corp/.type",
    "core.fsmonitor", "core.hookspath", "core.sshcommand", "credential.helper", "include.path", "remote.origin.url",
    "url.https://evil.corp/.insteadof", "filter.x.clean", "hook.x.command", "alias.status",
)  # fmt: skip


def test_whatever_else_it_says_is_named_and_passed_over(made: World, checkout: Repo) -> None:
    """Nothing of it starts a program, names a credential or sends one elsewhere; not even through git's own keys."""
    canary = made.user.home / "canary"
    included = made.user.home / "included"
    included.write_text(f"[coderepo]\nexclude = *\n[core]\nfsmonitor = touch {canary}\n")
    values = {"coderepo.https://evil.corp/.type": "custom", "include.path": str(included)}
    for name in FORBIDDEN:
        checkout.git("config", "--file", ".coderepo", name, values.get(name, f"touch {canary}"))
    checkout.git("config", "--file", ".coderepo", "--add", "coderepo.exclude", "outputs/")
    checkout.write("outputs/x", "x\n")
    checkout.git("add", "--", ".coderepo")

    done = made.user.run("snapshot", "-o", made.runner.home / "run.json", cwd=checkout.path)
    named = {line.split("'")[1] for line in lines(done, "warning") if "'.coderepo'" in line}
    assert named == set(FORBIDDEN)
    document = load(made.runner.home / "run.json")
    assert (document["repository"]["name"], document["repository"]["type"]) == ("origin", "git")
    assert document["code"]["omitted"] == [{"path": "outputs/x", "reason": "excluded"}], "and what it may say counts"
    hook = made.user.run("hook", "pre-run", cwd=checkout.path)
    assert {line.split("'")[1] for line in lines(hook, "warning") if "'.coderepo'" in line} == set(FORBIDDEN)
    assert "canary" not in hook.errors, "names, not values"
    assert not canary.exists()
    made.runner.run("fetch", "run.json", "code")
    (made.runner.home / "run.json").unlink()


def test_it_is_a_plain_file_and_no_link(made: World, checkout: Repo) -> None:
    elsewhere = made.user.home / "elsewhere"
    elsewhere.write_text("[coderepo]\nexclude = train.py\n")
    checkout.symlink(".coderepo", elsewhere)
    asked = ("snapshot",)
    where: dict[str, Any] = {"cwd": checkout.path, "status": 128, "hint": "git config --file .coderepo --list"}
    refused(made.user, *asked, says="'.coderepo': it is a symbolic link", **where)
    assert "symbolic link" in status(made, checkout)["problem"]["message"]
    checkout.remove(".coderepo")
    os.mkfifo(checkout.path / ".coderepo")
    refused(made.user, *asked, says="it is not a regular file", **where)
    checkout.remove(".coderepo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(checkout.path / ".coderepo"))
    refused(made.user, *asked, says="cannot read the team's settings", **where)
    checkout.remove(".coderepo")
    checkout.write(".coderepo", "[coderepo]\n" + "# a long story\n" * 6000)
    refused(made.user, *asked, says="it is larger than 64 KiB", **where)
    checkout.write(".coderepo", '[coderepo]\nexclude = "outputs\n')
    refused(made.user, *asked, says="bad config line 2", **where)
    checkout.remove(".coderepo")
    checkout.write(".coderepo/of another program", "x\n")
    made.user.run("snapshot", cwd=checkout.path)


def test_a_commit_has_the_settings_that_it_holds(made: World, checkout: Repo) -> None:
    checkout.write(".coderepo", "[coderepo]\noverlayLimit = 10\nsecretScan = false\n")
    checkout.write("new.py", "x = 1\n" * 10)
    checkout.commit("settings")
    checkout.remove(".coderepo")
    done = made.user.run("snapshot", "HEAD", cwd=checkout.path, check=False)
    assert "more than the limit of 10 bytes" in done.errors
    assert lines(done, "warning") == ["'coderepo.secretscan' in '.coderepo' is ignored: a team's file may not set it"]
    made.user.run("snapshot", "HEAD", cwd=checkout.path, env={"CODEREPO_OVERLAY_LIMIT": "1m"})
    checkout.symlink(".coderepo", "/etc/passwd")
    checkout.commit("a link")
    refused(made.user, "snapshot", "HEAD", cwd=checkout.path, status=128, says="it is not a regular file", hint=None)


def test_on_a_runner_no_fetched_file_says_anything(made: World, checkout: Repo) -> None:
    """A runner may stand in the fetched tree, or in a checkout of somebody else's."""
    checkout.write(".coderepo", '[coderepo "https://git.corp/"]\ntype = gitlab\n[coderepo]\nexclude = "broken\n')
    checkout.git("add", "-A")
    stranger = Repo.init(made.runner.home / "a stranger's", made.runner.env)
    stranger.write(".coderepo", "[coderepo\n")
    manifest = made.runner.home / "run.json"
    made.clone("plain")
    made.user.run("snapshot", "-o", manifest, cwd=made.user.home / "plain")
    made.runner.run("fetch", manifest, made.runner.home / "its code", cwd=stranger.path)
    made.runner.run("verify", manifest, made.runner.home / "its code", cwd=stranger.path)
    manifest.unlink()


def started(checkout: Repo, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many git processes a look at the checkout takes."""
    from git_coderepo.git.process import Git
    from git_coderepo.snapshots.inspect_checkout import survey

    count = 0
    start = Git.start

    def counted(self: Git, *arguments: str | bytes, stdin: bytes | None = None) -> Any:
        nonlocal count
        count += 1
        return start(self, *arguments, stdin=stdin)

    with monkeypatch.context() as patched:
        patched.setattr(Git, "start", counted)
        survey(Git(str(checkout.path), environment=checkout.env))
    return count


def test_it_costs_one_process_where_it_is_and_none_where_it_is_not(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("a", "1")
    repo.commit()
    without = started(repo, monkeypatch)
    repo.write(".coderepo", "[coderepo]\n\texclude = x\n")
    repo.commit()
    assert started(repo, monkeypatch) == without + 1
