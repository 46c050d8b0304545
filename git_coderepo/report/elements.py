"""Write HTML: every text is escaped unless it is `Html`, and hostile characters are shown as escapes.

Control and format characters (among them those that reverse the direction of text) appear as `\\x1b` or `\\u202e`, and
bytes that are not UTF-8 as `\\xff`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

# Elements that have no end tag: https://html.spec.whatwg.org/multipage/syntax.html#void-elements
_VOID = frozenset(("br", "hr", "input", "link", "meta"))


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def shown(value: str | bytes, *, lines: bool = False) -> str:
    """Return text for people, with escapes; with `lines`, line breaks and tabs remain."""
    if isinstance(value, str) and value.isprintable():
        return str(value)
    return "".join(part for part, _ in _parts(value, lines=lines))


def text(value: str | bytes, *, lines: bool = False) -> Html:
    """Return text as HTML; escapes are marked, so that they differ from a backslash in the text."""
    if isinstance(value, Html):
        return value
    if isinstance(value, str) and value.isprintable():
        return Html(html.escape(value))
    return Html(
        "".join(
            f"<i>{html.escape(part)}</i>" if is_escape else html.escape(part)
            for part, is_escape in _parts(value, lines=lines)
        )
    )


def element(name: str, /, *children: str | bytes, **attributes: str | bytes | bool | None) -> Html:
    """Return an element: `class_` is the attribute `class`, `data_v` is `data-v`; None and False are left out."""
    written = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written.append(key if value is True else f'{key}="{html.escape(shown(value))}"')
    start = f"<{' '.join(written)}>"
    if name in _VOID:
        return Html(start)
    return Html(f"{start}{joined(children) if children else ''}</{name}>")


def joined(parts: Iterable[str | bytes], between: str = "") -> Html:
    """Return parts one after the other; `between` is HTML."""
    return Html(between.join([part if type(part) is Html else text(part) for part in parts]))


def link(address: str, content: str | bytes) -> Html:
    """Return a link within the report."""
    return element("a", content, href=address)


def link_outside(address: str | None, content: str | bytes) -> Html:
    """Return a link to a page on the web; only the content unless the address is http or https."""
    if address is None or not address.startswith(("https://", "http://")):
        return text(content)
    return element("a", content, href=address, rel="noreferrer noopener external")


def code(content: str | bytes) -> Html:
    """Return an id, a path or a command."""
    return element("code", content)


def table(caption: str, heads: Iterable[str], rows: Iterable[Iterable[str | bytes]], **attributes: str | None) -> Html:
    """Return a table with a caption for screen readers, in a region that can be scrolled with the keyboard."""
    head = element("tr", *(element("th", each, scope="col") for each in heads))
    body = joined(element("tr", *(element("td", cell) for cell in row)) for row in rows)
    whole = element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", head),
        element("tbody", body),
        **attributes,
    )
    return scrollable(caption, whole)


def scrollable(label: str, content: Html) -> Html:
    """Return a region that scrolls sideways on narrow screens."""
    return element("div", content, class_="wide", role="region", aria_label=label, tabindex="0")


def _parts(value: str | bytes, *, lines: bool) -> list[tuple[str, bool]]:
    """Return (text, whether it is an escape) parts of a text."""
    decoded = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    if decoded.isprintable() or (lines and decoded.replace("\n", "").replace("\t", "").isprintable()):
        return [(decoded, False)]
    parts: list[tuple[str, bool]] = []
    plain: list[str] = []
    for char in decoded:
        if char.isprintable() or (lines and char in "\n\t"):
            plain.append(char)
            continue
        if plain:
            parts.append(("".join(plain), False))
            plain = []
        parts.append((_escape(char), True))
    return [*parts, ("".join(plain), False)] if plain else parts


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()
