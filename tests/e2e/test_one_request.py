"""Z1: where others ask once for each file and twice for each directory, one archive brings them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.support import World, on_platforms, world

MANY = {f"package {n // 100}/module {n}.py": b"value = %d\n" % n for n in range(2000)}


@pytest.fixture(scope="module", params=on_platforms("github", "gitlab"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp(request.param), request.param, files=MANY) as made:
        made.register("mine")
        yield made


@pytest.mark.slow
def test_two_thousand_files_take_one_archive_request(place: World) -> None:
    place.checkout.write("an edit.txt", "that travels\n")
    manifest = place.manifest()
    place.forge.forget_requests()

    said = place.runner.run("fetch", manifest, "code").text

    assert "2001 files, 1 from the overlay, by archive" in said
    assert len(place.forge.requests("archive")) == 1
    redirects = place.forge.requests("link")
    assert [entry.status for entry in redirects] == ([302] if place.platform == "github" else [])
    assert len(place.forge.requests()) == 1 + len(redirects), "and nothing else was asked"
    assert place.runner.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_a_fetch_by_git_does_not_ask_for_each_file_either(place: World) -> None:
    manifest = place.manifest(name="again.json")
    place.forge.forget_requests()

    place.runner.run("fetch", "--method", "git", manifest, "code by git")

    # Smart HTTP: one for the capabilities, one for the pack, one more where it asks for references first.
    assert len(place.forge.requests("git/upload-pack")) <= 2
    assert place.forge.requests("archive") == []


@pytest.mark.slow
def test_a_snapshot_and_a_status_ask_nobody(place: World) -> None:
    place.forge.forget_requests()

    place.user.run("status", cwd=place.checkout.path)
    place.user.run("snapshot", cwd=place.checkout.path)

    assert place.forge.requests() == [], "Z4: what is known here is not asked of the network"


def test_a_registration_is_not_logged_into_at_each_run(place: World) -> None:
    """Z9: ZenML logs into every registration whenever it looks for one."""
    place.forge.forget_requests()

    place.user.run("list", cwd=place.checkout.path)
    place.user.run("describe", "mine", cwd=place.checkout.path)
    place.user.run("snapshot", cwd=place.checkout.path)

    assert place.forge.requests() == []
