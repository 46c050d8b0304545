"""Every case, and the table of them: `python -m tests.hostile` plays all through the program and writes `README.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.hostile import archives, manifests, overlays
from tests.hostile.play import Case, Place

README = Path(__file__).with_name("README.md")


def _archive(make: Callable[[archives.Honest], bytes]) -> Callable[[Place], None]:
    def prepare(here: Place) -> None:
        here.serve(make(here.honest))
        here.write(here.clean())

    return prepare


def _all() -> list[Case]:
    found = []
    for name, make in archives.ARCHIVES.items():
        found.append(Case(archives.GROUP, name, _archive(make), method="archive", slow=name in archives.LONG))
    for group, cases in ((overlays.GROUP, overlays.OVERLAYS), (overlays.LFS_GROUP, overlays.LFS)):
        found += [Case(group, name, prepare, method="archive") for name, prepare in cases.items()]
    for name, prepare in manifests.MANIFESTS.items():
        method = "archive" if name in manifests.BY_ARCHIVE else "auto"
        found.append(Case(manifests.GROUP, name, prepare, method=method))
    return found


CASES = _all()


def rendered(rows: Mapping[tuple[str, str], str]) -> str:
    """`README.md` for these rows, as `row` gives them."""
    text = [
        "# What is refused",
        "",
        "Made by `make hostile`. Each row is an archive, an overlay or a manifest that `tests/hostile/` makes, named",
        "for what it tries; `git coderepo fetch` refuses it with these words, in less than 200 MiB of memory, writes",
        "nothing outside of its target and leaves nothing behind. Where another tree is spoken of, what was tried is",
        "something that a tree of Git may hold, and the tree id found it out. ID and HOST stand for what differs from",
        "one run to the next.",
    ]
    group = ""
    for case in CASES:
        if case.group != group:
            group = case.group
            text += ["", f"## {group}", "", "| what it tries | what is said |", "|---|---|"]
        name = _cell(case.name)
        text.append(f"| {name} | {rows[group, name]} |")
    return "\n".join(text) + "\n"


def written() -> dict[tuple[str, str], str]:
    """The rows of the committed table, as `row` gives them."""
    found = {}
    group = ""
    for line in README.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            group = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| what it tries"):
            name, said = line.removeprefix("| ").removesuffix(" |").split(" | ")
            found[group, name] = said
    return found


def row(case: Case, said: str) -> tuple[tuple[str, str], str]:
    """A case's row as `written` has it."""
    return (case.group, _cell(case.name)), _cell(said)


def _cell(text: str) -> str:
    """A text in a cell, shortened where it is very long."""
    text = text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("`", "\\`")
