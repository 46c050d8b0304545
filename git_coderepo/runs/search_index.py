"""An index of the record of runs in SQLite: built by readers when they need it, thrown away at will, never the truth.

The truth are the files. A month's folder is listed again when its time of change differs, and only files that are new
are read. Where the index cannot be written it is built in memory, where it is damaged it is built anew.
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
# A folder that was changed so shortly before it was listed (ns) may have changed again within the same tick of its
# clock, or of a file server's.
_RACY = 3_000_000_000
_BATCH = 2_000
# So many files take a second or more to read.
_LONG = 10_000

Found = TypeVar("Found")


class Filter(NamedTuple):
    """What `log` asks for; None where nothing is asked. Ids are prefixes in hex, `since` seconds since the epoch.

    `name` may be a pattern (`*`, `?`, `[…]`); `produced` is a sha256 in hex.
    """

    commit: str | None = None
    tree: str | None = None
    name: str | None = None
    dirty: bool = False
    since: float | None = None
    produced: str | None = None

    @property
    def needs_index(self) -> bool:
        """Whether names of files alone cannot answer it."""
        return self.dirty or any(each is not None for each in (self.commit, self.tree, self.name, self.produced))


class Index:
    """An open index of `runs`; see `with_index`."""

    def __init__(self, runs: Runs, connection: sqlite3.Connection) -> None:
        self.runs = runs
        self.database = connection
        # Who hears that it takes a while, once.
        self.say: Callable[[str], None] | None = None

    def is_fresh(self, month: str) -> bool:
        """Whether nothing has changed in a month's folder since it was listed."""
        found = self.database.execute(
            "SELECT changed, folder FROM months WHERE month = ? AND settled", (month,)
        ).fetchone()
        return found is not None and tuple(found) == _identity(self.runs, month)

    def refresh(self, months: Sequence[str] | None = None) -> None:
        """Take in what is new in these months, or in all, and forget what is gone."""
        known = [row[0] for row in self.database.execute("SELECT month FROM months")]
        present = months_of(self.runs)
        for month in present if months is None else months:
            if not self.is_fresh(month):
                self._take(month)
        for month in set(known) - set(present):
            self._forget(month)

    def ids(self, wanted: Filter, limit: int | None = None) -> list[str]:
        """The runs that fit, newest first."""
        where, values = _conditions(wanted)
        rows = self.database.execute(
            f"SELECT id FROM runs{where} ORDER BY id DESC LIMIT ?",  # noqa: S608
            (*values, -1 if limit is None else limit),
        )
        return [_dashed(row[0]) for row in rows]

    def ids_between(self, low: bytes, high: bytes, limit: int) -> list[str]:
        """The runs with these ids (16 bytes each) or one between them, newest first."""
        rows = self.database.execute(
            "SELECT id FROM runs WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT ?", (low, high, limit)
        )
        return [_dashed(row[0]) for row in rows]

    def _take(self, month: str) -> None:
        identity, now = _identity(self.runs, month), time.time_ns()
        if identity is None:
            self._forget(month)
            return
        names, results = list_month(self.runs, month)
        lowest, highest = bounds(month)
        known = {
            bytes(row[0])
            for row in self.database.execute("SELECT id FROM runs WHERE id >= ? AND id < ?", (lowest, highest))
        }
        present = {_packed(name) for name in names}
        again = self.database.execute(
            "SELECT id FROM runs WHERE finished = 0 AND id >= ? AND id < ?", (lowest, highest)
        ).fetchall()
        waiting = [bytes(row[0]) for row in again if row[0] in present]
        wanted = sorted(present - known) + [id for id in waiting if _dashed(id) in results]
        with self.database:
            self._remove(sorted(known - present))
        if len(wanted) > _LONG and self.say is not None:
            self.say("reading new runs into the index, once")
            self.say = None
        for start in range(0, len(wanted), _BATCH):
            with self.database:
                for id in wanted[start : start + _BATCH]:
                    self._add(_dashed(id), has_result=_dashed(id) in results)
        settled = now - identity[0] > _RACY
        with self.database:
            self.database.execute("REPLACE INTO months VALUES (?, ?, ?, ?)", (month, *identity, settled))

    def _add(self, id: str, *, has_result: bool) -> None:
        row = _facts(self.runs.path_of(id))
        if row is None:
            return  # damaged, or gone meanwhile: it is looked at again when the folder has changed
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


def with_index(runs: Runs, use: Callable[[Index], Found], *, write: bool = True) -> Found:
    """What `use` finds in the index. Where the file cannot be used, it works on one in memory instead.

    Without `write` an index that is not there is not made: `use` then gets an empty one.
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
    """Throw the index away; the next reader that needs one builds it."""
    path = path_of_index(runs)
    for name in (path, path + b"-journal"):
        try:
            os.unlink(name)
        except OSError:
            pass


def path_of_index(runs: Runs) -> bytes:
    """Where it lies: beside the folders of the months."""
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
    """The connection to an index of our version; another version's is emptied first."""
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
    """A copy of the index as far as it can be read."""
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
    """The months that have a folder, newest first."""
    try:
        names = os.listdir(os.fsdecode(runs.directory))
    except FileNotFoundError:
        return []
    return sorted((name for name in names if _is_month(name)), reverse=True)


def list_month(runs: Runs, month: str) -> tuple[list[str], set[str]]:
    """(the ids whose manifest is in a month's folder, the ids that have a result), by names alone."""
    try:
        names = os.listdir(os.fsdecode(runs.directory) + "/" + month)
    except (FileNotFoundError, NotADirectoryError):
        return [], set()
    lowest, highest = (_dashed(bound) for bound in bounds(month))
    ids = [name[:36] for name in names if len(name) == 41 and name.endswith(".json") and _is_id(name[:36])]
    results = {name[:36] for name in names if len(name) == 48 and name.endswith(".result.json")}
    return [id for id in ids if lowest <= id < highest], results


def bounds(month: str) -> tuple[bytes, bytes]:
    """The smallest id that a month can have, and the smallest of the next one."""
    import calendar

    year, number = int(month[:4]), int(month[5:])
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    low, high = (calendar.timegm((*each, 1, 0, 0, 0)) * 1000 << 80 for each in ((year, number), after))
    return low.to_bytes(16, "big"), high.to_bytes(16, "big")


def _identity(runs: Runs, month: str) -> tuple[int, int] | None:
    """What tells that a folder is as it was: its time of change (ns), and which folder it is."""
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
    """(name, commit, tree, dirty, parent) of a manifest, read as quickly as that is possible; None where it is none."""
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


def _conditions(wanted: Filter) -> tuple[str, list[object]]:
    """The WHERE of a filter, and its values."""
    found: list[str] = []
    values: list[object] = []
    for column, prefix in (('"commit"', wanted.commit), ("tree", wanted.tree)):
        if prefix is not None:
            low, high = _range(prefix)
            found.append(f"{column} >= ? AND {column} <= ?")
            values += [low, high]
    if wanted.name is not None:
        found.append("name GLOB ?" if any(char in wanted.name for char in "*?[") else "name = ?")
        values.append(wanted.name)
    if wanted.dirty:
        found.append("dirty")
    if wanted.since is not None:
        found.append("id >= ?")
        values.append((max(int(wanted.since * 1000), 0) << 80).to_bytes(16, "big"))
    if wanted.produced is not None:
        found.append("id IN (SELECT run FROM outputs WHERE sha256 = ?)")
        values.append(bytes.fromhex(wanted.produced))
    return (" WHERE " + " AND ".join(found) if found else ""), values


def _range(prefix: str) -> tuple[bytes, bytes]:
    """The first and the last object id with a prefix in hex, whatever its format."""
    return bytes.fromhex(prefix + "0" * (len(prefix) % 2)), bytes.fromhex(prefix + "f" * (64 - len(prefix)))


def _packed(id: str) -> bytes:
    return bytes.fromhex(id.replace("-", ""))


def _dashed(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
