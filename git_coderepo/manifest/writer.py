"""Encode manifests and receipts as JSON; on the hook's path, and therefore without importing `json`."""

from __future__ import annotations

import time

from git_coderepo.errors import InvalidManifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MANIFEST_LIMIT = 4 << 20

# RFC 8259, section 7: the characters that must be escaped in a string.
_ESCAPES = {code: f"\\u{code:04x}" for code in range(0x20)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("\f"): "\\f",
    ord("\b"): "\\b",
}


def encode(document: Mapping[str, object]) -> bytes:
    """Return a document as UTF-8 JSON, indented by two, with keys in their given order and a final newline.

    The values are dict, list, tuple, str, int, float, bool and None. Raises InvalidManifest for more than 4 MiB, for a
    text that is not Unicode (use `path_value`), and for a number that is not finite.
    """
    pieces: list[str] = []
    _write(document, "\n", pieces.append)
    pieces.append("\n")
    try:
        data = "".join(pieces).encode()
    except UnicodeEncodeError as error:
        around = error.object[max(error.start - 20, 0) : error.end + 20]
        raise InvalidManifest(f"cannot record a text that is not UTF-8: {around!a}") from None
    if len(data) > MANIFEST_LIMIT:
        raise InvalidManifest(
            f"the manifest would be {len(data) / (1 << 20):.1f} MiB, more than {MANIFEST_LIMIT >> 20} MiB",
            hints=[
                "git config coderepo.inlineLimit 64k   # a larger overlay then goes into a file next to the manifest",
                "git push   # files that the platform has are not listed",
            ],
        )
    return data


def time_text(seconds: float) -> str:
    """Return `YYYY-MM-DDTHH:MM:SSZ` for a time in seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def path_value(path: bytes | str) -> str | dict[str, str]:
    """Return a path, an argument or a file name for JSON: a string, or base64 if it is not UTF-8.

    `path` is raw bytes, or text as of `os.fsdecode` (UTF-8, surrogateescape).
    """
    raw = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        import binascii

        return {"base64": binascii.b2a_base64(raw, newline=False).decode("ascii")}


def _write(value: object, newline: str, write: Callable[[str], None]) -> None:
    if value is None:
        write("null")
    elif isinstance(value, str):
        write(_quoted(value))
    elif isinstance(value, bool):
        write("true" if value else "false")
    elif isinstance(value, int):
        write(str(value))
    elif isinstance(value, float):
        if value - value != 0:  # only NaN and the infinities
            raise InvalidManifest(f"cannot record the number {value}")
        write(repr(value))
    elif isinstance(value, dict):
        inner = newline + "  "
        separator = inner
        write("{")
        for key, member in value.items():
            write(f"{separator}{_quoted(key)}: ")
            _write(member, inner, write)
            separator = "," + inner
        write(newline + "}" if value else "}")
    elif isinstance(value, list | tuple):
        inner = newline + "  "
        separator = inner
        write("[")
        for item in value:
            write(separator)
            _write(item, inner, write)
            separator = "," + inner
        write(newline + "]" if value else "]")
    else:
        raise TypeError(f"JSON has no {type(value).__name__}")


def _quoted(text: str) -> str:
    # Printable text needs no escape but for these two characters; the test is ten times faster than to translate.
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{text.translate(_ESCAPES)}"'
