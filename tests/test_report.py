"""The report: what it shows of runs, that hostile names and contents stay text, and where it may be written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from git_coderepo.report.elements import element, shown, text
from tests.hints import cures
from tests.support.program import Program
from tests.support.records import ENDED, add_run, record_of
from tests.support.repo import Repo

HOSTILE = b"<img src=x onerror=alert(1)> \"'&\xff\xe2\x80\xae.py"
VOID = frozenset(("br", "hr", "input", "link", "meta"))


class Page(HTMLParser):
    """A page, read strictly: every element ends where it must; `text` is all that is shown."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_bytes().decode())
        self.close()
        assert not self._open
        ids = [each["id"] for _, each in self.elements if "id" in each]
        assert len(ids) == len(set(ids))
        self.ids = set(ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [each["href"] or "" for tag, each in self.elements if tag == "a"]


def pages(directory: Path) -> dict[str, Page]:
    """Every page, after checking what must hold for all of them."""
    found = {str(path.relative_to(directory)): Page(path) for path in directory.rglob("*.html")}
    for name, page in found.items():
        folder = (directory / name).parent
        tags = [tag for tag, _ in page.elements]
        assert tags.count("title") == tags.count("h1") == tags.count("main") == 1, name
        assert ("html", {"lang": "en"}) in page.elements
        policies = [each["content"] for _, each in page.elements if each.get("http-equiv") == "Content-Security-Policy"]
        assert len(policies) == 1
        assert (policies[0] or "").startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert not any(key.startswith("on") or key == "style" for _, each in page.elements for key in each), name
        assert not {"style", "img", "iframe", "object"} & set(tags)
        loaded = [each.get("src") or each["href"] for tag, each in page.elements if tag in ("script", "link")]
        assert len(loaded) == 2
        for target in [*loaded, *page.links()]:
            assert target is not None
            if target.startswith("https://github.com/"):
                continue
            path, _, anchor = target.partition("#")
            other = os.path.normpath(folder / path) if path else str(directory / name)
            assert os.path.isfile(other), (name, target)
            if anchor:
                assert anchor in found[os.path.relpath(other, directory)].ids, (name, target)
    return found


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path) -> Repo:
    """A checkout with a pushed commit, whose remote is on a platform."""
    repo.write("train.py", "lr = 0.1\n")
    repo.write("old name.txt", "a\nb\nc\nd\n")
    repo.commit()
    repo.push_to(tmp_path / "platform.git")
    repo.git("remote", "set-url", "origin", "https://github.com/acme/widgets.git")
    return repo


def report(program: Program, checkout: Repo, *arguments: str) -> dict[str, Page]:
    program.run("report", *arguments, cwd=checkout.path)
    return pages(checkout.path / "coderepo-report")


# --- what it shows ---


@pytest.mark.slow
def test_a_run_and_what_differed_from_its_base(checkout: Repo, program: Program) -> None:
    checkout.write("train.py", "lr = 0.2\n")
    checkout.write("new\nname.bin", b"\0\1")
    checkout.git("mv", "old name.txt", "renamed.txt")
    outputs = [{"path": "model.pt", "sha256": "ab" * 32, "size": 2048}]
    run = add_run(checkout, name="first", result={**ENDED, "outputs": outputs, "edited": ["train.py"]})
    found = report(program, checkout)
    overview, page = found["index.html"], found[f"runs/{run.id}.html"]
    assert f"runs/{run.id}.html" in overview.links()
    for part in ("first", "ok", "5 s", "3 files", "python train.py"):
        assert part in overview.text
    head = checkout.head()
    assert page.links().count(f"https://github.com/acme/widgets/commit/{head}") == 2
    for part in (
        "-lr = 0.1", "+lr = 0.2", "new\\nname.bin", "binary contents", "old name.txt → renamed.txt",
        checkout.tree("coderepo-report"), "model.pt", "2.0 KiB", "ab" * 32, "Edited during the run",
        f"git coderepo fetch {run.id} code", f"git coderepo exec {run.id} -- python train.py",
    ):  # fmt: skip
        assert part in page.text, part


@pytest.mark.slow
def test_two_runs_are_compared_and_relatives_are_drawn(checkout: Repo, program: Program) -> None:
    program.run("run", "--name", "parent", "--", "git", "coderepo", "run", "--name", "child", "true", cwd=checkout.path)
    checkout.write("train.py", "lr = 0.3\n")
    add_run(checkout, name="later")
    found = report(program, checkout, "child", "later")
    page = found["compare.html"]
    assert "compare.html" in found["index.html"].links()
    assert "-lr = 0.1" in page.text and "+lr = 0.3" in page.text and "differs" in page.text
    child = next(
        each for name, each in found.items() if name.startswith("runs/") and "child, ok (this run)" in each.text
    )
    assert "parent, ok" in child.text, "the parent is drawn although it is not in the report"
    refused = program.run("report", "child", "child", cwd=checkout.path, check=False)
    assert refused.status == 129


def test_runs_with_the_same_code_share_a_long_diff(checkout: Repo, program: Program) -> None:
    checkout.write("long.txt", "".join(f"line {number}\n" for number in range(700)) + "x" * 700 + "\n")
    older, newer = add_run(checkout), add_run(checkout)
    found = report(program, checkout)
    assert f"{newer.id}.html#diff" in found[f"runs/{older.id}.html"].links()
    page = found[f"runs/{newer.id}.html"]
    assert "+line 400" in page.text and "+line 600" not in page.text and "202 more lines not shown" in page.text


def test_hostile_names_and_contents_are_text(checkout: Repo, program: Program) -> None:
    checkout.write(HOSTILE, b"</pre><script>alert(2)</script>\n\xff \x1b[31m \xe2\x80\xaeabc\r\n")
    command = ["sh", "-c", "exit 3", "--", "</code><script>alert(3)</script>", os.fsdecode(b"\x80\x07")]
    status = program.run("run", "--name", "<b onclick=x>&amp;", *command, cwd=checkout.path, check=False).status
    assert status == 3
    found = report(program, checkout)
    (page,) = (each for name, each in found.items() if name.startswith("runs/"))
    assert "<b onclick=x>&amp;" in found["index.html"].text
    assert "<img src=x onerror=alert(1)> \"'&\\xff\\u202e.py" in page.text
    assert "+</pre><script>alert(2)</script>" in page.text
    assert "+\\xff \\x1b[31m \\u202eabc\\r" in page.text
    for each in found.values():
        assert [tag for tag, _ in each.elements].count("script") == 1
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", each.text)


def test_a_run_whose_objects_are_gone_says_so(checkout: Repo, program: Program) -> None:
    checkout.write("train.py", "lr = 0.2\n")
    run = add_run(checkout)
    path = record_of(checkout).path_of(run.id)
    other = Repo.init(checkout.path.parent / "other", checkout.env)
    found = program.run("report", path, cwd=other.path)
    assert found.text == "coderepo-report/index.html\n"
    page = pages(other.path / "coderepo-report")[f"runs/{run.id}.html"]
    assert re.search(r"Not shown: the base \w+ of the run .* is not in this repository", page.text)


def test_elements_escape_text_and_attributes() -> None:
    assert element("a", "<b>", href='"><x', hidden=True, id=None) == '<a href="&quot;&gt;&lt;x" hidden>&lt;b&gt;</a>'
    assert text(b"a\xff\n") == "a<i>\\xff</i><i>\\n</i>"
    assert shown("\u202e\t\u200b", lines=True) == "\\u202e\t\\u200b"


def test_a_run_that_was_never_pushed_is_compared_with_its_commit(repo: Repo, program: Program) -> None:
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.write("new.py", "x = 1\n")
    repo.write("empty", "")
    run = add_run(repo)
    page = report(program, repo)[f"runs/{run.id}.html"]
    assert "Differences from the commit" in page.text and "new.py added" in page.text
    assert "lr = 0.1" not in page.text and "git coderepo publish" not in page.text


@pytest.mark.slow
def test_a_notebook_shows_a_run_as_a_table(checkout: Repo, env: dict[str, str]) -> None:
    shown = "print(run._repr_html_())"
    program = f"import git_coderepo\nwith git_coderepo.run(name='<b>') as run:\n    {shown}\n{shown}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout.path, env=env, capture_output=True, text=True, check=True
    )
    during, after = done.stdout.splitlines()
    assert "<td>&lt;b&gt;</td>" in during and "<td>running</td>" in during and checkout.head() in during
    assert after == during.replace("running", "ok")


# --- where it is written ---


@pytest.mark.slow
def test_no_snapshot_has_a_report(checkout: Repo, program: Program) -> None:
    before = program.run("run", "true", cwd=checkout.path)
    assert before.status == 0
    program.run("report", cwd=checkout.path)
    (checkout.path / "coderepo-report" / "index.html").write_text("edited", encoding="utf-8")
    assert checkout.git("status", "--porcelain") == b""
    program.run("run", "true", cwd=checkout.path)
    first, second = program.run("log", "--json", cwd=checkout.path).json()
    assert (first["tree"], first["dirty"]) == (second["tree"], False)


@pytest.mark.slow
@cures("name another directory: git coderepo report -o DIR")
def test_only_an_older_report_is_replaced(checkout: Repo, program: Program) -> None:
    add_run(checkout)
    for _ in range(2):
        program.run("report", "-o", "out/a report", cwd=checkout.path)
    assert sorted(os.listdir(checkout.path / "out")) == ["a report"]
    mine = checkout.path / "out" / "a report" / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    (checkout.path / "link").symlink_to("out")
    for directory in ("out/a report", ".", "link"):
        refused = program.run("report", "-o", directory, cwd=checkout.path, check=False)
        assert refused.status == 128 and "Traceback" not in refused.errors
        assert directory == "link" or "hint: name another directory: git coderepo report -o DIR" in refused.errors
    assert mine.read_text(encoding="utf-8") == "mine"
    script = mine.with_name("report.js")
    script.unlink()
    script.mkdir()
    mine.rename(script / "notes.txt")
    refused = program.run("report", "-o", "out/a report", cwd=checkout.path, check=False)
    assert "'report.js' is not part of it" in refused.errors and os.listdir(script) == ["notes.txt"]
    program.run("report", "-o", "another", cwd=checkout.path)


@pytest.mark.slow
def test_the_browser_is_opened(checkout: Repo, program: Program, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{tmp_path}/opened"\n', encoding="utf-8")
    browser.chmod(0o755)
    add_run(checkout, name="a")
    add_run(checkout, name="b")
    env = {"BROWSER": f"{browser} %s"}
    program.run("report", "--open", cwd=checkout.path, env=env)
    index = checkout.path / "coderepo-report" / "index.html"
    assert (tmp_path / "opened").read_text() == index.as_uri()
    (tmp_path / "opened").unlink()
    program.run("log", "--web", "-n1", cwd=checkout.path, env=env)
    assert (tmp_path / "opened").read_text() == index.as_uri()
    assert len(list((checkout.path / "coderepo-report" / "runs").iterdir())) == 1
    assert program.run("log", "--web", "--json", cwd=checkout.path, check=False).status == 129


# --- in a browser ---


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_runs_the_script_under_the_policy(checkout: Repo, program: Program, tmp_path: Path) -> None:
    checkout.write(HOSTILE, "<script>document.title = 'hostile'</script>\n")
    run = add_run(checkout, name="<script>document.title = 'hostile'</script>", result=ENDED)
    report(program, checkout)

    def dom(page: str) -> tuple[str, str]:
        url = (checkout.path / "coderepo-report" / page).as_uri()
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
             "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", url],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return done.stdout, done.stderr

    overview, said = dom("index.html")
    assert "1 of 1 runs" in overview and overview.count('<th scope="col"><button type="button">') == 7
    page, more = dom(f"runs/{run.id}.html")
    assert "Copy</button>" in page and "<title>hostile" not in overview + page
    assert "Content Security Policy" not in said + more
