"""The frame of every page, and facts that several pages show in the same way."""

from __future__ import annotations

import os
import shlex

from git_coderepo import __version__
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.manifest.model import Code, Repository
from git_coderepo.report.elements import Html, element, joined, text
from git_coderepo.runs.history import RecordedRun

# Nothing but the two files of the report is loaded: no image, no font, no script in the page, no other host.
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'"
# By which a directory is recognized as a report.
GENERATOR = "git-coderepo report"

_GOOD, _BUSY, _UNKNOWN = ("ok",), ("running",), ("recorded", "published", "unfinished")


def page(title: str, body: Html, *, top: str = "", generator: str | None = None) -> str:
    """Return a whole page; `top` is the way to the directory of the report, such as `../`."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=f"{generator} {__version__}") if generator is not None else "",
        element("title", title),
        element("link", rel="stylesheet", href=f"{top}report.css"),
        element("script", src=f"{top}report.js", defer=True),
    )
    skip = element("a", "Skip to the content", class_="skip", href="#content")
    return f'<!doctype html>\n<html lang="en">{head}<body>{skip}{body}</body></html>\n'


def state_class(state: str) -> str:
    """Return which of four colours a state has."""
    if state in _GOOD:
        return "good"
    if state in _BUSY:
        return "busy"
    return "unknown" if state in _UNKNOWN else "bad"


def badge(state: str) -> Html:
    """Return a state as a coloured word."""
    return element("span", state, class_=f"state {state_class(state)}")


def moment(time_text: str) -> Html:
    """Return `YYYY-MM-DDTHH:MM:SSZ` without the letters; pages say that it is UTC."""
    return element("time", time_text.replace("T", " ").removesuffix("Z"), datetime=time_text)


def duration(seconds: float) -> str:
    """Return a duration for people: `5 s`, `1 min 12 s`, `2 h 5 min`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def share(seconds: float, longest: float) -> float:
    """Return a duration as a part of the longest one, between 0 and 1."""
    return max(seconds, 0) / longest if longest > 0 else 0.0


def seconds_of_run(run: RecordedRun) -> float | None:
    """Return how long a run took; None if unknown."""
    return run.result.seconds if run.result is not None else None


def title_of(run: RecordedRun) -> str:
    """Return the name of a run, or its command, or its id."""
    return run.manifest.run.name or command_of(run) or run.id


def command_of(run: RecordedRun) -> str:
    """Return the command quoted for a shell; an empty text without one."""
    return shlex.join(os.fsdecode(word) for word in run.manifest.run.command or ())


def counted(number: int, word: str) -> str:
    """Return a number with its noun: `1 file`, `1,200 files`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def page_of_commit(code: Code, commit: str) -> str | None:
    """Return the page of a commit on the platform.

    Recorded is that of HEAD; that of the base has the same form.
    """
    head = code.head
    if head is None or head.web_url is None or head.web_url.count(head.commit.hex) != 1:
        return None
    return head.web_url.replace(head.commit.hex, commit)


def repository_of(repository: Repository | None) -> str:
    """Return name, type and URL of a code repository."""
    if repository is None:
        return "none"
    remote = repository.remote
    if remote is None:
        return f"{repository.name}: {repository.type}"
    url = RemoteURL.from_parts(remote.transport, remote.host, remote.port, remote.user, remote.path)
    return f"{repository.name}: {repository.type}, {url.url()}"


def dirt(code: Code) -> str:
    """Return `clean`, or what makes the code dirty."""
    if not code.dirty:
        return "clean"
    changes = code.changes
    kinds = ((changes.staged, "staged"), (changes.unstaged, "changed"), (changes.untracked, "untracked"))
    return ": ".join(filter(None, ("dirty", ", ".join(f"{number} {word}" for number, word in kinds if number))))


def facts(rows: list[tuple[str, Html]]) -> Html:
    """Return a list of names and values; a name that is repeated is written once."""
    parts: list[Html] = []
    for at, (name, value) in enumerate(rows):
        if at == 0 or rows[at - 1][0] != name:
            parts.append(element("dt", name))
        parts.append(element("dd", value))
    return element("dl", *parts)


def section(id: str, heading: str, *content: str | bytes) -> Html:
    """Return a section with a heading."""
    return element("section", element("h2", heading, id=id), *content, aria_labelledby=id)


def listed(paths: list[Html]) -> Html:
    """Return a list."""
    return element("ul", *(element("li", each) for each in paths))


def footer() -> Html:
    """Return the last line of a page."""
    return element("footer", text(f"All times are UTC. Written by git coderepo {__version__}."))


def main(*content: Html | str) -> Html:
    """Return the content of a page."""
    return element("main", joined(content), id="content")
