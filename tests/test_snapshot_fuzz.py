"""A short run of `snapshot_fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.snapshot_fuzz import places, run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["disk", "whole seconds", "tmpfs"])
def test_no_snapshot_is_stale(name: str, tmp_path: Path) -> None:
    with places(tmp_path) as found:
        place = found[name]
        if place is None:
            pytest.skip(f"{name}: no such file system can be had here")
        counts = run(place, tmp_path / "home", 60, 7)
    assert counts["snapshots"] == 60
    if name == "disk":
        assert counts["reused files"] > 0
