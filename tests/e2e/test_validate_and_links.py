"""`validate` of several files, and manifests that are reached through a link."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.support import remove, world


@pytest.mark.slow
def test_several_files_and_a_link_to_a_manifest(tmp_path: Path) -> None:
    with world(tmp_path, "file") as place:
        place.checkout.write("big.bin", os.urandom(100_000))
        manifest = place.manifest()
        folder = place.runner.path("runs of\na day")
        folder.mkdir()
        for file in (manifest, *place.runner.home.glob("*.tar.gz")):
            shutil.move(file, folder / file.name)
        real = folder / manifest.name
        (place.runner.home / "broken.json").write_text("{}")

        done = place.runner.run("validate", real, real)
        assert done.text.count("is valid") == 2
        done = place.runner.run("validate", real, "broken.json", check=False)
        assert done.status == 1
        assert "'broken.json' is not valid" in done.errors
        assert "broken.json: code: missing" in done.text and done.text.count("is valid") == 1
        assert place.runner.run("validate", "-", "-", check=False).status == 129
        assert place.runner.run("validate", real, "absent.json", check=False).status == 128

        # The overlay is beside the manifest, which a link leads to.
        links = place.runner.path("links")
        links.mkdir()
        os.symlink(os.path.relpath(real, links), links / "latest.json")
        os.symlink("latest.json", links / "again.json")
        for name in ("latest.json", "again.json"):
            place.runner.run("fetch", f"links/{name}", "code")
            assert (place.runner.path("code") / "big.bin").stat().st_size == 100_000
            remove(place.runner.path("code"))
        # And beside the link, where somebody has put it there.
        overlay = next(folder.glob("*.tar.gz"))
        shutil.move(overlay, links / overlay.name)
        place.runner.run("fetch", "links/latest.json", "code")
        assert json.loads(real.read_text())["code"]["overlay"].get("data") is None


@pytest.mark.parametrize("name", ["absent.json", "no/such/run.json"])
def test_no_hint_to_validate_what_is_not_there(tmp_path: Path, name: str) -> None:
    with world(tmp_path, "file") as place:
        done = place.runner.run("fetch", name, "code", check=False)
        assert done.status == 128
        assert "validate" not in done.errors
        (place.runner.home / "damaged.json").write_text("{}")
        damaged = place.runner.run("fetch", "damaged.json", "code", check=False)
        assert "git coderepo validate damaged.json" in damaged.errors
