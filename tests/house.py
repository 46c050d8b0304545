"""Measure how the package is built, and let no measure rise: `python -m tests.house`, part of `make lint`.

    python -m tests.house                   print the table, and fail where a measure is above its ceiling
    python -m tests.house --places NAME     list what a measure counts
    python -m tests.house --lower           write today's lower numbers to tests/house.json
    python -m tests.house --root DIRECTORY  measure another checkout, without ceilings; --json for programs

The ceilings are in `tests/house.json`. When a measure rises, the places that were not there when the ceilings were last
written are named; a rise that is meant is written there by hand, and the commit says why. Complexity is radon's, the
graph of imports is grimp's; the rest is read from the syntax tree.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import grimp

PROJECT = Path(__file__).parents[1]
CEILINGS = Path(__file__).with_suffix(".json")
NAME = "git_coderepo"

LONGEST_MODULE = 800
COMPLEXITY = 15
PARAMETERS = 6

# Modules that may import their own package inside functions. `__getattr__` of a package's `__init__` may as well.
ENTRIES = {
    "__main__": "verb dispatch",
    "cli.main": "verb dispatch",
    "hooks.lean": "the hook's lean entry",
    "hooks.prerun": "the hook's lean entry",
}
# Libraries that only an extra or the user's own environment brings: a module that loads one is imported when needed.
EXTRAS = frozenset((
    "airflow", "botocore", "dask", "distributed", "fsspec", "gcsfs", "kubernetes", "mlflow", "prefect", "ray", "s3fs",
    "submitit", "zenml",
))  # fmt: skip


# Names that users hold: that what they lead to has the same name is meant.
FORWARDERS = ("compat", "mlflow", "testing")


class Measure(NamedTuple):
    """`places` names each thing counted, without line numbers, so that they compare between two commits.

    A measure with `held` False is shown and has no ceiling.
    """

    title: str
    number: int
    places: tuple[str, ...] = ()
    held: bool = True


class Import(NamedTuple):
    """One import statement: `function` is the name of the function it is in, None where loading the module runs it."""

    module: str
    node: ast.Import | ast.ImportFrom
    function: str | None
    typing: bool


class Module(NamedTuple):
    name: str
    path: Path
    lines: int
    tree: ast.Module


def measures(root: Path = PROJECT) -> dict[str, Measure]:
    """Return every measure of the package in the checkout `root`, by its key in `house.json`."""
    modules = _modules(root / NAME)
    imports = [each for module in modules.values() for each in _imports(module)]
    loaded, run, any_import = _graphs(root, imports)
    lazy = _lazy(root, imports, loaded)
    functions = [each for module in modules.values() for each in _functions(module)]
    folders = _folders(modules)
    fullest = max(folders, key=lambda folder: folders[folder])
    long = [f"{m.name}: {m.lines}" for m in modules.values() if m.lines > LONGEST_MODULE]
    complex_ = list(_too_complex(root))
    wide = [f"{place} ({count})" for place, count in functions if count >= PARAMETERS]
    asserts = [each for module in modules.values() for each in _none_asserts(module)]
    load_circles, run_circles = _circles(loaded), _circles(run)
    package_circles = _circles(_within_packages(any_import))
    named = [m for name, m in modules.items() if name not in FORWARDERS]
    classes = _repeated((node.name, m.name) for m in named for node in _classes(m.tree))
    # A verb may have the name of what it calls.
    stems = _repeated(
        (m.path.stem, m.name) for m in named if m.path.stem != "__init__" and not m.name.startswith("cli.")
    )
    unexcused = [place for reason, place in lazy if reason.startswith("no reason")]
    others = sum(each.function is not None and not each.typing and not _own(each.node) for each in imports)
    return {
        "modules": Measure("modules", len(modules), tuple(modules)),
        "lines": Measure("lines", sum(m.lines for m in modules.values()), held=False),
        "longModules": Measure(
            f"lines of modules past {LONGEST_MODULE}",
            sum(max(0, m.lines - LONGEST_MODULE) for m in modules.values()),
            tuple(long),
        ),
        "fullestFolder": Measure(
            f"modules in the fullest folder ({fullest})",
            folders[fullest],
            tuple(name for name, m in modules.items() if _folder(m, name) == fullest),
        ),
        "folders": Measure("folders", len(folders), tuple(f"{k}: {v}" for k, v in sorted(folders.items())), held=False),
        "loadCircles": Measure("modules in circles of loading", _members(load_circles), tuple(load_circles)),
        "runCircles": Measure(
            "modules in circles, imports inside functions counted", _members(run_circles), tuple(run_circles)
        ),
        "packageCircles": Measure(
            "modules in circles within a package, every import counted",
            _members(package_circles),
            tuple(package_circles),
        ),
        "lazyImports": Measure("own imports inside functions, without a reason", len(unexcused), tuple(unexcused)),
        "lazyImportsByReason": Measure(
            "own imports inside functions, all", len(lazy), tuple(_by_reason(lazy)), held=False
        ),
        "otherLazyImports": Measure("imports of other libraries inside functions", others, held=False),
        "noneAsserts": Measure("assert … is not None", len(asserts), tuple(asserts)),
        "complexFunctions": Measure(f"functions of complexity over {COMPLEXITY}", len(complex_), tuple(complex_)),
        "wideFunctions": Measure(f"functions of {PARAMETERS} parameters or more", len(wide), tuple(wide)),
        "classNames": Measure("class names used in several modules", len(classes), tuple(classes)),
        "moduleNames": Measure("module names used several times", len(stems), tuple(stems)),
    }


# --- reading the package -----------------------------------------------------------------------


def _modules(package: Path) -> dict[str, Module]:
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or NAME
        text = path.read_text(encoding="utf-8")
        found[name] = Module(name, path, text.count("\n"), ast.parse(text))
    return found


def _folder(module: Module, name: str) -> str:
    if name == NAME:
        return "."
    return name if module.path.stem == "__init__" else name.rpartition(".")[0] or "."


def _folders(modules: Mapping[str, Module]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for name, module in modules.items():
        counts[_folder(module, name)] += 1
    return counts


def _imports(module: Module) -> Iterator[Import]:
    def walk(node: ast.AST, function: str | None, typing: bool) -> Iterator[Import]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield Import(module.name, node, function, typing)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for each in node.body:
                yield from walk(each, function, True)
            for each in node.orelse:
                yield from walk(each, function, typing)
        else:
            inside = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else None
            for child in ast.iter_child_nodes(node):
                yield from walk(child, inside or function, typing)

    return walk(module.tree, None, False)


def _own(node: ast.Import | ast.ImportFrom) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    relative = isinstance(node, ast.ImportFrom) and node.level > 0
    return relative or any(name.split(".")[0] == NAME for name in names)


def _functions(module: Module) -> Iterator[tuple[str, int]]:
    """Each function and the number of its parameters, `self` and `cls` not counted, `*a` and `**k` one each."""

    def walk(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                given = child.args
                each = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
                count = len(each) + (given.vararg is not None) + (given.kwarg is not None)
                if isinstance(node, ast.ClassDef) and each[:1] in (["self"], ["cls"]):
                    count -= 1
                yield f"{module.name}: {'.'.join((*names, child.name))}", count
                yield from walk(child, (*names, child.name))
            else:
                yield from walk(child, (*names, child.name) if isinstance(child, ast.ClassDef) else names)

    return walk(module.tree, ())


def _classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def _none_asserts(module: Module) -> Iterator[str]:
    """One entry per assertion, however many names it checks."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            parts = node.test.values if isinstance(node.test, ast.BoolOp) else [node.test]
            for part in parts:
                if isinstance(part, ast.Compare) and ast.unparse(part).endswith(" is not None"):
                    yield f"{module.name}: {ast.unparse(node)}"
                    break


def _too_complex(root: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "radon", "cc", "--json", str(root / NAME)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"radon failed; is it installed (the extra 'lint')?\n{done.stderr}")
    for file, blocks in sorted(json.loads(done.stdout).items()):
        path = Path(file).relative_to(root / NAME).with_suffix("")
        for each in blocks:
            if each["type"] != "class" and each["complexity"] > COMPLEXITY:
                owner = f"{each['classname']}." if each.get("classname") else ""
                yield f"{'.'.join(path.parts)}: {owner}{each['name']} ({each['complexity']})"


# --- the graph of imports ----------------------------------------------------------------------

Graph = dict[str, set[str]]


def _graphs(root: Path, imports: Iterable[Import]) -> tuple[Graph, Graph, Graph]:
    """Who imports whom: when a module is loaded, while the program runs (in functions), and for annotations as well."""
    sys.path.insert(0, str(root))
    try:
        graph = grimp.build_graph(NAME, cache_dir=None)
    finally:
        sys.path.remove(str(root))
    kinds = {(each.module, each.node.lineno): each for each in imports}
    loaded: Graph = {_short(name): set() for name in graph.modules}
    run: Graph = {_short(name): set() for name in graph.modules}
    every: Graph = {_short(name): set() for name in graph.modules}
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            source, target = _short(importer), _short(imported)
            every[source].add(target)
            for details in graph.get_import_details(importer=importer, imported=imported):
                statement = kinds[source, details["line_number"]]
                if not statement.typing:
                    run[source].add(target)
                    if statement.function is None:
                        loaded[source].add(target)
    return loaded, run, every


def _short(name: str) -> str:
    return name.removeprefix(f"{NAME}.")


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        for each in graph.get(ahead.pop(), ()):
            if each not in found:
                found.add(each)
                ahead.append(each)
    return found


def _circles(graph: Graph) -> list[str]:
    """The modules of each circle in one line: those that reach one another."""
    reach = {name: _reachable(graph, name) for name in graph}
    circles = {
        tuple(sorted(other for other in graph if other in reach[name] and name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [", ".join(circle) for circle in sorted(circles)]


def _members(circles: Iterable[str]) -> int:
    return sum(len(circle.split(", ")) for circle in circles)


def _within_packages(graph: Graph) -> Graph:
    """Only the imports between modules of one folder of the package, or of what is below it; the top is one, too."""

    def package(name: str) -> str:
        return "" if name == NAME else name.split(".")[0] if "." in name or name in packages else ""

    packages = {name.split(".")[0] for name in graph if "." in name}
    return {name: {each for each in others if package(each) == package(name)} for name, others in graph.items()}


# --- imports inside functions ------------------------------------------------------------------


def _lazy(root: Path, imports: Iterable[Import], loaded: Graph) -> list[tuple[str, str]]:
    """Every import of the package in a function: why it is there, and the place."""
    lean = _lean_modules(root)
    extras = {each.module for each in imports if each.function is None and _imported_names(each.node) & EXTRAS}
    found = []
    for each in imports:
        if each.function is None or each.typing or not _own(each.node):
            continue
        targets = _targets(each.node, loaded)
        place = f"{each.module}: {each.function} imports {', '.join(sorted(targets))}"
        if each.module in ENTRIES:
            reason = ENTRIES[each.module]
        elif each.function == "__getattr__":
            reason = "public __getattr__"
        elif targets <= extras:
            reason = "optional extra"
        elif any(each.module in _reachable(loaded, target) or target == each.module for target in targets):
            reason = "no reason: a circle if it were at the top"
        elif each.module in lean:
            reason = "no reason: on the hook's path"
        elif each.module.startswith("cli."):
            reason = "no reason: in a verb"
        else:
            reason = "no reason: elsewhere"
        found.append((reason, place))
    return found


def _by_reason(lazy: Iterable[tuple[str, str]]) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    for reason, _ in lazy:
        counts[reason] += 1
    return [f"{reason}: {count}" for reason, count in sorted(counts.items())]


def _imported_names(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return {name.split(".")[0] for name in names}


def _targets(node: ast.Import | ast.ImportFrom, graph: Graph) -> set[str]:
    """The modules that a statement imports: of `from git_coderepo.cli import output` that is `cli.output`."""
    if isinstance(node, ast.Import):
        return {_short(alias.name) for alias in node.names}
    base = _short(node.module or "")
    found = set()
    for alias in node.names:
        name = alias.name if base == NAME else f"{base}.{alias.name}"
        found.add(name if name in graph else base)
    return found


def _lean_modules(root: Path) -> set[str]:
    """The modules of the hook's path, as `tests/test_imports.py` lists them; a package stands for all in it."""
    path = root / "tests" / "test_imports.py"
    if not path.exists():
        return set()
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEAN":
            names = {_short(name) for name in ast.literal_eval(node.value)}
    for folder in [name for name in names if (root / NAME / name.replace(".", "/")).is_dir()]:
        names |= {f"{folder}.{each.stem}" for each in (root / NAME / folder.replace(".", "/")).glob("*.py")}
    return names


# --- names ------------------------------------------------------------------------------------


def _repeated(pairs: Iterable[tuple[str, str]]) -> list[str]:
    homes: dict[str, set[str]] = defaultdict(set)
    for name, home in pairs:
        homes[name].add(home)
    return [f"{name}: {', '.join(sorted(where))}" for name, where in sorted(homes.items()) if len(where) > 1]


# --- ceilings -----------------------------------------------------------------------------------


def _new_places(measure: Measure, before: Iterable[str]) -> list[str]:
    """The places of a measure that are not among those of an earlier commit, whatever numbers stand beside them."""
    left = [_unnumbered(place) for place in before]
    new = []
    for place in measure.places:
        if _unnumbered(place) in left:
            left.remove(_unnumbered(place))
        else:
            new.append(place)
    return new


def _unnumbered(place: str) -> str:
    return re.sub(r" \(\d+\)$|: \d+$", "", place)


def _measured_at_ceilings() -> dict[str, list[str]]:
    """The places of each measure in the commit that last wrote the ceilings; none where git cannot tell."""
    file = CEILINGS.relative_to(PROJECT).as_posix()
    log = ["git", "-C", str(PROJECT), "log", "-1", "--format=%H", "--", file]
    commit = subprocess.run(log, capture_output=True, text=True, check=False).stdout.strip()
    if not commit:
        return {}
    archive = ["git", "-C", str(PROJECT), "archive", "--format=tar", commit, NAME]
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode != 0:
        return {}
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            tar.extractall(place, filter="data")
        command = [sys.executable, "-m", "tests.house", "--root", place, "--json"]
        other = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
        return {} if other.returncode else {k: v["places"] for k, v in json.loads(other.stdout).items()}


def check(
    found: Mapping[str, Measure],
    ceilings: Mapping[str, int],
    earlier: Callable[[], Mapping[str, Sequence[str]]] = _measured_at_ceilings,
) -> int:
    """Print which measures rose, with what is new since `earlier`, and which fell; 1 where one rose, else 0."""
    risen = {key: m for key, m in found.items() if m.held and m.number > ceilings.get(key, -1)}
    before = earlier() if risen else {}
    for key, measure in risen.items():
        if key not in ceilings:
            print(f"{measure.title}: {measure.number} has no ceiling; `python -m tests.house --lower` writes it")
            continue
        print(f"error: {measure.title}: {measure.number}, at most {ceilings[key]} allowed. New:")
        for place in _new_places(measure, before.get(key, ())):
            print(f"  {place}")
    for key, measure in found.items():
        if measure.held and measure.number < ceilings.get(key, 0):
            print(f"{measure.title}: {measure.number} is below {ceilings[key]}; run `python -m tests.house --lower`")
    return 1 if risen else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.house", description="Measure how the package is built.")
    parser.add_argument("--root", type=Path, default=PROJECT, help="The checkout to measure.")
    parser.add_argument("--places", metavar="NAME", help="List what this measure counts.")
    parser.add_argument("--lower", action="store_true", help="Lower the ceilings to today's numbers.")
    parser.add_argument("--json", action="store_true", help="Print every measure and its places as JSON.")
    arguments = parser.parse_args()
    found = measures(arguments.root.resolve())
    if arguments.json:
        print(json.dumps({key: {"count": m.number, "places": m.places} for key, m in found.items()}, indent=2))
        return 0
    if arguments.places:
        print("\n".join(found[arguments.places].places))
        return 0
    ceilings = json.loads(CEILINGS.read_text(encoding="utf-8")) if CEILINGS.exists() else {}
    if arguments.root != PROJECT:
        ceilings = {}
    elif arguments.lower:
        held = {key: measure.number for key, measure in found.items() if measure.held}
        ceilings = {key: min(number, ceilings.get(key, number)) for key, number in held.items()}
        CEILINGS.write_text(json.dumps(ceilings, indent=2) + "\n", encoding="utf-8")
    width = max(len(m.title) for m in found.values())
    for key, measure in found.items():
        limit = f"at most {ceilings[key]}" if key in ceilings else ""
        print(f"{measure.title:<{width}}  {measure.number:>6}  {limit:<14}  {key}".rstrip())
    for place in (*found["lazyImportsByReason"].places, *found["folders"].places):
        print(f"  {place}")
    if arguments.root != PROJECT:
        return 0
    return check(found, ceilings)


if __name__ == "__main__":
    sys.exit(main())
