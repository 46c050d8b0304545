"""The texts of the hooks, and the block of them that is put into a script.

A text in `/hooks` is a whole script: `#!/bin/sh`, then one block between two marks. The block alone is what goes into
another tool's script, or into git's configuration.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from git_coderepo.errors import CodeRepoError

PRE_RUN = "pre-run"
EVENTS = (PRE_RUN, "post-commit", "post-checkout", "post-merge", "post-rewrite")
SHEBANG = b"#!/bin/sh\n"

# What a block is part of: another tool's script, a script of our own, or one in a hooks folder that we made as well.
BLOCK, FILE, FOLDER = b"block", b"file", b"folder"

_PROGRAM, _PYTHON, _LAUNCHER = b"'@PROGRAM@'", b"'@PYTHON@'", b"'@LAUNCHER@'"
_SHELLS = frozenset((b"sh", b"bash", b"dash"))
_MARKED = re.compile(
    rb"^# >>> git coderepo (?P<event>[a-z-]+) \((?P<kind>block|file|folder)\) >>>[^\n]*\n"
    rb"(?:(?!# >>> git coderepo ).*\n)*?# <<< git coderepo (?P=event) <<<",
    re.MULTILINE,
)
_WORD = rb"'((?:[^']|'\\'')*)'"
_INSTALLED_PROGRAM = re.compile(rb"^\s*for coderepo_program in " + _WORD + rb" git-coderepo; do$", re.MULTILINE)
_INSTALLED_LAUNCHER = re.compile(rb"^\s*if \[ -x " + _WORD + rb" \] && \[ -f " + _WORD + rb" \]; then$", re.MULTILINE)


class Block(NamedTuple):
    """What stands between our marks, and they; `start` and `end` say where in a script it was found."""

    event: str
    kind: bytes
    text: bytes
    start: int = 0
    end: int = 0

    @property
    def program(self) -> bytes | None:
        """The absolute path of the `git-coderepo` that it starts; None where it starts none."""
        found = _INSTALLED_PROGRAM.search(self.text)
        return _unquoted(found[1]) if found is not None else None

    @property
    def launcher(self) -> tuple[bytes, bytes] | None:
        """The interpreter and the script that it starts first, see `this_launcher`; None where it starts none."""
        found = _INSTALLED_LAUNCHER.search(self.text)
        return (_unquoted(found[1]), _unquoted(found[2])) if found is not None else None

    def of_kind(self, kind: bytes) -> Block:
        """The same, as part of something else."""
        first = b"# >>> git coderepo " + self.event.encode()
        text = self.text.replace(first + b" (" + self.kind + b")", first + b" (" + kind + b")", 1)
        return self._replace(kind=kind, text=text)


def block(event: str, program: bytes, *, snapshot: bool, launcher: tuple[bytes, bytes] | None = None) -> Block:
    """The block for an event, starting `program`; with `snapshot` the one that writes `current.json` anew.

    `launcher` is what pre-run starts in its place where it is there: by default `this_launcher()`.
    """
    script = _read(f"{event}-snapshot" if snapshot and event == "post-commit" else event)
    python, lean = launcher if launcher is not None else this_launcher()
    for hole, value in ((_PROGRAM, program), (_PYTHON, python), (_LAUNCHER, lean)):
        script = script.replace(hole, b"'" + value.replace(b"'", b"'\\''") + b"'")
    found = find(script, event)
    assert found is not None, "each text holds one block"
    return found._replace(start=0, end=0)


def find(script: bytes, event: str) -> Block | None:
    """The block of an event in a script, or None."""
    for match in _MARKED.finditer(script):
        if match["event"] == event.encode():
            return Block(event, match["kind"], match[0], match.start(), match.end())
    return None


def put(script: bytes, new: Block) -> bytes:
    """The script with the block in it: in the place of an older one, else right below the first line.

    There it runs whatever the script does later (`exit`, `exec`, reading standard input), and the script's status
    stays its own.
    """
    old = find(script, new.event)
    if old is not None:
        return script[: old.start] + new.of_kind(old.kind).text + script[old.end :]
    if script.startswith(b"#!"):
        first, newline, rest = script.partition(b"\n")
        if not newline:
            # Without a newline after the block, `take_out` knows that there was none before it.
            return first + b"\n" + new.text
        return first + newline + new.text + b"\n" + rest
    return new.text + b"\n" + script


def take_out(script: bytes, old: Block) -> bytes:
    """The script as it was before `put`, byte for byte."""
    if script[old.end : old.end + 1] == b"\n":
        return script[: old.start] + script[old.end + 1 :]
    return script[: old.start].removesuffix(b"\n") + script[old.end :]


def is_shell(script: bytes) -> bool:
    """Whether sh or bash runs it: by its first line, and without one as git does, which then asks sh."""
    if b"\0" in script:
        return False
    if not script.startswith(b"#!"):
        return True
    words = script[2:].partition(b"\n")[0].split()
    if words and os.path.basename(words[0]) == b"env":
        words = [word for word in words[1:] if not word.startswith(b"-") and b"=" not in word]
    return bool(words) and os.path.basename(words[0]) in _SHELLS


def line_to_add(event: str) -> str:
    """One line of shell that does what our block does, for a script that we do not touch."""
    if event == PRE_RUN:
        return "git coderepo hook pre-run || exit 1"
    return 'rm -f "$(git rev-parse --git-path coderepo/current.json)"'


def is_added_by_hand(script: bytes, event: str) -> bool:
    """Whether `line_to_add`, or its like, stands in a script."""
    words = (b"hook pre-run", b"'pre-run'", b'"pre-run"') if event == PRE_RUN else (b"coderepo/current.json",)
    return b"coderepo" in script and any(word in script for word in words)


def this_program() -> bytes:
    """The absolute path of the `git-coderepo` that runs now, as it was called: links to it are kept, since they stay.

    Raises CodeRepoError where there is none, as with `python -m git_coderepo` from a checkout.
    """
    beside = os.path.join(os.path.dirname(sys.executable), "git-coderepo")
    for candidate in (sys.argv[0], beside, shutil.which("git-coderepo")):
        if candidate and os.path.basename(candidate) == "git-coderepo" and os.access(candidate, os.X_OK):
            return os.fsencode(os.path.abspath(candidate))
    raise CodeRepoError("there is no 'git-coderepo' that a hook could start", hints=["pip install git-coderepo"])


def this_launcher() -> tuple[bytes, bytes]:
    """The interpreter that runs now and the script of ours that starts the pre-run hook in a third of the time."""
    return os.fsencode(sys.executable), os.fsencode(os.path.join(os.path.dirname(os.path.abspath(__file__)), "lean.py"))


def _unquoted(word: bytes) -> bytes:
    return word.replace(b"'\\''", b"'")


def _read(name: str) -> bytes:
    """A text of `/hooks`: in a wheel it lies beside this module."""
    packaged = resources.files("git_coderepo.hooks") / "texts" / name
    if packaged.is_file():
        return packaged.read_bytes()
    return (Path(__file__).parent.parent.parent / "hooks" / name).read_bytes()
