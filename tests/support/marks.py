"""Which parameters of a test are played by `make test`, and which by `make test-all` only."""

from __future__ import annotations

import pytest


def first_quick(first: object, *others: object) -> list[object]:
    """Parameters of which the first is played by `make test`, and the others, which are slow, by `make test-all`."""
    return [first, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]
