"""Warnings about untracked directories that would travel and rarely should: environments, packages, datasets.

Each directory is named once per checkout.
"""

from __future__ import annotations

import os

from git_coderepo.filesystem.atomic import not_yet_noted
from git_coderepo.git.process import ignore_command
from git_coderepo.snapshots.size_limits import shown_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from git_coderepo.git.repository import Layout
    from git_coderepo.snapshots.snapshot import Selection

# Directories by name that a tool fills.
_INSTALLED = frozenset((b"node_modules", b"site-packages", b"bower_components", b"__pypackages__", b".tox", b".nox"))
_CACHES = frozenset((b"__pycache__", b".mypy_cache", b".pytest_cache", b".ruff_cache", b".ipynb_checkpoints"))
_DATA = (
    b".csv", b".tsv", b".parquet", b".feather", b".arrow", b".npy", b".npz", b".h5", b".hdf5", b".tfrecord", b".pt",
    b".pth", b".ckpt", b".safetensors", b".onnx", b".pkl", b".jpg", b".jpeg", b".png", b".tif", b".tiff", b".wav",
    b".flac", b".mp3", b".mp4", b".avi", b".zip", b".tar", b".gz", b".zst", b".bin", b".lmdb", b".mdb", b".jsonl",
)  # fmt: skip
# A directory holds a dataset from so many files of data, or so many bytes of them.
_MANY_FILES = 100
_MANY_BYTES = 10 << 20


def mistakes(layout: Layout, selection: Selection) -> list[str]:
    """Return a warning for each untracked directory that is probably a mistake and not yet reported; remember them."""
    untracked = [change.path for change in selection.changes if change.untracked]
    directories = dict(unusual_directories(untracked, dict(selection.sizes)))
    new = not_yet_noted(layout.own_here + b"/named-directories", directories)
    return [
        f"'{os.fsdecode(path)}/' is untracked and travels with the run: it looks like {words}; "
        f"{ignore_command(path + b'/', layout.toplevel)} leaves it out"
        for path, words in directories.items()
        if path in new
    ]


def unusual_directories(paths: Sequence[bytes], sizes: Mapping[bytes, int]) -> Iterator[tuple[bytes, str]]:
    """Yield (directory, what it looks like), the outermost ones, each once."""
    environments = frozenset(filter(None, map(_environment, paths)))
    data: dict[bytes, tuple[int, int]] = {}
    named: dict[bytes, str] = {}
    for path in paths:
        parts = path.split(b"/")[:-1]
        directory = b""
        for part in parts:
            directory = directory + b"/" + part if directory else part
            if directory in environments:
                named[directory] = "a virtual environment"
                break
            if part in _INSTALLED:
                named[directory] = "installed packages"
                break
            if part in _CACHES:
                named[directory] = "a cache"
                break
        else:
            if parts and path.lower().endswith(_DATA):
                files, size = data.get(parts[0], (0, 0))
                data[parts[0]] = files + 1, size + sizes.get(path, 0)
    for directory, (files, size) in data.items():
        if files >= _MANY_FILES or size >= _MANY_BYTES:
            number = "1 file" if files == 1 else f"{files} files"
            named[directory] = f"a dataset ({number}, {shown_size(size)})"
    yield from sorted(named.items())


def _environment(path: bytes) -> bytes | None:
    """Return the root of a virtual or conda environment that a file tells of."""
    for ending in (b"/pyvenv.cfg", b"/conda-meta/history"):
        if path.endswith(ending):
            return path.removesuffix(ending)
    return None
