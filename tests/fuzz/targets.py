"""Which targets there are, and how one is played without atheris."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.fuzz import manifest, parsed, tar, url


@dataclass(frozen=True)
class Target:
    """`one` raises for a finding; `seeds` are inputs from which mutation gets far; `longest` bounds inputs (bytes)."""

    one: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    longest: int


TARGETS = {
    "tar": Target(tar.one, tar.seeds, 32 << 10),
    "manifest": Target(manifest.one, manifest.seeds, 8 << 10),
    "url": Target(url.one, url.seeds, 512),
    "parsed": Target(parsed.one, parsed.seeds, 4 << 10),
}


def mutated(seeds: list[bytes], chance: random.Random) -> bytes:
    """A seed with a few bytes changed, taken out, doubled, or taken from another seed."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 5)):
        start = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 2, 4, 12, 100))
        match chance.randrange(5):
            case 0:
                data[start : start + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[start : start + length]
            case 2:
                data[start:start] = data[start : start + length]
            case 3:
                other = chance.choice(seeds)
                place = chance.randrange(len(other) + 1)
                data[start : start + length] = other[place : place + length]
            case _:
                data[start:start] = chance.choice(
                    (b"\0", b"\n", b"/", b"..", b"{{", b"-", b"\xff", b"9" * 20, b"\xe2\x80\x8c")
                )
    return bytes(data)
