"""The catalogue of texts is what the program has: whoever changes a message sees it there, and so does a reviewer."""

from __future__ import annotations

import difflib

from tests import catalogue


def test_the_catalogue_is_up_to_date() -> None:
    there = catalogue.FILE.read_text(encoding="utf-8")
    changes = list(difflib.unified_diff(there.splitlines(), catalogue.written().splitlines(), n=0, lineterm=""))
    assert changes == [], "run: python -m tests.catalogue"


def test_a_text_of_each_kind_is_in_it() -> None:
    texts = catalogue.catalogue()
    found = {kind: {each.text for each in texts if each.kind == kind} for kind in catalogue.KINDS}
    assert all(found.values())
    assert "no command to run" in found["errors"]
    assert any(text.startswith("fetch --method METHOD: ") for text in found["verbs"])
