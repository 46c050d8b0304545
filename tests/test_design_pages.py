"""The pages under docs/design name modules and functions that exist."""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "design").glob("*.md"))
PACKAGES = {path.parent.name for path in (Path(__file__).parents[1] / "git_coderepo").glob("*/__init__.py")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)`", page.read_text(encoding="utf-8"))
    named = [each for each in named if each.split(".")[0] in PACKAGES]
    assert named
    for each in named:
        module, _, attribute = each.rpartition(".")
        spec = find_spec(f"git_coderepo.{module}")
        assert spec is not None, each
        if spec.submodule_search_locations is None:
            assert hasattr(importlib.import_module(f"git_coderepo.{module}"), attribute), each
        else:
            assert find_spec(f"git_coderepo.{each}") is not None, each
