"""A pod, as a cluster starts one: its own mounts and network, a read-only root that holds a Python and nothing else.

`Pod.run` starts `inside`, this file's own second half, by `unshare`: it builds the root, and drops to a user of whom
the system has never heard.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

UID = 1000680000
# Where things are in a pod.
VOLUME, APP, SECRETS, PYTHONS = "/work", "/app", "/secrets", "/pythons"


@dataclass(frozen=True)
class Ended:
    """What a command in a pod left."""

    status: int
    text: str
    errors: str


class Pod:
    """`volume` (a directory) is mounted at /work, `app` at /app, `secrets` at /secrets; the rest cannot be written to.

    `python` is the interpreter that its PATH has, and all that its PATH has. The network reaches nothing but
    `127.0.0.1:3128`, where whoever gets the socket by `listen` listens.
    """

    def __init__(self, root: Path, *, volume: Path, app: Path, secrets: Path, python: str) -> None:
        self.root = root
        root.mkdir()
        self.mounts = {VOLUME: str(volume), APP: str(app), SECRETS: str(secrets)}
        self.python = python

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        stdin: bytes = b"",
        listen: Callable[[socket.socket], None] | None = None,
    ) -> Ended:
        """Run a command to its end; its environment is PATH and `env`, nothing else."""
        ours, theirs = socket.socketpair()
        order = {
            "root": str(self.root),
            "mounts": self.mounts,
            "python": self.python,
            "argv": argv,
            "env": {"PATH": PYTHONS, **(env or {})},
            "cwd": cwd,
            "socket": theirs.fileno(),
        }
        unshared = ["unshare", "--mount", "--net", "--propagation", "private", "--"]
        with ours, theirs:
            process = subprocess.Popen(
                [*unshared, sys.executable, "-I", __file__, json.dumps(order)],
                pass_fds=(theirs.fileno(),), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            theirs.close()
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            for descriptor in descriptors:
                listener = socket.socket(fileno=descriptor)
                if listen is None:
                    listener.close()
                else:
                    listen(listener)
            out, errors = process.communicate(stdin, timeout=280)
        return Ended(process.returncode, out.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))


def why_no_pod() -> str | None:
    """Why no pod can be had here, None where it can."""
    if os.geteuid() != 0:
        return "a pod is made by root"
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "a pod needs Linux and unshare(1)"
    can = "import os; os.setgroups([]); os.setresgid(0, 0, 0); os.setresuid(*3 * [UID])".replace("UID", str(UID))
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation", "private", "--", sys.executable, "-I", "-c", can],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return None if tried.returncode == 0 else f"no pod can be made here: {tried.stderr.strip().splitlines()[-1:]}"


def inside(order: dict[str, object]) -> None:
    """Build the pod's root around this process, which has mounts and a network of its own, and become the command."""
    import fcntl
    import struct

    root, env = str(order["root"]), order["env"]
    mounts, argv = order["mounts"], order["argv"]
    assert isinstance(mounts, dict) and isinstance(argv, list) and isinstance(env, dict)

    # The loopback is up (netdevice(7)), and nothing else is there.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
    listener = socket.create_server(("127.0.0.1", 3128))
    with socket.socket(fileno=int(str(order["socket"]))) as told:
        socket.send_fds(told, [b"."], [listener.fileno()])
    listener.close()

    def mount(*words: str) -> None:
        subprocess.run(["mount", *words], check=True)

    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", root)
    python = os.path.realpath(str(order["python"]))
    base = os.path.dirname(os.path.dirname(python))
    for place in dict.fromkeys(
        [base, "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache"]
    ):
        _show(place, root, mount)
    for place in _site_packages(python):
        if os.path.isdir(root + place):
            mount("-t", "tmpfs", "-o", "ro", "tmpfs", root + place)
    for name in ("null", "zero", "urandom"):
        _show(f"/dev/{name}", root, mount, writable=True)
    _show("/proc", root, mount, writable=True)
    for place, source in mounts.items():
        os.makedirs(root + place)
        mount("--bind", source, root + place)
        if place != VOLUME:
            mount("-o", "remount,bind,ro", root + place)
    os.makedirs(root + PYTHONS)
    os.symlink(python, f"{root}{PYTHONS}/python3")
    mount("-o", "remount,ro", root)

    os.chroot(root)
    os.chdir(str(order["cwd"]))
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(UID, UID, UID)
    os.umask(0o022)
    os.execve(f"{PYTHONS}/{argv[0]}", argv, env)


def _show(place: str, root: str, mount: Callable[..., None], *, writable: bool = False) -> None:
    """What the machine has at `place` is there in the pod, too; a link stays one."""
    if not os.path.lexists(place) or os.path.lexists(root + place):
        return
    os.makedirs(os.path.dirname(root + place), exist_ok=True)
    if os.path.islink(place):
        os.symlink(os.readlink(place), root + place)
        return
    if os.path.isdir(place):
        os.makedirs(root + place)
    else:
        with open(root + place, "w"):
            pass
    mount("--rbind" if place == "/proc" else "--bind", place, root + place)
    if not writable:
        mount("-o", "remount,bind,ro", root + place)


def _site_packages(python: str) -> list[str]:
    """Where this interpreter would find packages that somebody installed."""
    asked = subprocess.run(
        [python, "-c", "import json, site; print(json.dumps(site.getsitepackages()))"],
        capture_output=True, check=True, env={},
    )  # fmt: skip
    found: list[str] = json.loads(asked.stdout)
    return found


if __name__ == "__main__":
    inside(json.loads(sys.argv[1]))
