"""Run the benchmarks, print the tables, and replace the measured parts of `bench/results.md`."""

from __future__ import annotations

import argparse
import compileall
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.executing import EXEC_SIZES, exec_table
from bench.fetching import FETCH_SIZES, LARGE, LARGE_ROUNDS, ROUND_TRIP, fetch_table, large_table
from bench.hooks import commit_table, pre_run_table
from bench.records import MONTHS, records_table
from bench.start import start_table
from bench.tables import STATUS_SIZES, cores, large_binary_table, status_table
from git_coderepo import __version__
from tests.support.environment import clean_environment

HERE = Path(__file__).parent
RESULTS = HERE / "results.md"
PARTS = ("start", "commit", "pre-run", "status", "binaries", "fetch", "exec", "records")
FEWEST = {"pre-run": 15, "fetch": 15, "exec": 15}  # minimum numbers of rounds; the other parts use ROUNDS
ROUNDS = 9


@dataclass(frozen=True)
class Wanted:
    """The extent of the benchmarks: rounds per command, sizes in files (None: the default of a part), large bytes."""

    rounds: int | None
    sizes: Sequence[int] | None
    large: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="counted rounds of each command (default: 9 or 15)")
    parser.add_argument(
        "--sizes", type=_numbers, metavar="FILES,...", help="sizes of the repositories of status, fetch and exec"
    )
    parser.add_argument(
        "--large", type=int, default=LARGE, metavar="BYTES", help="fetch's large file; 0: none (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the tables go (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this; may be given several times")
    arguments = parser.parse_args()
    wanted = Wanted(arguments.rounds, arguments.sizes, arguments.large)
    # Compile the checkout, as an installed program would be.
    compileall.compile_dir(HERE.parent / "git_coderepo", quiet=1)
    scratch = Path(tempfile.mkdtemp(prefix="coderepo-bench-"))
    try:
        environment = clean_environment(scratch / "home")
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for part in arguments.only or PARTS:
            lines = []
            for line in _report(part, scratch, environment, wanted):
                print(line, flush=True)
                lines.append(line)
            put(arguments.output, part, lines)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def put(path: Path, part: str, lines: Sequence[str]) -> None:
    """Replace the tables of a part in a file, and leave the other parts unchanged."""
    try:
        sections = split(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        sections = {}
    sections[part] = "\n".join(lines).strip("\n")
    whole = [_TITLE, *(_BEGIN.format(name) + "\n" + sections[name] for name in PARTS if name in sections)]
    path.write_text("\n\n".join(whole) + "\n", encoding="utf-8")


_BEGIN = "<!-- python -m bench --only {} -->"
_TITLE = """# What it costs

Whole processes, start-up included, in turns; medians, and medians of the ratios within each round. Each part is what
`python -m bench --only PART` wrote last."""


def split(text: str) -> dict[str, str]:
    """Return the parts of a file that `put` wrote, by name."""
    found: dict[str, str] = {}
    for piece in text.split(_BEGIN.partition("{}")[0])[1:]:
        name, _, rest = piece.partition(_BEGIN.partition("{}")[2])
        found[name] = rest.strip("\n")
    return found


def _report(part: str, scratch: Path, environment: dict[str, str], wanted: Wanted) -> Iterator[str]:
    rounds = wanted.rounds if wanted.rounds is not None else FEWEST.get(part, ROUNDS)
    if part == "start":
        words = (
            "Whole processes in a clean checkout of ten files; `exec` finds its code in the cache. Of `fetch`, the "
            "time until its first request reaches a server on this machine, over https."
        )
        yield from _section("Starting", scratch, rounds, words)
        yield from start_table(scratch, environment, rounds)
    elif part == "commit":
        words = "A repository of ten files; each way has a repository of its own."
        yield from _section("git's hooks", scratch, rounds * 2, words)
        yield from commit_table(scratch, environment, rounds)
    elif part == "pre-run":
        words = (
            "From `git hook run pre-run` to the synced manifest, with tree, base, repository and overlay in it. First: "
            "no private index and no overlay is kept. The ten changes: five edits, three new files, a deletion, a mode."
        )
        yield from _section("The pre-run hook", scratch, rounds, words)
        yield from pre_run_table(scratch, environment, rounds)
    elif part == "status":
        words = "Dirty: five edits, three new files, a deletion, a mode. A snapshot has tree, base and overlay in it."
        yield from _section("Looking at a checkout", scratch, rounds, words)
        yield from status_table(scratch, environment, rounds, wanted.sizes or STATUS_SIZES)
    elif part == "binaries":
        words = "80 MB of random bytes, new since HEAD; the overlay goes into a file. Peak: the largest process."
        yield from _section("Large binaries", scratch, rounds, words)
        yield from large_binary_table(scratch, environment, rounds)
    elif part == "records":
        words = f"Runs of {MONTHS} months, a file each; the index is made by the first question that needs it."
        yield from _section("Looking back", scratch, rounds, words)
        yield from records_table(scratch, environment, rounds)
    elif part == "exec":
        words = (
            "The tree is in the cache, and `true` runs in it, read-only, as it lies there; git makes a work tree of "
            "the same commit from its own objects. Start-up: `exec` of a run of one file, in the cache as well."
        )
        yield from _section("Running in it", scratch, rounds, words)
        yield from exec_table(scratch, environment, rounds, wanted.sizes or EXEC_SIZES)
    else:
        words = (
            "One server for all, on this machine, over https; the archive is made once and served from memory. The "
            "first request is the first that the server saw; from there until DIR is there with all its files: ours "
            "appears then, the others' when they end. Peak: the largest process."
        )
        for latency, name in ((ROUND_TRIP, "30 ms a round trip"), (0.0, "without delay")):
            yield from _section(f"Getting it back, {name}", scratch, rounds, words)
            yield from fetch_table(scratch, environment, rounds, latency, wanted.sizes or FETCH_SIZES)
            yield ""
        if wanted.large:
            words = "A random KiB again and again, so that its archive is small: the figure that matters is the memory."
            few = min(rounds, LARGE_ROUNDS)
            yield from _section("Getting one large file back, without delay", scratch, few, words)
            yield from large_table(scratch, environment, few, wanted.large)


def _section(title: str, scratch: Path, rounds: int, words: str = "") -> Iterator[str]:
    """Return the heading of a part: its title, the machine and the versions."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    yield f"## {title}"
    yield ""
    if words:
        yield words
        yield ""
    yield (
        f"{rounds} rounds; {cores()} cores ({platform.machine()}, {platform.system()} {platform.release()}), "
        f"Python {platform.python_version()}, {git}, curl {curl}, git-coderepo {__version__}; "
        f"files on {_file_system(scratch)} (TMPDIR says where)."
    )
    yield ""


def _file_system(path: Path) -> str:
    """Its type, as GNU's stat(1) names it."""
    done = subprocess.run(["stat", "--file-system", "--format=%T", path], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown file system"


if __name__ == "__main__":
    main()
