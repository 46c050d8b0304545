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
_ADDS = ("append", "extend", "insert")

Text = ast.Constant | ast.JoinedStr


class Hint(NamedTuple):
    """`template` is the text with `{expression}` where the program fills something in."""

    file: str
    template: str


def extracted() -> list[Hint]:
    """Return all hints, sorted, each once for a file."""
    found: set[Hint] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        nodes = hint_nodes(ast.parse(path.read_text(encoding="utf-8")))
        found.update(Hint(name, _text(node).removeprefix("hint: ")) for node in nodes)
    return sorted(found)


def hint_nodes(tree: ast.Module) -> Iterator[Text]:
    """Yield each text that becomes a hint, but for those that only pass one on, such as `; {hint}`."""
    named = _named_texts(tree)
    for node in _candidates(tree, named):
        if re.search(r"[A-Za-z]", re.sub(r"\{\w*\}", "", _text(node).removeprefix("hint: "))):
            yield node


def _named_texts(tree: ast.Module) -> dict[str, list[Text]]:
    """The texts that a name is given in this file, by the name: a list of hints may hold the name."""
    found: dict[str, list[Text]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.JoinedStr)):
            for target in node.targets:
                if isinstance(target, ast.Name) and " " in _text(node.value).strip():
                    found.setdefault(target.id, []).append(node.value)
    return found


def _candidates(tree: ast.Module, named: dict[str, list[Text]]) -> Iterator[Text]:
    pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in pieces:
            continue  # its f-string is seen as a whole
        if isinstance(node, ast.keyword) and node.arg in ("hint", "hints"):
            yield from text_nodes(node.value)
            for inside in ast.walk(node.value):
                if isinstance(inside, (ast.List, ast.Tuple)):
                    for each in inside.elts:
                        yield from named.get(each.id, []) if isinstance(each, ast.Name) else ()
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any("hint" in _name(target).lower() for target in targets):
                yield from text_nodes(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ADDS:
            if "hint" in _name(node.func.value).lower():
                for each in node.args:
                    yield from text_nodes(each)
        elif isinstance(node, ast.Call) and _name(node.func) == "hint" and node.args:
            yield from text_nodes(node.args[0])
        elif isinstance(node, ast.FunctionDef) and "hint" in node.name.lower():
            for inside in ast.walk(node):
                if isinstance(inside, ast.Return) and inside.value is not None:
                    yield from text_nodes(inside.value)
        elif isinstance(node, (ast.Constant, ast.JoinedStr)):
            text = _text(node)
            if text.startswith("hint: ") and not text.startswith("hint: {"):
                yield node


def text_nodes(node: ast.AST) -> Iterator[Text]:
    """The texts in an expression that are shown: not the ones that are compared, looked up or joined with."""
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        text = _text(node)
        if " " in text.strip() or "=" in text or text.startswith("-"):
            yield node
        return
    if isinstance(node, ast.Compare):
        return
    if isinstance(node, ast.Call) and "hint" in _name(node.func).lower():
        return  # what it is given becomes a part of the hints that it returns
    if isinstance(node, ast.Subscript):
        yield from text_nodes(node.value)
        return
    if isinstance(node, ast.IfExp):
        yield from text_nodes(node.body)
        yield from text_nodes(node.orelse)
        return
    for child in ast.iter_child_nodes(node):
        yield from text_nodes(child)


def _text(node: Text) -> str:
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
