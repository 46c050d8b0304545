"""The `console` blocks of the documentation, executed page by page.

A block in the language `console` shows commands after `$ ` and what they print. All blocks of a page run one after the
other in one shell, which starts in an empty home directory. A block in the language `sh` has commands to copy that need
a network, an account or another program; it is not executed, but the tests check that its verbs and options exist.

    python -m website.console_blocks            fail if an output is no longer true, and show the difference
    python -m website.console_blocks --write    write today's outputs into the pages
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from website.sandbox import Sandbox

PROJECT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?ms)^( *)```console\n(.*?)^\1```$")
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|-[0-9a-f]{4})?\b"), "RUN-ID"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( ?[+-]\d\d:?\d\d|Z)?"), "TIME"),
    (re.compile(r"\b\d{4}-\d\d/"), "MONTH/"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "DURATION"),
    (re.compile(r"\b\d+(\.\d+)? (bytes|KiB|MiB)\b"), "SIZE"),
    (re.compile(r"\b\d+\.\d+\.\d+\b"), "VERSION"),
)


class Step(NamedTuple):
    """A command of a page, and what the page says it prints."""

    command: str
    printed: str


class Executed(NamedTuple):
    """The text of a page with the outputs of today, and the exit status of each command."""

    text: str
    statuses: dict[str, int]


def pages() -> list[Path]:
    """Return the pages that have console blocks."""
    return [path for path in sorted((PROJECT / "docs").rglob("*.md")) if _BLOCK.search(path.read_text("utf-8"))]


def steps(block: str) -> Iterator[Step]:
    """Return the commands of a block; a command goes on in lines that begin with `> `."""
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, _, printed = part.partition("\n")
        while printed.startswith("> "):
            line, _, printed = printed.partition("\n")
            command += "\n" + line[2:]
        yield Step(command, printed)


def normalised(text: str) -> str:
    """Return an output without what differs from one execution to the next: ids, times, durations, sizes, versions."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


def execute(text: str, directory: Path) -> Executed:
    """Run a page's blocks; an output that is still true keeps the ids and times that the page shows."""
    sandbox = Sandbox(directory / "home")
    statuses = {}

    def run(match: re.Match[str]) -> str:
        indent, block = match.groups()
        lines = []
        for step in steps(re.sub(f"(?m)^{indent}", "", block)):
            done = sandbox.run(step.command)
            statuses[step.command] = done.status
            same = normalised(done.text) == normalised(step.printed)
            lines += ["$ " + step.command.replace("\n", "\n> "), *(step.printed if same else done.text).splitlines()]
        return "\n".join(indent + line if line else "" for line in ["```console", *lines, "```"])

    return Executed(_BLOCK.sub(run, text), statuses)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m website.console_blocks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write today's outputs into the pages")
    arguments = parser.parse_args()
    changed = False
    for page in pages():
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as directory:
            executed = execute(text, Path(directory))
        if executed.text == text:
            continue
        changed = True
        name = page.relative_to(PROJECT).as_posix()
        before, after = text.splitlines(True), executed.text.splitlines(True)
        sys.stdout.writelines(difflib.unified_diff(before, after, name, name))
        if arguments.write:
            page.write_text(executed.text, encoding="utf-8")
    return 1 if changed and not arguments.write else 0


if __name__ == "__main__":
    sys.exit(main())
