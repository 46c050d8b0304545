"""Large files that do not get smaller are stored and not compressed, in one gzip member, piece by piece."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_coderepo.errors import NotReproducible
from git_coderepo.filesystem.atomic import pieces_of
from git_coderepo.git.process import Git
from git_coderepo.snapshots.overlay import Packer
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.secret_scan import Scan
from git_coderepo.snapshots.snapshot import Request
from tests.support.repo import Repo
from tests.test_checkout_snapshot import check_overlay

MIB = 1 << 20
TOKEN = b"ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"


def packed(members: list[tuple[bytes, bytes]]) -> tuple[bytes, str]:
    packer = Packer(len(members))
    for path, contents in members:
        packer.add_pieces(path, len(contents), pieces_of(contents), 0o644)
    data, tar_sha256, sha256 = packer.finish()
    assert hashlib.sha256(data).hexdigest() == sha256
    return data, tar_sha256


def kinds(seed: int) -> list[tuple[bytes, bytes]]:
    chance = random.Random(seed)
    text = b"".join(b"line %d of many\n" % number for number in range(200_000))
    sizes = [0, 1, 511, 512, 513, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 3 * MIB + 5]
    found = [(b"text %d" % size, text[:size]) for size in sizes]
    found += [(b"random %d" % size, chance.randbytes(size)) for size in sizes]
    found.append((b"both", text[:MIB] + chance.randbytes(2 * MIB) + text[: MIB // 2] + chance.randbytes(100_000)))
    chance.shuffle(found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_it_is_one_gzip_member_of_the_same_tar(seed: int) -> None:
    members = kinds(seed)
    data, tar_sha256 = packed(members)
    inflater = zlib.decompressobj(wbits=31)
    inside = inflater.decompress(data)
    assert inflater.eof and not inflater.unused_data
    assert gzip.decompress(data) == inside
    assert subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True).stdout == inside
    assert hashlib.sha256(inside).hexdigest() == tar_sha256
    with tarfile.open(fileobj=io.BytesIO(inside)) as tar:
        for member, (path, contents) in zip(tar, members, strict=True):
            file = tar.extractfile(member)
            assert file is not None and (os.fsencode(member.name), file.read()) == (path, contents)
    assert packed(members)[0] == data


def test_what_gets_smaller_is_packed_and_the_rest_costs_next_to_nothing() -> None:
    chance = random.Random(1)
    text, noise = b"a line of text\n" * 100_000, chance.randbytes(4 * MIB)
    assert len(packed([(b"text", text)])[0]) < len(text) / 100
    assert len(noise) < len(packed([(b"noise", noise)])[0]) < len(noise) * 1.001 + 2000
    assert len(packed([(b"noise", noise), (b"text", text)])[0]) < len(noise) * 1.001 + len(text) / 100 + 2000


@pytest.mark.slow
def test_a_large_overlay_is_right_whatever_is_in_it(repo: Repo) -> None:
    repo.write("a", "1")
    repo.commit()
    for number, (path, contents) in enumerate(kinds(5)):
        repo.write(b"d %d/" % number + path, contents)
    repo.write(b"new\nline \xff", os.urandom(9 * MIB))
    for _ in range(2):
        check_overlay(take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True)))


def in_pieces(contents: bytes) -> Iterator[bytes]:
    for at in range(0, len(contents), MIB):
        yield contents[at : at + MIB]


@pytest.mark.slow
@pytest.mark.parametrize(
    "around", [b"\n", *(pytest.param(each, marks=pytest.mark.slow) for each in (b"\x00", b" word\n"))]
)
def test_a_token_is_found_wherever_it_stands(around: bytes) -> None:
    """Across the edges of pieces too, with the line on which it stands; and once."""
    size = 3 * MIB + 100_000
    filler = (around * (size // len(around) + 1))[:size]
    edges = [0, 1, 65536, MIB - 65536, MIB, MIB + 65536, 2 * MIB - 131072, 2 * MIB, 3 * MIB, size - len(TOKEN)]
    for edge in edges:
        for at in (edge - len(TOKEN) // 2, edge - 1, edge):
            if not 0 <= at <= size - len(TOKEN):
                continue
            contents = filler[:at] + TOKEN + filler[at + len(TOKEN) :]
            whole, through = Scan(), Scan()
            whole.look(b"file", contents)
            assert b"".join(through.look_through(b"file", in_pieces(contents))) == contents
            found = [(each.path, each.line, each.secret) for each in through._findings]
            assert found == [(each.path, each.line, each.secret) for each in whole._findings]
            assert len(found) == (0 if around == b" word\n" and contents[at - 1 : at].isalnum() and at else 1)


@pytest.mark.slow
def test_a_token_in_a_large_file_stops_the_snapshot(repo: Repo) -> None:
    repo.write("a", "1")
    repo.commit()
    repo.write("model.bin", os.urandom(10 * MIB) + b"\n" + TOKEN + b"\n" + os.urandom(10 * MIB))
    with pytest.raises(NotReproducible, match="token"):
        take_snapshot(Git(str(repo.path), environment=repo.env), Request(here=True))
    assert not list((repo.git_dir() / "coderepo" / "overlays").glob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_eighty_megabytes_are_never_whole_in_memory(repo: Repo, count: int) -> None:
    repo.write("a", "1")
    repo.commit()
    for number in range(count):
        repo.write(f"b{number}.bin", os.urandom(80_000_000 // count))
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    env = {**repo.env, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "git_coderepo", "snapshot", "-o", str(repo.path.parent / "run.json")]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=repo.path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 80_000_000
