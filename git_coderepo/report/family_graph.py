"""Draw the ancestors and descendants of a run as a tree, with one line for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from git_coderepo.report.elements import Html, element, joined, shown
from git_coderepo.report.page import state_class, title_of
from git_coderepo.runs.history import RecordedRun

_MOST = 30
_MOST_ANCESTORS = 10
_MOST_CHARACTERS = 32
_STEP, _HEIGHT = 22, 34


class GraphRow(NamedTuple):
    """A run of the drawing: `run` is None if it is only named by its child."""

    id: str
    run: RecordedRun | None
    depth: int


class Family(NamedTuple):
    """The runs that a report knows, by id, and the ids of each run's children, oldest first."""

    runs: Mapping[str, RecordedRun]
    children: Mapping[str, list[str]]

    @classmethod
    def of(cls, runs: Mapping[str, RecordedRun]) -> Family:
        children: dict[str, list[str]] = {}
        for id in sorted(runs):
            parent = runs[id].manifest.run.parent
            if parent is not None:
                children.setdefault(parent, []).append(id)
        return cls(runs, children)


def family_rows(family: Family, id: str) -> tuple[list[GraphRow], int]:
    """Return the ancestors of a run, the run and its descendants, and the number of descendants left out."""
    ancestors: list[str] = []
    parent = family.runs[id].manifest.run.parent
    while parent is not None and parent not in ancestors and len(ancestors) < _MOST_ANCESTORS:
        ancestors.insert(0, parent)
        parent = family.runs[parent].manifest.run.parent if parent in family.runs else None
    rows = [GraphRow(each, family.runs.get(each), depth) for depth, each in enumerate(ancestors)]
    ahead = [(id, len(rows))]
    seen = set(ancestors)
    left_out = 0
    while ahead:
        each, depth = ahead.pop()
        if each in seen:
            continue
        seen.add(each)
        if len(rows) >= _MOST:
            left_out += 1
        else:
            rows.append(GraphRow(each, family.runs.get(each), depth))
        ahead += [(child, depth + 1) for child in reversed(family.children.get(each, []))]
    return rows, left_out


def family_graph(rows: list[GraphRow], id: str, address: Callable[[str], str | None]) -> Html:
    """Return the drawing; `address` returns the page of a run, None if it has none."""
    width = _STEP * max(row.depth for row in rows) + 330
    parts: list[Html] = []
    last_at: dict[int, int] = {}
    for at, row in enumerate(rows):
        x, y = _STEP * row.depth + 10, _HEIGHT * at + _HEIGHT // 2
        if row.depth:
            above = _HEIGHT * last_at[row.depth - 1] + _HEIGHT // 2
            parts.append(element("path", d=f"M{x - _STEP} {above + 6}V{y}H{x - 6}"))
        last_at[row.depth] = at
        parts.append(element("circle", cx=f"{x}", cy=f"{y}", r="6", class_=_class(row)))
        label = element("text", _label(row, row.id == id), x=f"{x + 14}", y=f"{y + 5}")
        page = address(row.id) if row.id != id else None
        parts.append(label if page is None else element("a", label, href=page))
    return element(
        "svg",
        joined(parts),
        class_="family",
        width=f"{width}",
        height=f"{_HEIGHT * len(rows)}",
        viewBox=f"0 0 {width} {_HEIGHT * len(rows)}",
        role="group",
        aria_label="Parent and child runs, from the first ancestor down",
    )


def _class(row: GraphRow) -> str:
    return state_class(row.run.state) if row.run is not None else "unknown"


def _label(row: GraphRow, is_this: bool) -> str:
    name = shown(title_of(row.run)) if row.run is not None else row.id
    if len(name) > _MOST_CHARACTERS:
        name = name[: _MOST_CHARACTERS - 1] + "\u2026"
    state = row.run.state if row.run is not None else "not recorded here"
    return f"{name}, {state}{' (this run)' if is_this else ''}"
