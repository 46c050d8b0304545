"""Read the attributes that a tree's own `.gitattributes` give to its paths, as git reads them from an index.

The machine's configuration is ignored (`core.attributesFile`, `info/attributes`, `core.ignoreCase`). Grammar and
precedence: https://git-scm.com/docs/gitattributes; the tests compare the rest with `git check-attr --cached`. For
patterns see `wildmatch`.
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
# git ignores longer lines and larger files (since 2.39.1).
_LINE_BYTES = 2048
_FILE_BYTES = 100 << 20
_NAME_BYTES = frozenset(b"-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BUILT_IN = b"[attr]binary -diff -merge -text"
_ESCAPES = dict(zip(b'abfnrtv\\"', b'\a\b\f\n\r\t\v\\"', strict=True))


class Attributes:
    """The attributes that a tree gives to its own files and links.

    `files` maps a directory, without a final slash (b"" is the root), to the contents of its `.gitattributes`; leave
    out those that are symbolic links, which git ignores.
    """

    __slots__ = ("_above", "_levels", "_macros", "_work")

    def __init__(self, files: Mapping[bytes, bytes]) -> None:
        self._work = Work()
        self._macros: dict[bytes, _States] = {}
        self._levels: dict[bytes, _Level] = {}
        # The levels that apply in a directory, in order of precedence: its own, then those above it.
        self._above: dict[bytes, list[_Level]] = {}
        self._read(b"", _BUILT_IN)
        for directory, contents in files.items():
            self._read(directory, contents)

    def __bool__(self) -> bool:
        """Return whether any path can have an attribute."""
        return any(level.rules for level in self._levels.values())

    def of(self, path: bytes) -> dict[bytes, Value]:
        """Return the attributes of a file or link (raw path) by name, without unspecified ones.

        Raises UnsafeTree if matching the patterns takes too long.
        """
        self._work.next_path()
        directory, _, name = path.rpartition(b"/")
        levels = self._above.get(directory)
        if levels is None:
            levels = self._above[directory] = list(self._levels_for(directory))
        values: dict[bytes, Value | None] = {}
        for level in levels:
            for rule in level.matching(path, name, self._work):
                self._fill(values, rule.states)
        return {attribute: value for attribute, value in values.items() if value is not None}

    def names(self) -> frozenset[bytes]:
        """Return every attribute that some path can have."""
        names: set[bytes] = set()
        waiting = [rule.states for level in self._levels.values() for rule in level.rules]
        expanded: set[bytes] = set()
        while waiting:
            for attribute, value in waiting.pop():
                names.add(attribute)
                if value is True and attribute in self._macros and attribute not in expanded:
                    expanded.add(attribute)
                    waiting.append(self._macros[attribute])
        return frozenset(names)

    def only(self, names: Container[bytes]) -> Attributes:
        """Return attributes reduced to the lines that matter for these names; for others `of` is incomplete."""
        limited = Attributes({})
        limited._macros = self._macros
        # Setting or unsetting a macro affects the attributes that it expands to, directly or through other macros.
        relevant = {macro for macro in self._macros if any(name in names for name in self._reach(macro))}
        for directory, level in self._levels.items():
            reduced = limited._levels[directory] = _Level()
            for rule in level.rules:
                if any(name in names or name in relevant for name, _ in rule.states):
                    reduced.add(rule.pattern, rule.states)
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

    def _fill(self, values: dict[bytes, Value | None], states: _States) -> None:
        """Add the states of attributes that have no value yet; expand macros that are set."""
        waiting = [iter(states)]
        while waiting:
            for attribute, value in waiting[-1]:
                if attribute in values:
                    continue
                values[attribute] = value
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
                # Below the root a macro definition is ignored.
                if not directory and _is_name(macro):
                    self._macros[macro] = states
                continue
            pattern = name.partition(b"\0")[0]
            # A pattern for directories (`doc/`) matches no file, and git ignores negative ones.
            if states and not pattern.startswith(b"!") and not pattern.endswith(b"/"):
                level.add(Pattern(directory, pattern), states)


class _Level:
    """The rules of one file. Rules for a single path or name are in a table, because there may be thousands."""

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

    def matching(self, path: bytes, name: bytes, work: Work) -> list[_Rule]:
        """Return the rules whose pattern matches, the last first."""
        rules = [rule for rule in self._others if rule.pattern.matches(path, name, work)]
        if self._plain:
            rules += self._plain.get((False, name), ())
            rules += self._plain.get((True, path), ())
        rules.sort(key=_last_first)
        return rules


class _Rule:
    """A rule: its number in the file, a pattern, and the states of attributes in reverse order."""

    __slots__ = ("number", "pattern", "states")

    def __init__(self, number: int, pattern: Pattern, states: _States) -> None:
        self.number = number
        self.pattern = pattern
        self.states = states


def _last_first(rule: _Rule) -> int:
    return -rule.number


if TYPE_CHECKING:
    # None is "unspecified" (`!name`), which hides earlier values.
    _States = list[tuple[bytes, Value | None]]


def _pattern_and_rest(text: bytes) -> tuple[bytes, bytes]:
    """Return the pattern at the beginning of a line, unquoted, and the rest of the line."""
    quoted = _unquoted(text) if text.startswith(b'"') else None
    if quoted is not None:
        return quoted
    name = _until_blank(text)
    return name, text[len(name) :]


def _until_blank(text: bytes) -> bytes:
    # bytes.split would also split at \v and \f.
    for at, byte in enumerate(text):
        if byte in _BLANK:
            return text[:at]
    return text


def _unquoted(text: bytes) -> tuple[bytes, bytes] | None:
    """Return the C-quoted text at the beginning, unquoted, and the rest; None if the quoting is malformed."""
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
    """Return the states in a line, the last first; None if a word is not an attribute, since git ignores the line."""
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
        # git (since 2.43) reserves these names, and ignores the line.
        if not _is_name(name) or name.startswith(b"builtin_"):
            return None
        states.append((name, state))
    states.reverse()
    return states


def _is_name(word: bytes) -> bool:
    return bool(word) and not word.startswith(b"-") and _NAME_BYTES.issuperset(word)
