"""Hints about what is recorded, and about looking back: followed, each cures what it is printed for."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, lines, remove, world
from tests.hints import cures
from tests.hints.support import stopped, tail, typed
from tests.support.program import Program, Result
from tests.support.repo import Repo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("recorded"), "file") as made:
        made.user.program.env["CODEREPO_ALLOW_PROTOCOL"] = "file"
        yield made


@pytest.fixture
def repo(place: World) -> Iterator[Repo]:
    """A new clone, with nothing recorded."""
    made = place.clone(f"checkout {len(list(place.user.home.iterdir()))}")
    yield made
    remove(made.path)


@pytest.fixture
def program(place: World) -> Program:
    return place.user.program


@pytest.fixture(params=[".", "it's below/-deep"])
def here(repo: Repo, request: pytest.FixtureRequest) -> Path:
    """A directory of the checkout in which the user stands: what a hint names counts from there."""
    found = repo.path / str(request.param)
    found.mkdir(parents=True, exist_ok=True)
    return found


def typed_here(place: World, repo: Repo, command: str) -> Result:
    return typed(command, repo.path, place.user.program.env)


def run(place: World, repo: Repo, *options: str) -> str:
    """Record a run; its id."""
    place.user.run("run", *options, "--", "true", cwd=repo.path)
    return str(place.user.run("log", "--json", "-n", "1", cwd=repo.path).json()[0]["id"])


# --- which run ---


@cures("git coderepo log", "one of:")
@pytest.mark.parametrize("word", ["@{-7}", "no such run", "0"])
def test_a_run_that_is_not_known(place: World, repo: Repo, program: Program, word: str) -> None:
    for _ in range(2):
        run(place, repo)
    ids = [each["id"] for each in place.user.run("log", "--json", cwd=repo.path).json()]
    hints = stopped(program, "show", word, cwd=repo.path, says=word)
    assert "git coderepo log" in hints
    listed = typed_here(place, repo, "git coderepo log").text.split()[0]
    place.user.run("show", listed, cwd=repo.path)
    # Two runs of one minute begin alike.
    header, *candidates, others = stopped(program, "show", ids[0][:6], cwd=repo.path, says="is ambiguous")
    assert others == "git coderepo log --remote"
    assert header == "one of:" and sorted(each.strip() for each in candidates) == sorted(ids)
    for each in candidates:
        place.user.run("show", each.strip(), cwd=repo.path)


@cures("--code-repository NAME chooses another one", "git coderepo list")
def test_a_run_whose_code_lies_elsewhere(place: World, repo: Repo, program: Program) -> None:
    id = run(place, repo)
    Repo.clone(place.url, place.user.home / "copy.git", repo.env, "--bare")
    repo.git("remote", "rename", "origin", "old")
    repo.git("remote", "add", "origin", f"file://{place.user.home / 'copy.git'}")
    hints = stopped(program, "publish", id, cwd=repo.path, says="the code of run")
    assert hints == ["--code-repository NAME chooses another one", "git coderepo list"]
    assert "old" in typed_here(place, repo, "git coderepo list").text
    place.user.run("publish", "--code-repository", "old", id, cwd=repo.path)
    remove(place.user.home / "copy.git")


@cures("git coderepo register", "then record the run again")
def test_a_run_without_a_code_repository(place: World, repo: Repo, program: Program) -> None:
    repo.git("remote", "remove", "origin")
    id = run(place, repo)
    for words in (["publish", id], ["fetch", "no such run", "../code"]):
        hints = stopped(program, *words, cwd=repo.path, says="code repository")
        assert "git coderepo register" in hints
    repo.git("remote", "add", "origin", place.url)
    typed_here(place, repo, "git coderepo register")
    place.user.run("publish", run(place, repo), cwd=repo.path)
    assert "code repository" not in place.user.run("fetch", "x", "../c", cwd=repo.path, check=False).errors


@cures("git fetch {source.remote_name or 'REMOTE'} {base.commit}")
def test_a_base_that_is_not_in_this_clone(place: World, repo: Repo, program: Program) -> None:
    repo.commit("on a branch")
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/topic")
    manifest = place.user.home / "topic.json"
    place.user.run("snapshot", "-o", manifest, cwd=repo.path)
    other = place.clone("single branch", "--single-branch")
    (hint,) = stopped(program, "publish", manifest, cwd=other.path, says="is not in this repository")
    typed_here(place, other, hint)
    place.user.run("publish", manifest, cwd=other.path)
    place.repository.git("update-ref", "-d", "refs/heads/topic")
    remove(other.path)
    manifest.unlink()


@cures("unset CODEREPO_RUN_ID")
def test_an_environment_of_two_runs(place: World, repo: Repo) -> None:
    ids = [run(place, repo) for _ in range(2)]
    manifest = place.user.run("log", "--json", cwd=repo.path).json()[0]["manifest"]
    body = "import git_coderepo\nwith git_coderepo.run() as run: print(run.id)"
    script = f"cd /; {sys.executable} -c '{body}'"
    before = f"export CODEREPO_MANIFEST='{manifest}' CODEREPO_RUN_ID={ids[0]}"
    wrong = typed(f"{before}; {script}", repo.path, place.user.program.env, check=False)
    assert "the manifest in the environment is that of" in wrong.errors
    assert ids[1] in typed(f"{before}; unset CODEREPO_RUN_ID; {script}", repo.path, place.user.program.env).text


# --- in Python ---


@cures(
    "with coderepo.run() as run: …",
    "with coderepo.run() as another: …",
    "name the checkout: coderepo.run(directory=…)",
)
@pytest.mark.parametrize(
    ("body", "hint", "cured"),
    [
        (
            "run = coderepo.run()\nrun.manifest", "with coderepo.run() as run: …",
            "with coderepo.run() as run: run.manifest",
        ),
        (
            "run = coderepo.run()\nwith run: pass\nwith run: pass", "with coderepo.run() as another: …",
            "run = coderepo.run()\nwith run: pass\nwith coderepo.run() as another: pass",
        ),
        (
            "with coderepo.run(): pass", "name the checkout: coderepo.run(directory=…)",
            "with coderepo.run(directory=CHECKOUT): pass",
        ),
        (
            "os.mkdir('../gone'); os.chdir('../gone'); os.rmdir('../gone')\nwith coderepo.run(): pass",
            "name the checkout: coderepo.run(directory=…)",
            "os.mkdir('../gone'); os.chdir('../gone'); os.rmdir('../gone')\n"
            "with coderepo.run(directory=CHECKOUT): pass",
        ),
    ],
)  # fmt: skip
def test_a_block_of_python(place: World, repo: Repo, tmp_path: Path, body: str, hint: str, cured: str) -> None:
    def python(text: str) -> Result:
        file = tmp_path / "script.py"
        head = f"import os, sys\nimport git_coderepo as coderepo\nCHECKOUT = {str(repo.path)!r}\n"
        tail_ = "except coderepo.CodeRepoError as error: sys.exit('; '.join(error.hints))\n"
        file.write_text(head + "try:\n" + "".join(f"    {line}\n" for line in text.split("\n")) + tail_)
        where = place.user.home if body == "with coderepo.run(): pass" else repo.path
        return typed(f"{sys.executable} '{file}'", where, place.user.program.env, check=False)

    assert hint in python(body).errors
    done = python(cured)
    assert done.status == 0, done.errors


# --- what stops a run ---


@cures("or where git ignores it: {added}")
def test_a_build_file_that_git_ignores(place: World, repo: Repo, program: Program) -> None:
    repo.write(".gitignore", "image/\n")
    repo.write("image/it's a Dockerfile", "FROM scratch\n")
    words = ("build-key", "--file", "it's a Dockerfile")
    (_, hint) = stopped(program, *words, cwd=repo.path / "image", says="file not found in the snapshot")
    typed(tail(hint.replace(":(top", "\0")).replace("\0", ":(top"), repo.path / "image", repo.env)
    place.user.run(*words, cwd=repo.path / "image")


@cures("{git_word(top)} add -- {path_word(path, top)}", "or move it away")
@pytest.mark.parametrize("moved", [False, True])
def test_a_repository_in_the_place_of_a_file(
    place: World, repo: Repo, program: Program, moved: bool, here: Path
) -> None:
    repo.remove("train.py")
    Repo.init(repo.path / "train.py", repo.env).commit("its own")
    (add, move) = stopped(program, "snapshot", cwd=here, says="a Git repository of its own")[:2]
    assert move == "or move it away"
    if moved:
        os.rename(repo.path / "train.py", repo.path.parent / "away")
        remove(repo.path.parent / "away")
    else:
        typed(add, here, program.env)
    place.user.run("snapshot", cwd=repo.path)


@cures("to record an output: git coderepo run {flag} -- COMMAND")
@pytest.mark.parametrize("name", ["my\nmodel's", "-o"])
def test_an_output_that_no_run_recorded(place: World, repo: Repo, name: str) -> None:
    repo.write(name, "weights\n")
    asked = place.user.run("log", f"--produced={name}", cwd=repo.path)
    digest = hashlib.sha256(b"weights\n").hexdigest()
    assert f"no run recorded exactly these contents (sha256 {digest})" in asked.errors
    assert "no matching run" in place.user.run("log", f"--produced={name}", "--dirty", cwd=repo.path).errors
    (hint,) = lines(asked, "hint")
    command = shlex.join(["sh", "-c", 'echo weights >"$1"', "sh", f"./{name}"])
    typed_here(place, repo, tail(hint).replace("COMMAND", command))
    assert len(place.user.run("log", f"--produced={name}", "--json", cwd=repo.path).json()) == 1


@cures("name a file that git does not track")
def test_an_output_that_git_tracks(place: World, repo: Repo, program: Program) -> None:
    hints = stopped(program, "run", "--manifest", "train.py", "--", "true", cwd=repo.path, says="git tracks it")
    assert hints == ["name a file that git does not track"]
    place.user.run("run", "--manifest", "run.json", "--", "true", cwd=repo.path)


@cures(
    "{git_word(toplevel)} add -- {path_word(change.path, toplevel)}",
    "or exclude it: {ignore_command(change.path, toplevel)}",
)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", [b"- new.py", b"it's \xff", b":top"])
def test_untracked_files_are_refused(
    place: World, repo: Repo, program: Program, which: int, name: bytes, here: Path
) -> None:
    repo.git("config", "coderepo.untracked", "refuse")
    repo.write(name, "x\n")
    hints = stopped(program, "snapshot", cwd=here, says="is untracked")
    typed(hints[which].removeprefix("or exclude it: "), here, program.env)
    place.user.run("snapshot", cwd=repo.path)


@cures("git commit")
@pytest.mark.parametrize("where", ["", "lib"])
def test_git_commit(place: World, repo: Repo, program: Program, where: str) -> None:
    """In a dirty checkout where that is refused, and in a submodule without a commit."""
    if where:
        library = Repo.init(place.root / f"library {len(list(place.root.iterdir()))}", repo.env)
        library.commit("first")
        repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{library.path}", where)
        repo.commit("with a submodule")
        Repo(repo.path / where, repo.env).git("symbolic-ref", "HEAD", "refs/heads/unborn")
    else:
        repo.git("config", "coderepo.dirty", "refuse")
        repo.write("train.py", "lr = 0.2\n")
        repo.git("add", "train.py")
    hints = stopped(program, "snapshot", cwd=repo.path, says="no commit yet" if where else "is dirty")
    (hint,) = [each for each in hints if each.endswith(" commit")]
    typed(hint, repo.path, {**repo.env, "GIT_EDITOR": "echo now >"}, check=False)
    if where:
        Repo(repo.path / where, repo.env).git("commit", "--quiet", "--allow-empty", "-m", "now")
    assert "no commit yet" not in program.run("snapshot", cwd=repo.path).errors


@cures(
    "commit and push '{os.fsdecode(heaviest)}', or exclude it if it is untracked: {ignore_command(heaviest, toplevel)}",
    "or raise the limit: git config coderepo.{limit} {-(-total >> 20)}m",
    "git push, so that the platform serves it",
)
@pytest.mark.parametrize("way", ["commit", "ignore", "raise", "push"])
def test_more_than_the_limit(place: World, repo: Repo, program: Program, way: str, here: Path) -> None:
    repo.git("config", "coderepo.overlayLimit", "1k")
    library = Repo.init(place.root / f"library {way} {here.name}", repo.env)
    library.commit("first")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{library.path}", "lib")
    repo.commit("with a submodule")
    repo.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{way}")
    repo.git("checkout", "--quiet", "-B", way)
    repo.git("branch", "--quiet", f"--set-upstream-to=origin/{way}")
    repo.git("config", "push.default", "simple")
    repo.write("it's big/one.bin", os.urandom(700))
    repo.write("lib/two.bin" if way != "push" else "it's big/two.bin", os.urandom(700))
    if way == "push":
        repo.commit("large")
    hints = stopped(program, "snapshot", cwd=here, says="more than the limit")
    if way == "push":
        assert hints[0] == "git push, so that the platform serves it"
        typed_here(place, repo, "git push --quiet")
    elif way == "raise":
        typed_here(place, repo, tail(hints[1]))
    elif way == "ignore":
        typed(tail(hints[0]), here, program.env)
    else:
        assert hints[0].startswith("commit and push 'it's big/', or exclude it"), hints
        repo.git("add", "it's big")
        repo.git("commit", "--quiet", "-m", "large")
        repo.git("push", "--quiet")
    place.user.run("snapshot", cwd=repo.path)


@cures("exclude it: git coderepo ignore PATH")
def test_a_path_that_no_runner_writes(place: World, repo: Repo, program: Program) -> None:
    repo.write(".g\u200cit/config", "x\n")
    hints = stopped(program, "snapshot", cwd=repo.path, says="no runner writes such a path")
    assert "exclude it: git coderepo ignore PATH" in hints
    typed_here(place, repo, "git coderepo ignore .g\u200cit")
    place.user.run("snapshot", cwd=repo.path)


@cures("git fetch --prune", "git push")
def test_a_base_that_the_platform_lost(place: World, repo: Repo, program: Program) -> None:
    repo.git("checkout", "--quiet", "-b", "lost")
    repo.commit("on a branch that is lost")
    repo.git("push", "--quiet", "--set-upstream", "origin", "lost")
    for command in ("git fetch --prune", "git push"):
        place.repository.git("update-ref", "-d", "refs/heads/lost")
        place.repository.prune()
        hints = stopped(program, "snapshot", "--check", cwd=repo.path, says="no longer has the commit")
        assert hints[:2] == ["git fetch --prune", "git push"]
        typed_here(place, repo, command)
        manifest = place.user.run("snapshot", "--check", cwd=repo.path).json()
        assert (manifest["code"]["base"]["commit"] == repo.head()) is (command == "git push")
        repo.git("push", "--quiet", "origin", "lost")
    place.repository.git("update-ref", "-d", "refs/heads/lost")


@cures("git log --oneline --all", "look at --subdirectory, and at: git config --get-all coderepo.scope")
def test_a_revision_or_a_path_that_is_not_there(place: World, repo: Repo, program: Program) -> None:
    assert "git log --oneline --all" in stopped(program, "snapshot", "topci", cwd=repo.path, says="topci")
    listed = typed_here(place, repo, "git log --oneline --all").text.split()[0]
    place.user.run("snapshot", listed, cwd=repo.path)
    repo.git("config", "coderepo.scope", "servcies")
    hints = stopped(program, "snapshot", cwd=repo.path, says="the path 'servcies' of the scope does not exist")
    (hint,) = [each for each in hints if each.startswith("look at --subdirectory")]
    assert typed_here(place, repo, tail(hint)).text == "servcies\n"
    repo.git("config", "coderepo.scope", "data")
    place.user.run("snapshot", cwd=repo.path)


@cures("run it again when nothing writes to the checkout")
def test_a_checkout_that_changes(place: World, repo: Repo, program: Program) -> None:
    hook = repo.git_dir() / "hooks" / "pre-run"
    hook.write_text("#!/bin/sh\necho '# formatted' >> train.py\n")
    hook.chmod(0o755)
    hints = stopped(program, "run", "--", "true", cwd=repo.path, says="the checkout changed after")
    assert "run it again when nothing writes to the checkout" in hints
    hook.unlink()
    place.user.run("run", "--", "true", cwd=repo.path)


# --- the remote ---


@cures(
    "git coderepo register --remote REMOTE, with one that has an https or ssh URL",
    "and have runs use it: git config coderepo.default REMOTE",
    "git remote set-url {source.remote_name} https://{remote.host}{remote.path}",
    "git remote set-url REMOTE URL",
    "{word} {shell_word(registration.name)} {new}",
    "git config {shell_word(f'coderepo.{registration.name}.{key}')} VALUE",
)
def test_a_remote_that_no_runner_can_use(place: World, repo: Repo, program: Program) -> None:
    def hint(says: str) -> str:
        return stopped(program, "snapshot", cwd=repo.path, says=says)[0]

    repo.git("remote", "set-url", "origin", "http://git.corp/acme/widgets.git")
    typed_here(place, repo, hint("is not encrypted"))
    assert repo.line("remote", "get-url", "origin") == "https://git.corp/acme/widgets.git"
    place.user.run("snapshot", cwd=repo.path)

    repo.git("remote", "set-url", "origin", "https://git.corp/{{a.b}}.git")
    assert hint("contains '{{'") == "git remote set-url REMOTE URL"
    typed_here(place, repo, f"git remote set-url origin '{place.url}'")
    place.user.run("snapshot", cwd=repo.path)

    repo.git("remote", "rename", "origin", "a{{b")
    typed_here(place, repo, hint("contains '{{'").replace("NEW", "origin"))
    place.user.run("snapshot", cwd=repo.path)
    for key, value in (("type", "git"), ("remote", "origin")):
        repo.git("config", f"coderepo.a{{{{b.{key}", value)
    typed_here(place, repo, hint("contains '{{'").replace("NEW", "plain"))
    place.user.run("snapshot", cwd=repo.path)
    place.user.run("remove", "-y", "plain", cwd=repo.path)

    for key, value in (("type", "github"), ("host", "git.corp"), ("owner", "{{my.owner}}"), ("repository", "w")):
        repo.git("config", f"coderepo.r.{key}", value)
    repo.git("config", "coderepo.default", "r")
    typed_here(place, repo, hint("cannot refer to a secret").replace("VALUE", "acme"))
    place.user.run("snapshot", cwd=repo.path)
    repo.git("config", "--remove-section", "coderepo.r")
    repo.git("config", "--unset", "coderepo.default")

    repo.git("remote", "set-url", "origin", "hg::https://git.corp/x")
    assert hint("requires the remote helper") == (
        "git coderepo register --remote REMOTE, with one that has an https or ssh URL"
    )
    repo.git("remote", "add", "encrypted", "https://git.corp/acme/widgets.git")
    typed_here(place, repo, "git coderepo register --remote encrypted --no-verify")
    typed_here(place, repo, "git config coderepo.default encrypted")
    place.user.run("snapshot", cwd=repo.path)


# --- submodules ---


@pytest.fixture
def lib(place: World, repo: Repo) -> Repo:
    library = Repo.init(place.root / f"library {len(list(place.root.iterdir()))}", repo.env)
    library.write("lib.py", "x = 1\n")
    library.write("data/x", "1\n")
    library.commit("first")
    repo.git("config", "--global", "protocol.file.allow", "always")
    repo.git("submodule", "--quiet", "add", f"file://{library.path}", "it's lib")
    repo.commit("with a submodule")
    return Repo(repo.path / "it's lib", repo.env)


@cures("git config --unset core.worktree")
def test_a_submodule_with_another_work_tree(place: World, repo: Repo, lib: Repo, program: Program) -> None:
    elsewhere = Repo.init(place.user.home / "elsewhere", repo.env)
    lib.git("config", "core.worktree", elsewhere.path)
    (hint, *_) = stopped(program, "snapshot", cwd=repo.path, says="is that of another work tree")
    typed_here(place, repo, hint)
    place.user.run("snapshot", cwd=repo.path)
    remove(elsewhere.path)


@cures(
    "move '{os.fsdecode(path)}' away, and then: "
    "{git_word(layout.toplevel)} submodule update --init -- {path_word(path, layout.toplevel)}"
)
def test_a_submodule_that_lost_its_git(place: World, repo: Repo, lib: Repo, program: Program, here: Path) -> None:
    os.unlink(lib.path / ".git")
    (hint, *_) = stopped(program, "snapshot", cwd=here, says="its '.git' is gone")
    assert hint.startswith("move 'it's lib' away, and then: ")
    os.rename(lib.path, repo.path.parent / "away")
    typed(tail(hint), here, program.env)
    assert (lib.path / "lib.py").read_bytes() == (repo.path.parent / "away" / "lib.py").read_bytes()
    place.user.run("snapshot", cwd=repo.path)
    remove(repo.path.parent / "away")


@cures("git fetch")
def test_a_submodules_commit_that_is_not_here(place: World, repo: Repo, lib: Repo, program: Program) -> None:
    old = lib.head()
    new = lib.commit("later")
    lib.git("push", "--quiet", "origin", "HEAD:refs/heads/later")
    repo.commit("with the later one")
    lib.git("checkout", "--quiet", old)
    lib.git("for-each-ref", "--format=delete %(refname)", "refs/heads")
    for name in lib.git("for-each-ref", "--format=%(refname)", "refs").decode().split():
        lib.git("update-ref", "-d", name)
    lib.git("reflog", "expire", "--expire=now", "--all")
    lib.git("gc", "--quiet", "--prune=now")
    assert not lib.git("cat-file", "-t", new, check=False)
    hints = stopped(program, "snapshot", "HEAD", cwd=repo.path, says="unknown revision")
    typed_here(place, repo, hints[0])
    place.user.run("snapshot", "HEAD", cwd=repo.path)


@cures("use --subdirectory {shell_word(outer)}")
def test_a_part_of_a_submodule(place: World, repo: Repo, lib: Repo, program: Program) -> None:
    words = ("snapshot", "--subdirectory", "it's lib/data")
    (hint, *_) = stopped(program, *words, cwd=repo.path, says="is looked at as a whole")
    typed_here(place, repo, f"git coderepo snapshot {hint.removeprefix('use ')}")


@cures("commit and push the changes in the submodule, then record the run again")
def test_a_dirty_submodule_is_not_published(place: World, repo: Repo, lib: Repo, program: Program) -> None:
    lib.write("lib.py", "x = 2\n")
    (hint,) = stopped(program, "publish", run(place, repo), cwd=repo.path, says="has changes")
    assert hint == "commit and push the changes in the submodule, then record the run again"
    lib.commit("changed")
    lib.git("push", "--quiet", "origin", "HEAD:refs/heads/changed")
    place.user.run("publish", run(place, repo), cwd=repo.path)
