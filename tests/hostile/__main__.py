"""`python -m tests.hostile [PART OF A NAME]...`: plays the cases through the program and writes `README.md` anew.

With words, only the cases whose name holds one of them are played, and the table keeps the others.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.hostile.cases import CASES, README, rendered, row, written
from tests.hostile.play import place, played_by_program


def main(words: list[str]) -> int:
    """Exit status: 0; a case that is not refused as it should be raises."""
    rows = written() if words else {}
    with tempfile.TemporaryDirectory(prefix="hostile-") as root, place(Path(root)) as here:
        for case in CASES:
            if not words or any(word in case.name for word in words):
                said = played_by_program(case, here)
                print(f"{case.group}, {case.name}: {said}", flush=True)
                rows.update([row(case, said)])
    README.write_text(rendered(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
