"""Many at once, one that dies, and two users: the cache asks the platform once, and never gives what is not proved."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import Machine, World, load, remove, until, world
from tests.forge import Slow, Stall

FILES = {f"part {n}/file {m}.bin": os.urandom(2000) for n in range(10) for m in range(20)}


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("together"), "github", files=FILES) as made:
        made.register()
        made.checkout.write("part 1/edited", "never committed\n")
        made.manifest()
        yield made


@pytest.fixture
def place(hosted: World, tmp_path: Path) -> Iterator[World]:
    hosted.runner.program.env["CODEREPO_CACHE_DIR"] = str(tmp_path / "cache")
    hosted.forge.forget_requests()
    yield hosted
    hosted.forge.behave()
    for path in hosted.runner.home.glob("code*"):
        remove(path)


def start(place: World, number: int, *, fetch: bool) -> subprocess.Popen[bytes]:
    program = place.runner.program
    if fetch:
        return program.start("fetch", "--cache", "--receipt", f"code {number}.json", "run.json", f"code {number}")
    return program.start("exec", "--receipt", f"code {number}.json", "run.json", "--", "cat", "part 1/edited")


def all_of_them(place: World, count: int) -> None:
    """Half of them fetch, half execute; one asks the platform, and all have the tree."""
    place.forge.misbehave("archive", Slow(400_000), times=1)
    running = [start(place, number, fetch=number % 2 == 0) for number in range(count)]
    answers = [process.communicate(timeout=280) for process in running]
    assert [process.returncode for process in running] == [0] * count, answers
    tree = place.checkout.tree()
    hits = 0
    for number, (out, _) in enumerate(answers):
        if number % 2 == 0:
            assert place.runner.tree(f"code {number}") == tree
        else:
            assert out == b"never committed\n"
        receipt = load(place.runner.path(f"code {number}.json"))
        place.runner.path(f"code {number}.json").unlink()
        assert (receipt["tree"], receipt["verified"]) == (tree, True)
        hits += receipt["cacheHit"]
    assert hits == count - 1
    assert len(place.forge.requests("archive")) == 1
    assert len(json.loads(place.runner.run("cache", "list", "--json").stdout)) == 1


@pytest.mark.slow
def test_eight_at_once_ask_for_one_archive(place: World) -> None:
    all_of_them(place, 8)


@pytest.mark.slow
def test_sixty_four_at_once_ask_for_one_archive(place: World) -> None:
    all_of_them(place, 64)


@pytest.mark.slow
@pytest.mark.parametrize("after", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_another_takes_over_when_the_one_that_downloads_is_killed(place: World, after: int) -> None:
    place.forge.misbehave("archive", Stall(after=after), times=1)
    first = start(place, 0, fetch=False)
    until(lambda: len(place.forge.requests("archive")) == 1)
    waiting = [start(place, number, fetch=number % 2 == 0) for number in range(1, 4)]
    time.sleep(1)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    answers = [process.communicate(timeout=120) for process in waiting]
    assert [process.returncode for process in waiting] == [0, 0, 0], answers
    assert len(place.forge.requests("archive")) == 2
    _only_one_tree_and_nothing_else(place)
    for number in range(1, 4):
        place.runner.path(f"code {number}.json").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_killed_at_each_of_ten_points_of_its_way(place: World, tenth: int) -> None:
    """A whole way, from the start of the program to its end, is about 1.2 s here; each is killed a tenth later."""
    place.forge.misbehave("archive", Slow(1_000_000), times=None)
    first = start(place, 0, fetch=False)
    waiting = [start(place, number, fetch=number % 2 == 0) for number in range(1, 4)]
    time.sleep(0.1 + 0.12 * tenth)
    first.kill()
    first.communicate(timeout=60)
    answers = [process.communicate(timeout=120) for process in waiting]
    assert [process.returncode for process in waiting] == [0, 0, 0], answers
    assert len(place.forge.requests("archive")) in (1, 2)
    for number in range(1, 4):
        assert load(place.runner.path(f"code {number}.json"))["tree"] == place.checkout.tree()
        place.runner.path(f"code {number}.json").unlink()
    _only_one_tree_and_nothing_else(place)


def _only_one_tree_and_nothing_else(place: World) -> None:
    (part,) = Path(place.runner.program.env["CODEREPO_CACHE_DIR"]).iterdir()
    (key,) = part.iterdir()
    assert key.name == place.checkout.tree()
    generation = [path for path in key.iterdir() if path.name != "lock"]
    assert len(generation) == 1
    assert sorted(os.listdir(generation[0])) == ["listing", "size", "tree", "use"]
    assert place.runner.tree(generation[0] / "tree") == place.checkout.tree()


# --- two users -----------------------------------------------------------------------------------------------


class Person(Machine):
    """A user of this machine with a number and a HOME of their own, below `homes`."""

    def __init__(self, place: World, uid: int, homes: Path, *, has_token: bool) -> None:
        home = homes / f"home of {uid}"
        super().__init__(home, {**place.trusted, **(place.credential if has_token else {})})
        self.uid = uid
        self.program.env["CODEREPO_CACHE_DIR"] = str(homes / "shared cache")
        shutil.copy(place.runner.path("run.json"), home / "run.json")
        for name, value in place.trusted.items():
            if os.path.isfile(value):  # the certificate authority lies where only root may look
                self.program.env[name] = str(shutil.copy(value, str(home / name)))
        for folder, _, names in os.walk(home):
            for path in [folder, *(os.path.join(folder, name) for name in names)]:
                os.chown(path, uid, uid)

    def exec(self, **env: str) -> subprocess.CompletedProcess[bytes]:
        return self.start("git-coderepo", "exec", "run.json", "--", "cat", "part 1/edited", **env)

    def start(self, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        as_user = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "--"]
        return subprocess.run(
            [*as_user, *words], cwd=self.home, env={**self.program.env, **env}, capture_output=True, timeout=120
        )


@pytest.fixture
def people(place: World) -> Iterator[tuple[Person, Person]]:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be two other users")
    # Not below pytest's own directory, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="coderepo-users-") as name:
        homes = Path(name)
        homes.chmod(0o755)
        (homes / "shared cache").mkdir()
        (homes / "shared cache").chmod(0o1777)
        with_token = Person(place, 41_001, homes, has_token=True)
        if with_token.start("git-coderepo", "--version").returncode != 0:
            pytest.skip("another user cannot reach the program that is tested")
        yield with_token, Person(place, 41_002, homes, has_token=False)


@pytest.mark.slow
def test_a_user_without_a_token_gets_nothing_out_of_the_cache_of_one_with(people: tuple[Person, Person]) -> None:
    with_token, without = people
    first = with_token.exec()
    assert (first.returncode, first.stdout) == (0, b"never committed\n"), first.stderr
    refused = without.exec()
    assert refused.returncode == 125
    assert b"token" in refused.stderr or b"credential" in refused.stderr, refused.stderr
    assert without.exec(CODEREPO_CACHE_TRUST="ask").returncode == 125


@pytest.mark.slow
@pytest.mark.parametrize("trust", ["any", "ask"])
def test_the_tree_of_another_user_is_neither_readable_nor_used(people: tuple[Person, Person], trust: str) -> None:
    """`coderepo.cacheTrust` is accepted for two minor versions, with a warning, and has no effect."""
    with_token, without = people
    assert with_token.exec().returncode == 0
    (part,) = Path(with_token.program.env["CODEREPO_CACHE_DIR"]).glob("trees-*-41001")
    refused = without.exec(CODEREPO_CACHE_TRUST=trust)
    assert (refused.returncode, refused.stdout) == (125, b"")
    assert b"warning: coderepo.cacheTrust no longer has any effect" in refused.stderr
    assert b"warning" not in with_token.exec(CODEREPO_CACHE_TRUST="own").stderr
    for path in (part, *part.glob("*/*/tree/part 1/edited")):
        assert without.start("cat" if path.is_file() else "ls", str(path)).returncode != 0, path


def test_every_part_of_the_cache_is_its_users_alone(people: tuple[Person, Person]) -> None:
    with_token, _ = people
    before = os.umask(0)
    try:
        assert with_token.exec().returncode == 0
    finally:
        os.umask(before)
    (part,) = Path(with_token.program.env["CODEREPO_CACHE_DIR"]).glob("trees-*-41001")
    modes = {}
    for folder, folders, names in os.walk(part):
        for path in [Path(folder), *(Path(folder, name) for name in names)]:
            modes[path] = stat.S_IMODE(path.lstat().st_mode)
        folders[:] = [name for name in folders if name != "tree"]  # it is read-only, and the directories above it count
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
