"""Every hint in the source: what stands in a place from which it is printed as `hint: …`.

`python -m tests.hints.extract` lists them, with the file that prints them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "git_coderepo"


class Hint(NamedTuple):
    """`template` is the text with `{expression}` where the program fills something in."""

    file: str
    template: str


def extracted() -> list[Hint]:
    """Return all hints, sorted, each once for a file."""
    found: set[Hint] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        found.update(Hint(name, text) for text in _templates(ast.parse(path.read_text(encoding="utf-8"))))
    return sorted(found)


def _templates(tree: ast.Module) -> Iterator[str]:
    """The texts but for those that only pass a hint on, such as `; {hint}`."""
    named = _named_texts(tree)
    for text in _candidates(tree, named):
        if re.search(r"[A-Za-z]", re.sub(r"\{\w*\}", "", text)):
            yield text


def _named_texts(tree: ast.Module) -> dict[str, list[str]]:
    """The texts that a name is given in this file, by the name: a list of hints may hold the name."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.JoinedStr)):
            for target in node.targets:
                if isinstance(target, ast.Name) and " " in _text(node.value).strip():
                    found.setdefault(target.id, []).append(_text(node.value))
    return found


def _candidates(tree: ast.Module, named: dict[str, list[str]]) -> Iterator[str]:
    pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in pieces:
            continue  # its f-string is seen as a whole
        if isinstance(node, ast.keyword) and node.arg in ("hint", "hints"):
            yield from _texts(node.value)
            for inside in ast.walk(node.value):
                if isinstance(inside, (ast.List, ast.Tuple)):
                    for each in inside.elts:
                        yield from named.get(each.id, []) if isinstance(each, ast.Name) else ()
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any("hint" in _name(target).lower() for target in targets):
                yield from _texts(node.value)
        elif isinstance(node, ast.FunctionDef) and "hint" in node.name.lower():
            for inside in ast.walk(node):
                if isinstance(inside, ast.Return) and inside.value is not None:
                    yield from _texts(inside.value)
        elif isinstance(node, (ast.Constant, ast.JoinedStr)):
            text = _text(node)
            if text.startswith("hint: ") and not text.startswith("hint: {"):
                yield text.removeprefix("hint: ")


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts in an expression that can become a hint: not the ones that are compared, looked up or joined with."""
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        text = _text(node)
        if " " in text.strip() or "=" in text or text.startswith("-"):
            yield text
        return
    if isinstance(node, ast.Compare):
        return
    if isinstance(node, ast.Subscript):
        yield from _texts(node.value)
        return
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(
        "{" + ast.unparse(part.value) + "}" if isinstance(part, ast.FormattedValue) else str(part.value)
        for part in node.values
        if isinstance(part, (ast.FormattedValue, ast.Constant))
    )


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Name):
        return target.id
    return target.attr if isinstance(target, ast.Attribute) else ""


if __name__ == "__main__":
    for hint in extracted():
        print(f"{hint.file}\t{hint.template}")
