"""The shared store: a directory or a bucket, from which many runners take a snapshot instead of the platform.

`coderepo.store` says where: `file:///…` (a directory, by the operating system alone), `s3://BUCKET[/…]` or
`gs://BUCKET[/…]` (by fsspec's s3fs and gcsfs, which find their credentials themselves). Under `sha1/ab/<tree>.tar.gz`
(or `sha256/…`) lies the whole of a tree, packed as an overlay on nothing: files and links, no submodules. Nothing in
it is trusted: whoever takes a tree out of it computes its id. https://filesystem-spec.readthedocs.io/
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

# What speaks to which store; fsspec comes with each. Of gcsfs the plain class: the one that it registers asks by gRPC
# first what kind of bucket it is, and waits a minute for an answer.
_CLASSES = {"s3": ("s3fs.core", "S3FileSystem"), "gs": ("gcsfs.core", "GCSFileSystem")}
# What is asked of a bucket at once: few requests, and little memory.
_BLOCK = 4 << 20
_PIECE = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TEMPORARY = ".tmp"
_OWN_TEMPORARY = re.compile(r"[0-9a-f]+\.tar\.gz\.[0-9]+\.[0-9a-f]{16}\.tmp")
# Nobody writes one object for as long as that: what is older was left by a killed process.
_ABANDONED = 24 * 3600


class SharedStore:
    """The store at `url`, without a slash at its end. It is looked at when something is asked of it.

    Each method raises StoreUnavailable or one of its kinds, or StoreRefused.
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
        """Whether there is something under this tree's id."""
        trace(f"store: has {self.url}/{_key(tree)}")
        with self._said("cannot be asked"):
            return self._place.has(_key(tree))

    @contextmanager
    def open(self, tree: ObjectId) -> Iterator[_Reader]:
        """What it has under a tree's id, the gzip'd tar, to be read once from its beginning."""
        trace(f"store: get {self.url}/{_key(tree)}")
        missing = f"the store '{self.url}' does not have the tree {tree}"
        with self._said("cannot be read", missing=missing):
            file = self._place.open(_key(tree))
        try:
            yield _Reader(file, lambda: self._said("cannot be read", missing=missing))
        finally:
            file.close()

    def put(self, tree: ObjectId, pack: Callable[[Written], None]) -> int:
        """Write what `pack` writes into the file that it gets, under a tree's id; gives its size in bytes.

        It is there whole or not at all, in the place of what was there. It is read back; raises StoreDamaged where its
        sha256 is another. What `pack` raises is raised; then nothing was written.
        """
        written = Written()

        def fill(file: BinaryIO) -> None:
            written.file = file
            pack(written)

        trace(f"store: put {self.url}/{_key(tree)}")
        with self._said("cannot be written to"):
            self._place.put(_key(tree), fill)
        with self.open(tree) as file:
            read = sha256_of(file, most=written.size)
        if read != written.sha256.hexdigest():
            # Somebody else's, packed by another zlib, may be as good: it is not for us to take it away.
            raise StoreDamaged(
                f"the store '{self.url}' gave back other bytes than it was given",
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
    def _said(self, what: str, *, missing: str = "") -> Iterator[None]:
        """What goes wrong in the block, in our words."""
        try:
            yield
        except CodeRepoError:
            raise
        except FileNotFoundError as error:
            if missing:
                raise StoreMissing(missing) from None
            raise StoreUnavailable(f"the store '{self.url}' {what}: {_words(error)}") from None
        except Exception as error:  # whatever those packages and what they stand on raise
            kind = StoreRefused if _is_refused(error) else StoreUnavailable
            raise kind(f"the store '{self.url}' {what}: {_words(error)}") from None


def _key(tree: ObjectId) -> str:
    return f"{tree.object_format}/{tree.hex[:2]}/{tree.hex}.tar.gz"


def _is_refused(error: Exception) -> bool:
    """Whether it is about who asks; botocore's and google-auth's errors are known by their names alone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"PermissionError", "NoCredentialsError", "PartialCredentialsError", "GoogleAuthError"}:
        return True
    return getattr(error, "code", None) in (401, 403) or str(error).startswith("Forbidden")  # as gcsfs words it


def _words(error: Exception) -> str:
    """An error in one short line: what the system says of a file, else the error's own words."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(text.split()) or type(error).__name__
    return line[:1].lower() + line[1:200].rstrip(".")


class _Reader:
    """A stream of which `read` says in our words what went wrong."""

    def __init__(self, file: BinaryIO, said: Callable[[], Any]) -> None:
        self._file = file
        self._said = said

    def read(self, size: int, /) -> bytes:
        """Up to `size` of the next bytes, none at the end."""
        with self._said():
            return self._file.read(size)


class Written:
    """A file that is written to, and what was written so far: its `sha256` and its `size` in bytes."""

    def __init__(self) -> None:
        self.file: BinaryIO
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write all of it."""
        self.sha256.update(data)
        self.size += len(data)
        self.file.write(data)


# --- the two kinds of places ------------------------------------------------------------------------


class _Place(Protocol):
    """Where objects lie under keys, paths parted by `/`."""

    def has(self, key: str) -> bool: ...

    def open(self, key: str) -> BinaryIO: ...

    def put(self, key: str, fill: Callable[[BinaryIO], None]) -> None: ...


class _Directory:
    """A directory that exists, perhaps shared by several users and machines: all who can read it can read its objects.

    Other users may write to it, so everything below the root is reached by descriptors and never through a link: a link
    that somebody planted would lead our writes and our sweep into a directory of their choice. The root itself is the
    user's own setting and may be a link.
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
                raise self._not_ours(key, "a symbolic link") from None
        file = os.fdopen(descriptor, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise self._not_ours(key, "not a regular file")
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
        """Yield a descriptor of the directory that holds a key's object, and the object's name in it.

        Raises FileNotFoundError where there is none and `make` is false, StoreDamaged for a link or a file in the place
        of a directory, StoreUnavailable where the store's own directory is missing.
        """
        *folders, name = key.split("/")
        descriptor = self._open_root()
        try:
            for depth, folder in enumerate(folders, 1):
                is_new = make and _made(folder, descriptor)
                try:
                    inner = os.open(folder, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                        raise
                    raise self._not_ours("/".join(folders[:depth]), "not a directory") from None
                os.close(descriptor)
                descriptor = inner
                # Whoever may write to the store may write here too. Somebody may have put another directory in the
                # place of the one just made: its mode is not changed.
                if is_new and os.fstat(descriptor).st_uid == os.geteuid():
                    os.fchmod(descriptor, self._mode)
            yield descriptor, name
        finally:
            os.close(descriptor)

    def _open_root(self) -> int:
        try:
            descriptor = os.open(self._root, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            # A share that is not mounted must not be replaced by a directory of that name.
            raise StoreUnavailable(
                f"the store 'file://{self._root}' was not found", hints=[f"mkdir {shell_word(self._root)}"]
            ) from None
        self._mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        return descriptor

    def _not_ours(self, key: str, what: str) -> StoreDamaged:
        return StoreDamaged(f"unusable store: '{os.path.join(self._root, key)}' is {what}")

    def _sweep(self, folder: int) -> None:
        """Remove what our own killed processes left long ago: files of this user that bear a temporary name of ours."""
        before = time.time() - _ABANDONED
        for name in os.listdir(folder):
            if not _OWN_TEMPORARY.fullmatch(name):
                continue
            try:
                facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and facts.st_mtime < before:
                    os.unlink(name, dir_fd=folder)
            except OSError:
                continue  # another process was quicker, or may not: the next one looks again


def _made(name: str, parent: int) -> bool:
    """Make a directory below a descriptor; False where something has that name already."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return False
    return True


class _Bucket:
    """A bucket, or what is below a prefix in it, by fsspec; an object there is written whole or not at all."""

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
            # What they log would go to standard error where nobody set up logging: we say what went wrong.
            logging.getLogger(each).addHandler(logging.NullHandler())
        options: dict[str, Any] = {}
        if scheme == "s3":
            # The package tries again itself: five times five tries would take minutes.
            configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
            options["config_kwargs"] = {"retries": {"max_attempts": 0}, **configured}
        # A long process must hear of what others wrote meanwhile.
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
        # Whole before anything is sent: with some of these packages what breaks off halfway is an object all the same.
        with scratch_directory() as scratch:
            path = os.path.join(scratch, "object")
            with open(path, "wb") as file:
                fill(file)
            self._fs.put_file(path, self._path(key))
