"""`git coderepo help [TOPIC]`: the manual page, or one verb's help, wherever the package was installed from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import resources
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app


@app.command("help", cls=Verb)
def help_(topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="A verb.")] = None) -> None:
    """Show the manual page, or the help of one verb."""
    if topic is not None:
        raise typer.Exit(app(args=[topic, "--help"], prog_name="git coderepo", standalone_mode=False) or 0)
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
    """The manual page as roff: the one in the package, else (in a checkout) made anew."""
    packaged = resources.files("git_coderepo") / "man" / "git-coderepo.1"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    from git_coderepo.cli.manual import make

    return make()


def plain(roff: str) -> str:
    """The page without its markup, for a pipe or where there is no `man`."""
    lines = []
    for line in roff.splitlines():
        if line.startswith(".SH "):
            lines += ["", line[4:].strip('"')]
        elif line.startswith(".SS "):
            lines += ["", "  " + line[4:].strip('"')]
        elif line.startswith((".TP", ".PP")):
            lines.append("")
        elif line.startswith((".B ", ".I ")):
            lines.append("    " + _unmarked(line[3:]))
        elif not line.startswith(('.\\"', ".TH", ".nf", ".fi", ".RS", ".RE")):
            lines.append("    " + _unmarked(line))
    return "\n".join(lines).lstrip("\n") + "\n"


def _unmarked(text: str) -> str:
    for mark in ("\\fB", "\\fI", "\\fR", "\\fP", "\\&"):
        text = text.replace(mark, "")
    return text.replace("\\-", "-").replace("\\e", "\\").replace("\\(aq", "'")
