"""A run's code pinned on the platform: any clone lists it and fetches it by its id, whatever becomes of branches."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, contents, lines, load, on_platforms, refused, world
from tests.forge import closed_port
from tests.hints import cures
from tests.support.program import Result
from tests.support.repo import Repo, tree_of

ODD = b"-caf\xe9\nnew file"
SCOPES = {
    "github": ("contents:read", "contents:write"),
    "gitlab": ("read_api", "read_repository", "write_repository"),
    "git": ("read", "write"),
}
AUTO: dict[str, Any] = {"CODEREPO_PUBLISH": "auto"}


def writable(place: World) -> World:
    """The user has a token that may push; the runner's may read."""
    if place.platform != "file":
        token = place.forge.add_token(place.platform, scopes=SCOPES[place.platform])
        place.user.program.env["CODEREPO_TOKEN"] = token
    if place.platform in ("github", "gitlab"):
        place.register("--type", place.platform, "--host", place.forge.url.partition("//")[2])
    return place


@pytest.fixture(params=on_platforms("github", "gitlab", "git"))
def hosted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, request.param) as made:
        yield writable(made)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "file") as made:
        yield made


def edit(checkout: Repo) -> str:
    """An edit, a deletion and a new file with an odd name; gives the tree."""
    checkout.write("train.py", "lr = 0.5\n")
    checkout.write(ODD, b"\x00\xff")
    checkout.remove("docs/read me.txt")
    return checkout.tree()


def here(place: World, *words: Any, check: bool = True, cwd: Path | None = None, **env: Any) -> Result:
    return place.user.run(*words, cwd=cwd or place.checkout.path, check=check, env=env)


def last(place: World) -> Any:
    return here(place, "log", "--json", "-n", "1").json()[0]


def references(place: World) -> list[str]:
    return place.repository.git("for-each-ref", "--format=%(refname)", "refs/coderepo").split()


# --- the way there and back ---


@pytest.mark.slow
def test_any_clone_lists_and_fetches_a_published_run_by_its_id(hosted: World) -> None:
    place = hosted
    tree = edit(place.checkout)
    here(place, "run", "--name", "first try", "--", "true")
    before = contents(place.checkout.path, without=(".git/coderepo",))
    said = here(place, "publish").text
    assert contents(place.checkout.path, without=(".git/coderepo",)) == before
    run = last(place)
    assert run["published"] and run["id"] in said
    assert "(published)" in here(place, "log").text
    assert f"refs/coderepo/runs/{run['id']}" in here(place, "show").text

    reference = f"refs/coderepo/runs/{run['id']}"
    assert references(place) == [reference]
    commit = place.repository.git("cat-file", "commit", f"{reference}^{{commit}}")
    assert commit.startswith(f"tree {tree}\nparent {place.base}\n")
    assert commit.count("git-coderepo@noreply.invalid") == 2, "nobody's name but ours"
    manifest = Path(run["manifest"]).read_bytes()
    assert place.repository.git("cat-file", "tag", reference).encode().endswith(b"\n\n" + manifest.rstrip(b"\n"))
    place.repository.git("fsck", "--strict")

    fresh = place.clone("another clone")
    untouched = contents(fresh.path / ".git")
    listed = here(place, "log", "--remote", "--json", cwd=fresh.path).json()
    assert contents(fresh.path / ".git") == untouched, "neither references nor objects"
    assert [(each["id"], each["name"], each["tree"], each["dirty"], each["commit"]) for each in listed] == [
        (run["id"], "first try", tree, True, place.base)
    ]
    for number, word in enumerate((run["id"], run["id"][:13])):
        here(place, "fetch", word, f"out {number}", cwd=fresh.path)
        assert place.user.tree(f"another clone/out {number}") == tree

    here(place, "publish", "--delete", run["id"][:13])
    assert references(place) == []
    assert here(place, "log", "--remote", cwd=fresh.path).text == ""
    assert not last(place)["published"] and "(published)" not in here(place, "log").text
    gone = here(place, "fetch", run["id"], "out 3", cwd=fresh.path, check=False)
    assert gone.status == 128 and "it is not published on 'origin'" in gone.errors


@pytest.mark.slow
@cures("list the published runs in a clone: git coderepo log --remote")
def test_a_published_run_is_fetched_by_a_url_without_a_clone_or_a_manifest(hosted: World) -> None:
    tree = edit(hosted.checkout)
    here(hosted, "run", "--name", "first try", "--", "true")
    printed = here(hosted, "publish").text.rpartition("anywhere: git coderepo ")[2].split()
    hosted.runner.run(*printed)
    assert hosted.runner.tree("DIR") == tree
    id = last(hosted)["id"]
    for number, word in enumerate((id, id[:13], "first try")):
        hosted.runner.run("fetch", f"{hosted.url}@run:{word}", f"code {number}")
        assert hosted.runner.tree(f"code {number}") == tree
    hosted.runner.run("exec", f"{hosted.url}@run:{id}", "--", "test", "-e", "train.py")
    hosted.runner.run("verify", f"{hosted.url}@run:{id}", "code 0")
    missing = hosted.runner.run("fetch", f"{hosted.url}@run:nothing", "code 3", check=False)
    assert missing.status == 128 and "no published run 'nothing' on" in missing.errors
    assert not hosted.runner.path("code 3").exists()
    assert id[:13] in here(hosted, "log", "--remote").text


@pytest.mark.slow
def test_a_run_that_publishes_itself_needs_no_overlay(hosted: World) -> None:
    place = hosted
    tree = edit(place.checkout)
    done = here(place, "run", "--quiet", "--", "sh", "-c", 'cp "$CODEREPO_MANIFEST" ../run.json', **AUTO)
    assert done.errors == ""
    document = load(place.user.path("run.json"))
    reference = f"refs/coderepo/runs/{document['run']['id']}"
    assert document["code"]["overlay"] is None
    assert document["code"]["snapshot"] == {
        "tree": tree,
        "ref": reference,
        "commit": place.repository.git("rev-parse", f"{reference}^{{commit}}"),
    }
    place.user.run("validate", "run.json")
    (place.runner.home / "run.json").write_bytes(place.user.path("run.json").read_bytes())
    methods = ["archive", "git"] if place.platform != "git" else ["git"]
    for method in methods:
        place.runner.run("fetch", "run.json", method, "--method", method)
        assert place.runner.tree(method) == tree
    received = place.runner.run("fetch", "run.json", "code", "--json").json()
    assert (received["method"], received["overlay"]) == (methods[0], None)
    here(place, "fetch", "@{-1}", "../again", "--method", "local")
    assert place.user.tree("again") == tree
    here(place, "diff", "@{-1}", ".", "--", "--exit-code")


@pytest.mark.slow
def test_a_sha256_repository_and_one_whose_platform_has_nothing_yet(tmp_path: Path) -> None:
    with world(tmp_path, "file", object_format="sha256") as place:
        place.checkout.git("update-ref", "-d", "refs/remotes/origin/main")
        place.checkout.git("symbolic-ref", "-d", "refs/remotes/origin/HEAD")
        tree = edit(place.checkout)
        here(place, "run", "--", "true", **AUTO)
        document = load(Path(last(place)["manifest"]))
        assert document["code"]["base"] is None and document["code"]["overlay"] is None
        (place.runner.home / "run.json").write_bytes(json.dumps(document).encode())
        place.runner.run("fetch", "run.json", "code")
        assert place.runner.tree("code", "sha256") == tree


@pytest.mark.parametrize("option", ["--depth=1", "--filter=tree:0"])
def test_a_clone_that_lacks_history_or_files_publishes(place: World, option: str) -> None:
    place.checkout.write("model.py", "layers = 3\n")
    place.checkout.commit("second")
    place.push()
    part = place.clone("part", option)
    tree = edit(part)
    assert here(place, "run", "--quiet", "--", "true", cwd=part.path, **AUTO).errors == ""
    (reference,) = references(place)
    assert place.repository.git("rev-parse", f"{reference}^{{commit}}^{{tree}}") == tree
    assert place.repository.git("rev-list", "--count", reference) == "3"


# --- weeks later ---


def history(place: World) -> str:
    """A branch is pushed, a dirty run is started on it; gives the run's tree."""
    place.checkout.git("switch", "--quiet", "-c", "work")
    place.checkout.write("model.py", "layers = 3\n")
    place.checkout.commit("on the branch")
    place.push(refspec="HEAD:refs/heads/work")
    tree = edit(place.checkout)
    here(place, "run", "--name", "the run", "--", "true")
    return tree


def clean_up_here(place: World, *, reflogs: bool) -> None:
    """What tidy people do: reset --hard, a rebase, the branch deleted, gc --prune=now."""
    checkout = place.checkout
    checkout.git("reset", "--quiet", "--hard", "HEAD")
    checkout.git("clean", "--quiet", "-d", "--force")
    checkout.git("switch", "--quiet", "main")
    checkout.write("readme", "other work\n")
    checkout.commit("meanwhile")
    checkout.git("rebase", "--quiet", "main", "work")
    checkout.git("switch", "--quiet", "main")
    checkout.git("branch", "--quiet", "-D", "work")
    checkout.git("update-ref", "-d", "refs/remotes/origin/work")
    if reflogs:
        checkout.git("reflog", "expire", "--expire=now", "--all")
    # The tests' clock stands in the past: to gc every line of a reflog is too old.
    young = ("-c", "gc.reflogExpire=never", "-c", "gc.reflogExpireUnreachable=never")
    checkout.git(*young, "gc", "--quiet", "--prune=now")


def clean_up_there(place: World) -> None:
    place.repository.git("update-ref", "-d", "refs/heads/work")
    place.repository.prune()


@pytest.mark.slow
def test_a_dirty_run_comes_back_while_its_base_is_here(place: World) -> None:
    tree = history(place)
    clean_up_there(place)
    clean_up_here(place, reflogs=False)
    here(place, "fetch", "the run", "../code")
    assert place.user.tree("code") == tree


@pytest.mark.slow
def test_a_dirty_run_comes_back_while_its_base_is_on_the_platform(place: World) -> None:
    tree = history(place)
    clean_up_here(place, reflogs=True)
    assert "by git" in here(place, "fetch", "the run", "../code").text
    assert place.user.tree("code") == tree


@pytest.mark.slow
def test_a_run_whose_base_is_gone_from_both_says_what_is_missing(place: World) -> None:
    history(place)
    base = place.checkout.head()
    clean_up_there(place)
    clean_up_here(place, reflogs=True)
    id = last(place)["id"]
    result = refused(
        place.user, "fetch", "the run", "../code", status=128, says=base, hint=f"refs/coderepo/runs/{id}",
        cwd=place.checkout.path, watched=place.user.home,
    )  # fmt: skip
    assert "has no such commit" in result.errors
    late = here(place, "publish", "the run", check=False)
    assert late.status == 128 and base in late.errors, "too late to publish it"


@pytest.mark.slow
def test_a_published_run_comes_back_whatever_is_gone(place: World) -> None:
    tree = history(place)
    id = last(place)["id"]
    manifest = Path(last(place)["manifest"]).read_bytes()
    here(place, "publish")
    clean_up_there(place)
    clean_up_here(place, reflogs=True)
    fresh = place.clone("fresh")
    here(place, "fetch", id, "../from fresh", cwd=fresh.path)
    assert place.user.tree("from fresh") == tree
    # Who has the manifest alone, which was written before, has its base again, too: the reference keeps it.
    (place.runner.home / "run.json").write_bytes(manifest)
    place.runner.run("fetch", "run.json", "code")
    assert place.runner.tree("code") == tree
    here(place, "fetch", "the run", "../from the record")
    assert place.user.tree("from the record") == tree


@pytest.mark.slow
def test_a_lost_overlay_is_replaced_by_the_published_run(place: World) -> None:
    place.checkout.git("config", "coderepo.inlineLimit", "0")
    tree = edit(place.checkout)
    here(place, "run", "--manifest", "../run.json", "--", "true")
    (place.runner.home / "run.json").write_bytes(place.user.path("run.json").read_bytes())
    missing = place.runner.run("fetch", "run.json", "code", check=False)
    assert missing.status == 128 and "is neither in the manifest nor beside it" in missing.errors
    here(place, "publish")
    assert ", by published" in place.runner.run("fetch", "run.json", "code").text
    assert place.runner.tree("code") == tree
    place.runner.run("fetch", "run.json", "code 2", "--method", "published")
    assert place.runner.tree("code 2") == tree


# --- what is refused ---


@pytest.mark.slow
def test_a_platform_that_declines_is_named_and_the_overlay_travels(place: World) -> None:
    hook = place.repository.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'only refs/heads here' >&2\nexit 1\n")
    hook.chmod(0o755)
    tree = edit(place.checkout)
    done = here(place, "run", "--", "sh", "-c", "echo it ran", **AUTO)
    assert done.text == "it ran\n"
    warned = lines(done, "warning")
    assert len(warned) == 1 and "pre-receive hook declined" in warned[0]
    assert lines(done, "hint") == ["the server says: only refs/heads here"]
    document = load(Path(last(place)["manifest"]))
    assert document["code"]["overlay"] is not None and document["code"]["snapshot"]["ref"] is None
    assert document["code"]["snapshot"]["tree"] == tree and not last(place)["published"]
    refused(
        place.user, "publish", status=128, says="pre-receive hook declined", hint="only refs/heads here",
        cwd=place.checkout.path,
    )  # fmt: skip
    hook.unlink()
    hidden = place.repository.git
    hidden("config", "transfer.hideRefs", "refs/coderepo")
    refused(place.user, "publish", status=128, says="hidden ref", hint=None, cwd=place.checkout.path)


@pytest.mark.slow
@pytest.mark.parametrize("platform", on_platforms("gitlab", "github", "git"))
def test_a_token_that_may_only_read_publishes_nothing(tmp_path: Path, platform: str) -> None:
    with world(tmp_path, platform) as place:
        edit(place.checkout)
        done = here(place, "run", "--", "true", **AUTO)
        assert any("not published" in each and "may not push" in each for each in lines(done, "warning")), done.errors
        assert place.token not in done.errors
        assert load(Path(last(place)["manifest"]))["code"]["overlay"] is not None
        assert references(place) == []
        assert here(place, "publish", check=False).status == 4


def test_a_platform_out_of_reach_stops_no_run(place: World) -> None:
    place.checkout.git("remote", "set-url", "origin", f"https://127.0.0.1:{closed_port()}/acme/widgets.git")
    edit(place.checkout)
    done = here(place, "run", "--", "sh", "-c", "exit 3", check=False, **AUTO)
    assert done.status == 3 and "not published: cannot reach" in done.errors
    assert load(Path(last(place)["manifest"]))["code"]["overlay"] is not None


@pytest.mark.slow
def test_what_is_too_large_for_an_overlay_can_be_published(place: World) -> None:
    place.checkout.git("config", "coderepo.overlayLimit", "1k")
    place.checkout.write("weights", os.urandom(5000))
    tree = place.checkout.tree()
    assert here(place, "run", "--", "true", check=False).status == 125
    assert here(place, "status", "--exit-code", check=False).status == 1
    told = here(place, "status", "-v", "--exit-code", **AUTO).text
    assert "published reference" in told and "once it is published" in told
    here(place, "run", "--", "true", **AUTO)
    assert last(place)["tree"] == tree
    here(place, "fetch", "@{-1}", "../code", "--code-repository", "origin")
    assert place.user.tree("code") == tree
    stopped = here(place, "run", "--", "true", check=False, **AUTO, CODEREPO_PUBLISH_LIMIT="2k")
    assert stopped.status == 125 and "coderepo.publishLimit" in stopped.errors
    place.repository.git("config", "receive.denyDeletes", "true")
    place.repository.git("config", "transfer.hideRefs", "refs/coderepo")
    stopped = here(place, "run", "--", "true", check=False, **AUTO)
    assert stopped.status == 125 and "hidden ref" in stopped.errors and "coderepo.overlayLimit" in stopped.errors


def test_the_shape_of_a_token_is_not_published(place: World) -> None:
    place.checkout.write("notes", "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5" + "\n")
    stopped = here(place, "run", "--", "true", check=False, **AUTO)
    assert stopped.status == 125 and "'notes', line 1" in stopped.errors
    here(place, "run", "--", "true", CODEREPO_SECRET_SCAN="false")
    refused(place.user, "publish", status=128, says="'notes', line 1", cwd=place.checkout.path)
    assert references(place) == []


@pytest.mark.slow
def test_deleting_what_alone_has_the_code_wants_to_be_forced(place: World) -> None:
    edit(place.checkout)
    here(place, "run", "--", "true", **AUTO)
    refused(
        place.user, "publish", "--delete", status=128, says="has no overlay", hint="--delete --force",
        cwd=place.checkout.path,
    )  # fmt: skip
    fresh = place.clone("fresh")
    refused(
        place.user, "publish", "--delete", last(place)["id"], status=128, says="has no overlay",
        hint="--delete --force", cwd=fresh.path,
    )  # fmt: skip
    here(place, "publish", "--delete", "--force", last(place)["id"], cwd=fresh.path)
    assert references(place) == []


# --- when ---


@pytest.mark.slow
def test_the_pre_run_hook_publishes_where_it_is_told_to(place: World) -> None:
    here(place, "hooks", "install")
    tree = edit(place.checkout)
    place.checkout.git("config", "coderepo.publish", "auto")
    place.checkout.git("hook", "run", "pre-run")
    current = load(place.checkout.git_dir() / "coderepo" / "current.json")
    assert current["code"]["snapshot"]["tree"] == tree and current["code"]["overlay"] is None
    assert references(place) == [current["code"]["snapshot"]["ref"]]
    place.checkout.git("config", "coderepo.publish", "ask")
    place.checkout.git("hook", "run", "pre-run")
    assert len(references(place)) == 1


def test_ask_without_a_terminal_does_not_publish_and_says_so(place: World) -> None:
    edit(place.checkout)
    done = here(place, "run", "--quiet", "--", "true", CODEREPO_PUBLISH="ask")
    assert done.errors == "not published: 'coderepo.publish' is 'ask', and there is no terminal to prompt on\n"
    assert references(place) == []
    wrong = here(place, "run", "--", "true", CODEREPO_PUBLISH="always", check=False)
    assert wrong.status == 125 and "one of: never, ask, auto" in wrong.errors


@pytest.mark.parametrize(("answer", "number"), [(b"y\n", 1), (b"\n", 0)], ids=["yes", "no"])
def test_ask_asks_on_a_terminal(place: World, answer: bytes, number: int) -> None:
    edit(place.checkout)
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [place.user.program.executable(), "run", "--", "true"],
        cwd=place.checkout.path, env={**place.user.program.env, "CODEREPO_PUBLISH": "ask"},
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while b"[y/N]" not in shown:
        assert select.select([controller], [], [], 60)[0], shown
        shown += os.read(controller, 1000)
    os.write(controller, answer)
    assert process.wait(60) == 0
    os.close(controller)
    assert b"publish the code of this run to 'origin'?" in shown
    assert len(references(place)) == number


# --- what others left there ---


@pytest.mark.slow
def test_the_listing_takes_no_file_of_the_code_and_names_what_is_no_run(place: World) -> None:
    edit(place.checkout)
    here(place, "run", "--name", "good", "--", "true")
    here(place, "publish")
    id = last(place)["id"]
    # Somebody puts the manifest of one run under the id of another, and a plain commit under a third.
    other = id[:-1] + ("0" if id[-1] != "0" else "1")
    third = id[:-2] + ("00" if id[-2] != "0" else "11")
    place.repository.git("update-ref", f"refs/coderepo/runs/{other}", f"refs/coderepo/runs/{id}")
    place.repository.git("update-ref", f"refs/coderepo/runs/{third}", place.base)
    # Every file of the code is gone there: none of them is wanted.
    kept = place.repository.git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)")
    wanted = [row.split()[1] for row in kept.splitlines() if row.startswith(("tag ", "commit ", "tree "))]
    packed = "\n".join(wanted)
    subprocess.run(
        ["git", "pack-objects", "-q", "objects/pack/pack"], input=packed, text=True, check=True,
        cwd=place.repository.path, env=place.forge.git_env, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    newest = max((place.repository.path / "objects" / "pack").glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)
    for path in (place.repository.path / "objects").rglob("*"):
        if path.is_file() and path.stem != newest.stem and path.parent.name != "info":
            path.unlink()
    fresh = here(place, "log", "--remote", "--json")
    assert [each["name"] for each in fresh.json()] == ["good"]
    assert len(lines(fresh, "warning")) == 2 and other in fresh.errors and third in fresh.errors
    for flag, value, count in (
        ("--name", "go*", 1), ("--commit", place.base[:8], 1), ("--since", "1h", 1), ("--tree", "0000", 0),
    ):  # fmt: skip
        assert len(here(place, "log", "--remote", "--json", flag, value).json()) == count, flag


def test_a_remote_whose_pushes_go_elsewhere_is_published_where_it_is_fetched(place: World) -> None:
    fork = place.forge.add_repository("me/widgets", platform="git", source=place.checkout.path)
    place.checkout.git("remote", "set-url", "--push", "origin", f"file://{fork.path}")
    edit(place.checkout)
    here(place, "run", "--", "true")
    here(place, "publish")
    assert len(references(place)) == 1 and fork.git("for-each-ref", "refs/coderepo") == ""


@pytest.mark.slow
def test_a_clone_that_is_behind_sends_no_history(place: World) -> None:
    """The platform's branch moved on, so that none of its references is known here: they find what both have."""
    other = place.clone("somebody else's")
    other.write("big", os.urandom(200_000))
    other.commit("meanwhile")
    place.push(other)
    edit(place.checkout)
    here(place, "run", "--", "true")
    place.repository.git("config", "receive.unpackLimit", "1")
    before = set((place.repository.path / "objects" / "pack").glob("*.idx"))
    here(place, "publish")
    (pack,) = set((place.repository.path / "objects" / "pack").glob("*.idx")) - before
    sent = place.repository.git("verify-pack", "-v", str(pack))
    assert last(place)["tree"] in sent and place.base not in sent


@pytest.mark.slow
def test_prune_takes_the_note_with_the_run(place: World) -> None:
    edit(place.checkout)
    here(place, "run", "--", "true")
    here(place, "publish")
    notes = list(place.checkout.git_dir().glob("coderepo/runs/*/*.published.json"))
    assert len(notes) == 1
    then = notes[0].stat().st_mtime - 7200
    for path in (place.checkout.git_dir() / "coderepo").rglob("*"):
        os.utime(path, (then, then))
    here(place, "prune")
    assert notes[0].exists()
    other = notes[0].with_name("019ab1c2-7f00-7abc-8def-0123456789ab.published.json")
    other.write_text("{}")
    os.utime(other, (then, then))
    here(place, "prune")
    assert notes[0].exists() and not other.exists()
    assert tree_of(place.checkout.path, place.user.env)
