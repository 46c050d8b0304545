"""The texts of the hooks, and the block of a text that is added to another script.

A text in `/hooks` is a whole script: `#!/bin/sh`, then one block between two marks. Only the block is added to the
script of another tool, or to git's configuration.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.errors import CodeRepoError

if TYPE_CHECKING:
    from collections.abc import Iterator

PRE_RUN = "pre-run"
EVENTS = (PRE_RUN, "post-commit", "post-checkout", "post-merge", "post-rewrite")
SHEBANG = b"#!/bin/sh\n"

# A block is part of the script of another tool, of our own script, or of our own script in a folder that we created.
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
    """Our marks and the text between them; `start` and `end` are its position in a script."""

    event: str
    kind: bytes
    text: bytes
    start: int = 0
    end: int = 0

    @property
    def program(self) -> bytes | None:
        """The absolute path of the `git-coderepo` that the block starts, or None."""
        match = _INSTALLED_PROGRAM.search(self.text)
        return _unquoted(match[1]) if match is not None else None

    @property
    def launcher(self) -> tuple[bytes, bytes] | None:
        """The interpreter and the script that the block starts first, as in `this_launcher`, or None."""
        match = _INSTALLED_LAUNCHER.search(self.text)
        return (_unquoted(match[1]), _unquoted(match[2])) if match is not None else None

    def of_kind(self, kind: bytes) -> Block:
        """Return this block as a part of another kind of script."""
        first = b"# >>> git coderepo " + self.event.encode()
        text = self.text.replace(first + b" (" + self.kind + b")", first + b" (" + kind + b")", 1)
        return self._replace(kind=kind, text=text)


def block(event: str, program: bytes, *, snapshot: bool, launcher: tuple[bytes, bytes] | None = None) -> Block:
    """Return the block for an event, which starts `program`; with `snapshot` post-commit writes `current.json` again.

    `launcher` is the interpreter and the script that pre-run starts instead if both exist; None is `this_launcher()`.
    """
    script = _read(f"{event}-snapshot" if snapshot and event == "post-commit" else event)
    python, lean = launcher if launcher is not None else this_launcher()
    for hole, value in ((_PROGRAM, program), (_PYTHON, python), (_LAUNCHER, lean)):
        script = script.replace(hole, b"'" + value.replace(b"'", b"'\\''") + b"'")
    return _the_block(script, event)._replace(start=0, end=0)


def find(script: bytes, event: str) -> Block | None:
    """Return the block of an event in a script, or None."""
    return next(_blocks(script, event), None)


def _blocks(script: bytes, event: str) -> Iterator[Block]:
    for match in _MARKED.finditer(script):
        if match["event"] == event.encode():
            yield Block(event, match["kind"], match[0], match.start(), match.end())


def _the_block(script: bytes, event: str) -> Block:
    (block,) = _blocks(script, event)  # each text in `/hooks` contains one block
    return block


def put(script: bytes, new: Block) -> bytes:
    """Return the script with the block in it: in place of an older block, else directly below the first line.

    There the block runs whatever the script does later (`exit`, `exec`, reading standard input), and the exit status
    of the script stays its own.
    """
    old = find(script, new.event)
    if old is not None:
        return script[: old.start] + new.of_kind(old.kind).text + script[old.end :]
    if script.startswith(b"#!"):
        first, newline, rest = script.partition(b"\n")
        if not newline:
            # No newline after the block tells `remove` that there was none after the first line.
            return first + b"\n" + new.text
        return first + newline + new.text + b"\n" + rest
    return new.text + b"\n" + script


def remove(script: bytes, old: Block) -> bytes:
    """Return the script as it was before `put`, byte for byte."""
    if script[old.end : old.end + 1] == b"\n":
        return script[: old.start] + script[old.end + 1 :]
    return script[: old.start].removesuffix(b"\n") + script[old.end :]


def is_shell(script: bytes) -> bool:
    """Return whether sh or bash runs a script: by its first line; git runs a script without `#!` by sh."""
    if b"\0" in script:
        return False
    if not script.startswith(b"#!"):
        return True
    words = script[2:].partition(b"\n")[0].split()
    if words and os.path.basename(words[0]) == b"env":
        words = [word for word in words[1:] if not word.startswith(b"-") and b"=" not in word]
    return bool(words) and os.path.basename(words[0]) in _SHELLS


def line_to_add(event: str) -> str:
    """Return a line of shell that does the same as our block, for a script that we do not change."""
    if event == PRE_RUN:
        return "git coderepo hook pre-run || exit 1"
    return 'rm -f "$(git rev-parse --git-path coderepo/current.json)"'


def is_added_by_hand(script: bytes, event: str) -> bool:
    """Return whether a script contains `line_to_add`, or a similar line."""
    words = (b"hook pre-run", b"'pre-run'", b'"pre-run"') if event == PRE_RUN else (b"coderepo/current.json",)
    return b"coderepo" in script and any(word in script for word in words)


def this_program() -> bytes:
    """Return the absolute path of the running `git-coderepo`, without resolving links, which survive an upgrade.

    Raises CodeRepoError if there is none, as with `python -m git_coderepo` from a checkout.
    """
    in_same_directory = os.path.join(os.path.dirname(sys.executable), "git-coderepo")
    for candidate in (sys.argv[0], in_same_directory, shutil.which("git-coderepo")):
        if candidate and os.path.basename(candidate) == "git-coderepo" and os.access(candidate, os.X_OK):
            return os.fsencode(os.path.abspath(candidate))
    raise CodeRepoError("'git-coderepo' not found: a hook could not start it", hints=["pip install git-coderepo"])


def this_launcher() -> tuple[bytes, bytes]:
    """Return the running interpreter and the script that starts the pre-run hook faster than `git-coderepo` does."""
    return os.fsencode(sys.executable), os.fsencode(os.path.join(os.path.dirname(os.path.abspath(__file__)), "lean.py"))


def _unquoted(word: bytes) -> bytes:
    return word.replace(b"'\\''", b"'")


def _read(name: str) -> bytes:
    """Return a text of `/hooks`; a wheel has it in the folder `texts` of this package."""
    packaged = resources.files("git_coderepo.hooks") / "texts" / name
    if packaged.is_file():
        return packaged.read_bytes()
    return (Path(__file__).parent.parent.parent / "hooks" / name).read_bytes()
