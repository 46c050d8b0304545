"""Content that Git does not store is named before the run: git-annex, DVC, links, filters and attributes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.marks import first_quick
from tests.support.program import Program
from tests.support.repo import Repo

ANNEX = shutil.which("git-annex")
needs_git_annex = pytest.mark.skipif(ANNEX is None, reason="git-annex is not installed")
ODD = os.fsdecode(b"caf\xe9 \n x")


@pytest.fixture
def checkout(repo: Repo, program: Program, tmp_path: Path) -> Repo:
    """A pushed checkout with a program in it."""
    platform = Repo.init(tmp_path / "platform.git", repo.env, bare=True)
    repo.git("remote", "add", "origin", f"file://{platform.path}")
    repo.write("train.py", "print('hello')\n")
    publish(repo)
    return repo


def publish(repo: Repo) -> None:
    repo.commit()
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    repo.git("fetch", "--quiet", "origin")


def outside(program: Program, repo: Repo, *arguments: str) -> list[dict[str, Any]]:
    """What the manifest names; the warnings, `status` and a run name it, too."""
    done = program.run("snapshot", *arguments, cwd=repo.path)
    found: list[dict[str, Any]] = done.json()["code"].get("outside", [])
    warned = "a runner" in done.errors
    assert warned == bool(found), done.errors
    if not arguments:
        report = program.run("status", "--json", cwd=repo.path).json()
        assert report["outside"] == found
        shown = program.run("status", cwd=repo.path).text
        assert ("not in Git" in shown) == ("except for content that is not in Git" in shown) == bool(found)
        run = program.run("run", "--", "true", cwd=repo.path)
        assert ("a runner" in run.errors) == bool(found)
        hook = program.run("hook", "pre-run", cwd=repo.path)
        assert ("a runner" in hook.errors) == bool(found)
        recorded = json.loads((repo.git_dir() / "coderepo/current.json").read_bytes())
        assert recorded["code"].get("outside", []) == found
    return found


def entry(path: str, reason: str, detail: str) -> dict[str, Any]:
    return {"path": path, "reason": reason, "detail": detail}


# --- nothing to name ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_links_within_the_tree_are_part_of_it(checkout: Repo, program: Program) -> None:
    checkout.write("data/v1/x.csv", "1\n")
    checkout.write(f"data/{ODD}", "odd\n")
    checkout.symlink("latest", "data/v1")
    checkout.symlink("latest.csv", "latest/x.csv")  # through another link
    checkout.symlink("sub/up", "../data/v1/x.csv")
    checkout.symlink("odd", f"data/{ODD}")
    checkout.symlink("-x", "train.py")
    checkout.symlink("nowhere", "it/is/broken/here/too")
    checkout.symlink("null", "/dev/null")
    checkout.symlink("root", ".")
    publish(checkout)
    assert outside(program, checkout) == []
    checkout.write("-new", "new\n")
    checkout.symlink("to new", "-new")  # both are untracked and travel
    assert outside(program, checkout) == []


def test_the_hook_prints_no_control_characters(checkout: Repo, program: Program) -> None:
    checkout.symlink("\x1b[2Jx\ny", "/etc/hosts")
    publish(checkout)
    said = program.run("hook", "pre-run", cwd=checkout.path).errors
    assert "\\x1b[2Jx\\ny' is a link to '/etc/hosts'" in said and "\x1b" not in said and said.count("\n") == 1


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("committed", [True, False])
def test_links_to_what_is_ignored(checkout: Repo, program: Program, committed: bool) -> None:
    checkout.write(".gitignore", "/out/\n/model.bin\n")
    checkout.write("out/x", "1\n")
    checkout.write("model.bin", "1\n")
    publish(checkout)
    checkout.symlink("results", "out")
    checkout.symlink("deep/er/model", "../../model.bin")
    if committed:
        publish(checkout)
    assert outside(program, checkout) == [
        entry("deep/er/model", "link-unrecorded", "model.bin"),
        entry("results", "link-unrecorded", "out"),
    ]


@pytest.mark.slow
def test_names_that_git_reads_as_pathspec_magic(checkout: Repo, program: Program) -> None:
    """`:_`, `:!x` and `:(top)x` are file names here; git would refuse or misread them as arguments."""
    checkout.write(".gitignore", "*.h5\n")
    for at, target in enumerate((":_", ":!x", ":(top)x", ":/", "*", "[a]", ":(glob)/inside")):
        checkout.symlink(f"broken-{at}", target)
    checkout.write(":(top)inside", "x\n")
    checkout.write("inside", "x\n")
    checkout.write(":!data.h5", "x\n")
    checkout.symlink("to-inside", ":(top)inside")
    checkout.symlink("to-ignored", ":!data.h5")
    checkout.write(":odd/data", "x\n")
    checkout.write(":odd/dvc.lock", "schema: '2.0'\nstages:\n  a:\n    outs:\n    - path: model.h5\n")
    checkout.write(":odd/dvc.yaml", "stages:\n  a:\n    cmd: x\n    wdir: work\n")
    checkout.write(":odd/work/model.h5", "x\n")
    publish(checkout)
    assert outside(program, checkout) == [
        entry(":odd/dvc.lock", "pointer-file", ":odd/work/model.h5"),
        entry("to-ignored", "link-unrecorded", ":!data.h5"),
    ]


@pytest.mark.slow
def test_links_out_of_the_tree(checkout: Repo, program: Program, tmp_path: Path) -> None:
    (tmp_path / "data set").mkdir()
    (tmp_path / "data set" / "x").write_text("1")
    checkout.symlink("absolute", str(tmp_path / "data set"))
    checkout.symlink("sub/relative", "../../data set/x")
    checkout.symlink("config", ".git/config")
    checkout.symlink("chain", "absolute/x")  # the link before it leads out
    publish(checkout)
    assert outside(program, checkout) == [
        entry("absolute", "link-outside", str(tmp_path / "data set")),
        entry("config", "link-outside", ".git/config"),
        entry("sub/relative", "link-outside", "../../data set/x"),
        entry("chain", "link-unrecorded", "absolute/x"),
    ]


@pytest.mark.slow
def test_a_link_to_a_file_that_is_left_out_as_a_secret(checkout: Repo, program: Program) -> None:
    checkout.symlink("settings", ".env")
    publish(checkout)
    checkout.write(".env", "X=1\n")
    assert outside(program, checkout) == [entry("settings", "link-unrecorded", ".env")]


@pytest.mark.slow
def test_many_links_and_another_index_format(checkout: Repo, program: Program) -> None:
    """What the hook reads off the index, and what `git ls-tree` tells it otherwise, is the same."""
    checkout.write(".gitignore", "/out\n")
    checkout.write("out", "1\n")
    for number in range(600):
        checkout.symlink(f"links/à {number}", "../out" if number == 599 else "../train.py")
    publish(checkout)
    expected = [entry("links/à 599", "link-unrecorded", "out")]
    assert outside(program, checkout) == expected
    checkout.git("update-index", "--index-version", "4")
    assert outside(program, checkout) == expected


def test_a_commit_as_it_is(checkout: Repo, program: Program, tmp_path: Path) -> None:
    checkout.symlink("data", str(tmp_path))
    checkout.symlink("a", ".git/annex/objects/aa/bb/KEY/KEY")
    publish(checkout)
    expected = [entry("a", "git-annex", "KEY"), entry("data", "link-outside", str(tmp_path))]
    assert outside(program, checkout, "HEAD") == expected


def test_a_submodule(checkout: Repo, program: Program, tmp_path: Path) -> None:
    lib = Repo.init(tmp_path / "lib", checkout.env)
    lib.symlink("data", "/etc")
    lib.commit()
    checkout.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{lib.path}", "vendor/lib")
    publish(checkout)
    manifest = program.run("snapshot", cwd=checkout.path)
    assert "'vendor/lib/data' is a link to '/etc'" in manifest.errors
    inner = manifest.json()["code"]["submodules"][0]["code"]
    assert inner["outside"] == [entry("data", "link-outside", "/etc")]


# --- pointer files --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dvc_files_beside_ignored_data(checkout: Repo, program: Program) -> None:
    checkout.write("data/.gitignore", "/set.xml\n/gone\n")
    checkout.write("data/set.xml", "<x/>\n")
    checkout.write("data/set.xml.dvc", "outs:\n- md5: a304afb96060aad90176268345e10355\n  size: 14\n  path: set.xml\n")
    checkout.write("data/gone.dvc", "outs:\n- md5: b\n  path: gone\n")  # not pulled: the run cannot read it either
    checkout.write("up.dvc", "wdir: data\nouts:\n- path: 'set.xml'\n  md5: a\n")
    publish(checkout)
    expected = [
        entry("data/set.xml.dvc", "pointer-file", "data/set.xml"),
        entry("up.dvc", "pointer-file", "data/set.xml"),
    ]
    assert outside(program, checkout) == expected
    checkout.write("data/set.xml", "<y/>\n")  # edited: Git does not see it
    assert outside(program, checkout) == expected
    checkout.write("notes.txt", "dirty\n")
    assert outside(program, checkout) == expected


@pytest.mark.slow
def test_outputs_of_a_dvc_pipeline(checkout: Repo, program: Program) -> None:
    checkout.write(".gitignore", "/model.pkl\n/work/prepared\n")
    checkout.write("model.pkl", "1\n")
    checkout.write("work/prepared/a", "1\n")
    checkout.write("dvc.yaml", "stages:\n  prepare:\n    cmd: x\n    wdir: work\n    outs:\n    - prepared\n")
    checkout.write(
        "dvc.lock",
        "schema: '2.0'\nstages:\n  prepare:\n    cmd: x\n    deps:\n    - path: ../train.py\n      md5: a\n"
        "    outs:\n    - path: prepared\n      md5: b.dir\n"
        "  train:\n    cmd: y\n    outs:\n    - path: model.pkl\n      md5: c\n",
    )
    publish(checkout)
    assert outside(program, checkout) == [
        entry("dvc.lock", "pointer-file", "model.pkl"),
        entry("dvc.lock", "pointer-file", "work/prepared"),
    ]


def test_a_checksum_beside_ignored_data_is_named_where_there_is_time_to_look(checkout: Repo, program: Program) -> None:
    checkout.write(".gitignore", "*.bin\n")
    checkout.write("weights.bin", "1\n")
    checkout.write("weights.bin.sha256", "0" * 64)
    publish(checkout)
    for verb in (["snapshot"], ["run", "--", "true"]):
        assert "'weights.bin.sha256' describes 'weights.bin'" in program.run(*verb, cwd=checkout.path).errors


@pytest.mark.slow
def test_descriptions_of_paths_that_no_tree_can_have(checkout: Repo, program: Program) -> None:
    for name in (".s3", ".dvc", "data/.md5"):
        checkout.write(name, b"it describes nothing\n")
    checkout.write("nul.dvc", b"outs:\n- path: a\0b\n")
    checkout.write("long.dvc", b"outs:\n- path: " + b"x" * 200_000 + b"\n")
    checkout.write("here.dvc", b"outs:\n- path: .\n")
    assert outside(program, checkout) == []
    checkout.write("above.dvc", b"outs:\n- path: ..\n")
    assert outside(program, checkout) == [entry("above.dvc", "pointer-file", "..")]


# --- git-annex ------------------------------------------------------------------------------------------------------


@pytest.fixture
def annex(checkout: Repo) -> Repo:
    assert ANNEX is not None
    checkout.git("annex", "init", "--quiet")
    return checkout


@needs_git_annex
def test_locked_annexed_files(annex: Repo, program: Program) -> None:
    annex.write("data/set.bin", "hello\n")
    annex.git("annex", "add", "--quiet", "data/set.bin")
    publish(annex)
    assert os.path.islink(annex.file("data/set.bin"))
    (found,) = outside(program, annex)
    assert (found["path"], found["reason"]) == ("data/set.bin", "git-annex")
    assert found["detail"].startswith("SHA256E-s6--")


@needs_git_annex
def test_unlocked_annexed_files_also_when_just_modified(annex: Repo, program: Program) -> None:
    annex.git("config", "annex.addunlocked", "true")
    annex.git("config", "annex.largefiles", "include=*.bin")
    annex.write("set.bin", "hello\n")
    annex.git("annex", "add", "--quiet", "set.bin")
    publish(annex)
    assert annex.read("set.bin") == b"hello\n" and not os.path.islink(annex.file("set.bin"))
    (found,) = outside(program, annex)
    assert (found["path"], found["reason"]) == ("set.bin", "git-annex")
    annex.write("set.bin", "modified just now\n")
    annex.write("new.bin", "untracked\n")
    modified = outside(program, annex)
    assert [each["path"] for each in modified] == ["new.bin", "set.bin"]
    assert modified[1]["detail"] != found["detail"]


# --- filters and attributes of this machine ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", first_quick("user", "info", "tree", "default"))
def test_a_filter_that_a_runner_cannot_know(checkout: Repo, program: Program, home: Path, where: str) -> None:
    checkout.git("config", "--global", "filter.upper.clean", "tr a-z A-Z")
    checkout.git("config", "--global", "filter.upper.smudge", "tr A-Z a-z")
    attributes = {
        "info": checkout.path / ".git/info/attributes",
        "user": home / "my attributes",
        "tree": checkout.path / ".gitattributes",
        "default": home / ".config/git/attributes",
    }[where]
    attributes.parent.mkdir(parents=True, exist_ok=True)
    attributes.write_text("[attr]secret filter=upper\n*.nb secret\n" if where == "info" else "*.nb filter=upper\n")
    if where == "user":
        checkout.git("config", "--global", "core.attributesFile", "~/my attributes")
    checkout.write("a.nb", "contents\n")
    publish(checkout)
    assert outside(program, checkout) == [entry("a.nb", "filter", "upper")]
    checkout.write(f"b {ODD}.nb", "new\n")
    assert len(outside(program, checkout)) == 2
    checkout.git("config", "--global", "--remove-section", "filter.upper")  # without a command it does nothing
    assert outside(program, checkout) == []


@pytest.mark.slow
def test_attributes_outside_the_tree(checkout: Repo, program: Program) -> None:
    (checkout.path / ".git/info/attributes").write_text("*.bat eol=crlf\n*.c diff=cpp\n*.sh eol=lf\n* text=auto\n")
    checkout.write("run.bat", "dir\n")
    checkout.write("x.c", "int x;\n")
    checkout.write("x.sh", "true\n")
    publish(checkout)
    assert outside(program, checkout) == [entry("run.bat", "attribute", "eol=crlf")]
    checkout.write(".gitattributes", "*.bat eol=crlf\n")  # a runner knows these
    publish(checkout)
    assert outside(program, checkout) == []


@pytest.mark.slow
def test_attributes_outside_the_tree_that_take_back_its_own(checkout: Repo, program: Program) -> None:
    checkout.write(".gitattributes", "*.bat eol=crlf\n*.c ident\n*.bin filter=lfs\n*.sh eol=lf\n*.txt text\n")
    for name in ("a.bat", "b.bat", "x.c", "x.bin", "x.sh", "x.txt"):
        checkout.write(name, "text\n")
    publish(checkout)
    assert outside(program, checkout) == []
    attributes = "a.bat binary\nb.bat !eol\n*.c -ident\n*.bin -filter\n*.sh -text\n*.txt -text\n"
    (checkout.path / ".git/info/attributes").write_text(attributes)
    expected = [("a.bat", "-text"), ("b.bat", "-eol"), ("x.bin", "-filter"), ("x.c", "-ident")]
    assert [(each["path"], each["detail"]) for each in outside(program, checkout)] == expected


@pytest.mark.slow
def test_thousands_are_counted_by_directory(checkout: Repo, program: Program) -> None:
    checkout.git("config", "filter.up.clean", "tr a-z A-Z")
    (checkout.path / ".git/info/attributes").write_text("*.nb filter=up\n")
    for number in range(1001):
        checkout.write(f"books/{number // 100}/{number}.nb", "X\n")
    publish(checkout)
    (found,) = program.run("snapshot", cwd=checkout.path).json()["code"]["outside"]
    assert found == {"path": "books", "reason": "filter", "detail": "up", "files": 1001}


def test_heads_tree_is_listed_once(checkout: Repo, program: Program) -> None:
    for arguments in ((), ("HEAD",)):
        traced = program.run("snapshot", *arguments, cwd=checkout.path, env={"GIT_TRACE": "1"}).errors
        assert len([line for line in traced.splitlines() if " ls-tree -r -z --full-tree " in line]) <= 1, traced
