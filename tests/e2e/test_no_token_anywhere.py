"""No token reaches a file, an output, an argument, or a host that it was not given for.

P3: a URL is built from parsed parts, never "stripped". Z9: nothing prints a token.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import (
    PROJECT,
    Machine,
    ProcessWatch,
    World,
    altered,
    forms,
    holding,
    lines,
    load,
    on_platforms,
    remove,
    world,
)
from tests.forge import Redirect, Status
from tests.support.program import Result

TRACES = {
    "GIT_TRACE": "1",
    "GIT_TRACE_SETUP": "1",
    "GIT_TRACE_PACKET": "1",
    "GIT_TRACE_REDACT": "0",
    "GIT_TRACE2_CONFIG_PARAMS": "*",
}


@pytest.fixture(scope="module", params=on_platforms("gitlab", "github", "git"))
def hosted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp(request.param), request.param) as made:
        for machine in (made.user, made.runner):
            for name in made.credential:
                machine.env.pop(name)
                machine.program.env.pop(name)
        made.repository.git("update-ref", "refs/heads/other", "main")
        # Long enough for somebody to look at the processes meanwhile.
        made.forge.latency = 0.03
        yield made


@pytest.fixture
def place(hosted: World) -> Iterator[World]:
    """As it was before, after each test."""
    kept = {machine: set(os.listdir(machine.home)) for machine in (hosted.user, hosted.runner)}
    config = (hosted.checkout.path / ".git" / "config").read_bytes()
    gitconfig = (hosted.user.home / ".gitconfig").read_bytes()
    yield hosted
    (hosted.checkout.path / ".git" / "config").write_bytes(config)
    (hosted.user.home / ".gitconfig").write_bytes(gitconfig)
    hosted.checkout.git("checkout", "--quiet", "--", ".")
    for machine, names in kept.items():
        for name in set(os.listdir(machine.home)) - names:
            remove(machine.home / name)
    hosted.forge.forget_requests()
    hosted.forge.behave()


Given = tuple[list[str], dict[str, str], bytes, list[Path]]


def by_file_option(place: World) -> Given:
    file = place.user.home / "token file"
    file.write_text(place.token + "\n")
    return ["--token", f"@{file}"], KEYRING, b"", [file]


def by_standard_input(place: World) -> Given:
    return ["--token", "-"], KEYRING, place.token.encode() + b"\n", []


def by_variable(place: World) -> Given:
    return [], {"CODEREPO_TOKEN": place.token, "CODEREPO_TOKEN_ORIGIN": place.forge.url}, b"", []


def by_token_file(place: World) -> Given:
    file = place.user.home / "token file"
    file.write_text(place.token + "\n")
    return [], {"CODEREPO_TOKEN_FILE": str(file), "CODEREPO_TOKEN_ORIGIN": place.forge.url}, b"", [file]


def by_credentials_file(place: World) -> Given:
    file = place.user.home / "credentials"
    user, token = (urllib.parse.quote(text, safe="") for text in (place.git_user, place.token))
    file.write_text(f"https://{user}:{token}@127.0.0.1:{place.forge.port}\n")
    return [], {"CODEREPO_CREDENTIALS_FILE": str(file)}, b"", [file]


def by_mounted_secret(place: World) -> Given:
    file, token = place.user.home / "credentials", place.user.home / "mounted token"
    token.write_text(place.token + "\n")
    file.write_text(f"{place.forge.url}/acme {place.git_user} @{token}\n")
    return [], {"CODEREPO_CREDENTIALS_FILE": str(file)}, b"", [token]


def by_platform_variable(place: World) -> Given:
    variables = {
        "github": {"GITHUB_TOKEN": place.token, "GITHUB_SERVER_URL": place.forge.url},
        "gitlab": {"GITLAB_TOKEN": place.token, "GITLAB_HOST": place.forge.url},
        "git": {"GH_ENTERPRISE_TOKEN": place.token, "GH_HOST": place.forge.url},
    }
    return [], variables[place.platform], b"", []


# A keyring whose file lies in HOME, as a stand-in for one that encrypts; what it holds is its own matter.
KEYRING = {"PYTHON_KEYRING_BACKEND": "tests.support.keyring_backend.FileKeyring", "PYTHONPATH": str(PROJECT)}


def named(value: object) -> str:
    return str(getattr(value, "__name__", value))


# Each way on one platform at least.
WAYS = [
    ("github", by_token_file),
    ("github", by_mounted_secret),
    ("github", by_platform_variable),
    ("gitlab", by_standard_input),
    ("gitlab", by_platform_variable),
    ("git", by_file_option),
    ("git", by_credentials_file),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hosted", "way"),
    [WAYS[0], *(pytest.param(*way, marks=pytest.mark.slow) for way in WAYS[1:])],
    indirect=["hosted"],
    ids=named,
)
def test_no_token_in_any_file_output_or_argument(place: World, way: Callable[[World], Given], tmp_path: Path) -> None:
    options, env, standard_input, own = way(place)
    own = [*own, place.user.home / "keyring.json"]
    # To a file, as a person does who wants to read it; `1` would have git say it to us.
    env.update(TRACES, GIT_TRACE_CURL=str(tmp_path / "curl.txt"), GIT_TRACE2_EVENT=str(tmp_path / "events.json"))
    checkout: dict[str, Any] = {"cwd": place.checkout.path, "env": env}
    said: list[Result] = []
    made = {"code by git": "git", **({} if place.platform == "git" else {"code by archive": "archive"})}

    with ProcessWatch(place.token) as processes:
        said.append(place.user.run("register", "mine", *options, input=standard_input, **checkout))
        place.checkout.write("train.py", "lr = 0.2\n")
        said.append(place.user.run("status", "--check", **checkout))
        said.append(place.user.run("describe", "mine", **checkout))
        said.append(place.user.run("list", "--json", **checkout))
        said.append(place.user.run("snapshot", "--check", "-o", place.user.home / "run.json", **checkout))
        for directory, method in made.items():
            asked = ("fetch", "--method", method, "--receipt", f"{directory}.json", "run.json", directory)
            said.append(place.user.run(*asked, env=env))
        commit = ("fetch", f"{place.url}@{place.base}", "code by commit")
        said.append(place.user.run(*commit, env=env))
        said.append(place.user.run("verify", "run.json", "code by git", env=env))
        # It may read alone: the push is tried, and refused.
        place.checkout.git("config", "coderepo.publish", "auto")
        said.append(place.user.run("run", "--", "true", **checkout))
        assert "not published" in said[-1].errors
        said.append(place.user.run("remove", "-y", "mine", **checkout))

    assert processes.found == set()
    assert any(b"upload-pack" in line or b"fetch\0" in line for line in processes.seen), "somebody did look"
    assert "=> Send header: Authorization: Basic <redacted>" in (tmp_path / "curl.txt").read_text()
    assert (tmp_path / "events.json").stat().st_size > 10_000, "git's events were on"
    for result in said:
        assert not any(form in result.stdout + result.stderr for form in forms(place.token))
    assert holding(place.token, place.user.home, tmp_path, without=tuple(own)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hosted", "way"), [("github", by_variable), ("git", by_file_option)], indirect=["hosted"], ids=named
)
def test_no_token_in_what_git_is_told_to_say(place: World, way: Callable[[World], Given]) -> None:
    """GIT_TRACE_CURL=1: git says it on standard error, also when it fails."""
    options, env, standard_input, _ = way(place)
    env.update(TRACES, GIT_TRACE_CURL="1", GIT_CURL_VERBOSE="1")
    checkout: dict[str, Any] = {"cwd": place.checkout.path, "env": env, "check": False}
    said = [place.user.run("register", "mine", *options, input=standard_input, **checkout)]
    said += [place.user.run("snapshot", "-o", "../run.json", **checkout)]
    for kind in ("none", "git/refs", "git/upload-pack"):
        place.forge.misbehave(kind, Status(500), times=None)  # once would be asked again
        said += [place.user.run("fetch", "--method", "git", "run.json", f"code {kind[4:]}", env=env, check=False)]
        place.forge.behave()
    assert [result.status for result in said] == [0, 0, 0, 128, 128]
    for result in said:
        assert not any(form in result.stdout + result.stderr for form in forms(place.token)), result.errors


@pytest.mark.slow
def test_a_token_typed_as_an_option_warns(place: World) -> None:
    checkout: dict[str, Any] = {"cwd": place.checkout.path, "env": KEYRING}
    said = place.user.run("register", "typed", "--token", place.token, **checkout)
    assert any("a token on the command line is visible" in line for line in lines(said, "warning"))
    assert place.token not in said.text + said.errors
    place.user.run("logout", "typed", **checkout)
    assert holding(place.token, place.user.home) == []


def test_without_a_keyring_a_token_is_never_written_in_plain_text(place: World) -> None:
    said = place.user.run(
        "register", "other", "--token", "-", input=place.token.encode(), cwd=place.checkout.path, check=False
    )
    assert said.status == 4
    assert len(lines(said, "fatal")) == 1
    assert any("CODEREPO_" in line for line in lines(said, "hint")), said.errors
    assert "coderepo" not in place.checkout.line("config", "--list")
    assert holding(place.token, place.user.home) == []


# --- a manifest that leads elsewhere -----------------------------------------------------------------------


def elsewhere(place: World, manifest: Path) -> Iterator[tuple[str, Path]]:
    """The manifest altered in each place that names a host, one at a time and all at once."""
    port = int(place.forge.evil_url.rpartition(":")[2])
    remote = {"transport": "https", "host": "localhost", "port": port, "user": None, "path": "/acme/widgets.git"}
    yield "remote", altered(manifest, "repository", "remote", to=remote, name="remote.json")
    yield "no remote", altered(manifest, "repository", "remote", to=None, name="no remote.json")
    options = load(manifest)["repository"]["options"]
    changes = {
        "github": [
            {"host": f"localhost:{port}"},
            {"apiUrl": f"{place.forge.evil_url}/api/v3"},
            {"host": f"localhost:{port}", "apiUrl": f"{place.forge.evil_url}/api/v3"},
        ],
        "gitlab": [{"host": f"localhost:{port}"}, {"instanceUrl": place.forge.evil_url}],
        "git": [{"url": f"{place.forge.evil_url}/acme/widgets.git"}],
    }[place.platform]
    for number, change in enumerate(changes):
        name = f"options {number}"
        yield name, altered(manifest, "repository", "options", to={**options, **change}, name=f"{name}.json")
        both = load(manifest)["repository"]
        both.update(remote=remote, options={**options, **change})
        yield f"{name} and remote", altered(manifest, "repository", to=both, name=f"{name} and remote.json")


@pytest.mark.slow
def test_a_manifest_that_leads_elsewhere_gets_no_token(place: World) -> None:
    """Safety rule 1, with each source of credentials at the runner, and a git helper that answers for any host."""
    place.register("mine", env=by_variable(place)[1])
    place.checkout.write("train.py", "lr = 0.2\n")
    manifest = place.manifest(name="honest.json")
    generous = place.root / "generous helper"
    generous.write_text(f"#!/bin/sh\ntest \"$1\" = get && printf 'username=ada\\npassword={place.token}\\n'\nexit 0\n")
    generous.chmod(0o755)
    helper = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper", "GIT_CONFIG_VALUE_0": str(generous)}
    every = {**by_variable(place)[1], **by_credentials_file(place)[1], **by_platform_variable(place)[1]}
    place.forge.forget_requests()
    asked = 0
    for name, spoilt in elsewhere(place, manifest):
        done = place.runner.run("fetch", spoilt, "code", env=every, check=False)
        said = f"{name}: {done.text}{done.errors}"
        assert not any(form in done.stdout + done.stderr for form in forms(place.token)), said
        assert place.forge.evil_url not in place.forge.origins_that_saw(place.token), said
        asked += done.status != 0
        remove(place.runner.home / "code")
    assert asked > 0, "the foreign host was asked, and gave nothing"
    assert place.forge.requests(listener="evil"), "the foreign host was asked"

    # A helper that answers for every host is not asked about one that the manifest alone names.
    place.forge.forget_requests()
    for name, spoilt in elsewhere(place, manifest):
        place.runner.run("fetch", spoilt, "code", env=helper, check=False)
        assert place.forge.evil_url not in place.forge.origins_that_saw(place.token), name
        remove(place.runner.home / "code")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["access", "link", "archive", "git/refs"])
def test_a_redirect_elsewhere_takes_no_token_along(place: World, kind: str) -> None:
    if place.platform == "git" and kind != "git/refs":
        pytest.skip("a plain Git remote has no API")
    env = by_variable(place)[1]
    place.register("mine", env=env)
    manifest = place.manifest(name="honest.json")
    place.forge.forget_requests()
    place.forge.misbehave(kind, Redirect("evil"), times=None)
    method = "git" if kind == "git/refs" else "archive"
    if kind == "access":
        place.user.run("register", "again", "--type", place.platform, cwd=place.checkout.path, env=env, check=False)
    else:
        place.runner.run("fetch", "--method", method, manifest, "code", env=env, check=False)
    if kind == "git/refs":
        assert place.forge.requests(listener="evil") == [], "git does not follow it"
    elif kind != "link" or place.platform == "github":
        assert place.forge.requests(listener="evil"), "the redirect was followed, or refused"
    assert place.forge.evil_url not in place.forge.origins_that_saw(place.token)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["{user}:{token}@", "{token}@", "{token}:x-oauth-basic@"])
def test_a_token_within_the_url_of_a_remote_stays_there(tmp_path: Path, form: str) -> None:
    """P3, Z8: CI writes such remotes; the manifest has host and path, and the token is in .git/config only."""
    with world(tmp_path, "github") as place:
        url = place.url.replace("https://", "https://" + form.format(user="x-access-token", token=place.token))
        place.checkout.git("remote", "set-url", "origin", url)
        said = place.register("--type", "github")
        seen = [said, *(place.user.run(*words, cwd=place.checkout.path) for words in (["status"], ["list", "--json"]))]
        manifest = place.manifest()
        assert place.token not in "".join(result.text + result.errors for result in seen)
        assert load(manifest)["repository"]["remote"] == {
            "transport": "https", "host": "127.0.0.1", "port": place.forge.port, "user": None,
            "path": "/acme/widgets.git",
        }  # fmt: skip
        place.runner.run("fetch", manifest, "code")
        config = place.checkout.path / ".git" / "config"
        assert holding(place.token, place.user.home, place.runner.home, without=(config,)) == []


def test_a_query_in_the_url_of_a_remote_is_not_recorded(tmp_path: Path) -> None:
    """P3."""
    with world(tmp_path, "file") as place:
        place.checkout.git("remote", "set-url", "origin", "https://git.example.org/a/b.git?private_token=s3cr3tS3cr3t")
        done = place.user.run("status", "--json", cwd=place.checkout.path, check=False)
        assert b"s3cr3tS3cr3t" not in done.stdout + done.stderr
        written = place.user.run("snapshot", cwd=place.checkout.path, check=False)
        assert b"s3cr3tS3cr3t" not in written.stdout + written.stderr


@pytest.mark.slow
def test_a_token_never_stands_in_an_environment_that_it_was_not_given_to(tmp_path: Path) -> None:
    """A token for one platform's host does not go to another host, whatever the manifest names it."""
    with world(tmp_path, "github") as place:
        place.register()
        manifest = place.manifest()
        other: Machine = Machine(tmp_path / "other runner", place.trusted)
        for env in (
            {"GITHUB_TOKEN": place.token},
            {"GH_TOKEN": place.token, "GH_HOST": place.forge.url},
            {"GH_ENTERPRISE_TOKEN": place.token},
            {"GITLAB_TOKEN": place.token, "GITLAB_HOST": place.forge.url.replace("127.0.0.1", "localhost")},
            {"CODEREPO_TOKEN": place.token, "CODEREPO_TOKEN_ORIGIN": "https://github.com"},
            {"CODEREPO_TOKEN": place.token, "CODEREPO_TOKEN_ORIGIN": "https://127.0.0.1"},
            {"CODEREPO_TOKEN": place.token, "CODEREPO_TOKEN_ORIGIN": f"{place.forge.url}/acme/wid"},
        ):
            done = other.run("fetch", manifest, "code", env=env, check=False)
            assert done.status == 4, (env, done.errors)
        done = other.run("fetch", manifest, "code", env={"CODEREPO_TOKEN": place.token}, check=False)
        assert done.status == 4
        assert "requires 'CODEREPO_TOKEN_ORIGIN'" in done.errors
        assert place.forge.origins_that_saw(place.token) == {place.forge.url}, "by the user's registration"
