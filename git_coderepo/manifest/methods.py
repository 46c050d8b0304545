"""The methods of getting a tree: the one list for the command line, the manual and the receipt."""

from __future__ import annotations

# What `--method` takes beside `auto`, in the order in which it is shown.
ASKED = ("local", "store", "archive", "git", "files", "published")
# What a receipt may also name: a tree that travelled whole with its manifest, and one that was in the cache.
OTHERS = ("overlay", "cache")
AUTO = "auto"
METHODS = (AUTO, *ASKED)
RECORDED = (*ASKED, *OTHERS)
