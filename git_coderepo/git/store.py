"""Our own objects: a store beside the user's, with the user's as its alternate, so that nothing of theirs changes."""

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
    """Where a checkout's snapshots keep their objects, overlays and private index.

    `directory` is `<common git dir>/coderepo`, or another one where the caller must not write there. A submodule has
    none of its own: `outer` is its superproject's, so that a run's objects lie, and are pruned, in one place. Of one
    that `is_suspect`, since damaged objects were found in it, nothing that is there already is relied on.
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
        """A worktree's private index: beside the others', where `prune` finds that of a worktree which is gone."""
        linked = self.layout.git_dir != self.layout.common_dir
        return self.directory + (b"/seed." + os.path.basename(self.layout.git_dir) if linked else b"/seed")

    @property
    def lfs_setting(self) -> tuple[str, str]:
        """What has git-lfs's clean filter keep here, and not in the user's repository, what it reads."""
        return "lfs.storage", os.fsdecode(self.directory + b"/lfs")

    def prepare(self) -> None:
        """Make the directories; the alternate is written down, so that `git fsck` and people can follow it."""
        if self.outer is not None:
            self.outer.prepare()
            return
        for directory in (self.objects + b"/info", self.objects + b"/pack", self.overlays):
            try:
                os.makedirs(directory, exist_ok=True)
            except OSError as error:
                raise unwritable(self.directory, error) from error
        alternates = self.objects + b"/info/alternates"
        wanted = quoted_path(self.layout.objects) + b"\n"
        try:
            with open(alternates, "rb") as file:
                if file.read() == wanted:
                    return
        except FileNotFoundError:
            pass
        write_whole(alternates, wanted)

    def has_trees(self, contents: Iterable[bytes]) -> bool:
        """Return whether tree objects of these contents (without header) are here, each a loose object of its own.

        What they name was written before them. A damaged one is moved aside: git would not write it again.
        """
        import zlib

        if self.is_suspect:
            return False
        are_here = True
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
                are_here = False
                continue
            except zlib.error:
                is_whole = False
            if not is_whole:
                self.set_aside(path)
                are_here = False
        return are_here

    def keep_overlay(self, sha256: str, data: bytes) -> None:
        """Have a file of an overlay, or of Git LFS objects; one that is damaged is replaced. Raises OSError."""
        path = self.overlays + b"/" + overlay_name(sha256)
        if self.is_whole(path, sha256):
            os.utime(path)  # `prune` touches nothing that was just used
            return
        os.makedirs(self.overlays, exist_ok=True)
        write_whole(path, data)
        self._whole.add(path)

    def is_whole(self, path: bytes, sha256: str) -> bool:
        """Return whether a file is there and has this digest; it is read once for each `Store`. Raises OSError."""
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
        """Note that a file was read by the caller, and is whole."""
        self._whole.add(path)

    def set_aside(self, path: bytes) -> None:
        """Move a damaged file of the store into the folder `damaged`; `prune` removes it later. Raises OSError."""
        damaged = self.directory + b"/damaged"
        os.makedirs(damaged, exist_ok=True)
        unique = os.urandom(4).hex().encode()
        try:
            os.rename(path, b"%b/%b.%b" % (damaged, os.path.basename(path), unique))
        except FileNotFoundError:
            pass  # another process was faster

    def git(self, git: Git) -> Git:
        """git that reads the user's objects and ours, and writes only ours, without spending time on compression."""
        if not os.path.isdir(self.objects):
            return git.at(self.layout.toplevel)  # nothing of ours yet: git takes an absent store for no repository
        inherited = git.environment.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
        alternates = os.fsdecode(quoted_path(self.layout.objects))
        return (
            git.with_environment(
                GIT_OBJECT_DIRECTORY=os.fsdecode(self.objects),
                GIT_ALTERNATE_OBJECT_DIRECTORIES=f"{alternates}:{inherited}" if inherited else alternates,
            )
            .with_settings(
                ("core.looseCompression", "0"),
                # A larger file goes into a pack of its own, and out of it, piece by piece; git would hold all of it.
                ("core.bigFileThreshold", "32m"),
                # A later snapshot relies on what is there. The last one is for git before 2.36.
                ("core.fsync", "loose-object,pack,pack-metadata"),
                ("core.fsyncMethod", "batch"),
                ("core.fsyncObjectFiles", "true"),
                ("core.splitIndex", "false"),
                ("core.fsmonitor", "false"),
                ("core.safecrlf", "false"),
                ("core.hooksPath", "/dev/null"),  # a private index is no news for the user's hooks
                self.lfs_setting,
            )
            .at(self.layout.toplevel)
        )


def quoted_path(path: bytes) -> bytes:
    """A path as an alternates list wants it: in C quotes where it would be taken for several or for a comment."""
    if not any(char in path for char in b':"\n\\') and not path.startswith(b"#"):
        return path
    escaped = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'


def overlay_name(sha256: str) -> bytes:
    """The name of the file of an overlay, or of the tar of Git LFS objects."""
    return sha256.encode() + b".tar.gz"


def find_overlay(sha256: str, size: int, folder: bytes | None, git: Git) -> tuple[bytes, bytes] | None:
    """(contents, path) of an overlay, or of the tar of Git LFS objects, by its digest and its `size` in bytes.

    It is beside the manifest in `folder`, in the record that `folder` belongs to, or in this checkout's; None where it
    is in none of them. The contents are not checked: whoever uses them does that. Raises DownloadDamaged, before it is
    read, for what is no file of that size.
    """
    name = overlay_name(sha256)
    folders = [folder] if folder is not None else []
    if folder is not None and os.path.basename(os.path.dirname(folder)) == b"runs":
        folders.append(os.path.dirname(os.path.dirname(folder)) + b"/overlays")  # the manifest lies in a record
    try:
        common = git.run("rev-parse", "--path-format=absolute", "--git-common-dir").removesuffix(b"\n")
        place = git.environment.get(RECORD_DIRECTORY)
        folders.append((own_elsewhere(os.fsencode(place), common) if place else common + b"/coderepo") + b"/overlays")
    except CodeRepoError:
        pass  # not in a checkout, or no git: then there is no record to look into
    for each in folders:
        path = os.path.join(each, name)
        try:
            return _read_whole(path, size), path
        except FileNotFoundError:
            continue
    return None


def _read_whole(path: bytes, size: int) -> bytes:
    # Whoever opens a pipe without that may wait for ever.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(file)
        name = os.fsdecode(path)
        if not stat.S_ISREG(facts.st_mode):
            raise DownloadDamaged(f"'{name}', which travels with the run, is no file")
        if facts.st_size != size:
            raise DownloadDamaged(
                f"'{name}', which travels with the run, has {facts.st_size} bytes, not the recorded {size}"
            )
        with open(file, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(file)


# --- Damaged objects, which are moved aside so that they are created again -------------------------------------------
# A power loss can leave an object empty or cut off, and git neither writes an object that is there nor looks into it.
# Format of a loose object: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_object_storage.


def set_damaged_aside(git: Git, store: Store) -> list[bytes]:
    """Move every damaged object and pack of our store into its folder `damaged`; gives their old paths.

    All of them are read, so call it only after git failed. Raises OSError.
    """
    found = []
    for folder in names_in(store.objects):
        if len(folder) != 2:
            continue
        for name in names_in(store.objects + b"/" + folder):
            path = b"/".join((store.objects, folder, name))
            if len(name) == 2 * ID_LENGTHS[store.layout.object_format] - 2 and not _is_whole_object(
                path, folder + name, store.layout.object_format
            ):
                found.append(path)
    for path in found:
        store.set_aside(path)
    return found + _damaged_packs(git, store)


def set_damaged_of_tree_aside(git: Git, store: Store, tree: str) -> list[bytes]:
    """Move what is damaged of our store's objects in a tree into its folder `damaged`; gives their old paths.

    Of the user's own objects none is read. Raises OSError.
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
        return packs + set_damaged_aside(git, store)  # a tree is damaged, and what is below it is not listed
    found = [
        path
        for id in listed.stdout.decode().split()
        if (path := loose.get(id)) is not None and not _is_whole_object(path, id.encode(), store.layout.object_format)
    ]
    for path in found:
        store.set_aside(path)
    return packs + found


def describe_damaged(store: Store, count: int) -> str:
    """Return what is said of `count` damaged objects that were moved aside."""
    place = os.fsdecode(store.directory)
    return f"{count} damaged object{'s' * (count > 1)} in '{place}/objects': moved to '{place}/damaged'"


def _is_whole_object(path: bytes, id: bytes, object_format: str) -> bool:
    """Return whether a loose object has the contents that its id, in hex, promises."""
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
        return True  # `prune` was here
    except zlib.error:
        return False
    return stream.eof and not stream.unused_data and digest.hexdigest().encode() == id


def _damaged_packs(git: Git, store: Store) -> list[bytes]:
    folder = store.objects + b"/pack/"
    found = []
    for name in names_in(folder):
        stem, _, end = name.rpartition(b".")
        if end == b"pack" and not store.git(git).succeeds("verify-pack", folder + stem + b".idx"):
            found.append(folder + name)
            # The index first: git does not look at a pack without one.
            for each in (b".idx", b".rev", b".bitmap", b".pack"):
                if os.path.lexists(folder + stem + each):
                    store.set_aside(folder + stem + each)
    return found
