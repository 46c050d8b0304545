"""Code that a program imports from other checkouts: where it is, and at which commit and tree.

Python finds such code through PYTHONPATH, `.pth` files, editable installs and links in site-packages. Nothing is
executed to find them. Formats: https://docs.python.org/3/library/site.html,
https://packaging.python.org/en/latest/specifications/direct-url/, and the finder modules that setuptools and other
build backends write for editable installs.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
from site import getuserbase
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

import git_coderepo
from git_coderepo.errors import CodeRepoError
from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.git.url.remote import RemoteURL, remotes_of
from git_coderepo.snapshots.pipeline import take_snapshot
from git_coderepo.snapshots.python.program import root_above
from git_coderepo.snapshots.snapshot import Imported, Request
from git_coderepo.snapshots.submodules import snapshots_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.snapshots.snapshot import Snapshot

# Programs that run a command in the environment of the project they stand in.
_PROJECT_RUNNERS = frozenset(("uv", "poetry", "pdm", "hatch", "rye", "pipenv"))
_PACKAGE = os.path.dirname(os.path.abspath(git_coderepo.__file__))
_LARGEST = 1 << 20
_SHOWN = 10
_LISTED = "sys.path"


class Interpreter(NamedTuple):
    """Where a Python finds modules: (directory, where that is written) in its order, and its site-packages.

    `prefixes` are the directories that it is installed in.
    """

    entries: tuple[tuple[str, str], ...]
    sites: tuple[str, ...]
    prefixes: tuple[str, ...]


def _sentence(found: Imported, toplevel: bytes) -> str:
    """Return a sentence about imported code."""
    where = os.path.relpath(found.path, os.fsdecode(toplevel))
    if found.problem is not None:
        facts = f"a checkout that cannot be recorded: {found.problem}"
    elif found.tree is None:
        facts = "which is not part of any recorded checkout"
    else:
        at = "without a commit" if found.commit is None else f"at {found.commit.hex[:12]}"
        facts = f"another checkout {at}{', dirty' if found.dirty else ''}"
    return f"code is imported from '{where}' ({found.via}), {facts}: a runner does not get it"


def _unknown(path: str, via: str, problem: str | None = None) -> Imported:
    """Return code of which no commit and tree is known."""
    return Imported(path=path, via=via, remote=None, commit=None, tree=None, dirty=None, problem=problem)


def sentences(found: Sequence[Imported], toplevel: bytes) -> list[str]:
    """Return a sentence for each entry, or for the first few if there are many."""
    lines = [_sentence(each, toplevel) for each in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"code is imported from {len(found) - _SHOWN} more places: the manifest lists them")
    return lines


def this_interpreter() -> Interpreter:
    """Return where this very process finds modules."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        here = "/"  # relative entries lead nowhere
    entries = tuple((os.path.normpath(os.path.join(here, entry)), _LISTED) for entry in sys.path if entry)
    written = dict(_python_path(os.environ, here))
    entries = tuple((entry, written.get(entry, via)) for entry, via in entries)
    sites = tuple(entry for entry, _ in entries if _is_site(entry))
    return Interpreter(entries, sites, (sys.prefix, sys.base_prefix, getuserbase()))


def interpreter_of(environment: Mapping[str, str], directory: str, command: Sequence[bytes] | None) -> Interpreter:
    """Return where the Python that a command starts looks for modules; without a command, the environment's Python."""
    program = _interpreter(environment, directory, os.fsdecode(command[0]) if command else None)
    prefixes = () if program is None else (os.path.dirname(os.path.dirname(program)),)
    return Interpreter(tuple(_python_path(environment, directory)), tuple(_sites(program, environment)), prefixes)


def with_imports(snapshot: Snapshot, git: Git, interpreter: Interpreter) -> Snapshot:
    """Return the snapshot, with the outside code that Python would import and the state of other checkouts added."""
    roots = _imported_roots(snapshot, interpreter)
    return snapshot.replace(imported=tuple(_look_at(root, via, git) for root, via in roots.items()))


def _imported_roots(snapshot: Snapshot, interpreter: Interpreter) -> dict[str, str]:
    """Return (root or directory: how Python finds it) of the code outside a snapshot that a Python would import."""
    own = os.path.realpath(os.fsdecode(snapshot.layout.toplevel))
    recorded = {own, *(os.path.join(own, os.fsdecode(place).rstrip("/")) for place, _ in snapshots_in(snapshot))}
    program = root_above(_PACKAGE)  # the manifest has its version
    roots: dict[str, str] = {}
    for path, via in _code_directories(interpreter, own):
        root = root_above(path)
        if root in recorded:
            is_elsewhere = root == own and not _is_recorded(snapshot, os.path.relpath(path, own))
            root = path if is_elsewhere else None
        elif root is None:
            root = path
        if root is not None and root != program:
            roots.setdefault(root, via)
    return roots


def _code_directories(interpreter: Interpreter, own: str) -> Iterator[tuple[str, str]]:
    """Yield (real path, how Python finds it) of what is neither the interpreter's own nor installed in it.

    `own` is the root of the checkout.
    """
    sites = tuple(os.path.realpath(site) + os.sep for site in interpreter.sites)
    prefixes = tuple(os.path.realpath(prefix) + os.sep for prefix in interpreter.prefixes)
    # A console script's own directory is the first that Python looks in; it holds programs.
    scripts = {prefix + "bin" for prefix in prefixes}
    for path, via in (*interpreter.entries, *_installed(interpreter.sites)):
        real = os.path.realpath(path)
        if not os.path.exists(real) or (real + os.sep).startswith(sites) or _is_standard(real):
            continue
        if real in scripts and via == _LISTED:
            continue
        root = root_above(real)
        is_installed = (real + os.sep).startswith(prefixes) or (root is None and via == _LISTED)
        if root not in (own, None) or not is_installed:
            yield real, via


def _look_at(root: str, via: str, git: Git) -> Imported:
    """Return the state of a checkout; its repository is only read, objects are written to a scratch folder."""
    if not os.path.lexists(os.path.join(root, ".git")):
        return _unknown(root, via)
    try:
        with scratch_directory() as scratch:
            request = Request(
                here=True,
                store_directory=os.fsencode(scratch),
                allow_unreproducible=True,
                tree_only=True,
                scope=[b"."],
            )
            snapshot = take_snapshot(git.foreign(root), request)
    except CodeRepoError as error:
        return _unknown(root, via, problem=error.message)
    except OSError as error:
        return _unknown(root, via, problem=error.strerror or str(error))
    commit = snapshot.head.commit if snapshot.head is not None else None
    return Imported(
        path=root,
        via=via,
        remote=_remote_of(snapshot),
        commit=commit,
        tree=snapshot.tree,
        dirty=snapshot.dirty,
        problem=None,
    )


def _remote_of(snapshot: Snapshot) -> RemoteURL | None:
    """Return the remote that HEAD's branch follows, else `origin`, else the only one."""
    remotes = remotes_of(snapshot.git, snapshot.settings)
    branch = snapshot.head.branch if snapshot.head is not None else None
    followed = snapshot.settings.value("branch", "remote", branch) if branch is not None else None
    for name in (followed, "origin"):
        if name in remotes:
            return remotes[name]
    return next(iter(remotes.values())) if len(remotes) == 1 else None


def _is_recorded(snapshot: Snapshot, path: str) -> bool:
    """Return whether a path from the root is in the snapshot's tree."""
    if path == os.curdir:
        return True
    found = snapshot.git_with_store.run(
        "--literal-pathspecs", "ls-tree", "-z", "--full-tree", snapshot.tree.hex, "--", os.fsencode(path)
    )
    return bool(found)


# --- where Python looks ---------------------------------------------------------------------------------------------


def _python_path(environment: Mapping[str, str], directory: str) -> Iterator[tuple[str, str]]:
    for entry in environment.get("PYTHONPATH", "").split(os.pathsep):
        if entry:
            yield os.path.abspath(os.path.join(directory, entry)), "PYTHONPATH"


def _interpreter(environment: Mapping[str, str], directory: str, program: str | None) -> str | None:
    """Return the path of the Python that a program is, or is written for."""

    def which(name: str) -> str | None:
        path = shutil.which(os.path.join(directory, name) if os.sep in name else name, path=environment.get("PATH"))
        return None if path is None else os.path.abspath(os.path.join(directory, path))

    if program is not None:
        is_runner = os.path.basename(program) in _PROJECT_RUNNERS
        python = _project_python(environment, directory) if is_runner else None
        if python is not None:
            return python
        path = which(program)
        if path is not None and _is_python(path):
            return path
        name = _named_python(path) if path is not None else None
        if name is not None:
            return which(name)
    prefixes = [environment.get("VIRTUAL_ENV"), environment.get("CONDA_PREFIX")]
    candidates = [os.path.join(each, "bin/python") for each in prefixes if each]
    return _first_existing([*candidates, which("python3"), which("python")])


def _project_python(environment: Mapping[str, str], directory: str) -> str | None:
    """Return the Python of the virtual environment that a project's runner uses."""
    folders = [environment.get("UV_PROJECT_ENVIRONMENT"), ".venv"]
    while os.path.dirname(directory) != directory and not os.path.lexists(os.path.join(directory, ".venv")):
        directory = os.path.dirname(directory)
    return _first_existing(os.path.join(directory, folder, "bin/python") for folder in folders if folder)


def _named_python(path: str) -> str | None:
    """Return the name of the Python in the first line of a script; None if it names no Python."""
    words = _interpreter_line(path)
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
    return words[0] if words and _is_python(words[0]) else None


def _first_existing(names: Iterable[str | None]) -> str | None:
    return next((name for name in names if name and os.path.exists(name)), None)


def _is_python(path: str) -> bool:
    return re.fullmatch(r"(python|pypy)[0-9.]*t?", os.path.basename(path)) is not None


def _interpreter_line(path: str) -> list[str]:
    """Return the words after `#!`; of a path with spaces or of great length, as pip writes it, what `sh` executes."""
    try:
        with open(path, "rb") as file:
            first, second = (os.fsdecode(file.readline(4096)) for _ in range(2))
    except OSError:
        return []
    executed = re.match(r"\'\'\'exec\' \"?([^\"]+?)\"? \"\$0\"", second)
    if executed is not None:
        return [executed[1]]
    return first.removeprefix("#!").split() if first.startswith("#!") else []


def _sites(python: str | None, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the site-packages of an interpreter that exist."""
    if python is None:
        return
    prefix = os.path.dirname(os.path.dirname(python))
    settings = _read(os.path.join(prefix, "pyvenv.cfg"))
    real = os.path.realpath(python)
    version = re.fullmatch(r"(?:python|pypy)(3\.[0-9]+)t?", os.path.basename(real))
    folders = [prefix]
    is_isolated = bool(settings) and re.search(r"(?mi)^include-system-site-packages\s*=\s*true", settings) is None
    if not is_isolated:
        folders.append(os.path.dirname(os.path.dirname(real)))
        if not environment.get("PYTHONNOUSERSITE"):
            home = environment.get("HOME", "")
            folders.append(environment.get("PYTHONUSERBASE") or os.path.join(home, ".local"))
        if os.path.dirname(os.path.dirname(real)) == "/usr":
            folders.append("/usr/local")
    names = ["python3", f"python{version[1]}"] if version is not None else ["python3", *_versions(folders)]
    for folder in dict.fromkeys(folders):
        for library in ("lib", "lib64"):
            for name in names:
                for kind in ("site-packages", "dist-packages"):
                    site = os.path.join(folder, library, name, kind)
                    if os.path.isdir(site):
                        yield site


def _versions(folders: Iterable[str]) -> list[str]:
    names = {name for folder in folders for name in _names(os.path.join(folder, "lib"))}
    return sorted(name for name in names if re.fullmatch(r"(python|pypy)3\.[0-9]+t?", name))


def _is_site(path: str) -> bool:
    return os.path.basename(path) in ("site-packages", "dist-packages")


def _is_standard(path: str) -> bool:
    """Return whether a path is part of a Python installation."""
    return re.search(r"/lib(64)?/(python|pypy)3?[0-9.]*t?(/|$|\.zip$)|/lib(64)?/python[0-9]+\.zip$", path) is not None


# --- what is installed ----------------------------------------------------------------------------------------------


def _installed(sites: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, how Python finds it) of what site-packages refer to elsewhere."""
    for site in dict.fromkeys(sites):
        for name in _names(site):
            path = os.path.join(site, name)
            if name.endswith(".pth"):
                for target in _path_file(site, _read(path)):
                    yield target, name
            elif name.endswith(".egg-link"):
                yield os.path.join(site, (_read(path).splitlines() or [""])[0].strip()), name
            elif name.endswith(".dist-info"):
                source = _direct_url(_read(os.path.join(path, "direct_url.json")))
                if source is not None:
                    yield source, f"{name.rpartition('.')[0]} is installed from it"
            elif os.path.islink(path):
                yield os.path.realpath(path), f"link '{name}' in site-packages"


def _path_file(site: str, text: str) -> Iterator[str]:
    """Yield the directories that a `.pth` file adds, also through a finder module that it imports."""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith(("import ", "import\t")):
            for module in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", line.partition(";")[0].removeprefix("import")):
                if "editable" in module:
                    yield from _absolute_paths(_read(os.path.join(site, module + ".py")))
        elif line and not line.startswith("#"):
            yield os.path.join(site, line)


def _absolute_paths(source: str) -> Iterator[str]:
    """Yield the absolute paths that stand as texts in a module."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and os.path.isabs(node.value):
            yield node.value


def _direct_url(text: str) -> str | None:
    """Return the local directory that a package was installed from."""
    try:
        url = json.loads(text)["url"] if text else ""
    except (ValueError, KeyError, TypeError):
        return None
    parts = urlsplit(url) if isinstance(url, str) else None
    return unquote(parts.path) if parts is not None and parts.scheme == "file" and parts.path else None


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(path: str) -> str:
    """Return a small text, "" where there is none."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(_LARGEST))
    except OSError:
        return ""
