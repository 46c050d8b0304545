"""The page of error messages: each text in the source, with the kind of error and what the program says to do."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

from git_coderepo import errors
from tests.catalogue import shown
from tests.hints.extract import PACKAGE, text_nodes
from website.cures import CURES
from website.reference import page, table


class Message(NamedTuple):
    """A message as the source has it, with `<name>` where the program fills something in."""

    kind: str
    text: str
    hints: tuple[str, ...]


def messages() -> list[Message]:
    """Return the messages of the calls that make an error of `git_coderepo.errors`, each once for a kind of error."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for each in _messages(node):
                    found.setdefault((each.kind, each.text), {}).update(dict.fromkeys(each.hints))
    return [Message(kind, text, tuple(hints)) for (kind, text), hints in sorted(found.items())]


def _messages(call: ast.Call) -> Iterator[Message]:
    name = ast.unparse(call.func).rpartition(".")[2]
    kind = getattr(errors, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, errors.CodeRepoError)):
        return
    arguments = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "message")]
    hints = [node for each in call.keywords if each.arg == "hints" for node in text_nodes(each.value)]
    for argument in arguments:
        for node in text_nodes(argument):
            text = _filled(shown(node))
            if re.search(r"[a-z]{2}", text):
                yield Message(name, text, tuple(_filled(shown(each)) for each in hints))


def _filled(text: str) -> str:
    """Show placeholders as `<name>`, and a choice between two words as `one/two`."""
    text = re.sub(r"\{([\w…]*)\}", lambda found: f"<{found[1].strip('_')}>", text)
    return re.sub(r"\{([\w|… ]+)\}", lambda found: found[1].replace("|", "/"), text).replace("\n", " ").strip()


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def make() -> str:
    """Return the page, in a part for each kind of error."""
    found = messages()
    parts: list[str] = []
    kinds = dict.fromkeys(each.kind for each in found)
    for kind in sorted(kinds, key=lambda kind: (kind == errors.CodeRepoError.__name__, kind)):
        described = inspect.getdoc(getattr(errors, kind)) or ""
        status = getattr(errors, kind).exit_status
        cause = "Everything else." if kind == errors.CodeRepoError.__name__ else described.partition("\n\n")[0]
        parts += [
            f"## {kind}",
            "",
            f"Cause: {cause}",
            "",
            f"Cure: {CURES.get(kind, 'see the table.')}",
            "",
            f"Exit status: {status}.",
            "",
        ]
        rows = (
            (_code(each.text), "<br>".join(_code(hint) for hint in each.hints)) for each in found if each.kind == kind
        )
        parts += table(("message", "what the program says to do"), rows)
    return page(
        "# Messages",
        "After reading this page you can find out which kind of error a message belongs to, what causes it, and what "
        "the program suggests.",
        "```sh\ngit coderepo --verbose status\n```",
        "The list is made from the program's source. `<name>` stands for what the program fills in. Above each table "
        "stand the cause and the cure that its messages have in common; the title is the name of the Python exception. "
        "The table has what the program itself suggests; what you see on the terminal can have more, since other parts "
        "of the program add what they know. [Troubleshooting](../troubleshooting.md) explains the messages that people "
        "meet most.",
        parts,
    )
