"""Against a real Git LFS server, giftless, with what git-lfs pushed there, over a line that is cut."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.support import world
from tests.forge import free_port

# What giftless 0.6 imports; its own metadata names none of it. PyJWT 2.10 refuses its tokens.
NEEDS = (
    *("giftless==0.6.2", "cachetools", "cryptography", "figcan", "flask", "flask-classful", "flask-marshmallow"),
    *("marshmallow", "pyjwt<2.10", "python-dateutil", "python-dotenv", "pyyaml", "typing-extensions", "webargs"),
)
SERVE = """
import sys
from werkzeug.serving import run_simple
from giftless.app import init_app
run_simple("127.0.0.1", int(sys.argv[1]), init_app(), threaded=True)
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed"),
]


class Line:
    """A line to a server: of the next `cuts` connections that carry more than `after` bytes back, each is cut there."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.cuts = 0
        self.after = 10_000
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        carried = 0
        try:
            while piece := source.recv(4096):
                sink.sendall(piece)
                carried += len(piece)
                if back and carried > self.after and self._cut():
                    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        finally:
            if back:
                source.close()
                sink.close()

    def _cut(self) -> bool:
        with self._lock:
            if self.cuts == 0:
                return False
            self.cuts -= 1
            return True


@pytest.fixture
def giftless(tmp_path: Path) -> Iterator[int]:
    """The port of a giftless that anybody may write to."""
    home = tmp_path / "giftless"
    subprocess.run([sys.executable, "-m", "venv", home], check=True, timeout=300)
    pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *NEEDS]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=600)
    if installed.returncode != 0:
        pytest.skip(f"giftless cannot be installed here: {installed.stderr.strip().splitlines()[-1:]}")
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIFTLESS_CONFIG_STR": "AUTH_PROVIDERS: ['giftless.auth.allow_anon:read_write']\nLEGACY_ENDPOINTS: false\n",
    }
    log = (home / "log").open("wb")
    server = subprocess.Popen([home / "bin" / "python", "-c", SERVE, str(port)], cwd=home, env=env, stderr=log)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()
        log.close()


def test_200_objects_over_a_line_that_is_cut(tmp_path: Path, giftless: int) -> None:
    objects = {f"data/{number:03}.bin": os.urandom(20_000 + 200 * number) for number in range(200)}
    with closing(Line(giftless)) as line, world(tmp_path / "world", "file", files={"train.py": b"lr = 0.1\n"}) as place:
        repo = place.checkout
        repo.git("lfs", "install", "--skip-repo")
        repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        repo.write(".lfsconfig", f"[lfs]\n\turl = http://127.0.0.1:{line.port}/acme/widgets.git/info/lfs\n")
        for path, contents in objects.items():
            repo.write(path, contents)
        repo.commit("200 files in LFS")
        place.push()
        manifest = place.manifest()
        env = {"CODEREPO_ALLOW_PROTOCOL": "file:http"}
        line.cuts = 3  # the first answer is that to the question for a hundred objects, then two objects are cut
        receipt = place.runner.run("fetch", "--json", manifest, "code", env=env).json()
        assert line.cuts == 0, "the line was not cut"
        assert receipt["lfs"]["state"] == "fetched" and receipt["lfs"]["objects"] == 200
        for path, contents in objects.items():
            assert (place.runner.home / "code" / path).read_bytes() == contents
        place.runner.run("verify", "--strict", manifest, "code", env=env)
