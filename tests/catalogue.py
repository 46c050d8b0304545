"""Every text that the program shows to a person, in one file: `tests/catalogue.txt`.

    python -m tests.catalogue           write the file
    python -m tests.catalogue --where   print each text with its kind and the module that has it

The texts are read from the source, and the help from the command line itself. `{name}` stands where the program fills
something in, `{a|b}` for one of two words. The file names no modules and is sorted by text, so that moving a module
leaves it as it is. The manual is not in it: `man/git-coderepo.1` is committed as well.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.hints.extract import PACKAGE, PROJECT, hint_nodes, text_nodes

FILE = Path(__file__).with_suffix(".txt")

HEADING = """\
Every text that the program shows to a person. `python -m tests.catalogue` writes this file; with --where it prints the
module of each text. {name} is filled in, {a|b} is one of the two. Among the parts of messages are also words of git's
that the program looks for.
"""

# In the order of the file.
KINDS = {
    "errors": "errors: what stands after 'fatal: ' or 'error: '",
    "warnings": "warnings: what stands after 'warning: '",
    "hints": "hints: what stands after 'hint: '",
    "notices": "notices and answers: lines for people, on standard error or standard output",
    "parts": "parts of messages: reasons, remarks, words that are put together, keys of tables",
    "verbs": "verbs: the help of each, and of its arguments and options",
    "platforms": "platforms: the options of each, and other texts that describe them",
    "hooks": "scripts of hooks: what they print",
}

_MARKS = (("fatal: ", "errors"), ("error: ", "errors"), ("warning: ", "warnings"), ("hint: ", "hints"))
_WARNS = frozenset(("warn", "warn_afterwards", "warning"))
_SAYS = frozenset(("say", "notify", "say_if_possible", "line", "ask", "table"))
# Their texts are the manual's and the completion scripts', which are files of their own.
_NOT_MESSAGES = ("manual.py", "manual_text.py", "completion.py")


class Text(NamedTuple):
    """`module` is a path in the package, or the words of a verb."""

    kind: str
    text: str
    module: str


@cache
def catalogue() -> tuple[Text, ...]:
    """Return every text, by kind and text; each once for a module."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    errors = _error_classes(trees.values())
    found: set[Text] = set()
    for path, tree in trees.items():
        if path.name not in _NOT_MESSAGES:
            module = path.relative_to(PACKAGE).as_posix()
            found.update(Text(kind, text, module) for kind, text in _of_module(tree, errors))
    found.update(_of_verbs())
    found.update(_of_hooks())
    order = list(KINDS)
    by_kind = sorted(found, key=lambda each: (order.index(each.kind), each.text.casefold(), each.text, each.module))
    return tuple(by_kind)


def written() -> str:
    """Return what the file holds."""
    lines = [HEADING]
    texts = catalogue()
    for kind, title in KINDS.items():
        lines += [f"== {title}", *dict.fromkeys(each.text for each in texts if each.kind == kind), ""]
    return "\n".join(lines)


# --- the source ---------------------------------------------------------------------------------


def _of_module(tree: ast.Module, errors: set[str]) -> Iterator[tuple[str, str]]:
    kinds: dict[ast.AST, str] = {}
    for hint in hint_nodes(tree):
        kinds[hint] = "hints"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            kind, texts = _spoken(node, errors)
            for each in texts:
                for inside in text_nodes(each):
                    kinds.setdefault(inside, kind)
    passed_over = set(_not_shown(tree))
    for node in _outer_texts(tree):
        text = shown(node)
        kind = kinds.get(node, "")
        if node in passed_over or kind == "verbs" or (not kind and not _is_prose(text)):
            continue
        for word, named in _MARKS:
            if text.startswith(word):
                text, kind = text.removeprefix(word), named
        if re.search(r"[^\W\d_]{2}", re.sub(r"\{[^{}|]*\}", "", text)):
            yield kind or "parts", text.strip().replace("\n", "\\n")


def _spoken(call: ast.Call, errors: set[str]) -> tuple[str, list[ast.expr]]:
    """What a call does with its texts."""
    function = call.func
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    is_super = isinstance(function, ast.Attribute) and name == "__init__" and ast.unparse(function.value) == "super()"
    first = list(call.args[:1])
    if name in errors or is_super:
        return "errors", first + [each.value for each in call.keywords if each.arg == "message"]
    name = name.removeprefix("_")
    if name in _WARNS:
        return "warnings", first
    if name in _SAYS:
        return "notices", first
    if name == "Option" and isinstance(function, ast.Name):
        return "platforms", call.args[1:2] + [each.value for each in call.keywords if each.arg == "help"]
    if name in ("Option", "Argument", "Typer", "Verb"):
        return "verbs", [*call.args, *(each.value for each in call.keywords)]
    return "", []


def _error_classes(trees: Iterable[ast.Module]) -> set[str]:
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"CodeRepoError"}
    while new := {name for name, parents in bases.items() if parents & found} - found:
        found |= new
    return found


def _not_shown(tree: ast.Module) -> Iterator[ast.AST]:
    """Docstrings, annotations, texts that are compared or looked up, and what only a programmer reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        elif isinstance(node, (ast.Compare, ast.Assert)):
            yield from ast.walk(node)
        elif isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation is not None:
            yield from ast.walk(node.annotation)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _PROGRAMMERS:
            yield from ast.walk(node)


_PROGRAMMERS = frozenset((
    "compile", "removeprefix", "removesuffix", "startswith", "endswith", "split", "partition", "rpartition", "cast",
    "AttributeError", "NotImplementedError", "RuntimeError", "AssertionError", "TypeVar", "strftime", "strptime",
))  # fmt: skip


def _outer_texts(node: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Every text; the parts of an f-string belong to it, what its expressions hold (as calls do) stands for itself."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.JoinedStr):
            yield child
            for part in child.values:
                if isinstance(part, ast.FormattedValue) and not _is_choice(part.value):
                    yield from _outer_texts(part)
        elif isinstance(child, ast.Constant):
            if isinstance(child.value, str):
                yield child
        else:
            yield from _outer_texts(child)


def _is_prose(text: str) -> bool:
    """Whether a text that nothing is known of looks like words for a person: several, and no code."""
    bare = re.sub(r"\{[^{}]*\}", "x", text)
    words = re.findall(r"(?<![\w/.-])[A-Za-z][a-z']+(?![\w/])", bare)
    return (
        len(words) >= 2
        and " " in bare.strip()
        and not re.search(r"\\|\(\?|^[\[(<]|::|\bself\b|^(SELECT|DELETE|CREATE|INSERT|UPDATE) |^id IN ", bare)
    )


def shown(node: ast.Constant | ast.JoinedStr) -> str:
    """A text as the catalogue has it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(
        "{" + _filled(part.value) + "}" if isinstance(part, ast.FormattedValue) else str(part.value)
        for part in node.values
        if isinstance(part, (ast.FormattedValue, ast.Constant))
    )


def _is_choice(node: ast.expr) -> bool:
    return isinstance(node, ast.IfExp) and all(isinstance(each, ast.Constant) for each in (node.body, node.orelse))


def _filled(node: ast.expr) -> str:
    """A short name for an expression: of `os.fsdecode(each.path)` it is `path`."""
    if isinstance(node, ast.IfExp) and _is_choice(node):
        return f"{_filled(node.body)}|{_filled(node.orelse)}"
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Attribute):
        return node.attr if node.attr != "__name__" else "type"
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Call):
        if node.args and not isinstance(node.args[0], ast.Constant):
            return _filled(node.args[0])
        return _filled(node.func.value if isinstance(node.func, ast.Attribute) else node.func)
    inner = {
        ast.Subscript: "value", ast.IfExp: "body", ast.BinOp: "left", ast.GeneratorExp: "elt", ast.ListComp: "elt",
        ast.Starred: "value", ast.NamedExpr: "value",
    }.get(type(node))  # fmt: skip
    return _filled(getattr(node, inner)) if inner is not None else "…"


# --- the command line and the hooks -------------------------------------------------------------


def _of_verbs() -> Iterator[Text]:
    from git_coderepo.cli.help import introspection

    for parameter in introspection.program_options():
        yield Text("verbs", f"  {' '.join(parameter.flags)}: {_one_line(parameter.help)}".strip(), "")
    for verb in introspection.verbs():
        words = " ".join(verb.words)
        yield Text("verbs", f"{words}: {_one_line(verb.help)}", words)
        for parameter in verb.parameters:
            name = " ".join([*parameter.flags, *([parameter.metavar] if parameter.metavar else [])])
            yield Text("verbs", f"{words} {name}: {_one_line(parameter.help)}", words)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _of_hooks() -> Iterator[Text]:
    for path in sorted((PROJECT / "hooks").iterdir()):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith(("echo ", "printf ")):
                yield Text("hooks", line.strip(), path.name)


def main(arguments: list[str], write: Callable[[str], object] = sys.stdout.write) -> int:
    if "--where" in arguments:
        for each in catalogue():
            write(f"{each.kind}\t{each.module}\t{each.text}\n")
        return 0
    FILE.write_text(written(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
