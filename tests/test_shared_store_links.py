"""A store directory in which another user plants links: they lead neither our writes, nor our reads, nor our sweep."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from git_coderepo.errors import StoreDamaged, StoreMissing, StoreUnavailable
from git_coderepo.git.objects import ObjectId
from git_coderepo.stores.shared_store import SharedStore

TREE = ObjectId("ab" * 20)
OURS = f"{TREE.hex}.tar.gz.1.0123456789abcdef.tmp"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    made.mkdir()
    return made


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    made = tmp_path / "victim"
    made.mkdir(mode=0o700)
    (made / OURS).write_text("a file that is named like a temporary one of ours\n")
    (made / "notes.tmp").write_text("notes\n")
    for path in made.iterdir():
        os.utime(path, (1, 1))
    return made


def content(place: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (stat.S_IMODE(path.lstat().st_mode), path.read_bytes()) for path in place.iterdir()}


def put(store: SharedStore) -> None:
    store.put(TREE, lambda file: file.write(b"code"))


@pytest.mark.parametrize("planted", ["sha1", f"sha1/{TREE.hex[:2]}"])
def test_a_link_in_the_place_of_a_directory_is_refused_and_what_it_leads_to_is_untouched(
    place: Path, victim: Path, planted: str
) -> None:
    link = place / planted
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(victim)
    before, mode = content(victim), victim.stat().st_mode
    store = SharedStore(f"file://{place}")
    with pytest.raises(StoreDamaged) as refused:
        put(store)
    assert f"'{place}/{planted}' is not a directory" in refused.value.message
    with pytest.raises(StoreDamaged), store.open(TREE):
        pass
    with pytest.raises(StoreDamaged):
        store.has(TREE)
    assert content(victim) == before
    assert victim.stat().st_mode == mode


def test_a_link_in_the_place_of_an_object_is_neither_read_nor_written_through(place: Path, victim: Path) -> None:
    store = SharedStore(f"file://{place}")
    put(store)
    stored = place / "sha1" / TREE.hex[:2] / f"{TREE.hex}.tar.gz"
    secret = victim / "secret"
    secret.write_text("secret\n")
    stored.unlink()
    stored.symlink_to(secret)
    assert not store.has(TREE)
    with pytest.raises(StoreDamaged, match="symbolic link"), store.open(TREE):
        pass
    put(store)  # takes the place of the link
    assert secret.read_text() == "secret\n"
    assert not stored.is_symlink()
    with store.open(TREE) as file:
        assert file.read(100) == b"code"


def test_a_dangling_link_does_not_count_as_an_object(place: Path) -> None:
    folder = place / "sha1" / TREE.hex[:2]
    folder.mkdir(parents=True)
    (folder / f"{TREE.hex}.tar.gz").symlink_to(place / "nowhere")
    assert not SharedStore(f"file://{place}").has(TREE)


def test_the_sweep_removes_only_abandoned_files_of_ours(place: Path) -> None:
    folder = place / "sha1" / TREE.hex[:2]
    folder.mkdir(parents=True)
    for name in (OURS, "notes.tmp", "build.tar.gz.tmp"):
        (folder / name).write_text(name)
        os.utime(folder / name, (1, 1))
    (folder / OURS.replace("1.0", "2.0")).mkdir()  # a directory of such a name stays
    os.utime(folder / OURS.replace("1.0", "2.0"), (1, 1))
    put(SharedStore(f"file://{place}"))
    assert {path.name for path in folder.iterdir()} == {
        "notes.tmp",
        "build.tar.gz.tmp",
        OURS.replace("1.0", "2.0"),
        f"{TREE.hex}.tar.gz",
    }


def test_the_store_itself_may_be_a_link_since_the_user_names_it(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mounted").symlink_to(place)
    store = SharedStore(f"file://{tmp_path}/mounted")
    put(store)
    assert store.has(TREE)


def test_a_store_that_was_not_found_is_not_made(tmp_path: Path) -> None:
    store = SharedStore(f"file://{tmp_path}/absent")
    with pytest.raises(StoreUnavailable) as missing:
        put(store)
    assert "was not found" in missing.value.message
    assert not isinstance(missing.value, StoreMissing)
    assert not (tmp_path / "absent").exists()


# The victim drops its rights once all is loaded: another user may not reach the interpreter that tests.
VICTIM = """
import os, sys
from git_coderepo.errors import CodeRepoError
from git_coderepo.git.objects import ObjectId
from git_coderepo.stores.shared_store import SharedStore
store, tree = SharedStore(sys.argv[1]), ObjectId(sys.argv[2])
os.setgroups([]); os.setresgid(42001, 42001, 42001); os.setresuid(42001, 42001, 42001)
for _ in range(500):
    try:
        store.put(tree, lambda file: file.write(b"code"))
    except CodeRepoError:
        pass
"""
# The attacker exchanges its own directory and a link to the victim's all the time.
ATTACKER = """
import os, sys
folder, victim = sys.argv[1:3]
os.setgroups([]); os.setresgid(42002, 42002, 42002); os.setresuid(42002, 42002, 42002)
os.umask(0)
os.mkdir(folder + ".real", 0o777)
while True:
    os.rename(folder + ".real", folder)
    os.rename(folder, folder + ".real")
    os.symlink(victim, folder)
    os.unlink(folder)
"""


@pytest.fixture
def crowd() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="coderepo-users-") as name:
        root = Path(name)
        root.chmod(0o755)
        store, victim = root / "store", root / "victim"
        for path, mode, owner in ((store, 0o1777, 0), (store / "sha1", 0o777, 42_002), (victim, 0o700, 42_001)):
            path.mkdir()
            path.chmod(mode)
            os.chown(path, owner, owner)
        (victim / OURS).write_text("mine\n")
        os.chown(victim / OURS, 42_001, 42_001)
        os.utime(victim / OURS, (1, 1))
        yield store, victim


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")
def test_an_exchange_of_directory_and_link_leads_nowhere(crowd: tuple[Path, Path]) -> None:
    store, victim = crowd
    before = content(victim)
    folder = store / "sha1" / TREE.hex[:2]
    attacker = subprocess.Popen([sys.executable, "-c", ATTACKER, str(folder), str(victim)], stderr=subprocess.DEVNULL)
    try:
        done = subprocess.run(
            [sys.executable, "-c", VICTIM, f"file://{store}", TREE.hex], capture_output=True, text=True, timeout=200
        )
    finally:
        attacker.kill()
        attacker.wait()
    assert done.returncode == 0, done.stderr
    assert content(victim) == before
    assert stat.S_IMODE(victim.stat().st_mode) == 0o700


def test_what_is_read_back_is_bounded_by_what_was_written(place: Path, tmp_path: Path) -> None:
    """Somebody who may write to the store exchanges the object for an endless one before it is read back."""
    store = SharedStore(f"file://{place}")

    class Exchanging:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def put(self, key: str, fill: Any) -> None:
            self.inner.put(key, fill)
            planted = tmp_path / "planted"
            with open(planted, "wb") as file:
                file.truncate(1 << 40)
            planted.rename(place / key)

        def open(self, key: str) -> Any:
            return self.inner.open(key)

    hostile: Any = Exchanging(store._place)
    store._opened = hostile
    with pytest.raises(StoreDamaged, match="other bytes"):
        store.put(TREE, lambda file: file.write(b"a tar"))
