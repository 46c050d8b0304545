"""A job writes beside its code under `exec` and `run --frozen`: it may not, or what it wrote stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, load, until, world

FILES: dict[str | bytes, bytes] = {"train.py": b"import os\nprint(os.getcwd())\n", "pkg/__init__.py": b""}
WRITE = "mkdir -p outputs && echo model > outputs/model.pt && echo x >> train.py"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be root, and another user"
)


def without(*capabilities: str) -> list[str]:
    """setpriv(1): what is started has them no more, and can never get them."""
    dropped = ",".join(f"-{each}" for each in capabilities)
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", "--"]


# Who runs it: root who may mount, root in an ordinary container, root whom modes bind, and another user.
MOUNTS: list[str] = []
CONTAINER = without("sys_admin")
BOUND = without("sys_admin", "dac_override", "dac_read_search")
USER = ["setpriv", "--reuid=41003", "--regid=41003", "--clear-groups", "--"]


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("outputs"), "file", files=FILES) as made:
        made.register()
        made.checkout.write("pkg/edited.py", "x = 1\n" * 9000)  # all of it travels
        made.manifest()
        yield made


class Job:
    """`exec` as somebody, with a cache of their own that is empty."""

    def __init__(self, place: World, who: Sequence[str], home: Path) -> None:
        self.who = who
        self.home = home
        self.env = {**place.runner.program.env, "HOME": str(home), "CODEREPO_CACHE_DIR": str(home / "cache")}
        self.env["TMPDIR"] = str(home)

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.who, "git-coderepo", *words], cwd=self.home, env=self.env, capture_output=True, timeout=120
        )

    def exec(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return self.run("exec", "--receipt", "receipt.json", "run.json", "--", *command)

    def kept(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("cache", "list", "--json").stdout)
        return found

    def kinds(self) -> list[str]:
        return sorted(each["kind"] for each in self.kept())


@pytest.fixture
def job(hosted: World, request: pytest.FixtureRequest) -> Iterator[Job]:
    # Not below pytest's own directory, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="coderepo-outputs-") as name:
        home = Path(name, "home of somebody")
        shutil.copytree(hosted.repository.path, Path(name, "remote.git"))
        home.mkdir()
        for path in hosted.runner.home.glob("*.json"):
            shutil.copy(path, home)
        for path in hosted.runner.home.glob("*.tar.gz"):
            shutil.copy(path, home)
        document = load(home / "run.json")
        document["repository"]["remote"]["path"] = f"{name}/remote.git"
        (home / "run.json").write_text(json.dumps(document), encoding="utf-8")
        os.chmod(name, 0o755)
        if request.param is USER:
            for folder, _, names in os.walk(name):
                for each_path in [folder, *(os.path.join(folder, each) for each in names)]:
                    os.chown(each_path, 41003, 41003)
            if subprocess.run([*USER, "git-coderepo", "--version"], capture_output=True).returncode != 0:
                pytest.skip("another user cannot reach the program that is tested")
        yield Job(hosted, request.param, home)


@pytest.mark.slow
@pytest.mark.parametrize("job", [MOUNTS, BOUND, USER], indirect=True, ids=["mounts", "bound by modes", "user"])
def test_the_tree_is_read_only_in_fact(job: Job) -> None:
    if job.who is MOUNTS and not may_mount():
        pytest.skip("no capability to mount here")
    ended = job.exec("sh", "-c", WRITE)
    assert ended.returncode != 0
    where = job.kept()[0]["directory"] + "/tree"
    assert f"running in '{where}', which is read-only; use --copy DIR" in ended.stderr.decode()
    assert job.kinds() == ["tree"]
    assert job.exec("python3", "train.py").stdout.decode() == f"{where}\n"
    receipt = load(job.home / "receipt.json")
    assert (receipt["cacheHit"], receipt["proof"]["afterCommand"]) == (True, "unchanged")
    # In the job's eyes only: whoever looks after the cache can remove it.
    assert job.run("cache", "prune", "--max-size", "0").stdout.startswith(b"removed 1 tree")


@pytest.mark.slow
@pytest.mark.parametrize("job", [CONTAINER], indirect=True, ids=["container"])
def test_root_without_the_capability_runs_in_a_copy_that_stays_while_it_holds_outputs(job: Job) -> None:
    first = job.exec("sh", "-c", f"{WRITE}; pwd")
    assert first.returncode == 0, first.stderr
    where = first.stdout.decode().rstrip("\n")
    said = first.stderr.decode()
    assert f"running in '{where}', a copy" in said and "--copy DIR" in said
    assert f"the command wrote into its copy of the code ('outputs/model.pt'), which is kept: '{where}'" in said
    assert load(job.home / "receipt.json")["proof"]["afterCommand"] == "changed"
    assert job.kinds() == ["copy", "tree"]
    # The next one sees the recorded code, in a copy of its own; it writes nothing, and nothing is left of it.
    second = job.exec("python3", "train.py")
    assert second.stdout.decode().rstrip("\n") not in ("", where)
    assert load(job.home / "receipt.json")["cacheHit"] is True
    assert (Path(where) / "outputs/model.pt").read_text() == "model\n"
    assert job.kinds() == ["copy", "tree"]
    listed = job.run("cache", "list").stdout.decode()
    assert f"(0 days): {where}" in listed
    # Thirty days later another tree comes, and makes an end.
    old = Path(where).parent / "use"
    os.utime(old, (old.stat().st_mtime - 31 * 86400,) * 2)
    [tree] = [each for each in job.kept() if each["kind"] == "tree"]
    (Path(tree["directory"]) / "tree/new").touch()
    assert job.exec("true").returncode == 0
    assert not os.path.exists(where)
    assert job.kinds() == ["modified", "tree"]
    assert job.run("cache", "prune").stdout.startswith(b"removed 1 tree")
    assert job.kinds() == ["tree"]


@pytest.mark.slow
@pytest.mark.parametrize("job", [CONTAINER], indirect=True, ids=["container"])
def test_a_copy_in_use_is_never_removed(job: Job) -> None:
    go_on = job.home / "go on"
    later = f"(while ! test -e '{go_on}'; do sleep 0.05; done; echo 2 > out) > /dev/null 2>&1 &"
    ended = job.exec("sh", "-c", f"echo 1 > out; {later} pwd; exit 4")
    assert ended.returncode == 4
    where = Path(ended.stdout.decode().rstrip("\n"))
    pruned = job.run("cache", "prune", "--max-size", "0")
    assert b"kept, in use" in pruned.stderr
    go_on.touch()
    until(lambda: (where / "out").read_text() == "2\n")
    until(lambda: job.run("cache", "prune").stdout.startswith(b"removed 1 tree"))


@pytest.mark.slow
@pytest.mark.parametrize("job", [CONTAINER, MOUNTS], indirect=True, ids=["container", "mounts"])
def test_a_frozen_run_loses_nothing_either(hosted: World, job: Job) -> None:
    if job.who is MOUNTS and not may_mount():
        pytest.skip("no capability to mount here")
    ended = subprocess.run(
        [*job.who, "git-coderepo", "run", "--frozen", "sh", "-c", f"pwd; {WRITE}"],
        cwd=hosted.checkout.path,
        env={**hosted.user.program.env, "CODEREPO_CACHE_DIR": job.env["CODEREPO_CACHE_DIR"]},
        capture_output=True,
        timeout=120,
    )
    where = ended.stdout.decode().rstrip("\n")
    assert f"running in '{where}'" in ended.stderr.decode()
    if job.who is MOUNTS:
        assert ended.returncode != 0
    else:
        assert ended.returncode == 0
        assert (Path(where) / "outputs/model.pt").read_text() == "model\n"


@pytest.mark.slow
@pytest.mark.parametrize("job", [MOUNTS], indirect=True, ids=["mounts"])
def test_a_tree_that_is_altered_in_use_stays_where_its_job_finds_it(job: Job) -> None:
    """Somebody writes into the tree of a running job from elsewhere; the next job does not pull it away."""
    started, go_on = job.home / "started", job.home / "go on"
    script = f"touch '{started}'; while ! test -e '{go_on}'; do sleep 0.05; done; cat \"$PYTHONPATH/train.py\""
    running = subprocess.Popen(
        [*job.who, "git-coderepo", "exec", "run.json", "--", "sh", "-c", script],
        cwd=job.home, env=job.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until(started.exists)
    [tree] = job.kept()
    (Path(tree["directory"]) / "tree/new").touch()
    other = job.exec("true")
    assert other.returncode == 0 and b"was modified ('new')" in other.stderr
    assert job.kinds() == ["modified", "tree"]
    go_on.touch()
    out, errors = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, FILES["train.py"])
    assert b"warning: the code changed while the command ran ('new')" in errors
    # It is looked at once, not at each use.
    assert b"was modified" not in job.exec("true").stderr
    assert job.run("cache", "prune").stdout.startswith(b"removed 1 tree")


@pytest.mark.parametrize("job", [MOUNTS], indirect=True, ids=["mounts"])
def test_the_mount_is_the_commands_own(job: Job) -> None:
    if not may_mount():
        pytest.skip("no capability to mount here")
    shown = job.exec("sh", "-c", "grep -c /tree /proc/self/mountinfo; readlink /proc/self/ns/user").stdout.decode()
    assert shown == f"1\n{os.readlink('/proc/self/ns/user')}\n"
    assert "coderepo-outputs" not in Path("/proc/self/mountinfo").read_text()


def may_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
