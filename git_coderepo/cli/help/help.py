"""`git coderepo help [TOPIC]`: show a manual page, or a section of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from importlib import resources
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.help.manual_text import TOPICS
from git_coderepo.cli.table import VERBS
from git_coderepo.errors import UsageError
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.similar import closest


@app.command("help", cls=Verb)
def help_(
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help=f"A command, or one of: {', '.join(TOPICS)}.")
    ] = None,
) -> None:
    """Show the manual page of the program or a command, or a topic."""
    page = page_of(topic)
    man = shutil.which("man")
    if man is None or not sys.stdout.isatty():
        output.data(plain(page))
        return
    with scratch_directory() as place:
        path = os.path.join(place, f"git-coderepo{f'-{topic}' if topic else ''}.1")
        with open(path, "w", encoding="utf-8") as file:
            file.write(page)
        subprocess.run([man, path], check=False)


def page_of(topic: str | None) -> str:
    """Return the page of the program, of a command or of a topic as roff. Raises UsageError for any other word."""
    if topic is None:
        return _manual_page("git-coderepo.1")
    if topic in VERBS:
        return _manual_page(f"git-coderepo-{topic}.1")
    if topic in TOPICS:
        return _sections(_manual_page("git-coderepo.1"), TOPICS[topic])
    similar = closest(topic, [*VERBS, *TOPICS])
    hints = [f"git coderepo help {similar[0]}"] if similar else ["git coderepo help -h"]
    raise UsageError(f"no help for '{topic}'", hints=hints)


def _sections(page: str, titles: tuple[str, ...]) -> str:
    """Return a page with its title and only these sections."""
    title, *sections = re.split(r"(?m)^(?=\.SH )", page)
    chosen = [each for each in sections if each.partition("\n")[0].removeprefix(".SH ").strip('"') in titles]
    return title + "".join(chosen)


def _manual_page(name: str) -> str:
    """Return a manual page as roff: from the package, or generated if this is a checkout."""
    packaged = resources.files("git_coderepo") / "man" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    from git_coderepo.cli.help.manual import pages

    return pages()[name]


def plain(roff: str) -> str:
    """Return the page as plain text, for a pipe or without `man`. It knows the macros that `manual.py` uses."""
    shown: list[str] = []
    paragraph: list[str] = []
    indent, is_term, is_filled = 4, False, True

    def flush() -> None:
        shown.extend(
            textwrap.wrap(
                " ".join(paragraph),
                79,
                initial_indent=" " * indent,
                subsequent_indent=" " * indent,
                break_on_hyphens=False,
            )
        )
        paragraph.clear()

    for line in roff.splitlines():
        macro, _, words = line.partition(" ")
        if line.startswith("."):
            flush()
        if macro in (".SH", ".SS"):
            shown += ["", ("" if macro == ".SH" else "  ") + _unmarked(words.strip('"'))]
            indent = 4
        elif macro in (".PP", ".TP"):
            shown.append("")
            indent, is_term = 4, macro == ".TP"
        elif macro in (".nf", ".fi"):
            is_filled = macro == ".fi"
        elif not line.startswith("."):
            if is_term or not is_filled:
                shown.append(" " * indent + _unmarked(line))
                indent, is_term = (8 if is_term else indent), False
            else:
                paragraph.append(_unmarked(line))
    flush()
    text = "\n".join(shown).lstrip("\n") + "\n"
    return re.sub("\n{3,}", "\n\n", text)


_MARKS = {
    "\\fB": "",
    "\\fR": "",
    "\\&": "",
    "\\-": "-",
    "\\(aq": "'",
    "\\(dq": '"',
    "\\(ti": "~",
    "\\(ha": "^",
    "\\e": "\\",
}


def _unmarked(text: str) -> str:
    return re.sub(r"\\(?:f[BR]|\(..|.)", lambda found: _MARKS[found[0]], text)
