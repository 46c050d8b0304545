"""The hooks folder, for git before 2.54: a file of our own, or a marked block in the script of another tool.

No file of another tool is renamed, since two tools that rename each other's hooks would end in a loop. If another tool
has renamed our script (pre-commit to `.legacy`, which it still runs; lefthook to `.old`, which it does not run), the
block is found in the renamed script.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.errors import HookRefused
from git_coderepo.filesystem.atomic import sweep, write_whole
from git_coderepo.filesystem.paths import is_within
from git_coderepo.git.process import shell_word
from git_coderepo.hooks import scripts as texts

if TYPE_CHECKING:
    from git_coderepo.git.process import Git
    from git_coderepo.git.repository import Layout

_STILL_RUN = b".legacy"
_ABANDONED = b".old"


class BlockInScript(NamedTuple):
    """A block of ours, and the script that contains it."""

    path: bytes
    script: bytes
    block: texts.Block


def hooks_folder(git: Git, layout: Layout) -> bytes:
    """Return the folder of this checkout's hooks. Raises HookRefused for a folder that is not the checkout's own."""
    folder = folder_in_use(git, layout)
    value = os.fsdecode(git.start("config", "--get", "core.hooksPath").checked(1).removesuffix(b"\n"))
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise HookRefused(
            f"hooks are disabled in this checkout: 'core.hooksPath' is '{value}'",
            hints=[*_hooks_path_hints(git), _NEWER],
        )
    real = os.path.realpath(folder)
    if is_within(real, os.path.realpath(layout.common_dir)):
        return folder
    if is_within(real, os.path.realpath(layout.toplevel)):
        scripts = _where_husky_looks(folder)
        name = os.fsdecode(os.path.relpath(scripts, layout.toplevel))
        raise HookRefused(
            f"the hooks of this checkout are in its work tree: 'core.hooksPath' is '{value}'",
            hints=[
                *(f"add to '{name}/{event}': {texts.line_to_add(event)}" for event in texts.EVENTS),
                _NEWER,
            ],
        )
    raise HookRefused(
        f"the hooks of this checkout are outside of it, in '{os.fsdecode(folder)}'",
        hints=["for every checkout that uses them: git coderepo hooks install --global", _NEWER],
    )


_NEWER = "or install git 2.54 or newer, which runs hooks from its configuration"


def _hooks_path_hints(git: Git) -> list[str]:
    """Return the hint for a `core.hooksPath` that is not a folder; none if it is not set in a file."""
    scope, tab, _ = git.start("config", "--show-scope", "--get", "core.hooksPath").checked(1).partition(b"\t")
    if not tab or scope == b"command":
        return []
    return [f"git config --{scope.decode()} --unset core.hooksPath"]


def folder_in_use(git: Git, layout: Layout) -> bytes:
    """Return the absolute path of the folder in which git looks for hooks."""
    # A relative core.hooksPath is relative to the directory in which hooks run, the top of the work tree.
    return git.at(layout.toplevel).run("rev-parse", "--path-format=absolute", "--git-path", "hooks").removesuffix(b"\n")


def folder_of_the_user(git: Git) -> bytes:
    """Return the folder of the user's hooks for all checkouts. Raises HookRefused without one."""
    folder = git.start("config", "--global", "--type=path", "--get", "core.hooksPath").checked(1).removesuffix(b"\n")
    if not folder:
        raise HookRefused(
            "this version of git has no hooks for all checkouts, and your configuration does not set 'core.hooksPath'",
            hints=["in each checkout: git coderepo hooks install", _NEWER],
        )
    if not os.path.isabs(folder) or (os.path.lexists(folder) and not os.path.isdir(folder)):
        raise HookRefused(f"invalid 'core.hooksPath' in your configuration: '{os.fsdecode(folder)}'")
    return folder


def _where_husky_looks(folder: bytes) -> bytes:
    """Return the folder of the scripts: husky 9 points git to `.husky/_`, whose files start those of `.husky`."""
    return os.path.dirname(folder) if os.path.basename(folder) == b"_" else folder


def install(folder: bytes, new: texts.Block) -> bytes:
    """Add or update a block in the folder; return the script's path. Raises HookRefused, OSError."""
    path = os.path.join(folder, new.event.encode())
    _sweep(folder, new.event)
    ours = find(folder, new.event)
    if ours is not None:
        script = texts.put(ours.script, new)
        if script != ours.script:
            _rewrite(ours.path, script)
        return ours.path
    abandoned = _block_in(path + _ABANDONED, new.event)
    if abandoned is not None:
        _remove(abandoned)
    kind = texts.FILE
    if not os.path.isdir(folder):
        os.makedirs(folder)
        kind = texts.FOLDER
    elif any(each is not None and each.block.kind == texts.FOLDER for each in (find(folder, e) for e in texts.EVENTS)):
        kind = texts.FOLDER
    if not os.path.lexists(path):
        write_whole(path, texts.SHEBANG + new.of_kind(kind).text + b"\n", mode=0o777)
        return path
    script = _script_of_another(path, new.event)
    _rewrite(path, texts.put(script, new.of_kind(texts.BLOCK)))
    return path


def _script_of_another(path: bytes, event: str) -> bytes:
    """Return the script of another tool. Raises HookRefused for one to which a block cannot be added."""
    name = os.fsdecode(path)
    add = f"add to it: {texts.line_to_add(event)}"
    if os.path.islink(path):
        raise HookRefused(f"'{name}' is a symbolic link to '{os.fsdecode(os.readlink(path))}'", hints=[add])
    if not os.path.isfile(path):
        raise HookRefused(f"'{name}' is not a regular file")
    with open(path, "rb") as file:
        script = file.read()
    if not texts.is_shell(script):
        raise HookRefused(f"'{name}' is not a script for sh or bash", hints=[f"{add} (in its own language)"])
    if not os.access(path, os.X_OK):
        raise HookRefused(
            f"'{name}' is not executable: git does not run it",
            hints=[f"chmod +x {shell_word(path)}", f"or remove it: rm {shell_word(path)}"],
        )
    return script


def script_by_hand(folder: bytes, event: str) -> bytes | None:
    """Return the path of the script to which somebody added the line that we print, or None."""
    for path in (os.path.join(folder, event.encode()), os.path.join(_where_husky_looks(folder), event.encode())):
        try:
            with open(path, "rb") as file:
                script = file.read()
        except OSError:
            continue
        if texts.find(script, event) is None and texts.is_added_by_hand(script, event):
            return path
    return None


def find(folder: bytes, event: str) -> BlockInScript | None:
    """Return our block in the script that git, or the tool that renamed the script, runs; None without one."""
    path = os.path.join(folder, event.encode())
    ours = _block_in(path, event)
    if ours is not None or not os.path.exists(path):
        return ours
    return _block_in(path + _STILL_RUN, event)


def uninstall(folder: bytes, event: str) -> list[bytes]:
    """Remove our block from all scripts of an event; return the paths that changed. Raises OSError."""
    path = os.path.join(folder, event.encode())
    _sweep(folder, event)
    changed = []
    made_the_folder = False
    for each in (path, path + _STILL_RUN, path + _ABANDONED):
        ours = _block_in(each, event)
        if ours is not None:
            made_the_folder |= ours.block.kind == texts.FOLDER
            _remove(ours)
            changed.append(each)
    if made_the_folder:
        try:
            os.rmdir(folder)
        except OSError:
            pass  # it contains files of another tool by now
    return changed


def _block_in(path: bytes, event: str) -> BlockInScript | None:
    try:
        if os.path.islink(path):
            return None
        with open(path, "rb") as file:
            script = file.read()
    except OSError:
        return None
    block = texts.find(script, event)
    return BlockInScript(path, script, block) if block is not None else None


def _remove(ours: BlockInScript) -> None:
    rest = texts.remove(ours.script, ours.block)
    if ours.block.kind != texts.BLOCK and rest == texts.SHEBANG:
        os.unlink(ours.path)
    else:
        _rewrite(ours.path, rest)


def _rewrite(path: bytes, script: bytes) -> None:
    """Replace a script as a whole and keep its mode, so that a hook that starts meanwhile is never half-written."""
    write_whole(path, script, mode=stat.S_IMODE(os.stat(path).st_mode), exact=True)


def _sweep(folder: bytes, event: str) -> None:
    """Remove the temporary files of this event's scripts that a killed process of ours left."""
    if os.path.isdir(folder):
        for ending in (b"", _STILL_RUN, _ABANDONED):
            sweep(folder, event.encode() + ending)
