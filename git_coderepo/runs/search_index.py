"""Index the record of runs in SQLite, for queries about the contents of manifests.

The index is only a cache of the files: readers build it when they need it, and it can be deleted at any time. A month's
folder is listed again when its mtime differs, and only new files are read. If the index cannot be written it is built
in memory; if it is damaged it is rebuilt.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from git_coderepo.runs.record_files import Runs
from git_coderepo.runs.result import Result

if TYPE_CHECKING:
    import sqlite3

_VERSION = 1
_SCHEMA = """
CREATE TABLE runs (id BLOB PRIMARY KEY, name TEXT, "commit" BLOB, tree BLOB, dirty INTEGER, parent BLOB,
                   status INTEGER, signal TEXT, finished INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX by_commit ON runs ("commit");
CREATE INDEX by_tree ON runs (tree);
CREATE INDEX by_name ON runs (name) WHERE name IS NOT NULL;
CREATE INDEX unfinished ON runs (id) WHERE finished = 0;
CREATE TABLE outputs (sha256 BLOB, run BLOB, PRIMARY KEY (sha256, run)) WITHOUT ROWID;
CREATE TABLE months (month TEXT PRIMARY KEY, changed INTEGER, folder INTEGER, settled INTEGER);
"""
# A folder that changed less than this (ns) before it was listed may have changed again in the same tick of its clock,
# or of a file server's.
_RACY = 3_000_000_000
_BATCH = 2_000
# Reading this many files takes a second or more.
_LONG = 10_000

Answer = TypeVar("Answer")


class Filter(NamedTuple):
    """Which runs `log` shows; None matches every run. Ids are prefixes in hex, `since` is in seconds since 1970.

    `name` may be a pattern (`*`, `?`, `[…]`); `produced` is the sha256 (hex) of an output; `parent` is a whole id.
    """

    commit: str | None = None
    tree: str | None = None
    name: str | None = None
    dirty: bool = False
    since: float | None = None
    produced: str | None = None
    parent: str | None = None

    @property
    def needs_index(self) -> bool:
        """Whether the filter needs more than the names of files."""
        contents = (self.commit, self.tree, self.name, self.produced, self.parent)
        return self.dirty or any(each is not None for each in contents)


class _Changes(NamedTuple):
    """What differs between a month's folder and the index: ids (16 bytes) to read and to remove."""

    ids: list[bytes]
    gone: list[bytes]
    results: set[str]
    identity: tuple[int, int] | None
    settled: bool


class Index:
    """An open index of `runs`; see `with_index`."""

    def __init__(self, runs: Runs, connection: sqlite3.Connection) -> None:
        self.runs = runs
        self.database = connection

    def is_fresh(self, month: str) -> bool:
        """Return whether nothing has changed in a month's folder since it was listed."""
        row = self.database.execute(
            "SELECT changed, folder FROM months WHERE month = ? AND settled", (month,)
        ).fetchone()
        return row is not None and tuple(row) == _identity(self.runs, month)

    def refresh(self, *, notify: Callable[[str], None] | None = None) -> None:
        """Add new runs, and remove those that are gone; `notify` receives a message if that takes long."""
        known = [row[0] for row in self.database.execute("SELECT month FROM months")]
        present = months_of(self.runs)
        stale = [month for month in present if not self.is_fresh(month)]
        is_announced = False
        for month in stale:
            new = self._changes(month)
            if notify is not None and not is_announced and len(new.ids) > _LONG:
                notify("reading new runs into the index, once")
                is_announced = True
            self._apply(month, new)
        for month in set(known) - set(present):
            self._forget(month)

    def ids(self, filter: Filter, limit: int | None = None) -> list[str]:
        """Return the ids of the runs that match, newest first."""
        where, values = _conditions(filter)
        rows = self.database.execute(
            f"SELECT id FROM runs{where} ORDER BY id DESC LIMIT ?",  # noqa: S608
            (*values, -1 if limit is None else limit),
        )
        return [_dashed(row[0]) for row in rows]

    def ids_between(self, low: bytes, high: bytes, limit: int) -> list[str]:
        """Return the ids from `low` to `high` (16 bytes each), newest first."""
        rows = self.database.execute(
            "SELECT id FROM runs WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT ?", (low, high, limit)
        )
        return [_dashed(row[0]) for row in rows]

    def _changes(self, month: str) -> _Changes:
        """Compare a month's folder with the index."""
        identity, now = _identity(self.runs, month), time.time_ns()
        names, results = list_month(self.runs, month)
        lowest, highest = bounds(month)
        rows = self.database.execute("SELECT id, finished FROM runs WHERE id >= ? AND id < ?", (lowest, highest))
        known = {bytes(id): bool(finished) for id, finished in rows}
        present = {_packed(name) for name in names}
        ended = [id for id in known if id in present and not known[id] and _dashed(id) in results]
        return _Changes(
            ids=sorted(present - known.keys()) + ended,
            gone=sorted(known.keys() - present),
            results=results,
            identity=identity,
            settled=identity is not None and now - identity[0] > _RACY,
        )

    def _apply(self, month: str, changes: _Changes) -> None:
        if changes.identity is None:
            self._forget(month)
            return
        with self.database:
            self._remove(changes.gone)
        for start in range(0, len(changes.ids), _BATCH):
            with self.database:
                for id in changes.ids[start : start + _BATCH]:
                    self._add(_dashed(id), has_result=_dashed(id) in changes.results)
        with self.database:
            self.database.execute(
                "REPLACE INTO months VALUES (?, ?, ?, ?)", (month, *changes.identity, changes.settled)
            )

    def _add(self, id: str, *, has_result: bool) -> None:
        row = _facts(self.runs.path_of(id))
        if row is None:
            return  # damaged or removed meanwhile: it is read again when the folder changes
        result = Result.load(self.runs.result_path_of(id)) if has_result else None
        ended = result is not None and result.finished_on is not None
        self.database.execute(
            "REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (_packed(id), *row, result and result.status, result and result.signal, ended),
        )
        if result is not None and ended:
            self.database.executemany(
                "REPLACE INTO outputs VALUES (?, ?)",
                [(bytes.fromhex(each.sha256), _packed(id)) for each in result.outputs],
            )

    def _forget(self, month: str) -> None:
        with self.database:
            rows = self.database.execute("SELECT id FROM runs WHERE id >= ? AND id < ?", bounds(month))
            self._remove([bytes(row[0]) for row in rows])
            self.database.execute("DELETE FROM months WHERE month = ?", (month,))

    def _remove(self, ids: Sequence[bytes]) -> None:
        self.database.executemany("DELETE FROM runs WHERE id = ?", [(id,) for id in ids])
        if ids:
            self.database.execute("DELETE FROM outputs WHERE run NOT IN (SELECT id FROM runs)")


def with_index(runs: Runs, use: Callable[[Index], Answer], *, write: bool = True) -> Answer:
    """Open the index, call `use` with it, and return its result. If the file is unusable, the index is in memory.

    Without `write` a missing index is not created, and `use` gets an empty one.
    """
    import sqlite3

    path = path_of_index(runs)
    for _ in range(2):
        try:
            with closing(_open(path, write=write)) as connection:
                return use(Index(runs, connection))
        except sqlite3.OperationalError:
            break  # read-only, locked, full: not our file's fault
        except sqlite3.DatabaseError:
            discard(runs)
    with closing(_in_memory(path)) as connection:
        return use(Index(runs, connection))


def discard(runs: Runs) -> None:
    """Delete the index; the next reader that needs one builds it."""
    path = path_of_index(runs)
    for name in (path, path + b"-journal"):
        try:
            os.unlink(name)
        except OSError:
            pass


def path_of_index(runs: Runs) -> bytes:
    """Return the path of the index: in the folder of the monthly folders."""
    return runs.directory + b"/index.sqlite"


def _open(path: bytes, *, write: bool) -> sqlite3.Connection:
    import sqlite3

    if not os.path.isdir(os.path.dirname(path)) or (not write and not os.path.exists(path)):
        return _prepared(sqlite3.connect(":memory:"))
    connection = sqlite3.connect(os.fsdecode(path), timeout=5)
    try:
        return _prepared(connection)
    except BaseException:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return the connection, after replacing an index of another version by an empty one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another reader may have been quicker
        if version != _VERSION:
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                connection.execute(f'DROP TABLE "{name}"')
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.commit()
    return connection


def _in_memory(path: bytes) -> sqlite3.Connection:
    """Return a copy of the index in memory, empty if it cannot be read."""
    import sqlite3

    memory = sqlite3.connect(":memory:")
    try:
        uri = "file:" + "".join(f"%{byte:02x}" for byte in path) + "?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=1)) as file:
            file.backup(memory)
        return _prepared(memory)
    except sqlite3.Error:
        memory.close()
        return _prepared(sqlite3.connect(":memory:"))


# --- the folders ---


def months_of(runs: Runs) -> list[str]:
    """Return the months that have a folder, newest first."""
    try:
        names = os.listdir(os.fsdecode(runs.directory))
    except FileNotFoundError:
        return []
    return sorted((name for name in names if _is_month(name)), reverse=True)


def list_month(runs: Runs, month: str) -> tuple[list[str], set[str]]:
    """Return (ids with a manifest, ids with a result) of a month's folder, from the names of its files."""
    try:
        names = os.listdir(os.fsdecode(runs.directory) + "/" + month)
    except (FileNotFoundError, NotADirectoryError):
        return [], set()
    lowest, highest = (_dashed(bound) for bound in bounds(month))
    ids = [name[:36] for name in names if len(name) == 41 and name.endswith(".json") and _is_id(name[:36])]
    results = {name[:36] for name in names if len(name) == 48 and name.endswith(".result.json")}
    return [id for id in ids if lowest <= id < highest], results


def bounds(month: str) -> tuple[bytes, bytes]:
    """Return the smallest id (16 bytes) that a month can have, and that of the next month."""
    import calendar

    year, number = int(month[:4]), int(month[5:])
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    low, high = (calendar.timegm((*each, 1, 0, 0, 0)) * 1000 << 80 for each in ((year, number), after))
    return low.to_bytes(16, "big"), high.to_bytes(16, "big")


def _identity(runs: Runs, month: str) -> tuple[int, int] | None:
    """Return (mtime in ns, inode) of a month's folder, which differ if it has changed; None if it does not exist."""
    try:
        facts = os.stat(runs.directory + b"/" + month.encode())
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino


def _is_month(name: str) -> bool:
    year, dash, month = name.partition("-")
    return (
        len(name) == 7 and dash == "-" and name.isascii() and year.isdigit() and month.isdigit()
        and "1970" <= year <= "9998" and "01" <= month <= "12"
    )  # fmt: skip


_HEX = frozenset("0123456789abcdef")


def _is_id(text: str) -> bool:
    return (
        text[8] == text[13] == text[18] == text[23] == "-"
        and text[14] == "7"
        and _HEX.issuperset(text.replace("-", ""))
        and text.count("-") == 4
    )


def _facts(path: bytes) -> tuple[str | None, bytes | None, bytes, bool, bytes | None] | None:
    """Return (name, commit, tree, dirty, parent) of a manifest, without validating it; None if it is not one."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        run, code = document["run"], document["code"]
        head, parent = code["head"], run["parent"]
        return (
            run["name"] if isinstance(run["name"], str) else None,
            None if head is None else bytes.fromhex(head["commit"]),
            bytes.fromhex(code["snapshot"]["tree"]),
            bool(code["dirty"]),
            None if parent is None else _packed(parent),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _conditions(filter: Filter) -> tuple[str, list[object]]:
    """Return the WHERE clause of a filter, and its values."""
    conditions: list[str] = []
    values: list[object] = []
    for column, prefix in (('"commit"', filter.commit), ("tree", filter.tree)):
        if prefix is not None:
            low, high = _range(prefix)
            conditions.append(f"{column} >= ? AND {column} <= ?")
            values += [low, high]
    if filter.name is not None:
        conditions.append("name GLOB ?" if any(char in filter.name for char in "*?[") else "name = ?")
        values.append(filter.name)
    if filter.dirty:
        conditions.append("dirty")
    if filter.since is not None:
        conditions.append("id >= ?")
        values.append((max(int(filter.since * 1000), 0) << 80).to_bytes(16, "big"))
    if filter.produced is not None:
        conditions.append("id IN (SELECT run FROM outputs WHERE sha256 = ?)")
        values.append(bytes.fromhex(filter.produced))
    if filter.parent is not None:
        conditions.append("parent = ?")
        values.append(_packed(filter.parent))
    return (" WHERE " + " AND ".join(conditions) if conditions else ""), values


def _range(prefix: str) -> tuple[bytes, bytes]:
    """Return the first and the last object id (raw) with a prefix in hex."""
    return bytes.fromhex(prefix + "0" * (len(prefix) % 2)), bytes.fromhex(prefix + "f" * (64 - len(prefix)))


def _packed(id: str) -> bytes:
    return bytes.fromhex(id.replace("-", ""))


def _dashed(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
