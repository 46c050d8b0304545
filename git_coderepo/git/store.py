"""Keep our own objects in a store that has the user's as its alternate, so that the user's does not change."""

from __future__ import annotations

import os
import stat

from git_coderepo.errors import CodeRepoError, DownloadDamaged
from git_coderepo.filesystem.atomic import names_in, unwritable, write_whole
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.git.objects import ID_LENGTHS, hasher
from git_coderepo.git.repository import RECORD_DIRECTORY, own_elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout

_PIECE = 1 << 20


class Store:
    """The objects, overlays and private index of a checkout's snapshots.

    `directory` is `<common git dir>/coderepo`, unless the caller names another one. A submodule uses the store of its
    superproject, `outer`, so that a run's objects are, and are pruned, in one place. If `is_suspect`, damaged objects
    were detected, and existing objects are not relied on.
    """

    __slots__ = ("_whole", "directory", "is_suspect", "layout", "outer")

    def __init__(
        self,
        layout: Layout,
        directory: bytes | None = None,
        *,
        outer: Store | None = None,
        is_suspect: bool = False,
    ) -> None:
        self.layout = layout
        self.outer = outer
        self.is_suspect: bool = outer.is_suspect if outer is not None else is_suspect
        self._whole: set[bytes] = set()
        own = layout.own if outer is None else outer.directory
        self.directory: bytes = directory if directory is not None else own

    @property
    def objects(self) -> bytes:
        return self.directory + b"/objects"

    @property
    def overlays(self) -> bytes:
        return self.directory + b"/overlays"

    @property
    def private_index(self) -> bytes:
        """The worktree's private index: in one folder with those of others, where `prune` removes old ones."""
        linked = self.layout.git_dir != self.layout.common_dir
        return self.directory + (b"/seed." + os.path.basename(self.layout.git_dir) if linked else b"/seed")

    @property
    def lfs_setting(self) -> tuple[str, str]:
        """The setting that makes the clean filter of git-lfs store objects here, not in the user's repository."""
        return "lfs.storage", os.fsdecode(self.directory + b"/lfs")

    def prepare(self) -> None:
        """Create the directories and `info/alternates`, for `git fsck` and for people. Raises CodeRepoError."""
        if self.outer is not None:
            self.outer.prepare()
            return
        for directory in (self.objects + b"/info", self.objects + b"/pack", self.overlays):
            try:
                os.makedirs(directory, exist_ok=True)
            except OSError as error:
                raise unwritable(self.directory, error) from error
        alternates = self.objects + b"/info/alternates"
        contents = quoted_path(self.layout.objects) + b"\n"
        try:
            with open(alternates, "rb") as file:
                if file.read() == contents:
                    return
        except FileNotFoundError:
            pass
        write_whole(alternates, contents)

    def has_trees(self, contents: Iterable[bytes]) -> bool:
        """Return whether the store has tree objects with these contents (without header), as loose objects.

        The objects that they name were written before them. A damaged one is moved aside, because git would not replace
        it.
        """
        import zlib

        if self.is_suspect:
            return False
        has_all = True
        for each in contents:
            whole = b"tree %d\0%b" % (len(each), each)
            digest = hasher(self.layout.object_format)
            digest.update(whole)
            id = digest.hexdigest().encode()
            path = b"%b/%b/%b" % (self.objects, id[:2], id[2:])
            try:
                stream = zlib.decompressobj()
                with open(path, "rb") as file:
                    is_whole = stream.decompress(file.read()) == whole and stream.eof and not stream.unused_data
            except FileNotFoundError:
                has_all = False
                continue
            except zlib.error:
                is_whole = False
            if not is_whole:
                self.set_aside(path)
                has_all = False
        return has_all

    def keep_overlay(self, sha256: str, data: bytes) -> None:
        """Store the tar of an overlay or of Git LFS objects, replacing a damaged one. Raises OSError."""
        path = self.overlays + b"/" + overlay_name(sha256)
        if self.is_whole(path, sha256):
            os.utime(path)  # `prune` leaves alone what was just used
            return
        os.makedirs(self.overlays, exist_ok=True)
        write_whole(path, data)
        self._whole.add(path)

    def is_whole(self, path: bytes, sha256: str) -> bool:
        """Return whether a file exists and has this digest (hex); it is read once per `Store`. Raises OSError."""
        if path not in self._whole:
            try:
                with open(path, "rb") as file:
                    is_same = sha256_of(file) == sha256
            except FileNotFoundError:
                return False
            if not is_same:
                return False
            self._whole.add(path)
        return os.path.exists(path)

    def note_whole(self, path: bytes) -> None:
        """Note that the caller has verified a file."""
        self._whole.add(path)

    def set_aside(self, path: bytes) -> None:
        """Move a damaged file of the store into the folder `damaged`; `prune` removes it later. Raises OSError."""
        damaged = self.directory + b"/damaged"
        os.makedirs(damaged, exist_ok=True)
        unique = os.urandom(4).hex().encode()
        try:
            os.rename(path, b"%b/%b.%b" % (damaged, os.path.basename(path), unique))
        except FileNotFoundError:
            pass  # another process has moved it

    def git(self, git: Git) -> Git:
        """Return git that reads the user's objects and ours, and writes only to ours, without compression."""
        if not os.path.isdir(self.objects):
            return git.at(self.layout.toplevel)  # git fails if the object directory does not exist
        inherited = git.environment.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
        alternates = os.fsdecode(quoted_path(self.layout.objects))
        return (
            git.with_environment(
                GIT_OBJECT_DIRECTORY=os.fsdecode(self.objects),
                GIT_ALTERNATE_OBJECT_DIRECTORIES=f"{alternates}:{inherited}" if inherited else alternates,
            )
            .with_settings(
                ("core.looseCompression", "0"),
                # git streams larger files to and from a pack; it would keep a smaller one in memory.
                ("core.bigFileThreshold", "32m"),
                # Later snapshots rely on these objects. The third is for git before 2.36.
                ("core.fsync", "loose-object,pack,pack-metadata"),
                ("core.fsyncMethod", "batch"),
                ("core.fsyncObjectFiles", "true"),
                ("core.splitIndex", "false"),
                ("core.fsmonitor", "false"),
                ("core.safecrlf", "false"),
                ("core.hooksPath", "/dev/null"),  # the user's hooks must not run for a private index
                self.lfs_setting,
            )
            .at(self.layout.toplevel)
        )


def quoted_path(path: bytes) -> bytes:
    """Return a path for a list of alternates: in C quotes if it would be read as several paths or a comment."""
    if not any(char in path for char in b':"\n\\') and not path.startswith(b"#"):
        return path
    escaped = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'


def overlay_name(sha256: str) -> bytes:
    """Return the name of the file of an overlay, or of the tar of Git LFS objects."""
    return sha256.encode() + b".tar.gz"


def find_overlay(sha256: str, size: int, folder: bytes | None, git: Git) -> tuple[bytes, bytes] | None:
    """Find the tar of an overlay, or of Git LFS objects; return (contents, path), or None.

    It is looked up in the manifest's `folder`, in the record of which that is a part, and in this checkout's record.
    The caller has to verify the contents. Raises DownloadDamaged if it is not a file of `size` bytes.
    """
    name = overlay_name(sha256)
    folders = [folder] if folder is not None else []
    if folder is not None and os.path.basename(os.path.dirname(folder)) == b"runs":
        folders.append(os.path.dirname(os.path.dirname(folder)) + b"/overlays")  # `folder` is a month of a record
    try:
        common = git.run("rev-parse", "--path-format=absolute", "--git-common-dir").removesuffix(b"\n")
        place = git.environment.get(RECORD_DIRECTORY)
        folders.append((own_elsewhere(os.fsencode(place), common) if place else common + b"/coderepo") + b"/overlays")
    except CodeRepoError:
        pass  # outside a checkout, or without git: there is no record
    for each in folders:
        path = os.path.join(each, name)
        try:
            return _read_whole(path, size), path
        except FileNotFoundError:
            continue
    return None


def _read_whole(path: bytes, size: int) -> bytes:
    # O_NONBLOCK: opening a FIFO would wait for a writer.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(file)
        name = os.fsdecode(path)
        if not stat.S_ISREG(facts.st_mode):
            raise DownloadDamaged(f"'{name}', which travels with the run, is not a regular file")
        if facts.st_size != size:
            raise DownloadDamaged(
                f"'{name}', which travels with the run, has {facts.st_size} bytes, not the recorded {size}"
            )
        with open(file, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(file)


# --- Move damaged objects aside, so that they are written again ------------------------------------------------------
# A power loss can leave an object empty or truncated, and git does not replace an object that exists.
# Format of a loose object: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage.


def set_damaged_aside(git: Git, store: Store) -> list[bytes]:
    """Move every damaged object and pack of our store to its folder `damaged`; return their old paths.

    Reads all objects, so call it only after git failed. Raises OSError.
    """
    damaged = []
    for folder in names_in(store.objects):
        if len(folder) != 2:
            continue
        for name in names_in(store.objects + b"/" + folder):
            path = b"/".join((store.objects, folder, name))
            if len(name) == 2 * ID_LENGTHS[store.layout.object_format] - 2 and not _is_whole_object(
                path, folder + name, store.layout.object_format
            ):
                damaged.append(path)
    for path in damaged:
        store.set_aside(path)
    return damaged + _damaged_packs(git, store)


def set_damaged_of_tree_aside(git: Git, store: Store, tree: str) -> list[bytes]:
    """Move the damaged objects of a tree (hex) that are in our store to its folder `damaged`; return their old paths.

    The user's own objects are not read. Raises OSError.
    """
    loose = {
        (folder + name).decode("ascii", "replace"): b"/".join((store.objects, folder, name))
        for folder in names_in(store.objects)
        if len(folder) == 2
        for name in names_in(store.objects + b"/" + folder)
    }
    packs = _damaged_packs(git, store)
    listed = store.git(git).start("rev-list", "--objects", "--no-object-names", "--missing=print", tree).finish()
    if listed.status != 0:
        return packs + set_damaged_aside(git, store)  # a damaged tree: the objects below it are not listed
    damaged = [
        path
        for id in listed.stdout.decode().split()
        if (path := loose.get(id)) is not None and not _is_whole_object(path, id.encode(), store.layout.object_format)
    ]
    for path in damaged:
        store.set_aside(path)
    return packs + damaged


def describe_damaged(store: Store, count: int) -> str:
    """Return the message about `count` damaged objects that were moved aside."""
    place = os.fsdecode(store.directory)
    return f"{count} damaged object{'s' * (count > 1)} in '{place}/objects': moved to '{place}/damaged'"


def _is_whole_object(path: bytes, id: bytes, object_format: str) -> bool:
    """Return whether the contents of a loose object match its id (hex)."""
    import zlib

    digest, stream = hasher(object_format), zlib.decompressobj()
    try:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                while piece:
                    digest.update(stream.decompress(piece, _PIECE))
                    piece = stream.unconsumed_tail
        digest.update(stream.flush())
    except FileNotFoundError:
        return True  # removed by `prune`
    except zlib.error:
        return False
    return stream.eof and not stream.unused_data and digest.hexdigest().encode() == id


def _damaged_packs(git: Git, store: Store) -> list[bytes]:
    folder = store.objects + b"/pack/"
    damaged = []
    for name in names_in(folder):
        stem, _, end = name.rpartition(b".")
        if end == b"pack" and not store.git(git).succeeds("verify-pack", folder + stem + b".idx"):
            damaged.append(folder + name)
            # The index first: git ignores a pack without one.
            for each in (b".idx", b".rev", b".bitmap", b".pack"):
                if os.path.lexists(folder + stem + each):
                    store.set_aside(folder + stem + each)
    return damaged
