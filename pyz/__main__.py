"""`python -m pyz [FILE]`: build the runner's one file. It asks the package registry, by pip, and nobody else."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pyz.build import build


def main() -> None:
    """Build FILE, `git-coderepo.pyz` here without it, and say what it is."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "git-coderepo.pyz")
    with tempfile.TemporaryDirectory(prefix="git-coderepo-pyz-") as scratch:
        build(target, Path(scratch))
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
