"""`git coderepo help [TOPIC]`: show the manual page or the help of a command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from importlib import resources
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app, run


@app.command("help", cls=Verb)
def help_(
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="A command of git coderepo.")] = None,
) -> None:
    """Show the manual page, or the help of one command."""
    if topic is not None:
        raise typer.Exit(run([topic, "--help"]))
    page = manual_page()
    man = shutil.which("man")
    if man is None or not sys.stdout.isatty():
        output.data(plain(page))
        return
    with resources.as_file(resources.files("git_coderepo") / "man" / "git-coderepo.1") as path:
        if path.exists():
            subprocess.run([man, str(path)], check=False)
            return
    output.data(plain(page))


def manual_page() -> str:
    """Return the manual page as roff: from the package, or generated if this is a checkout."""
    packaged = resources.files("git_coderepo") / "man" / "git-coderepo.1"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    from git_coderepo.cli.help.manual import make

    return make()


def plain(roff: str) -> str:
    """Return the page as plain text, for a pipe or without `man`. It knows the macros that `manual.py` uses."""
    shown: list[str] = []
    paragraph: list[str] = []
    indent, is_term, is_filled = 4, False, True

    def flush() -> None:
        shown.extend(
            textwrap.wrap(" ".join(paragraph), 79, initial_indent=" " * indent, subsequent_indent=" " * indent)
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
