"""Hints about what a user writes (URLs, settings, ages, names): written as the hint says, the same command works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, world
from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.support.repo import Repo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("urls"), "git") as made:
        made.user.program.env["CODEREPO_ALLOW_PROTOCOL"] = "https:file"
        yield made


@pytest.fixture
def repo(place: World) -> Iterator[Repo]:
    yield place.checkout
    place.checkout.git("remote", "set-url", "origin", place.url)


@cures(
    "write file:///absolute/path",
    "use a port from 1 to 65535",
    "write '@' in a name as %40",
    "git reads protocols in lower case: write '{helper.lower()}://'",
    "git remote set-url {name} URL",
)
@pytest.mark.parametrize(
    ("wrong", "hint", "right"),
    [
        ("file://PATH", "write file:///absolute/path", "file:///PATH"),
        ("https://127.0.0.1:PORT0/acme/widgets.git", "use a port from 1 to 65535", "URL"),
        ("https://a@b@127.0.0.1:PORT/acme/widgets.git", "write '@' in a name as %40", "https://a%40b@127.0.0.1:PORT/acme/widgets.git"),
        ("HTTPS://127.0.0.1:PORT/acme/widgets.git", "git reads protocols in lower case: write 'https://'", "URL"),
        ("https:///acme/widgets.git", "git remote set-url origin URL", "URL"),
    ],
)  # fmt: skip
def test_the_url_of_a_remote(place: World, repo: Repo, wrong: str, hint: str, right: str) -> None:
    def filled(text: str) -> str:
        path = str(place.repository.path).lstrip("/")
        if text == "file://PATH":
            path = path.replace("/", "_")
        return text.replace("PATH", path).replace("PORT", str(place.forge.port)).replace("URL", place.url)

    repo.git("remote", "set-url", "origin", filled(wrong))
    for verb in ("register", "snapshot"):
        assert hint in stopped(place.user.program, verb, cwd=repo.path, says="origin" if verb == "snapshot" else "")
    typed(f"git remote set-url origin {filled(right)}", repo.path, repo.env)
    place.user.run("snapshot", cwd=repo.path)
    place.user.run("register", cwd=repo.path)
    place.user.run("remove", "-y", "origin", cwd=repo.path)


@cures("'{first}' is part of the path here: write a port as ssh://HOST:{first}/PATH")
def test_a_port_in_the_short_form_of_ssh(place: World, repo: Repo, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(
        "#!/bin/sh\n"
        'case "$*" in *\'-p 2222\'*) cd / && for last; do :; done && exec sh -c "$last" ;; esac\n'
        'echo "ssh: Could not resolve hostname git.corp: Name or service not known" >&2; exit 255\n'
    )
    ssh.chmod(0o755)
    env = {"GIT_SSH_COMMAND": f"{ssh}", "GIT_SSH_VARIANT": "ssh"}
    path = str(place.repository.path).lstrip("/")
    repo.git("remote", "set-url", "origin", f"git@git.corp:2222/{path}")
    (hint, _) = stopped(place.user.program, "register", cwd=repo.path, says="cannot reach", env=env)
    written = tail(hint).removeprefix("write a port as ").replace("HOST", "git@git.corp").replace("PATH", path)
    repo.git("remote", "set-url", "origin", written)
    place.user.run("register", cwd=repo.path, env=env)
    place.user.run("remove", "-y", "origin", cwd=repo.path)


@cures("write './' before it")
def test_a_path_that_looks_like_an_option(place: World, repo: Repo) -> None:
    Repo.clone(f"file://{place.repository.path}", repo.path / "-x", repo.env, "--bare")
    repo.git("remote", "set-url", "--", "origin", "-x")
    assert stopped(place.user.program, "register", cwd=repo.path, says="starts with a dash") == ["write './' before it"]
    repo.git("remote", "set-url", "--", "origin", "./-x")
    place.user.run("register", cwd=repo.path)
    place.user.run("remove", "-y", "origin", cwd=repo.path)
    repo.remove("-x")


@cures("write https://HOST[:PORT]")
@pytest.mark.parametrize("wrong", ["ftp://127.0.0.1", "https://ada@127.0.0.1:PORT"])
def test_the_host_of_a_rule(place: World, repo: Repo, wrong: str) -> None:
    def key(place_: str) -> str:
        return f"coderepo.{place_.replace('PORT', str(place.forge.port))}/.type"

    repo.git("config", "--global", key(wrong), "git")
    assert stopped(place.user.program, "snapshot", cwd=repo.path, says="invalid host rule") == [
        "write https://HOST[:PORT]"
    ]
    repo.git("config", "--global", "--unset", key(wrong))
    repo.git("config", "--global", key("https://127.0.0.1:PORT"), "git")
    place.user.run("snapshot", cwd=repo.path)


@cures(
    "choose one of: {', '.join(choices)}",
    "write a number of bytes, or a number with k, m or g, such as 64k",
    "one of: file:///DIRECTORY, s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX]",
)
@pytest.mark.parametrize(
    ("name", "wrong", "hint"),
    [
        ("dirty", "no", "choose one of: allow, refuse"),
        ("untracked", "some", "choose one of: include, ignore, refuse"),
        ("overlayLimit", "large", "write a number of bytes, or a number with k, m or g, such as 64k"),
        ("store", "/srv/runs", "one of: file:///DIRECTORY, s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX]"),
    ],
)
def test_the_value_of_a_setting(place: World, repo: Repo, tmp_path: Path, name: str, wrong: str, hint: str) -> None:
    repo.git("config", f"coderepo.{name}", wrong)
    repo.write("train.py", "lr = 0.2\n")
    repo.write("new.py", "")
    words = ("run", "--", "true")
    assert hint in stopped(place.user.program, *words, cwd=repo.path, says=f"'coderepo.{name}'")
    listed = hint.partition("one of: ")[2]
    for value in listed.split(", ") if listed else ["1000", "64k"]:
        if name == "store":
            value = value.replace("DIRECTORY", str(tmp_path).lstrip("/"))
            if "[" in value:
                continue
        repo.git("config", f"coderepo.{name}", value)
        done = place.user.run(*words, cwd=repo.path, check=value != "refuse")
        assert f"of 'coderepo.{name}'" not in done.errors, done.errors
    repo.git("config", "--unset", f"coderepo.{name}")


@cures(
    "write a number and a unit, such as 12h, 7d, 2w or 1y",
    "write OS/ARCHITECTURE, such as linux/amd64 or linux/arm64",
    "use up to 1024 characters on one line",
)
@pytest.mark.parametrize(
    ("words", "wrong", "hint", "right"),
    [
        (
            ("prune", "--dry-run", "--older-than", "WORD"), "soon",
            "write a number and a unit, such as 12h, 7d, 2w or 1y", ["12h", "7d", "2w", "1y"],
        ),
        (
            ("build-key", "--file", "train.py", "--platform", "WORD"), "amd64",
            "write OS/ARCHITECTURE, such as linux/amd64 or linux/arm64", ["linux/amd64", "linux/arm64"],
        ),
        (("run", "--name", "WORD", "--", "true"), "a\nb", "use up to 1024 characters on one line", ["n" * 1024]),
        (("run", "--name", "WORD", "--", "true"), "n" * 1025, "use up to 1024 characters on one line", ["n" * 1024]),
    ],
)  # fmt: skip
def test_a_value_on_the_command_line(
    place: World, repo: Repo, words: tuple[str, ...], wrong: str, hint: str, right: list[str]
) -> None:
    def put(word: str) -> list[str]:
        return [word if each == "WORD" else each for each in words]

    assert hint in stopped(place.user.program, *put(wrong), cwd=repo.path, says="")
    for word in right:
        place.user.run(*put(word), cwd=repo.path)
