"""`python -m pyz [FILE]`: build the runner's one file. pip asks the package registry; nothing else is downloaded.

`python -m pyz --lock` writes `requirements.lock` again, with the newest releases that the project accepts.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pyz.build import LOCK, build, lock


def main() -> None:
    """Build FILE, `git-coderepo.pyz` here without it, and print what it is."""
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="git-coderepo-pyz-") as scratch:
        if words == ["--lock"]:
            LOCK.write_text(lock(Path(scratch)), encoding="utf-8")
            return
        target = Path(words[0] if words else "git-coderepo.pyz")
        build(target, Path(scratch))
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
