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
    setting = hooks_path(git)
    value = "" if setting is None else setting.value
    remove = [] if setting is None else [setting.hint(layout), _NEWER]
    if _is_no_folder(folder, setting):
        reason = f"'{os.fsdecode(folder)}' is a file" if setting is None else f"'core.hooksPath' is '{value}'"
        raise HookRefused(
            f"hooks are disabled in this checkout: {reason}", hints=remove or [f"rm {shell_word(folder)}"]
        )
    real = os.path.realpath(folder)
    if is_within(real, os.path.realpath(layout.common_dir)):
        return folder
    by_hand = folder_by_hand(git, layout)
    if by_hand is not None:
        reason = f"'core.hooksPath' is '{value}'" if setting is not None else "the directory is a link"
        place = "in its work tree" if is_within(real, os.path.realpath(layout.toplevel)) else "outside of it"
        raise HookRefused(
            f"the hooks of this checkout are {place}: {reason}",
            hints=[*(line_by_hand(by_hand, event, layout) for event in texts.EVENTS), _NEWER],
        )
    message = f"the hooks of this checkout are outside of it, in '{os.fsdecode(folder)}'"
    if _is_of_the_user(git, folder, setting):
        raise HookRefused(
            message, hints=["for every checkout that uses them: git coderepo hooks install --global", _NEWER]
        )
    raise HookRefused(message, hints=remove)


_NEWER = "or install git 2.54 or newer, which runs hooks from its configuration"


class HooksPath(NamedTuple):
    """The value of `core.hooksPath` that counts, its scope as git names it, and the file that sets it.

    `file` is None for the scope's own file; another one is included by it.
    """

    value: str
    scope: str
    file: str | None

    def hint(self, layout: Layout) -> str:
        """Return what to type so that git looks for hooks in the checkout again."""
        if self.scope == "command":
            return "leave out the option -c core.hooksPath"
        if self.scope == "system":
            return f"git config --local core.hooksPath {shell_word(layout.common_dir + b'/hooks')}"
        place = f"--{self.scope}" if self.file is None else f"--file {shell_word(self.file)}"
        return f"git config {place} --unset-all core.hooksPath"


def hooks_path(git: Git) -> HooksPath | None:
    """Return the value of `core.hooksPath` that counts, or None if nothing sets it."""
    name = "core.hooksPath"
    fields = git.start("config", "--show-scope", "--show-origin", "--null", "--get", name).checked(1).split(b"\0")
    if len(fields) < 3:
        return None
    scope, origin, value = map(os.fsdecode, fields[:3])
    file = origin.removeprefix("file:")
    own = scope == "command" or git.start("config", f"--{scope}", "--get-all", name).finish().status == 0
    return HooksPath(value, scope, None if own or not os.path.isabs(file) else file)


def folder_by_hand(git: Git, layout: Layout) -> bytes | None:
    """Return the folder with the scripts that a person has to edit, or None.

    It is in the work tree; or outside of the checkout, with scripts of another tool in it, and not set by the user for
    all checkouts.
    """
    folder = folder_in_use(git, layout)
    setting = hooks_path(git)
    if _is_no_folder(folder, setting):
        return None
    real = os.path.realpath(folder)
    if is_within(real, os.path.realpath(layout.common_dir)):
        return None
    if is_within(real, os.path.realpath(layout.toplevel)):
        return _where_husky_looks(folder)
    return folder if _has_scripts(folder) and not _is_of_the_user(git, folder, setting) else None


def _is_no_folder(folder: bytes, setting: HooksPath | None) -> bool:
    """Return whether git finds no hooks at all: `core.hooksPath` is empty, or a file such as `/dev/null`."""
    return (setting is not None and not setting.value) or (os.path.lexists(folder) and not os.path.isdir(folder))


def _has_scripts(folder: bytes) -> bool:
    try:
        return any(not name.endswith(b".sample") for name in os.listdir(folder))
    except OSError:
        return False


def _is_of_the_user(git: Git, folder: bytes, setting: HooksPath | None) -> bool:
    """Return whether `hooks install --global` would use this folder."""
    try:
        return setting is not None and setting.scope == "global" and folder_of_the_user(git) == folder
    except HookRefused:
        return False


def line_by_hand(folder: bytes, event: str, layout: Layout) -> str:
    """Return what to type to add `line_to_add` to the script of an event, which may not exist yet."""
    path = os.path.join(folder, event.encode())
    here = os.getcwdb()
    shown = path
    if is_within(os.path.realpath(here), os.path.realpath(layout.toplevel)) and is_within(path, layout.toplevel):
        shown = os.path.relpath(path, here)
    word = shell_word(b"./" + shown if shown.startswith(b"-") else shown)
    line = shell_word(texts.line_to_add(event))
    try:
        with open(path, "rb") as file:
            script = file.read()
    except OSError:
        script = b""
    if not script:
        make = "" if os.path.isdir(folder) else f"mkdir -p {shell_word(os.path.dirname(shown))} && "
        return f"{make}printf '#!/bin/sh\\n%s\\n' {line} >{word} && chmod +x {word}"
    if not texts.is_shell(script):
        return f"add to '{os.fsdecode(shown)}', in its own language: {texts.line_to_add(event)}"
    if script.endswith(b"\n"):
        return f"echo {line} >>{word} && chmod +x {word}"
    return f"printf '\\n%s\\n' {line} >>{word} && chmod +x {word}"


def folder_in_use(git: Git, layout: Layout) -> bytes:
    """Return the absolute path of the folder in which git looks for hooks."""
    # An empty core.hooksPath, at which `git rev-parse` fails, makes git look for `/pre-run`.
    if git.start("config", "--null", "--get", "core.hooksPath").checked(1) == b"\0":
        return b"/"
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
        if not os.access(ours.path, os.X_OK):
            if ours.block.kind == texts.BLOCK:
                raise _not_executable(ours.path)
            make_executable(ours.path)
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
        raise _not_executable(path)
    return script


def is_run(folder: bytes, path: bytes) -> bool:
    """Return whether git, or husky, runs a script: git an executable one of its hooks folder, husky any of its own."""
    return os.path.dirname(path) != folder or os.access(path, os.X_OK)


def check_executable(folder: bytes, path: bytes) -> None:
    """Raise HookRefused for a script that is not run, see `is_run`."""
    if not is_run(folder, path):
        raise _not_executable(path)


def _not_executable(path: bytes) -> HookRefused:
    return HookRefused(
        f"'{os.fsdecode(path)}' is not executable: git does not run it",
        hints=[f"chmod +x {shell_word(path)}", f"or remove it: rm {shell_word(path)}"],
    )


def make_executable(path: bytes | str) -> None:
    """Set the execute bits of those who may read a script."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    os.chmod(path, mode | (mode & 0o444) >> 2)


def refusal(folder: bytes, event: str) -> HookRefused | None:
    """Return why no hook can be installed for an event in this folder, or None."""
    path = os.path.join(folder, event.encode())
    if find(folder, event) is not None or not os.path.lexists(path):
        return None
    try:
        _script_of_another(path, event)
    except HookRefused as refused:
        return refused
    return None


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
