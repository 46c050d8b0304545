"""As much of a Dockerfile as tells what an image is built on and what is put into it.

Format: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEREDOC = re.compile(r"<<-?\s*([\"']?)(\w+)\1")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})")


class Instruction(NamedTuple):
    """`line` counts from 1, `word` is in upper case, `rest` as written, lines that are carried on joined."""

    line: int
    word: str
    rest: str


class Base(NamedTuple):
    """A base image: `written` as it stands after FROM, `image` with the defaults of build arguments, None without."""

    line: int
    written: str
    image: str | None


def instructions(data: bytes) -> Iterator[Instruction]:
    """The instructions in their order; those behind ONBUILD like the others."""
    text = data.decode("utf-8", "replace")
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", text) else "\\"
    start, carried, ends = 0, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        start = start or number
        if bare.endswith(escape):
            carried += bare[:-1] + " "
            continue
        whole, at = carried + bare, start
        carried, start = "", 0
        word, _, rest = whole.partition(" ")
        if word.upper() == "ONBUILD":
            word, _, rest = rest.strip().partition(" ")
        if word.upper() in ("RUN", "COPY", "ADD"):
            ends = [found[1] for found in _HEREDOC.findall(rest)]
        yield Instruction(at, word.upper(), rest.strip())


def bases(data: bytes) -> list[Base]:
    """What the stages are built on, stages that are built on one another apart."""
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    found: list[Base] = []
    for each in instructions(data):
        if each.word == "ARG" and not found:
            name, equals, value = each.rest.partition("=")
            if equals:
                arguments[name] = value.strip("\"'")
        if each.word != "FROM":
            continue
        words = [word for word in each.rest.split() if not word.startswith("--")]
        if not words:
            continue
        if words[0].lower() not in stages:
            found.append(Base(each.line, words[0], _filled_in(words[0], arguments)))
        if len(words) == 3 and words[1].upper() == "AS":
            stages.add(words[2].lower())
    return found


def copied(instruction: Instruction) -> list[str]:
    """What COPY and ADD take from the build context, as written: nothing of other stages, URLs and heredocs."""
    if instruction.word not in ("COPY", "ADD"):
        return []
    rest, flags = instruction.rest, []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.lstrip()
    if any(flag.startswith("--from=") for flag in flags):
        return []
    try:
        words = json.loads(rest) if rest.startswith("[") else shlex.split(rest)
    except (ValueError, RecursionError):
        words = rest.split()
    sources = [word for word in words[:-1] if isinstance(word, str)]
    return [word for word in sources if not word.startswith("<<") and "://" not in word and not word.startswith("git@")]


def _filled_in(image: str, arguments: dict[str, str]) -> str | None:
    """The image with the defaults of its build arguments in their places; None where one has none."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        found = arguments.get(match[1] or match[2]) or match[3]
        missing = missing or not found
        return found or ""

    filled = _VARIABLE.sub(value, image)
    return None if missing else filled
