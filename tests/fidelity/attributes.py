"""Attributes and filters: what a tree holds is not what lies on the disk, or not what an archive holds."""

from __future__ import annotations

from typing import Any

from tests.fidelity.case import Stage, Wanted, case
from tests.support.repo import Repo

GROUP = "Attributes"
SHIFT = "tr a-y b-z"  # a filter that every machine has
UNSHIFT = "tr b-z a-y"


def with_attributes(stage: Stage, lines: str, files: dict[str | bytes, bytes], **settings: str) -> Wanted:
    """A checkout made with these attributes, one file of it edited, one new."""
    place = stage.world(files={"train.py": b"lr = 0.1\n"})
    author = place.clone("author")
    for name, value in settings.items():
        author.git("config", name.replace("_", "."), value)
    author.write(".gitattributes", lines)
    for path, contents in files.items():
        author.write(path, contents)
    author.commit("attributes")
    place.push(author)
    options = [word for name, value in settings.items() for word in ("-c", f"{name.replace('_', '.')}={value}")]
    repo = place.clone("filtered", *options)
    first = next(iter(files))
    repo.write(first, repo.read(first) + repo.read(first))
    repo.write(b"new " + (first if isinstance(first, bytes) else first.encode()), repo.read(first))
    return Wanted(place, repo)


def _altered(document: Any) -> None:
    assert document["code"]["base"]["archive"] == "altered"


@case(GROUP, "core.autocrlf")
def autocrlf(stage: Stage) -> Wanted:
    wanted = with_attributes(stage, "", {"notes.txt": b"one\ntwo\n", "data.bin": b"\0\r\n"}, core_autocrlf="true")
    assert b"\r\n" in wanted.checkout.read("notes.txt")
    return wanted


@case(GROUP, "eol")
def eol(stage: Stage) -> Wanted:
    wanted = with_attributes(stage, "*.bat eol=crlf\n*.sh eol=lf\n", {"run.bat": b"one\r\ntwo\r\n", "a.sh": b"x\n"})
    assert b"\r\n" in wanted.checkout.read("run.bat")
    wanted.recorded = _altered
    return wanted


@case(GROUP, "ident")
def ident(stage: Stage) -> Wanted:
    wanted = with_attributes(stage, "*.py ident\n", {"model.py": b"# $Id$\n"})
    assert b"$Id: " in wanted.checkout.read("model.py")
    return wanted


@case(GROUP, "working-tree-encoding")
def encoding(stage: Stage) -> Wanted:
    text = "café\n"
    wanted = with_attributes(
        stage, "*.txt working-tree-encoding=UTF-16LE eol=lf\n", {"notes.txt": text.encode("utf-16-le")}
    )
    assert text.encode("utf-16-le") in wanted.checkout.read("notes.txt")
    return wanted


@case(GROUP, "export-ignore")
def export_ignore(stage: Stage) -> Wanted:
    wanted = with_attributes(stage, "/docs/ export-ignore\n", {"docs/notes.txt": b"no archive has it\n"})
    wanted.recorded = _altered
    return wanted


@case(GROUP, "export-subst")
def export_subst(stage: Stage) -> Wanted:
    wanted = with_attributes(stage, "version.txt export-subst\n", {"version.txt": b"$Format:%H$\n"})
    wanted.recorded = _altered
    return wanted


@case(GROUP, "a filter of one's own")
def custom_filter(stage: Stage) -> Wanted:
    """The tree holds what it cleaned; the runner does not know the filter, and gets what the tree holds."""
    settings = {"filter.shift_clean": SHIFT, "filter.shift_smudge": UNSHIFT}
    wanted = with_attributes(stage, "*.txt filter=shift\n", {"notes.txt": b"hello\n"}, **settings)
    assert b"hello" in wanted.checkout.read("notes.txt")
    assert b"ifmmp" in wanted.checkout.git("show", "HEAD:notes.txt")
    return wanted


@case(GROUP, "a filter of one's own, present on the runner")
def custom_filter_on_the_runner(stage: Stage) -> Wanted:
    """A runner's own configuration has no say in what it gets."""
    wanted = custom_filter_of(stage)
    runner = Repo.init(wanted.place.root / "unrelated", wanted.place.runner.env)
    for name, value in (("clean", "cat"), ("smudge", UNSHIFT), ("required", "true")):
        runner.git("config", "--global", f"filter.shift.{name}", value)

    def as_the_tree_has_it(code: Any) -> None:
        assert b"ifmmp" in (code / "notes.txt").read_bytes()

    wanted.got = as_the_tree_has_it
    return wanted


def custom_filter_of(stage: Stage) -> Wanted:
    settings = {"filter.shift_clean": SHIFT, "filter.shift_smudge": UNSHIFT}
    return with_attributes(stage, "*.txt filter=shift\n", {"notes.txt": b"hello\n"}, **settings)


@case(GROUP, "a filter of one's own, missing here")
def missing_filter(stage: Stage) -> Wanted:
    """Not configured at all: git takes the files as they are, and so does the snapshot."""
    return with_attributes(stage, "*.txt filter=nowhere\n", {"notes.txt": b"hello\n"})


@case(GROUP, "a required filter that fails here")
def required_filter(stage: Stage) -> Wanted:
    wanted = with_attributes(stage, "*.txt filter=strict\n", {"notes.txt": b"hello\n"})
    wanted.checkout.git("config", "filter.strict.clean", "no-such-program")
    wanted.checkout.git("config", "filter.strict.required", "true")
    wanted.refused = lambda _: None
    return wanted
