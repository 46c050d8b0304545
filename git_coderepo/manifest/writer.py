"""From plain values to the bytes of a manifest or a receipt; on the hook's path, so without `json` and its imports."""

from __future__ import annotations

import time

from git_coderepo.errors import InvalidManifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MANIFEST_LIMIT = 4 << 20

# RFC 8259, section 7: what must be escaped in a string, and nothing else.
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
    """The document as UTF-8 JSON, indented by two, keys in their given order, with a final newline.

    Takes what JSON has: dict, list, tuple, str, int, float, bool, None. Raises InvalidManifest where it is larger than
    4 MiB, holds a text that is not Unicode (`path_value` is for those) or a number that JSON does not have.
    """
    pieces: list[str] = []
    _write(document, "\n", pieces.append)
    pieces.append("\n")
    try:
        data = "".join(pieces).encode()
    except UnicodeEncodeError as error:
        around = error.object[max(error.start - 20, 0) : error.end + 20]
        raise InvalidManifest(f"a text to be recorded is not UTF-8: {around!a}") from None
    if len(data) > MANIFEST_LIMIT:
        raise InvalidManifest(
            f"the manifest would be {len(data) / (1 << 20):.1f} MiB, more than {MANIFEST_LIMIT >> 20} MiB",
            hints=[
                "git config coderepo.inlineLimit 64k   # a larger overlay is then kept in a file beside the manifest",
                "git push   # what the platform has need not be listed",
            ],
        )
    return data


def time_text(seconds: float) -> str:
    """Return `YYYY-MM-DDTHH:MM:SSZ` for a time in seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def path_value(path: bytes | str) -> str | dict[str, str]:
    """A path, an argument or a name of the file system as it is recorded: a string, or base64 if it is not UTF-8.

    `path` is raw bytes, or text as `os.fsdecode` gives it (UTF-8, surrogateescape).
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
            raise InvalidManifest(f"a number to be recorded is {value}")
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
    # What is printable needs no escape but for these two; to ask is ten times faster than to translate.
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{text.translate(_ESCAPES)}"'
