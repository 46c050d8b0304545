"""Whatever the tree and the edits are, the runner gets what git would have recorded."""

from __future__ import annotations

import pytest

from tests.fidelity.random_trees import bench, property_of


@pytest.mark.parametrize("examples", [5, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])])
def test_what_comes_back_is_what_was_there(examples: int) -> None:
    with bench() as made:
        property_of(made, examples)()
        assert made.examples >= examples
