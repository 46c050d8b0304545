"""`build-key`: editing code keeps it, editing what an image is built from changes it, and no machine has its own."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_coderepo.build_key.dockerfile import Instruction, bases, copied, instructions
from git_coderepo.build_key.key import BuildKey, build_key
from git_coderepo.errors import NotReproducible, UsageError
from git_coderepo.git.process import Git
from git_coderepo.manifest.model import Manifest
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request
from tests.support.program import Program
from tests.support.repo import Repo

PYPROJECT = """\
[project]
name = "train"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["numpy>=2", "torch"]

[tool.ruff]
line-length = 100

[dependency-groups]
dev = ["pytest"]
"""
# Every kind of input, below the run's directory or above it.
INPUTS: dict[str, str] = {
    "Dockerfile": "FROM python:3.12-slim\nCOPY requirements.txt .\n",
    "Containerfile": "FROM scratch\n",
    "pyproject.toml": PYPROJECT,
    ".python-version": "3.12\n",
    "uv.lock": "version = 1\n",
    "services/requirements-gpu.txt": "cupy\n",
    "services/train/requirements.txt": "-r ../../common/base.in\nnumpy==2.1\n",
    "services/train/poetry.lock": "# lock\n",
    "services/train/environment.yml": "dependencies: [python=3.12]\n",
    "services/train/conda-linux-64.lock": "@EXPLICIT\n",
    "services/train/setup.cfg": "[metadata]\n",
    "services/train/setup.py": "from setuptools import setup; setup()\n",
    "common/base.in": "pandas\n",
}
CODE = {
    "services/train/train.py": "lr = 0.1\n",
    "services/eval/requirements.txt": "scipy\n",
    "services/eval/Dockerfile": "FROM debian\n",
    "services/train/data/requirements.txt": "below the run's directory\n",
    "docs/requirements.md": "text\n",
}


@pytest.fixture
def checkout(repo: Repo) -> Repo:
    for path, text in {**INPUTS, **CODE}.items():
        repo.write(path, text)
    repo.commit()
    return repo


def key_in(repo: Repo, directory: str | bytes = "services/train", **options: object) -> BuildKey:
    snapshot = take_snapshot(Git(repo.file(directory), environment=repo.env), Request())
    key = build_key(snapshot, **options)  # type: ignore[arg-type]
    assert key is not None
    return key


def test_every_kind_of_input_counts_from_the_runs_directory_up_and_never_a_sibling(checkout: Repo) -> None:
    key = key_in(checkout)
    assert [each.path.decode() for each in key.inputs] == sorted(INPUTS)
    assert (key.python, key.python_from) == ("3.12", b".python-version")
    assert [image for _, _, image in key.base_images] == ["scratch", "python:3.12-slim"]
    digests = {each.path.decode(): each.sha256 for each in key.inputs if not each.tables_only}
    assert digests == {
        path: hashlib.sha256(text.encode()).hexdigest() for path, text in INPUTS.items() if path != "pyproject.toml"
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(INPUTS))
def test_editing_an_input_changes_the_key(checkout: Repo, path: str) -> None:
    before = key_in(checkout).digest
    checkout.write(path, INPUTS[path].replace("torch", "torch<3") if path == "pyproject.toml" else "# edited\n")
    edited = key_in(checkout).digest
    assert edited != before
    checkout.write(path, INPUTS[path])
    assert key_in(checkout).digest == before
    checkout.remove(path)
    assert key_in(checkout).digest not in (before, edited)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        *((path, "edited\n") for path in CODE),
        ("services/train/notes.txt", "new\n"),
        ("services/eval/uv.lock", "a sibling's\n"),
        (".env", "TOKEN=x\n"),
        ("pyproject.toml", PYPROJECT.replace('version = "1.0"', 'version = "2.0"  # released')),
        ("pyproject.toml", PYPROJECT.replace("100", "120")),
        ("pyproject.toml", PYPROJECT.partition("[tool")[2].join(("[tool", PYPROJECT.partition("[tool")[0]))),
        ("pyproject.toml", PYPROJECT.replace("\n", "\r\n")),
    ],
)
def test_editing_anything_else_keeps_it(checkout: Repo, path: str, text: str) -> None:
    before = key_in(checkout).digest
    checkout.write(path, text)
    assert key_in(checkout).digest == before


def test_the_key_of_this_snapshot_is_the_same_for_ever_and_everywhere(repo: Repo) -> None:
    """Whatever Python, machine or day this test runs on."""
    repo.write("requirements.txt", "numpy==2.1\n")
    repo.write("pyproject.toml", PYPROJECT)
    repo.write("Dockerfile", "FROM python:3.12-slim\n")
    assert key_in(repo, "").digest == "b27383eb11325dbcd6a3dc9a666203a9610b5b353a05f54e2396a1500cc2efa4"


@pytest.mark.slow
def test_a_colleague_has_the_same_key(checkout: Repo, program: Program, tmp_path: Path) -> None:
    """Another path, umask, locale and time zone, line endings as on Windows, the files in another order and younger."""
    mine = program.run("build-key", cwd=checkout.file("services/train")).text
    clone = Repo.clone(checkout.path, tmp_path / "dépôt\n of a colleague", checkout.env, "--no-checkout")
    clone.git("config", "core.autocrlf", "true")
    before = os.umask(0o077)
    try:
        clone.git("checkout", "--quiet", "HEAD")
        assert b"\r\n" in clone.read("services/train/requirements.txt")
        other = {"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
        theirs = program.run("build-key", cwd=clone.file("services/train"), env=other).text
    finally:
        os.umask(before)
    for path in INPUTS:
        os.utime(clone.file(path), (1, 1))
    assert theirs == mine and len(mine) == 65
    assert program.run("build-key", cwd=clone.file("services/train")).text == mine


def test_it_is_made_of_the_snapshot_and_not_of_the_work_tree(checkout: Repo) -> None:
    checkout.write(".gitignore", "environment.yaml\n")
    before = key_in(checkout).digest
    checkout.write("environment.yaml", "ignored\n")
    assert key_in(checkout).digest == before
    checkout.write("conda.yaml", "untracked, so it travels\n")
    assert key_in(checkout).digest != before


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text("abr-é \n.", min_size=1, max_size=9).filter(lambda name: name.strip(".")), min_size=1, max_size=4
    ),
    contents=st.binary(max_size=64),
)
def test_no_code_of_any_name_changes_it(repo: Repo, names: list[str], contents: bytes) -> None:
    repo.write("requirements.txt", "numpy\n")
    before = key_in(repo, "").digest
    folder = os.path.join("src", *names)
    repo.write(os.path.join(folder, "requirements.txt"), contents)
    assert key_in(repo, "").digest == before
    repo.write("requirements.txt", b"numpy\n" + contents + b"#")
    assert key_in(repo, "").digest != before
    shutil.rmtree(repo.file("src"))


def test_a_directory_of_any_name_can_have_inputs(repo: Repo) -> None:
    directory = b"-x\n \xff/Dockerfile"
    repo.write(directory + b"/requirements.txt", "numpy\n")
    key = key_in(repo, directory)
    assert [each.path for each in key.inputs] == [directory + b"/requirements.txt"]
    assert isinstance(key.document()["inputs"], list)


def test_a_link_counts_by_what_it_leads_to_inside_the_snapshot(repo: Repo) -> None:
    repo.write("deps/pinned.txt", "numpy==1\n")
    repo.symlink("here", "deps")
    repo.symlink("run/requirements.txt", "../here/pinned.txt")
    repo.symlink("run/uv.lock", "/etc/passwd")
    repo.symlink("run/setup.py", "../../outside.py")
    repo.symlink("run/setup.cfg", "setup.cfg")
    key = key_in(repo, "run")
    assert [(each.path, each.sha256) for each in key.inputs] == [
        (b"run/requirements.txt", hashlib.sha256(b"numpy==1\n").hexdigest())
    ]
    assert sorted(each.path for each in key.remarks) == [b"run/setup.cfg", b"run/setup.py", b"run/uv.lock"]
    repo.write("deps/pinned.txt", "numpy==2\n")
    assert key_in(repo, "run").digest != key.digest


@pytest.mark.slow
def test_python_is_what_was_asked_for_or_written_and_never_the_one_that_runs(repo: Repo) -> None:
    repo.write("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.9"\n')
    assert key_in(repo, "").python == "^3.9"
    repo.write("pyproject.toml", PYPROJECT)
    ranged = key_in(repo, "")
    assert (ranged.python, ranged.python_from) == (">=3.10", b"pyproject.toml")
    repo.write(".python-version", "# pinned\n\n3.11.4\n3.10.2\n")
    assert key_in(repo, "").python == "3.11.4"
    asked = key_in(repo, "", python="3.13")
    assert (asked.python, asked.python_from) == ("3.13", None)
    repo.remove(".python-version")
    repo.remove("pyproject.toml")
    repo.write("requirements.txt", "numpy\n")
    assert key_in(repo, "").python is None


@pytest.mark.slow
def test_platform_and_python_are_part_of_it(repo: Repo) -> None:
    repo.write("requirements.txt", "numpy\n")
    keys = {
        key_in(repo, "", platform=platform, python=python).digest
        for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7")
        for python in (None, "3.12", "3.13")
    }
    assert len(keys) == 9
    assert key_in(repo, "").digest == key_in(repo, "", platform="linux/amd64").digest
    for wrong in ("amd64", "linux/", "Linux/AMD64", "linux/amd64\n", "linux/amd64; rm"):
        with pytest.raises(UsageError):
            key_in(repo, "", platform=wrong)
    with pytest.raises(UsageError):
        key_in(repo, "", python=" ")


@pytest.mark.slow
def test_patterns_of_the_setting_add_names_and_paths(checkout: Repo) -> None:
    checkout.write("services/train/apt.list", "libgomp1\n")
    checkout.write("docker/gpu/cuda.txt", "12.4\n")
    before = key_in(checkout)
    checkout.git("config", "--add", "coderepo.buildFile", "apt.*")
    checkout.git("config", "--add", "coderepo.buildFile", "docker/")
    after = key_in(checkout)
    added = {each.path for each in after.inputs} - {each.path for each in before.inputs}
    assert added == {b"services/train/apt.list", b"docker/gpu/cuda.txt"} and after.digest != before.digest


def test_files_that_are_named_count_instead_of_those_that_are_found(checkout: Repo) -> None:
    key = key_in(checkout, files=[b"../eval/requirements.txt", b"../../pyproject.toml"])
    assert [each.path for each in key.inputs] == [b"pyproject.toml", b"services/eval/requirements.txt"]
    for wrong in (b"nothing.txt", b"../../../x", b"/etc/passwd", b"data"):
        with pytest.raises(NotReproducible):
            key_in(checkout, files=[wrong])


@pytest.mark.slow
def test_what_cannot_be_read_counts_whole(repo: Repo) -> None:
    for data in (b"[project\n", b"\xff", b"a = " + b"[" * 5000):
        repo.write("pyproject.toml", data)
        (only,) = key_in(repo, "").inputs
        assert (only.sha256, only.tables_only) == (hashlib.sha256(data).hexdigest(), False)
        assert [each.text for each in key_in(repo, "").remarks] == ["is not valid TOML: the whole file counts"]


def test_dependencies_that_setuptools_reads_from_a_file_count(repo: Repo) -> None:
    repo.write("pyproject.toml", '[tool.setuptools.dynamic]\ndependencies = {file = ["d\u00e9/run.in", "gone.in"]}\n')
    repo.write("d\u00e9/run.in".encode(), "numpy\n")
    key = key_in(repo, "")
    assert [each.path for each in key.inputs] == ["d\u00e9/run.in".encode(), b"pyproject.toml"]
    assert [each.text for each in key.remarks] == ["'gone.in' is not a file of the snapshot"]


def test_what_makes_an_image_depend_on_the_code_is_said(repo: Repo) -> None:
    repo.write("src/train.py", "x\n")
    repo.write("a.txt", "x\n")
    repo.write(
        "Dockerfile",
        "# syntax=docker/dockerfile:1\n"
        "ARG TAG=3.12\n"
        "FROM --platform=$BUILDPLATFORM python:${TAG} AS build\n"
        "FROM build\n"
        "FROM ghcr.io/acme/base AS two\n"
        "FROM $UNKNOWN\n"
        "FROM python@sha256:" + "0" * 64 + "\n"
        "FROM scratch\n"
        "COPY --from=build /x /x\n"
        "COPY requirements*.txt pyproject.toml ./\n"
        "COPY . .\n"
        "ADD . /app\n"
        'copy --chown=1:1 \\\n  ["src", "/app"]\n'
        "COPY *.txt ./\n"
        "ADD https://example.org/x.tar.gz /\n"
        "COPY <<EOF /etc/x\nCOPY . .\nEOF\n"
        "RUN pip install --no-cache-dir -r requirements.txt && pip install -e .\n"
        "RUN uv pip install --no-deps .[gpu]\n",
    )
    repo.write("requirements.txt", "numpy\n--editable ./lib\n./vendor/x.whl\n-r gone.txt\n-r https://x.org/y.txt\n")
    repo.write("environment.yml", "dependencies:\n  - pip:\n    - -e .\n")
    repo.write("pyproject.toml", '[tool.uv.sources]\nlib = {workspace = true}\ntorch = {index = "pytorch"}\n')
    found = [(each.path.decode(), each.line, each.text.split(";")[0]) for each in key_in(repo, "").remarks]
    editable = "an editable install puts the code into the image"
    taken = "copies files into the image that the build key does not cover"
    assert sorted(found, key=lambda each: (each[0], each[1] or 0)) == [
        ("Dockerfile", 3, "the base image 'python:${TAG}' is floating: the tag '3.12' may move"),
        ("Dockerfile", 5, "the base image 'ghcr.io/acme/base' is floating: no tag means 'latest', which moves"),
        ("Dockerfile", 6, "the base image '$UNKNOWN' depends on a build argument"),
        ("Dockerfile", 11, f"COPY . {taken}"),
        ("Dockerfile", 12, f"ADD . {taken}"),
        ("Dockerfile", 13, f"COPY src {taken}"),
        ("Dockerfile", 15, f"COPY *.txt {taken}"),
        ("Dockerfile", 20, editable),
        ("Dockerfile", 21, "an install of the checkout puts the code into the image"),
        ("environment.yml", 3, editable),
        ("pyproject.toml", None, "'lib' is installed from a directory that the build key does not cover"),
        ("requirements.txt", 2, editable),
        ("requirements.txt", 3, "'./vendor/x.whl' is a directory or file that the build key does not cover"),
        ("requirements.txt", 4, "'gone.txt' is not a file of the snapshot"),
        ("requirements.txt", 5, "'https://x.org/y.txt' is not a file of the snapshot"),
    ]


def test_a_pinned_image_that_takes_only_inputs_needs_no_word(repo: Repo) -> None:
    repo.write("Dockerfile", f"FROM python:3.12@sha256:{'0' * 64}\nCOPY requirements*.txt .\nRUN pip install -r x\n")
    repo.write("requirements.txt", "-c constraints.in\nnumpy==2.1  # -e .\n")
    repo.write("constraints.in", "numpy<3\n")
    assert key_in(repo, "").remarks == ()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_a_dockerfile_of_any_bytes_is_read(data: bytes) -> None:
    for each in instructions(b"FROM x\nARG y\n" + data):
        assert each.line >= 1
        copied(each)
    assert bases(b"FROM x\n" + data)[0].image == "x"


def test_a_list_that_is_none_is_read_as_words() -> None:
    assert copied(Instruction(1, "COPY", "[" * 100_000 + " /app")) == ["[" * 100_000]
    assert copied(Instruction(1, "ADD", "'a b' c\\")) == ["'a", "b'"]


@pytest.mark.slow
def test_the_verb_prints_the_key_alone_and_explains_when_asked(checkout: Repo, program: Program) -> None:
    there = checkout.file("services/train")
    plain = program.run("build-key", cwd=there)
    assert plain.text == key_in(checkout).digest + "\n" and plain.errors == ""
    explained = program.run("build-key", "--explain", cwd=there)
    assert f"build key   {plain.text}" in explained.text and "common/base.in" in explained.text
    assert "pyproject.toml (dependency tables)" in explained.text
    assert "warning: Dockerfile:1: the base image 'python:3.12-slim' is floating" in explained.errors
    document = program.run("build-key", "--json", cwd=there).json()
    assert document["buildKey"] + "\n" == plain.text and document["platform"] == "linux/amd64"
    assert {each["path"] for each in document["inputs"]} == set(INPUTS)


def test_the_verb_says_no_where_nothing_tells(repo: Repo, program: Program, tmp_path: Path) -> None:
    repo.write("train.py", "x\n")
    none = program.run("build-key", cwd=repo.path, check=False)
    assert (none.status, none.stdout) == (1, b"") and "no inputs of a dependency image found" in none.errors
    assert program.run("build-key", "--platform", "x", cwd=repo.path, check=False).status == 129
    assert program.run("build-key", "x", cwd=repo.path, check=False).status == 129
    assert program.run("build-key", "--file", "x", cwd=repo.path, check=False).status == 128
    assert program.run("build-key", cwd=tmp_path, check=False).status == 128


@pytest.mark.slow
def test_run_and_snapshot_put_it_into_the_manifest_and_the_hook_does_not(checkout: Repo, program: Program) -> None:
    there = checkout.file("services/train")
    key = key_in(checkout).digest
    taken = Manifest.parse(program.run("snapshot", cwd=there).stdout)
    assert taken.environment.build_key == key
    current = checkout.git_dir() / "coderepo" / "current.json"
    program.run("run", "true", cwd=there)
    assert Manifest.load(str(current)).environment.build_key == key
    program.run("hook", "pre-run", cwd=there)
    assert Manifest.load(str(current)).environment.build_key is None


@pytest.mark.slow
def test_in_a_limited_snapshot_only_what_it_holds_counts(checkout: Repo, program: Program) -> None:
    there = checkout.file("services/train")
    scope = ("--subdirectory", ".", "--subdirectory", "../../uv.lock", "--subdirectory", "../../common")
    limited = Manifest.parse(program.run("snapshot", *scope, cwd=there).stdout).environment.build_key
    assert limited is not None and limited != key_in(checkout).digest
    checkout.write("pyproject.toml", "# outside\n")
    assert Manifest.parse(program.run("snapshot", *scope, cwd=there).stdout).environment.build_key == limited
    checkout.write("uv.lock", "# inside\n")
    assert Manifest.parse(program.run("snapshot", *scope, cwd=there).stdout).environment.build_key != limited


def test_what_nobody_can_get_back_nobody_builds_from(checkout: Repo, program: Program) -> None:
    checkout.write("weights.bin", os.urandom(5000))
    checkout.write("uv.lock", "edited\n")
    checkout.git("config", "coderepo.overlayLimit", "2k")
    program.run("run", "--allow-unreproducible", "true", cwd=checkout.path)
    manifest = Manifest.load(str(checkout.git_dir() / "coderepo" / "current.json"))
    assert manifest.environment.build_key is None and manifest.code.snapshot_tree.hex == checkout.tree()


@pytest.mark.slow
def test_a_snapshot_of_a_commit_has_the_key_of_that_commit(checkout: Repo, program: Program) -> None:
    key = key_in(checkout).digest
    checkout.write("uv.lock", "edited\n")
    there = checkout.file("services/train")
    assert Manifest.parse(program.run("snapshot", "HEAD", cwd=there).stdout).environment.build_key == key
    assert Manifest.parse(program.run("snapshot", cwd=there).stdout).environment.build_key != key
