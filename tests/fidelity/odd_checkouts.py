"""Odd checkouts: what is on the disk is not what a plain clone leaves there."""

from __future__ import annotations

import os

from tests.e2e.support import World
from tests.fidelity.case import Stage, Wanted, case
from tests.support.repo import Repo

GROUP = "Odd checkouts"
PARTS = {
    "train.py": b"lr = 0.1\n",
    "core/model.py": b"layers = 2\n",
    "core/deep/er/data.bin": bytes(range(256)),
    "docs/read me.txt": b"caf\xc3\xa9\n",
    "docs/b\xc3\xbccher/one.txt".encode("latin-1"): b"one\n",
    "tools/run.sh": b"#!/bin/sh\n",
    b"tools/caf\xe9": b"not UTF-8\n",
}


def edited(place: World, checkout: Repo | None = None) -> Repo:
    """The checkout with an edit of each kind in a place that every one of these checkouts has."""
    repo = checkout if checkout is not None else place.checkout
    repo.write("train.py", "lr = 0.2\n")
    repo.git("add", "train.py")
    repo.write("train.py", "lr = 0.3\n")
    repo.write("core/model.py", "layers = 3\n")
    repo.write("core/new file.txt", "untracked\n")
    return repo


# --- parts of it are not here -----------------------------------------------------------------------------------


def sparse(stage: Stage, *options: str) -> Wanted:
    place = stage.world(files=PARTS)
    repo = place.checkout
    whole = repo.line("rev-parse", "HEAD^{tree}")
    repo.git("sparse-checkout", "set", *options)
    assert not os.path.exists(repo.file("docs"))
    edited(place)
    # A file that is written outside of what was checked out is a file of the checkout all the same.
    repo.write("docs/notes.txt", "outside\n")
    repo.git("config", "advice.updateSparsePath", "false")
    tree = plain_tree(repo, "train.py", "core/model.py", "core/new file.txt", "docs/notes.txt")
    assert tree != whole
    return Wanted(place, repo, tree)


def plain_tree(repo: Repo, *paths: str | bytes) -> str:
    """HEAD's tree with these paths as they are on the disk, without a sparse checkout or a mark in between."""
    scratch = Repo.init(repo.path.with_name("plain"), repo.env)
    objects = repo.line("rev-parse", "--path-format=absolute", "--git-path", "objects")
    (scratch.path / ".git/objects/info/alternates").write_text(f"{objects}\n")
    scratch.git("read-tree", repo.head())
    for path in paths:
        scratch.write(path, repo.read(path), os.stat(repo.file(path)).st_mode & 0o777)
    scratch.git("add", "--", *paths)
    return scratch.line("write-tree")


@case(GROUP, "sparse checkout, cone")
def sparse_cone(stage: Stage) -> Wanted:
    return sparse(stage, "--cone", "core")


@case(GROUP, "sparse checkout, no cone")
def sparse_without_cone(stage: Stage) -> Wanted:
    return sparse(stage, "--no-cone", "/*", "!/docs/", "!tools/")


@case(GROUP, "sparse checkout, sparse index")
def sparse_index(stage: Stage) -> Wanted:
    return sparse(stage, "--cone", "--sparse-index", "core")


@case(GROUP, "partial clone: without blobs")
def partial_clone(stage: Stage) -> Wanted:
    return partial(stage, "blob:none")


@case(GROUP, "partial clone: without trees")
def partial_clone_without_trees(stage: Stage) -> Wanted:
    return partial(stage, "tree:0")


def partial(stage: Stage, what: str) -> Wanted:
    """What is not here is asked for by git itself whenever it is missed; a hook must not wait for a network."""
    place = stage.world(files=PARTS)
    author = place.clone("author")
    author.write("docs/read me.txt", "second\n")
    author.write(".gitattributes", "*.txt -diff\n")
    author.write("core/.gitattributes", "*.py diff=python\n")
    author.write("docs/.gitattributes", "*.txt diff=word\n")
    author.commit("second")
    place.push(author)
    asked = (f"--filter={what}", "--sparse", "--no-local")
    repo = place.clone("partial", *asked)
    aside = ("-c", f"url.file://{place.repository.path}.insteadOf={place.url}")
    repo.git(*aside, "sparse-checkout", "set", "--cone", "core")
    edited(place, repo)
    assert b"\n?" in repo.git("rev-list", "--objects", "--missing=print", "HEAD"), "something is missing here"
    place.forge.forget_requests()
    whole = Repo.clone(f"file://{place.repository.path}", place.scratch.home / "whole", place.scratch.env)
    for path in ("train.py", "core/model.py", "core/new file.txt"):
        whole.write(path, repo.read(path))

    def nothing_was_asked(_: object) -> None:
        assert place.forge.requests() == [], "the snapshot asked the network"

    return Wanted(place, repo, whole.tree(), recorded=nothing_was_asked, refused=lambda _: nothing_was_asked(None))


@case(GROUP, "partial clone: what travels is not here")
def partial_clone_without_what_travels(stage: Stage) -> Wanted:
    """A path outside of what was checked out gets another name: git never needed its contents."""
    place = stage.world(files=PARTS)
    repo = place.clone("partial", "--filter=blob:none", "--sparse", "--no-local")
    place.forge.forget_requests()
    blob = repo.line("rev-parse", "HEAD:docs/read me.txt")
    repo.git("update-index", "--add", "--cacheinfo", f"100644,{blob},docs/moved.txt")
    repo.git("update-index", "--skip-worktree", "docs/moved.txt")

    def nothing_was_asked(_: object) -> None:
        assert place.forge.requests() == [], "the snapshot asked the network"

    return Wanted(place, repo, tree="unknown", refused=nothing_was_asked)


@case(GROUP, "shallow clone")
def shallow(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    author = place.clone("author")
    for number in range(3):
        author.write("train.py", f"lr = {number}\n")
        author.commit(f"number {number}")
    place.push(author)
    repo = place.clone("shallow", "--depth=1", "--no-local")
    assert repo.line("rev-parse", "--is-shallow-repository") == "true"
    edited(place, repo).commit("unpushed")
    return Wanted(place, edited(place, repo))


# --- the index is kept in another way --------------------------------------------------------------------------


@case(GROUP, "split index")
def split_index(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.git("update-index", "--split-index")
    edited(place)
    place.checkout.git("rm", "--quiet", "docs/read me.txt")
    assert list(place.checkout.git_dir().glob("sharedindex.*"))
    return Wanted(place, place.checkout)


@case(GROUP, "fsmonitor")
def fsmonitor(stage: Stage) -> Wanted:
    """Version 2 of git's hook: a token, then every path that changed since the last one."""
    place = stage.world(files=PARTS)
    repo = place.checkout
    hook = place.user.path("monitor")
    hook.write_text("#!/bin/sh\nprintf 'token 1\\0'\nprintf '%s\\0' train.py 'core/model.py' 'core/'\n")
    hook.chmod(0o755)
    repo.git("config", "core.fsmonitor", str(hook))
    repo.git("update-index", "--fsmonitor")
    repo.git("status")
    return Wanted(place, edited(place))


@case(GROUP, "untracked cache")
def untracked_cache(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = place.checkout
    repo.git("update-index", "--untracked-cache")
    repo.write("core/seen.txt", "seen\n")
    repo.git("status", "--untracked-files=all")
    edited(place)
    repo.remove("core/seen.txt")
    return Wanted(place, repo)


@case(GROUP, "assume-unchanged edit")
def assume_unchanged(stage: Stage) -> Wanted:
    return marked(stage, "--assume-unchanged")


@case(GROUP, "skip-worktree edit")
def skip_worktree(stage: Stage) -> Wanted:
    return marked(stage, "--skip-worktree")


def marked(stage: Stage, mark: str) -> Wanted:
    """git was told not to look; the run sees the edit all the same."""
    place = stage.world(files=PARTS)
    repo = edited(place)
    repo.git("update-index", mark, "docs/read me.txt", b"tools/caf\xe9")
    repo.write("docs/read me.txt", "hidden\n")
    repo.write(b"tools/caf\xe9", b"\xff hidden\n")
    tree = plain_tree(repo, "train.py", "core/model.py", "core/new file.txt", "docs/read me.txt", b"tools/caf\xe9")
    assert repo.tree() != tree
    return Wanted(place, repo, tree)


@case(GROUP, "alternates")
def alternates(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = Repo(place.user.home / "sharing", place.user.env)
    place.checkout.git("clone", "--quiet", "--shared", ".", repo.path)
    repo.git("remote", "set-url", "origin", place.url)
    assert (repo.git_dir() / "objects/info/alternates").read_text()
    edited(place, repo).commit("unpushed")
    return Wanted(place, edited(place, repo))


@case(GROUP, "linked worktree")
def linked_worktree(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.git("worktree", "add", "--quiet", "-b", "aside", "../linked tree")
    linked = Repo(place.user.home / "linked tree", place.user.env)
    return Wanted(place, edited(place, linked))


# --- in the middle of something ---------------------------------------------------------------------------------


def two_minds(stage: Stage) -> World:
    """Branches `main` and `theirs` that do not agree about three files."""
    place = stage.world(files=PARTS)
    repo = place.checkout
    repo.git("checkout", "--quiet", "-b", "theirs")
    repo.write("train.py", "lr = theirs\n")
    repo.write("both.txt", "theirs\n")
    repo.write("core/model.py", "theirs\n")
    repo.commit("theirs")
    repo.git("checkout", "--quiet", "main")
    repo.write("train.py", "lr = ours\n")
    repo.write("both.txt", "ours\n")
    repo.remove("core/model.py")
    repo.commit("ours")
    return place


def unmerged(place: World, *words: str) -> Wanted:
    repo = place.checkout
    repo.git(*words, check=False)
    assert repo.git("ls-files", "--unmerged")
    assert b"<<<<<<<" in repo.read("train.py")
    repo.write("untracked.txt", "meanwhile\n")
    return Wanted(place, repo)


@case(GROUP, "merge in progress")
def merge_without_conflict(stage: Stage) -> Wanted:
    """Everything is merged, and not committed."""
    place = stage.world(files=PARTS)
    repo = place.checkout
    repo.git("checkout", "--quiet", "-b", "theirs")
    repo.write("docs/theirs.txt", "theirs\n")
    repo.commit("theirs")
    repo.git("checkout", "--quiet", "main")
    repo.write("docs/ours.txt", "ours\n")
    repo.commit("ours")
    repo.git("merge", "--quiet", "--no-commit", "theirs")
    assert (repo.git_dir() / "MERGE_HEAD").exists()
    return Wanted(place, edited(place))


@case(GROUP, "merge in progress, unmerged paths")
def merge(stage: Stage) -> Wanted:
    return unmerged(two_minds(stage), "merge", "theirs")


@case(GROUP, "unmerged paths of a stash")
def stash(stage: Stage) -> Wanted:
    """Nothing is in progress, and the index has three versions all the same."""
    place = stage.world(files=PARTS)
    repo = place.checkout
    repo.write("train.py", "lr = stashed\n")
    repo.write("core/model.py", "layers = stashed\n")
    repo.git("stash", "--quiet")
    repo.write("train.py", "lr = committed\n")
    repo.remove("core/model.py")
    repo.commit("meanwhile")
    return unmerged(place, "stash", "pop")


@case(GROUP, "rebase in progress")
def rebase(stage: Stage) -> Wanted:
    return unmerged(two_minds(stage), "rebase", "theirs")


@case(GROUP, "cherry-pick in progress")
def cherry_pick(stage: Stage) -> Wanted:
    return unmerged(two_minds(stage), "cherry-pick", "theirs")


@case(GROUP, "bisect in progress")
def bisect(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = place.checkout
    for number in range(6):
        repo.write("train.py", f"lr = {number}\n")
        repo.commit(f"number {number}")
    repo.git("bisect", "start", "HEAD", "HEAD~6")
    assert repo.line("branch", "--show-current") == ""
    return Wanted(place, edited(place))


@case(GROUP, "intent-to-add")
def intent_to_add(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.write("core/later.py", "x = 1\n")
    place.checkout.write("gone.py", "x = 1\n")
    place.checkout.git("add", "--intent-to-add", "core/later.py", "gone.py")
    place.checkout.remove("gone.py")
    return Wanted(place, edited(place))


# --- where HEAD is ------------------------------------------------------------------------------------------------


@case(GROUP, "a fork: the push URL differs")
def fork(stage: Stage) -> Wanted:
    """A tracking reference then says what was pushed to the fork: nothing is believed, everything travels."""
    place = stage.world(files=PARTS)
    repo = place.checkout
    other = Repo.clone(f"file://{place.repository.path}", place.user.home / "fork.git", repo.env, "--bare")
    repo.git("remote", "set-url", "--push", "origin", f"file://{other.path}")
    edited(place).commit("in the fork only")
    repo.git("push", "--quiet", "origin", "HEAD:main")
    return Wanted(place, edited(place))


@case(GROUP, "a fork: the platform is asked (--check)")
def fork_checked(stage: Stage) -> Wanted:
    wanted = fork_of(stage)
    wanted.arguments = ("--check",)
    return wanted


def fork_of(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.register()
    repo = place.checkout
    other = Repo.clone(f"file://{place.repository.path}", place.user.home / "fork.git", repo.env, "--bare")
    repo.git("remote", "set-url", "--push", "origin", f"file://{other.path}")
    return Wanted(place, edited(place), recorded=lambda document: _base_is(document, place.base))


def _base_is(document: dict[str, dict[str, dict[str, str]]], commit: str) -> None:
    assert document["code"]["base"]["commit"] == commit


@case(GROUP, "bare repository")
def bare(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = Repo.clone(f"file://{place.repository.path}", place.user.home / "bare.git", place.user.env, "--bare")
    repo.git("remote", "set-url", "origin", place.url)
    return Wanted(place, repo, repo.line("rev-parse", "main^{tree}"))


@case(GROUP, "a commit of a bare repository")
def bare_commit(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = Repo.clone(f"file://{place.repository.path}", place.user.home / "bare.git", place.user.env, "--mirror")
    repo.git("remote", "set-url", "origin", place.url)
    return Wanted(place, repo, repo.line("rev-parse", "main^{tree}"), arguments=("main",))


@case(GROUP, "unborn branch")
def unborn(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = Repo.init(place.user.home / "new", place.user.env)
    repo.git("remote", "add", "origin", place.url)
    edited(place, repo)
    return Wanted(place, repo)


@case(GROUP, "a tag")
def tag(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = place.checkout
    repo.write("train.py", "lr = 1\n")
    repo.commit("released")
    repo.git("tag", "--annotate", "-m", "released", "v1")
    repo.write("train.py", "lr = 2\n")
    repo.commit("after it")
    repo.git("checkout", "--quiet", "v1")
    return Wanted(place, edited(place))


@case(GROUP, "a tag, as it is")
def tag_as_it_is(stage: Stage) -> Wanted:
    wanted = tag_wanted(stage)
    wanted.arguments = ("v1",)
    return wanted


def tag_wanted(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = place.checkout
    repo.git("tag", "--annotate", "-m", "released", "v1")
    edited(place)
    return Wanted(place, repo, repo.line("rev-parse", "v1^{tree}"))


@case(GROUP, "detached HEAD")
def detached(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    place.checkout.git("checkout", "--quiet", "--detach")
    edited(place).commit("on no branch")
    return Wanted(place, edited(place))


# --- what this program wrote into it ------------------------------------------------------------------------------


def with_own_outputs(place: World) -> None:
    """A manifest with its overlay beside it, a receipt, and a fetched directory, as the quick start leaves them."""
    place.checkout.write("weights.bin", os.urandom(200_000))
    place.user.run("snapshot", "-o", "run.json", cwd=place.checkout.path)
    place.user.run("fetch", "--receipt", "core/receipt.json", "run.json", "fetched code", cwd=place.checkout.path)


@case(GROUP, "our own manifest, overlay, receipt and fetched directory")
def own_outputs(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = edited(place)
    with_own_outputs(place)
    before = {name for name in os.listdir(repo.path) if name.endswith(".tar.gz")}
    aside = repo.path.with_name("aside")
    aside.mkdir()
    names = ("run.json", "core/receipt.json", "fetched code", *before)
    for name in names:
        os.rename(repo.file(name), aside / os.path.basename(name))
    tree = repo.tree()
    for name in names:
        os.rename(aside / os.path.basename(name), repo.file(name))
    return Wanted(place, repo, tree, files=tree)


@case(GROUP, "our own manifest and fetched directory, edited: they are code")
def own_outputs_edited(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    repo = edited(place)
    place.user.run("snapshot", "-o", "run.json", cwd=repo.path)
    place.user.run("fetch", "run.json", "fetched code", cwd=repo.path)
    repo.write("run.json", repo.read("run.json") + b"\n")
    repo.write("fetched code/core/model.py", "layers = 4\n")
    return Wanted(place, repo)
