"""Where the cache may lie: no other user can put their code where this user's is looked for."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.filesystem.private import open_private, open_unexchangeable
from tests.e2e.support import World, world
from tests.hints import cures
from tests.support.repo import PathLike

VICTIM, ATTACKER = 41_011, 41_012
FILES: dict[str | bytes, bytes] = {"train.py": b"print('recorded')\n"}

two_users = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be two other users"
)


def as_user(uid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may write to, like /tmp."""
    with tempfile.TemporaryDirectory(prefix="coderepo-shared-") as name:
        path = Path(name, "shared")
        os.chmod(name, 0o755)
        path.mkdir()
        path.chmod(0o1777)
        yield path


def make(path: Path, uid: int, mode: int = 0o755) -> Path:
    path.mkdir()
    os.chown(path, uid, uid)
    path.chmod(mode)
    return path


# --- the way to a directory -----------------------------------------------------------------------


def opened_by(uid: int, path: PathLike) -> str:
    """What a user hears who opens a directory and makes what is missing; `""` for nothing."""
    code = (
        "import os, sys; from git_coderepo.filesystem.private import open_unexchangeable\n"
        "try: open_unexchangeable(sys.argv[1], make=True)\n"
        "except OSError as error: print(error.strerror)"
    )
    done = subprocess.run(
        [*as_user(uid), sys.executable, "-c", code, os.fsencode(path)], capture_output=True, text=True, cwd="/"
    )
    if "ModuleNotFoundError" in done.stderr or "Permission denied: '/" in done.stderr:
        pytest.skip("another user cannot reach the program that is tested")
    assert done.stderr == ""
    return done.stdout.rstrip("\n")


@two_users
def test_a_way_that_another_user_could_exchange_is_refused_by_name(shared: Path) -> None:
    theirs = make(shared / "theirs", ATTACKER, 0o777)
    mine = make(shared / "mine", VICTIM)
    make(mine / "open to all", VICTIM, 0o777)
    make(mine / "sticky", VICTIM, 0o1777)
    (shared / "link").symlink_to(mine)
    os.chown(shared / "link", ATTACKER, ATTACKER, follow_symlinks=False)
    (mine / "own link").symlink_to("sticky/below")
    os.chown(mine / "own link", VICTIM, VICTIM, follow_symlinks=False)
    (mine / "loop").symlink_to("loop")
    os.chown(mine / "loop", VICTIM, VICTIM, follow_symlinks=False)
    make(mine / "sticky/below", VICTIM)

    assert opened_by(VICTIM, theirs) == f"'{theirs}' belongs to user {ATTACKER}"
    assert opened_by(VICTIM, theirs / "below") == f"'{theirs}' belongs to user {ATTACKER}"
    assert opened_by(VICTIM, shared / "link") == f"'{shared}/link' belongs to user {ATTACKER}"
    assert opened_by(VICTIM, mine / "open to all/x") == f"other users can replace what is in '{mine}/open to all'"
    assert opened_by(VICTIM, mine / "loop") == "Too many levels of symbolic links"
    assert opened_by(VICTIM, mine / "own link/new") == ""
    assert stat.S_IMODE((mine / "sticky/below/new").stat().st_mode) == 0o700
    assert opened_by(VICTIM, mine / "../mine/./more/than one") == ""
    assert (mine / "more/than one").is_dir()
    assert opened_by(VICTIM, shared / "new") == ""
    # Not even root goes where somebody else could put another directory.
    with pytest.raises(PermissionError, match="belongs to user"):
        open_unexchangeable(str(mine / "for root"), make=True)


@two_users
def test_a_directory_that_may_be_searched_and_not_read_is_on_the_way(shared: Path) -> None:
    above = make(shared / "home", 0, 0o711)
    make(above / "mine", VICTIM)
    assert opened_by(VICTIM, above / "mine/cache") == ""


def test_odd_names_on_the_way(tmp_path: Path) -> None:
    for name in (b" ", b"-n\n\xff", b"a" * 250):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name, b"below"))
        os.close(open_unexchangeable(path, make=True))
        assert os.path.isdir(path)
    with pytest.raises(FileNotFoundError):
        open_unexchangeable(str(tmp_path / "absent"), make=False)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        open_unexchangeable(str(tmp_path / "file/x"), make=True)


def test_a_part_becomes_private_or_is_refused(tmp_path: Path) -> None:
    parent = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "part").mkdir(mode=0o755)
    os.close(open_private("part", parent, make=True))
    assert stat.S_IMODE((tmp_path / "part").stat().st_mode) == 0o700
    (tmp_path / "part").chmod(0o777)
    with pytest.raises(PermissionError, match="other users can write"):
        open_private("part", parent, make=True)
    (tmp_path / "link").symlink_to("part")
    with pytest.raises(OSError):
        open_private("link", parent, make=True)
    os.close(parent)


# --- the program ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("place"), "file", files=FILES) as made:
        made.register()
        made.checkout.write("train.py", FILES["train.py"] + b"# never pushed\n" * 5000)
        made.manifest("--allow-unreproducible")
        yield made


class Victim:
    """A user without a HOME, whose temporary files lie in a directory that everybody may write to."""

    def __init__(self, hosted: World, shared: Path) -> None:
        self.home = shared.parent / "manifest"
        self.home.mkdir()
        self.env = {name: value for name, value in hosted.runner.program.env.items() if name != "HOME"}
        self.env.update(TMPDIR=str(shared), PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
        self.env.pop("XDG_CACHE_HOME", None)
        shutil.copytree(hosted.repository.path, shared.parent / "remote.git")
        text = (
            (hosted.runner.home / "run.json")
            .read_text()
            .replace(str(hosted.repository.path), str(shared.parent / "remote.git"))
        )
        (self.home / "run.json").write_text(text)
        for path in hosted.runner.home.glob("*.tar.gz"):
            shutil.copy(path, self.home)
        for folder, _, names in os.walk(shared.parent / "remote.git"):
            for name in [folder, *(os.path.join(folder, each) for each in names)]:
                os.chown(name, VICTIM, VICTIM)
        if self.start("--version").returncode != 0:
            pytest.skip("another user cannot reach the program that is tested")

    def start(self, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*as_user(VICTIM), "git-coderepo", *words],
            cwd=self.home, env={**self.env, **env}, capture_output=True, timeout=120,
        )  # fmt: skip

    def exec(self, **env: str) -> subprocess.CompletedProcess[bytes]:
        return self.start("exec", "--quiet", "run.json", "--", "python3", "train.py", **env)


@pytest.fixture
def victim(hosted: World, shared: Path) -> Victim:
    return Victim(hosted, shared)


@pytest.mark.slow
@two_users
def test_without_a_home_the_temporary_directory_serves(victim: Victim, shared: Path) -> None:
    done = victim.exec()
    assert (done.returncode, done.stdout) == (0, b"recorded\n")
    [part] = shared.glob(f"git-coderepo-{VICTIM}/trees-*-{VICTIM}")
    assert stat.S_IMODE(part.stat().st_mode) == stat.S_IMODE(part.parent.stat().st_mode) == 0o700


@pytest.mark.slow
@cures("name a directory that can be written to: CODEREPO_CACHE_DIR")
@two_users
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o755, 0o700])
def test_a_directory_that_somebody_made_beforehand_is_not_used(victim: Victim, shared: Path, mode: int) -> None:
    theirs = make(shared / f"git-coderepo-{VICTIM}", ATTACKER, mode)
    done = victim.exec()
    assert (done.returncode, done.stdout) == (125, b"")
    assert f"belongs to user {ATTACKER}".encode() in done.stderr
    assert b"hint: name a directory that can be written to: CODEREPO_CACHE_DIR" in done.stderr
    assert os.listdir(theirs) == []
    # The hint cures it.
    mine = make(shared / "mine", VICTIM)
    assert victim.exec(CODEREPO_CACHE_DIR=str(mine / "cache")).stdout == b"recorded\n"


@two_users
def test_a_link_that_somebody_planted_is_not_followed(victim: Victim, shared: Path) -> None:
    mine = make(shared / "mine", VICTIM)
    link = shared / f"git-coderepo-{VICTIM}"
    link.symlink_to(mine)
    os.chown(link, ATTACKER, ATTACKER, follow_symlinks=False)
    assert victim.exec().returncode == 125
    assert os.listdir(mine) == []


@pytest.mark.slow
@two_users
@pytest.mark.parametrize("umask", [0o002, 0o000, 0o077])
def test_what_the_tool_makes_itself_it_uses_again_under_any_umask(victim: Victim, shared: Path, umask: int) -> None:
    mine = make(shared / "mine", VICTIM)
    for _ in range(2):
        done = subprocess.run(
            [*as_user(VICTIM), "git-coderepo", "exec", "--quiet", "run.json", "--", "python3", "train.py"],
            cwd=victim.home, env={**victim.env, "CODEREPO_CACHE_DIR": str(mine / "a/new/cache")},
            capture_output=True, timeout=120, umask=umask,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, b"recorded\n", b"")


def test_root_with_umask_002_uses_its_own_directories(hosted: World, tmp_path: Path) -> None:
    """A directory that one's own group may write to is one's own where nobody else is in the group."""
    command = 'umask 002; mkdir -p "$CODEREPO_CACHE_DIR"; git-coderepo exec --quiet run.json -- python3 train.py'
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=hosted.runner.home, capture_output=True, timeout=120,
        env={**hosted.runner.program.env, "CODEREPO_CACHE_DIR": str(tmp_path / "a/cache")},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"recorded\n", b"")


# --- the exchange ---------------------------------------------------------------------------------

EXCHANGE = """
import ctypes, os, sys
one, two, stop = (os.fsencode(path) for path in sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
while not os.path.exists(stop):
    libc.renameat2(-100, one, -100, two, 2)
"""


@two_users
@pytest.mark.parametrize("attempts", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_an_exchange_of_directories_never_wins(shared: Path, attempts: int) -> None:
    """A user of the same machine exchanges what they own, all the while: a directory that passes for another's.

    What is opened is always the victim's own, or nothing: every attempt looks at the owner of what it got.
    """
    if not hasattr(ctypes.CDLL(None), "renameat2"):
        pytest.skip("no renameat2(2)")
    place = shared / "place"
    bait, trap = make(place, ATTACKER, 0o1777), make(shared / "other", ATTACKER, 0o777)
    for each in (bait, trap):
        make(each / f"trees-2-{VICTIM}", ATTACKER, 0o777)
    link = shared / "link"
    link.symlink_to(trap)
    os.chown(link, ATTACKER, ATTACKER, follow_symlinks=False)
    stop = shared / "stop"
    pairs = [(place, trap), (place, link)]
    attackers = [
        subprocess.Popen([*as_user(ATTACKER), sys.executable, "-c", EXCHANGE, str(one), str(two), str(stop)])
        for one, two in pairs
    ]
    code = (
        "import os, sys; from git_coderepo.fetching.cache.location import _own_part\n"
        "won = 0\n"
        f"for _ in range({attempts}):\n"
        "    try: part = _own_part(sys.argv[1], make=True, alone=False)\n"
        "    except OSError: continue\n"
        "    won += 1\n"
        "print(won)\n"
    )
    try:
        done = subprocess.run(
            [*as_user(VICTIM), sys.executable, "-c", code, str(place)], capture_output=True, text=True, timeout=300
        )
    finally:
        stop.touch()
        for attacker in attackers:
            attacker.wait(timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")


@two_users
@pytest.mark.slow
def test_the_program_never_runs_what_an_exchange_put_there(victim: Victim, shared: Path) -> None:
    """The same on the whole program, as long as it takes, with a cache of the victim's own to be exchanged for."""
    assert victim.exec().stdout == b"recorded\n"
    place = shared / f"git-coderepo-{VICTIM}"
    forged = shared / "forged"
    shutil.copytree(place, forged, symlinks=True)
    for folder, folders, names in os.walk(forged):
        for path in [folder, *(os.path.join(folder, each) for each in [*folders, *names])]:
            os.chown(path, ATTACKER, ATTACKER, follow_symlinks=False)
            os.chmod(path, 0o777)
    for program in forged.glob("*/*/*/tree/train.py"):
        program.write_bytes(b"print('forged')\n")
    stop = shared / "stop"
    attacker = subprocess.Popen(
        [*as_user(ATTACKER), sys.executable, "-c", EXCHANGE, str(forged), str(place), str(stop)]
    )
    try:
        for _ in range(15):
            assert b"forged" not in victim.exec().stdout
    finally:
        stop.touch()
        attacker.wait(timeout=60)
