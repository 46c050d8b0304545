"""The encodings of `working-tree-encoding`: those in which Python writes what iconv writes, byte for byte.

git leaves this to the machine's iconv, which knows more on one and less on another; Python's are the same everywhere.
Each name here was compared with glibc's iconv for every character (the tests do it again); `UTF-16` and `UTF-32` are
written as git writes them on little-endian machines, with a mark. What git says of marks: `gitattributes(5)`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.git.attributes.rules import Value

# Python's names of the codecs that agree.
CODECS = frozenset((
    "ascii", "cp037", "cp1125", "cp1140", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1256", "cp1257", "cp437",
    "cp500", "cp775", "cp850", "cp852", "cp855", "cp857", "cp858", "cp860", "cp861", "cp862", "cp863", "cp864", "cp865",
    "cp866", "cp869", "cp949", "euc_jp", "gb2312", "gbk", "koi8-r", "shift_jis", "iso8859-1", "iso8859-2", "iso8859-3",
    "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-10", "iso8859-11",
    "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16",
))  # fmt: skip
# Unicode's, as git names them: (codec, mark), by what follows `UTF` and a dash.
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
    """The value of a `working-tree-encoding` attribute; `name` shows it, `is_known` says whether it can be written."""

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
            found = codecs.lookup(self.name).name
        except (LookupError, ValueError):
            return
        self._codec = found if found in CODECS else None

    @property
    def is_known(self) -> bool:
        """Whether its files can be written here."""
        return self._codec is not None

    @property
    def is_utf8(self) -> bool:
        """Whether it changes nothing."""
        return self._codec == "utf-8"

    def encoded(self, blob: bytes) -> bytes:
        """UTF-8 in this encoding. Raises UnicodeError where that is not possible: git leaves such a file as it is."""
        if self._codec is None:
            raise UnicodeError("this encoding is not known here")
        return self._mark + blob.decode("utf-8").encode(self._codec)

    def decoded(self, contents: bytes) -> bytes:
        """This encoding as UTF-8. Raises UnicodeError where git would refuse the file."""
        if self._codec is None:
            raise UnicodeError("this encoding is not known here")
        codec = self._codec
        marks = _MARKS.get(codec[:6], {})
        found = next((mark for mark in marks if contents.startswith(mark)), None)
        if self._mark:
            # Any of the marks will do, as to iconv.
            if found is None:
                raise UnicodeError("the mark at the beginning is missing")
            return contents[len(found) :].decode(marks[found]).encode("utf-8")
        if found is not None:
            raise UnicodeError("a mark stands where none may be")
        return contents.decode(codec).encode("utf-8")
