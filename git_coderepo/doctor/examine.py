"""Run all checks, and apply the fixes that are safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from git_coderepo.doctor.answers import Known, ask
from git_coderepo.doctor.bounded import gather, within
from git_coderepo.doctor.checks import CHECKS, Check
from git_coderepo.doctor.finding import PROBLEM, CheckResult, from_error
from git_coderepo.doctor.place import look
from git_coderepo.errors import CodeRepoError
from git_coderepo.git.process import Git
from git_coderepo.trace import redact

# What to type where a check failed itself.
_AGAIN = "git coderepo -v doctor"


class Checked(NamedTuple):
    """A finding, and the name of its check."""

    name: str
    finding: CheckResult

    def document(self) -> dict[str, object]:
        """Return plain values."""
        state, detail, fix = self.finding
        line = None if fix is None else redact(fix.line)
        return {"name": self.name, "state": state, "detail": redact(detail), "fix": line}


class Repair(NamedTuple):
    """A fix that was applied to a checked problem; `problem` is why it failed, or None."""

    name: str
    line: str
    problem: CodeRepoError | None

    def document(self) -> dict[str, object]:
        """Return plain values."""
        return {"name": self.name, "fix": self.line, "error": None if self.problem is None else self.problem.message}


def examine(seconds: float, *, offline: bool) -> list[Checked]:
    """Run the checks in the current directory, and return their findings in the order of the table.

    `seconds` is the time limit of each question and of each check; a check that fails is a problem of its own.
    """
    try:
        # Several commands, each with the limit.
        place = within(4 * seconds, partial(look, Git(), seconds))
        answers = ask(place, seconds, offline=offline)
    except CodeRepoError as error:
        return [Checked("checkout", from_error(error, otherwise=_AGAIN))]
    known = Known(place, answers, time.time())
    results = gather({check: partial(_run, check, known) for check in CHECKS}, 2 * seconds)
    return [Checked(check.name, finding) for check, result in results.items() for finding in _findings(result)]


def _findings(result: list[CheckResult] | CodeRepoError) -> Iterable[CheckResult]:
    return [from_error(result, otherwise=_AGAIN)] if isinstance(result, CodeRepoError) else result


def _run(check: Check, known: Known) -> list[CheckResult]:
    return list(check.function(known))


def repair(findings: Sequence[Checked]) -> list[Repair]:
    """Apply the fix of each problem for which that is safe and local, and return what was done."""
    return [
        Repair(name, finding.fix.line, _applied(finding.fix.apply))
        for name, finding in findings
        if finding.state == PROBLEM and finding.fix is not None and finding.fix.apply is not None
    ]


def _applied(apply: Callable[[], object]) -> CodeRepoError | None:
    try:
        apply()
    except CodeRepoError as error:
        return error
    except OSError as error:
        return CodeRepoError((error.strerror or str(error)).lower())
    return None
