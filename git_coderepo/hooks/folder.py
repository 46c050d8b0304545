"""The hooks folder, for git before 2.54: a file of our own, or a marked block in the script that is there.

No file of another tool is renamed: two tools that rename each other's hooks end in a loop. Where another tool renamed
ours (pre-commit to `.legacy`, which it goes on to run; lefthook to `.old`, which it does not), it is found there.
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

_RUN_BY_THE_OTHER = b".legacy"
_LEFT_BEHIND = b".old"


class Found(NamedTuple):
    """A block of ours, and the script that it stands in."""

    path: bytes
    script: bytes
    block: texts.Block


def hooks_folder(git: Git, layout: Layout) -> bytes:
    """The folder in which git looks for this checkout's hooks; raises HookRefused for one that is not its own."""
    folder = folder_in_use(git, layout)
    value = os.fsdecode(git.start("config", "--get", "core.hooksPath").checked(1).removesuffix(b"\n"))
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise HookRefused(
            f"hooks are switched off here: 'core.hooksPath' is '{value}'",
            hints=[*_hooks_path_hints(git), _NEWER],
        )
    where = os.path.realpath(folder)
    if is_within(where, os.path.realpath(layout.common_dir)):
        return folder
    if is_within(where, os.path.realpath(layout.toplevel)):
        scripts = _where_husky_looks(folder)
        named = os.fsdecode(os.path.relpath(scripts, layout.toplevel))
        raise HookRefused(
            f"the hooks of this checkout stand in its work tree: 'core.hooksPath' is '{value}'",
            hints=[
                *(f"add to '{named}/{event}': {texts.line_to_add(event)}" for event in texts.EVENTS),
                _NEWER,
            ],
        )
    raise HookRefused(
        f"the hooks of this checkout stand outside of it, in '{os.fsdecode(folder)}'",
        hints=["for every checkout that uses them: git coderepo hooks install --global", _NEWER],
    )


_NEWER = "or install git 2.54 or newer, which runs hooks from its configuration"


def _hooks_path_hints(git: Git) -> list[str]:
    """Return the hint for a `core.hooksPath` that is no folder: nothing where it is not set in a file."""
    scope, tab, _ = git.start("config", "--show-scope", "--get", "core.hooksPath").checked(1).partition(b"\t")
    if not tab or scope == b"command":
        return []
    return [f"git config --{scope.decode()} --unset core.hooksPath"]


def folder_in_use(git: Git, layout: Layout) -> bytes:
    """The folder in which git looks, whatever it is (absolute)."""
    # A relative core.hooksPath counts from where hooks run: the top of the work tree.
    return git.at(layout.toplevel).run("rev-parse", "--path-format=absolute", "--git-path", "hooks").removesuffix(b"\n")


def folder_of_the_user(git: Git) -> bytes:
    """The folder in which the user keeps hooks for all checkouts; raises HookRefused where there is none."""
    folder = git.start("config", "--global", "--type=path", "--get", "core.hooksPath").checked(1).removesuffix(b"\n")
    if not folder:
        raise HookRefused(
            "this git has no hooks for all checkouts: there is no 'core.hooksPath' in your configuration",
            hints=["in each checkout: git coderepo hooks install", _NEWER],
        )
    if not os.path.isabs(folder) or (os.path.lexists(folder) and not os.path.isdir(folder)):
        raise HookRefused(f"'core.hooksPath' in your configuration names no folder of its own: '{os.fsdecode(folder)}'")
    return folder


def _where_husky_looks(folder: bytes) -> bytes:
    """husky 9 points git to `.husky/_`, whose files start those of `.husky`."""
    return os.path.dirname(folder) if os.path.basename(folder) == b"_" else folder


def install(folder: bytes, new: texts.Block) -> bytes:
    """Put a block into the folder; gives the script's path. Raises HookRefused, OSError."""
    path = os.path.join(folder, new.event.encode())
    _sweep(folder, new.event)
    there = find(folder, new.event)
    if there is not None:
        script = texts.put(there.script, new)
        if script != there.script:
            _rewrite(there.path, script)
        return there.path
    abandoned = _found(path + _LEFT_BEHIND, new.event)
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
    """The contents of another tool's script that takes a block; raises HookRefused for one that does not."""
    name = os.fsdecode(path)
    add = f"add to it: {texts.line_to_add(event)}"
    if os.path.islink(path):
        raise HookRefused(f"'{name}' is a link to '{os.fsdecode(os.readlink(path))}'", hints=[add])
    if not os.path.isfile(path):
        raise HookRefused(f"'{name}' is no file")
    with open(path, "rb") as file:
        script = file.read()
    if not texts.is_shell(script):
        raise HookRefused(f"'{name}' is no script of sh or bash", hints=[f"{add} (in its own language)"])
    if not os.access(path, os.X_OK):
        raise HookRefused(
            f"'{name}' is not executable: git does not run it",
            hints=[f"chmod +x {shell_word(path)}", f"or remove it: rm {shell_word(path)}"],
        )
    return script


def is_by_hand(folder: bytes, event: str) -> bytes | None:
    """The script into which somebody wrote the line that we told, or None."""
    for path in (os.path.join(folder, event.encode()), os.path.join(_where_husky_looks(folder), event.encode())):
        try:
            with open(path, "rb") as file:
                script = file.read()
        except OSError:
            continue
        if texts.find(script, event) is None and texts.is_added_by_hand(script, event):
            return path
    return None


def find(folder: bytes, event: str) -> Found | None:
    """Our block where git, or the tool that renamed it, runs it."""
    path = os.path.join(folder, event.encode())
    here = _found(path, event)
    if here is not None or not os.path.exists(path):
        return here
    return _found(path + _RUN_BY_THE_OTHER, event)


def uninstall(folder: bytes, event: str) -> list[bytes]:
    """Take our block out, wherever it is; gives the paths that changed. Raises OSError."""
    path = os.path.join(folder, event.encode())
    _sweep(folder, event)
    changed = []
    made_the_folder = False
    for each in (path, path + _RUN_BY_THE_OTHER, path + _LEFT_BEHIND):
        found = _found(each, event)
        if found is not None:
            made_the_folder |= found.block.kind == texts.FOLDER
            _remove(found)
            changed.append(each)
    if made_the_folder:
        try:
            os.rmdir(folder)
        except OSError:
            pass  # somebody else uses it by now
    return changed


def _found(path: bytes, event: str) -> Found | None:
    try:
        if os.path.islink(path):
            return None
        with open(path, "rb") as file:
            script = file.read()
    except OSError:
        return None
    block = texts.find(script, event)
    return Found(path, script, block) if block is not None else None


def _remove(found: Found) -> None:
    rest = texts.take_out(found.script, found.block)
    if found.block.kind != texts.BLOCK and rest == texts.SHEBANG:
        os.unlink(found.path)
    else:
        _rewrite(found.path, rest)


def _rewrite(path: bytes, script: bytes) -> None:
    """Put a script in the place of one, with its mode; a hook that starts meanwhile is the old one or the new one."""
    write_whole(path, script, mode=stat.S_IMODE(os.stat(path).st_mode), exact=True)


def _sweep(folder: bytes, event: str) -> None:
    """Remove what a process of ours that was killed left of this event's scripts."""
    if os.path.isdir(folder):
        for ending in (b"", _RUN_BY_THE_OTHER, _LEFT_BEHIND):
            sweep(folder, event.encode() + ending)
