"""Turn a report into its files: the overview, a page for each run, the comparison, style and script."""

from __future__ import annotations

import pkgutil

from git_coderepo.report.collect import ReportedRun, RunReport
from git_coderepo.report.comparison_page import comparison_page
from git_coderepo.report.directory import COMPARISON, INDEX, RUNS
from git_coderepo.report.family_graph import Family
from git_coderepo.report.overview_page import overview_page
from git_coderepo.report.run_page import Neighbours, Shown, run_page
from git_coderepo.runs.history import abbreviated

# Lines of a diff that are written again on the page of every run with the same code, instead of a link.
_REPEATED_LINES = 40


def files_of(report: RunReport) -> dict[str, bytes]:
    """Return the contents of each file by its path in the directory of the report."""
    ids = [each.id for each in report.runs]
    relatives = {**report.relatives, **{each.id: each.recorded for each in report.runs}}
    shared = Shown({each.id: each for each in report.runs}, abbreviated(ids), Family.of(relatives))
    pages = {INDEX: overview_page(report, shared.short)}
    for at, each in enumerate(report.runs):
        neighbours = Neighbours(ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None)
        has_diff = each.same_code is None or _is_short(each)
        pages[f"{RUNS}/{each.id}.html"] = run_page(each, neighbours, shared, has_diff=has_diff)
    if report.comparison is not None:
        pages[COMPARISON] = comparison_page(report.comparison, shared.short)
    files = {path: page.encode() for path, page in pages.items()}
    for name in ("report.css", "report.js"):
        files[name] = pkgutil.get_data(__package__, name) or b""
    return files


def _is_short(each: ReportedRun) -> bool:
    patches = [part.patch for part in each.changes if part.patch is not None]
    return sum(len(file.lines) + 2 for patch in patches for file in patch.files) <= _REPEATED_LINES
