"""Read the base images of a Dockerfile, and the files that it copies.

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
    """An instruction: its `line` from 1, its `word` in upper case, and the `rest` with continuation lines joined."""

    line: int
    word: str
    rest: str


class Base(NamedTuple):
    """A base image: `written` after FROM, and `image` with defaults of build arguments, None if one has no default."""

    line: int
    written: str
    image: str | None


def instructions(data: bytes) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile (UTF-8) in their order, those after ONBUILD like the others."""
    text = data.decode("utf-8", "replace")
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", text) else "\\"
    start, continued, ends = 0, "", list[str]()
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
            continued += bare[:-1] + " "
            continue
        whole, at = continued + bare, start
        continued, start = "", 0
        word, _, rest = whole.partition(" ")
        if word.upper() == "ONBUILD":
            word, _, rest = rest.strip().partition(" ")
        if word.upper() in ("RUN", "COPY", "ADD"):
            ends = [delimiter for _, delimiter in _HEREDOC.findall(rest)]
        yield Instruction(at, word.upper(), rest.strip())


def bases(data: bytes) -> list[Base]:
    """Return the base images of the stages, without stages that are the base of another one."""
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    images: list[Base] = []
    for each in instructions(data):
        if each.word == "ARG" and not images:
            name, equals, value = each.rest.partition("=")
            if equals:
                arguments[name] = value.strip("\"'")
        if each.word != "FROM":
            continue
        words = [word for word in each.rest.split() if not word.startswith("--")]
        if not words:
            continue
        if words[0].lower() not in stages:
            images.append(Base(each.line, words[0], _with_defaults(words[0], arguments)))
        if len(words) == 3 and words[1].upper() == "AS":
            stages.add(words[2].lower())
    return images


def copied(instruction: Instruction) -> list[str]:
    """Return what COPY or ADD copies from the build context, as written, without other stages, URLs and heredocs."""
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


def _with_defaults(image: str, arguments: dict[str, str]) -> str | None:
    """Return an image with the defaults of its build arguments; None if an argument has no default."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        default = arguments.get(match[1] or match[2]) or match[3]
        missing = missing or not default
        return default or ""

    filled = _VARIABLE.sub(value, image)
    return None if missing else filled
