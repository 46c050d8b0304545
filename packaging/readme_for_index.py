"""The README for package indexes, which know neither the project's files nor its pictures (a hook of hatchling)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# The project has no canonical address yet. With one (https://HOST/OWNER/REPOSITORY/blob/main/), links stay links.
ADDRESS = ""


def adapted(readme: str, address: str = ADDRESS) -> str:
    """Return the README without the picture, and with links that lead somewhere: absolute, or plain words."""
    readme = re.sub(r"(?s)<picture>.*?</picture>\n*", "", readme)
    if address:
        return re.sub(r"\]\((?!https?://|#)([^)]+)\)", rf"]({address}\1)", readme)
    return re.sub(r"\[([^\]]+)\]\((?!https?://|#)([^)]+)\)", r"\1", readme)


class ReadmeForIndex(MetadataHookInterface):
    """Set `project.readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the adapted README to the metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": adapted(text)}
