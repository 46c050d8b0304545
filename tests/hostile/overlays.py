"""Overlays and Git LFS objects that travel with a manifest and try something; their digests are right, unless said."""

from __future__ import annotations

import base64
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any

from git_coderepo.git.lfs_pointer import Pointer
from git_coderepo.git.objects import EXECUTABLE, FILE, TreeEntry, blob_id, tree_id
from tests.hostile.archives import MEMBERS
from tests.hostile.play import FILES, Document, Place
from tests.raw_tar import archive, directory, file, gzipped, header, link, zeros_gzipped

GROUP = "An overlay"
LFS_GROUP = "What Git LFS keeps"

Prepare = Callable[[Place], None]

# The attacks of an archive's members that an overlay may try as well.
_LIKE_ARCHIVES = (
    "traversal",
    "absolute path below the top directory",
    "empty name",
    "a name of slashes",
    "NUL in a name",
    ".git",
    ".GIT",
    "git~1",
    ".g\\u200cit",
    ".git::$INDEX_ALLOCATION",
    ".gitmodules as a link",
    "hard link inside",
    "character device",
    "FIFO",
    "a huge sparse file, old",
    "a huge sparse file, 1.0",
    "a link, then a file through it",
    "a pax path that traverses",
    "a negative pax size",
    "a file of 21 GiB",
    "wrong checksum",
    "GNU's long name that traverses",
)


def _counted(tar: bytes) -> int:
    """How many entries the reader will see, should it get to the end; none where it does not."""
    from git_coderepo.errors import CodeRepoError
    from git_coderepo.fetching.sources.tar_reader import entries

    try:
        return sum(1 for _ in entries(io.BytesIO(tar), top_directory=False))
    except CodeRepoError:
        return 0


def with_overlay(here: Place, packed: bytes, tar: bytes | None = None, **changes: object) -> Document:
    """The dirty manifest with this gzip as its overlay; `tar` where that is not what it unpacks to."""
    document = here.dirty()
    plain = gzip.decompress(packed) if tar is None else tar
    document["code"]["overlay"] = {
        "tarSha256": sha256(plain).hexdigest(),
        "sha256": sha256(packed).hexdigest(),
        "size": len(packed),
        "files": _counted(plain),
        "deleted": [],
        "data": base64.b64encode(packed).decode(),
        **changes,
    }
    return document


def _holding(*members: bytes, deleted: Sequence[object] = ()) -> Prepare:
    """The overlay of these members beside the honest ones."""

    def prepare(here: Place) -> None:
        tar = archive(file(b"new.txt", b"new\n"), file(b"train.py", b"lr = 0.2\n"), *members)
        here.serve(here.honest.and_then())
        here.write(with_overlay(here, gzipped(tar), tar, deleted=list(deleted)))

    return prepare


def _changed(**changes: object) -> Prepare:
    """The honest overlay, of which the manifest says something else."""

    def prepare(here: Place) -> None:
        document = here.dirty()
        document["code"]["overlay"].update(changes)
        here.serve(here.honest.and_then())
        here.write(document)

    return prepare


def _beside(make: Callable[[Place, str, bytes], None], size: int | None = None) -> Prepare:
    """The honest overlay's file beside the manifest, replaced by what `make` makes under its name."""

    def prepare(here: Place) -> None:
        document = here.dirty()
        overlay = document["code"]["overlay"]
        packed = base64.b64decode(overlay.pop("data"))
        if size is not None:
            overlay["size"] = size
        here.serve(here.honest.and_then())
        here.write(document)
        make(here, f"{overlay['sha256']}.tar.gz", packed)

    return prepare


def _pipe(here: Place, name: str, packed: bytes) -> None:
    import os

    os.mkfifo(here.home / name)


def _endless(here: Place, name: str, packed: bytes) -> None:
    (here.home / name).symlink_to("/dev/zero")


def _folder(here: Place, name: str, packed: bytes) -> None:
    (here.home / name).symlink_to(here.home / "outside")


def _larger(here: Place, name: str, packed: bytes) -> None:
    with open(here.home / name, "wb") as stream:
        stream.truncate(8 << 40)


def _packed(make: Callable[[bytes], bytes]) -> Prepare:
    """An overlay whose gzip is made of the tar by `make`; the digest of the tar is that of the tar alone."""

    def prepare(here: Place) -> None:
        tar = archive(file(b"new.txt", b"new\n"), file(b"train.py", b"lr = 0.2\n"))
        here.serve(here.honest.and_then())
        here.write(with_overlay(here, make(tar), tar))

    return prepare


def _bomb(here: Place) -> None:
    """43 MB in 42 kB, whose digests are right."""
    head = header(b"bomb", size=43 << 20)
    packed = zeros_gzipped(head, (43 << 20) + 1024)
    digest = sha256(head)
    for _ in range(43):
        digest.update(bytes(1 << 20))
    digest.update(bytes(1024))
    here.serve(here.honest.and_then())
    here.write(with_overlay(here, packed, b"", tarSha256=digest.hexdigest(), files=1))


def completed(here: Place, files: dict[bytes, bytes]) -> Document:
    """A manifest whose overlay adds these files, right in every respect: what comes out is the tree that it names."""
    tar = archive(*(file(path, contents) for path, contents in sorted(files.items())))
    document = with_overlay(here, gzipped(tar), tar, files=len(files))
    entries = [
        TreeEntry(path, EXECUTABLE if path.endswith(b".sh") else FILE, blob_id(contents, "sha1"))
        for path, contents in {**FILES, **files}.items()
    ]
    tree = str(tree_id(entries, "sha1"))
    document["code"]["snapshot"]["tree"] = document["code"]["subdirectory"]["tree"] = tree
    return document


_LFS = b"*.bin filter=lfs -text\n"


def _in_lfs(pointer: bytes, travelling: Callable[[], Any] | None = None) -> Prepare:
    """A tree that is proved, with a pointer in it; `travelling` are its objects, as a manifest has them."""

    def prepare(here: Place) -> None:
        document = completed(here, {b".gitattributes": _LFS, b"model.bin": pointer})
        document["code"]["lfs"] = travelling() if travelling is not None else None
        here.serve(here.honest.and_then())
        here.write(document)

    return prepare


def _objects(rows: Iterable[tuple[str, int]], *members: bytes, **changes: object) -> Callable[[], Any]:
    tar = archive(*members)
    packed = gzipped(tar)
    return lambda: {
        "tarSha256": sha256(tar).hexdigest(),
        "sha256": sha256(packed).hexdigest(),
        "size": len(packed),
        "objects": [{"oid": oid, "size": size} for oid, size in rows],
        "data": base64.b64encode(packed).decode(),
        **changes,
    }


def _with_file(path: bytes, contents: Callable[[], bytes]) -> Prepare:
    """A tree that is proved, with this file in it."""

    def prepare(here: Place) -> None:
        here.serve(here.honest.and_then())
        here.write(completed(here, {b".gitattributes": _LFS, path: contents()}))

    return prepare


GOOD = sha256(b"evil").hexdigest()
POINTER = Pointer(GOOD, 4).encode()

OVERLAYS: dict[str, Prepare] = {
    **{name: _holding(*MEMBERS[name](b"")) for name in _LIKE_ARCHIVES},
    "a directory": _holding(directory(b"empty/")),
    "duplicate entry": _holding(file(b"new.txt", b"evil")),
    "file over a directory of the base": _holding(file(b"docs", b"evil")),
    "a link in the place of a directory of the base": _holding(link(b"docs", b"../../outside")),
    "a file below a file of the base": _holding(file(b"run.sh/evil", b"evil")),
    "an entry that is deleted, too": _holding(deleted=["train.py", "new.txt"]),
    "a file that is not wanted": _holding(file(b"sitecustomize.py", b"import os\n"), deleted=["data/weights.bin"]),
    "a deletion outside": _changed(deleted=["../outside/file"]),
    "a deletion of an absolute path": _changed(deleted=["/etc/passwd"]),
    "a deletion outside, in base64": _changed(deleted=[{"base64": base64.b64encode(b"../outside/file").decode()}]),
    "a deletion in .git": _changed(deleted=[".git/config"]),
    "a deletion of what is not there": _changed(deleted=["no such file"]),
    "a deletion of a directory": _changed(deleted=["docs"]),
    "a deletion through a link": _holding(link(b"a", b"../../outside"), deleted=["a/file"]),
    "a deletion twice": _changed(deleted=["run.sh", "run.sh"]),
    "a deletion twice, once in base64": _changed(deleted=["run.sh", {"base64": base64.b64encode(b"run.sh").decode()}]),
    "a deletion that is left out": _changed(deleted=[]),
    "a deletion with NUL": _changed(deleted=["run.sh\0"]),
    "longer than said": _changed(size=1),
    "shorter than said": _changed(size=1 << 40),
    "another sha256": _changed(sha256="0" * 64),
    "another sha256 of its tar": _changed(tarSha256="0" * 64),
    "a sha256 that is a path": _changed(sha256="../" * 21 + "x", data=None),
    "data that is no base64": _changed(data="%%%%"),
    "data in base64 with line breaks": _changed(data="AAAA\nAAAA"),
    "a bomb of 42 kB": _bomb,
    "no gzip": _packed(lambda tar: b"PK\3\4" + tar),
    "gzip that is cut off": _packed(lambda tar: gzipped(tar)[:-9]),
    "gzip with garbage behind it": _packed(lambda tar: gzipped(tar) + b"garbage"),
    "gzip with another member behind it": _packed(lambda tar: gzipped(tar) + gzipped(archive(file(b"x", b"evil")))),
    "a pipe in its file's place": _beside(_pipe),
    "/dev/zero in its file's place": _beside(_endless),
    "a folder in its file's place": _beside(_folder),
    "8 TiB in its file's place": _beside(_larger),
    "a file of other bytes in its place": _beside(lambda here, name, packed: here.beside(name, packed[::-1])),
    "no file in its place": _beside(lambda here, name, packed: None),
}

LFS: dict[str, Prepare] = {
    "an object that nobody has": _in_lfs(Pointer("1" * 64, 5).encode()),
    "a pointer to 4 PiB": _in_lfs(
        Pointer(GOOD, 1 << 52).encode(), _objects([(GOOD, 1 << 52)], file(GOOD.encode(), b"evil"))
    ),
    "a pointer with a negative size": _in_lfs(POINTER.replace(b"size 4", b"size -4")),
    "a pointer with a size in other digits": _in_lfs(POINTER.replace(b"size 4", "size ٤".encode())),
    "a pointer whose oid is a path": _in_lfs(POINTER.replace(GOOD.encode(), b"../" * 21 + b"x")),
    "a pointer with an extension": _in_lfs(POINTER.replace(b"oid", b"ext-0-evil sha256:" + b"1" * 64 + b"\noid")),
    "an object of another size": _in_lfs(
        Pointer(GOOD, 5).encode(), _objects([(GOOD, 5)], file(GOOD.encode(), b"evil"))
    ),
    "an object of other bytes": _in_lfs(POINTER, _objects([(GOOD, 4)], file(GOOD.encode(), b"liar"))),
    "an object that traverses": _in_lfs(POINTER, _objects([(GOOD, 4)], file(b"../" + GOOD.encode(), b"evil"))),
    "an object that is a link": _in_lfs(POINTER, _objects([(GOOD, 4)], link(GOOD.encode(), b"/etc/passwd"))),
    "an object that is named twice": _in_lfs(POINTER, _objects([(GOOD, 4), (GOOD, 4)], file(GOOD.encode(), b"evil"))),
    "objects that are not all there": _in_lfs(POINTER, _objects([(GOOD, 4)], file(b"1" * 64, b"evil"))),
    "objects of another sha256": _in_lfs(POINTER, _objects([(GOOD, 4)], file(GOOD.encode(), b"evil"), sha256="0" * 64)),
    "an oid that is a path": _in_lfs(POINTER, _objects([("../" * 21 + "x", 4)], file(GOOD.encode(), b"evil"))),
    "20 MB of attributes": _with_file(b"docs/.gitattributes", lambda: b"* filter=lfs\n" + b"#" * (20 << 20)),
    "a .lfsconfig of 20 MB": _with_file(b".lfsconfig", lambda: b"#" * (20 << 20)),
}
