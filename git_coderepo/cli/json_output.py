"""`--json[=FIELDS]`: the documents that the verbs print as JSON, and the choice of fields in them.

A document is never changed in an incompatible way: fields are only added. `tests/test_json_output.py` compares the
table with what is printed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import typer

from git_coderepo.cli import output
from git_coderepo.errors import UsageError

_RUN = {
    "id": "the run's id",
    "createdOn": "the time of its start, in UTC",
    "name": "its name, or null",
    "parent": "the id of the run that started it, or null",
    "command": "the command and its arguments, or null",
    "commit": "the commit of HEAD, or null",
    "branch": "the branch, or null",
    "tree": "the tree id of the snapshot",
    "dirty": "whether the code differed from HEAD",
    "state": "ok, failed, running, recorded, …",
    "status": "the exit status, or null",
    "reproducible": "whether the code can be fetched again",
    "finishedOn": "the end time, or null",
    "edited": "the files that were edited while it ran",
    "published": "whether it is published",
    "manifest": "the path of its manifest, or null",
}
_REGISTERED = {
    "name": "the name of the code repository",
    "type": "the platform",
    "place": "the repository on the platform, or null",
    "settings": "the settings that were written, by their names",
    "verified": "how it was verified: api or git; null if it was not",
    "credential": "the source of the credential, or null",
    "tokenSavedFor": "where the token in the keyring is for, or null",
    "warnings": "what a run or a runner will need",
}
_HOOK_CHANGE = {
    "event": "the hook",
    "place": "the file or the setting",
    "error": "why it could not be changed, or null",
}

# The fields of each verb's document, or of each item if it is a list. Without fields here, the names are the user's.
DOCUMENTS: dict[str, dict[str, str]] = {
    "list": {
        "name": "the name",
        "type": "the platform",
        "remote": "the git remote, or null",
        "url": "its URL, or null",
        "source": "the class of a custom code repository, or null",
        "description": "a description, or null",
        "logoUrl": "the URL of a logo, or null",
        "registered": "whether it is registered",
        "options": "the options of the platform",
    },
    "log": _RUN,
    "log --group": {"tree": "the tree id of the code", "runs": "the runs of this code, as `log` lists them"},
    "show": {
        "$schema": "the identifier of the schema",
        "manifestVersion": "the version of the format",
        "run": "the run: its id, time, name, parent, command and directory",
        "repository": "the code repository, or null",
        "code": "the code; see `git coderepo help manifest`",
        "environment": "the build key and the image",
        "producer": "the versions of the program and of git",
    },
    "diff": {
        "path": "the path",
        "status": "added, deleted, modified or type-changed",
        "oldMode": "the mode before, or null",
        "newMode": "the mode after, or null",
        "additions": "the number of added lines, or null for a binary file",
        "deletions": "the number of removed lines, or null for a binary file",
    },
    "describe": {
        "name": "the name",
        "type": "the platform",
        "registered": "whether it is registered",
        "remote": "the git remote, or null",
        "url": "its URL, or null",
        "source": "the class of a custom code repository, or null",
        "description": "a description, or null",
        "logoUrl": "the URL of a logo, or null",
        "options": "the options of the platform, never a secret",
        "recordedOptions": "the options that a manifest records",
        "credential": "the source of the credential, or null",
    },
    "status": {
        "reproducible": "whether a runner can fetch the code; null if unknown",
        "thisMachineOnly": "whether the remote is a path on this machine",
        "problem": "why it is not reproducible, or null",
        "missingFact": "what would have to be known to find a base, or null",
        "repository": "the code repository, or null",
        "head": "the commit of HEAD, or null",
        "base": "the commit that the platform serves, or null",
        "snapshot": "the tree of the code, or null",
        "scope": "the paths to which the snapshot is limited, or null",
        "changes": "the numbers of staged, edited and untracked files",
        "overlay": "what travels, or null",
        "lfs": "the Git LFS files that travel, or null",
        "store": "the shared store, or null",
        "carriers": "where a runner gets the code from",
        "submodules": "the submodules",
        "outside": "contents that Git does not store",
        "imported": "code outside the snapshot that Python imports",
        "omitted": "files that are left out, and why",
        "ignoredModes": "files that are not executable on a runner",
        "asRunner": "with --as-runner: what the runner answered",
    },
    "fetch": {
        "$schema": "the identifier of the schema",
        "receiptVersion": "the version of the format",
        "manifest": "the digest of the manifest, or null",
        "commit": "the commit, or null",
        "treeBy": "who named the expected tree",
        "tree": "the tree id of the files",
        "verified": "whether the files have that tree id",
        "method": "the source of the files",
        "fallbacks": "the sources that failed before",
        "cacheHit": "whether the tree came from the cache",
        "subdirectory": "the directory that was fetched, or null",
        "files": "the number of files",
        "bytes": "the numbers of bytes received and written",
        "overlay": "what came from the overlay, or null",
        "submodules": "the submodules, each with its tree",
        "outsideLinks": "symbolic links to paths outside the tree",
        "conversions": "files that were converted as .gitattributes says",
        "lfs": "the Git LFS files, or null",
        "proof": "what was hashed",
        "startedOn": "the time of the start, in UTC",
        "finishedOn": "the time of the end, in UTC",
        "seconds": "the duration",
        "host": "the name of the machine",
        "producer": "the versions of the program and of git",
    },
    "verify": {
        "expected": "the recorded tree id",
        "found": "the tree id of the directory, or null",
        "sameTree": "whether they are equal",
        "changed": "the changed files",
        "missing": "the missing files",
        "added": "the added files",
        "unlisted": "why the differences could not be listed, or null",
        "submodules": "the submodules, each with its trees",
        "holds": "whether the directory matches, apart from accepted files",
    },
    "hooks status": {
        "git": "the version of git",
        "mechanism": "configuration or folder",
        "folder": "the directory of hooks, or null",
        "hooks": "the hooks, each with its state and place",
        "recorded": "which commands are recorded",
        "launcher": "the command that calls the pre-run hook",
    },
    "build-key": {
        "buildKey": "the digest",
        "platform": "the platform of the image",
        "python": "the version of Python, or null",
        "pythonFrom": "the file that names it, or null",
        "baseImages": "the base images, and where they are named",
        "inputs": "the files that the key covers, with their digests",
        "warnings": "what the key does not cover",
    },
    "doctor": {
        "checks": "the checks: name, state (ok, note or problem), detail, and the line that fixes it, or null",
        "fixed": "with --fix: the fixes that were applied, each with an error or null",
    },
    "restore": {
        "run": "the run's id",
        "branch": "the branch, or null",
        "directory": "the new worktree, or null",
        "commit": "the commit of HEAD",
        "tree": "the tree id of the files",
        "edits": "the edited files",
    },
    "hooks install": _HOOK_CHANGE,
    "hooks uninstall": _HOOK_CHANGE,
    "validate": {
        "file": "the file",
        "valid": "whether it is valid",
        "problems": "what is wrong with it",
    },
    "cache list": {
        "key": "the name in the cache",
        "directory": "the directory",
        "size": "the size in bytes",
        "usedOn": "the time of its last use",
        "good": "whether the tree can be used",
        "kind": "tree, modified, copy or old",
    },
    "cache prune": {
        "removed": "the trees that were removed: key, directory and size",
        "inUse": "the keys of trees in use, which were kept",
        "size": "the sum of the sizes in bytes",
        "dryRun": "whether nothing was removed yet",
    },
    "publish": {
        "run": "the run's id",
        "action": "published, already-published, removed or stored",
        "repository": "the code repository, or the URL of the store",
        "reference": "the reference on the platform, or null",
        "commit": "the commit of the reference, or null",
        "trees": "with --store: path, tree, and size in bytes (null if it was already there)",
    },
    "prune": {
        "runs": "the ids of the removed runs",
        "overlays": "the number of removed overlays",
        "objects": "the number of removed objects",
        "size": "the sum of the sizes in bytes",
        "unreadable": "manifests that could not be read",
        "dryRun": "whether nothing was removed yet",
    },
    "register": _REGISTERED,
    "update": _REGISTERED,
    "remove": {"name": "the name", "type": "the platform"},
    "login": {
        "origin": "the origin of the token",
        "prefix": "the path prefix below it",
        "storedIn": "where the token is: keyring",
        "user": "the user name, or null",
        "verified": "whether the token was tried",
    },
    "logout": {"origin": "the origin of the token", "prefix": "the prefix", "removedFrom": "where it was: keyring"},
    "secret set": {"name": "the name", "keys": "the saved keys", "storedIn": "where they are: keyring"},
    "secret list": {},
    "secret remove": {"name": "the name", "keys": "the removed keys", "removedFrom": "where they were: keyring"},
}  # fmt: skip


class Fields(NamedTuple):
    """The chosen fields in their order, such as `id` or `code.snapshot.tree`; none stands for the whole document."""

    names: tuple[str, ...]

    def of(self, document: Any) -> Any:
        """Return the document, or each item of a list, with these fields only. A field that is absent is null."""
        return document if not self.names else _chosen(document, self.names)


def _chosen(document: Any, names: Iterable[str]) -> Any:
    if isinstance(document, list):
        return [_chosen(each, names) for each in document]
    if not isinstance(document, dict):
        return document
    inner: dict[str, list[str]] = {}
    for name in names:
        first, _, rest = name.partition(".")
        inner.setdefault(first, []).extend([rest] if rest else [])
    return {first: _chosen(document.get(first), rest) if rest else document.get(first) for first, rest in inner.items()}


def print_json(document: object, fields: Fields) -> None:
    """Print the chosen fields of a document."""
    output.json_data(fields.of(document))


def print_encoded(document: bytes, fields: Fields) -> None:
    """Print a JSON document byte for byte, or the chosen fields of it."""
    if fields.names:
        print_json(json.loads(document), fields)
    else:
        output.data(document)


def parse_fields(words: str) -> Fields:
    """Return the fields of `--json=A,B`."""
    return Fields(tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip())))


def check_fields(context: typer.Context, fields: Fields | None) -> Fields | None:
    """Raise UsageError for a field that the document of the verb does not have, before the verb does anything."""
    verb = context.command_path.removeprefix(output.PROGRAM).strip()
    known = DOCUMENTS.get(f"{verb} --group" if context.params.get("group") else verb)
    for name in fields.names if fields is not None and known else ():
        if known is not None and name.partition(".")[0] not in known:
            raise UsageError(f"unknown field '{name}'", hints=[f"choose from: {', '.join(known)}"])
    return fields
