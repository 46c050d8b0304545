"""The table: which rows there are, how it is written down, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.faults import machine, network
from tests.faults.case import PLATFORMS, VERBS, Cell, Fault
from tests.fidelity.table import escaped

README = Path(__file__).with_name("README.md")
_FOUND = (*network.faults(), *machine.faults())
GROUPS = tuple(dict.fromkeys(fault.group for fault in _FOUND))
FAULTS = tuple(sorted(_FOUND, key=lambda fault: GROUPS.index(fault.group)))

# A row's slug, a platform, a verb.
Key = tuple[str, str, str]
Cells = Mapping[Key, Cell]

_EXEC = "by exec: "  # what differs there follows
_HEAD = "| | on | the user reads | fetch | exec | left behind |"


def keys() -> list[Key]:
    """Every cell that there must be."""
    return [(fault.slug, platform, verb) for fault in FAULTS for platform in fault.platforms for verb in VERBS]


def rendered(cells: Cells) -> str:
    """`README.md` for these cells."""
    text = [
        "# What goes wrong, and what becomes of it",
        "",
        "Made by `make faults`. Each row is a fault that `tests/faults/` makes happen, with real sockets, file systems",
        "and signals, while `fetch` and `exec` bring the code of a run from a platform of this kind: what the user",
        "reads on standard error, the exit status of both, and what is left of the target, temporary files, the cache,",
        "locks and processes. Where it ends well, the tree is the recorded one, and the brackets say how it came.",
        "Names of hosts, and numbers that differ from day to day, are replaced.",
    ]
    group = ""
    for fault in FAULTS:
        if fault.group != group:
            group = fault.group
            text += ["", f"## {group}", "", _HEAD, "|---|---|---|---|---|---|"]
        rows: dict[tuple[str, ...], list[str]] = {}
        for platform in fault.platforms:
            fetch, exec_ = (cells[fault.slug, platform, verb] for verb in VERBS)
            row: tuple[str, ...] = (
                _together(fetch.reads, exec_.reads),
                str(fetch.status),
                str(exec_.status),
                _together(fetch.left, exec_.left),
            )
            rows.setdefault(row, []).append(platform)
        for found, platforms in rows.items():
            parts = (fault.name, ", ".join(platforms), *found)
            text.append("| " + " | ".join(escaped(part) for part in parts) + " |")
    return "\n".join(text) + "\n"


def written() -> dict[Key, Cell]:
    """The cells of the committed table."""
    cells = {}
    group = ""
    slugs = {(fault.group, fault.name): fault.slug for fault in FAULTS}
    for line in README.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            group = line.removeprefix("## ")
        elif line.startswith("| ") and line != _HEAD:
            name, platforms, reads, fetch, exec_, left = line.removeprefix("| ").removesuffix(" |").split(" | ")
            name, reads, left = (part.replace("\\|", "|") for part in (name, reads, left))
            slug = slugs.get((group, name), f"unknown: {group}, {name}")
            for platform in platforms.split(", "):
                for at, (verb, status) in enumerate(zip(VERBS, (fetch, exec_), strict=True)):
                    cells[slug, platform, verb] = Cell(_apart(reads)[at], int(status), _apart(left)[at])
    return cells


def _together(fetch: tuple[str, ...], exec_: tuple[str, ...]) -> str:
    lines = [*fetch] if fetch == exec_ else [*fetch, *(f"{_EXEC}{line}" for line in exec_)]
    return "<br>".join(line.replace("<", "&lt;") for line in lines)


def _apart(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    lines = [line.replace("&lt;", "<") for line in text.split("<br>")]
    fetch = tuple(line for line in lines if not line.startswith(_EXEC))
    other = tuple(line.removeprefix(_EXEC) for line in lines if line.startswith(_EXEC))
    return fetch, other or fetch


def platforms_of(words: list[str], platform: str) -> list[Fault]:
    """The faults to be played on a platform: those whose slug holds one of the words, all without words."""
    return [
        fault
        for fault in FAULTS
        if platform in fault.platforms and (not words or any(word in fault.slug for word in words))
    ]


assert {platform for _, platform, _ in keys()} == set(PLATFORMS)
