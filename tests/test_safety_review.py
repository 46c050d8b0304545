"""What a fresh pair of eyes found to go wrong, each as the user or the attacker would meet it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.errors import InvalidManifest, NotReproducible
from git_coderepo.git.index import may_have_marks
from git_coderepo.git.process import Git
from git_coderepo.git.status import read_status, start_status
from git_coderepo.manifest.model import Remote, Repository
from git_coderepo.registration.from_manifest import from_manifest
from git_coderepo.registration.users_credentials import users_chain
from git_coderepo.settings import Settings
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.snapshot import Request
from tests.e2e.support import Machine, World, load, world
from tests.support.program import Program
from tests.support.repo import Repo

NAMES = ["a.txt", "-dash", "new\nline", "sp ace/" + "n" * 250, "\udcff"]
TOKEN = "glpat-" + "Ab3dEf6hIj9kLm2nOp5q"


def committed(repo: Repo) -> Repo:
    for name in NAMES:
        repo.write(name, "as committed\n")
    repo.commit()
    return repo


def snapshot_tree(repo: Repo, env: dict[str, str]) -> str:
    tree = take_snapshot(Git(str(repo.path), environment=env), Request(here=True)).tree
    assert tree is not None
    return tree.hex


# --- the snapshot is what is on the disk -------------------------------------------------------------


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
@pytest.mark.parametrize("version", ["2", "4"])
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_an_edit_that_git_was_told_not_to_look_at_is_in_the_snapshot(
    tmp_path: Path, env: dict[str, str], mark: str, version: str, object_format: str
) -> None:
    """A local configuration, say, that nobody should commit: it runs all the same."""
    repo = committed(Repo.init(tmp_path / "checkout", env, object_format=object_format))
    repo.git("update-index", "--index-version", version)
    for name in NAMES:
        repo.git("update-index", mark, "--", name)
        repo.write(name, "as it runs\n")
    index = (repo.git_dir() / "index").read_bytes()
    assert repo.git("status", "--porcelain") == b""

    taken = take_snapshot(Git(str(repo.path), environment=env), Request(here=True))

    assert (repo.git_dir() / "index").read_bytes() == index
    assert taken.dirty
    assert taken.status is not None and taken.status.unstaged == len(NAMES)
    for name in NAMES:
        repo.git("update-index", mark.replace("--", "--no-"), "--", name)
    assert taken.tree is not None and taken.tree.hex == repo.tree()


def test_a_path_marked_unchanged_that_is_gone_is_gone_from_the_snapshot(repo: Repo, env: dict[str, str]) -> None:
    committed(repo)
    repo.git("update-index", "--assume-unchanged", "a.txt")
    repo.remove("a.txt")
    tree = snapshot_tree(repo, env)
    repo.git("update-index", "--no-assume-unchanged", "a.txt")
    assert tree == repo.tree()


def test_marks_without_edits_change_nothing(repo: Repo, env: dict[str, str]) -> None:
    committed(repo)
    repo.git("update-index", "--assume-unchanged", "a.txt")
    taken = take_snapshot(Git(str(repo.path), environment=env), Request(here=True))
    assert not taken.dirty
    assert taken.status is not None and taken.status.changes == []


def test_what_a_sparse_checkout_leaves_out_is_no_deletion(repo: Repo, env: dict[str, str]) -> None:
    committed(repo)
    tree = repo.line("rev-parse", "HEAD^{tree}")
    repo.git("sparse-checkout", "set", "--cone", "nothing")
    assert not os.path.lexists(repo.file("sp ace"))
    assert snapshot_tree(repo, env) == tree


def test_git_is_asked_for_marks_only_where_there_are_some(repo: Repo) -> None:
    """An index that is read here without a second git process; one that cannot be read so is left to git."""
    committed(repo)
    index = repo.git_dir() / "index"
    assert not may_have_marks(index.read_bytes(), 20)
    repo.git("update-index", "--index-version", "4")
    assert not may_have_marks(index.read_bytes(), 20)
    for broken in (b"", index.read_bytes()[:100], b"DIRC\0\0\0\x09" + bytes(40)):
        assert may_have_marks(broken, 20)
    repo.git("update-index", "--split-index")
    assert may_have_marks(index.read_bytes(), 20)


@pytest.mark.parametrize(
    "words",
    [
        b"warning: could not open directory 'data/': Permission denied\n",
        b"data/weights.bin: Permission denied\n",
        b"data/weights.bin: Input/output error\n",
    ],
)
def test_what_git_could_not_look_at_is_not_passed_over(
    repo: Repo, env: dict[str, str], tmp_path: Path, words: bytes
) -> None:
    """git says so and ends with 0, as if there were nothing; a git that says it stands in for another user's files."""
    committed(repo)
    folder = tmp_path / "other git"
    folder.mkdir()
    (folder / "git").write_text(f'#!/bin/sh\nprintf \'%s\' "$WORDS" >&2\nexec {_git(env)} "$@"\n')
    (folder / "git").chmod(0o755)
    unlucky = {**env, "PATH": f"{folder}:{env['PATH']}", "WORDS": words.decode()}
    before = os.environ["PATH"]
    os.environ["PATH"] = unlucky["PATH"]
    try:
        with pytest.raises(NotReproducible, match="cannot read 'data/"):
            read_status(start_status(Git(str(repo.path), environment=unlucky)))
    finally:
        os.environ["PATH"] = before


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_directory_that_cannot_be_listed_is_refused(repo: Repo, program: Program) -> None:
    committed(repo)
    repo.write("private/x", "x")
    os.chmod(repo.file("private"), 0)
    try:
        done = program.run("snapshot", cwd=repo.path, check=False)
    finally:
        os.chmod(repo.file("private"), 0o755)
    assert done.status == 128
    assert "cannot read 'private/'" in done.errors


@pytest.mark.parametrize("target", ["../elsewhere", "folder", "other", "/etc"])
def test_a_folder_that_became_a_link(repo: Repo, env: dict[str, str], target: str) -> None:
    """Once refused: what was in it lies "beyond a symbolic link", or is found there under the same name."""
    for path in ("folder/a", "folder/b/c", "other/a"):
        repo.write(path, path)
    repo.commit()
    repo.remove("folder")
    repo.symlink("folder", target)
    assert snapshot_tree(repo, env) == repo.tree()


@pytest.mark.parametrize("name", ["git~1", ".GIT/config", "a\\.git\\b"])
def test_a_path_that_git_takes_into_no_tree_is_not_passed_over(repo: Repo, program: Program, name: str) -> None:
    committed(repo)
    repo.git("remote", "add", "origin", "https://git.example.org/a/b.git")
    repo.write(name, "x")
    done = program.run("snapshot", cwd=repo.path, check=False)
    listed = repo.git("status", "--porcelain", "-z", "--untracked-files=all").split(b"\0")
    assert (done.status != 0) == (b"?? " + name.encode() in listed), done.errors


def test_files_in_the_place_of_a_submodule_are_not_passed_over(repo: Repo, program: Program) -> None:
    """Copied there without their `.git`, as an image's build does: git does not look at them."""
    committed(repo)
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    repo.git("commit", "--quiet", "-m", "a submodule")
    os.mkdir(repo.file("lib"))
    assert program.run("snapshot", cwd=repo.path).json()["code"]["submodules"][0]["path"] == "lib"
    repo.write("lib/code.py", "x")
    done = program.run("snapshot", cwd=repo.path, check=False)
    assert done.status == 128
    assert "'lib'" in done.errors


def test_an_included_folder_comes_with_its_links_to_folders(tmp_path: Path) -> None:
    with world(tmp_path, "file") as place:
        place.checkout.write(".gitignore", "built/\n")
        place.checkout.write("built/real/x", "x")
        place.checkout.symlink("built/link", "real")
        place.runner.run("fetch", place.manifest("--include", "built"), "code")
        assert os.readlink(place.runner.home / "code" / "built" / "link") == "real"
        refused = place.user.run("snapshot", "--include", ".git", cwd=place.checkout.path, check=False)
        assert refused.status == 128
        assert "git takes no path such as '.git/" in refused.errors


def test_what_is_replaced_here_travels_as_it_is(tmp_path: Path) -> None:
    """`git replace` is this clone's own matter: the overlay once held what stood in the blob's place."""
    with world(tmp_path, "file") as place:
        place.checkout.write("train.py", "lr = 0.5\n")
        blob, other = (
            place.checkout.git("hash-object", "-w", "--stdin", input=text).decode().strip()
            for text in (b"lr = 0.5\n", b"lr = 9.9\n")
        )
        place.checkout.git("replace", blob, other)
        place.runner.run("fetch", place.manifest(), "code")
        assert (place.runner.home / "code" / "train.py").read_bytes() == b"lr = 0.5\n"


# --- a manifest that leads elsewhere gets no secret ----------------------------------------------------


@pytest.fixture
def lured(tmp_path: Path) -> Iterator[tuple[World, Machine, Path]]:
    """A runner without a credential of ours, and a manifest whose remote is a foreign host that asks for one."""
    with world(tmp_path, "git") as place:
        manifest = place.manifest()
        port = int(place.forge.evil_url.rpartition(":")[2])
        remote = {"transport": "https", "host": "localhost", "port": port, "user": None, "path": "/acme/widgets.git"}
        repository = {"name": "x", "type": "git", "source": None, "remote": remote, "options": {}}
        spoilt = tmp_path / "spoilt.json"
        spoilt.write_text(json.dumps({**load(manifest), "repository": repository}))
        runner = Machine(tmp_path / "bare runner", place.trusted)
        place.forge.forget_requests()
        yield place, runner, spoilt


@pytest.mark.parametrize("way", ["GIT_ASKPASS", "SSH_ASKPASS", "core.askPass"])
def test_an_askpass_program_does_not_answer_a_host_that_a_manifest_names(
    lured: tuple[World, Machine, Path], way: str
) -> None:
    """Images often set one that echoes a token, whoever asks."""
    place, runner, spoilt = lured
    answers = runner.home / "askpass"
    answers.write_text(f"#!/bin/sh\necho {place.token}\n")
    answers.chmod(0o755)
    env = {way: str(answers)}
    if way == "core.askPass":
        env = {}
        with open(runner.home / ".gitconfig", "a", encoding="utf-8") as config:
            config.write(f'[core]\n\taskPass = "{answers}"\n')
    done = runner.run("fetch", spoilt, "code", env=env, check=False)
    assert done.status == 4
    assert place.forge.requests(listener="evil"), "the foreign host was asked"
    assert place.forge.origins_that_saw(place.token) == set()


@pytest.mark.slow
def test_a_header_for_every_host_does_not_go_to_one_that_a_manifest_names(lured: tuple[World, Machine, Path]) -> None:
    place, runner, spoilt = lured
    header = "Authorization: Basic " + base64.b64encode(f"ada:{place.token}".encode()).decode()
    clean = (runner.home / ".gitconfig").read_text()
    (runner.home / ".gitconfig").write_text(f'{clean}[http]\n\textraHeader = "{header}"\n')
    assert runner.run("fetch", spoilt, "code", check=False).status == 4
    assert place.forge.requests(listener="evil"), "the foreign host was asked"
    assert place.forge.origins_that_saw(place.token) == set()

    # One that the runner's own configuration binds to a host is for that host.
    (runner.home / ".gitconfig").write_text(f'{clean}[http "{place.forge.url}"]\n\textraHeader = "{header}"\n')
    assert runner.run("fetch", spoilt, "code", check=False).status == 4
    runner.run("fetch", place.runner.home / "run.json", "code")
    assert place.forge.origins_that_saw(place.token) == {place.forge.url}


@pytest.mark.parametrize(
    "url", [f"https://ada:{TOKEN}@git.example.org/a/b.git", f"https://git.example.org/a/b.git?private_token={TOKEN}"]
)
def test_a_token_in_the_url_of_an_option_is_not_written_down(
    repo: Repo, program: Program, env: dict[str, str], url: str
) -> None:
    """P3: `--url` went into .git/config, and from there into what `list` and `describe` print."""
    repo.commit()
    done = program.run("register", "mine", "--type", "git", "--url", url, "--no-verify", cwd=repo.path, check=False)
    assert done.status == 4
    assert TOKEN not in done.text + done.errors + (repo.git_dir() / "config").read_text()

    # Written there by hand, it is at least not shown.
    repo.git("config", "coderepo.mine.type", "git")
    repo.git("config", "coderepo.mine.url", url)
    for words in (["list"], ["list", "--json"], ["describe", "mine"], ["describe", "mine", "--json"], ["status"]):
        shown = program.run(*words, cwd=repo.path, check=False)
        assert TOKEN not in shown.text + shown.errors, words

    recorded = Repository("mine", "git", None, Remote("https", "git.example.org", None, None, "/a/b.git"), {"url": url})
    settings = Settings([], env)
    with pytest.raises(InvalidManifest, match="password, a token or a query") as refused:
        from_manifest(recorded, users_chain(settings, Git(environment=env)), settings)
    assert TOKEN not in str(refused.value)


# --- what is fetched cannot take all memory and time -----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("leaf", ["files", "nothing"])
def test_a_few_objects_that_name_one_another_without_end_are_refused(
    repo: Repo, program: Program, env: dict[str, str], leaf: str
) -> None:
    """Twelve trees of ten rows make a million million paths, or as many directories that hold nothing."""
    blob = repo.git("hash-object", "-w", "--stdin", input=b"x").decode().strip()
    rows = f"100644 blob {blob}\tfile\n" if leaf == "files" else ""
    tree = repo.git("mktree", input=rows.encode()).decode().strip()
    for _ in range(12):
        rows = "".join(f"040000 tree {tree}\td{number}\n" for number in range(10))
        tree = repo.git("mktree", input=rows.encode()).decode().strip()
    commit = repo.git("commit-tree", "-m", "bomb", tree).decode().strip()
    repo.git("update-ref", "refs/heads/main", commit)
    there = {"CODEREPO_ALLOW_PROTOCOL": "file"}

    done = program.run("fetch", f"file://{repo.path}@{commit}", "code", env=there, check=False)

    assert done.status == 128
    assert "more than 1000000 entries" in done.errors
    assert not (Path(env["HOME"]) / "code").exists()


def _git(env: dict[str, str]) -> str:
    import shutil

    found = shutil.which("git", path=env["PATH"])
    assert found is not None
    return found
