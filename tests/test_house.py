"""The measures of `python -m tests.house` on a small package, and what is said where one of them rises or falls."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house import PROJECT, Measure, check

PACKAGE = {
    "__init__.py": "def __getattr__(name):\n    from git_coderepo import errors\n    return getattr(errors, name)\n",
    "__main__.py": "def main():\n    from git_coderepo.cli import app\n",
    "errors.py": "class Head: ...\n",
    "cli/__init__.py": "",
    "cli/main.py": "def main():\n    from git_coderepo.errors import Head\n    import json\n",
    "runs/__init__.py": "",
    "runs/errors.py": "class Head: ...\n",
    "runs/record.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from git_coderepo.runs.history import History\n",
    "runs/history.py": "from git_coderepo.runs.record import a\nclass History: ...\n",
    "runs/one.py": "import git_coderepo.runs.two\n",
    "runs/two.py": "def f(a, b, *, c, d, e, **f):\n    from git_coderepo.runs.one import g\n"
    "    assert g is not None and a\n",
    "runs/long.py": "class C:\n    def m(self, a, b, c, d, e): ...\n" + "x = 1\n" * 808,
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str]]]:
    root = tmp_path_factory.mktemp("checkout")
    for name, text in PACKAGE.items():
        path = root / "git_coderepo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "tests.house", "--root", str(root), "--json"]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {key: (each["count"], each["places"]) for key, each in json.loads(done.stdout).items()}


def test_what_is_measured(measured: dict[str, tuple[int, list[str]]]) -> None:
    assert measured["modules"][0] == len(PACKAGE)
    assert measured["lines"][0] == sum(text.count("\n") for text in PACKAGE.values())
    assert measured["longModules"] == (10, ["runs.long: 810"])
    assert measured["fullestFolder"][0] == 7
    assert measured["loadCircles"] == (0, [])
    assert measured["runCircles"] == (2, ["runs.one, runs.two"])
    assert measured["packageCircles"] == (4, ["runs.history, runs.record", "runs.one, runs.two"])
    assert measured["noneAsserts"] == (1, ["runs.two: assert g is not None and a"])
    assert measured["wideFunctions"] == (1, ["runs.two: f (6)"])
    assert measured["classNames"] == (1, ["Head: errors, runs.errors"])
    assert measured["moduleNames"] == (1, ["errors: errors, runs.errors"])


def test_imports_inside_functions_are_told_apart_by_reason(measured: dict[str, tuple[int, list[str]]]) -> None:
    assert measured["lazyImports"] == (1, ["runs.two: f imports runs.one"])
    assert measured["lazyImportsByReason"] == (
        4,
        ["no reason: a circle if it were at the top: 1", "public __getattr__: 1", "verb dispatch: 2"],
    )
    assert measured["otherLazyImports"][0] == 1


def test_a_rise_names_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"asserts": Measure("asserts", 3, ("a", "a", "b")), "lines": Measure("lines", 9, held=False)}
    assert check(found, {"asserts": 2}, lambda: {"asserts": ["a", "c"]}) == 1
    assert capsys.readouterr().out == "error: asserts: 3, at most 2 allowed. New:\n  a\n  b\n"


def test_a_number_beside_a_place_does_not_make_it_new(capsys: pytest.CaptureFixture[str]) -> None:
    assert check({"wide": Measure("wide", 2, ("f (7)", "g (6)"))}, {"wide": 1}, lambda: {"wide": ["f (6)"]}) == 1
    assert capsys.readouterr().out == "error: wide: 2, at most 1 allowed. New:\n  g (6)\n"


def test_a_fall_asks_for_a_lower_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    assert check({"asserts": Measure("asserts", 1, ("a",))}, {"asserts": 2}, dict) == 0
    assert capsys.readouterr().out == "asserts: 1 is below 2; run `python -m tests.house --lower`\n"
