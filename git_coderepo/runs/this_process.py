"""The run that this process is in, as the environment tells it: within `git coderepo run`, or on a runner."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest.model import Manifest
from git_coderepo.snapshots.python.program import in_notebook

if TYPE_CHECKING:
    from collections.abc import Mapping


def inherited_manifest(environment: Mapping[str, str]) -> Manifest | None:
    """The manifest of CODEREPO_MANIFEST, or of CODEREPO_MANIFEST_JSON where that file is not here.

    None where the environment tells of none. Raises InvalidManifest for one that is damaged, cannot be read, or is not
    that of CODEREPO_RUN_ID.
    """
    path, text = environment.get("CODEREPO_MANIFEST"), environment.get("CODEREPO_MANIFEST_JSON")
    if text and not (path and os.path.exists(path)):
        try:
            manifest = Manifest.parse(text.encode("utf-8", "surrogateescape"))
        except InvalidManifest as error:
            raise InvalidManifest(f"CODEREPO_MANIFEST_JSON is no valid manifest: {error.message}") from error
    elif path:
        manifest = Manifest.load(path)
    else:
        return None
    id = environment.get("CODEREPO_RUN_ID")
    if id and id != manifest.run.id:
        raise InvalidManifest(
            f"CODEREPO_RUN_ID is '{id}', and the manifest beside it is of '{manifest.run.id}'",
            hints=["unset CODEREPO_RUN_ID"],
        )
    return manifest


def interpreter_command() -> tuple[bytes, ...] | None:
    """The command line of this interpreter, where it runs a program: a notebook's says nothing of what runs."""
    main = sys.modules.get("__main__")
    if getattr(main, "__file__", None) is None or in_notebook():
        return None
    return tuple(os.fsencode(word) for word in sys.orig_argv) or None
