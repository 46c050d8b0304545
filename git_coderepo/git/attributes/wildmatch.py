"""Match the patterns of `.gitattributes` on raw bytes, as Git's wildmatch.c does (case-sensitive).

Rules: "PATTERN FORMAT" in https://git-scm.com/docs/gitignore, as restricted by https://git-scm.com/docs/gitattributes;
the tests compare them with git. For every pattern the work is bounded by its length times that of the path.
"""

from __future__ import annotations

from git_coderepo.errors import UnsafeTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_SPECIAL = frozenset(b"*?[\\")
_SLASH = ord("/")
_ALL = frozenset(range(256))
_NO_SLASH = _ALL - {_SLASH}
_DIGITS = frozenset(b"0123456789")
_LOWER = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_UPPER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_PRINTABLE = frozenset(range(0x20, 0x7F))
_SPACE = frozenset(b" \t\r\n")
_CLASSES = {
    b"alnum": _LOWER | _UPPER | _DIGITS,
    b"alpha": _LOWER | _UPPER,
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset(range(0x20)) | {0x7F},
    b"digit": _DIGITS,
    b"graph": _PRINTABLE - _SPACE,
    b"lower": _LOWER,
    b"print": _PRINTABLE,
    b"punct": _PRINTABLE - _SPACE - _LOWER - _UPPER - _DIGITS,
    b"space": _SPACE,
    b"upper": _UPPER,
    b"xdigit": frozenset(b"0123456789abcdefABCDEF"),
}

# The tokens of a pattern other than a set of bytes, of which one has to match:
_STAR = "*"  # any bytes but slashes
_ANYTHING = "**"  # any bytes
_DIRECTORIES = "**/"  # nothing, or any bytes and a slash

# If a regular expression could need more steps, the automaton is used.
_STEPS = 1 << 13

# The cost of a step of the automaton in steps of a regular expression.
_AUTOMATON_STEP = 20
# The limit for the patterns of a tree, and the share that each path adds: a thousand times the cost in real
# repositories, or some seconds.
_MOST_WORK = 100_000_000
_WORK_OF_A_PATH = 200_000

if TYPE_CHECKING:
    _Token = frozenset[int] | str


class Work:
    """The remaining work for matching a tree's paths with its patterns: a small hostile tree could take hours."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST_WORK

    def next_path(self) -> None:
        """Add the share of one more path."""
        self._left += _WORK_OF_A_PATH

    def spend(self, steps: int) -> None:
        """Count steps that follow. Raises UnsafeTree if the limit is exceeded."""
        self._left -= steps
        if self._left < 0:
            raise UnsafeTree("the patterns in the tree's '.gitattributes' take too long to match with its paths")


class Pattern:
    """A pattern of the `.gitattributes` in `directory` (b"" is the root); neither negative nor ending in `/`.

    A pattern with a slash is matched from its directory, one without against a path's last part. `plain` is the only
    text that matches, (whether it is a path from the root, that path or last part); None if several may match.
    """

    __slots__ = ("_automaton", "_base", "_expression", "_is_path", "_prefix", "_stars", "_suffix", "_tokens", "plain")

    def __init__(self, directory: bytes, pattern: bytes) -> None:
        self._is_path = b"/" in pattern
        self._base = len(directory) + 1 if directory else 0
        pattern = pattern.removeprefix(b"/")
        plain = 0
        while plain < len(pattern) and pattern[plain] not in _SPECIAL:
            plain += 1
        self._prefix = pattern[:plain]
        # Git matches a plain beginning first: `a**/b` is `a`, then `**/b`.
        tokens = _tokens(pattern[plain:], self._is_path)
        suffix = b""
        while tokens and isinstance(last := tokens[-1], frozenset) and len(last) == 1:
            suffix = bytes(last) + suffix
            tokens.pop()
        self._suffix = suffix
        self.plain: tuple[bool, bytes] | None = None
        if tokens is not None and not tokens:
            root = directory + b"/" if self._is_path and directory else b""
            self.plain = (self._is_path, root + self._prefix + suffix)
        self._tokens = tokens
        self._stars = 0 if tokens is None else sum(isinstance(token, str) for token in tokens)
        self._expression: re.Pattern[bytes] | None = None
        self._automaton: _Automaton | None = None

    def matches(self, path: bytes, name: bytes, work: Work | None = None) -> bool:
        """Return whether a path (raw, from the root, below the pattern's directory) matches; `name` is its last part.

        Raises UnsafeTree if `work`, the limit for many paths and patterns, is exceeded.
        """
        tokens = self._tokens
        if tokens is None:
            return False
        text = path[self._base :] if self._is_path else name
        start = len(self._prefix)
        end = len(text) - len(self._suffix)
        if end < start or not text.startswith(self._prefix) or not text.endswith(self._suffix):
            return False
        if not tokens:
            return start == end
        if len(tokens) == 1:
            if tokens[0] is _ANYTHING:
                return True
            if tokens[0] is _STAR:
                return b"/" not in text[start:end]
        return self._matches(tokens, text[start:end], work)

    def _matches(self, tokens: list[_Token], text: bytes, work: Work | None) -> bool:
        steps = (len(text) + 1) ** min(self._stars, 50)
        # A regular expression backtracks to each star, which could take forever.
        if steps > _STEPS:
            if self._automaton is None:
                self._automaton = _Automaton(tokens)
            if work is not None:
                work.spend((len(text) + 1) * (_AUTOMATON_STEP + len(tokens)))
            return self._automaton.accepts(text)
        if work is not None:
            work.spend(steps)
        if self._expression is None:
            self._expression = _expression(tokens)
        return self._expression.fullmatch(text) is not None


def _tokens(pattern: bytes, is_path: bool) -> list[_Token] | None:
    """Split a pattern into tokens; None if it matches nothing. Without `is_path` the matched text has no slash."""
    tokens: list[_Token] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at]
        if byte == ord("*"):
            token, at = _stars(pattern, at, is_path)
            tokens.append(token)
        elif byte == ord("?"):
            tokens.append(_NO_SLASH)
            at += 1
        elif byte == ord("["):
            bracket = _bracket(pattern, at + 1)
            if bracket is None:
                return None
            allowed, at = bracket
            tokens.append(allowed - {_SLASH})
        elif byte == ord("\\"):
            if at + 1 >= len(pattern):
                return None
            tokens.append(frozenset((pattern[at + 1],)))
            at += 2
        else:
            tokens.append(frozenset((byte,)))
            at += 1
    return tokens


def _stars(pattern: bytes, start: int, is_path: bool) -> tuple[_Token, int]:
    """Return the token for the stars that begin at `start`, and the position after them."""
    at = start
    while pattern[at : at + 1] == b"*":
        at += 1
    if not is_path:
        return _ANYTHING, at
    rest = pattern[at : at + 2]
    is_after_slash = start == 0 or pattern[start - 1] == _SLASH
    if at - start < 2 or not is_after_slash or not (rest[:1] in (b"", b"/") or rest == b"\\/"):
        return _STAR, at
    return (_DIRECTORIES, at + 1) if rest[:1] == b"/" else (_ANYTHING, at)


def _bracket(pattern: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """Return the bytes that match a `[…]` with its contents at `at`, and the offset after it; None if malformed."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    allowed: set[int] = set()
    previous = 0  # where a range could begin
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            return None
        byte = pattern[at]
        following = pattern[at + 1 : at + 2]
        if byte == ord("\\"):
            if not following:
                return None
            byte = following[0]
            allowed.add(byte)
            at += 2
        elif byte == ord("-") and previous and following not in (b"", b"]"):
            at += 1 + (following == b"\\")
            if at >= len(pattern):
                return None
            allowed.update(range(previous, pattern[at] + 1))
            at += 1
            byte = 0
        elif byte == ord("[") and following == b":":
            named = _named_class(pattern, at)
            if named is None:
                return None
            members, at = named
            allowed |= members
            byte = 0 if len(members) > 1 else byte
        else:
            allowed.add(byte)
            at += 1
        previous = byte
    return _ALL - allowed if negated else frozenset(allowed), at + 1


def _named_class(pattern: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """Return the bytes of the class `[:NAME:]` at `at`, and the position after it; None for an unknown class.

    Without `:]` at its end it is a plain `[`.
    """
    end = pattern.find(b"]", at + 2)
    if end < 0:
        return None
    if end - at - 3 < 0 or pattern[end - 1] != ord(":"):
        return frozenset(b"["), at + 1
    members = _CLASSES.get(pattern[at + 2 : end - 1])
    return None if members is None else (members, end + 1)


def _expression(tokens: list[_Token]) -> re.Pattern[bytes]:
    import re

    parts = {_STAR: b"[^/]*", _ANYTHING: b".*", _DIRECTORIES: b"(?:.*/)?"}
    text = b""
    for token in tokens:
        if isinstance(token, str):
            text += parts[token]
        elif not token:
            text += b"(?!)"
        else:
            text += b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(token)) + b"]"
    return re.compile(text, re.DOTALL)


class _Automaton:
    """A pattern as a set of states, one bit each: bit i is set if the tokens before i match all input so far."""

    __slots__ = ("_end", "_forward", "_loops", "_loops_at_slash", "_next", "_over")

    def __init__(self, tokens: list[_Token]) -> None:
        self._next = [0] * 256
        self._loops = self._loops_at_slash = 0
        self._forward = self._over = 0
        at = 0
        for token in tokens:
            if token is _DIRECTORIES:
                # Three states: no input, inside, before the slash; the first may also skip to the next token.
                self._over |= 1 << at
                self._forward |= 3 << at
                self._loops |= 2 << at
                self._loops_at_slash |= 2 << at
                self._next[_SLASH] |= 4 << at
                at += 2
            elif isinstance(token, str):
                self._forward |= 1 << at
                self._loops |= 1 << at
                if token is _ANYTHING:
                    self._loops_at_slash |= 1 << at
            else:
                for byte in token:
                    self._next[byte] |= 1 << at
            at += 1
        self._end = 1 << at

    def accepts(self, text: bytes) -> bool:
        states = self._closed(1)
        for byte in text:
            loops = self._loops_at_slash if byte == _SLASH else self._loops
            states = self._closed((states & loops) | (states & self._next[byte]) << 1)
            if not states:
                return False
        return bool(states & self._end)

    def _closed(self, states: int) -> int:
        while True:
            more = states | (states & self._forward) << 1 | (states & self._over) << 3
            if more == states:
                return states
            states = more
