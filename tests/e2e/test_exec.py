"""`exec`: a command in the code of a run, from the cache, as if it had been started in the checkout."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, load, problems, refused, until, world
from tests.forge import Hangup, WrongByte

FILES = {
    "train.py": b"import helper\nprint(helper.NAME)\n",
    "helper.py": b"NAME = 'helper'\n",
    "services/my train/main.py": b"import os\nprint(os.getcwd())\n",
    "run.sh": b"#!/bin/sh\necho ran with $1\n",
    b"odd/-n\xff\n": b"odd",
}
PYTHON = "python3"


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("exec"), "github", files=FILES) as made:
        made.register()
        made.checkout.write("helper.py", "NAME = 'edited'\n")  # never committed
        made.manifest()
        yield made


@pytest.fixture
def place(hosted: World, tmp_path: Path) -> World:
    """A runner whose cache is empty."""
    cache = tmp_path / "my cache"
    hosted.runner.program.env["CODEREPO_CACHE_DIR"] = str(cache)
    hosted.forge.behave()
    hosted.forge.forget_requests()
    return hosted


def archives(place: World) -> int:
    return len(place.forge.requests("archive"))


def cached(place: World) -> Path:
    """The directory of the one tree in the cache that is served."""
    (tree,) = [tree for tree in listed(place) if tree["good"]]
    return Path(tree["directory"]) / "tree"


def listed(place: World) -> list[dict[str, Any]]:
    """What `cache list` knows of."""
    found: list[dict[str, Any]] = json.loads(place.runner.run("cache", "list", "--json").stdout)
    return found


@pytest.mark.slow
def test_a_command_runs_in_the_recorded_code_as_dirty_as_it_was(place: World) -> None:
    result = place.runner.run("exec", "run.json", "--", PYTHON, "train.py")
    assert result.text == "edited\n"
    assert archives(place) == 1


@pytest.mark.slow
def test_the_second_time_nothing_is_asked_of_the_platform(place: World) -> None:
    place.runner.run("exec", "--receipt", "first.json", "run.json", "--", "true")
    place.forge.forget_requests()
    place.runner.run("exec", "--receipt", "second.json", "run.json", "--", "true")
    assert place.forge.requests() == []
    first, second = load(place.runner.path("first.json")), load(place.runner.path("second.json"))
    assert (first["cacheHit"], first["method"]) == (False, "archive")
    assert (second["cacheHit"], second["method"]) == (True, "cache")
    assert first["tree"] == second["tree"] == place.checkout.tree()
    assert problems(place.runner, place.runner.path("second.json")) == []


@pytest.mark.slow
def test_its_status_and_its_signals_are_passed_through(place: World) -> None:
    def status(*command: str) -> int:
        return place.runner.run("exec", "run.json", "--", *command, check=False).status

    assert status("sh", "-c", "exit 7") == 7
    assert status("sh", "-c", "kill -TERM $$") == 128 + signal.SIGTERM
    assert status("./run.sh", "x") == 0
    assert status("./train.py") == 126
    assert status("./absent") == 127
    refused(place.runner, "exec", "absent.json", "--", "true", status=125, says="cannot read", hint=None)
    refused(place.runner, "exec", "run.json", status=125, says="no command", hint="exec run.json --")


def test_what_the_command_is_told(place: World) -> None:
    told = place.runner.run(
        "exec", "run.json", "--", PYTHON, "-c", "import json, os; print(json.dumps(dict(os.environ)))"
    )
    environment = json.loads(told.stdout)
    manifest = load(place.runner.path("run.json"))
    assert environment["CODEREPO_RUN_ID"] == manifest["run"]["id"]
    assert environment["CODEREPO_TREE"] == manifest["code"]["snapshot"]["tree"]
    assert environment["CODEREPO_COMMIT"] == environment["WANDB_GIT_COMMIT"] == manifest["code"]["head"]["commit"]
    assert environment["WANDB_GIT_REMOTE_URL"] == place.url
    assert environment["CODEREPO_MANIFEST"] == str(place.runner.path("run.json"))
    assert json.loads(environment["CODEREPO_MANIFEST_JSON"]) == manifest
    assert environment["PYTHONPATH"] == str(cached(place))
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_a_manifest_from_a_pipe_is_a_file_for_the_command(place: World) -> None:
    data = place.runner.path("run.json").read_bytes()
    result = place.runner.run("exec", "-", "--", "sh", "-c", 'cat "$CODEREPO_MANIFEST"', input=data)
    assert result.stdout == data
    assert os.listdir(place.runner.env["TMPDIR"]) == []


@pytest.mark.slow
def test_it_starts_where_the_run_was_started(place: World) -> None:
    below = place.checkout.path / "services/my train"
    place.user.run("snapshot", "-o", place.runner.path("below.json"), cwd=below)
    where = place.runner.run("exec", "below.json", "--", PYTHON, "main.py").text
    assert where.rstrip("\n").endswith("/tree/services/my train")
    assert place.runner.run("exec", "--directory", ".", "below.json", "--", PYTHON, "train.py").text == "edited\n"
    # Both are where Python looks for modules.
    found = place.runner.run("exec", "below.json", "--", PYTHON, "-c", "import helper, main").text
    assert found.rstrip("\n").endswith("my train")


def test_a_run_that_was_started_in_a_folder_without_code(place: World) -> None:
    (place.checkout.path / "empty").mkdir()
    place.user.run("snapshot", "-o", place.runner.path("empty.json"), cwd=place.checkout.path / "empty")
    (place.checkout.path / "empty").rmdir()
    refused(
        place.runner,
        *("exec", "empty.json", "--", "true"),
        status=125,
        says="the code has no such directory",
        hint="--directory .",
        watched=place.runner.path("nothing"),
    )
    told = place.runner.run("exec", "--copy", "a copy", "empty.json", "--", "pwd").text
    assert told == f"{place.runner.path('a copy')}/empty\n"


def test_the_tree_in_the_cache_is_read_only(place: World) -> None:
    place.runner.run("exec", "run.json", "--", "true")
    for folder, _, names in os.walk(cached(place)):
        for path in [Path(folder), *(Path(folder, name) for name in names)]:
            assert stat.S_IMODE(path.lstat().st_mode) & 0o222 == 0, path


@pytest.mark.slow
def test_what_a_command_wrote_into_it_is_found_at_the_next_hit(place: World) -> None:
    place.runner.run("exec", "run.json", "--", "true")
    helper = cached(place) / "helper.py"
    before = helper.stat()
    helper.chmod(0o644)
    helper.write_bytes(b"NAME = 'forged'\n")
    os.utime(helper, ns=(before.st_atime_ns, before.st_mtime_ns))
    helper.chmod(0o444)
    result = place.runner.run("exec", "run.json", "--", PYTHON, "train.py")
    assert result.text == "edited\n"
    assert "was modified ('helper.py')" in result.errors
    assert archives(place) == 2
    assert sorted(tree["kind"] for tree in listed(place)) == ["modified", "tree"]

    (cached(place) / "docs of mine").mkdir()
    (cached(place) / "docs of mine/new").touch()
    result = place.runner.run("exec", "run.json", "--", PYTHON, "train.py")
    assert (result.text, archives(place)) == ("edited\n", 3)
    # Nothing that was written is destroyed before somebody says so.
    aside = [Path(tree["directory"]) / "tree" for tree in listed(place) if tree["kind"] == "modified"]
    assert sorted(tree.joinpath("docs of mine/new").exists() for tree in aside) == [False, True]
    assert {tree.joinpath("helper.py").read_bytes() for tree in aside} >= {b"NAME = 'forged'\n"}
    assert place.runner.run("cache", "prune").text.startswith("removed 2 trees")
    assert [tree["kind"] for tree in listed(place)] == ["tree"]


def test_a_file_whose_times_alone_changed_is_hashed_and_stays(place: World) -> None:
    place.runner.run("exec", "run.json", "--", "true")
    os.utime(cached(place) / "helper.py")
    result = place.runner.run("exec", "--quiet", "run.json", "--", PYTHON, "train.py")
    assert (result.text, result.errors, archives(place)) == ("edited\n", "", 1)


def test_a_copy_may_be_written_to_and_stays(place: World) -> None:
    result = place.runner.run(
        "exec", "--copy", "work here", "run.json", "--", "sh", "-c", "echo 1 > out; echo x >> helper.py"
    )
    assert result.status == 0
    assert place.runner.path("work here/out").read_text() == "1\n"
    assert (cached(place) / "helper.py").read_text() == "NAME = 'edited'\n", "no hard links"
    assert not (cached(place) / "out").exists()


def test_fetch_copies_out_of_the_cache_what_it_has(place: World) -> None:
    place.runner.run("fetch", "--cache", "run.json", "one")
    place.forge.forget_requests()
    place.runner.run("fetch", "--receipt", "receipt.json", "run.json", "two")
    assert place.forge.requests() == []
    for name in ("one", "two"):
        assert place.runner.tree(name) == place.checkout.tree()
        assert (place.runner.path(name) / "helper.py").stat().st_nlink == 1
        assert (place.runner.path(name) / "helper.py").stat().st_mode & 0o200
    assert load(place.runner.path("receipt.json"))["cacheHit"] is True
    assert place.runner.run("verify", "run.json", "two").status == 0


def test_fetch_leaves_the_cache_alone_unless_asked(place: World) -> None:
    place.runner.run("fetch", "run.json", "straight")
    assert json.loads(place.runner.run("cache", "list", "--json").stdout) == []
    place.runner.program.env["CODEREPO_CACHE"] = "true"
    try:
        place.runner.run("fetch", "run.json", "kept")
    finally:
        del place.runner.program.env["CODEREPO_CACHE"]
    assert len(json.loads(place.runner.run("cache", "list", "--json").stdout)) == 1


@pytest.mark.slow
def test_a_wrong_download_leaves_nothing_in_the_cache(place: World) -> None:
    place.forge.misbehave("archive", WrongByte("train.py"), times=None)
    place.forge.misbehave("git/upload-pack", Hangup(), times=None)
    result = place.runner.run("exec", "run.json", "--", "touch", "started", check=False)
    assert result.status == 125
    assert not place.runner.path("started").exists()
    assert json.loads(place.runner.run("cache", "list", "--json").stdout) == []


@pytest.mark.slow
def test_a_tree_in_use_is_not_evicted_even_when_exec_itself_was_killed(place: World) -> None:
    marker = place.runner.path("go on")
    script = (
        f"touch '{marker}.started'; while ! test -e '{marker}'; do sleep 0.05; done; cat helper.py > '{marker}.done'"
    )
    process = place.runner.program.start("exec", "run.json", "--", "sh", "-c", script, str(marker))
    until(Path(f"{marker}.started").exists)
    process.kill()  # the command lives on
    process.wait(timeout=60)
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    pruned = place.runner.run("cache", "prune", "--max-size", "0")
    assert "kept, in use" in pruned.errors
    assert pruned.text == "nothing to remove\n"
    marker.touch()
    done = Path(f"{marker}.done")
    until(lambda: done.exists() and done.read_text() == "NAME = 'edited'\n")
    until(lambda: place.runner.run("cache", "prune", "--max-size", "0").text.startswith("removed 1 tree"))
    assert place.runner.run("cache", "list").text.startswith("0 trees")


@pytest.mark.slow
def test_prune_by_size_takes_what_was_unused_longest(place: World) -> None:
    trees = []
    for number in range(3):
        place.checkout.write("data/weights.bin", os.urandom(100_000))
        place.user.run("snapshot", "-o", place.runner.path(f"{number}.json"), cwd=place.checkout.path)
        trees.append(place.checkout.tree())
        place.runner.run("exec", f"{number}.json", "--", "true")
    place.runner.run("exec", "0.json", "--", "true")  # used last
    assert place.runner.run("cache", "prune", "--max-size", "200k", "--dry-run").text.count("tree ") >= 2
    place.runner.run("cache", "prune", "--max-size", "200k")
    assert [tree["key"] for tree in json.loads(place.runner.run("cache", "list", "--json").stdout)] == [trees[0]]
    refused(place.runner, "cache", "prune", "--max-size", "much", status=129, says="invalid size 'much'")
    place.checkout.remove("data/weights.bin")


def test_a_place_that_cannot_be_used_is_named_and_another_taken(place: World) -> None:
    file = place.runner.path("a file")
    file.write_bytes(b"")
    result = place.runner.run(
        "exec", "run.json", "--", PYTHON, "train.py", env={"CODEREPO_CACHE_DIR": str(file / "cache")}
    )
    assert result.text == "edited\n"
    assert "for the cache" in result.errors
    assert "a file/cache" in result.errors
    refused(
        place.runner, "exec", "run.json", "--", "true", status=125, says="use an absolute path",
        hint=None, env={"CODEREPO_CACHE_DIR": "relative"},
    )  # fmt: skip


@pytest.mark.slow
def test_a_tree_whose_files_are_converted_is_kept_and_copied_as_converted(place: World) -> None:
    """A blob with CRLF beside files that were converted: what lies there is not the recorded tree."""
    place.checkout.write(".gitattributes", "*.bat eol=crlf\nraw.txt -text\n")
    place.checkout.write("start.bat", "echo 1\n")
    place.checkout.write("raw.txt", "a\r\n")
    place.user.run("snapshot", "-o", place.runner.path("converted.json"), cwd=place.checkout.path)
    for name in ("one converted", "two converted"):
        place.runner.run("fetch", "--cache", "converted.json", name)
        assert (place.runner.path(name) / "start.bat").read_bytes() == b"echo 1\r\n"
        assert place.runner.run("verify", "converted.json", name).status == 0
    os.utime(cached(place) / "start.bat")
    place.forge.forget_requests()
    assert place.runner.run("exec", "converted.json", "--", "cat", "start.bat").stdout == b"echo 1\r\n"
    assert place.forge.requests() == []
    for path in (".gitattributes", "start.bat", "raw.txt"):
        place.checkout.remove(path)
