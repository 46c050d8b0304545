"""Each hint about publishing, Git LFS, ssh, servers that are too old and disks that are full, followed."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.e2e.support import World, altered, can_mount, load, on_platforms, until, world
from tests.e2e.test_lfs_ssh import SSH
from tests.forge import Forge, Status
from tests.forge.http import Request, Response
from tests.forge.lfs import pointer, put
from tests.forge.misbehaviour import Proceed
from tests.hints import cures
from tests.hints.desk import Desk, hint

pytestmark = pytest.mark.slow

WEIGHTS = b"weights " * 9000
LFS = {".gitattributes": b"*.bin filter=lfs -text\n", "weights.bin": pointer(WEIGHTS), "train.py": b"lr = 0.1\n"}
SCOPES = {"github": ("contents:read", "contents:write"), "git": ("read", "write")}


@pytest.fixture(params=on_platforms("github", "git"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "world", request.param) as made:
        yield made


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "world", "git") as made:
        yield made


def user(place: World, **env: str) -> Desk:
    return Desk(place.checkout.path, {**place.user.program.env, **env})


def runner(place: World, **env: str) -> Desk:
    return Desk(place.runner.home, {**place.runner.program.env, **env})


# --- publishing ---------------------------------------------------------------------------------------------------


@cures("the server says: {text}")
def test_a_server_that_declines_and_says_why(tmp_path: Path) -> None:
    with world(tmp_path, "file") as place:
        hook = place.repository.path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\n[ -e allowed ] || { echo 'touch allowed' >&2; exit 1; }\n")
        hook.chmod(0o755)
        desk = user(place)
        desk.run("run", "--", "true")
        given = hint(desk.refused("publish", says="pre-receive hook declined"), "the server says")
        subprocess.run(given.partition(": ")[2].split(), cwd=place.repository.path, check=True)
        desk.run("publish")


@cures("give it the right to push, which publishing needs", "your own git cannot push either: {error.message}")
@pytest.mark.parametrize("follow", ["give it the right", "your own git"])
def test_a_token_that_may_only_read(place: World, follow: str) -> None:
    desk = user(place)
    if place.platform == "github":
        desk.run("register", "--type=github")
    desk.run("run", "--", "true")
    hint(desk.refused("publish", says=""), follow)
    token = place.forge.add_token(place.platform, scopes=SCOPES[place.platform])
    if follow == "your own git":
        host = place.forge.url.partition("://")[2]
        (place.root / "tokens").write_text(f"https://{place.git_user}:{token}@{host}\n")
        desk.types(f"git config credential.helper 'store --file={place.root}/tokens'")
    else:
        desk.env["CODEREPO_TOKEN"] = token
    desk.run("publish")


# --- what the server has ------------------------------------------------------------------------------------------


@cures("push it again: it was never pushed there, or its branch was deleted or rewritten")
@pytest.mark.parametrize(
    ("place", "method"), [("github", "archive"), ("github", "git"), ("git", "git")], indirect=["place"]
)
def test_a_commit_that_is_not_there_any_more(place: World, method: str) -> None:
    if place.platform == "github":
        place.register("--type=github")
    place.checkout.write("more.py", "1\n")
    place.checkout.commit("second")
    place.push()
    place.manifest()
    place.repository.git("update-ref", "refs/heads/main", place.base)
    place.repository.git("reflog", "expire", "--expire=now", "--all")
    place.repository.git("prune", "--expire=now")
    place.repository.git("gc", "--quiet", "--prune=now")
    words = ("fetch", "--method", method, "run.json", "code")
    hint(runner(place).refused(*words, says="commit"), "push it again")
    place.push()
    runner(place).run(*words)


@dataclass(frozen=True)
class Old:
    """A server that cannot do whatever it is asked to do."""

    def answer(self, forge: Forge, request: Request, proceed: Proceed) -> Response:
        request.body.read()
        line = b"ERR filter 'x' not supported\n"
        body = b"%04x%b0000" % (len(line) + 4, line)
        return Response(200, {"Content-Type": "application/x-git-upload-pack-result"}, body)


@cures("check the version of the git server")
def test_a_server_that_is_too_old(plain: World) -> None:
    plain.manifest()
    plain.forge.misbehave("git/upload-pack", Old(), times=None)
    hint(runner(plain).refused("fetch", "run.json", "code", says="not supported"), "check the version")
    plain.forge.behave()  # it was replaced by a newer one
    runner(plain).run("fetch", "run.json", "code")


@cures("use https://{origin.host}", "use https://{url.host}")
@pytest.mark.parametrize("road", ["api", "git"])
def test_http_to_another_machine(tmp_path: Path, road: str) -> None:
    """Another machine, whose port 443 leads to the forge."""
    machine = "127.0.0.2" if road == "api" else "127.0.0.3"
    try:
        door = socket.create_server((machine, 443))
    except OSError:
        pytest.skip("port 443 is for root only, or taken")
    with door, world(tmp_path / "world", "github" if road == "api" else "git") as place:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(machine).configure_cert(context)
        place.forge.server.listeners["web"].tls = context
        (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
        threading.Thread(target=_lead_to, args=(door, place.forge.port), daemon=True).start()
        env = {"GIT_SSL_CAINFO": str(tmp_path / "ca.pem"), "CODEREPO_TOKEN_ORIGIN": f"https://{machine}"}
        if road == "api":
            desk = user(place, **env)
            words = ("register", "x", "--type=github", "--owner=acme", "--repository=widgets", "--no-remote", "--host")
            given = hint(desk.refused(*words, f"http://{machine}", says="is not encrypted"), "use https://")
            desk.run(*words, given.split()[1])
        else:
            place.manifest()
            desk = runner(place, CODEREPO_ALLOW_PROTOCOL="http", **env)
            repository = load(desk.here / "run.json")["repository"]
            repository["remote"].update(transport="http", host=machine, port=None)
            altered(desk.here / "run.json", "repository", to=repository)
            fetch = ("fetch", "--method=git", "altered.json", "code")
            given = hint(desk.refused(*fetch, says="is not encrypted"), "use https://")
            repository["remote"]["transport"], _, repository["remote"]["host"] = given.split()[1].partition("://")
            altered(desk.here / "run.json", "repository", to=repository)
            desk.run(*fetch)


def _lead_to(door: socket.socket, port: int) -> None:
    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(1 << 16):
                target.sendall(piece)
        except OSError:
            pass
        for each in (source, target):
            each.close()

    while True:
        try:
            client, _ = door.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", port))
        for pair in ((client, server), (server, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


@cures("check the network")
@pytest.mark.parametrize("place", ["github"], indirect=True)
def test_a_network_that_leads_nowhere(place: World) -> None:
    desk = user(place)
    words = ("register", "x", "--type=github", "--owner=acme", "--repository=widgets", "--no-remote", "--host")
    hint(desk.refused(*words, "255.255.255.255", says="cannot reach"), "check the network")
    desk.run(*words, f"127.0.0.1:{place.forge.port}")


@pytest.mark.skipif(not can_mount(), reason="a small file system can be mounted by root only")
@cures("free some space, or choose another directory for temporary files: export TMPDIR=/path/to/directory")
def test_a_full_disk_for_temporary_files(plain: World, tmp_path: Path) -> None:
    plain.checkout.write("large.bin", os.urandom(400_000))
    plain.checkout.commit("large")
    plain.push()
    plain.manifest()
    disk = tmp_path / "disk"
    disk.mkdir()
    fetch = "git coderepo fetch --method git run.json code"
    script = f"mount -t tmpfs -o size=200k none '{disk}' && export TMPDIR='{disk}'; {fetch}"
    desk = runner(plain)
    said = desk.types(f'unshare --mount bash -c "{script}"', check=False)
    assert "no space left on the device" in said.errors, said.errors
    given = hint([line.removeprefix("hint: ") for line in said.errors.splitlines()], "free some space")
    export = given.partition(": ")[2].replace("/path/to/directory", str(tmp_path))
    desk.types(f'unshare --mount bash -c "{script.replace(fetch, f"{export}; {fetch}")}"')


# --- ssh ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="there is no ssh-agent")
@cures("list the keys that ssh can use: ssh-add -l")
def test_an_agent_without_a_key(plain: World, tmp_path: Path) -> None:
    """The other side lets in whoever has a key."""
    ssh = tmp_path / "ssh"
    ssh.write_text(
        SSH.replace("#!/bin/sh\n", "#!/bin/sh\nssh-add -l >/dev/null || "
                    "{ echo 'git@127.0.0.1: Permission denied (publickey).' >&2; exit 255; }\n")
    )  # fmt: skip
    ssh.chmod(0o755)
    desk = user(plain, GIT_SSH_COMMAND=f"'{ssh}'", CODEREPO_TOKEN="", CODEREPO_TOKEN_ORIGIN="")
    desk.types(f"git remote set-url origin 'ssh://git@127.0.0.1{plain.repository.path}'")
    agent = desk.types(f"ssh-agent -s -a '{tmp_path}/agent'").text
    desk.env["SSH_AUTH_SOCK"] = f"{tmp_path}/agent"
    pid = agent.partition("SSH_AGENT_PID=")[2].partition(";")[0]
    try:
        given = hint(desk.refused("register", says="accepted none of your"), "list the keys").partition(": ")[2]
        assert "no identities" in desk.types(given, check=False).text
        desk.types(f"ssh-keygen -q -t ed25519 -N '' -f '{tmp_path}/key' && ssh-add -q '{tmp_path}/key'")
        assert "ED25519" in desk.types(given).text
        desk.run("register")
    finally:
        desk.types(f"kill {pid}")


# --- Git LFS ------------------------------------------------------------------------------------------------------


@cures("fetch the pointers as they are: --no-lfs")
@pytest.mark.parametrize("transport", ["https", "ssh"])
def test_a_server_without_lfs(tmp_path: Path, transport: str) -> None:
    with world(tmp_path, "git", files=LFS) as place:
        desk = runner(place)
        if transport == "ssh":
            _by_ssh(place, desk)
        place.manifest()
        place.forge.misbehave("lfs/batch", Status(404), times=None)
        given = hint(desk.refused("fetch", "run.json", "code", says="'"), "fetch the pointers").partition(": ")[2]
        desk.run("fetch", given, "run.json", "code")
        assert (desk.here / "code" / "weights.bin").read_bytes() == pointer(WEIGHTS)


def _by_ssh(place: World, desk: Desk) -> None:
    ssh = place.root / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    for env in (desk.env, place.user.program.env):
        env["GIT_SSH_COMMAND"] = f"'{ssh}'"
    place.checkout.git("remote", "set-url", "origin", f"ssh://git@127.0.0.1{place.repository.path}")


@cures("use https, with a token: {log_in_hint(platform.credentials, platform.web_origin())}")
def test_ssh_that_knows_no_lfs_and_a_platform(tmp_path: Path) -> None:
    with world(tmp_path, "github", files=LFS) as place:
        put(place.repository, WEIGHTS)
        desk = runner(place)
        _by_ssh(place, desk)
        path = str(place.repository.path).strip("/")
        owner, _, name = path.removesuffix(".git").rpartition("/")
        place.repository.name = f"{owner}/{name}"
        host = f"--host=127.0.0.1:{place.forge.port}"
        place.register("--type=github", host, "--no-verify", env={"CODEREPO_TOKEN": ""})
        place.manifest()
        (tmp_path / "token").write_text(place.token)
        desk.env.update(CODEREPO_TOKEN="", CODEREPO_TOKEN_ORIGIN="")
        words = ("fetch", "--method=git", "run.json", "code")
        given = hint(desk.refused(*words, says="'git-lfs-authenticate'"), "use https, with a token").partition(": ")[2]
        desk.types(f"{given.replace('/path/to', str(tmp_path))}; git coderepo {' '.join(words)}")
        assert (desk.here / "code" / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.skipif(
    not (Path(os.fsdecode(subprocess.check_output(["git", "--exec-path"]).strip())) / "git-daemon").exists(),
    reason="there is no git daemon",
)
@cures("use an https or ssh remote")
def test_lfs_over_a_protocol_that_has_none(tmp_path: Path) -> None:
    with world(tmp_path, "git", files=LFS) as place, socket.create_server(("127.0.0.1", 0)) as free:
        put(place.repository, WEIGHTS)
        port = free.getsockname()[1]
        free.close()
        desk = runner(place, CODEREPO_ALLOW_PROTOCOL="git")
        words = ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr"]
        log = tmp_path / "log"
        with log.open("wb") as errors:
            daemon = subprocess.Popen(
                [*words, "--verbose", f"--base-path={place.repository.path.parent}"], stderr=errors
            )
        try:
            until(lambda: b"Ready" in log.read_bytes())
            place.checkout.git("remote", "set-url", "origin", f"git://127.0.0.1:{port}/{place.repository.path.name}")
            place.manifest()
            hint(desk.refused("fetch", "run.json", "code", says="Git LFS over 'git' is not supported"), "use an https")
        finally:
            daemon.terminate()
            daemon.wait()
        place.checkout.git("remote", "set-url", "origin", place.url)
        place.manifest()
        desk.run("fetch", "run.json", "code")
