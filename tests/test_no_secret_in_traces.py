"""No setting of the user's has git, or a shell, write our credential down; no name in a URL is more than a name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import RemoteURL
from tests.e2e.support import World, forms, world

# --- traces ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("traces"), "git") as made:
        made.register()
        yield made


TRACES = {
    "trace2.envVars in the configuration": ({}, {"trace2.envVars": "CODEREPO_GIT_PASSWORD,CODEREPO_GIT_USER"}),
    "its variable, empty": ({"GIT_TRACE2_ENV_VARS": ""}, {"trace2.envVars": "CODEREPO_GIT_PASSWORD"}),
    "its variable": ({"GIT_TRACE2_ENV_VARS": "CODEREPO_GIT_PASSWORD,PATH"}, {}),
    "git -c": ({"GIT_CONFIG_PARAMETERS": "'trace2.envVars=CODEREPO_GIT_PASSWORD'"}, {}),
    "every parameter": ({"GIT_TRACE2_CONFIG_PARAMS": "*"}, {"trace2.configParams": "credential.*,http.*,*"}),
    "unredacted": ({"GIT_TRACE_REDACT": "0", "GIT_TRACE_CURL": "1", "GIT_CURL_VERBOSE": "1", "GIT_TRACE": "1"}, {}),
    "a shell that traces": ({"SHELLOPTS": "xtrace", "PS4": "+ ", "BASH_XTRACEFD": "2"}, {}),
}


@pytest.mark.parametrize("way", TRACES)
def test_no_trace_has_the_token(shared: World, tmp_path: Path, way: str) -> None:
    variables, settings = TRACES[way]
    home = tmp_path / "home of the traced"
    shutil.copytree(shared.user.home, home, symlinks=True)
    env = {**shared.user.env, "HOME": str(home)}
    for name in ("event", "normal", "perf"):
        settings = {**settings, f"trace2.{name}Target": str(tmp_path / f"{name}.trace")}
    git = Git(str(home), environment=env)
    for name, value in settings.items():
        git.run("config", "--global", name, value)
    bin = tmp_path / "bin"
    bin.mkdir()
    if way == "a shell that traces":
        os.symlink(shutil.which("bash") or "/bin/sh", bin / "sh")  # as where sh is bash, which heeds SHELLOPTS
        env["PATH"] = f"{bin}:{env['PATH']}"

    result = shared.user.run("status", "--check", cwd=home / "my checkout", env={**env, **variables}, check=False)
    told = [result.stdout, result.stderr, *(path.read_bytes() for path in tmp_path.glob("*.trace"))]

    assert "reproducible  yes" in result.text, result.errors
    assert (tmp_path / "event.trace").exists() or way not in ("trace2.envVars in the configuration",)
    assert not [form for form in forms(shared.token) for each in told if form in each]


# --- names -------------------------------------------------------------------------------------------

SHELLS = [
    "$(touch x)",
    "`x`",
    "a;b",
    "a&b",
    "a|b",
    "a<b",
    "a>b",
    "a'b",
    'a"b',
    "a b",
    "a{b",
    "a}b",
    "a(b",
    "$HOME",
    "x\\",
]


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("form", ["ssh://{user}@git.corp/x.git", "{user}@git.corp:x.git", "ssh://{user}@git.corp:22/x"])
def test_a_user_name_that_a_shell_would_read_is_refused(name: str, form: str) -> None:
    if name == "x\\" and form.startswith("{"):
        pytest.skip("a path on Windows")
    with pytest.raises(InvalidRemoteURL):
        RemoteURL.parse(form.format(user=name))
    if form.startswith("ssh:"):
        encoded = "".join(f"%{byte:02X}" for byte in name.encode())
        with pytest.raises(InvalidRemoteURL):
            RemoteURL.parse(form.format(user=encoded))
    with pytest.raises(InvalidRemoteURL):
        RemoteURL.from_parts("ssh", "git.corp", None, name, "/x.git")


@pytest.mark.parametrize("name", [each for each in SHELLS if "/" not in each])
def test_a_host_that_a_shell_would_read_is_refused(name: str) -> None:
    for text in (f"ssh://git@{name}/x.git", f"git@{name}:x.git", f"{name}:x.git"):
        try:
            url = RemoteURL.parse(text)
        except InvalidRemoteURL:
            continue
        assert url.transport in ("local", "ssh") and (url.host is None or url.host.isalnum()), text
    with pytest.raises(InvalidRemoteURL):
        RemoteURL.from_parts("ssh", name, None, "git", "/x.git")


@pytest.mark.parametrize(
    "name", ["git", "org-123", "a.b_c", "user+tag", "CORP\\ada", "ada%example.org", "jürgen", "a@b"]
)
def test_a_user_name_as_people_have_them_is_taken(name: str) -> None:
    assert RemoteURL.parse(f"ssh://{name.replace('%', '%25')}@git.corp/x.git").user == name
