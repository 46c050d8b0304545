"""A repository of many projects: a run of one of them, which nothing elsewhere stops, changes or makes larger."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, lines, load, on_platforms, problems, refused, world
from tests.support.repo import Repo, tree_of

PROJECTS: dict[str | bytes, bytes] = {
    ".gitattributes": b"*.png binary\n",
    "services/.gitattributes": b"*.txt text\n",
    "services/train/train.py": b"lr = 0.1\n",
    "services/train/- odd\nname.txt": b"odd\n",
    "services/train/run.sh": b"#!/bin/sh\n",
    b"services/train/caf\xe9": b"not UTF-8\n",
    "services/serve/serve.py": b"port = 80\n",
    "libs/common/c.py": b"c = 1\n",
    "libs/other/o.py": b"o = 1\n",
    "big/weights.bin": os.urandom(300_000),
    "pyproject.toml": b"[project]\n",
}
ATTRIBUTES = (".gitattributes", "services/.gitattributes")


@pytest.fixture(scope="module", params=on_platforms("github", "gitlab", "git", "file"))
def hosted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp(request.param), request.param, files=PROJECTS) as made:
        if request.param in ("github", "gitlab"):
            made.checkout.git("config", "--global", f"coderepo.{made.forge.url}/.type", request.param)
        yield made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("large"), "file", files=PROJECTS) as place:
        yield place


def another(place: World) -> Repo:
    return place.clone(f"checkout {len(list(place.user.home.iterdir()))}")


def expected(checkout: Repo, scratch: Path, *paths: str) -> str:
    """The tree of these paths of the work tree, as git names a directory that holds them and nothing else."""
    shutil.rmtree(scratch, ignore_errors=True)
    for path in paths:
        source, target = checkout.path / path, scratch / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    return tree_of(scratch, checkout.env)


def receipt_of(place: World, *words: str | Path) -> Any:
    return place.runner.run("fetch", "--json", *words).json()


# --- what a runner gets ---


@pytest.mark.slow
def test_a_runner_gets_the_part_and_nothing_else(hosted: World, tmp_path: Path) -> None:
    place = hosted
    checkout = another(place)
    checkout.write("services/train/train.py", "lr = 0.2\n")
    checkout.write("libs/common/c.py", "a colleague's edit\n")
    manifest = place.manifest("--subdirectory", "services/train", checkout=checkout, name="part.json")
    want = expected(checkout, tmp_path / "want", "services/train", *ATTRIBUTES)
    code = load(manifest)["code"]
    assert (code["scope"], code["subdirectory"]["path"]) == (["services/train"], "services/train")
    assert len(code["subdirectory"]["proof"]) == 2 and code["snapshot"]["tree"] == want
    assert code["changes"] == {"staged": 0, "unstaged": 1, "untracked": 0, "unpushed": 0}
    assert problems(place.runner, manifest) == []

    for method in ("archive", "git") if place.platform in ("github", "gitlab") else ("git",):
        place.forge.forget_requests()
        receipt = receipt_of(place, "--method", method, manifest, f"code by {method}")
        assert (receipt["tree"], receipt["method"], receipt["fallbacks"]) == (want, method, [])
        assert place.runner.tree(f"code by {method}") == want
        if method == "archive":
            (asked,) = place.forge.requests("archive")
            assert asked.query.get("path") == ("services/train" if place.platform == "gitlab" else None)
        if place.platform != "github" or method == "git":
            assert receipt["bytes"] < 50_000, "what is large elsewhere does not come"
        said = place.runner.run("verify", "--strict", manifest, f"code by {method}").text
        assert f"tree {want}, unchanged" in said
    spoilt = place.runner.home / "code by git" / "services" / "train" / "train.py"
    spoilt.write_text("lr = 9\n")
    changed = place.runner.run("verify", manifest, "code by git", check=False)
    assert changed.status == 1 and "changed: services/train/train.py" in changed.text


def test_several_paths_make_the_tree_that_holds_only_them(hosted: World, tmp_path: Path) -> None:
    place = hosted
    checkout = another(place)
    checkout.git("config", "--add", "coderepo.scope", "libs/common")
    checkout.git("config", "--add", "coderepo.scope", "pyproject.toml")
    checkout.git("config", "--add", "coderepo.scope", "services/serve/")
    checkout.write("libs/common/new é.py", "n = 1\n")
    checkout.remove("services/serve/serve.py")
    checkout.write("services/serve/served.py", "port = 81\n")
    manifest = place.manifest(checkout=checkout, name="several.json")
    code = load(manifest)["code"]
    assert code["scope"] == ["libs/common", "pyproject.toml", "services/serve"]
    assert code["subdirectory"] == {"path": ".", "tree": code["snapshot"]["tree"], "proof": []}
    want = expected(checkout, tmp_path / "want", "libs/common", "pyproject.toml", "services/serve", *ATTRIBUTES)
    assert code["snapshot"]["tree"] == want and code["overlay"]["deleted"] == ["services/serve/serve.py"]
    receipt = receipt_of(place, manifest, "several")
    assert receipt["tree"] == want == place.runner.tree("several") and receipt["fallbacks"] == []


@pytest.mark.slow
@pytest.mark.parametrize("hosted", ["gitlab", "file"], indirect=True)
def test_any_directory_can_be_kept_after_the_whole_is_proved(hosted: World, tmp_path: Path) -> None:
    place = hosted
    checkout = another(place)
    checkout.write("services/train/train.py", "lr = 0.3\n")
    checkout.symlink("services/train/sub/link out", "../../serve")
    whole = place.manifest(checkout=checkout, name="whole.json")
    part = place.manifest("--subdirectory", "services", checkout=checkout, name="services.json")

    for number, (manifest, path) in enumerate(
        [(whole, "services/train"), (part, "services/train"), (part, "services"), (whole, "libs/")]
    ):
        want = tree_of(checkout.path / path, checkout.env)
        target = f"kept {number}"
        receipt = receipt_of(place, "--subdirectory", path, manifest, target)
        assert (receipt["tree"], receipt["subdirectory"]) == (want, path.rstrip("/"))
        assert place.runner.tree(target) == want
        assert ("sub/link out" in receipt["outsideLinks"]) == (path == "services/train")
        asked = ("verify", "--subdirectory", path, manifest, target)
        assert "unchanged" in place.runner.run(*asked).text
        (place.runner.home / target / "added").write_text("x")
        assert place.runner.run(*asked, "--strict", check=False).status == 1

    outside = ("fetch", "--subdirectory", "libs", part, "code")
    refused(place.runner, *outside, status=128, says="the tree has no directory 'libs'", hint="from the root")
    file = ("fetch", "--subdirectory", "services/train/train.py", part, "code")
    refused(place.runner, *file, status=128, says="has no directory 'services/train/train.py'", hint="from the root")
    above = ("fetch", "--subdirectory", "../x", part, "code")
    refused(place.runner, *above, status=129, says="invalid path '../x': use a path relative to the root", hint=None)
    word = f"{place.url}@{checkout.head()}:libs"
    refused(
        place.runner, "fetch", "--subdirectory", "libs", word, "code", status=129, says="the directory is given twice"
    )


def test_a_proof_that_leads_elsewhere_is_no_manifest(made: World) -> None:
    manifest = made.manifest("--subdirectory", "services/train", name="proof.json")
    document = load(manifest)
    other = made.manifest("--subdirectory", "services/serve", name="other.json")
    document["code"]["subdirectory"]["proof"] = load(other)["code"]["subdirectory"]["proof"]
    manifest.write_text(json.dumps(document))
    refused(made.runner, "fetch", manifest, "code", status=128, says="proof[0]: is not the tree", hint=None)


# --- what is elsewhere ---


def recorded(place: World, checkout: Repo, *words: str) -> Any:
    target = place.runner.home / "one.json"
    place.user.run("snapshot", "-o", target, *words, cwd=checkout.path)
    return load(target)["code"]


ELSEWHERE = (
    "an edit", "a conflict", "a repository inside", "a broken submodule", "a huge file", "what cannot be read",
    "a token", "a hidden edit", "a staged edit", "an untracked secret", "a broken attributes file", "a lost object",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", ELSEWHERE)
def test_nothing_elsewhere_stops_or_changes_a_run(made: World, what: str) -> None:
    checkout = another(made)
    checkout.write("services/train/train.py", "lr = 0.4\n")
    before = recorded(made, checkout, "--subdirectory", "services/train")
    match what:
        case "an edit":
            checkout.write("services/serve/serve.py", "dirt\n")
        case "a staged edit":
            checkout.write("services/serve/serve.py", "dirt\n")
            checkout.git("add", "services/serve")
        case "a conflict":
            blob = checkout.git("hash-object", "-w", "--stdin", input=b"theirs\n").decode().strip()
            rows = "".join(f"100644 {blob} {stage}\tlibs/other/o.py\n" for stage in (1, 2, 3))
            checkout.git("update-index", "--force-remove", "libs/other/o.py")
            checkout.git("update-index", "--index-info", input=rows.encode())
        case "a repository inside":
            Repo.init(checkout.path / "libs/inner", checkout.env).commit("its own")
        case "a broken submodule":
            checkout.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},libs/sub")
            checkout.write("libs/sub/.git", "gitdir: nowhere\n")
        case "a huge file":
            with open(checkout.file("libs/huge.bin"), "wb") as file:
                file.truncate(5 << 30)
        case "what cannot be read":
            checkout.remove("libs/common/c.py")
            os.mkfifo(checkout.file("libs/common/c.py"))
        case "a token":
            checkout.write("libs/deploy.py", "TOKEN = 'ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0iL3oR6'\n")
        case "a hidden edit":
            checkout.git("update-index", "--assume-unchanged", "libs/common/c.py")
            checkout.write("libs/common/c.py", "hidden\n")
        case "an untracked secret":
            checkout.write("libs/.env", "SECRET=1\n")
        case "a broken attributes file":
            checkout.write("libs/.gitattributes", "* filter=lfs export-ignore\n")
            checkout.git("add", "libs/.gitattributes")
        case "a lost object":
            checkout.write("libs/lost.py", "lost\n")
            checkout.git("add", "libs/lost.py")
            id = checkout.line("rev-parse", ":libs/lost.py")
            os.unlink(checkout.git_dir() / "objects" / id[:2] / id[2:])
    after = recorded(made, checkout, "--subdirectory", "services/train")
    assert after == before
    if what not in ("an edit", "a staged edit", "a hidden edit"):
        checkout.git("config", "coderepo.dirty", "refuse")
        assert made.user.run("run", "--", "true", cwd=checkout.path, check=False).status == 125
    checkout.git("config", "coderepo.dirty", "allow")
    checkout.git("config", "coderepo.scope", "services/train")
    done = made.user.run("run", "--", "sh", "-c", "echo 9 > services/serve/serve.py", cwd=checkout.path)
    result = next((checkout.git_dir() / "coderepo/runs").glob("*/*.result.json"))
    assert (load(result)["edited"], load(result)["produced"]) == ([], [])
    assert lines(done, "warning") == ["only 'services/train' is recorded, because of 'coderepo.scope'"]
    made.user.run("hook", "pre-run", cwd=checkout.path)
    current = load(checkout.git_dir() / "coderepo/current.json")["code"]
    assert (current["snapshot"], current["scope"]) == (before["snapshot"], ["services/train"])


def test_commits_that_were_not_pushed_carry_nothing_where_they_touch_other_parts(made: World) -> None:
    checkout = another(made)
    checkout.write("libs/common/c.py", "c = 2\n")
    checkout.write("big/new.bin", os.urandom(50_000))
    checkout.commit("elsewhere")
    code = recorded(made, checkout, "--subdirectory", "services/train")
    clean = recorded(made, another(made), "--subdirectory", "services/train")
    assert code["changes"]["unpushed"] == 1 and code["dirty"] is False
    assert code["snapshot"] == clean["snapshot"], "the same code, whatever else was committed"
    assert code["overlay"]["files"] == len(ATTRIBUTES), "what says how the files below are to be read"
    assert recorded(made, checkout, "--subdirectory", "pyproject.toml")["overlay"]["files"] == 1
    checkout.write("services/train/train.py", "lr = 0.5\n")
    checkout.commit("the part")
    code = recorded(made, checkout, "--subdirectory", "services/train")
    assert code["overlay"]["files"] == 1 + len(ATTRIBUTES) and code["dirty"] is False


def test_a_part_that_the_platform_has_nothing_of_travels_whole(made: World) -> None:
    checkout = another(made)
    checkout.write("services/new one/n.py", "n = 1\n")
    code = recorded(made, checkout, "--subdirectory", "services/new one")
    assert (code["base"], code["overlay"]["files"], code["dirty"]) == (None, 1 + len(ATTRIBUTES), True)
    made.runner.run("fetch", "one.json", "a new one")
    assert made.runner.path("a new one/services/new one/n.py").read_text() == "n = 1\n"


@pytest.mark.slow
def test_a_run_below_the_root_says_where_and_can_be_looked_back_at(made: World) -> None:
    checkout = another(made)
    checkout.write("services/train/train.py", "lr = 0.6\n")
    checkout.write("libs/common/c.py", "c = 3\n")
    where = checkout.path / "services" / "train"
    made.user.run("run", "--subdirectory", ".", "--include", "../../libs/common/c.py", "--", "true", cwd=where)
    manifest = load(checkout.git_dir() / "coderepo/current.json")
    assert manifest["run"]["directory"] == "services/train" and manifest["code"]["scope"] == ["services/train"]
    shown = made.user.run("show", cwd=where).text
    assert "scope       services/train" in shown and "directory   services/train" in shown
    status = made.user.run("status", "--subdirectory", ".", cwd=where).text
    assert "scope         services/train" in status
    assert made.user.run("diff", "@{-1}", ".", "--", "--name-only", cwd=where).text.split() == ["libs/common/c.py"]
    checkout.git("checkout", "-q", "--", "services")
    changed = made.user.run("diff", "@{-1}", ".", "--", "--name-only", cwd=where).text.splitlines()
    assert changed == ["libs/common/c.py", "services/train/train.py"]


def test_a_commit_can_be_recorded_in_part(made: World, tmp_path: Path) -> None:
    checkout = another(made)
    checkout.write("services/train/train.py", "dirt\n")
    code = recorded(made, checkout, "HEAD", "--subdirectory", "services/train")
    checkout.git("checkout", "-q", "--", ".")
    assert code["snapshot"]["tree"] == expected(checkout, tmp_path / "want", "services/train", *ATTRIBUTES)
    assert code["dirty"] is False and code["changes"]["unstaged"] == 0


def test_a_team_says_what_is_looked_at(made: World) -> None:
    checkout = another(made)
    checkout.write(".coderepo", "[coderepo]\n\tscope = services/train\n\tscope = libs/common\n")
    assert recorded(made, checkout)["scope"] == ["libs/common", "services/train"]
    checkout.git("config", "coderepo.scope", "libs/other")
    assert recorded(made, checkout)["scope"] == ["libs/other"], "the user's own stands in its place"
    assert recorded(made, checkout, "--subdirectory", "services/serve")["scope"] == ["services/serve"]


def test_a_server_that_gives_no_object_by_its_id_gives_the_whole_commit(made: World) -> None:
    """Protocol version 0 without `uploadpack.allowAnySHA1InWant`."""
    manifest = made.manifest("--subdirectory", "services/train", name="old.json")
    made.repository.git("config", "uploadpack.allowAnySHA1InWant", "false")
    made.repository.git("config", "uploadpack.allowFilter", "false")
    try:
        receipt = receipt_of(made, manifest, "from an old one")
        assert receipt["tree"] == load(manifest)["code"]["snapshot"]["tree"]
    finally:
        made.repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
        made.repository.git("config", "uploadpack.allowFilter", "true")
