"""Choose the checkout that a Python program records, and the directory in it where the program was started."""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo import STARTED_IN
from git_coderepo.errors import CodeRepoError
from git_coderepo.git.process import Git

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PINS = ("GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_WORK_TREE")
_messages: set[str] = set()


def in_notebook() -> bool:
    """Return whether this process is a notebook kernel; importing a notebook library does not count."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return "ipykernel" in sys.modules
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def program_file() -> str | None:
    """Return the absolute path of the program's file, or zip file; None in a notebook and without a file."""
    name = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(name, str) or in_notebook():
        return None
    path = os.path.abspath(name)
    if not os.path.lexists(path) and os.path.isfile(os.path.dirname(path)):
        path = os.path.dirname(path)  # `__main__.py` of a zip file
    return path if os.path.lexists(path) else None


def run_directory(say: Callable[[str], None]) -> str:
    """Return the directory whose checkout a run of this process records, if the caller named none.

    That is the checkout of the program's file, if the file would be part of its snapshot and is not installed, or else
    that of the working directory, as for console scripts, `python -m` and notebooks. In it, the directory is the one in
    which the program was started, as a runner starts it there. `say` receives, once, a warning about a working
    directory in another checkout. Raises NotACheckout for a checkout that Git refuses to look at, and CodeRepoError if
    the working directory is gone.
    """
    program = program_file()
    try:
        here: str | None = os.getcwd()
    except FileNotFoundError:
        here = None
    of_program = _checkout_of_file(program) if program is not None and not _is_installed(program) else None
    of_here = _checkout_at(here, os.environ) if here is not None else None
    started = _started_in(program)
    if program is not None and of_program is not None:
        is_same = of_here is not None and os.path.samefile(of_program, of_here)
        if not _is_below_prefix(program):
            if of_here is not None and not is_same:
                _say_once(
                    say,
                    f"warning: recording '{of_program}', the checkout of the program '{program}'; the working "
                    f"directory is in the checkout '{of_here}' (choose with coderepo.run(directory=…))",
                )
            return _start_in(of_program, here, started)
        if not is_same:
            _say_once(
                say,
                f"warning: recording '{of_here or here}', where the program was started; its file '{program}' is in "
                f"the checkout '{of_program}' (choose with coderepo.run(directory=…))",
            )
    if here is None:
        raise CodeRepoError(
            "the working directory no longer exists", hints=["name the checkout: coderepo.run(directory=…)"]
        )
    return here if program is None else _start_near(here, of_here, started)


def _start_near(here: str, checkout: str | None, started: str | None) -> str:
    """Return where a program was started, unless that is in another checkout than the working directory `here`."""
    if started is None or os.path.realpath(started) == os.path.realpath(here):
        return here
    origin = _checkout_at(started, os.environ)
    return started if origin is not None and (checkout is None or os.path.samefile(origin, checkout)) else here


def _start_in(checkout: str, here: str | None, started: str | None) -> str:
    """Return where in its checkout a program was started; the root where that was elsewhere."""
    place = started if started is not None else here
    found = _checkout_at(place, _unpinned()) if place is not None else None
    return place if place is not None and found is not None and os.path.samefile(found, checkout) else checkout


def _started_in(program: str | None) -> str | None:
    """Return the working directory in which the interpreter was started, as far as it can be known.

    Python makes a script's relative path absolute by joining it to that directory. Elsewhere it is the directory at
    the import of this package, which usually comes before a framework such as Hydra changes it.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if program is not None and isinstance(file, str) and getattr(main, "__spec__", None) is None:
        for word in sys.orig_argv[1:]:
            if word == file:
                break
            if not os.path.isabs(word) and file.endswith("/" + word):
                folder = file.removesuffix("/" + word) or "/"
                return folder if os.path.isdir(folder) else None
    return STARTED_IN if STARTED_IN is not None and os.path.isdir(STARTED_IN) else None


def _is_installed(file: str) -> bool:
    """Return whether a file is one of an environment's packages or scripts, as a launcher is."""
    folders = [sysconfig.get_path(name) for name in ("scripts", "stdlib", "platstdlib", "purelib", "platlib")]
    folders.append(sysconfig.get_path("scripts", vars={"base": sys.base_prefix}))
    folders.append(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    for path in (file, os.path.realpath(file)):
        if not {"site-packages", "dist-packages"}.isdisjoint(path.split("/")):
            return True
        if any(_is_below(path, folder) for folder in folders):
            return True
    return False


def _is_below_prefix(file: str) -> bool:
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    return any(_is_below(path, prefix) for path in (file, os.path.realpath(file)) for prefix in prefixes)


def _is_below(path: str, folder: str) -> bool:
    return any(path.startswith(each.rstrip("/") + "/") for each in (folder, os.path.realpath(folder)))


def root_above(path: str) -> str | None:
    """Return the nearest directory, from an absolute path upwards, that has a `.git`; None where none has."""
    while not os.path.lexists(os.path.join(path, ".git")):
        above = os.path.dirname(path)
        if above == path:
            return None
        path = above
    return path


def _checkout_of_file(file: str) -> str | None:
    """Return the root of the checkout whose snapshot contains a file; None if there is none, or it is ignored."""
    folder, name = os.path.split(os.path.realpath(file))
    environment = _unpinned()
    found = _work_tree(folder, environment)
    if found is None or not found.is_inside:
        return None if found is None else found.root
    git = Git(folder, environment=environment).with_environment(GIT_LITERAL_PATHSPECS="1")
    listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "./" + name)
    return found.root if listed else None


def _checkout_at(folder: str, environment: Mapping[str, str]) -> str | None:
    """Return the root of the checkout that holds a directory; None where there is none. Raises as `_work_tree`."""
    found = _work_tree(folder, environment)
    return None if found is None else found.root


class _WorkTree(NamedTuple):
    """The `root` of a work tree; the directory itself if it is outside the work tree that Git reports."""

    root: str
    is_inside: bool


def _work_tree(folder: str, environment: Mapping[str, str]) -> _WorkTree | None:
    """Return what Git reports for a directory; None outside of a checkout. Raises NotACheckout where Git refuses.

    A directory outside the work tree that Git reports is refused when it is recorded: see `stand_inside`.
    """
    git = Git(folder, environment=environment)
    process = git.start("rev-parse", "--is-inside-work-tree", "--show-toplevel").finish()
    if process.status == 0:
        inside, _, root = process.stdout.removesuffix(b"\n").partition(b"\n")
        return _WorkTree(os.fsdecode(root), True) if inside == b"true" else _WorkTree(folder, False)
    if b"dubious ownership" in process.stderr:
        raise process.failure()
    return None


def _unpinned() -> dict[str, str]:
    """Return the environment without what ties git to one repository: a program may lie in another one."""
    return {name: value for name, value in os.environ.items() if name not in _PINS}


def _say_once(say: Callable[[str], None], text: str) -> None:
    if text not in _messages:
        _messages.add(text)
        say(text)
