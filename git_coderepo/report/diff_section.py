"""Show what differs between two trees: a table of files, and coloured patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from git_coderepo.report.collect import PartChanges
from git_coderepo.report.elements import Html, code, element, joined, link, scrollable, table, text
from git_coderepo.report.page import counted
from git_coderepo.report.patches import MOST_WIDTH, FilePatch, Patch

_MARKS = {b"+": "ins", b"-": "del", b"@": "b"}
# Of so few files no table is shown.
_FEW = 1


def diff_section(changes: Iterable[PartChanges], *, same: str) -> Html:
    """Return tables of changed files and their patches; `same` is the text for code without changes."""
    parts: list[Html] = []
    number = 0
    for each in changes:
        if each.path:
            parts.append(element("h3", "Submodule ", code(each.path.rstrip(b"/"))))
        if each.patch is None:
            parts.append(element("p", f"Not shown: {each.reason}.", class_="notice"))
        elif not each.patch.total:
            parts.append(element("p", same))
        else:
            parts.append(_patch(each.patch, number))
            number += len(each.patch.files)
    return joined(parts)


def summary(changes: Iterable[PartChanges]) -> Html:
    """Return how many files and lines differ, in a few characters; empty if nothing does or it is not known."""
    patches = [each.patch for each in changes if each.patch is not None]
    files = sum(patch.total for patch in patches)
    return joined([counted(files, "file"), " ", _numbers(patches)]) if files else Html("")


def _numbers(patches: Iterable[Patch]) -> Html:
    files = [file for patch in patches for file in patch.files]
    return _plus_minus(sum(file.added for file in files), sum(file.removed for file in files))


def _plus_minus(added: int, removed: int) -> Html:
    if not added and not removed:
        return Html("")
    return joined([
        element("span", f"+{added:,}", class_="plus"),
        " ",
        element("span", f"\u2212{removed:,}", class_="minus"),
    ])  # fmt: skip


def _patch(patch: Patch, number: int) -> Html:
    numbered = list(enumerate(patch.files, number))
    shown = [(at, file) for at, file in numbered if file.lines or file.notes]
    parts: list[Html] = []
    if len(numbered) > _FEW or not shown:
        rows = [
            (
                link(f"#file-{at}", _name(file)) if (at, file) in shown else _name(file),
                file.change,
                _plus_minus(file.added, file.removed),
            )
            for at, file in numbered
        ]
        parts.append(table("Changed files", ("File", "Change", "Lines"), rows, class_="files"))
    parts += [_file(file, at) for at, file in shown]
    lines = sum(file.omitted for file in patch.files if not file.lines)
    if lines:
        parts.append(element("p", f"{counted(lines, 'more line')} of other files not shown.", class_="notice"))
    if patch.omitted:
        parts.append(element("p", f"{counted(patch.omitted, 'more file')} not shown.", class_="notice"))
    return joined(parts)


def _name(file: FilePatch) -> Html:
    return code(file.path) if file.old_path is None else joined([code(file.old_path), " \u2192 ", code(file.path)])


def _file(file: FilePatch, number: int) -> Html:
    heading = element(
        "summary",
        _name(file),
        " ",
        element("span", file.change, class_="change"),
        " ",
        _plus_minus(file.added, file.removed),
    )
    body: list[Html] = [element("p", note, class_="note") for note in file.notes]
    if file.lines:
        lines = element("pre", joined(_lines(file.lines)))
        body.append(scrollable(f"Patch {number + 1}", lines))
    if file.omitted:
        body.append(element("p", f"{counted(file.omitted, 'more line')} not shown.", class_="notice"))
    return element("details", heading, *body, id=f"file-{number}", open=True)


def _lines(lines: Iterable[bytes]) -> Iterator[Html]:
    """Yield blocks of added, removed and other lines."""
    for mark, block in groupby(lines, key=lambda line: _MARKS.get(line[:1])):
        content = _block(list(block))
        yield content if mark is None else element(mark, content)


def _block(lines: list[bytes]) -> Html:
    if max(map(len, lines)) <= MOST_WIDTH:
        return Html(text(b"\n".join(lines), lines=True) + "\n")
    return joined(_long_line(line) if len(line) > MOST_WIDTH else text(line + b"\n", lines=True) for line in lines)


def _long_line(line: bytes) -> Html:
    more = element("i", f"\u2026 {counted(len(line) - MOST_WIDTH, 'more byte')}")
    return joined([text(line[:MOST_WIDTH], lines=True), more, Html("\n")])
