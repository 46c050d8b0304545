"""`python -m tests.faults [PART OF A ROW]...`: plays every row on every platform and writes `README.md` anew.

With words, only the rows that hold one of them are played, and the table keeps the others. What needs a right that this
user does not have (mounting a small file system) keeps its cells, too.
"""

from __future__ import annotations

import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.faults.case import PLATFORMS, VERBS, Cell, play, stage
from tests.faults.table import README, Key, keys, platforms_of, rendered, written


def played(words: list[str], platform: str) -> tuple[dict[Key, Cell], list[str]]:
    """The cells of one platform, and what went wrong in place of some."""
    cells, wrong = {}, []
    with stage(platform) as on:
        for fault in platforms_of(words, platform):
            for verb in VERBS if fault.playable else ():
                try:
                    cells[fault.slug, platform, verb] = play(fault, verb, on)
                    print(fault.slug, platform, verb, cells[fault.slug, platform, verb], flush=True)
                except Exception:
                    wrong.append(f"{fault.slug}, {platform}, {verb}\n{traceback.format_exc()}")
            if not fault.playable:
                print(f"{fault.slug}, {platform}: NOT PLAYED, it takes root and unshare(1)", flush=True)
    return cells, wrong


def main(words: list[str]) -> int:
    """Exit status: 0, or 1 where a fault did not end as it must."""
    cells = written() if README.exists() else {}
    wrong: list[str] = []
    with ProcessPoolExecutor(len(PLATFORMS)) as pool:
        for found, failed in pool.map(partial(played, words), PLATFORMS):
            cells.update(found)
            wrong += failed
    print("\n".join(wrong))
    if not wrong and set(keys()) <= set(cells):
        README.write_text(rendered(cells), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
