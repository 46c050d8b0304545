"""What MkDocs calls while it builds the site: add the generated pages, and adapt links that lead out of `docs/`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from website import messages, reference, schema_pages

PROJECT = Path(__file__).parents[1]

GENERATED: dict[str, Callable[[], str]] = {
    "reference/commands.md": reference.commands,
    "reference/settings.md": reference.settings,
    "reference/environment.md": reference.environment,
    "reference/exit-status.md": reference.exit_statuses,
    "reference/files.md": reference.files,
    "reference/platforms.md": reference.platforms,
    "reference/python.md": reference.python,
    "reference/manifest.md": schema_pages.manifest,
    "reference/receipt.md": schema_pages.receipt,
    "reference/messages.md": messages.make,
}
# Files of the project that are also pages.
FROM_THE_PROJECT = {
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "tests/fidelity/README.md": "reference/special-checkouts.md",
    "tests/faults/README.md": "reference/faults.md",
}
_PAGES = {**FROM_THE_PROJECT, "README.md": "index.md"}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in `docs/`."""
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    for source, path in FROM_THE_PROJECT.items():
        text = (PROJECT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, path, content=_with_links(text, Path(source), Path(path))))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Adapt the links of a page in `docs/`."""
    path = Path(page.file.src_path)
    if (PROJECT / "docs" / path).exists():
        return _with_links(markdown, "docs" / path, path)
    return markdown


def _with_links(text: str, source: Path, target: Path) -> str:
    """Return a page with links that work on the site; a link to a file outside the site becomes the file's name."""

    def adapted(match: re.Match[str]) -> str:
        words, link, anchor = match.groups()
        if not link:
            return match[0]
        named = os.path.normpath(source.parent / link)
        if (PROJECT / named).is_dir():
            named += "/README.md"
        if named in _PAGES:
            page = _PAGES[named]
        elif named.startswith("docs/"):
            page = named.removeprefix("docs/")
        else:
            return f"{words} (`{named}` in the project)" if words.strip("`") != named else f"`{named}`"
        return f"[{words}]({os.path.relpath(page, target.parent)}{anchor or ''})"

    return _LINK.sub(adapted, text)
