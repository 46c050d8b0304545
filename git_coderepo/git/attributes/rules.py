"""What a tree's own `.gitattributes` say of its paths: lines, macros, precedence, as git reads them from an index.

Nothing of a machine's configuration takes part (`core.attributesFile`, `info/attributes`, `core.ignoreCase`).
Grammar and precedence: https://git-scm.com/docs/gitattributes; what it leaves open was tried out with
`git check-attr --cached`, to which the tests hold this module. Patterns: `git_coderepo/git/attributes/wildmatch.py`.
"""

from __future__ import annotations

from git_coderepo.git.attributes.wildmatch import Pattern, Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    # True: set, False: unset (`-name`), bytes: a value (`name=value`).
    Value = bytes | bool

_BLANK = b" \t\r\n"
_MACRO = b"[attr]"
# git reads no longer line, and no larger file (2.39.1).
_LINE_BYTES = 2048
_FILE_BYTES = 100 << 20
_NAME_BYTES = frozenset(b"-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BUILT_IN = b"[attr]binary -diff -merge -text"
_ESCAPES = dict(zip(b'abfnrtv\\"', b'\a\b\f\n\r\t\v\\"', strict=True))


class Attributes:
    """The attributes that a tree gives to its own files and links.

    `files` maps a directory, without a slash at its end (b"" is the root), to the contents of the `.gitattributes` in
    it; a `.gitattributes` that is a symbolic link does not count, and must not be among them.
    """

    __slots__ = ("_above", "_levels", "_macros", "_work")

    def __init__(self, files: Mapping[bytes, bytes]) -> None:
        self._work = Work()
        self._macros: dict[bytes, _States] = {}
        self._levels: dict[bytes, _Level] = {}
        # What holds in a directory: its own level and those of the directories above it, the ones that win first.
        self._above: dict[bytes, list[_Level]] = {}
        self._read(b"", _BUILT_IN)
        for directory, contents in files.items():
            self._read(directory, contents)

    def __bool__(self) -> bool:
        """Whether any path could have an attribute."""
        return any(level.rules for level in self._levels.values())

    def of(self, path: bytes) -> dict[bytes, Value]:
        """Return the attributes of a file or link by their names; those that are not specified are absent.

        Raises UnsafeTree where the patterns cost too much.
        """
        self._work.next_path()
        directory, _, name = path.rpartition(b"/")
        levels = self._above.get(directory)
        if levels is None:
            levels = self._above[directory] = list(self._levels_for(directory))
        found: dict[bytes, Value | None] = {}
        for level in levels:
            for rule in level.fitting(path, name, self._work):
                self._fill(found, rule.states)
        return {attribute: value for attribute, value in found.items() if value is not None}

    def names(self) -> frozenset[bytes]:
        """Every attribute that some path could have: a tree that names none of those one asks for needs no `of`."""
        found: set[bytes] = set()
        waiting = [rule.states for level in self._levels.values() for rule in level.rules]
        expanded: set[bytes] = set()
        while waiting:
            for attribute, value in waiting.pop():
                found.add(attribute)
                if value is True and attribute in self._macros and attribute not in expanded:
                    expanded.add(attribute)
                    waiting.append(self._macros[attribute])
        return frozenset(found)

    def only(self, names: Container[bytes]) -> Attributes:
        """The same, but `of` may say nothing of other names than these: lines that cannot matter are left out."""
        limited = Attributes({})
        limited._macros = self._macros
        # A macro that is set or unset decides about what it stands for, however far away.
        wanted = {macro for macro in self._macros if any(name in names for name in self._reach(macro))}
        for directory, level in self._levels.items():
            kept = limited._levels[directory] = _Level()
            for rule in level.rules:
                if any(name in names or name in wanted for name, _ in rule.states):
                    kept.add(rule.pattern, rule.states)
        return limited

    def _reach(self, macro: bytes) -> set[bytes]:
        reached = {macro}
        waiting = [macro]
        while waiting:
            new = {name for name, _ in self._macros.get(waiting.pop(), ())} - reached
            reached |= new
            waiting += new
        return reached

    def _levels_for(self, directory: bytes) -> Iterator[_Level]:
        while True:
            level = self._levels.get(directory)
            if level is not None:
                yield level
            if not directory:
                return
            directory = directory.rpartition(b"/")[0]

    def _fill(self, found: dict[bytes, Value | None], states: _States) -> None:
        """What was said first stays; a macro that is set brings what it stands for."""
        waiting = [iter(states)]
        while waiting:
            for attribute, value in waiting[-1]:
                if attribute in found:
                    continue
                found[attribute] = value
                if value is True and attribute in self._macros:
                    waiting.append(iter(self._macros[attribute]))
                    break
            else:
                waiting.pop()

    def _read(self, directory: bytes, contents: bytes) -> None:
        if len(contents) >= _FILE_BYTES:
            return
        level = self._levels[directory] = _Level()
        for line in contents.partition(b"\0")[0].split(b"\n"):
            text = line.lstrip(_BLANK)
            if not text or text.startswith(b"#") or len(line) >= _LINE_BYTES:
                continue
            name, rest = _pattern_and_rest(text)
            states = _states(rest)
            if states is None:
                continue
            if name.startswith(_MACRO) and len(name) > len(_MACRO):
                macro = _until_blank(name[len(_MACRO) :].partition(b"\0")[0].lstrip(_BLANK))
                # A macro below the root is no macro, nor a pattern.
                if not directory and _is_name(macro):
                    self._macros[macro] = states
                continue
            pattern = name.partition(b"\0")[0]
            # A pattern for directories alone (`doc/`) fits no file, a negative one nothing.
            if states and not pattern.startswith(b"!") and not pattern.endswith(b"/"):
                level.add(Pattern(directory, pattern), states)


class _Level:
    """The lines of one file. Those that name one path or name are found by it: there may be thousands of them."""

    __slots__ = ("_others", "_plain", "rules")

    def __init__(self) -> None:
        self.rules: list[_Rule] = []
        self._plain: dict[tuple[bool, bytes], list[_Rule]] = {}
        self._others: list[_Rule] = []

    def add(self, pattern: Pattern, states: _States) -> None:
        rule = _Rule(len(self.rules), pattern, states)
        self.rules.append(rule)
        key = pattern.plain
        (self._others if key is None else self._plain.setdefault(key, [])).append(rule)

    def fitting(self, path: bytes, name: bytes, work: Work) -> list[_Rule]:
        """The lines whose pattern fits, the last first."""
        rules = [rule for rule in self._others if rule.pattern.matches(path, name, work)]
        if self._plain:
            rules += self._plain.get((False, name), ())
            rules += self._plain.get((True, path), ())
        rules.sort(key=_last_first)
        return rules


class _Rule:
    """A line: its place in the file, a pattern, and what it says; the last word of the line is the first here."""

    __slots__ = ("number", "pattern", "states")

    def __init__(self, number: int, pattern: Pattern, states: _States) -> None:
        self.number = number
        self.pattern = pattern
        self.states = states


def _last_first(rule: _Rule) -> int:
    return -rule.number


if TYPE_CHECKING:
    # None is "unspecified" (`!name`): it hides what was said earlier.
    _States = list[tuple[bytes, Value | None]]


def _pattern_and_rest(text: bytes) -> tuple[bytes, bytes]:
    """The pattern at the beginning of a line, unquoted, and what follows it."""
    quoted = _unquoted(text) if text.startswith(b'"') else None
    if quoted is not None:
        return quoted
    name = _until_blank(text)
    return name, text[len(name) :]


def _until_blank(text: bytes) -> bytes:
    # bytes.split knows more blanks (\v, \f) than git does.
    for at, byte in enumerate(text):
        if byte in _BLANK:
            return text[:at]
    return text


def _unquoted(text: bytes) -> tuple[bytes, bytes] | None:
    """What stands in C's quotes at the beginning, and what follows them; None where they are not well formed."""
    result = bytearray()
    at = 1
    while at < len(text):
        byte = text[at]
        at += 1
        if byte == ord('"'):
            return bytes(result), text[at:]
        if byte == ord("\\"):
            if at >= len(text):
                return None
            digits = text[at : at + 3]
            if text[at] in _ESCAPES:
                byte = _ESCAPES[text[at]]
                at += 1
            elif len(digits) == 3 and digits[0] in b"0123" and all(digit in b"01234567" for digit in digits):
                byte = int(digits, 8)
                at += 3
            else:
                return None
        result.append(byte)
    return None


def _states(rest: bytes) -> _States | None:
    """What the words of a line say, the last first; None where one of them is no attribute: git skips the line."""
    states: _States = []
    for word in rest.replace(b"\t", b" ").replace(b"\r", b" ").split(b" "):
        if not word:
            continue
        name, equals, value = word.partition(b"=")
        sign = name[:1]
        state: Value | None = value if equals else True
        if sign in (b"-", b"!"):
            name = name[1:]
            state = False if sign == b"-" else None
        # Git keeps these names for itself (2.43), and skips such a line.
        if not _is_name(name) or name.startswith(b"builtin_"):
            return None
        states.append((name, state))
    states.reverse()
    return states


def _is_name(word: bytes) -> bool:
    return bool(word) and not word.startswith(b"-") and _NAME_BYTES.issuperset(word)
