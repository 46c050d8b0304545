"""Convert blobs to files and back by the attributes of their paths, as git does without configuration.

Kinds and order of conversions: https://git-scm.com/docs/gitattributes ("Checking-out and checking-in"); the tests
compare the rest with `git checkout` and `git hash-object --path`. Without configuration lines end in LF, and no filter
has a command: `filter=…` never changes anything here.
"""

from __future__ import annotations

from git_coderepo.git.attributes.encodings import Encoding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.git.attributes.rules import Value

# Attributes that can change what is checked out, and those that can change what is checked in.
CHANGING = frozenset((b"eol", b"ident", b"working-tree-encoding", b"filter"))
CLEANING = CHANGING | {b"text", b"crlf"}

_PRINTABLE_CONTROLS = b"\b\t\x1b\x0c"
_NEITHER = bytes(byte for byte in range(0x20) if byte not in b"\r\n" + _PRINTABLE_CONTROLS) + b"\x7f"
_ID = b"$Id"


class Conversion:
    """The conversions of one path.

    `lines` are the line endings: None, `lf` or `crlf`; with `auto` only if the contents look like text. `driver` is the
    name of a filter.
    """

    __slots__ = ("_is_streamed", "auto", "driver", "encoding", "ident", "lines")

    def __init__(self, attributes: Mapping[bytes, Value]) -> None:
        text = attributes.get(b"text")
        if text not in (True, False, b"input", b"auto"):
            text = attributes.get(b"crlf")
        eol = attributes.get(b"eol")
        self.lines: bytes | None = b"lf" if text in (True, b"input", b"auto") else None
        if text is not False and eol in (b"lf", b"crlf"):
            assert isinstance(eol, bytes)
            self.lines = eol
        self.auto = text == b"auto"
        self.ident = attributes.get(b"ident") is True
        encoding = attributes.get(b"working-tree-encoding", b"")
        self.encoding = Encoding(encoding) if encoding != b"" else None
        if self.encoding is not None and self.encoding.is_utf8:
            self.encoding = None
        # git streams the file unless it or iconv needs the whole contents.
        self._is_streamed = self.encoding is None and not (self.auto and eol != b"lf")
        driver = attributes.get(b"filter")
        self.driver = driver if isinstance(driver, bytes) else None

    @property
    def changes(self) -> bool:
        """Whether a checked-out file can differ from its blob."""
        return self.lines == b"crlf" or self.ident or self.encoding is not None

    @property
    def cleans(self) -> bool:
        """Whether a checked-in blob can differ from its file."""
        return self.changes or self.lines is not None

    def checked_out(self, blob: bytes, id: str, changed: list[str] | None = None) -> bytes:
        """Return the file for a blob with this `id` (hex); the attributes that had an effect are added to `changed`.

        Raises UnicodeError if the blob cannot be encoded, or the encoding is unknown.
        """
        steps: list[tuple[str, bytes]] = []
        contents = blob
        if self.ident:
            expand = _expanded_in_passing if self._is_streamed else _expanded
            contents = expand(contents, b" ".join((b":", id.encode(), b"$")))
            steps.append(("ident", contents))
        if self.lines == b"crlf" and not (self.auto and _is_mixed_or_binary(contents)):
            contents = _with_crlf(contents)
            steps.append(("eol", contents))
        if self.encoding is not None and contents:
            contents = self.encoding.encoded(contents)
            steps.append(("working-tree-encoding", contents))
        if changed is not None:
            before = blob
            for name, after in steps:
                if after != before:
                    changed.append(name)
                before = after
        return contents

    def checked_in(self, contents: bytes) -> bytes:
        """Return the blob for a file. Raises UnicodeError if the file cannot be decoded."""
        contents = self._normalised(contents)
        return _contracted(contents) if self.ident else contents

    def has_other_ident(self, contents: bytes, id: str) -> bool:
        """Return whether a file has another text in `$Id: …$` than the id (hex) of its blob.

        git makes the same blob of it, but a checkout never creates such a file. Raises as `checked_in`.
        """
        if not self.ident:
            return False
        contents = self._normalised(contents)
        blob, expansion = _contracted(contents), b" ".join((b":", id.encode(), b"$"))
        return contents not in (blob, _expanded(blob, expansion), _expanded_in_passing(blob, expansion))

    def _normalised(self, contents: bytes) -> bytes:
        """Return a file's contents as UTF-8 with the line endings of its blob."""
        if self.encoding is not None and contents:
            contents = self.encoding.decoded(contents)
        if self.lines is not None and not (self.auto and _is_binary(contents)):
            contents = contents.replace(b"\r\n", b"\n")
        return contents


def _with_crlf(contents: bytes) -> bytes:
    return contents.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if b"\n" in contents else contents


def _is_mixed_or_binary(contents: bytes) -> bool:
    return b"\r" in contents or _is_binary(contents)


def _is_binary(contents: bytes) -> bool:
    """Return git's guess (`gather_stats` in convert.c): a lone CR, a NUL, or over one control character in 128."""
    if b"\0" in contents or contents.count(b"\r") != contents.count(b"\r\n"):
        return True
    odd = len(contents) - len(contents.translate(None, _NEITHER))
    printable = len(contents) - odd - contents.count(b"\r") - contents.count(b"\n")
    if contents.endswith(b"\x1a"):
        odd -= 1
    return printable >> 7 < odd


def _expanded(contents: bytes, expansion: bytes) -> bytes:
    """Expand `$Id$` and `$Id: …$` as git does if it has the whole contents (`ident_to_worktree` in convert.c)."""
    pieces = []
    at = 0
    while (dollar := contents.find(b"$", at)) >= 0:
        pieces.append(contents[at : dollar + 1])
        at = dollar + 1
        if contents[at : at + 2] != b"Id":
            continue
        if contents[at + 2 : at + 3] == b"$":
            at += 3
        elif contents[at + 2 : at + 3] == b":":
            end = contents.find(b"$", at + 3)
            if end < 0:
                break
            inside = contents[at + 3 : end]
            # With a line break or an inner space it belongs to another version control system.
            if b"\n" in inside or 0 <= inside.find(b" ", 1) < len(inside) - 1:
                continue
            at = end + 1
        else:
            continue
        pieces.append(b"Id" + expansion)
    pieces.append(contents[at:])
    return b"".join(pieces)


def _expanded_in_passing(contents: bytes, expansion: bytes) -> bytes:
    """Expand `$Id$` and `$Id: …$` as git does while it streams (`ident_filter_fn` in convert.c)."""
    pieces: list[bytes] = []
    at = 0
    # After `$Id` and another byte git does not empty its buffer. It begins at this piece, and if `$Id: …$` follows
    # at once, git puts the new `$Id: …$` in the place of the whole buffer.
    buffered: int | None = None
    while (dollar := contents.find(b"$", at)) >= 0:
        if dollar > at:
            buffered = None
        pieces.append(contents[at:dollar])
        end, keeps_buffer = _end_in_passing(contents, dollar)
        piece = contents[dollar:end]
        if piece.startswith(b"$Id:") and piece.endswith(b"$") and (buffered is not None or not _is_foreign(piece)):
            del pieces[buffered if buffered is not None else len(pieces) :]
            piece = _ID + expansion
        elif piece == b"$Id$":
            piece = _ID + expansion
        if not keeps_buffer:
            buffered = None
        elif buffered is None:
            buffered = len(pieces)
        pieces.append(piece)
        at = end
    pieces.append(contents[at:])
    return b"".join(pieces)


def _end_in_passing(contents: bytes, dollar: int) -> tuple[int, bool]:
    """Return where what git takes for a keyword at a dollar ends, and whether git keeps it in its buffer."""
    matched = 1
    while matched < 3 and contents[dollar + matched : dollar + matched + 1] == _ID[matched : matched + 1]:
        matched += 1
    end = dollar + matched  # after the matched part of `$Id`
    following = contents[end : end + 1]
    if matched == 3 and following == b":":
        ends = [offset for offset in (contents.find(b"$", end), contents.find(b"\n", end)) if offset >= 0]
        return (min(ends) + 1 if ends else len(contents)), False
    # git skips the byte after the matched part: a dollar there does not start a keyword.
    if matched == 3 and following == b"\0":
        return end + 2, False
    return end + 1, matched == 3 and following != b"$"


def _is_foreign(keyword: bytes) -> bool:
    text = keyword.partition(b"\0")[0]
    if not text.startswith(b"$Id: "):
        return False
    rest = text[5:]
    return any(byte in b" \t\r\n" and rest[at + 1 : at + 2] != b"$" for at, byte in enumerate(rest))


def _contracted(contents: bytes) -> bytes:
    """Replace `$Id: …$` within a line by `$Id$`."""
    pieces = []
    at = 0
    while (dollar := contents.find(b"$", at)) >= 0:
        pieces.append(contents[at : dollar + 1])
        at = dollar + 1
        if contents[at : at + 3] != b"Id:":
            continue
        end = contents.find(b"$", at + 3)
        if end < 0:
            break
        if b"\n" in contents[at + 3 : end]:
            continue
        pieces.append(b"Id$")
        at = end + 1
    pieces.append(contents[at:])
    return b"".join(pieces)
