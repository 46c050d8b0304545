"""Small readers of JSON values, from which the reader of a document is put together.

A `Read[T]` takes a Node, a value with its place, and gives a T, or raises InvalidManifest with one line that names the
place. Each does what the definition of its name in `schema/` says; a test holds the two together.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from git_coderepo.errors import InvalidManifest
from git_coderepo.git.objects import ObjectId

T = TypeVar("T")

# The largest integer that every JSON reader has exactly (RFC 7493, section 2.2).
LARGEST_INTEGER = (1 << 53) - 1
PATH_LENGTH = 16384
ARGUMENT_LENGTH = 131072

_PART = r"([^./\0][^/\0]*|[.][^./\0][^/\0]*|[.][.][^/\0]+)"
_PATH = re.compile(rf"({_PART}/)*{_PART}")
# Groups of a thousand first: a million groups of four would cost the matcher a hundred bytes each.
_BASE64 = re.compile(
    r"([A-Za-z0-9+/]{1000})*([A-Za-z0-9+/]{4}){0,249}"
    r"([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"
)

A_PATH = "a relative path without empty, '.' or '..' parts"


class Node(NamedTuple):
    """A JSON value, and where in the document it stands (`code.overlay.deleted[3]`)."""

    value: object
    place: str = ""

    def wrong(self, what: str) -> InvalidManifest:
        return InvalidManifest(f"{self.place}: {what}" if self.place else what)

    def members(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.wrong("not an object")
        return self.value

    def field(self, name: str, read: Read[T]) -> T:
        """What `read` makes of a member that must be there."""
        members = self.members()
        place = member_place(self.place, name)
        if name not in members:
            raise InvalidManifest(f"{place}: missing")
        return read(Node(members[name], place))

    def optional(self, name: str, read: Read[T]) -> T | None:
        """What `read` makes of a member that may be left out; null is not leaving out."""
        return self.field(name, read) if name in self.members() else None


Read = Callable[[Node], T]


def member_place(place: str, key: str | int) -> str:
    """The place of a member: `place.key`, `place[3]`, `place."odd key"`."""
    if isinstance(key, int):
        return f"{place}[{key}]"
    shown = key if re.fullmatch(r"[$A-Za-z][A-Za-z0-9_-]{0,79}", key) else ascii(key[:80])
    return f"{place}.{shown}" if place else shown


def nullable(read: Read[T]) -> Read[T | None]:
    return lambda node: None if node.value is None else read(node)


def list_of(read: Read[T], *, minimum: int = 0) -> Read[tuple[T, ...]]:
    def read_list(node: Node) -> tuple[T, ...]:
        if not isinstance(node.value, list):
            raise node.wrong("not a list")
        if len(node.value) < minimum:
            raise node.wrong(f"fewer than {minimum}")
        return tuple([read(Node(item, f"{node.place}[{index}]")) for index, item in enumerate(node.value)])

    return read_list


def text(what: str, pattern: str, *, minimum: int = 1, maximum: int = PATH_LENGTH) -> Read[str]:
    """A string of `minimum` to `maximum` characters that `pattern` matches whole; `what` says so in words."""
    matcher = re.compile(pattern)

    def read_text(node: Node) -> str:
        value = node.value
        if not isinstance(value, str) or not minimum <= len(value) <= maximum or not matcher.fullmatch(value):
            raise node.wrong(f"not {what}")
        return value

    return read_text


def line(what: str = "a line of text", *, maximum: int = 1024) -> Read[str]:
    return text(what, r"[^\x00-\x1f\x7f]+", maximum=maximum)


version = text("a version 1.x", "1[.](0|[1-9][0-9]*)", maximum=16)
uuid7 = text(
    "a UUID of version 7, in lower case",
    "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    maximum=36,
)
time = text(
    "a time such as 2026-11-23T07:00:00Z",
    "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z",
    maximum=20,
)


def one_of(*words: str) -> Read[str]:
    def read_word(node: Node) -> str:
        if not isinstance(node.value, str) or node.value not in words:
            raise node.wrong(f"not one of {', '.join(words)}")
        return node.value

    return read_word


def integer(minimum: int = 0, maximum: int = LARGEST_INTEGER) -> Read[int]:
    def read_integer(node: Node) -> int:
        value = node.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON Schema, section 6.1.1: 1.0 is an integer
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise node.wrong(f"not an integer from {minimum} to {maximum}")
        return value

    return read_integer


def boolean(node: Node) -> bool:
    if not isinstance(node.value, bool):
        raise node.wrong("neither true nor false")
    return node.value


def hex_digits(length: int) -> Read[str]:
    return text(f"{length} lower-case hex digits", f"[0-9a-f]{{{length}}}", maximum=length)


def object_id(object_format: str) -> Read[ObjectId]:
    digits = hex_digits(40 if object_format == "sha1" else 64)
    return lambda node: ObjectId(digits(node))


def base64_text(node: Node) -> bytes:
    """What canonical base64 (RFC 4648, section 4; padded, unused bits zero) holds."""
    if not isinstance(node.value, str) or not _BASE64.fullmatch(node.value):
        raise node.wrong("not canonical base64")
    return binascii.a2b_base64(node.value)


def _raw(what: str, accepts: Callable[[str], object], maximum: int) -> Read[bytes]:
    """Bytes of the file system: a string, or `{"base64": …}` of whatever bytes; what those mean is looked at later."""

    def read_raw(node: Node) -> bytes:
        if isinstance(node.value, dict):
            encoded = node.value.get("base64")
            if not isinstance(encoded, str) or not 4 <= len(encoded) <= 2 * maximum:
                raise Node(encoded, member_place(node.place, "base64")).wrong("not canonical base64")
            return base64_text(Node(encoded, member_place(node.place, "base64")))
        if not isinstance(node.value, str) or len(node.value) > maximum or not accepts(node.value):
            raise node.wrong(f"not {what}")
        return node.value.encode()

    return read_raw


path = _raw(A_PATH, _PATH.fullmatch, PATH_LENGTH)
directory = _raw(f"'.' or {A_PATH}", lambda value: value == "." or _PATH.fullmatch(value), PATH_LENGTH)
argument = _raw("a text without NUL", lambda value: "\0" not in value, ARGUMENT_LENGTH)
_name = _raw("a text without NUL", lambda value: value and "\0" not in value, PATH_LENGTH)


def system_text(node: Node) -> str:
    """A name that the file system or Git gave, as `os.fsdecode` shows it (UTF-8, surrogateescape)."""
    return _name(node).decode("utf-8", "surrogateescape")
