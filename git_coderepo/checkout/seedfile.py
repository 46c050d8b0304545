"""The seed as a file: an index that git reads as any other, and in an extension of ours what has to be so again.

Format of an index and of an optional extension: https://git-scm.com/docs/gitformat-index. Ours, `CRUN`, is the last:
its parts, each after its length in decimal digits and a colon, its own length and the CRC-32 of all before, as 32 bits.
"""

from __future__ import annotations

import os

from git_coderepo import __version__
from git_coderepo.checkout.indexfile import entries_of, index_of, is_of, sealed, settled_second
from git_coderepo.errors import InvalidObjectId
from git_coderepo.objects import ObjectId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from git_coderepo.checkout.found import Found

_NAME = b"CRUN"
_MAGIC = b"git-coderepo seed 3"
_TICK = 20_000_000
_SECOND = 1_000_000_000
# What belongs to a snapshot changes with the program.
_PROGRAM = __version__.encode()


class Last:
    """The snapshot that was made of a seed's files, and what made it beside them and the seed's conditions.

    `said` is what `git status` said, `deciding` the settings that decide what belongs to a snapshot (see
    `rules.deciding`). `omitted` are (raw path, reason), `counts` the paths staged, unstaged and untracked.
    """

    __slots__ = ("counts", "deciding", "omitted", "said", "tree")

    def __init__(
        self,
        said: bytes,
        deciding: bytes,
        tree: ObjectId,
        omitted: Sequence[tuple[bytes, str]],
        counts: tuple[int, int, int],
    ) -> None:
        self.said = said
        self.deciding = deciding
        self.tree = tree
        self.omitted = omitted
        self.counts = counts

    @classmethod
    def unpacked(cls, parts: Sequence[bytes]) -> Last | None:
        """From what `packed` gave; None for what another version of the program did. Raises ValueError."""
        program, said, deciding, tree, counts, *rest = parts
        if program != _PROGRAM:
            return None
        staged, unstaged, untracked = map(int, counts.split())
        omitted = [(path, reason.decode()) for path, reason in zip(rest[::2], rest[1::2], strict=True)]
        return cls(said, deciding, ObjectId(tree.decode()), omitted, (staged, unstaged, untracked))

    def packed(self) -> list[bytes]:
        """As parts of the file."""
        counts = b"%d %d %d" % self.counts
        rest = [part for path, reason in self.omitted for part in (path, reason.encode())]
        return [_PROGRAM, self.said, self.deciding, self.tree.hex.encode(), counts, *rest]


class Seed:
    """A private index of before, made under `conditions` (see `seed.conditions`) of files in the `folders`.

    What was written to a file since it was `settled`, nanoseconds since 1970 of the file system's clock, shows in what
    lstat(2) says of it; younger files may have changed without a sign (racy-git(7) in Git's documentation). `last` is
    the snapshot of then, None where it may not serve again as a whole.
    """

    __slots__ = ("_data", "_id_length", "conditions", "folders", "last", "settled")

    def __init__(
        self, data: bytes, id_length: int, settled: int, conditions: bytes, folders: list[bytes], last: Last | None
    ) -> None:
        self._data = data
        self._id_length = id_length
        self.settled = settled
        self.conditions = conditions
        self.folders = folders
        self.last = last

    def entries(self) -> dict[bytes, bytes]:
        """Its entries, see `indexfile`."""
        return entries_of(self._data, self._id_length) or {}

    def has(self, entry: bytes, facts: os.stat_result | None) -> bool:
        """Whether one of its entries was made of this file, to which nothing was written since."""
        if facts is None or not is_of(entry, facts):
            return False
        # A file system that keeps whole seconds, or every other one, says so with each of its times.
        doubt = 0 if facts.st_mtime_ns % _SECOND else 2 * _SECOND
        return facts.st_mtime_ns < self.settled - doubt


def read_seed(path: bytes, id_length: int) -> Seed | None:
    """The seed at `path`; None where there is none, or a damaged one. Raises OSError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    return parse_seed(data, id_length)


def parse_seed(data: bytes, id_length: int) -> Seed | None:
    """The same of the bytes of the file."""
    import zlib

    checked = len(data) - id_length - 4
    size = int.from_bytes(data[checked - 4 : checked], "big") if checked > 4 else 0
    payload = checked + 4 - size
    if payload < 8 or data[payload - 8 : payload] != _NAME + size.to_bytes(4, "big"):
        return None
    if zlib.crc32(memoryview(data)[:checked]) != int.from_bytes(data[checked : checked + 4], "big"):
        return None  # cut off by a machine that went down
    try:
        magic, settled, conditions, folders, *last = _unpacked(data, payload, checked - 4)
        if magic != _MAGIC:
            return None
        return Seed(
            data, id_length, int(settled), conditions, folders.split(b"\0"), Last.unpacked(last) if last else None
        )
    except (ValueError, InvalidObjectId):
        return None


def write_seed(
    path: bytes,
    object_format: str,
    entries: Mapping[bytes, bytes],
    found: Found,
    conditions: bytes,
    folders: Sequence[bytes],
    last: Last | None,
) -> None:
    """Keep the entries that git made of what was `found`; the last one to write wins. Raises OSError.

    Not synced: one that a crash damages is told by its checksum.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = b"%s.%d.%s.tmp" % (path, os.getpid(), os.urandom(4).hex().encode())
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            # From the first look on the files may have changed; the clock of files stands still for up to 10 ms.
            facts = os.fstat(file.fileno())
            settled = facts.st_mtime_ns - found.age() - _TICK
            # Of times git compares whole seconds; and another file system may be another machine's, whose clock is off.
            if last is not None and (settled // _SECOND < settled_second(entries) or found.devices() != {facts.st_dev}):
                last = None
            parts = [_MAGIC, b"%d" % settled, conditions, b"\0".join(folders), *(last.packed() if last else ())]
            file.write(_with_extension(index_of(entries), parts, object_format))
            file.flush()
            os.utime(file.fileno(), ns=(settled, settled))  # git tells a racy entry by it
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _with_extension(index: bytes, parts: Sequence[bytes], object_format: str) -> bytes:
    import zlib

    payload = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    size = (len(payload) + 8).to_bytes(4, "big")
    body = b"".join((index, _NAME, size, payload, size))
    return sealed(body + zlib.crc32(body).to_bytes(4, "big"), object_format)


def _unpacked(data: bytes, at: int, end: int) -> list[bytes]:
    """The parts between two places. Raises ValueError."""
    parts = []
    while at < end:
        colon = data.index(b":", at, end)
        at = colon + 1 + int(data[at:colon])
        parts.append(data[colon + 1 : at])
    return parts
