"""Whatever makes a checkout dirty, the runner gets exactly that tree, from every platform and by every method.

P2: the round trip is tested, not its halves. P4: binary changes. P6: names and contents that are not UTF-8.
P7: one file staged and edited again. Z2, Z3, Z6: modes, links, sizes and names that others lose.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.support import Machine, World, load, on_platforms, own_repository, problems, world
from tests.fidelity.packages import unpack_sdist
from tests.support.repo import Repo

LATIN = b"caf\xe9 noir.txt"
LONG = b"l" * 250
NEWLINE = b"two\nlines.txt"


def seed(path: Path, machine: Machine) -> Repo:
    """The project's own code with a few files that can be spoilt in every way."""
    repo = own_repository(path, machine.env)
    repo.write("weights.bin", bytes(range(256)) * 64)
    repo.write("large.bin", os.urandom(3 << 20))
    repo.write("only a file.txt", "soon a directory\n")
    repo.write("folder/inner.txt", "soon gone\n")
    repo.write("folder/deep/more.txt", "soon gone\n")
    repo.write("plain.sh", "#!/bin/sh\n")
    repo.write("tool.sh", "#!/bin/sh\n", mode=0o755)
    repo.write("staged.txt", "one\n")
    repo.write("to delete.txt", "bye\n")
    repo.write("old name.txt", "the same all the time\n" * 20)
    repo.write("to link.txt", "contents\n")
    repo.write(b"old " + LATIN, b"\xff\xfe not UTF-8\n")
    repo.symlink("latest", "folder")
    repo.commit("what will be spoilt")
    return repo


def spoil(repo: Repo) -> None:
    """Everything at once, on top of a commit that the platform has not seen."""
    repo.write("committed here.txt", "never pushed\n")
    repo.write("pyproject.toml", repo.read("pyproject.toml") + b"# an edit that was committed only here\n")
    repo.commit("never pushed")
    repo.write("Makefile", repo.read("Makefile") + b"# an edit\n")
    weights = bytearray(repo.read("weights.bin"))
    weights[1000] ^= 1
    repo.write("weights.bin", bytes(weights))
    repo.write("a file with spaces.txt", "untracked\n")
    repo.write(LATIN, b"\xe9\n")
    repo.write(b"old " + LATIN, b"\xfe\xff changed\n")
    repo.write("-rf", "begins like an option\n")
    repo.write(LONG, "a name of 250 bytes\n")
    repo.write(NEWLINE, "a name of two lines\n")
    repo.write("empty", "")
    repo.remove("to delete.txt")
    os.chmod(repo.file("plain.sh"), 0o755)
    os.chmod(repo.file("tool.sh"), 0o644)
    repo.symlink("link to nowhere", "no/such/place")
    repo.symlink("to link.txt", "staged.txt")
    repo.symlink("latest", b"caf\xe9 noir.txt")
    repo.remove("only a file.txt")
    repo.write("only a file.txt/inside", "now a directory\n")
    repo.remove("folder")
    repo.write("folder", "now a file\n")
    repo.write("staged.txt", "two\n")
    repo.git("add", "staged.txt")
    repo.write("staged.txt", "three\n")
    repo.git("mv", "old name.txt", "new name.txt")
    repo.write("staged and new.txt", "one\n")
    repo.git("add", "staged and new.txt")
    repo.write("staged and new.txt", "two\n")


def there_and_back(place: World, methods: tuple[str, ...]) -> None:
    expected = place.checkout.tree()
    manifest = place.manifest()
    recorded = load(manifest)["code"]
    assert recorded["snapshot"]["tree"] == expected, "what git itself says of the checkout"
    assert problems(place.runner, manifest) == []

    moved = place.checkout.path.rename(place.root / "moved away")
    try:
        for method in methods:
            receipt = place.runner.run("fetch", "--method", method, "--json", manifest, f"code by {method}").json()
            assert receipt["tree"] == expected
            assert receipt["fallbacks"] == []
            assert place.runner.tree(f"code by {method}") == expected, f"what git itself says of the code by {method}"
            assert place.runner.run("verify", "--strict", manifest, f"code by {method}").status == 0
    finally:
        moved.rename(place.checkout.path)


@pytest.mark.slow
@pytest.mark.parametrize("platform", on_platforms("github", "gitlab", "git", "file"))
def test_every_kind_of_dirt_arrives_unchanged(tmp_path: Path, platform: str) -> None:
    machine = Machine(tmp_path / "author", {})
    with world(tmp_path, platform, source=seed(tmp_path / "source", machine)) as place:
        said = place.register().text
        assert f"registered 'origin': {'git' if platform == 'file' else platform} at {place.url}" in said
        assert "verified: the repository exists" in said
        spoil(place.checkout)
        there_and_back(place, ("git",) if platform in ("file", "git") else ("archive", "git"))

        manifest = load(place.runner.home / "run.json")["code"]
        assert manifest["base"]["commit"] == place.base
        assert manifest["base"]["knownBy"] == "remote-tracking"
        assert manifest["changes"]["unpushed"] == 1
        assert manifest["dirty"] is True
        got = place.runner.home / "code by git"
        assert (got / "staged.txt").read_text() == "three\n"
        assert os.access(got / "plain.sh", os.X_OK)
        assert not os.access(got / "tool.sh", os.X_OK)
        assert os.readlink(os.fsencode(got / "latest")) == LATIN
        assert Path(os.fsdecode(os.fsencode(got) + b"/" + LATIN)).read_bytes() == b"\xe9\n"
        assert not (got / ".git").exists()


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["git", "github"])
def test_a_large_real_code_base(tmp_path: Path, platform: str) -> None:
    machine = Machine(tmp_path / "author", {})
    source = Repo.init(tmp_path / "source", machine.env)
    unpack_sdist("django", source.path, tmp_path)
    source.commit("a release")
    assert len(source.git("ls-files", "-z").split(b"\0")) > 5000
    with world(tmp_path, platform, source=source) as place:
        place.register()
        paths = [path for path in place.checkout.git("ls-files", "-z").split(b"\0") if path.endswith(b".py")]
        for path in paths[::50]:
            place.checkout.write(path, place.checkout.read(path) + b"# edited\n")
        for path in paths[7::500]:
            place.checkout.remove(path)
        place.checkout.commit("never pushed")
        for path in paths[9::100]:
            if os.path.exists(place.checkout.file(path)):
                place.checkout.write(path, b"# edited after the commit\n")
        place.checkout.write(b"untracked " + LATIN, b"\xe9")
        there_and_back(place, ("git",) if platform in ("file", "git") else ("archive", "git"))
