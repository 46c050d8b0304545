"""The page with all runs of a report: a chart of their durations, and a table that can be sorted and filtered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from git_coderepo.report.collect import ReportedRun, RunReport
from git_coderepo.report.diff_section import summary
from git_coderepo.report.elements import Html, code, element, joined, link, scrollable, shown
from git_coderepo.report.page import (
    GENERATOR,
    badge,
    command_of,
    counted,
    duration,
    footer,
    main,
    moment,
    page,
    seconds_of_run,
    share,
    state_class,
)

_HEADS = ("Run", "State", "Duration", "Started", "Commit", "Changes", "Command")
# Bars of the chart.
_MOST_BARS = 120
_MOST_COMMAND = 160
_BAR = 56


def overview_page(report: RunReport, short: Mapping[str, str]) -> str:
    """Return the page; `short` are the ids as they are shown."""
    title = f"Runs of {shown(report.name)}"
    states = Counter(each.recorded.state for each in report.runs)
    # The state of a run may be any signal or status: the most frequent come first.
    counts = [element("li", badge(state), f" {number:,}") for state, number in states.most_common()]
    notice = f"{counted(report.left_out, 'older run')} not shown. " if report.left_out else ""
    compare = element("p", link("compare.html", "Compare the two runs")) if report.comparison is not None else ""
    body = joined([
        element("header", element("h1", title), element("p", counted(len(report.runs), "run"), ". ", notice)),
        main(
            compare,
            element("ul", *counts, class_="counts", aria_label="Runs by state"),
            _chart(report.runs),
            _filter(list(states)),
            _table(report.runs, short) if report.runs else element("p", "No runs are recorded."),
        ),
        footer(),
    ])  # fmt: skip
    return page(title, body, generator=GENERATOR)


def _longest(runs: Sequence[ReportedRun]) -> float:
    return max((seconds_of_run(each.recorded) or 0 for each in runs), default=0)


def _chart(runs: Sequence[ReportedRun]) -> Html:
    """Return bars for the durations of the newest runs, oldest first; nothing for a single run."""
    newest = list(reversed(runs[:_MOST_BARS]))
    longest = _longest(newest)
    if len(newest) < 2 or not longest:
        return Html("")
    bars = []
    for at, each in enumerate(newest):
        height = 3 + 45 * share(seconds_of_run(each.recorded) or 0, longest)
        bars.append(
            element("rect", x=f"{at * 8}", y=f"{48 - height:.0f}", width="6", height=f"{height:.0f}",
                    class_=state_class(each.recorded.state))
        )  # fmt: skip
    label = f"Durations of the {len(newest)} newest runs, oldest first"
    drawing = element("svg", joined(bars), viewBox=f"0 0 {len(newest) * 8} 48", width=f"{len(newest) * 8}", height="48",
                      role="img", aria_label=f"{label}; the longest took {duration(longest)}")  # fmt: skip
    caption = element("figcaption", f"{label}. The longest took {duration(longest)}.")
    return element("figure", drawing, caption)


def _filter(states: Sequence[str]) -> Html:
    """Return the form that the script shows: without it there is nothing to filter with."""
    options = [element("option", "any", value=""), *(element("option", each) for each in sorted(states))]
    return element(
        "form",
        element("label", "Filter ", element("input", type="search", id="words", autocomplete="off")),
        element("label", "State ", element("select", *options, id="state")),
        element("p", role="status", id="count"),
        id="filter",
        hidden=True,
        role="search",
    )


def _table(runs: Sequence[ReportedRun], short: Mapping[str, str]) -> Html:
    longest = _longest(runs)
    heads = element("tr", *(element("th", each, scope="col") for each in _HEADS))
    whole = element(
        "table",
        element("caption", "Recorded runs, newest first", class_="unseen"),
        element("thead", heads),
        element("tbody", joined(_row(each, short[each.id], longest) for each in runs)),
        id="runs",
    )
    return scrollable("Recorded runs", whole)


def _row(each: ReportedRun, short: str, longest: float) -> Html:
    run, head = each.manifest.run, each.manifest.code.head
    page_of_run = link(f"runs/{each.id}.html", run.name if run.name is not None else code(short))
    seconds = seconds_of_run(each.recorded)
    command = shown(command_of(each.recorded))
    if len(command) > _MOST_COMMAND:
        command = command[: _MOST_COMMAND - 1] + "\u2026"
    return element(
        "tr",
        element("th", page_of_run, joined([" ", code(short)]) if run.name is not None else "", scope="row"),
        element("td", badge(each.recorded.state)),
        element("td", _bar(seconds, longest), data_v="-1" if seconds is None else f"{seconds:.0f}"),
        element("td", moment(run.created_on)),
        element("td", code(head.commit.hex[:8]) if head is not None else "none", _notes(each)),
        element("td", summary(each.changes)),
        element("td", code(command) if command else ""),
    )


def _bar(seconds: float | None, longest: float) -> Html:
    if seconds is None:
        return Html("")
    width = f"{max(_BAR * share(seconds, longest), 1):.0f}"
    bar = element("svg", element("rect", width=width, height="8"), width=f"{_BAR}", height="8", class_="bar",
                  aria_hidden="true")  # fmt: skip
    return joined([bar, duration(seconds)])


def _notes(each: ReportedRun) -> Html:
    """Return what distinguishes the code from the commit, and the run from a reproducible one."""
    notes = []
    if each.manifest.code.dirty:
        notes.append("dirty")
    if each.manifest.code.obstacles:
        notes.append("not reproducible")
    if each.recorded.result is not None and each.recorded.result.edited:
        notes.append("edited while it ran")
    return element("small", " " + ", ".join(notes)) if notes else Html("")
