"""The values of a manifest: fields that are required are required, and contents do not flood a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from git_coderepo.manifest import model
from git_coderepo.manifest.model import Lfs, Manifest, Overlay
from tests.support.manifests import example_document

VALUES = [each for each in vars(model).values() if isinstance(each, type) and hasattr(each, "_field_defaults")]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_a_default_is_a_value(kind: type) -> None:
    for name, value in kind._field_defaults.items():  # type: ignore[attr-defined]
        assert value is None or isinstance(value, tuple | int), f"{kind.__name__}.{name}"


@pytest.mark.parametrize("kind", [Overlay, Lfs])
def test_contents_cannot_be_forgotten(kind: type) -> None:
    with pytest.raises(TypeError):
        kind(*[None] * (len(kind._fields) - 1))  # type: ignore[attr-defined]


def test_a_repr_is_for_people() -> None:
    overlay = Overlay("6" * 64, "7" * 64, 1 << 20, 1, (b"old.py",), b"x" * (1 << 20))
    assert "data=<1048576 bytes>" in repr(overlay) and "deleted=(b'old.py',)" in repr(overlay)
    manifest = Manifest.parse(json.dumps(example_document()).encode() + b" " * (1 << 20))
    assert len(repr(manifest)) < 10_000 and repr(manifest).startswith("Manifest(run=Run(")


def test_the_committed_figures_are_tables_and_sentences() -> None:
    lines = (Path(__file__).parents[1] / "bench" / "results.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(("{", "[")) or line.endswith(("[]", "{}"))] == []
