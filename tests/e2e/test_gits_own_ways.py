"""Where `git fetch` works without a question, so does whatever asks the platform, without any token of ours.

Each way in which git can be told a credential, a proxy or another name for a host is a setup of its own; `register`,
`status --check`, `publish`, `log --remote` and a fetch within the checkout then have to work as git itself does.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.support import Machine, World, contents, holding, lines, load, on_platforms, refused, world
from tests.forge.misbehaviour import Redirect
from tests.support.program import Result
from tests.support.proxy import Proxy
from tests.support.repo import Repo


class Place(NamedTuple):
    """A forge with a private repository, and the token by which a user's git may read and write it."""

    world: World
    token: str

    @property
    def authority(self) -> str:
        return self.world.forge.url.partition("://")[2]

    @property
    def basic(self) -> str:
        user = self.world.git_user
        return base64.b64encode(f"{user}:{self.token}".encode()).decode()


@pytest.fixture(scope="module", params=on_platforms("gitlab", "github", "git"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    scopes = {"git": ["read", "write"], "github": ["contents:write"], "gitlab": ["read_repository", "write_repository"]}
    with world(tmp_path_factory.mktemp("forge"), request.param) as made:
        yield Place(made, made.forge.add_token(request.param, scopes=scopes[request.param]))


class User:
    """Somebody with a checkout of their own; nothing but git knows a credential."""

    def __init__(self, place: Place, root: Path) -> None:
        self.place = place
        self.machine = Machine(root / "home of a user", dict(place.world.forge.env))
        source = f"file://{place.world.repository.path}"
        self.checkout = Repo.clone(source, self.machine.home / "work" / "my checkout", self.machine.env)
        self.url = place.world.url
        self.git("remote", "set-url", "origin", self.url)

    def git(self, *arguments: str) -> str:
        return self.checkout.git(*arguments).decode()

    def config(self, name: str, value: str, *, scope: str = "--local") -> None:
        self.git("config", scope, "--add", name, value)

    def run(self, *arguments: str | Path, **options: object) -> Result:
        return self.machine.run(*arguments, cwd=self.checkout.path, **options)  # type: ignore[arg-type]

    def script(self, name: str, text: str) -> Path:
        path = self.machine.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return path


@pytest.fixture
def user(place: Place, tmp_path: Path) -> User:
    return User(place, tmp_path)


# --- the ways -----------------------------------------------------------------------------------------


def store(user: User, *rows: str) -> None:
    (user.machine.home / ".git-credentials").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    user.config("credential.helper", "store", scope="--global")


def a_user_name_and_several_accounts(user: User) -> None:
    other = user.place.world.forge.add_token(user.place.world.platform, repositories=["acme/other"])
    where = user.place.authority
    store(user, f"https://bob:{other}@{where}", f"https://alice:{user.place.token}@{where}")
    user.git("remote", "set-url", "origin", user.url.replace("https://", "https://alice@"))


def a_credential_for_the_path(user: User) -> None:
    other = user.place.world.forge.add_token(user.place.world.platform, repositories=["acme/other"])
    where = user.place.authority
    store(
        user, f"https://ada:{other}@{where}/acme/other.git", f"https://ada:{user.place.token}@{where}/acme/widgets.git"
    )
    user.config("credential.useHttpPath", "true", scope="--global")


def a_header_as_actions_checkout_leaves_it(user: User) -> None:
    user.config(f"http.{user.place.world.forge.url}/.extraheader", f"AUTHORIZATION: basic {user.place.basic}")


def a_header_in_an_included_file(user: User) -> None:
    """actions/checkout from version 6 on: https://github.com/actions/checkout/pull/2286"""
    file = user.machine.home / "runner temp" / "git-credentials.config"
    file.parent.mkdir()
    header = f"AUTHORIZATION: basic {user.place.basic}"
    user.git("config", "--file", str(file), f"http.{user.place.world.forge.url}/.extraheader", header)
    user.config(f"includeIf.gitdir:{user.checkout.path}/.git.path", str(file))


def a_helper_for_the_folder_of_this_employer(user: User) -> None:
    file = user.machine.home / ".gitconfig-work"
    helper = user.script("bin/helper", f"echo username=ada; echo password={user.place.token}")
    user.git("config", "--file", str(file), "credential.helper", f"!{helper}".replace(" ", "\\ "))
    user.config("includeIf.gitdir:~/work/.path", "~/.gitconfig-work", scope="--global")


def settings_in_the_environment(user: User) -> None:
    user.machine.program.env.update(
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"http.{user.place.world.forge.url}/.extraHeader",
        GIT_CONFIG_VALUE_0=f"Authorization: Basic {user.place.basic}",
    )


def settings_on_gits_command_line(user: User) -> None:
    # What `git -c NAME=VALUE coderepo …` hands on: git.c, git_config_push_parameter.
    setting = f"http.{user.place.world.forge.url}/.extraHeader=Authorization: Basic {user.place.basic}"
    user.machine.program.env.update(GIT_CONFIG_PARAMETERS=f"'{setting}'")


def a_token_in_the_remote(user: User) -> None:
    with_token = user.url.replace("https://", f"https://{user.place.world.git_user}:{user.place.token}@")
    user.git("remote", "set-url", "origin", with_token)


def a_token_in_instead_of(user: User) -> None:
    base = f"https://{user.place.world.git_user}:{user.place.token}@{user.place.authority}/"
    user.config(f"url.{base}.insteadOf", "corp:", scope="--global")
    user.git("remote", "set-url", "origin", "corp:acme/widgets.git")


def netrc(user: User) -> None:
    file = user.machine.home / ".netrc"
    file.write_text(f"machine 127.0.0.1 login {user.place.world.git_user} password {user.place.token}\n")
    file.chmod(0o600)


def a_program_that_answers(user: User) -> None:
    words = f"case $1 in Username*) echo {user.place.world.git_user} ;; *) echo {user.place.token} ;; esac"
    user.config("core.askPass", str(user.script("bin/askpass", words)), scope="--global")


def an_askpass_in_the_environment(user: User) -> None:
    words = f"case $1 in Username*) echo {user.place.world.git_user} ;; *) echo {user.place.token} ;; esac"
    user.machine.program.env["GIT_ASKPASS"] = str(user.script("bin/askpass", words))


def an_alias_of_ssh(user: User) -> None:
    """Only `Host work` has key and known hosts; ssh itself would refuse the bare host."""
    ssh(user, known="work")
    # So that ssh is asked for its aliases at all, wherever this machine's own user keeps theirs.
    user.machine.program.env["GIT_SSH_COMMAND"] = "ssh -F config"
    user.git("remote", "set-url", "origin", "work:acme/widgets.git")


def an_ssh_command_of_this_repository(user: User) -> None:
    ssh(user, known="git.example.com", needs="-i the-key")
    user.git("remote", "set-url", "origin", "git@git.example.com:acme/widgets.git")
    user.config("core.sshCommand", "ssh -i the-key")


def ssh(user: User, *, known: str, needs: str = "") -> None:
    """A stand-in for ssh that lets one in by the name `known` alone, and with the option `needs`."""
    host = user.place.authority.partition(":")[0] if user.place.world.platform != "git" else "git.example.com"
    user.script(
        "bin/ssh",
        f"""all=$*; g=
for word; do case $word in -G) g=1 ;; esac; done
while [ $# -gt 0 ]; do case $1 in -o|-p|-F|-l|-i) shift 2 ;; -*) shift ;; *) break ;; esac; done
name=${{1#*@}}; shift
test "$g$name" != 1work || name={host}
if [ -n "$g" ]; then printf 'hostname %s\\nuser git\\nport 22\\n' "$name"; exit 0; fi
case $all in *'{needs}'*) ;; *) name= ;; esac
test "$name" = {known} || {{ echo 'Host key verification failed.' >&2; exit 255; }}
case $* in *acme/widgets.git*) ;; *) exit 1 ;; esac
exec ${{1%% *}} '{user.place.world.repository.path}'""",
    )
    user.machine.program.env["PATH"] = f"{user.machine.home}/bin:{user.machine.env['PATH']}"


WAYS: tuple[Callable[[User], None], ...] = (
    a_user_name_and_several_accounts,
    a_credential_for_the_path,
    a_header_as_actions_checkout_leaves_it,
    a_header_in_an_included_file,
    a_helper_for_the_folder_of_this_employer,
    settings_in_the_environment,
    settings_on_gits_command_line,
    a_token_in_the_remote,
    a_token_in_instead_of,
    netrc,
    a_program_that_answers,
    an_askpass_in_the_environment,
    an_alias_of_ssh,
    an_ssh_command_of_this_repository,
)
# With an API the answers differ once, and not with each way.
HOSTED = (
    a_user_name_and_several_accounts,
    a_header_as_actions_checkout_leaves_it,
    settings_in_the_environment,
    a_token_in_the_remote,
    an_alias_of_ssh,
)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_git_reaches_is_reached(user: User, way: Callable[[User], None], tmp_path: Path) -> None:
    if user.place.world.platform != "git" and way not in HOSTED:
        pytest.skip("the same road as over plain git")
    way(user)
    done = subprocess.run(
        ["git", "fetch", "-q"], cwd=user.checkout.path, env=user.machine.program.env, capture_output=True
    )
    assert done.returncode == 0, f"the case itself is broken: {done.stderr!r}"

    user.run("register", *(["--type", user.place.world.platform] if user.place.world.platform != "git" else []))

    checked = user.run("status", "--check").text
    assert "reproducible  yes" in checked, checked

    user.checkout.write("train.py", b"lr = 0.2\n")
    user.run("run", "--", "true")
    before = contents(user.checkout.git_dir(), without=("coderepo",))
    published = user.run("publish").text
    assert contents(user.checkout.git_dir(), without=("coderepo",)) == before
    id = published.split()[1].rstrip(":")
    assert id in user.run("log", "--remote", "--json").text

    manifest = user.machine.home / "run.json"
    shutil.copy(next(user.checkout.git_dir().glob("coderepo/runs/*/*" + id + ".json")), manifest)
    user.run("fetch", "--method", "git", manifest, tmp_path / "code")
    assert (tmp_path / "code" / "train.py").read_bytes() == b"lr = 0.2\n"
    assert contents(user.checkout.git_dir(), without=("coderepo",)) == before

    ours = user.checkout.git_dir() / "coderepo"
    assert holding(user.place.token, ours, manifest.parent / "tmp") == []
    assert user.place.token not in manifest.read_text()


def test_the_recorded_remote_is_the_host_behind_the_alias(user: User) -> None:
    if user.place.world.platform != "git":
        pytest.skip("the same for all")
    an_alias_of_ssh(user)
    user.run("register")

    user.run("snapshot", "-o", user.machine.home / "run.json")

    remote = load(user.machine.home / "run.json")["repository"]["remote"]
    assert (remote["host"], remote["user"], remote["path"]) == ("git.example.com", "git", "acme/widgets.git")


def test_the_proxy_of_one_remote_is_used(user: User, tmp_path: Path) -> None:
    if user.place.world.platform != "git":
        pytest.skip("an API knows no proxy of a remote")
    a_token_in_the_remote(user)
    with Proxy(user="ada:proxy password") as proxy:
        address = proxy.address.replace("http://", "http://ada:proxy%20password@")
        user.config("remote.origin.proxy", address)
        for verb in (("register",), ("status", "--check"), ("run", "--", "true"), ("publish",), ("log", "--remote")):
            proxy.asked.clear()
            user.run(*verb)
            assert verb[0] == "run" or proxy.asked, verb
        user.run("snapshot", "-o", user.machine.home / "run.json")
        proxy.asked.clear()
        user.run("fetch", "--method", "git", user.machine.home / "run.json", tmp_path / "code")
        assert proxy.asked


def test_git_is_asked_where_it_would_ask_nobody(user: User) -> None:
    """No credential anywhere: one refusal, and no question on the terminal."""
    kind = ["--type", user.place.world.platform] if user.place.world.platform != "git" else []
    result = user.run("register", *kind, check=False)
    assert result.status in (4, 128), result.errors
    assert len(lines(result, "fatal")) == 1


def test_a_token_that_is_given_has_to_work_itself(user: User) -> None:
    """Else a runner would be the first to find out."""
    a_header_as_actions_checkout_leaves_it(user)
    kind = ["--type", user.place.world.platform] if user.place.world.platform != "git" else []
    (user.machine.home / "token").write_text("wrong")

    refused(
        user.machine, "register", *kind, f"--token=@{user.machine.home / 'token'}", status=4, says="refused the token",
        cwd=user.checkout.path, hint=None,
    )  # fmt: skip


@pytest.mark.slow
def test_a_token_for_something_else_is_no_obstacle(user: User) -> None:
    """GITHUB_TOKEN of a workflow sees its own repository only; the checkout beside it is cloned by a key."""
    a_header_as_actions_checkout_leaves_it(user)
    other = user.place.world.forge.add_token(user.place.world.platform, repositories=["acme/other"])
    user.machine.program.env.update(CODEREPO_TOKEN=other, CODEREPO_TOKEN_ORIGIN=user.place.world.forge.url)
    kind = ["--type", user.place.world.platform] if user.place.world.platform != "git" else []

    user.run("register", *kind)

    assert "reproducible  yes" in user.run("status", "--check").text


@pytest.mark.slow
def test_a_password_that_only_git_takes_stays_with_gits_helper(user: User) -> None:
    """The API's 401 says nothing about git over https: what git keeps is not erased for it."""
    if user.place.world.platform != "gitlab":
        pytest.skip("GitLab's deploy tokens are of this kind")
    password = user.place.world.forge.add_token("gitlab", kind="deploy", user="ada", scopes=["read_repository"])
    store(user, f"https://ada:{password}@{user.place.authority}")

    user.run("register", "--type", "gitlab")
    assert "reproducible  yes" in user.run("status", "--check").text

    assert password in (user.machine.home / ".git-credentials").read_text()


def test_the_parents_of_head_are_asked_for_by_the_same_road(user: User) -> None:
    """No fetch refspec, and a commit that was not pushed: only the platform knows the base."""
    if user.place.world.platform == "gitlab":
        pytest.skip("as GitHub")
    a_header_as_actions_checkout_leaves_it(user)
    kind = ["--type", user.place.world.platform] if user.place.world.platform != "git" else []
    user.run("register", *kind)
    base = user.checkout.head()
    user.git("config", "--unset-all", "remote.origin.fetch")
    user.git("update-ref", "-d", "refs/remotes/origin/main")
    user.checkout.write("train.py", b"lr = 0.4\n")
    user.checkout.commit("not pushed")

    user.run("snapshot", "--check", "-o", user.machine.home / "run.json")

    assert load(user.machine.home / "run.json")["code"]["base"]["commit"] == base


# --- pushing -------------------------------------------------------------------------------------------


def publish(user: User) -> str:
    user.checkout.write("train.py", b"lr = 0.3\n")
    user.run("run", "--", "true")
    return user.run("publish").text.split()[1].rstrip(":")


def published(user: User) -> list[str]:
    return user.place.world.repository.git("for-each-ref", "--format=%(refname)", "refs/coderepo").split()


@pytest.fixture
def pusher(user: User) -> User:
    if user.place.world.platform != "git":
        pytest.skip("the same for all")
    a_token_in_the_remote(user)
    return user


def test_no_tracking_reference_moves_where_all_references_are_tracked(pusher: User) -> None:
    pusher.git("config", "remote.origin.fetch", "+refs/*:refs/remotes/origin/*")
    id = publish(pusher)
    assert f"refs/coderepo/runs/{id}" in published(pusher)
    assert "coderepo" not in pusher.git("for-each-ref", "--format=%(refname)")
    pusher.run("publish", "--delete", id)
    assert f"refs/coderepo/runs/{id}" not in published(pusher)


def test_a_mirror_can_publish(pusher: User) -> None:
    pusher.git("config", "remote.origin.mirror", "true")
    assert f"refs/coderepo/runs/{publish(pusher)}" in published(pusher)


def test_of_several_push_urls_only_the_one_a_runner_fetches_from_is_used(pusher: User, tmp_path: Path) -> None:
    other = Repo.init(tmp_path / "backup.git", pusher.machine.env, bare=True)
    store(pusher, f"https://ada:{pusher.place.token}@{pusher.place.authority}")
    pusher.git("remote", "set-url", "origin", pusher.url)
    pusher.git("remote", "set-url", "--add", "--push", "origin", f"file://{other.path}")
    pusher.git("remote", "set-url", "--add", "--push", "origin", pusher.url)
    assert f"refs/coderepo/runs/{publish(pusher)}" in published(pusher)
    assert other.git("for-each-ref") == b""


# --- redirects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["register", "status", "log", "publish", "fetch"])
def test_a_redirect_to_another_origin_is_refused_and_named(user: User, tmp_path: Path, verb: str) -> None:
    """curl would send the header along, wherever it is told to go."""
    if user.place.world.platform != "git":
        pytest.skip("the same road as over plain git")
    a_header_as_actions_checkout_leaves_it(user)
    words: dict[str, tuple[str | Path, ...]] = {
        "register": ("register", "again"),
        "status": ("status", "--check"),
        "log": ("log", "--remote"),
        "publish": ("publish",),
        "fetch": ("fetch", "--method", "git", user.machine.home / "run.json", tmp_path / "code"),
    }
    user.run("run", "--", "true")
    user.run("snapshot", "-o", user.machine.home / "run.json")
    forge = user.place.world.forge
    forge.forget_requests()
    forge.misbehave("git/refs", Redirect("evil"), times=None)
    try:
        result = user.run(*words[verb], check=False)
        assert forge.requests(listener="evil") == []
        assert forge.origins_that_saw(user.place.token) <= {forge.url}
        assert f"redirects git to '{forge.evil_url}'; the redirect is not followed" in result.errors + result.text
    finally:
        forge.behave()


def test_a_redirect_within_the_origin_is_followed(user: User) -> None:
    if user.place.world.platform != "git":
        pytest.skip("the same road as over plain git")
    a_header_as_actions_checkout_leaves_it(user)
    user.git("remote", "set-url", "origin", user.url.replace("acme/widgets", "acme/renamed"))
    forge = user.place.world.forge
    to = f"{user.url}/info/refs?service=git-upload-pack"
    forge.misbehave("git/refs", Redirect(to), times=2)  # git does not say where to: it is asked again
    try:
        user.run("register")
        assert not forge.requests(listener="evil")
    finally:
        forge.behave()


def test_a_circle_of_redirects_is_refused(user: User) -> None:
    if user.place.world.platform != "git":
        pytest.skip("the same road as over plain git")
    a_header_as_actions_checkout_leaves_it(user)
    forge = user.place.world.forge
    forge.misbehave("git/refs", Redirect("loop"), times=None)
    try:
        refused(user.machine, "register", status=128, says="in a circle", cwd=user.checkout.path)
    finally:
        forge.behave()
