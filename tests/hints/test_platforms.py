"""Each hint about platforms and the way to them, followed: the network, tokens, limits, protocols, redirects."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.e2e.support import World, altered, load, on_platforms, world
from tests.forge import Forge, Html, LimitReset, Misbehaviour, Redirect, RetryAfter, Status, closed_port
from tests.forge.http import Request, Response
from tests.forge.misbehaviour import Proceed
from tests.hints import cures
from tests.hints.desk import Desk, hint
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow

NOBODY = {"CODEREPO_TOKEN": "", "CODEREPO_TOKEN_ORIGIN": ""}
ARCHIVE = ("fetch", "--method", "archive", "run.json", "code")
GIT = ("fetch", "--method", "git", "run.json", "code")


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("github"), "github") as made:
        made.register("--type", "github")
        made.manifest()
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("git"), "git") as made:
        made.manifest()
        yield made


@pytest.fixture(params=on_platforms("github", "git"))
def place(request: pytest.FixtureRequest) -> World:
    made: World = request.getfixturevalue({"github": "github", "git": "plain"}[request.param])
    return made


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    names = [name for name in ("github", "plain", "place") if name in request.fixturenames]
    used: list[World] = [request.getfixturevalue(name) for name in names]
    yield
    for each in used:
        each.forge.behave()


def runner(place: World, tmp_path: Path, **env: str) -> Desk:
    """A directory of the runner's with the manifest alone."""
    shutil.copy(place.runner.home / "run.json", tmp_path / "run.json")
    return Desk(tmp_path, {**place.runner.program.env, **env})


def checkout(place: World, tmp_path: Path, **env: str) -> Desk:
    """A fresh clone of the user's, in which nothing is registered."""
    source = f"file://{place.repository.path}"
    desk = Desk(tmp_path, {**place.user.program.env, **env})
    desk.types(f"git clone -q '{source}' mine && git -C mine remote set-url origin {place.url}")
    desk.here = tmp_path / "mine"
    return desk


def register(place: World) -> tuple[str, ...]:
    return ("register", *(["--type=github"] if place.platform == "github" else []))


# --- the platform answers, and wrongly ------------------------------------------------------------------------


@cures(
    "check the URL of the API, and whether a proxy or a login page answers instead",
    "check the URL of the API, and whether a proxy answers instead",
    "try again in a minute",
    "authorize the token for single sign-on at {self.site.url}/settings/tokens",
    "try again later",
)
@pytest.mark.parametrize(
    ("wrong", "says", "given"),
    [
        (Html(), "where an archive was asked for", "check the URL of the API, and whether a proxy or a login page"),
        (Status(406), "which its documentation does not describe", "check the URL of the API, and whether a proxy"),
        (Status(403, b'{"message": "secondary rate limit"}'), "does not say for how long", "try again in a minute"),
        (Status(403, headers=(("x-github-sso", "required"),)), "may not read", "authorize the token for single"),
        (RetryAfter(9000), "limits requests", "try again later"),
    ],
)
def test_an_answer_that_will_be_another(
    github: World, tmp_path: Path, wrong: Misbehaviour, says: str, given: str
) -> None:
    desk = runner(github, tmp_path)
    github.forge.misbehave("link", wrong, times=None)
    hint(desk.refused(*ARCHIVE, says=says), given)
    github.forge.behave()
    desk.run(*ARCHIVE)


@cures(
    "check the URL of the remote, and whether a proxy or a login page answers instead",
    "check the URL of the remote, and whether a proxy answers instead",
    "check the URL of the remote",
)
@pytest.mark.parametrize(
    ("wrong", "says", "given"),
    [
        (Html(), "does not answer as a git server", "check the URL of the remote, and whether a proxy or a login page"),
        (Status(406), "answered git with the status 406", "check the URL of the remote, and whether a proxy"),
        (Redirect("evil"), "the redirect is not followed", "check the URL of the remote"),
        (Redirect("loop"), "redirects git in a circle", "check the URL of the remote"),
    ],
)
def test_git_is_answered_by_something_else(
    plain: World, tmp_path: Path, wrong: Misbehaviour, says: str, given: str
) -> None:
    desk = runner(plain, tmp_path)
    plain.forge.misbehave("git/refs", wrong, times=None)
    hint(desk.refused(*GIT, says=says), given)
    plain.forge.behave()
    desk.run(*GIT)


@cures("if the repository has moved, run: git remote set-url {moved}")
def test_a_repository_that_has_moved(plain: World, tmp_path: Path) -> None:
    """The user's own git, whose credential is for both places."""
    desk = checkout(plain, tmp_path, **NOBODY)
    moved = plain.forge.server.listen("moved", "127.0.0.1", plain.forge.server.listeners["web"].tls)
    hosts = [origin.partition("://")[2] for origin in (plain.forge.url, moved.origin)]
    (tmp_path / "tokens").write_text("".join(f"https://ada:{plain.token}@{host}\n" for host in hosts))
    desk.types(f"git config credential.helper 'store --file={tmp_path}/tokens'")
    to = f"{moved.origin}/acme/widgets.git/info/refs?service=git-upload-pack"
    plain.forge.misbehave("git/refs", Redirect(to), times=2)  # git does not say where to: it is asked again
    typed = hint(desk.refused("register", says="the redirect is not followed"), "if the repository has moved, run")
    plain.forge.behave()
    desk.types(typed.partition(": ")[2])
    assert moved.origin in desk.types("git remote get-url origin").text
    desk.run("register")


# --- limits ---------------------------------------------------------------------------------------------------


@cures("git config coderepo.maxWait {whole}", "outside a checkout: export CODEREPO_MAX_WAIT={whole}")
@pytest.mark.parametrize("where", ["checkout", "runner"])
def test_a_limit_that_is_not_waited_for(github: World, tmp_path: Path, where: str) -> None:
    desk = checkout(github, tmp_path) if where == "checkout" else runner(github, tmp_path, CODEREPO_MAX_WAIT="0")
    if where == "checkout":
        desk.types("git config coderepo.maxWait 0")
    words = register(github) if where == "checkout" else ARCHIVE
    kind = "access" if where == "checkout" else "link"
    github.forge.misbehave(kind, RetryAfter(1), times=1)
    hints = desk.refused(*words, says="limits requests")
    github.forge.misbehave(kind, RetryAfter(1), times=1)
    if where == "checkout":
        desk.types(hint(hints, "git config"))
        desk.run(*words)
    else:
        desk.types(f"{hint(hints, 'outside').partition(': ')[2]}; git coderepo {' '.join(words)}")


class Strangers:
    """Whoever comes without a token has asked too often."""

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        return proceed() if "authorization" in request.headers else LimitReset(600).answer(forge, request, proceed)


@cures("raise the limit with a token: {log_in}")
def test_a_limit_for_whoever_has_no_token(github: World, tmp_path: Path) -> None:
    desk = runner(github, tmp_path, **NOBODY)
    (tmp_path / "token").write_text(github.token)
    github.forge.misbehave("link", Strangers(), times=None)
    given = hint(desk.refused(*ARCHIVE, says="limits requests"), "raise the limit").partition(": ")[2]
    desk.types(f"{given.replace('/path/to', str(tmp_path))}; git coderepo {' '.join(ARCHIVE)}")


# --- tokens ---------------------------------------------------------------------------------------------------


@cures("if it is private: {log_in}", "check the spelling")
def test_a_repository_that_a_stranger_does_not_see(github: World, tmp_path: Path) -> None:
    desk = runner(github, tmp_path, **NOBODY)
    (tmp_path / "token").write_text(github.token)
    hints = desk.refused(*ARCHIVE, says="that anybody may see")
    given = hint(hints, "if it is private").partition(": ")[2].replace("/path/to", str(tmp_path))
    desk.types(f"{given}; git coderepo {' '.join(ARCHIVE)}")
    document = load(tmp_path / "run.json")["repository"]
    for part in ("options", "remote"):
        text = document[part]
        for key, value in (text or {}).items():
            if isinstance(value, str):
                text[key] = value.replace("widgets", "widgest")
    misspelt = altered(tmp_path / "run.json", "repository", to=document).name
    desk.env.update(github.credential)
    hint(desk.refused("fetch", misspelt, "other", says="no repository 'acme/widgest"), "check the spelling")
    desk.run("fetch", "run.json", "other")


@cures("create a token at {self.token_page()}", "give the token {self.scopes}")
@pytest.mark.parametrize("scopes", [None, ["metadata:read"]])
def test_a_token_that_is_refused_or_may_too_little(github: World, tmp_path: Path, scopes: list[str] | None) -> None:
    poor = github.forge.add_token("github", scopes=scopes) if scopes else "ghp_wrong0wrong0wrong0"
    desk = runner(github, tmp_path, CODEREPO_TOKEN=poor)
    hints = desk.refused(*ARCHIVE, says="may not read" if scopes else "refused the token")
    assert hint(hints, "create a token at").endswith("/settings/personal-access-tokens/new")
    if scopes:
        assert hint(hints, "give the token").startswith("give the token 'Contents: read' on the repository")
    desk.env["CODEREPO_TOKEN"] = github.forge.add_token("github", scopes=["contents:read"])
    desk.run(*ARCHIVE)


@cures(
    "a runner needs a token for {where}: {repository.scopes}",
    "create a token at {repository.token_page()}",
)
def test_what_a_runner_needs_where_only_git_has_a_credential(github: World, tmp_path: Path) -> None:
    """The user's git has a password that the API does not take."""
    desk = checkout(github, tmp_path, **NOBODY)
    host = github.forge.url.partition("://")[2]
    github.forge.misbehave("access", Status(401), times=None)
    desk.types(f"git config http.https://{host}/.extraHeader 'Authorization: Basic {_basic(github)}'")
    said = desk.run("register", "--type=github")
    github.forge.behave()
    needs = hint([line.removeprefix("hint: ") for line in said.errors.splitlines()], "a runner needs a token")
    scopes = {"'Contents: read' on the repository (fine-grained), or 'repo' (classic)": ["contents:read"]}
    where, _, needed = needs.removeprefix("a runner needs a token for ").partition(": ")
    token = github.forge.add_token("github", scopes=scopes[needed])
    runner(github, tmp_path, CODEREPO_TOKEN=token, CODEREPO_TOKEN_ORIGIN=where).run(*ARCHIVE)
    assert "create a token at" in said.errors


def _basic(place: World) -> str:
    from base64 import b64encode

    return b64encode(f"{place.git_user}:{place.token}".encode()).decode()


@cures(
    "your own git cannot reach the repository either: {second.message}",
    "your own git cannot reach the repository either: {error.message}",
)
@pytest.mark.parametrize("verb", ["register", "log"])
def test_neither_the_token_nor_git_is_let_in(place: World, tmp_path: Path, verb: str) -> None:
    """What the hint says of git is cured: git is given a credential, and nothing else changes."""
    desk = checkout(place, tmp_path, CODEREPO_TOKEN="wrong")
    words = register(place) if verb == "register" else ("log", "--remote")
    if verb == "log":
        desk.run(*register(place), "--no-verify")
    given = hint(desk.refused(*words, says="refused the token from CODEREPO_TOKEN"), "your own git cannot reach")
    assert "requires a credential" in given
    desk.types(f"git config http.{place.forge.url}/.extraHeader 'Authorization: Basic {_basic(place)}'")
    desk.run(*words)


# --- the network ------------------------------------------------------------------------------------------------


@cures("check the spelling and the network", "check the host and the port", "check the spelling")
@pytest.mark.parametrize("fault", ["name", "port", "path"])
def test_a_remote_whose_url_is_wrong(place: World, tmp_path: Path, fault: str) -> None:
    desk = checkout(place, tmp_path)
    wrong, says, given = {
        "name": ("https://no-such-host.invalid/acme/widgets.git", "unknown host name", "check the spelling and the"),
        "port": (f"https://127.0.0.1:{closed_port()}/acme/widgets.git", "connection refused", "check the host and"),
        "path": (place.url.replace("widgets", "widgest"), "no repository 'acme/widgest", "check the spelling"),
    }[fault]
    desk.types(f"git remote set-url origin {wrong}")
    hint(desk.refused(*register(place), says=says), given)
    desk.types(f"git remote set-url origin {place.url}")
    desk.run(*register(place))


@cures("check the port, at which the server does not speak https")
def test_a_port_without_https(github: World, tmp_path: Path) -> None:
    desk = checkout(github, tmp_path)
    words = ("register", "x", "--type=github", "--owner=acme", "--repository=widgets", "--no-remote", "--host")
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_other_protocol, args=(server,), daemon=True).start()
        where = f"127.0.0.1:{server.getsockname()[1]}"
        hint(desk.refused(*words, where, says="no TLS connection"), "check the port")
    desk.run(*words, f"127.0.0.1:{github.forge.port}")


def _other_protocol(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.recv(4096)
            client.sendall(b"SSH-2.0-server\r\n")


@cures(
    "trust its certificate authority, in git as well: export GIT_SSL_CAINFO=/path/to/authority.pem",
    "check this machine's clock (date -u) and the certificate's dates",
)
def test_a_certificate_that_is_not_trusted(place: World, tmp_path: Path) -> None:
    desk = runner(place, tmp_path)
    authority = desk.env.pop("GIT_SSL_CAINFO")
    export = hint(desk.refused("fetch", "run.json", "code", says="cannot trust"), "trust its").partition(": ")[2]
    export = export.replace("/path/to/authority.pem", authority)
    desk.types(f"{export}; git coderepo fetch run.json code")
    desk.env["GIT_SSL_CAINFO"] = authority
    now = datetime.now(timezone.utc)
    place.forge.certify(now - timedelta(days=9), now - timedelta(days=2))
    try:
        hint(desk.refused("fetch", "run.json", "other", says="cannot trust"), "check this machine's clock (date -u)")
    finally:
        place.forge.certify()
    desk.run("fetch", "run.json", "other")


@cures("check HTTPS_PROXY and git's http.proxy, or list the host in NO_PROXY")
@pytest.mark.parametrize("follow", ["HTTPS_PROXY", "NO_PROXY"])
def test_a_proxy_that_is_not_there(place: World, tmp_path: Path, follow: str) -> None:
    desk = runner(place, tmp_path, HTTPS_PROXY=f"http://127.0.0.1:{closed_port()}")
    assert follow in hint(desk.refused("fetch", "run.json", "code", says="through the proxy"), "check HTTPS_PROXY")
    with Proxy() as proxy:
        desk.env[follow] = proxy.address if follow == "HTTPS_PROXY" else "127.0.0.1"
        desk.run("fetch", "run.json", "code")


@cures("write them into the proxy's URL, in HTTPS_PROXY or git's http.proxy")
def test_a_proxy_that_wants_a_password(place: World, tmp_path: Path) -> None:
    with Proxy(user="ada:secret") as proxy:
        desk = runner(place, tmp_path, HTTPS_PROXY=proxy.address)
        hint(desk.refused("fetch", "run.json", "code", says="requires a user name"), "write them into the proxy's URL")
        url = proxy.address.replace("://", "://ada:secret@")
        desk.env["HTTPS_PROXY"] = url
        desk.run("fetch", "run.json", "code")
        del desk.env["HTTPS_PROXY"]
        desk.types(f"git config --global http.proxy {url}")
        try:
            desk.run("fetch", "run.json", "other")
        finally:
            desk.types("git config --global --unset http.proxy")


@cures("use an HTTP proxy: HTTPS_PROXY=http://HOST:PORT")
def test_a_proxy_of_another_kind(github: World, tmp_path: Path) -> None:
    with Proxy() as proxy:
        desk = runner(github, tmp_path, HTTPS_PROXY=proxy.address.replace("http", "socks5"))
        given = hint(desk.refused(*ARCHIVE, says="the proxy does not speak http"), "use an HTTP proxy")
        name, _, value = given.partition(": ")[2].partition("=")
        desk.env[name] = value.replace("HOST:PORT", proxy.address.partition("://")[2])
        desk.run(*ARCHIVE)


@cures("check the network, or set HTTPS_PROXY")
def test_a_network_in_which_nothing_is_heard(github: World, tmp_path: Path) -> None:
    """A firewall takes what is sent, and lets nothing through but a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as silent, Proxy() as proxy:
        (tmp_path / "silent").mkdir()
        desk = checkout(github, tmp_path, GIT_HTTP_LOW_SPEED_TIME="1")
        words = ("register", "x", "--type=github", "--owner=acme", "--repository=widgets", "--no-remote", "--host")
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        hint(desk.refused(*words, where, says="timed out"), "check the network, or set HTTPS_PROXY")
        desk.env["HTTPS_PROXY"] = proxy.address
        desk.run(*words, f"127.0.0.1:{github.forge.port}")


# --- protocols ----------------------------------------------------------------------------------------------------


@cures("if you trust it: export CODEREPO_ALLOW_PROTOCOL={':'.join(sorted({'http', *allowed}))}")
@pytest.mark.parametrize("before", ["", "file"])
def test_http_on_this_machine(github: World, tmp_path: Path, before: str) -> None:
    desk = checkout(github, tmp_path, CODEREPO_ALLOW_PROTOCOL=before, CODEREPO_TOKEN_ORIGIN=github.forge.plain_url)
    words = "register x --type=github --owner=acme --repository=widgets --no-remote --host"
    words = f"{words} {github.forge.plain_url}"
    given = hint(desk.refused(*words.split(), says="is not https"), "if you trust it").partition(": ")[2]
    assert before in given
    desk.types(f"{given}; git coderepo {words}")


@cures("if you trust it: export {_allowing(name, allowed)}")
@pytest.mark.parametrize("before", ["", "http"])
def test_a_protocol_that_a_runner_does_not_allow(plain: World, tmp_path: Path, before: str) -> None:
    desk = checkout(plain, tmp_path)
    desk.types(f"git remote set-url origin 'file://{plain.repository.path}'; git coderepo snapshot -o ../file.json")
    desk = runner(plain, tmp_path, CODEREPO_ALLOW_PROTOCOL=before)
    words = ("fetch", "file.json", "code")
    given = hint(desk.refused(*words, says="git may not use 'file' here"), "if you trust it").partition(": ")[2]
    assert before in given
    desk.types(f"{given}; git coderepo {' '.join(words)}")


@cures("git config protocol.{name}.allow always", "or, if GIT_ALLOW_PROTOCOL is set, add '{name}' to it")
@pytest.mark.parametrize("variable", [False, True])
def test_a_protocol_that_gits_configuration_forbids(plain: World, tmp_path: Path, variable: bool) -> None:
    desk = checkout(plain, tmp_path)
    desk.types(f"git config protocol.file.allow never; git remote set-url origin 'file://{plain.repository.path}'")
    if variable:
        desk.env["GIT_ALLOW_PROTOCOL"] = "https:ssh"
    hints = desk.refused("register", says="git may not use 'file' here")
    desk.types(hint(hints, "git config"))
    if variable:
        desk.env["GIT_ALLOW_PROTOCOL"] += f":{hint(hints, 'or, if GIT_ALLOW_PROTOCOL').split(chr(39))[1]}"
    desk.run("register")


@cures("give --url or --remote")
@pytest.mark.parametrize("flag", ["--url", "--remote"])
def test_plain_git_without_a_place(plain: World, tmp_path: Path, flag: str) -> None:
    desk = checkout(plain, tmp_path)
    words = ("register", "x", "--type=git")
    assert flag in hint(desk.refused(*words, "--no-remote", says="no URL is known for 'x'"), "give --url")
    desk.run(*words, flag, {"--url": plain.url, "--remote": "origin"}[flag])


@cures("write it as https://HOST, without user name and query")
def test_a_host_that_is_no_url(github: World, tmp_path: Path) -> None:
    desk = checkout(github, tmp_path)
    words = ("register", "x", "--type=github", "--owner=acme", "--repository=widgets", "--no-remote", "--host")
    given = hint(desk.refused(*words, "ssh://ada@127.0.0.1?x", says="URL of a server"), "write it as")
    host = given.removeprefix("write it as ").partition(",")[0].replace("HOST", f"127.0.0.1:{github.forge.port}")
    desk.run(*words, host)


# --- without git --------------------------------------------------------------------------------------------------


@cures(
    "install git, which can fetch the tree itself",
    "give the path from the root of the repository, without a leading '/'",
)
def test_without_git_a_listing_that_is_cut_off_and_a_path_that_is_not_there(github: World, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    os.symlink(github.runner.program.executable(), empty / "git-coderepo")
    marks = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": github.forge.url}
    desk = runner(github, tmp_path, **marks)
    path, desk.env["PATH"] = desk.env["PATH"], str(empty)
    word = f"{github.url}@{github.base}"
    given = desk.refused("fetch", f"{word}:read me.txt", "part", says="has no directory 'read me.txt'")
    assert given == ["give the path from the root of the repository, without a leading '/'"]
    desk.run("fetch", f"{word}:docs", "part")
    author = checkout(github, tmp_path)  # only a commit that has a `.gitmodules` is listed whole
    author.types(
        "touch .gitmodules && git add . && git commit -qm modules && "
        f"git push -q 'file://{github.repository.path}' HEAD:refs/heads/modules"
    )
    word = f"{github.url}@{author.types('git rev-parse HEAD').text.strip()}"
    github.forge.most_rows = 1
    try:
        hint(desk.refused("fetch", word, "code", says="lists only a part of the tree"), "install git")
        desk.env["PATH"] = path
        desk.run("fetch", word, "code")
    finally:
        github.forge.most_rows = None
