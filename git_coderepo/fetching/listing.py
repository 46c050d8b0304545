"""A compact listing of a tree: mode and id by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from git_coderepo.git.objects import GITLINK, ObjectId, directory_trees

_PACKED_GITLINK = b"%06o" % GITLINK


class Listing(Mapping[bytes, "tuple[int, bytes]"]):
    """A mapping of raw paths from the root to (mode, raw id); 100,000 paths take about 15 MB.

    `directories` has the form that `objects.directory_trees` takes: for each directory, its entries by name, without
    subdirectories, each packed as six octal digits of the mode and the raw id. The writer adds its entries there
    directly. `stored` has, by directory, the contents of tree objects that git would write differently today; see
    `stored_trees`.
    """

    __slots__ = ("directories", "stored")

    def __init__(self) -> None:
        self.directories: dict[bytes, dict[bytes, bytes]] = {b"": {}}
        self.stored: Mapping[bytes, bytes] = {}

    def __getitem__(self, path: bytes) -> tuple[int, bytes]:
        directory, _, name = path.rpartition(b"/")
        packed = self.directories[directory][name]
        return int(packed[:6], 8), packed[6:]

    def __iter__(self) -> Iterator[bytes]:
        for directory, entries in self.directories.items():
            prefix = directory + b"/" if directory else b""
            for name in entries:
                yield prefix + name

    def __len__(self) -> int:
        return sum(map(len, self.directories.values()))

    def put(self, path: bytes, packed: bytes) -> None:
        """Add a path, packed as `directories` has it."""
        directory, _, name = path.rpartition(b"/")
        entries = self.directories.get(directory)
        if entries is None:
            entries = self.directories[directory] = {}
            while (directory := directory.rpartition(b"/")[0]) not in self.directories:
                self.directories[directory] = {}
        entries[name] = packed

    def put_ids(self, ids: Mapping[bytes, bytes]) -> None:
        """Replace the raw ids of listed paths. Raises KeyError for another path."""
        for path, id in ids.items():
            directory, _, name = path.rpartition(b"/")
            entries = self.directories[directory]
            entries[name] = entries[name][:6] + id

    def discard(self, path: bytes) -> None:
        """Remove the path, if it is listed."""
        directory, _, name = path.rpartition(b"/")
        if directory in self.directories:
            self.directories[directory].pop(name, None)

    def part(self, path: bytes) -> Listing:
        """Return the listing of a directory, with paths from there."""
        found = Listing()
        prefix = path + b"/"
        found.directories.update(
            (directory[len(prefix) :], dict(entries))
            for directory, entries in self.directories.items()
            if (directory + b"/").startswith(prefix)
        )
        found.stored = {
            directory[len(prefix) :]: contents
            for directory, contents in self.stored.items()
            if (directory + b"/").startswith(prefix)
        }
        return found

    def prune(self) -> None:
        """Remove empty directories, which Git does not store."""
        alive = {b""}
        for directory, entries in self.directories.items():
            if entries:
                while directory not in alive:
                    alive.add(directory)
                    directory = directory.rpartition(b"/")[0]
        if len(alive) != len(self.directories):
            self.directories = {path: entries for path, entries in self.directories.items() if path in alive}

    def gitlinks(self) -> dict[bytes, bytes]:
        """Return the raw commit id of each submodule by its path."""
        return {
            directory + b"/" + name if directory else name: packed[6:]
            for directory, entries in self.directories.items()
            for name, packed in entries.items()
            if packed.startswith(_PACKED_GITLINK)
        }

    def subdirectories(self) -> dict[bytes, set[bytes]]:
        """Return the names of the subdirectories of each directory that has any."""
        names: dict[bytes, set[bytes]] = {}
        for directory in self.directories:
            if directory:
                parent, _, name = directory.rpartition(b"/")
                names.setdefault(parent, set()).add(name)
        return names

    def tree(self, object_format: str) -> ObjectId:
        """Return the id of the tree. Raises UnsafeTree if a path is both a file and a directory."""
        # The root comes last.
        *_, (_, root, _) = directory_trees(self.directories, object_format, self.stored or None)
        return ObjectId.from_raw(root)

    def stored_directories(self, object_format: str) -> tuple[bytes, ...]:
        """Return the directories, sorted, whose stored tree object differs from the one that git would write today."""
        if not self.stored:
            return ()
        trees = directory_trees(self.directories, object_format, self.stored)
        return tuple(sorted(path for path, _, contents in trees if self.stored.get(path) == contents))
