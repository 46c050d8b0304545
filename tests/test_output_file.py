"""Every FILE that is written: devices, FIFOs, links and descriptors, and what is refused before work starts."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.errors import OutputUnusable
from git_coderepo.manifest.output_file import OutputFile
from tests.hints import cures
from tests.support.program import Program
from tests.support.repo import Repo

PROGRAM = Path(sys.executable).with_name("git-coderepo")


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A pushed checkout with an overlay that fits into no manifest."""
    repo.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    return repo


def with_large_overlay(checkout: Repo) -> None:
    checkout.write("weights.bin", os.urandom(200_000))


def verb(name: str, file: str, checkout: Repo, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """The command that writes FILE, and what its environment needs."""
    if name == "snapshot":
        return ["snapshot", "-o", file], {}
    if name == "run":
        return ["run", "--manifest", file, "--", "touch", str(tmp_path / "started")], {}
    if name == "hook":
        return ["hook", "pre-run"], {"CODEREPO_OUT": file}
    if not (tmp_path / "given.json").exists():
        subprocess.run(
            [PROGRAM, "snapshot", "-o", tmp_path / "given.json"], cwd=checkout.path, env=checkout.env, check=True
        )
    if name == "fetch":
        return ["fetch", "--receipt", file, str(tmp_path / "given.json"), str(tmp_path / "code")], {}
    return ["exec", "--receipt", file, str(tmp_path / "given.json"), "--", "touch", str(tmp_path / "started")], {}


VERBS = ("snapshot", "run", "hook", "fetch", "exec")


@pytest.fixture
def call(checkout: Repo, program: Program, tmp_path: Path) -> Callable[..., Any]:
    def call(name: str, file: str, **options: Any) -> Any:
        words, more = verb(name, file, checkout, tmp_path)
        return program.run(*words, cwd=checkout.path, env={"CODEREPO_ALLOW_PROTOCOL": "file", **more}, **options)

    return call


@pytest.mark.parametrize("name", VERBS)
def test_a_fifo_is_written_to(call: Callable[..., Any], tmp_path: Path, name: str) -> None:
    fifo = tmp_path / "a fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    call(name, str(fifo))
    reader.join(30)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert json.loads(read[0])["producer"]["name"] == "git-coderepo"


@pytest.mark.parametrize("name", VERBS)
def test_a_link_stays_and_its_target_is_replaced(call: Callable[..., Any], tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, middle, link = tmp_path / "elsewhere" / "tar\nget", tmp_path / "middle", tmp_path / "li nk"
    target.write_text("old")
    middle.symlink_to("elsewhere/tar\nget")
    link.symlink_to(middle)
    call(name, str(link))
    assert link.is_symlink() and middle.is_symlink()
    assert json.loads(target.read_bytes())["producer"]["name"] == "git-coderepo"


@pytest.mark.parametrize("name", VERBS)
def test_a_link_to_a_file_that_is_not_there_yet(call: Callable[..., Any], tmp_path: Path, name: str) -> None:
    link = tmp_path / "link"
    link.symlink_to("later")
    call(name, str(link))
    assert link.is_symlink() and json.loads((tmp_path / "later").read_bytes())


@pytest.mark.parametrize("name", VERBS)
def test_a_device_stays_a_device(call: Callable[..., Any], name: str) -> None:
    before = os.stat("/dev/null")
    call(name, "/dev/null")
    assert os.stat("/dev/null").st_rdev == before.st_rdev and stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("name", VERBS)
def test_a_device_that_root_could_replace(call: Callable[..., Any], tmp_path: Path, name: str) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_bytes(b"")
    except OSError:
        pytest.skip("no devices on this file system")
    call(name, str(device))
    assert stat.S_ISCHR(device.lstat().st_mode)


def _directory(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        before = os.getcwd()
        os.chdir(path.parent)  # a socket's path has 107 bytes at the most
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def _link_to_directory(path: Path) -> None:
    path.with_name("folder").mkdir()
    path.symlink_to("folder")


def _link_to_nowhere(path: Path) -> None:
    path.symlink_to("no/such/folder/file")


UNUSABLE = [_directory, _socket, _circle, _link_to_directory, _link_to_nowhere]


@pytest.mark.parametrize("make", UNUSABLE)
@pytest.mark.parametrize("name", VERBS)
def test_anything_else_is_refused_before_work_starts(
    call: Callable[..., Any], checkout: Repo, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "odd")
    before = (tmp_path / "odd").lstat().st_mode
    done = call(name, str(tmp_path / "odd"), check=False)
    assert done.status == {"run": 125, "exec": 125, "hook": 1}.get(name, 128)
    assert "fatal: cannot write to" in done.errors and "odd" in done.errors
    assert (tmp_path / "odd").lstat().st_mode == before
    assert not (tmp_path / "started").exists() and not (tmp_path / "code").exists()
    assert not (checkout.git_dir() / "coderepo" / "runs").exists()


@pytest.mark.parametrize("file", ["no such folder/run.json", "train.py/run.json", ""])
def test_where_no_file_can_be_it_is_said_before_work_starts(
    call: Callable[..., Any], checkout: Repo, tmp_path: Path, file: str
) -> None:
    done = call("run", file, check=False)
    assert done.status == 125 and not (tmp_path / "started").exists()
    assert not (checkout.git_dir() / "coderepo" / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_to_where_it_stands(checkout: Repo, tmp_path: Path, name: str) -> None:
    """Redirected to a file that holds something already: it is continued, neither replaced nor overwritten."""
    log = tmp_path / "log"
    script = f'(echo before; "{PROGRAM}" snapshot -o {name}; echo after) >"{log}"'
    subprocess.run(["sh", "-c", script], cwd=checkout.path, env=checkout.env, check=True)
    lines = log.read_text().splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == ("before", "{", "}", "after")
    piped = subprocess.run(
        [PROGRAM, "snapshot", "-o", name], cwd=checkout.path, env=checkout.env, check=True, capture_output=True
    )
    assert json.loads(piped.stdout)["run"]


def test_standard_output_may_be_a_socket(checkout: Repo) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(
            [PROGRAM, "snapshot", "-o", "/dev/stdout"],
            cwd=checkout.path,
            env=checkout.env,
            stdout=theirs.fileno(),
            check=True,
        )
        theirs.close()
        received = b""
        while piece := ours.recv(1 << 16):
            received += piece
    assert json.loads(received)["run"]


@pytest.mark.slow
def test_process_substitution(checkout: Repo, tmp_path: Path) -> None:
    script = f'"{PROGRAM}" run --manifest >(cat >"{tmp_path}/read") -- true; wait'
    subprocess.run(["bash", "-c", script + "; sleep 0.3"], cwd=checkout.path, env=checkout.env, check=True)
    assert json.loads((tmp_path / "read").read_bytes())["run"]


@pytest.mark.slow
def test_a_descriptor_that_only_reads_or_is_not_open_is_refused(checkout: Repo) -> None:
    for name in ("/dev/fd/7", "/dev/stdin"):
        with open("/dev/null", "rb") as stdin:
            done = subprocess.run(
                [PROGRAM, "snapshot", "-o", name],
                cwd=checkout.path, env=checkout.env, stdin=stdin, capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 128 and "is not open for writing" in done.stderr, name


def test_a_descriptor_of_our_own_is_not_the_users(tmp_path: Path) -> None:
    with open(tmp_path / "ours", "wb") as file, pytest.raises(OutputUnusable, match="not open for writing"):
        OutputFile(b"/dev/fd/%d" % file.fileno())


@cures("give that file to the runner: git coderepo fetch --overlay FILE RUN DIR")
@pytest.mark.parametrize("name", ["run", "hook", "snapshot"])
def test_an_overlay_is_never_lost_silently(
    call: Callable[..., Any], checkout: Repo, program: Program, tmp_path: Path, name: str
) -> None:
    """Beside a stream no file can stand: it is said where the overlay is, and that file does what the hint says."""
    with_large_overlay(checkout)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    done = call(name, str(fifo))
    reader.join(30)
    (line,) = [line for line in done.errors.splitlines() if ".tar.gz" in line]
    overlay = line.partition("in '")[2].rstrip("'")
    (tmp_path / "sent.json").write_bytes(read[0])
    allowed = {"CODEREPO_ALLOW_PROTOCOL": "file"}
    program.run("fetch", "--overlay", overlay, tmp_path / "sent.json", tmp_path / "code", cwd=tmp_path, env=allowed)
    assert (tmp_path / "code" / "weights.bin").read_bytes() == (checkout.path / "weights.bin").read_bytes()


def test_an_overlay_lies_beside_the_file_that_a_link_leads_to(
    call: Callable[..., Any], checkout: Repo, tmp_path: Path
) -> None:
    with_large_overlay(checkout)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/run.json")
    call("snapshot", str(tmp_path / "link"))
    assert sorted(path.suffix for path in (tmp_path / "real").iterdir()) == [".gz", ".json"]
    assert not list(tmp_path.glob("*.tar.gz"))


@pytest.mark.slow
def test_a_receipt_may_lie_in_what_is_fetched_and_replaces_nothing_that_is_read(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    call("fetch", str(tmp_path / "code" / "receipt.json"))
    assert json.loads((tmp_path / "code" / "receipt.json").read_bytes())["verified"] is True
    (tmp_path / "link").symlink_to("given.json")
    before = (tmp_path / "given.json").read_bytes()
    for file in ("given.json", "link", "code"):
        done = call("fetch", str(tmp_path / file), check=False)
        assert done.status in (128, 129), done
    assert (tmp_path / "given.json").read_bytes() == before


def test_a_failed_snapshot_leaves_no_reader_waiting(checkout: Repo, program: Program, tmp_path: Path) -> None:
    checkout.git("config", "coderepo.dirty", "refuse")
    checkout.write("train.py", "lr = 0.2\n")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    assert program.run("snapshot", "-o", fifo, cwd=checkout.path, check=False).status == 128
    reader.join(30)
    assert read == [b""]


def test_a_file_in_a_directory_that_cannot_be_written_to(tmp_path: Path) -> None:
    """As a file that is mounted alone into a container: no other can take its place."""
    if os.geteuid() == 0:
        pytest.skip("root can write anywhere")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"old and longer")
    folder.chmod(0o555)
    try:
        OutputFile(os.fsencode(folder / "file")).write(b"new")
        assert (folder / "file").read_bytes() == b"new"
        with pytest.raises(OutputUnusable, match="not writable"):
            OutputFile(os.fsencode(folder / "other"))
    finally:
        folder.chmod(0o755)


def test_a_file_that_is_a_mount_point_is_written_to(checkout: Repo, tmp_path: Path) -> None:
    """As Kubernetes mounts /dev/termination-log: no other file can take its place."""
    file = tmp_path / "termination-log"
    file.write_bytes(b"x" * 100_000)
    script = f'mount --bind "{file}" "{file}" || exit 77; exec "{PROGRAM}" snapshot -o "{file}"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], cwd=checkout.path, env=checkout.env, check=False)
    if done.returncode in (1, 77):
        pytest.skip("nothing can be mounted here")
    assert done.returncode == 0 and json.loads(file.read_bytes())["run"]


def test_what_another_user_planted_in_a_shared_directory_is_refused(tmp_path: Path) -> None:
    """As protected_symlinks does in the kernel: else a link in /tmp chooses which of your files is replaced."""
    if os.geteuid() != 0:
        pytest.skip("only root makes another user's files")
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    victim.write_text("precious")
    (shared / "run.json").symlink_to(victim)
    os.mkfifo(shared / "fifo")
    for name in ("run.json", "fifo"):
        os.lchown(shared / name, 12345, 12345)
    shared.chmod(0o1777)
    for name in ("run.json", "fifo"):
        with pytest.raises(OutputUnusable, match="another user"):
            OutputFile(os.fsencode(shared / name))
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("words", [["fetch"], ["exec", "--copy"]])
def test_a_directory_that_is_a_link_is_refused_before_work_starts(
    call: Callable[..., Any], checkout: Repo, program: Program, tmp_path: Path, words: list[str]
) -> None:
    call("snapshot", str(tmp_path / "given.json"))
    (tmp_path / "folder").mkdir()
    for target in ("folder", "nowhere"):
        link = tmp_path / f"to {target}"
        link.symlink_to(target)
        given = str(tmp_path / "given.json")
        arguments = ["fetch", given, str(link)]
        if words != ["fetch"]:
            arguments = ["exec", "--copy", str(link), given, "--", "true"]
        done = program.run(*arguments, cwd=tmp_path, env={"CODEREPO_ALLOW_PROTOCOL": "file"}, check=False)
        assert done.status in (125, 128) and "is a symbolic link" in done.errors
        assert link.is_symlink() and not list((tmp_path / "folder").iterdir())


def test_ignoring_through_a_linked_exclude_file(checkout: Repo, program: Program, tmp_path: Path) -> None:
    exclude = checkout.git_dir() / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.unlink(missing_ok=True)
    (tmp_path / "dotfiles").write_text("*.swp\n")
    exclude.symlink_to(tmp_path / "dotfiles")
    program.run("ignore", "outputs", cwd=checkout.path)
    assert exclude.is_symlink() and (tmp_path / "dotfiles").read_text() == "*.swp\n/outputs\n"


def test_a_descriptor_with_a_number_without_measure_is_none() -> None:
    with pytest.raises(OutputUnusable):
        OutputFile(b"/dev/fd/" + b"1" * 5000)


@pytest.mark.parametrize("name", ["receipt.json", "folder/receipt.json"])
def test_what_was_fetched_does_not_say_which_file_is_replaced(
    repo: Repo, program: Program, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "desk" / "receipt.json"
    victim.parent.mkdir()
    victim.write_text("precious")
    os.symlink(victim, repo.file("receipt.json"))
    os.symlink(victim.parent, repo.file("folder"))
    head = repo.commit()
    code = tmp_path / "code"
    done = program.run(
        "fetch", f"file://{repo.path}@{head}", code, "--receipt", code / name,
        env={"CODEREPO_ALLOW_PROTOCOL": "file"}, check=False,
    )  # fmt: skip
    assert done.status == 128 and "a symbolic link in" in done.errors
    assert victim.read_text() == "precious"
