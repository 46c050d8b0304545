"""The report of a bug in this program: one line for the user, and a file with the details to attach to an issue.

The file holds versions, the command and the traceback. It holds no values of environment or local variables, source
lines of this package only, and nothing that looks like a secret or that this process knows to be one.
"""

from __future__ import annotations

import base64
import json
import linecache
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from urllib.parse import quote, quote_plus, unquote

from git_coderepo import __version__
from git_coderepo.credentials.secret import texts_of_secrets
from git_coderepo.errors import CodeRepoError
from git_coderepo.filesystem.atomic import write_whole
from git_coderepo.filesystem.private import open_private, open_unexchangeable
from git_coderepo.git.process import Git, shell_word
from git_coderepo.git.process import version as git_version
from git_coderepo.runs.redact_command import is_secret_by_name, redacted
from git_coderepo.snapshots.secret_scan import find_tokens
from git_coderepo.trace import redact

Redact = Callable[[str], str]

_KEPT = 20
_ENDING = ".crash.txt"
_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_REDACTED = "****"
_LONGEST_MESSAGE = 4_000
_LONGEST_LINE = 300
# Of a recursion without end the frames in the middle say nothing new.
_FRAMES_AT_EACH_END = 40
# Shorter texts than this, such as `1`, are in every report; no secret is as short.
_SHORTEST_SECRET = 4
# The values of options of these verbs are credentials, or options of a platform that only its author knows.
_VERBS_WITH_SECRETS = ("login", "logout", "register", "secret", "update")


def report_crash(
    error: BaseException, arguments: Sequence[str], environment: Mapping[str, str] = os.environ
) -> CodeRepoError:
    """Write a crash report for an unexpected exception; return the error to print instead.

    `arguments` are the program's, without its name. Raises nothing: where no file can be written, the message says
    what a developer needs first.
    """
    hide = redaction(arguments, environment)
    words = f"internal error: {_one_line(_message(error, hide))}"
    try:
        path = _write(_text(error, arguments, hide), environment)
    except Exception as problem:  # a second bug must not hide the first one
        reason = problem.strerror if isinstance(problem, OSError) else None
        reason = _one_line(hide(reason or _message(problem, hide)))
        return CodeRepoError(
            f"{words} (at {hide(_place(error))}; git-coderepo {__version__}, Python {_python()}, {_system()})",
            hints=[f"report this bug with the line above; a crash report cannot be written: {reason}"],
        )
    return CodeRepoError(
        words,
        hints=[
            f"read the crash report: cat {shell_word(path)}",
            "report this bug and attach that file: it holds no tokens and no values of variables",
        ],
    )


def crash_directory(environment: Mapping[str, str] = os.environ) -> str:
    """Return the absolute path of the directory of crash reports: `git-coderepo/crashes` in the user's state directory.

    It is the one that platformdirs has, which the pre-run hook's interpreter does not find. Raises FileNotFoundError
    if the user has no home directory.
    """
    state = environment.get("XDG_STATE_HOME", "").strip()
    if not os.path.isabs(state):
        home = os.path.expanduser("~")
        if not os.path.isabs(home) or home == "/":
            raise FileNotFoundError(2, "no home directory")
        below = ("Library", "Application Support") if sys.platform == "darwin" else (".local", "state")
        state = os.path.join(home, *below)
    return os.path.join(state, "git-coderepo", "crashes")


# --- the file ----------------------------------------------------------------------------------


def _write(text: str, environment: Mapping[str, str]) -> str:
    """Write a report that only this user can read, remove the oldest ones, and return its path. Raises OSError."""
    directory = crash_directory(environment)
    parent = open_unexchangeable(os.path.dirname(directory), make=True)
    try:
        own = open_private(os.path.basename(directory), parent, make=True)
    finally:
        os.close(parent)
    try:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = os.path.join(directory, f"{stamp}-{os.getpid()}-{os.urandom(2).hex()}{_ENDING}")
        write_whole(os.fsencode(path), text.encode("utf-8", "backslashreplace"), mode=0o600, exact=True)
        reports = sorted(name for name in os.listdir(own) if name.endswith(_ENDING))
        for name in reports[:-_KEPT]:
            try:
                os.unlink(name, dir_fd=own)
            except FileNotFoundError:
                pass  # another process removed it
    finally:
        os.close(own)
    return path


def _text(error: BaseException, arguments: Sequence[str], hide: Redact) -> str:
    facts = [
        ("time", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
        *versions(),
        ("command", _command(arguments)),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [
        "Crash report of git coderepo. Secrets are replaced by ****; there are no values of variables in it.",
        "",
        *(f"{name:<{width}}  {value}" for name, value in facts),
        "",
        *_chain(error, hide, set()),
    ]
    return hide("\n".join(lines) + "\n")


def versions() -> list[tuple[str, str]]:
    """Return the name and version of this program and of everything that it uses."""
    return [
        ("git-coderepo", __version__),
        ("python", f"{_python()} ({sys.implementation.name})"),
        ("git", _git()),
        ("system", _system()),
        *_dependencies(),
    ]


def _python() -> str:
    return sys.version.split()[0]


def _system() -> str:
    facts = os.uname()
    return f"{facts.sysname} {facts.release} {facts.machine}"


def _git() -> str:
    try:
        return git_version(Git())[1]
    except Exception as error:  # git may be what is broken
        return _unknown(error)


def _dependencies() -> list[tuple[str, str]]:
    """Return the name and version of each package that this one requires."""
    try:
        from importlib.metadata import distributions

        packages = {each.metadata["Name"].lower(): each for each in distributions()}
    except Exception as error:  # much of Python's library is needed for that
        return [("dependencies", _unknown(error))]
    if "git-coderepo" not in packages:
        return []  # the pre-run hook's interpreter knows no installed packages
    required = packages["git-coderepo"].requires or ()
    names = [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in required if "extra ==" not in text]
    return [(name, packages[name.lower()].version if name.lower() in packages else "not installed") for name in names]


def _unknown(error: Exception) -> str:
    return f"unknown ({type(error).__name__})"


def _command(arguments: Sequence[str]) -> str:
    """Return the command as a shell takes it, secrets redacted."""
    return " ".join(["git coderepo", *map(shell_word, _shown(arguments))])


def _shown(arguments: Sequence[str]) -> list[str]:
    """Return the arguments, with `****` for what is secret; of `_VERBS_WITH_SECRETS` for the value of each option."""
    words = [os.fsdecode(word) for word in redacted([os.fsencode(word) for word in arguments])]
    if not any(word in _VERBS_WITH_SECRETS for word in words):
        return words
    shown: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        name, equals, _ = word.partition("=")
        if equals:
            shown.append(f"{name}={_REDACTED}")
        else:
            shown.append(_REDACTED if before.startswith("--") and "=" not in before and word[:1] != "-" else word)
    return shown


# --- the traceback -----------------------------------------------------------------------------


def _chain(error: BaseException, hide: Redact, seen: set[int]) -> list[str]:
    """Return the lines of an exception, after those of the exception that it was raised from or during."""
    seen.add(id(error))
    lines: list[str] = []
    cause = error.__cause__
    before = cause or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        word = "caused" if cause is not None else "was being handled before"
        lines += [*_chain(before, hide, seen), "", f"The exception above {word} this one:", ""]
    lines += ["Traceback (most recent call last):", *_frames(error.__traceback__), _message(error, hide)]
    notes = getattr(error, "__notes__", ())
    lines += [hide(str(note)) for note in notes] if isinstance(notes, (list, tuple)) else []
    for number, inner in enumerate(getattr(error, "exceptions", ()), start=1):
        if isinstance(inner, BaseException) and id(inner) not in seen:
            lines += ["", f"Exception {number} of this group:", *_chain(inner, hide, seen)]
    return lines


def _frames(traceback: TracebackType | None) -> list[str]:
    lines = []
    places = list(_places(traceback))
    left_out = len(places) - 2 * _FRAMES_AT_EACH_END
    for number, (file, line, function) in enumerate(places):
        if left_out > 0 and _FRAMES_AT_EACH_END <= number < _FRAMES_AT_EACH_END + left_out:
            if number == _FRAMES_AT_EACH_END:
                lines.append(f"  … {left_out} more frames")
            continue
        lines.append(f'  File "{_shown_path(file)}", line {line}, in {function}')
        source = _source_line(file, line)
        if source:
            lines.append(f"    {source}")
    return lines


def _places(traceback: TracebackType | None) -> Iterable[tuple[str, int, str]]:
    """Yield the file, line and function of each frame, the outermost first."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield code.co_filename, traceback.tb_lineno, code.co_name
        traceback = traceback.tb_next


def _place(error: BaseException) -> str:
    """Return the innermost line of this package that an exception came through; of others where there is none."""
    places = list(_places(error.__traceback__))
    own = [place for place in places if _is_own(place[0])] or places
    return f"{_shown_path(own[-1][0])}:{own[-1][1]}" if own else "an unknown place"


def _is_own(file: str) -> bool:
    return file.startswith(_PACKAGE + os.sep)


def _shown_path(file: str) -> str:
    if _is_own(file):
        return os.path.relpath(file, os.path.dirname(_PACKAGE))
    home = os.path.expanduser("~")
    return "~" + file[len(home) :] if home != "/" and file.startswith(home + os.sep) else file


def _source_line(file: str, line: int) -> str:
    """Return a source line of this package; a line of somebody else's class could hold a secret."""
    if not _is_own(file):
        return ""
    return linecache.getline(file, line).strip()


def _message(error: BaseException, hide: Redact) -> str:
    try:
        words = str(error)
    except Exception as problem:  # somebody else's class
        words = f"(str() raises {type(problem).__name__})"
    words = hide(words)
    if len(words) > _LONGEST_MESSAGE:
        words = words[:_LONGEST_MESSAGE] + " …"
    name = type(error).__name__
    return f"{name}: {words}" if words else name


def _one_line(text: str) -> str:
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in " ".join(text.split()))
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + " …"


# --- what is left out --------------------------------------------------------------------------


def redaction(arguments: Sequence[str], environment: Mapping[str, str]) -> Redact:
    """Return a function that replaces secrets in a text: those that are known, then whatever looks like one."""
    forms = sorted({form for text in _known(arguments, environment) for form in _forms(text)}, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, forms))) if forms else None
    # As in the message of an HTTP client that refuses a header, or in a dictionary of headers.
    header = re.compile(
        r"((?:authorization|private-token|job-token|cookie|x-[a-z-]*(?:token|key))\b[\\'\"]*\s*[:=,]\s*(?:b(?=['\"]))?[\\'\"]*)[^\r\n]+"
        r"|\b((?:bearer|basic)\s+)[\w.~+/=-]{4,}",
        re.IGNORECASE,
    )

    def hide(text: str) -> str:
        if known is not None:
            text = known.sub(_REDACTED, text)
        text = header.sub(lambda match: f"{match[1] or match[2]}{_REDACTED}", redact(text))
        return _without_tokens(text)

    return hide


def _without_tokens(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    for token in sorted(find_tokens(raw), key=lambda each: each.start, reverse=True):
        raw = raw[: token.start] + _REDACTED.encode() + raw[token.end :]
    return raw.decode("utf-8", "surrogateescape")


def _known(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterable[str]:
    """Yield what is secret: every Secret of this process, and values of arguments and variables with such names."""
    yield from texts_of_secrets()
    for word, shown in zip(arguments, _shown(arguments), strict=True):
        if shown == _REDACTED:
            yield word
        elif shown.endswith(f"={_REDACTED}"):
            yield word.removeprefix(shown.removesuffix(_REDACTED))
        elif word != shown:
            user, _, password = word.partition("://")[2].partition("/")[0].rpartition("@")[0].partition(":")
            yield from {password or user, unquote(password or user)}
    for name, value in environment.items():
        if is_secret_by_name(os.fsencode(name)) and not name.endswith("_FILE"):
            yield value


def _forms(text: str) -> Iterable[str]:
    """Yield a secret as texts of errors have it: as it is, escaped, percent-encoded, and within base64."""
    if len(text) < _SHORTEST_SECRET:
        return
    raw = os.fsencode(text)
    yield from (text, repr(text)[1:-1], repr(raw)[2:-1], json.dumps(text)[1:-1], quote(raw, safe=""), quote_plus(raw))
    for before in range(3):
        # Behind as many other bytes, as in `user:secret`; the first and last digits depend on what is around it.
        digits = base64.b64encode(b"\0" * before + raw + b"\0\0").decode()
        form = digits[-(-before * 4 // 3) : (before + len(raw)) * 4 // 3]
        if len(form) >= _SHORTEST_SECRET:
            yield from (form, form.replace("+", "-").replace("/", "_"))
