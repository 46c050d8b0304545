"""The table: which rows there are, how it is written down, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.fidelity import (
    attributes,
    large_files,
    monorepos,
    names,
    odd_checkouts,
    odd_files,
    old_histories,
    outside,
    places,
    submodules,
)
from tests.fidelity.case import CASES, PLATFORMS

README = Path(__file__).with_name("README.md")
MODULES = (
    submodules,
    large_files,
    attributes,
    monorepos,
    odd_checkouts,
    places,
    odd_files,
    names,
    outside,
    old_histories,
)
GROUPS = tuple(dict.fromkeys(module.GROUP for module in MODULES))
ALL = tuple(sorted(CASES, key=lambda row: GROUPS.index(row.group)))
ROWS = tuple(row for row in ALL if row.ready)


def rendered(cells: Mapping[tuple[str, str], str]) -> str:
    """`README.md` for these cells, by the row's slug and the platform."""
    text = [
        "# What comes back",
        "",
        "Made by `make fidelity`. Each row is a checkout that `tests/fidelity/` makes with real git, records, and",
        "fetches on another machine from a platform of this kind, with the checkout out of reach.",
        "",
        "- same tree: `git write-tree` of what came is what git makes of the original. What Git LFS keeps is compared",
        "  by sha256, and then cleaned back to pointers.",
        "- refused before the run: nothing was recorded, and these words said why.",
    ]
    group = ""
    for row in ROWS:
        if row.group != group:
            group = row.group
            text += ["", f"## {group}", "", f"| | {' | '.join(PLATFORMS)} |", f"|---{'|---' * len(PLATFORMS)}|"]
        text.append(f"| {' | '.join([row.name, *(escaped(cells[row.slug, platform]) for platform in PLATFORMS)])} |")
    return "\n".join(text) + "\n"


def written() -> dict[tuple[str, str], str]:
    """The cells of the committed table, by group and name together as a slug, and platform."""
    cells = {}
    group = ""
    names = {(row.group, row.name): row.slug for row in ROWS}
    for line in README.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            group = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| |"):
            name, *found = (part.strip().replace("\\|", "|") for part in line.strip("| ").split(" | "))
            assert len(found) == len(PLATFORMS), line
            for platform, text in zip(PLATFORMS, found, strict=True):
                cells[names.get((group, name), f"unknown: {group}, {name}"), platform] = text
    return cells


def escaped(text: str) -> str:
    """A text as a cell of a Markdown table."""
    return text.replace("|", "\\|")
