"""`python -m bench`: measure, print, and write `bench/results.md`."""

from __future__ import annotations

import argparse
import compileall
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.records import MONTHS, records_table
from bench.tables import ROUND_TRIP, cores, fetch_table, start_table, status_table
from git_coderepo import __version__
from tests.support.environment import clean_environment

HERE = Path(__file__).parent
PARTS = ("start", "status", "fetch", "records")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds of each command")
    parser.add_argument("--output", type=Path, help="where the tables go; with --only nowhere unless it is named")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this; may be given several times")
    arguments = parser.parse_args()
    # An installed program has its bytecode; a checkout may not.
    compileall.compile_dir(HERE.parent / "git_coderepo", quiet=1)
    scratch = Path(tempfile.mkdtemp(prefix="coderepo-bench-"))
    try:
        environment = clean_environment(scratch / "home")
        lines = []
        for line in _report(scratch, environment, arguments.rounds, arguments.only or PARTS):
            print(line, flush=True)
            lines.append(line)
        output = arguments.output or (None if arguments.only else HERE / "results.md")
        if output is not None:
            output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _report(scratch: Path, environment: dict[str, str], rounds: int, parts: Sequence[str]) -> Iterator[str]:
    yield "# What it costs"
    yield ""
    yield (
        "Whole processes, start-up included, in turns; medians, and medians of the ratios within each round. "
        f"Written by `python -m bench`: {', '.join(parts)}; {rounds} rounds."
    )
    yield ""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    yield (
        f"{cores()} cores ({platform.machine()}, {platform.system()} {platform.release()}), "
        f"Python {platform.python_version()}, {git}, curl {curl}, git-coderepo {__version__}; "
        f"files on {_file_system(scratch)} (TMPDIR says where)."
    )
    yield ""
    if "start" in parts:
        yield "## Starting"
        yield ""
        yield from start_table(scratch, environment, rounds)
        yield ""
    if "status" in parts:
        yield "## Looking at a checkout"
        yield ""
        yield "Dirty: five edits, three new files, a deletion, a mode. A snapshot has tree, base and overlay in it."
        yield ""
        yield from status_table(scratch, environment, rounds)
        yield ""
    for latency, words in ((ROUND_TRIP, "30 ms a round trip"), (0.0, "without delay")) if "fetch" in parts else ():
        yield f"## Getting it back, {words}"
        yield ""
        yield "One server for all, on this machine, over https; the archive is made once and served from memory."
        yield ""
        yield from fetch_table(scratch, environment, rounds, latency)
        yield ""
    if "records" in parts:
        yield "## Looking back"
        yield ""
        yield f"Runs of {MONTHS} months, a file each; the index is made by the first question that needs it."
        yield ""
        yield from records_table(scratch, environment, rounds)
        yield ""


def _file_system(path: Path) -> str:
    """Its type, as GNU's stat(1) names it."""
    done = subprocess.run(["stat", "--file-system", "--format=%T", path], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown file system"


if __name__ == "__main__":
    main()
