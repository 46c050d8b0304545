"""The page that compares two runs: facts side by side, and the diff of their code."""

from __future__ import annotations

from collections.abc import Mapping

from git_coderepo.report.collect import Comparison, ReportedRun
from git_coderepo.report.diff_section import diff_section
from git_coderepo.report.elements import Html, code, element, joined, link, scrollable
from git_coderepo.report.page import (
    badge,
    duration,
    footer,
    main,
    moment,
    page,
    seconds_of_run,
    section,
)
from git_coderepo.report.run_page import code_facts, environment_facts, run_facts
from git_coderepo.snapshots.size_limits import shown_size

# Facts that differ between any two runs.
_OF_ONE_RUN = ("Id", "Name", "Manifest", "Digest")


def comparison_page(comparison: Comparison, short: Mapping[str, str]) -> str:
    """Return the page; `short` are the ids as they are shown."""
    old, new = comparison.old, comparison.new
    title = f"Compare {short[old.id]} and {short[new.id]}"
    body = joined([
        element("header", element("nav", link("index.html", "All runs"), aria_label="Report"), element("h1", title)),
        main(
            section("facts", "Facts", _table(old, new, short)),
            section("diff", "Differences in the code", diff_section(comparison.changes, same="The code is the same.")),
        ),
        footer(),
    ])  # fmt: skip
    return page(title, body)


def _table(old: ReportedRun, new: ReportedRun, short: Mapping[str, str]) -> Html:
    heads = [_head(each, short[each.id]) for each in (old, new)]
    sides = [_facts(each) for each in (old, new)]
    rows = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = (side.get(name, Html("")) for side in sides)
        differs = before != after
        rows.append(
            element(
                "tr",
                element("th", name, scope="row"),
                element("td", before),
                element("td", after),
                element("td", "differs" if differs else "same"),
                class_="differs" if differs else None,
            )
        )
    names = joined(element("th", each, scope="col") for each in ("Fact", *heads, "Compared"))
    whole = element(
        "table",
        element("caption", "Facts of both runs", class_="unseen"),
        element("thead", element("tr", names)),
        element("tbody", joined(rows)),
        class_="facts",
    )
    return scrollable("Facts of both runs", whole)


def _head(each: ReportedRun, short: str) -> Html:
    """Return the id of a run, and its name in a second line."""
    name = each.manifest.run.name
    return joined([link(f"runs/{each.id}.html", short), element("small", " ", name) if name is not None else ""])


def _facts(each: ReportedRun) -> dict[str, Html]:
    """Return the facts of a run by name; several values of a name stand in several lines."""
    seconds = seconds_of_run(each.recorded)
    rows = [
        ("State", badge(each.recorded.state)),
        ("Started", moment(each.manifest.run.created_on)),
        ("Duration", Html(duration(seconds)) if seconds is not None else Html("")),
        *(fact for fact in run_facts(each) if fact[0] not in _OF_ONE_RUN),
        *code_facts(each),
        *environment_facts(each),
    ]
    result = each.recorded.result
    if result is not None:
        rows += [
            ("Output", joined([code(out.path), f", {shown_size(out.size)}, sha256 ", code(out.sha256)]))
            for out in result.outputs
        ]
        rows += [("Edited", code(path)) for path in result.edited]
    found: dict[str, Html] = {}
    for name, value in rows:
        found[name] = value if name not in found else Html(f"{found[name]}{element('br')}{value}")
    return found
