"""Read the run that this process is part of from its environment: inside `git coderepo run`, or on a runner."""

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
    """Return the manifest in CODEREPO_MANIFEST, or in CODEREPO_MANIFEST_JSON if that file does not exist.

    Returns None if the environment has neither. Raises InvalidManifest if it is damaged, cannot be read, or does not
    belong to CODEREPO_RUN_ID.
    """
    path, text = environment.get("CODEREPO_MANIFEST"), environment.get("CODEREPO_MANIFEST_JSON")
    if text and not (path and os.path.exists(path)):
        try:
            manifest = Manifest.parse(text.encode("utf-8", "surrogateescape"))
        except InvalidManifest as error:
            raise InvalidManifest(f"invalid manifest in CODEREPO_MANIFEST_JSON: {error.message}") from error
    elif path:
        manifest = Manifest.load(path)
    else:
        return None
    id = environment.get("CODEREPO_RUN_ID")
    if id and id != manifest.run.id:
        raise InvalidManifest(
            f"CODEREPO_RUN_ID is '{id}', but the manifest in the environment is that of '{manifest.run.id}'",
            hints=["unset CODEREPO_RUN_ID"],
        )
    return manifest


def interpreter_command() -> tuple[bytes, ...] | None:
    """Return the command line (raw words) of this interpreter; None in a notebook or without a program."""
    main = sys.modules.get("__main__")
    if getattr(main, "__file__", None) is None or in_notebook():
        return None
    return tuple(os.fsencode(word) for word in sys.orig_argv) or None
