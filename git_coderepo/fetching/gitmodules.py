"""Read a commit's `.gitmodules`, which says where its submodules are, as untrusted input.

The file has the form of git's configuration: https://git-scm.com/docs/gitmodules, https://git-scm.com/docs/git-config.
"""

from __future__ import annotations

import os

from git_coderepo.errors import InvalidRemoteURL, UnsafeTree

MOST_BYTES = 1 << 20
_LONGEST_URL = 1 << 13
_ESCAPES = {ord("n"): b"\n", ord("t"): b"\t", ord("b"): b"\b", ord("\\"): b"\\", ord('"'): b'"'}


def too_large() -> UnsafeTree:
    """Return the error for contents of more than `MOST_BYTES`."""
    return UnsafeTree(
        f"the '.gitmodules' of a commit has more than {MOST_BYTES} bytes",
        hints=["--no-submodules leaves submodules empty"],
    )


def submodule_urls(contents: bytes) -> dict[bytes, str]:
    """Return the URL of each submodule by its raw path from the root, as `.gitmodules` has them.

    Sections that git would not use are left out: without a path or URL, with `..` in their name, with a URL that looks
    like an option. Of several values the last one counts; nothing is included from elsewhere. Raises UnsafeTree for
    contents of more than `MOST_BYTES`.
    """
    values: dict[bytes, dict[bytes, bytes]] = {}
    if len(contents) > MOST_BYTES:
        raise too_large()
    for section, key, value in _entries(contents):
        kind, _, name = section.partition(b".")
        if kind == b"submodule" and name and key in (b"path", b"url"):
            values.setdefault(name, {})[key] = value
    found = {}
    for name, each in values.items():
        path, url = each.get(b"path", b"").strip(b"/"), each.get(b"url", b"")
        # `check_submodule_name` and `check_submodule_url` of git's submodule-config.c.
        if path and url and not url.startswith(b"-") and b".." not in name.replace(b"\\", b"/").split(b"/"):
            found[path] = os.fsdecode(url)
    return found


def _entries(contents: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return (section, key in lower case, value): `submodule.NAME` for `[submodule "NAME"]`."""
    found = []
    section = b""
    text = contents.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\\\n", b"")
    for raw in text.split(b"\n"):
        line = raw.strip()
        if line.startswith(b"["):
            section, line = _section(line)
        if not line or line[:1] in b"#;":
            continue
        key, equals, value = line.partition(b"=")
        found.append((section, key.strip().lower(), _value(value.strip()) if equals else b"true"))
    return found


def _section(line: bytes) -> tuple[bytes, bytes]:
    """Return the section of `[kind "name"] rest`, and the rest."""
    start = line.find(b'"')
    end = line.find(b"]")
    if start < 0 or end < start:
        return line[1 : end if end >= 0 else len(line)].strip().lower(), line[end + 1 :].strip() if end >= 0 else b""
    name = bytearray()
    at = start + 1
    while at < len(line) and line[at] != ord('"'):
        if line[at] == ord("\\"):
            at += 1
        name += line[at : at + 1]
        at += 1
    rest = line[at + 1 :].lstrip()
    return line[1:start].strip().lower() + b"." + bytes(name), rest[1:].strip() if rest.startswith(b"]") else b""


def _value(text: bytes) -> bytes:
    """Return a value without its quotes, escapes and comment."""
    kept = bytearray()
    quoted = False
    end = 0  # blanks at the end that no quotes hold are no part of it
    at = 0
    while at < len(text):
        byte = text[at]
        if byte == ord("\\"):
            at += 1
            kept += _ESCAPES.get(text[at], b"") if at < len(text) else b""
            end = len(kept)
        elif byte == ord('"'):
            quoted = not quoted
            end = len(kept)
        elif byte in b"#;" and not quoted:
            break
        else:
            kept.append(byte)
            if quoted or byte not in b" \t":
                end = len(kept)
        at += 1
    return bytes(kept[:end])


def absolute_url(url: str, remote: str) -> str:
    """Return a submodule's URL, with `./…` and `../…` resolved as `relative_url` in git's remote.c does.

    Raises InvalidRemoteURL for one that leads above the host of a URL, and for one without measure.
    """
    if len(url) > _LONGEST_URL:
        raise InvalidRemoteURL(f"a URL of more than {_LONGEST_URL} characters")
    if not url.startswith(("./", "../")):
        return url
    above = remote.rstrip("/")
    separator = "/"
    while True:
        if url.startswith("../"):
            url = url[3:]
            at = above.rfind("/")
            if at < 0:
                at, separator = above.rfind(":"), ":"
            if at < 0 or above[:at].endswith((":", ":/")) or not above[:at]:
                raise InvalidRemoteURL("a URL that leads above its superproject's host")
            above = above[:at]
        elif url.startswith("./"):
            url = url[2:]
        else:
            return (above + separator + url).rstrip("/")
