"""The shared store: a directory or a bucket from which runners fetch snapshots instead of asking the platform.

`coderepo.store` is its URL: `file:///…` for a directory, or `s3://BUCKET[/…]` and `gs://BUCKET[/…]`, which require the
packages s3fs and gcsfs; these find their credentials themselves. `sha1/ab/<tree>.tar.gz` (or `sha256/…`) is a whole
tree, packed like an overlay without a base: files and links, no submodules. The store is not trusted: readers compute
the id of each tree they read. https://filesystem-spec.readthedocs.io/
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

from git_coderepo.errors import (
    CodeRepoError,
    StoreDamaged,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    UsageError,
)
from git_coderepo.filesystem.digest import sha256_of
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import shell_word
from git_coderepo.settings import Settings
from git_coderepo.trace import trace

# The class for each scheme; both packages install fsspec. For gcsfs this is the plain class: the one it registers with
# fsspec first asks for the type of the bucket by gRPC, and waits a minute for an answer.
_CLASSES = {"s3": ("s3fs.core", "S3FileSystem"), "gs": ("gcsfs.core", "GCSFileSystem")}
# Bytes per request to a bucket: few requests, and little memory.
_BLOCK = 4 << 20
_PIECE = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TEMPORARY = ".tmp"
_OWN_TEMPORARY = re.compile(r"[0-9a-f]+\.tar\.gz\.[0-9]+\.[0-9a-f]{16}\.tmp")
# Seconds. No object takes that long to write: an older temporary file was left by a killed process.
_ABANDONED = 24 * 3600


class SharedStore:
    """The store at `url`, which has no slash at its end. It is opened by the first call of a method.

    Each method raises StoreUnavailable or one of its subclasses, or StoreRefused.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: _Place | None = None

    @classmethod
    def of(cls, settings: Settings) -> SharedStore | None:
        """Return the store of `coderepo.store`; None if it is not set. Raises UsageError for an invalid URL."""
        text = settings.text("store")
        if not text:
            return None
        scheme, separator, rest = text.partition("://")
        known = separator and (scheme == "file" or scheme in _CLASSES)
        bucket = rest.partition("/")[0]
        if not known or (bucket != "" if scheme == "file" else bucket in ("", ".", "..") or "@" in bucket):
            raise UsageError(
                f"invalid shared store '{text}' in 'coderepo.store'",
                hints=["one of: file:///DIRECTORY, s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX]"],
            )
        return cls(text.rstrip("/") if rest.strip("/") else text)

    def has(self, tree: ObjectId) -> bool:
        """Return whether the store has an object for this tree."""
        trace(f"store: has {self.url}/{_key(tree)}")
        with self._explained("cannot be reached"):
            return self._place.has(_key(tree))

    @contextmanager
    def open(self, tree: ObjectId) -> Iterator[_Reader]:
        """Open the gzipped tar of a tree, to be read once from its beginning."""
        trace(f"store: get {self.url}/{_key(tree)}")
        missing = f"the store '{self.url}' does not have the tree {tree}"
        with self._explained("cannot be read", missing=missing):
            file = self._place.open(_key(tree))
        try:
            yield _Reader(file, lambda: self._explained("cannot be read", missing=missing))
        finally:
            file.close()

    def put(self, tree: ObjectId, pack: Callable[[Written], None]) -> int:
        """Store what `pack` writes to its file as the object of a tree, and return its size in bytes.

        The object replaces an older one atomically. It is read back: raises StoreDamaged if its sha256 differs. An
        exception of `pack` is passed on, and then nothing was written.
        """
        written = Written()

        def fill(file: BinaryIO) -> None:
            written.file = file
            pack(written)

        trace(f"store: put {self.url}/{_key(tree)}")
        with self._explained("cannot be written to"):
            self._place.put(_key(tree), fill)
        with self.open(tree) as file:
            read = sha256_of(file, most=written.size)
        if read != written.sha256.hexdigest():
            # Another client may have stored the same tree, packed by another zlib: the object is not removed.
            raise StoreDamaged(
                f"the store '{self.url}' returned other bytes than were written",
                hints=["git coderepo publish --store"],
            )
        return written.size

    @property
    def _place(self) -> _Place:
        if self._opened is None:
            scheme, _, rest = self.url.partition("://")
            self._opened = _Directory(rest) if scheme == "file" else _Bucket(scheme, rest)
        return self._opened

    @contextmanager
    def _explained(self, what: str, *, missing: str = "") -> Iterator[None]:
        """Turn any exception of the block into a StoreUnavailable, its subclasses or StoreRefused."""
        try:
            yield
        except CodeRepoError:
            raise
        except FileNotFoundError as error:
            if missing:
                raise StoreMissing(missing) from None
            raise StoreUnavailable(f"the store '{self.url}' {what}: {_words(error)}") from None
        except Exception as error:  # s3fs, gcsfs and their dependencies share no base class
            kind = StoreRefused if _is_refused(error) else StoreUnavailable
            raise kind(f"the store '{self.url}' {what}: {_words(error)}") from None


def _key(tree: ObjectId) -> str:
    return f"{tree.object_format}/{tree.hex[:2]}/{tree.hex}.tar.gz"


def _is_refused(error: Exception) -> bool:
    """Return whether access was denied; botocore and google-auth errors are recognised by class name."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"PermissionError", "NoCredentialsError", "PartialCredentialsError", "GoogleAuthError"}:
        return True
    return getattr(error, "code", None) in (401, 403) or str(error).startswith("Forbidden")  # the text of gcsfs


def _words(error: Exception) -> str:
    """Return an error in one short line: the system's message for a file error, or the error's own text."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(text.split()) or type(error).__name__
    return line[:1].lower() + line[1:200].rstrip(".")


class _Reader:
    """A stream whose errors are those of SharedStore."""

    def __init__(self, file: BinaryIO, explained: Callable[[], Any]) -> None:
        self._file = file
        self._explained = explained

    def read(self, size: int, /) -> bytes:
        """Return up to `size` of the next bytes; none at the end."""
        with self._explained():
            return self._file.read(size)


class Written:
    """A file being written, with the `sha256` and the `size` in bytes of what was written so far."""

    def __init__(self) -> None:
        self.file: BinaryIO
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        self.sha256.update(data)
        self.size += len(data)
        self.file.write(data)


# --- directory and bucket ---------------------------------------------------------------------------


class _Place(Protocol):
    """A place for objects; their keys are paths with `/` between the parts."""

    def has(self, key: str) -> bool: ...

    def open(self, key: str) -> BinaryIO: ...

    def put(self, key: str, fill: Callable[[BinaryIO], None]) -> None: ...


class _Directory:
    """An existing directory, possibly shared by users and machines. Whoever can read it can read its objects.

    Other users may write to it. Everything below the root is therefore opened relative to a descriptor and never
    through a symbolic link, which could redirect writes and deletions into another directory. The root itself may be a
    link: it is the user's own setting.
    """

    def __init__(self, path: str) -> None:
        self._root = path

    def has(self, key: str) -> bool:
        try:
            with self._folder(key) as (folder, name):
                return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def open(self, key: str) -> BinaryIO:
        with self._folder(key) as (folder, name):
            try:
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
                descriptor = os.open(name, flags, dir_fd=folder)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                raise self._damaged(key, "a symbolic link") from None
        file = os.fdopen(descriptor, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise self._damaged(key, "not a regular file")
        return file

    def put(self, key: str, fill: Callable[[BinaryIO], None]) -> None:
        with self._folder(key, make=True) as (folder, name):
            self._sweep(folder)
            temporary = f"{name}.{os.getpid()}.{os.urandom(8).hex()}{_TEMPORARY}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    fill(file)
                    file.flush()
                    os.fchmod(file.fileno(), 0o400 | (self._mode & 0o444))
                    os.fsync(file.fileno())
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(temporary, dir_fd=folder)
                raise

    @contextmanager
    def _folder(self, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Yield a descriptor of the directory of a key's object, and the object's file name.

        Raises FileNotFoundError for a missing directory unless `make` is true, StoreDamaged for a link or a file
        instead of a directory, StoreUnavailable if the store's own directory is missing.
        """
        *folders, name = key.split("/")
        descriptor = self._open_root()
        try:
            for depth, folder in enumerate(folders, 1):
                is_new = make and _create(folder, descriptor)
                try:
                    inner = os.open(folder, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                        raise
                    raise self._damaged("/".join(folders[:depth]), "not a directory") from None
                os.close(descriptor)
                descriptor = inner
                # Whoever may write to the store may write to this directory. Another user may have replaced the new
                # directory by one of their own, whose mode must not be changed.
                if is_new and os.fstat(descriptor).st_uid == os.geteuid():
                    os.fchmod(descriptor, self._mode)
            yield descriptor, name
        finally:
            os.close(descriptor)

    def _open_root(self) -> int:
        try:
            descriptor = os.open(self._root, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            # A new directory would hide that a share is not mounted.
            raise StoreUnavailable(
                f"the store 'file://{self._root}' was not found", hints=[f"mkdir {shell_word(self._root)}"]
            ) from None
        self._mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        return descriptor

    def _damaged(self, key: str, what: str) -> StoreDamaged:
        return StoreDamaged(f"unusable store: '{os.path.join(self._root, key)}' is {what}")

    def _sweep(self, folder: int) -> None:
        """Remove old temporary files of this user that killed processes left behind."""
        before = time.time() - _ABANDONED
        for name in os.listdir(folder):
            if not _OWN_TEMPORARY.fullmatch(name):
                continue
            try:
                facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and facts.st_mtime < before:
                    os.unlink(name, dir_fd=folder)
            except OSError:
                continue  # removed by another process, or not permitted: the next write tries again


def _create(name: str, parent: int) -> bool:
    """Create a directory relative to a descriptor; return False if the name exists."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return False
    return True


class _Bucket:
    """A bucket, or a prefix in one, through fsspec. Objects are written atomically."""

    def __init__(self, scheme: str, path: str) -> None:
        import logging
        from importlib import import_module

        module, name = _CLASSES[scheme]
        package = module.partition(".")[0]
        try:
            import fsspec

            kind = getattr(import_module(module), name)
        except ImportError:
            raise StoreUnavailable(
                f"the store '{scheme}://{path}' needs the package '{package}', which is not installed here",
                hints=[f"pip install {package}, into the environment that git-coderepo runs in"],
            ) from None
        for each in (package, "fsspec", "asyncio"):
            # Without a handler, Python prints their warnings to standard error; our own message is enough.
            logging.getLogger(each).addHandler(logging.NullHandler())
        options: dict[str, Any] = {}
        if scheme == "s3":
            # s3fs retries too: five times five attempts would take minutes.
            configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
            options["config_kwargs"] = {"retries": {"max_attempts": 0}, **configured}
        # A long-lived process must see what others write.
        self._fs = kind(skip_instance_cache=True, use_listings_cache=False, **options)
        self._fs.retries = 3
        self._root = path.rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def has(self, key: str) -> bool:
        try:
            return bool(self._fs.info(self._path(key))["type"] == "file")
        except FileNotFoundError:
            return False

    def open(self, key: str) -> BinaryIO:
        file: BinaryIO = self._fs.open(self._path(key), "rb", block_size=_BLOCK, cache_type="readahead")
        return file

    def put(self, key: str, fill: Callable[[BinaryIO], None]) -> None:
        # The file is complete before the upload starts: some packages store a truncated object if writing fails.
        with scratch_directory() as scratch:
            path = os.path.join(scratch, "object")
            with open(path, "wb") as file:
                fill(file)
            self._fs.put_file(path, self._path(key))
