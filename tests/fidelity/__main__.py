"""`python -m tests.fidelity [PART OF A ROW]...`: plays every row on every platform and writes `README.md` anew.

A row that needs a program that is not here keeps its cells, and is named. With words, only the rows that hold one of
them are played, those that are not ready as well, and the table keeps the others; the variable PLATFORM names the only
platform then.
"""

from __future__ import annotations

import os
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor

from tests.fidelity.case import PLATFORMS, play, room
from tests.fidelity.table import ALL, README, ROWS, rendered, written


def cell(slug: str, platform: str) -> str:
    """One cell, played in a directory that is removed; what went wrong instead of one."""
    row = next(row for row in ALL if row.slug == slug)
    with room() as root:
        try:
            return play(row, platform, root)
        except Exception:
            return "FAILED\n" + traceback.format_exc()


def main(words: list[str]) -> int:
    """Exit status: 0, or 1 where a cell is neither the same tree nor refused."""
    rows = [row for row in ALL if any(word in row.slug for word in words)] if words else list(ROWS)
    for row in rows:
        if row.lacks:
            print(f"{row.group}, {row.name}: not played: {row.lacks}", flush=True)
    asked = [(row, platform) for row in rows for platform in PLATFORMS if not row.lacks]
    if words:
        asked = [(row, platform) for row, platform in asked if platform == os.environ.get("PLATFORM", platform)]
    wrong = set()
    cells = {
        (slug, platform): text
        for (slug, platform), text in (written().items() if README.exists() else ())
        if words or any(row.slug == slug and row.lacks for row in rows)
    }
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(cell, [row.slug for row, _ in asked], [platform for _, platform in asked])
        for (row, platform), text in zip(asked, found, strict=True):
            cells[row.slug, platform] = text
            if text.startswith(("FAILED", "differs")):
                wrong.add((row.slug, platform))
            print(f"{row.group}, {row.name}, {platform}: {text}", flush=True)
    shown = {(row.slug, platform) for row in ROWS for platform in PLATFORMS}
    if not wrong & shown and shown <= set(cells):
        README.write_text(rendered(cells), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
