"""The table of all hints: each has a test that follows it, or is listed in `untried.txt`, which only shrinks."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.hints.extract import PROJECT, extracted

UNTRIED = Path(__file__).with_name("untried.txt")


def tried() -> dict[str, str]:
    """Return each template that a test is marked with, and that test's id."""
    found = {}
    for path in sorted((PROJECT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "cures(" not in text or path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "cures":
                    for word in mark.args:
                        found[ast.literal_eval(word)] = f"{path.relative_to(PROJECT)}::{node.name}"
    return found


def test_every_hint_is_tried_or_listed() -> None:
    known = {hint.template for hint in extracted()}
    untried = set(UNTRIED.read_text(encoding="utf-8").splitlines())
    marked = set(tried())
    assert sorted(known - marked - untried) == [], "new hints: add a test that follows them, marked with @cures"
    assert sorted(untried - known) == [], "no longer printed: remove them from untried.txt"
    assert sorted(untried & marked) == [], "tried by now: remove them from untried.txt"
    assert sorted(marked - known) == [], "marks of hints that are no longer printed"
