"""One list of methods: what the command line takes, the manual explains, and a receipt may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from git_coderepo import api
from git_coderepo.cli.help import manual_text
from git_coderepo.errors import UsageError
from git_coderepo.fetching.sources.order import METHODS, RECORDED, SOURCES, source
from git_coderepo.manifest.codec import RECEIPT, schema, shape_reasons
from git_coderepo.manifest.validate import receipt_problems
from tests.test_manifest_receipts import full_receipt


def test_the_manual_explains_each() -> None:
    assert {name for name, _ in manual_text.METHODS} == set(METHODS)


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_goes_by_the_name_of_its_row(name: str) -> None:
    assert source(name).name == name


def test_the_schema_names_each() -> None:
    definition: Any = schema(RECEIPT)["$defs"]
    known = definition["method"]["$comment"].partition(": ")[2].partition(".")[0].split(", ")
    assert known == [*RECORDED]


@pytest.mark.parametrize("method", [*RECORDED, "a-later-one"])
def test_a_receipt_may_name_each_and_what_comes_later(method: str) -> None:
    document = full_receipt()
    document["method"] = method
    assert shape_reasons(RECEIPT, document) == []
    assert receipt_problems(json.dumps(document).encode()) == []


@pytest.mark.parametrize("method", ["", "Archive", "two words", 1, None])
def test_and_nothing_that_is_no_word(method: object) -> None:
    document = full_receipt()
    document["method"] = method
    assert shape_reasons(RECEIPT, document) != []
    assert receipt_problems(json.dumps(document).encode()) != []


def test_the_api_refuses_another(tmp_path: Path) -> None:
    from tests.support.manifests import example_document

    (tmp_path / "run.json").write_text(json.dumps(example_document()))
    with pytest.raises(UsageError, match="invalid method 'nonsense': choose auto, local"):
        api.fetch(str(tmp_path / "run.json"), tmp_path / "code", method="nonsense")
