"""A file system whose times have whole seconds, where this machine lets one be mounted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_seconds(scratch: Path, megabytes: int = 32) -> Iterator[Path | None]:
    """The mount point; None where none can be made. Inodes of 128 bytes have no room for a fraction of a second."""
    image, place = scratch / "image", scratch / "mounted"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    for command in (f"mkfs.ext4 -q -I 128 {image}".split(), f"mount -o loop {image} {place}".split()):
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            done = None
        if done is None or done.returncode:
            yield None
            return
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
