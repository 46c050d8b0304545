"""Whether an archive differs from its tree is told by the paths and contents that are there, not by a line alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.support import world
from tests.support.program import Program
from tests.support.repo import Repo, run_git


def recorded(program: Program, repo: Repo) -> str:
    base = program.run("snapshot", cwd=repo.path).json()["code"]["base"]
    archive: str = base["archive"]
    return archive


def archived(repo: Repo) -> str:
    """`exact` where `git archive` of HEAD gives back what HEAD's tree has, else `altered`: git's own word."""
    directory = repo.path.with_name("unpacked")
    directory.mkdir(exist_ok=True)
    tar = run_git("archive", "--format=tar", "HEAD", cwd=repo.git_dir(), env={**repo.env, "GIT_ATTR_NOSYSTEM": "1"})
    subprocess.run(["tar", "-xf", "-"], input=tar, cwd=directory, check=True)
    for row in repo.git("ls-tree", "-r", "-z", "HEAD").split(b"\0")[:-1]:
        facts, _, path = row.partition(b"\t")
        file = directory / os.fsdecode(path)
        blob = facts.split(b" ")[2].decode()
        if not file.is_file() or repo.line("hash-object", "--no-filters", file) != blob:
            return "altered"
    return "exact"


CASES = {
    "no file matches": ("*.bat text eol=crlf\n", {"a.sh": b"x\n"}, "exact"),
    "a file that is converted": ("*.bat text eol=crlf\n", {"a.bat": b"x\n"}, "altered"),
    "a file with no line to convert": ("*.bat eol=crlf\n", {"a.bat": b"no line break"}, "exact"),
    "a later line takes it back": ("*.bat eol=crlf\n*.bat -text\n", {"a.bat": b"x\n"}, "exact"),
    "a binary file by its contents": ("* text=auto eol=crlf\n", {"a.bin": b"\0\n\0", ".gitattributes": b""}, "altered"),
    "ident without a keyword": ("*.c ident\n", {"a.c": b"int x;\n"}, "exact"),
    "ident": ("*.c ident\n", {"a.c": b"/* $Id$ */\n"}, "altered"),
    "export-subst without a format": ("*.txt export-subst\n", {"a.txt": b"x\n"}, "exact"),
    "export-subst": ("*.txt export-subst\n", {"a.txt": b"$Format:%H$\n"}, "altered"),
    "export-ignore of nothing": ("/docs export-ignore\n", {"src/docs": b"x\n"}, "exact"),
    "export-ignore of a file": ("*.md export-ignore\n", {"a.md": b"x\n"}, "altered"),
    "export-ignore of a directory": ("docs/ export-ignore\n", {"src/docs/a": b"x\n"}, "altered"),
    "export-ignore of a quoted directory": ('"my docs/" export-ignore\n', {"my docs/a": b"x\n"}, "altered"),
    "export-ignore of a directory's namesake": ("docs/ export-ignore\n", {"docs": b"x\n"}, "exact"),
    "an encoding": ("*.txt working-tree-encoding=UTF-16LE\n", {"a.txt": b"x\n"}, "altered"),
    "an encoding of nothing": ("*.txt working-tree-encoding=UTF-16LE\n", {"a.txt": b""}, "exact"),
    "a filter": ("*.nb filter=nbstripout\n", {"a.nb": b"x\n"}, "exact"),
    "in a directory": ("", {"sub/.gitattributes": b"*.bat eol=crlf\n", "a.bat": b"x\n"}, "exact"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_archive_is_judged_as_git_makes_it(repo: Repo, program: Program, tmp_path: Path, name: str) -> None:
    attributes, files, expected = CASES[name]
    platform = Repo.init(tmp_path / "platform.git", repo.env, bare=True)
    repo.git("remote", "add", "origin", f"file://{platform.path}")
    repo.write("train.py", "x\n")
    for path, contents in {**files, ".gitattributes": attributes.encode()}.items():
        repo.write(path, contents)
    repo.commit()
    repo.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    repo.git("fetch", "--quiet", "origin")
    assert archived(repo) == expected
    assert recorded(program, repo) == expected
    repo.write("new file", "x\n")  # what is dirty says nothing of the base
    repo.write(".gitattributes", "*.py eol=crlf\n")
    assert recorded(program, repo) == expected


def test_a_runner_without_git_tries_an_archive_that_is_called_altered(tmp_path: Path) -> None:
    """As a manifest of an earlier version may have it: the tree id decides."""
    files = {"train.py": b"x\n", ".gitattributes": b"*.bat text eol=crlf\n", "a.sh": b"x\n"}
    with world(tmp_path, "github", files=files) as place:
        place.checkout.git("config", "--global", f"coderepo.{place.forge.url}/.type", "github")
        path = place.manifest()
        document = json.loads(path.read_bytes())
        assert document["code"]["base"]["archive"] == "exact"
        document["code"]["base"]["archive"] = "altered"
        path.write_text(json.dumps(document))
        empty = tmp_path / "empty"
        empty.mkdir()
        done = place.runner.run("fetch", path, "code", env={"PATH": str(empty)}, check=False)
        assert done.status == 0, done.errors
        assert place.runner.tree("code") == document["code"]["snapshot"]["tree"]
