"""The pages under docs/design name modules and functions that exist."""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
DESIGN = PROJECT / "docs" / "design"
PAGES = sorted(DESIGN.rglob("*.md"))
# A list of pages names no modules.
DESCRIBING = [page for page in PAGES if page != DESIGN / "decisions" / "README.md"]
# Packages, and modules beside them.
PACKAGES = {path.parent.name for path in (PROJECT / "git_coderepo").glob("*/__init__.py")}
PACKAGES |= {path.stem for path in (PROJECT / "git_coderepo").glob("[a-z]*.py")}


@pytest.mark.parametrize("page", DESCRIBING, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    words = re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)*)`", page.read_text(encoding="utf-8"))
    # A word alone, such as `git`, is not always a module; one of several words is.
    named = [each for each in words if each.split(".")[0] in PACKAGES and ("." in each or "_" in each)]
    assert named
    for each in named:
        module, _, attribute = each.rpartition(".")
        if not module:
            continue  # a module beside the packages: it is there
        if each.endswith((".json", ".md", ".py", ".toml")):
            continue  # a file
        spec = find_spec(f"git_coderepo.{module}")
        assert spec is not None, each
        if spec.submodule_search_locations is None:
            assert hasattr(importlib.import_module(f"git_coderepo.{module}"), attribute), each
        else:
            assert find_spec(f"git_coderepo.{each}") is not None, each


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_that_a_page_links_to_exists(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_every_decision_is_in_the_list() -> None:
    listed = (DESIGN / "decisions" / "README.md").read_text(encoding="utf-8")
    names = [page.name for page in sorted((DESIGN / "decisions").glob("0*.md"))]
    assert re.findall(r"\((0[^)]+)\)", listed) == names
    for page in sorted((DESIGN / "decisions").glob("0*.md")):
        title, *parts = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
        assert parts == ["Context", "Decision", "Consequences"], page.name
        assert f"[{title}]({page.name})" in listed


COMMENTS = re.compile(r'"""(.*?)"""|(?m:#(.*)$)', re.DOTALL)
CITATION = re.compile(r"(?<![A-Za-z0-9_])([PZ][0-9])(?![A-Za-z0-9_])")


def test_what_code_and_tests_cite_is_in_the_pages() -> None:
    """A reader of the repository finds every fault and every rule that a comment names."""
    faults = set(re.findall(r"(?m)^\| ([PZ][0-9]) \|", (DESIGN / "faults.md").read_text(encoding="utf-8")))
    rules = set(re.findall(r"(?m)^## Rule ([0-9])", (DESIGN / "safety.md").read_text(encoding="utf-8")))
    assert rules == set("123456")
    package = [*(PROJECT / "git_coderepo").rglob("*.py")]
    for path in [*package, *(PROJECT / "tests").rglob("*.py")]:
        if path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8")
        comments = "\n".join(doc or comment for doc, comment in COMMENTS.findall(text))
        assert set(CITATION.findall(comments)) <= faults, path
        assert set(re.findall(r"[Rr]ules? ([0-9])", comments)) <= rules, path
        if path in package and CITATION.search(comments):
            assert "docs/design/faults.md" in comments, path
        if path in package and re.search(r"[Rr]ules? [0-9]", comments):
            assert "docs/design/safety.md" in comments, path
        assert not re.search("DESIGN|language[.]md", comments), f"{path} cites a document that is not here"
