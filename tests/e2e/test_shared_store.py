"""The shared store: one launcher puts a snapshot there, and runners take it from there and ask no platform."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import PROJECT, Machine, World, altered, everything, holding, lines, load, refused, until, world
from tests.forge import closed_port
from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.support.repo import Repo
from tests.support.s3 import SECRET, S3Server, credentials, refusing_server, s3_server

FILES = {
    b"train.py": b"lr = 0.1\n",
    b"-n": b"a leading dash\n",
    b"two words/caf\xe9 \xff": b"not UTF-8\n",
    b"line\nbreak/" + b"deep/" * 30 + b"long": b"more than a hundred bytes of path\n",
    b"empty": b"",
    b"run.sh": b"#!/bin/sh\n",
}


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("stored"), "github", files=FILES) as made:
        made.register()
        made.checkout.write("edited", "never committed\n")
        made.checkout.write("large.bin", b"not yet\n")
        os.symlink("two words", made.checkout.path / "link")
        yield made


class Shared:
    """A store, a launcher that is set to it, and two runners: one with a token, and a poor one without."""

    def __init__(self, place: World, store: str, home: Path, **env: str) -> None:
        self.place = place
        self.url = store
        self.env = {"CODEREPO_STORE": store, **env}
        self.poor = Machine(home / "poor runner", {**place.trusted, **self.env})
        self.rich = Machine(home / "rich runner", {**place.trusted, **place.credential, **self.env})
        place.forge.forget_requests()

    def launch(self, *arguments: str, checkout: Repo | None = None) -> Any:
        """A recorded run, whose manifest, and nothing else, comes to both runners; gives what was said."""
        manifest = self.poor.path("run.json")
        checkout = checkout or self.place.checkout
        done = self.place.user.run(
            "run", "--manifest", manifest, *arguments, "--", "true", cwd=checkout.path, env=self.env
        )
        for beside in manifest.parent.glob("*.tar.gz"):
            beside.unlink()
        shutil.copy(manifest, self.rich.path("run.json"))
        self.place.forge.forget_requests()
        return done

    def fetched(self, machine: Machine, name: str = "code", *arguments: str) -> Any:
        """The receipt of a fetch."""
        receipt = machine.path(f"{name}.json")
        machine.run("fetch", "--receipt", receipt, *arguments, "run.json", name)
        return load(receipt)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "the store"
    made.mkdir()
    return made


@pytest.fixture
def shared(hosted: World, directory: Path, tmp_path: Path) -> Shared:
    return Shared(hosted, f"file://{directory}", tmp_path)


def objects(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if not path.is_dir())


# --- in a directory ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_runner_with_nothing_but_the_store_gets_the_code(shared: Shared, directory: Path) -> None:
    """No token, no overlay beside the manifest, no request: the tree is proved as ever."""
    shared.place.checkout.write("large.bin", os.urandom(200_000))
    done = shared.launch("--quiet")
    assert done.errors == ""
    tree = shared.place.checkout.tree()
    (stored,) = objects(directory)
    assert stored.relative_to(directory).as_posix() == f"sha1/{tree[:2]}/{tree}.tar.gz"
    receipt = shared.fetched(shared.poor)
    assert (receipt["tree"], receipt["method"], receipt["fallbacks"]) == (tree, "store", [])
    assert (receipt["bytes"], receipt["overlay"]) == (stored.stat().st_size, None)
    assert shared.poor.tree("code") == tree
    assert shared.poor.run("validate", "code.json").status == 0
    assert shared.poor.run("verify", "run.json", "code").status == 0
    assert shared.poor.run("exec", "run.json", "--", "cat", "edited").text == "never committed\n"
    assert shared.place.forge.requests() == []


@pytest.mark.slow
def test_what_is_there_is_not_written_again(shared: Shared, directory: Path) -> None:
    shared.launch()
    (stored,) = objects(directory)
    before = stored.stat()
    shared.launch()
    shared.place.manifest(name="again.json")
    after = stored.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_snapshot_puts_it_there_where_a_manifest_is_written(shared: Shared, directory: Path, tmp_path: Path) -> None:
    cwd = shared.place.checkout.path
    shared.place.user.run("snapshot", cwd=cwd, env=shared.env)
    assert objects(directory) == [], "who prints a manifest looks at it"
    shared.place.user.run("snapshot", "-o", tmp_path / "run.json", cwd=cwd, env=shared.env)
    assert len(objects(directory)) == 1


@pytest.mark.slow
def test_where_the_store_lacks_it_that_is_said_and_the_platform_is_asked(shared: Shared, directory: Path) -> None:
    shared.launch()
    (stored,) = objects(directory)
    stored.unlink()
    refused(shared.poor, "fetch", "--method", "store", "run.json", "code", status=128, says="does not have", hint=None)
    shared.place.manifest()
    for file in shared.place.runner.home.glob("*.tar.gz"):
        shutil.copy(file, shared.rich.home)
    for words in (["fetch", "run.json", "code"], ["exec", "run.json", "--", "cat", "edited"]):
        shared.place.forge.forget_requests()
        done = shared.rich.run(*words)
        assert any("store failed: the store 'file://" in each for each in lines(done, "warning")), done.errors
        assert len(shared.place.forge.requests("archive")) == 1
    assert shared.rich.tree("code") == shared.place.checkout.tree()


def tar_of(name: str, contents: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        facts = tarfile.TarInfo(name)
        facts.size = len(contents)
        archive.addfile(facts, io.BytesIO(contents))
    return made.getvalue()


@pytest.mark.slow
@cures("in the checkout that recorded the run: git coderepo publish --store RUN")
def test_what_is_wrong_in_the_store_is_found_out_and_put_right(shared: Shared, directory: Path) -> None:
    """Whatever it is: nothing of it is kept, the platform is asked, and the launcher can put it there anew."""
    shared.place.checkout.write("large.bin", b"small\n")  # the overlay stands in the manifest
    shared.launch()
    tree = shared.place.checkout.tree()
    (stored,) = objects(directory)
    right = stored.read_bytes()
    flipped = bytearray(right)
    flipped[len(flipped) // 2] ^= 1
    for number, wrong in enumerate((
        right[:-9], b"", b"<html>gone</html>", bytes(flipped), tar_of("train.py", b"forged\n"), tar_of("../x", b"x"),
    )):  # fmt: skip
        stored.unlink()
        stored.write_bytes(wrong)
        shared.place.forge.forget_requests()
        done = shared.rich.run("fetch", "run.json", f"code {number}")
        (said,) = lines(done, "warning")
        assert said.startswith(f"store failed: what the store '{shared.url}' has for the tree {tree} is not that tree")
        assert shared.rich.tree(f"code {number}") == tree
        assert len(shared.place.forge.requests("archive")) == 1
    refused(shared.poor, "fetch", "--method", "store", "run.json", "code", status=128, says="is not that tree",
            hint="publish --store")  # fmt: skip
    again = shared.place.user.run("publish", "--store", "@{-1}", cwd=shared.place.checkout.path, env=shared.env).text
    assert "replacing a damaged copy" in again
    assert stored.read_bytes() == right
    assert shared.fetched(shared.poor)["method"] == "store"
    again = shared.place.user.run("publish", "--store", cwd=shared.place.checkout.path, env=shared.env).text
    assert "verified, already there" in again


def test_a_pipe_in_the_place_of_an_archive_holds_nobody_up(shared: Shared, directory: Path) -> None:
    shared.launch()
    (stored,) = objects(directory)
    stored.unlink()
    os.mkfifo(stored)
    refused(
        shared.poor, "fetch", "--method", "store", "run.json", "code", status=128, says="not a regular file", hint=None
    )


@pytest.mark.slow
@pytest.mark.parametrize("url", ["file:///no/such/place", "s3://code", "gs://code/runs"])
def test_a_store_that_cannot_be_used_stops_no_run(shared: Shared, url: str, tmp_path: Path) -> None:
    """The share is not mounted, there are no credentials, the package is not installed."""
    (tmp_path / "gcsfs.py").write_text("raise ImportError('as if it were not installed')\n")
    env = {"CODEREPO_STORE": url, "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(tmp_path)}
    shared.env.update(env)
    done = shared.launch("--name", "not stored")
    (_, warning) = lines(done, "warning")  # the first one names PYTHONPATH, which this test sets
    assert warning.startswith("not in the store: the store '"), done.errors
    assert any("other sources" in each for each in lines(done, "hint"))
    assert url != "gs://code/runs" or any(each.startswith("pip install gcsfs") for each in lines(done, "hint"))
    shared.place.manifest(name="run.json")
    for file in shared.place.runner.home.iterdir():
        if file.is_file():
            shutil.copy(file, shared.rich.home)
    fetched = shared.rich.run("fetch", "run.json", "code", env=env)
    assert any(each.startswith("store failed: the store '") for each in lines(fetched, "warning"))
    assert shared.rich.tree("code") == shared.place.checkout.tree()
    answer = shared.place.user.run("status", "--check", "--json", cwd=shared.place.checkout.path, env=env).json()
    assert answer["store"]["has"] is None and answer["store"]["problem"] and answer["reproducible"]


@pytest.mark.parametrize(
    "url", ["nowhere", "/a/path", "file://host/path", "s3://", "s3://key:secret@bucket/x", "http://x/y", "s3:bucket"]
)
def test_what_is_no_store_is_refused_before_anything_is_recorded(shared: Shared, url: str) -> None:
    shared.launch()
    cwd, env = shared.place.checkout.path, {"CODEREPO_STORE": url}
    before = everything(shared.place.checkout.path / ".git/coderepo/runs")
    done = shared.place.user.run("run", "--", "true", cwd=cwd, env=env, check=False)
    assert done.status == 125 and "invalid shared store" in done.errors
    assert everything(shared.place.checkout.path / ".git/coderepo/runs") == before
    assert "key:secret" not in done.errors
    refused(
        shared.poor,
        "fetch",
        "run.json",
        "code",
        status=129,
        says="invalid shared store",
        hint="file:///",
        env=env,
    )


@pytest.mark.slow
def test_neither_a_teams_file_nor_a_manifest_names_a_store(shared: Shared, directory: Path, tmp_path: Path) -> None:
    """Both may come from anybody; the store is asked and written to with the user's credentials."""
    other = tmp_path / "somebody's"
    other.mkdir()
    checkout = shared.place.clone("of a team")
    checkout.write(".coderepo", f"[coderepo]\n\tstore = file://{other}\n")
    checkout.commit()
    done = shared.place.user.run("run", "--", "true", cwd=checkout.path)
    assert any("'coderepo.store' in '.coderepo' is ignored" in each for each in lines(done, "warning"))
    assert objects(other) == []
    shared.launch()
    path = altered(shared.poor.path("run.json"), "store", to=shared.url)
    done = shared.poor.run("fetch", path, "code", env={"CODEREPO_STORE": ""}, check=False)
    assert done.status != 0, "it has no token, and was told of no store"


@pytest.mark.slow
def test_publish_puts_a_run_there_that_a_hook_recorded(shared: Shared, directory: Path) -> None:
    """The hook is quick and lean, and leaves the store alone; a launcher that uses it has a verb for it."""
    user, cwd = shared.place.user, shared.place.checkout.path
    user.run("hooks", "install", cwd=cwd)
    try:
        out = {"CODEREPO_OUT": str(shared.poor.path("run.json")), **shared.env}
        hook = ["git", "hook", "run", "pre-run"]
        subprocess.run(hook, cwd=cwd, env={**user.program.env, **out}, check=True, stdin=subprocess.DEVNULL)
    finally:
        user.run("hooks", "uninstall", cwd=cwd)
    assert objects(directory) == []
    said = user.run("publish", "--store", "@{-1}", cwd=cwd, env=shared.env).text
    assert f"tree {shared.place.checkout.tree()} in '{shared.url}', " in said and said.endswith(" written\n")
    shared.place.forge.forget_requests()
    assert shared.fetched(shared.poor)["method"] == "store"
    assert shared.place.forge.requests() == []
    refused(user, "publish", "--store", "--delete", cwd=cwd, status=129, says="--store", hint=None, env=shared.env)
    refused(user, "publish", "--store", cwd=cwd, status=129, says="coderepo.store is not set", hint="coderepo.store")


@pytest.mark.slow
def test_what_has_the_shape_of_a_token_does_not_get_there(shared: Shared, directory: Path) -> None:
    checkout = shared.place.clone("with a token")
    checkout.write("settings.py", f'KEY = "ghp_{"a1B2c3D4e5F6" * 3}"\n')
    user, cwd = shared.place.user, checkout.path
    assert user.run("run", "--", "true", cwd=cwd, env=shared.env, check=False).status == 125
    done = user.run("run", "--allow-unreproducible", "--", "true", cwd=cwd, env=shared.env)
    assert any("it cannot be reproduced" in each for each in lines(done, "warning"))
    user.run("publish", "--store", cwd=cwd, env=shared.env, check=False)
    user.run("run", "--", "true", cwd=cwd, env={"CODEREPO_SECRET_SCAN": "false"})
    assert user.run("publish", "--store", cwd=cwd, env=shared.env, check=False).status == 128
    assert objects(directory) == []


def test_a_part_of_a_large_repository(shared: Shared) -> None:
    """What is recorded is stored: the paths that are looked at. And a runner may keep a directory of the whole."""
    shared.launch("--subdirectory", "two words")
    receipt = shared.fetched(shared.poor, "part")
    assert receipt["method"] == "store" and os.listdir(shared.poor.path("part")) == ["two words"]
    shared.launch()
    receipt = shared.fetched(shared.poor, "kept", "--subdirectory", "two words")
    assert (receipt["method"], os.listdir(os.fsencode(shared.poor.path("kept")))) == ("store", [b"caf\xe9 \xff"])
    assert shared.place.forge.requests() == []


@pytest.mark.slow
def test_status_says_whether_it_is_there(shared: Shared) -> None:
    cwd, user = shared.place.checkout.path, shared.place.user
    assert f"store         {shared.url}\n" in user.run("status", "-v", cwd=cwd, env=shared.env).text
    assert "does not have the code yet" in user.run("status", "-v", "--check", cwd=cwd, env=shared.env).text
    shared.launch()
    assert f"{shared.url} has the code\n" in user.run("status", "-v", "--check", cwd=cwd, env=shared.env).text
    answer = user.run("status", "--check", "--json", cwd=cwd, env=shared.env).json()
    assert answer["store"] == {"url": shared.url, "has": True, "problem": None}
    rehearsed = user.run("status", "--as-runner", "--json", cwd=cwd, env=shared.env).json()["asRunner"]
    assert rehearsed["receipt"]["method"] == "store", rehearsed


def test_ids_of_sha256(directory: Path, tmp_path: Path) -> None:
    with world(tmp_path / "sha256", "git", files=FILES, object_format="sha256") as place:
        shared = Shared(place, f"file://{directory}", tmp_path)
        shared.launch()
        (stored,) = objects(directory)
        assert stored.parts[-3] == "sha256"
        assert shared.fetched(shared.poor)["method"] == "store"
        assert shared.poor.tree("code", "sha256") == place.checkout.tree()
        assert place.forge.requests() == []


@pytest.mark.slow
def test_each_submodule_has_an_object_of_its_own(hosted: World, directory: Path, tmp_path: Path) -> None:
    shared = Shared(hosted, f"file://{directory}", tmp_path)
    library = Repo.init(tmp_path / "library", hosted.scratch.env)
    library.write(b"of the library \xff", "one\n")
    library.commit("first")
    url = hosted.forge.add_repository("acme/library", platform="github", private=True, source=library.path).url
    checkout = hosted.clone("with a submodule")
    place = f"file://{library.path}"
    checkout.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--", place, "lib here")
    Repo(checkout.path / "lib here", checkout.env).git("remote", "set-url", "origin", url)
    checkout.commit("a submodule")
    checkout.write("lib here/edited", "in the submodule\n")
    checkout.write("edited", "in the superproject\n")
    shared.launch(checkout=checkout)
    assert len(objects(directory)) == 2
    receipt = shared.fetched(shared.poor)
    assert receipt["method"] == "store" and receipt["submodules"][0]["method"] == "store"
    assert shared.poor.path("code/lib here/edited").read_bytes() == b"in the submodule\n"
    assert hosted.forge.requests() == []
    for stored in objects(directory):
        stored.unlink()
    said = hosted.user.run("publish", "--store", cwd=checkout.path, env=shared.env).text.splitlines()
    assert [("'lib here'" in line, line.endswith("written")) for line in said] == [(False, True), (True, True)]
    assert len(objects(directory)) == 2


# --- a directory of many -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_many_writers_at_once_and_one_that_died(shared: Shared, directory: Path) -> None:
    """Nobody ever sees half an archive; what a killed one left goes when it is a day old."""
    shared.launch()
    (stored,) = objects(directory)
    right = stored.read_bytes()
    stored.unlink()
    old, young = (stored.with_name(f"{stored.name}.{number}.0123456789abcdef.tmp") for number in (1, 2))
    for path in (old, young):
        path.write_bytes(right[:100])
    os.utime(old, (1, 1))
    user = shared.place.user
    user.program.env["CODEREPO_STORE"] = shared.url
    try:
        running = [user.program.start("publish", "--store", cwd=shared.place.checkout.path) for _ in range(8)]
        until(lambda: stored.exists() or all(each.poll() is not None for each in running))
        while any(each.poll() is None for each in running):
            assert stored.read_bytes() == right
        answers = [each.communicate(timeout=120) for each in running]
    finally:
        del user.program.env["CODEREPO_STORE"]
    assert [each.returncode for each in running] == [0] * 8, answers
    assert objects(directory) == sorted([stored, young])


# One that drops its rights once everything is loaded: another user may not reach the interpreter that tests.
AS_USER = """
import os, sys
from git_coderepo.errors import CodeRepoError
from git_coderepo.git.objects import ObjectId
from git_coderepo.stores.shared_store import SharedStore
user, group = map(int, sys.argv[1:3])
store, what, tree = SharedStore(sys.argv[3]), sys.argv[4], ObjectId(sys.argv[5])
os.setgroups([group]); os.setresgid(user, user, user); os.setresuid(user, user, user); os.umask(0o077)
try:
    if what == "put":
        store.put(tree, lambda file: file.write(b"what it holds"))
    else:
        with store.open(tree) as file:
            assert file.read(100) == b"what it holds"
except CodeRepoError as error:
    sys.exit(error.message)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")
def test_two_users_of_one_group() -> None:
    """Each reads what the other wrote, whatever the umask; who is not of the group reads nothing."""
    with tempfile.TemporaryDirectory(prefix="coderepo-users-") as name:
        Path(name).chmod(0o755)
        directory = Path(name, "store")
        directory.mkdir()
        os.chown(directory, 0, 42_000)
        directory.chmod(0o2770)

        def as_user(number: int, group: int, what: str, tree: str) -> str:
            words = [str(number), str(group), f"file://{directory}", what, tree]
            return subprocess.run(
                [sys.executable, "-c", AS_USER, *words], cwd=PROJECT, capture_output=True, text=True, timeout=120
            ).stderr

        trees = {42_001: "ab" * 20, 42_002: "ab" * 19 + "cd"}
        for number, tree in trees.items():
            assert as_user(number, 42_000, "put", tree) == ""
        stored = objects(directory)
        assert [path.stat().st_uid for path in stored] == [42_001, 42_002]
        assert {path.stat().st_mode & 0o7777 for path in stored} == {0o440}
        assert {path.parent.stat().st_mode & 0o7777 for path in stored} == {0o2770}
        for tree in trees.values():
            assert as_user(42_001, 42_000, "get", tree) == as_user(42_002, 42_000, "get", tree) == ""
            assert "the store 'file://" in as_user(42_003, 42_009, "get", tree)


# --- in a bucket -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    pytest.importorskip("moto")
    with s3_server(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture
def bucket(hosted: World, server: S3Server, tmp_path: Path) -> Shared:
    server.empty()
    server.forget_requests()
    env = {name: value for name, value in server.env.items() if name != "CODEREPO_STORE"}
    return Shared(hosted, server.env["CODEREPO_STORE"], tmp_path, **env)


@pytest.mark.slow
@cures("or: git config coderepo.store s3://BUCKET/PREFIX")
def test_the_setting_that_is_named_makes_a_bucket_the_store(bucket: Shared, server: S3Server) -> None:
    user, checkout = bucket.place.user, bucket.place.checkout
    user.run("run", "--", "true", cwd=checkout.path)
    hints = stopped(user.program, "publish", "--store", cwd=checkout.path, says="coderepo.store is not set")
    typed(tail(hints[1]).replace("BUCKET/PREFIX", "code/runs"), checkout.path, user.env)
    env = {name: value for name, value in server.env.items() if name != "CODEREPO_STORE"}
    assert "written" in user.run("publish", "--store", cwd=checkout.path, env=env).text
    checkout.git("config", "--unset", "coderepo.store")


@pytest.mark.slow
def test_a_bucket_is_written_once_and_read_back(bucket: Shared, server: S3Server) -> None:
    assert bucket.launch("--quiet").errors == ""
    tree = bucket.place.checkout.tree()
    path = f"/code/runs/sha1/{tree[:2]}/{tree}.tar.gz"
    assert server.keys() == [path.removeprefix("/code/")]
    assert server.requests("PUT") == [path]
    assert path in server.requests("GET")
    bucket.launch()
    assert server.requests("PUT") == [path]
    receipt = bucket.fetched(bucket.poor)
    assert (receipt["tree"], receipt["method"]) == (tree, "store")
    assert receipt["bytes"] == len(server.ask("GET", path))
    done = bucket.poor.run("exec", "--quiet", "run.json", "--", "cat", "edited")
    assert (done.text, done.errors) == ("never committed\n", "")
    assert bucket.place.forge.requests() == []


def runners(bucket: Shared, count: int, at_once: int) -> None:
    """So many machines, each with a cache of its own: half fetch, half execute, and none asks the platform."""
    bucket.launch()
    tree = bucket.place.checkout.tree()
    program = bucket.poor.program
    for start in range(0, count, at_once):
        running = []
        for number in range(start, min(start + at_once, count)):
            program.env["CODEREPO_CACHE_DIR"] = str(bucket.poor.path(f"cache {number}"))
            words = ["fetch", "--receipt", f"{number}.json", "run.json", f"code {number}"]
            if number % 2:
                words = ["exec", "--quiet", "--receipt", f"{number}.json", "run.json", "--", "cat", "edited"]
            running.append((number, program.start(*words)))
        for number, process in running:
            out, errors = process.communicate(timeout=280)
            assert (process.returncode, errors) == (0, b""), (number, errors)
            receipt = load(bucket.poor.path(f"{number}.json"))
            assert (receipt["tree"], receipt["verified"], receipt["method"]) == (tree, True, "store")
            if number % 2:
                assert out == b"never committed\n"
            else:
                assert bucket.poor.tree(f"code {number}") == tree
    assert bucket.place.forge.requests() == []


@pytest.mark.slow
def test_six_runners_ask_no_platform(bucket: Shared) -> None:
    runners(bucket, 6, 3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_thirty_runners_ask_no_platform(bucket: Shared) -> None:
    runners(bucket, 30, 10)


@pytest.mark.slow
def test_what_is_wrong_in_a_bucket_is_found_out(bucket: Shared, server: S3Server) -> None:
    bucket.place.checkout.write("large.bin", b"small\n")
    bucket.launch()
    (key,) = server.keys()
    right = server.ask("GET", f"/code/{key}")
    for number, wrong in enumerate((right[: len(right) // 2], tar_of("train.py", b"forged\n"), None)):
        if wrong is None:
            server.ask("DELETE", f"/code/{key}")
        else:
            server.ask("PUT", f"/code/{key}", wrong)
        done = bucket.rich.run("fetch", "run.json", f"code {number}")
        says = "does not have the tree" if wrong is None else "is not that tree"
        assert [says in each for each in lines(done, "warning")] == [True], done.errors
        assert bucket.rich.tree(f"code {number}") == bucket.place.checkout.tree()
    assert len(bucket.place.forge.requests("archive")) == 3
    bucket.place.user.run("publish", "--store", cwd=bucket.place.checkout.path, env=bucket.env)
    assert server.ask("GET", f"/code/{key}") == right


@pytest.mark.slow
def test_a_server_that_refuses_that_is_not_there_and_a_bucket_that_is_not(bucket: Shared, server: S3Server) -> None:
    bucket.place.checkout.write("large.bin", b"small\n")
    bucket.launch()
    with refusing_server() as url:
        cases = (
            ({"AWS_ENDPOINT_URL": url}, "cannot be", 4),
            ({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port()}"}, "could not connect", 128),
            ({"CODEREPO_STORE": "s3://no-such-bucket/x"}, "", 128),
        )
        for number, (env, says, status) in enumerate(cases):
            done = bucket.rich.run("fetch", "run.json", f"code {number}", env=env)
            (said,) = lines(done, "warning")
            assert said.startswith("store failed: the store 's3://") and says in said, said
            assert bucket.rich.tree(f"code {number}") == bucket.place.checkout.tree()
            if status == 4:
                refused(bucket.poor, "fetch", "--method", "store", "run.json", "code", status=4, says="cannot be read",
                        hint=None, env=env)  # fmt: skip
            run = bucket.place.user.run("run", "--", "true", cwd=bucket.place.checkout.path, env={**bucket.env, **env})
            assert [each.startswith("not in the store: ") for each in lines(run, "warning")] == [True], run.errors


@pytest.mark.slow
def test_the_key_to_a_bucket_is_seen_nowhere(bucket: Shared, server: S3Server) -> None:
    user = bucket.place.user
    said = [bucket.launch().errors, bucket.poor.run("--verbose", "fetch", "run.json", "code").errors]
    with refusing_server() as url:
        env = {**bucket.env, **credentials(url)}
        for words in (["run", "--", "true"], ["--verbose", "publish", "--store"], ["status", "--check"]):
            done = user.run(*words, cwd=bucket.place.checkout.path, env=env, check=False)
            said += [done.text, done.errors]
        said.append(bucket.poor.run("fetch", "run.json", "another", env=env, check=False).errors)
    assert SECRET not in "".join(said)
    assert any(f"trace: coderepo: store: get {bucket.url}/sha1/" in text for text in said)
    assert holding(SECRET, bucket.place.root, bucket.poor.home) == []
