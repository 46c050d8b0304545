"""Measure which lines and branches of the package the tests reach, in every process that they start: `make coverage`.

It runs in an environment of its own, below `build/coverage`, whose `.pth` file starts the measurement in each Python
there; no other environment has that file, so that nothing else is slowed down or loads more than it does. What is not
seen: processes that are started with `-S`, as the installed pre-run hook is, and those that are killed.

    make coverage                              what `make test` runs
    make coverage TESTS=tests/test_urls.py     one file

`build/coverage/report.txt` has a line for each module, `build/coverage/html` shows the lines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PLACE = PROJECT / "build" / "coverage"

CONFIGURATION = """\
[run]
branch = true
parallel = true
source = {package}
data_file = {data}/coverage
patch =
    _exit
    execv
disable_warnings =
    no-data-collected
    module-not-measured
    module-not-imported

[report]
show_missing = true
skip_empty = true
exclude_also =
    if TYPE_CHECKING:
    raise NotImplementedError
"""

# The variable is taken away again: what a test's program is started with, and what it hands on, stay as they are.
START = """\
import os
os.environ["COVERAGE_PROCESS_START"] = {configuration!r}
try:
    import coverage
    coverage.process_startup()
finally:
    del os.environ["COVERAGE_PROCESS_START"]
"""


def main(arguments: list[str]) -> int:
    """Run pytest with these arguments, then combine what its processes wrote; gives pytest's status."""
    if not Path(sys.prefix).is_relative_to(PLACE):
        raise SystemExit(f"not in an environment below {PLACE}: use `make coverage`")
    data, configuration = PLACE / "data", PLACE / "coveragerc"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    configuration.write_text(CONFIGURATION.format(package=PROJECT / "git_coderepo", data=data), encoding="utf-8")
    site = Path(sysconfig.get_path("purelib"))
    (site / "measured_by_make_coverage.py").write_text(START.format(configuration=str(configuration)), encoding="utf-8")
    started = site / "measured_by_make_coverage.pth"
    started.write_text("import measured_by_make_coverage\n", encoding="utf-8")
    try:
        tests = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "auto", "-m", "not slow", *arguments],
            check=False,
            env={**os.environ, "TEST_STARTS": "real"},  # coverage begins with the interpreter
        )
    finally:
        started.unlink()
    coverage = [sys.executable, "-m", "coverage"]
    option = f"--rcfile={configuration}"
    subprocess.run([*coverage, "combine", option, "--quiet"], check=True)
    subprocess.run([*coverage, "html", option, "--quiet", f"--directory={PLACE / 'html'}"], check=True)
    subprocess.run([*coverage, "json", option, "--quiet", "-o", PLACE / "report.json"], check=True)
    report = subprocess.run([*coverage, "report", option], check=True, capture_output=True, text=True).stdout
    (PLACE / "report.txt").write_text(report, encoding="utf-8")
    lines = report.splitlines()
    print(lines[0].removesuffix("Missing").rstrip(), next(line for line in lines if line.startswith("TOTAL")), sep="\n")
    print(f"each module: {PLACE / 'report.txt'}")
    return tests.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
