"""`git coderepo doctor`: find what is wrong with this machine and this checkout, and fix it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app
from git_coderepo.cli.colour import Palette
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.cli.progress import waiting_shown
from git_coderepo.doctor.bug_report import bug_report
from git_coderepo.doctor.examine import Checked, Repair, examine, repair
from git_coderepo.doctor.finding import NOTE, OK, PROBLEM
from git_coderepo.errors import CodeRepoError, UsageError
from git_coderepo.git.process import Git
from git_coderepo.plural import count
from git_coderepo.settings import Settings
from git_coderepo.trace import redact

_COLOURS = {OK: "green", NOTE: "yellow", PROBLEM: "red"}


@app.command(cls=Verb)
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Apply the fixes that are safe, and check again.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not use the network.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Print versions and findings for a bug report, without names and secrets.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for each answer.")
    ] = 10,
    as_json: Json = None,
) -> None:
    """Find what is wrong with this machine and this checkout.

    Each finding is ok, a note or a problem; a problem is followed by the command that fixes it. Outside a checkout only
    the machine is checked. With --fix, the configuration of this checkout, hooks and the permissions of the cache can
    change; your files, the index and HEAD never do. Exits with 1 if there are problems.
    """
    if timeout <= 0:
        raise UsageError("--timeout requires a positive number of seconds")
    if report and as_json:
        raise UsageError("--report and --json are mutually exclusive")
    with waiting_shown("checking this machine" if offline else "checking this machine, and asking the servers"):
        findings = examine(timeout, offline=offline)
        repairs = repair(findings) if fix else []
        if repairs:
            findings = examine(timeout, offline=offline)
    if report:
        for text in bug_report(findings, os.environ, timeout):
            output.line(text)
    elif as_json:
        document: dict[str, object] = {"checks": [each.document() for each in findings]}
        fixed = {"fixed": [each.document() for each in repairs]} if fix else {}
        print_json({**document, **fixed}, as_json)
    else:
        palette = _palette()
        show_repairs(repairs, palette)
        show(findings, palette)
    if any(each.finding.state == PROBLEM for each in findings):
        raise typer.Exit(1)


def show(findings: Sequence[Checked], palette: Palette) -> None:
    """Print a line for each finding, below a problem or a note its fix, and at the end their numbers."""
    width = max((len(each.name) for each in findings), default=0)
    for name, finding in findings:
        _print(f"{palette.paint(_COLOURS[finding.state], f'{finding.state:<7}')}  {name:<{width}} ", finding.detail)
        if finding.fix is not None:
            word = "fix:" if finding.state == PROBLEM else "try:"
            _print(f"{'':7}  {'':<{width}}  {palette.paint('dim', word)}", finding.fix.line)
    numbers = {state: sum(each.finding.state == state for each in findings) for state in (PROBLEM, NOTE)}
    output.line()
    output.line(", ".join(count(number, state) for state, number in numbers.items()))


def show_repairs(repairs: Sequence[Repair], palette: Palette) -> None:
    """Print what was fixed and what could not be fixed."""
    for each in repairs:
        if each.problem is None:
            _print(palette.paint("green", f"{'fixed':<10}"), f"{each.name}: {each.line}")
        else:
            _print(palette.paint("red", "not fixed "), f"{each.name}: {each.problem.message}")
    if repairs:
        output.line()


def _print(painted: str, text: str) -> None:
    """Print a line whose first part has colours already."""
    output.data(f"{painted} {output.clean(redact(text))}\n")


def _palette() -> Palette:
    try:
        return Palette.of(Settings.read(Git()))
    except CodeRepoError:
        return Palette(False)  # git, or its configuration, is what is broken
