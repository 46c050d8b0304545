"""One file in a pod that has a Python and nothing else: no git, no packages, no HOME, no user, nowhere to write but a
volume, and a network that ends at the company's proxy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, load, world
from tests.support.pod import UID, Ended, Pod, why_no_pod
from tests.support.proxy import Proxy
from tests.support.pyz import built

PROXY = "http://127.0.0.1:3128"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("podded"), "github") as made:
        made.register()
        made.checkout.write("train.py", "import os, sys\nprint(open('data/new notes').read(), end='')\n")
        made.checkout.write("data/new notes", "never committed\n")
        made.checkout.write(b"odd \xff\n-name", b"\x00\xff")
        made.checkout.remove("docs/read me.txt")
        yield made


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make runner` builds."""
    return built(tmp_path_factory)


class Cluster:
    """Pods with one volume, and a proxy that is their way out; `run` gives the pod's end and what it asked for."""

    def __init__(self, place: World, pyz: Path, root: Path) -> None:
        self.place = place
        root.chmod(0o755)
        self.volume, app, secrets = (root / name for name in ("volume", "app", "secrets"))
        for directory in (self.volume, app, secrets):
            directory.mkdir()
        # As a volume with its own file system comes: its root belongs to whoever runs, its lost+found to nobody else.
        os.chown(self.volume, UID, 0)
        (self.volume / "lost+found").mkdir(mode=0o700)
        shutil.copy(pyz, app / "git-coderepo.pyz")
        shutil.copy(place.forge.ca_file, secrets / "ca.pem")
        self.credentials = secrets / "credentials"
        self.credentials.write_text(f"{place.forge.url} x-access-token @{'/secrets/token'}\n")
        self.token = secrets / "token"
        self.token.write_text(f"{place.token}\n")
        place.manifest(name="for the pod.json")
        shutil.copy(place.runner.path("for the pod.json"), app / "run.json")
        for file in (*app.iterdir(), *secrets.iterdir()):
            file.chmod(0o644)
        self.env = {
            "CODEREPO_CREDENTIALS_FILE": "/secrets/credentials",
            "GIT_SSL_CAINFO": "/secrets/ca.pem",
            "HTTPS_PROXY": PROXY,
        }
        python = getattr(sys, "_base_executable", sys.executable)
        self.pod = Pod(root / "root", volume=self.volume, app=app, secrets=secrets, python=python)
        self.asked: list[str] = []

    def run(self, *words: str, cwd: str = "/", stdin: bytes = b"", status: int = 0, **env: str) -> Ended:
        """`git coderepo WORDS` in a new pod."""
        proxies: list[Proxy] = []
        ended = self.pod.run(
            *("python3", "/app/git-coderepo.pyz", *words),
            env={**self.env, **env},
            cwd=cwd,
            stdin=stdin,
            listen=lambda listener: proxies.append(Proxy(listener)),
        )
        for proxy in proxies:
            with proxy:
                self.asked += proxy.asked
        assert ended.status == status, ended
        return ended


@pytest.fixture
def cluster(place: World, pyz: Path, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    reason = why_no_pod()
    if reason is not None:
        pytest.skip(reason)
    place.forge.forget_requests()
    return Cluster(place, pyz, tmp_path_factory.mktemp("cluster"))


@pytest.mark.slow
def test_the_pod_is_as_bare_as_it_says(cluster: Cluster) -> None:
    """What the other tests show here is worth as much as this."""
    program = """
import os, pwd, shutil, socket
assert os.getuid() == 1000680000 and "HOME" not in os.environ
for name in ("requests", "typer", "git_coderepo", "jsonschema"):
    try: __import__(name)
    except ImportError: continue
    raise SystemExit(name)
try: pwd.getpwuid(os.getuid())
except KeyError: pass
else: raise SystemExit("a user")
assert not shutil.which("git") and not shutil.which("sh")
for path in ("/x", "/tmp/x", "/app/x", "/secrets/x", "/dev/shm/x", "/var/tmp/x"):
    try: open(path, "w")
    except OSError: continue
    raise SystemExit(path)
try: socket.create_connection(("192.0.2.1", 443), timeout=5)
except OSError: pass
else: raise SystemExit("a way out")
"""
    assert cluster.pod.run("python3", "-c", program) == Ended(0, "", "")


@pytest.mark.slow
def test_the_rehearsal_says_so_beforehand(place: World, cluster: Cluster, pyz: Path) -> None:
    """On the user's machine, from the same file, with the same proxy, authority and credentials, and without git."""
    credentials = place.user.path("what the pod will have")
    credentials.write_text(f"{place.forge.url} x-access-token @{cluster.token}\n")
    with Proxy() as proxy:
        rehearsed = subprocess.run(
            [
                *(sys.executable, "-I", "-S", str(pyz), "status", "--as-runner", "--no-git"),
                *("--credentials", str(credentials), "--json", "--exit-code"),
            ],
            env={**place.user.env, "HTTPS_PROXY": proxy.address}, cwd=place.checkout.path,
            capture_output=True, check=False,
        )  # fmt: skip
    assert rehearsed.returncode == 0, rehearsed.stderr
    found = json.loads(rehearsed.stdout)["asRunner"]
    assert (found["says"], found["receipt"]["producer"]["git"]) == ([], None)
    assert (found["receipt"]["tree"], found["receipt"]["overlay"]) == (
        place.checkout.tree(),
        {"files": 3, "deleted": 1},
    )
    assert proxy.asked[0] == place.forge.url.removeprefix("https://")


@pytest.mark.slow
def test_fetch_fills_the_volume(place: World, cluster: Cluster) -> None:
    cluster.run("fetch", "--receipt", "/work/receipt.json", "/app/run.json", "/work/code")
    assert place.runner.tree(cluster.volume / "code") == place.checkout.tree()
    assert (cluster.volume / "code/train.py").stat().st_uid == UID
    receipt = load(cluster.volume / "receipt.json")
    assert (receipt["method"], receipt["producer"]["git"], receipt["fallbacks"]) == ("archive", None, [])
    assert {path.name for path in cluster.volume.iterdir()} == {"lost+found", "code", "receipt.json"}
    assert cluster.asked
    assert cluster.run("verify", "/app/run.json", "/work/code").text.endswith("unchanged\n")
    # The receipt and the manifest are as any other program would have them.
    for path in ("/app/run.json", "/work/receipt.json"):
        assert cluster.run("validate", path).text == f"'{path}' is valid\n"


@pytest.mark.slow
def test_fetch_fills_the_mount_point_itself(place: World, cluster: Cluster) -> None:
    for directory, cwd in (("/work", "/"), (".", "/work")):
        ended = cluster.run("fetch", "/app/run.json", directory, cwd=cwd)
        assert f"tree {place.checkout.tree()}, verified" in ended.text
        (cluster.volume / "lost+found").rmdir()
        assert place.runner.tree(cluster.volume) == place.checkout.tree()
        for path in cluster.volume.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (cluster.volume / "lost+found").mkdir(mode=0o700)


@pytest.mark.slow
def test_exec_runs_in_the_code_from_a_cache_on_the_volume(place: World, cluster: Cluster) -> None:
    words = ("exec", "--receipt", "/work/receipt.json", "/app/run.json", "--", "python3", "train.py")
    assert cluster.run(*words, CODEREPO_CACHE_DIR="/work/cache").text == "never committed\n"
    assert load(cluster.volume / "receipt.json")["tree"] == place.checkout.tree()
    assert len(place.forge.requests("archive")) == 1
    # The next pod asks nobody; its manifest comes through a pipe, and is a file for the command all the same.
    asked, data = list(cluster.asked), place.runner.path("for the pod.json").read_bytes()
    show = "import os, sys; sys.stdout.write(open(os.environ['CODEREPO_MANIFEST']).read())"
    ended = cluster.run(
        "exec", "--quiet", "-", "--", "python3", "-c", show, stdin=data, CODEREPO_CACHE_DIR="/work/cache"
    )
    assert ended == Ended(0, data.decode(), "")
    assert cluster.asked == asked
    assert not list(cluster.volume.rglob("*manifest*"))


@pytest.mark.slow
def test_without_a_place_for_the_cache_it_says_what_to_name(cluster: Cluster) -> None:
    ended = cluster.run("exec", "/app/run.json", "--", "python3", "train.py", status=125)
    assert ended.errors.splitlines() == [
        "fatal: there is no place for a cache",
        "hint: name a directory that can be written to: CODEREPO_CACHE_DIR",
    ]
    ended = cluster.run("exec", "/app/run.json", "--", "python3", "train.py", status=125, HOME="/")
    assert "there is no place for a cache" in ended.errors
    copied = cluster.run("exec", "--copy", "/work/copy", "/app/run.json", "--", "python3", "train.py")
    assert copied == Ended(0, "never committed\n", "warning: there is no place for a cache\n")


@pytest.mark.slow
def test_a_token_that_rotates_is_read_again(place: World, cluster: Cluster) -> None:
    cluster.token.write_text("expired\n")
    ended = cluster.run("fetch", "/app/run.json", "/work/code", status=4)
    assert "refused" in ended.errors
    assert {path.name for path in cluster.volume.iterdir()} == {"lost+found"}
    cluster.token.write_text(f"{place.token}\n")
    cluster.run("fetch", "/app/run.json", "/work/code")


@pytest.mark.slow
def test_what_stands_in_the_way_is_named(place: World, cluster: Cluster) -> None:
    """Without the authority, without the proxy: what to set."""
    ended = cluster.run("fetch", "/app/run.json", "/work/code", status=128, GIT_SSL_CAINFO="")
    assert "GIT_SSL_CAINFO" in ended.errors
    ended = cluster.run("fetch", "/app/run.json", "/work/code", status=128, HTTPS_PROXY="")
    assert "cannot reach" in ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.slow
def test_validate_gives_every_reason(cluster: Cluster) -> None:
    broken = json.dumps({**load(cluster.place.runner.path("for the pod.json")), "producer": None, "run": {}})
    ended = cluster.run("validate", "-", stdin=broken.encode(), status=1)
    missing = ("id", "createdOn", "name", "parent", "command", "directory")
    assert ended.text.splitlines() == [*(f"run.{name}: missing" for name in missing), "producer: not an object"]
    assert ended.errors.splitlines() == ["error: '-' is not valid"]
