"""Encode and decode files with `working-tree-encoding`, in those encodings in which Python agrees with iconv.

git uses the machine's iconv, whose encodings vary; Python's are the same everywhere. The tests compare each of these
encodings with glibc's iconv for every character. `UTF-16` and `UTF-32` are written as git writes them on little-endian
machines, with a byte order mark; for these marks see `gitattributes(5)`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.attributes.rules import Value

# Python's names of the codecs that agree with iconv.
CODECS = frozenset((
    "ascii", "cp037", "cp1125", "cp1140", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1256", "cp1257", "cp437",
    "cp500", "cp775", "cp850", "cp852", "cp855", "cp857", "cp858", "cp860", "cp861", "cp862", "cp863", "cp864", "cp865",
    "cp866", "cp869", "cp949", "euc_jp", "gb2312", "gbk", "koi8-r", "shift_jis", "iso8859-1", "iso8859-2", "iso8859-3",
    "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-10", "iso8859-11",
    "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16",
))  # fmt: skip
# Unicode encodings: (codec, byte order mark), by the part of git's name after `UTF` and a dash.
_UNICODE = {
    "8": ("utf-8", b""),
    "16": ("utf-16-le", b"\xff\xfe"),
    "16LE": ("utf-16-le", b""),
    "16BE": ("utf-16-be", b""),
    "16LE-BOM": ("utf-16-le", b"\xff\xfe"),
    "16BE-BOM": ("utf-16-be", b"\xfe\xff"),
    "32": ("utf-32-le", b"\xff\xfe\0\0"),
    "32LE": ("utf-32-le", b""),
    "32BE": ("utf-32-be", b""),
}
_MARKS = {
    "utf-16": {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"},
    "utf-32": {b"\xff\xfe\0\0": "utf-32-le", b"\0\0\xfe\xff": "utf-32-be"},
}


class Encoding:
    """The value of a `working-tree-encoding` attribute; `name` is for messages."""

    __slots__ = ("_codec", "_mark", "name")

    def __init__(self, value: Value) -> None:
        self.name = str(value).lower() if isinstance(value, bool) else value.decode("ascii", "backslashreplace")
        self._codec: str | None = None
        self._mark = b""
        upper = self.name.upper()
        if isinstance(value, bool) or not upper.isascii():
            return
        unicode = _UNICODE.get(upper[3:].removeprefix("-")) if upper.startswith("UTF") else None
        if unicode is not None:
            self._codec, self._mark = unicode
            return
        import codecs

        try:
            codec = codecs.lookup(self.name).name
        except (LookupError, ValueError):
            return
        self._codec = codec if codec in CODECS else None

    @property
    def is_known(self) -> bool:
        """Whether files in this encoding can be read and written."""
        return self._codec is not None

    @property
    def is_utf8(self) -> bool:
        """Whether it is UTF-8, which needs no conversion."""
        return self._codec == "utf-8"

    def encoded(self, blob: bytes) -> bytes:
        """Encode a blob (UTF-8). Raises UnicodeError if that is not possible; git leaves such a file unconverted."""
        if self._codec is None:
            raise UnicodeError("unknown encoding")
        return self._mark + blob.decode("utf-8").encode(self._codec)

    def decoded(self, contents: bytes) -> bytes:
        """Decode a file to UTF-8. Raises UnicodeError if git would refuse the file."""
        if self._codec is None:
            raise UnicodeError("unknown encoding")
        codec = self._codec
        marks = _MARKS.get(codec[:6], {})
        prefix = next((mark for mark in marks if contents.startswith(mark)), None)
        if self._mark:
            # Any of the marks is accepted, as by iconv.
            if prefix is None:
                raise UnicodeError("missing byte order mark")
            return contents[len(prefix) :].decode(marks[prefix]).encode("utf-8")
        if prefix is not None:
            raise UnicodeError("unexpected byte order mark")
        return contents.decode(codec).encode("utf-8")
