"""Odd checkouts, the rest: what file systems, names, rights and sizes do to one."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import subprocess

from tests.fidelity.case import Stage, Wanted, case
from tests.fidelity.odd_checkouts import GROUP, PARTS, edited, plain_tree
from tests.support.program import Result
from tests.support.repo import Repo

# --- what the file system cannot say ----------------------------------------------------------------------------


@case(GROUP, "core.fileMode=false")
def no_file_mode(stage: Stage) -> Wanted:
    """git does not look at the bits: what is executable in the index stays so, whatever the disk says."""
    place = stage.world(files=PARTS)
    repo = place.checkout
    repo.git("config", "core.fileMode", "false")
    edited(place)
    os.chmod(repo.file("tools/run.sh"), 0o644)
    repo.write("tools/run.sh", "#!/bin/sh -e\n")
    os.chmod(repo.file("train.py"), 0o755)
    repo.write("tools/new.sh", "#!/bin/sh\n", mode=0o755)
    said = place.user.run("status", cwd=repo.path).text
    assert "tools/new.sh on a runner: core.fileMode is false" in said, said
    return Wanted(place, repo, got=lambda code: _executable(code / "tools/run.sh"))


def _executable(path: os.PathLike[str]) -> None:
    assert os.access(path, os.X_OK)


@case(GROUP, "core.symlinks=false")
def no_symlinks(stage: Stage) -> Wanted:
    """A link is a file that holds its target; the tree has the link, and the runner makes one."""
    place = stage.world(files=PARTS)
    author = place.clone("author")
    author.symlink("latest", "core/deep")
    author.symlink("other", "train.py")
    author.commit("links")
    place.push(author)
    repo = place.clone("no links", "-c", "core.symlinks=false")
    assert os.path.isfile(repo.file("latest")) and not os.path.islink(repo.file("latest"))
    repo.write("other", "core/model.py")
    edited(place, repo)

    def links(code: os.PathLike[str]) -> None:
        assert os.readlink(os.path.join(code, "latest")) == "core/deep"
        assert os.readlink(os.path.join(code, "other")) == "core/model.py"

    return Wanted(place, repo, got=links)


@case(GROUP, "sha256 repository")
def sha256(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS, object_format="sha256")
    edited(place).commit("unpushed")
    return Wanted(place, edited(place), object_format="sha256")


# --- what git refuses, or passes over ------------------------------------------------------------------------------


@case(GROUP, "safe.directory refusal")
def dubious(stage: Stage) -> Wanted:
    """Somebody else's checkout: git's own words, and the line that it proposes."""
    place = stage.world(files=PARTS)

    def explained(said: object) -> None:
        assert "git config --global --add safe.directory" in str(getattr(said, "errors", ""))

    return Wanted(place, edited(place), env={"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, refused=explained)


@case(GROUP, "a repository inside that is no submodule")
def repository_inside(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    inner = Repo.init(place.checkout.path / "vendor/inner", place.user.env)
    inner.write("lib.py", "x = 1\n")
    inner.commit("its own")
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "a repository inside, without a commit")
def repository_inside_without_commit(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    Repo.init(place.checkout.path / "vendor/inner", place.user.env).write("lib.py", "x = 1\n")
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "a repository inside, among tracked files")
def repository_among_tracked_files(stage: Stage) -> Wanted:
    """`git init` in a folder whose files the outer one tracks."""
    place = stage.world(files=PARTS)
    inner = Repo.init(place.checkout.path / "core", place.user.env)
    inner.commit("its own")
    repo = edited(place)
    tree = plain_tree(repo, "train.py", "core/model.py", "core/new file.txt")
    return Wanted(place, repo, tree)


@case(GROUP, "case collisions")
def case_collisions(stage: Stage) -> Wanted:
    place = stage.world(files={**PARTS, "README": b"upper\n", "readme": b"lower\n"})
    place.checkout.write("Train.py", "a twin\n")
    place.checkout.write("Core/model.py", "a twin's folder\n")
    return Wanted(place, edited(place))


@case(GROUP, "case collisions, core.ignoreCase=true")
def case_ignored(stage: Stage) -> Wanted:
    """git hides a twin where it was told that the file system has none; the run sees it."""
    place = stage.world(files=PARTS)
    repo = edited(place)
    repo.write("Train.py", "a twin\n")
    repo.write("Core/model.py", "a twin's folder\n")
    tree = repo.tree()
    repo.git("config", "core.ignoreCase", "true")
    assert repo.tree() != tree
    return Wanted(place, repo, tree)


@case(GROUP, "reserved names")
def reserved(stage: Stage) -> Wanted:
    """What Windows or a Mac would not take, Linux does."""
    place = stage.world(files=PARTS)
    for name in ("CON", "aux.txt", "nul", "COM1.log", "trailing.", "trailing ", "a:b", "q?", "star*", '<>|"', "a\\b"):
        place.checkout.write(name, "reserved\n")
    return Wanted(place, edited(place))


@case(GROUP, "reserved names: .git in another spelling")
def git_spelt_otherwise(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.write("docs/.GIT/config", "x\n")
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "reserved names: .git as HFS+ would read it")
def git_on_hfs(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.write("docs/.g\u200cit/config", "x\n")
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "a FIFO")
def fifo(stage: Stage) -> Wanted:
    """No tree can hold one, and git does not list it: nothing of it is lost that could be kept."""
    place = stage.world(files=PARTS)
    os.mkfifo(place.checkout.file("core/pipe"))
    return Wanted(place, edited(place))


@case(GROUP, "a FIFO in the place of a tracked file")
def fifo_for_a_file(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.remove("core/model.py")
    os.mkfifo(place.checkout.file("core/model.py"))
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "a socket")
def unix_socket(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    bind(place.checkout, "core", "app.sock")
    return Wanted(place, edited(place))


@case(GROUP, "a socket in the place of a tracked file")
def socket_for_a_file(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.remove("core/model.py")
    bind(place.checkout, "core", "model.py")
    return Wanted(place, place.checkout, refused=lambda _: None)


def bind(repo: Repo, folder: str, name: str) -> None:
    """A socket in a folder; its path may be longer than an address holds (108 bytes), so through a descriptor."""
    descriptor = os.open(repo.file(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


# Root reads everything, unless it starts a program without the right to.
AS_A_USER = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if os.geteuid() == 0
    else ()
)


@case(GROUP, "an unreadable file")
def unreadable(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = edited(place)
    os.chmod(repo.file("core/model.py"), 0)
    return Wanted(place, repo, under=AS_A_USER, refused=lambda _: None)


@case(GROUP, "an unreadable file, untracked")
def unreadable_untracked(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.write("core/mine alone.txt", "x\n", mode=0)
    return Wanted(place, place.checkout, under=AS_A_USER, refused=lambda _: None)


@case(GROUP, "an unreadable folder")
def unreadable_folder(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.write("mine alone/x.txt", "x\n")
    os.chmod(place.checkout.file("mine alone"), 0)
    return Wanted(place, place.checkout, under=AS_A_USER, refused=lambda _: None)


@case(GROUP, "a file that changes while it is read")
def changing(stage: Stage) -> Wanted:
    """Somebody writes to it all the time: no state of it is ever whole, and none is recorded as if it were."""
    place = stage.world(files=PARTS)
    repo = edited(place)
    size = 24 << 20
    repo.write("core/log.bin", os.urandom(size))

    def write_on(running: subprocess.Popen[bytes]) -> None:
        with open(repo.file("core/log.bin"), "r+b") as file, mmap.mmap(file.fileno(), size) as memory:
            turn = 0
            while running.poll() is None:
                turn += 1
                memory[turn * 4099 % size] = turn & 0xFF

    return Wanted(place, repo, meanwhile=write_on, refused=lambda _: None)


# --- much ----------------------------------------------------------------------------------------------------------


@case(GROUP, "a file of 5 GB")
def five_gigabytes(stage: Stage) -> Wanted:
    """Refused by its size, before a byte of it is read: the kernel tells who opens it."""
    place = stage.world(files=PARTS)
    repo = edited(place)
    with open(repo.file("core/big.bin"), "wb") as file:
        file.truncate(5 << 30)
    watch = Watch(repo.file("core/big.bin"))

    def nobody_opened_it(said: Result) -> None:
        assert not watch.was_opened()
        assert "git coderepo ignore core/big.bin" in said.errors
        with open(repo.file("core/big.bin"), "rb"):
            pass
        assert watch.was_opened(), "the watch sees it when somebody does"

    return Wanted(place, repo, refused=nobody_opened_it)


class Watch:
    """Whether a file is opened from now on: inotify(7)."""

    IN_OPEN = 0x20

    def __init__(self, path: bytes) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self.descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0 or library.inotify_add_watch(self.descriptor, path, self.IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def was_opened(self) -> bool:
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return False


@case(GROUP, "100,000 untracked files", slow=True)
def many_untracked(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = edited(place)
    for number in range(100_000):
        if number % 1000 == 0:
            os.makedirs(repo.file(f"outputs/{number // 1000:03}"))
        with open(repo.file(f"outputs/{number // 1000:03}/{number}.txt"), "wb") as file:
            file.write(b"%d\n" % number)
    return Wanted(place, repo)
