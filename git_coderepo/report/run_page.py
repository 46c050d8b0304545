"""The page of one run: how to get its code back, its command, code, environment and result, and its relatives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from git_coderepo.git.process import shell_word
from git_coderepo.manifest.model import Code, Imported, Outside, Overlay
from git_coderepo.report.collect import ReportedRun, origin_of
from git_coderepo.report.diff_section import diff_section
from git_coderepo.report.elements import Html, code, element, joined, link, link_outside, table, text
from git_coderepo.report.family_graph import Family, family_graph, family_rows
from git_coderepo.report.page import (
    badge,
    command_of,
    counted,
    dirt,
    duration,
    facts,
    footer,
    listed,
    main,
    moment,
    page,
    page_of_commit,
    repository_of,
    seconds_of_run,
    section,
    title_of,
)
from git_coderepo.runs.result import Output, Result
from git_coderepo.snapshots.size_limits import shown_size
from git_coderepo.stores.published_commit import reference_of

_MOST_PATHS = 200

Fact = tuple[str, Html]


class Neighbours(NamedTuple):
    """The ids of the next newer and the next older run of the report; None at its ends."""

    newer: str | None
    older: str | None


class Shown(NamedTuple):
    """What all pages of a report share: its runs by id, their abbreviated ids, their relatives."""

    runs: Mapping[str, ReportedRun]
    short: Mapping[str, str]
    family: Family


def run_page(each: ReportedRun, neighbours: Neighbours, shared: Shown, *, has_diff: bool) -> str:
    """Return the page. Without `has_diff` it links to the diff on the page of `same_code`."""
    recorded, manifest = each.recorded, each.manifest
    title = title_of(recorded)
    links = [link("../index.html", "All runs")]
    for id, word in ((neighbours.newer, "Newer run"), (neighbours.older, "Older run")):
        links += [link(f"{id}.html", word)] if id is not None else []
    body = joined([
        element("header", element("nav", *links, aria_label="Report"), element("h1", title), _subtitle(each)),
        main(
            section("get", "Fetch the code", _commands(each)),
            section("run", "Run", facts(run_facts(each))),
            section("code", "Code", facts(code_facts(each))),
            section("diff", _origin(each.manifest.code), _differences(each, shared, has_diff=has_diff)),
            section("environment", "Environment", facts(environment_facts(each))),
            section("result", "Result", *_result(recorded.result)),
            _relatives(each, shared),
        ),
        footer(),
    ])  # fmt: skip
    return page(f"{text_title(title)}: run {shared.short[manifest.run.id]}", body, top="../")


def text_title(title: str) -> str:
    """Return a title that fits into a tab."""
    return title if len(title) <= 60 else title[:59] + "\u2026"


def _subtitle(each: ReportedRun) -> Html:
    seconds = seconds_of_run(each.recorded)
    parts: list[str | bytes] = [badge(each.recorded.state), " started ", moment(each.manifest.run.created_on), " UTC"]
    if seconds is not None:
        parts.append(f", took {duration(seconds)}")
    return element("p", *parts)


# --- How to get it back ----------------------------------------------------------------------------------------------


def _commands(each: ReportedRun) -> Html:
    """Return commands to copy; the script adds a button to each."""
    obstacles = each.manifest.code.obstacles
    if obstacles:
        reasons = [text(obstacle.message) for obstacle in obstacles]
        return joined([element("p", "This run was recorded as not reproducible:", class_="notice"), listed(reasons)])
    id = each.id
    where = "In any clone:" if each.recorded.published else "In this repository:"
    parts = [
        element("p", where),
        _command(f"git coderepo fetch {id} code"),
        _command(f"git coderepo exec {id}{_original(each)}"),
    ]
    if each.recorded.path is not None and not each.recorded.published:
        tars = [tar for _, inner in each.manifest.code.codes() for tar in (inner.overlay, inner.lfs) if tar is not None]
        beside = sum(tar.data is None for tar in tars)
        files = (
            f" and {counted(beside, 'file')} that {'travels' if beside == 1 else 'travel'} with it" if beside else ""
        )
        parts += [
            element("p", f"On another machine, with a copy of the manifest{files}:"),
            _command(f"git coderepo fetch {shell_word(os.path.basename(each.recorded.path))} code"),
        ]
        if each.manifest.repository is not None:
            parts += [element("p", "To make it available to every clone:"), _command(f"git coderepo publish {id}")]
    return joined(parts)


def _original(each: ReportedRun) -> str:
    words = each.manifest.run.command
    return "".join([" --", *(f" {shell_word(word)}" for word in words)]) if words else " -- COMMAND"


def _command(command: str) -> Html:
    return element("div", code(command), class_="copy")


# --- Facts, which the comparison shows too ---------------------------------------------------------------------------


def run_facts(each: ReportedRun) -> list[Fact]:
    """Return what is recorded of a run and its command."""
    run, recorded = each.manifest.run, each.recorded
    command = command_of(recorded)
    rows = [("Id", code(run.id))]
    rows += [("Name", text(run.name))] if run.name is not None else []
    rows.append(("Command", code(command) if command else text("not recorded")))
    rows += [("Directory", code(run.directory))] if run.directory != b"." else []
    rows += [("Parent", code(run.parent))] if run.parent is not None else []
    if recorded.result is not None:
        rows += [("Host", text(recorded.result.host))]
        if recorded.result.finished_on is not None:
            rows += [("Finished", moment(recorded.result.finished_on))]
    rows += [("Published", code(reference_of(run.id)))] if recorded.published else []
    rows += [("Manifest", code(os.path.abspath(recorded.path)))] if recorded.path is not None else []
    return [*rows, ("Digest", code(f"sha256 {each.manifest.digest}"))]


def code_facts(each: ReportedRun) -> list[Fact]:
    """Return where the code is, what of it travelled, and what is not in it."""
    whole = each.manifest.code
    rows: list[Fact] = [("Repository", text(repository_of(each.manifest.repository)))]
    if whole.head is not None:
        is_pushed = whole.base is not None and whole.base.commit == whole.head.commit
        commit = code(whole.head.commit.hex)
        branch = f" ({whole.head.branch})" if whole.head.branch is not None else ""
        rows.append(("Commit", joined([_linked(whole, whole.head.commit.hex) if is_pushed else commit, branch])))
    for path, inner in whole.codes():
        where = f" of {os.fsdecode(path.rstrip(b'/'))}" if path else ""
        rows += [(name + where, value) for name, value in _parts(inner)]
    rows += [("Submodule", joined([code(each.path), f" at {each.commit}, not checked out"]))
             for each in whole.submodules if each.code is None]  # fmt: skip
    rows += [("Committed later", code(each.committed))] if each.committed is not None else []
    for path, inner in whole.codes():
        rows += [("Not in Git", _outside(path, found)) for found in inner.outside]
        rows += [("Left out", joined([code(path + left.path), f" ({left.reason})"])) for left in inner.omitted]
    return rows


def _parts(inner: Code) -> list[Fact]:
    base = inner.base
    rows = [("Base", text("none: the whole tree travels"))]
    if base is not None:
        unpushed = inner.changes.unpushed
        ahead = f", {counted(unpushed, 'unpushed commit')} after it" if unpushed else ""
        rows = [("Base", joined([_linked(inner, base.commit.hex), f", known by {base.known_by}{ahead}"]))]
    rows += [("Scope", code(path)) for path in inner.scope or ()]
    rows.append(("Tree", joined([code(inner.snapshot_tree.hex), f", {dirt(inner)}"])))
    rows += [("Travels", text(_travels(inner.overlay)))] if inner.overlay is not None else []
    if inner.lfs is not None:
        objects = counted(len(inner.lfs.objects), "Git LFS object")
        rows.append(("Travels", text(f"{objects}, {shown_size(inner.lfs.size)}")))
    return rows


def _linked(inner: Code, commit: str) -> Html:
    return link_outside(page_of_commit(inner, commit), code(commit))


def _travels(overlay: Overlay) -> str:
    gone = f", {counted(len(overlay.deleted), 'deletion')}" if overlay.deleted else ""
    inside = "in the manifest" if overlay.data is not None else f"in {overlay.sha256}.tar.gz"
    return f"{counted(overlay.files, 'file')}{gone}, {shown_size(overlay.size)}, {inside}"


def _outside(directory: bytes, found: Outside) -> Html:
    number = f"{counted(found.files, 'file')} in " if found.files != 1 else ""
    detail = "" if found.detail is None else f" {os.fsdecode(found.detail)}"
    return joined([number, code(directory + found.path), f" ({found.reason}{detail})"])


def environment_facts(each: ReportedRun) -> list[Fact]:
    """Return what is recorded of the environment."""
    environment, producer = each.manifest.environment, each.manifest.producer
    key = environment.build_key
    rows = [("Build key", code(key) if key is not None else text("not recorded"))]
    rows += [("Image", code(environment.image))] if environment.image is not None else []
    rows += [("Imports", _imported(found)) for found in environment.imported]
    git = f", git {producer.git}" if producer.git is not None else ""
    return [*rows, ("Recorded by", text(f"{producer.name} {producer.version}{git}"))]


def _imported(found: Imported) -> Html:
    commit = "" if found.commit is None else f" at {found.commit.hex[:12]}{', dirty' if found.dirty else ''}"
    return joined([code(found.path), f"{commit} ({found.via})"])


# --- Differences, result and relatives -------------------------------------------------------------------------------


def _origin(whole: Code) -> str:
    """Return the heading of the diff."""
    if origin_of(whole) is None:
        return "Files"
    return f"Differences from the {'base' if whole.base is not None else 'commit'}"


def _differences(each: ReportedRun, shared: Shown, *, has_diff: bool) -> Html:
    if has_diff or each.same_code is None:
        return diff_section(
            each.changes, same=f"The code is that of the {'base' if each.manifest.code.base is not None else 'commit'}."
        )
    other = link(f"{each.same_code}.html#diff", code(shared.short[each.same_code]))
    return element("p", "The code is the same as in the run ", other, "; its page shows the differences.")


def _result(result: Result | None) -> list[Html]:
    if result is None:
        return [element("p", "How the run ended is not known.")]
    parts: list[Html] = []
    if result.unknown:
        parts.append(element("p", f"Not known: {', '.join(result.unknown)}.", class_="notice"))
    if result.outputs:
        parts.append(element("h3", "Outputs"))
        parts.append(table("Outputs", ("File", "Size", "sha256"), [_output(each) for each in result.outputs]))
    for heading, paths in (
        ("Declared outputs that were not written", result.not_written),
        ("Edited during the run", result.edited),
        ("Files it produced", result.produced),
    ):
        if paths:
            more = len(paths) - _MOST_PATHS
            parts += [element("h3", heading), listed([code(path) for path in paths[:_MOST_PATHS]])]
            parts += [element("p", f"{counted(more, 'more file')} not shown.", class_="notice")] if more > 0 else []
    return parts or [element("p", "No outputs were declared, and no code was edited during the run.")]


def _output(each: Output) -> tuple[Html, str, Html]:
    return code(each.path), shown_size(each.size), code(each.sha256)


def _relatives(each: ReportedRun, shared: Shown) -> Html:
    """Return the graph of parents and children; nothing for a run without either."""
    rows, left_out = family_rows(shared.family, each.id)
    if len(rows) < 2:
        return Html("")
    graph = family_graph(rows, each.id, lambda other: f"{other}.html" if other in shared.runs else None)
    more = element("p", f"{counted(left_out, 'more run')} not shown.", class_="notice") if left_out else ""
    return section(
        "family", "Parent and children", element("div", graph, class_="wide", tabindex="0", role="region",
                                                 aria_label="Graph of runs"), more
    )  # fmt: skip
