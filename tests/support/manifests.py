"""Run manifests for tests: the example of the documentation, and strategies for whatever a writer can write."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hypothesis import strategies as st

from git_coderepo.git.objects import FILE, TreeEntry, tree_objects
from git_coderepo.manifest.writer import path_value

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Document = dict[str, Any]

EXAMPLE_RUN = "019ab1c2-7f00-7abc-8def-0123456789ab"


def validator(schema: Document) -> Validator:
    """Return what any other program would check a document with: jsonschema, of draft 2020-12; it fetches nothing."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(schema, registry=Registry())


def example_document() -> Document:
    """A checkout with an edit, a deletion and commits that were not pushed, hosted on GitHub; a new dict each time."""
    overlay = b"\x1f\x8b not really a gzip, but the manifest does not look inside"
    return {
        "$schema": "urn:git-coderepo:run-manifest:1",
        "manifestVersion": "1.0",
        "run": {
            "id": EXAMPLE_RUN,
            "createdOn": "2026-11-23T07:00:00Z",
            "name": None,
            "parent": None,
            "command": ["python", "train.py", ""],
            "directory": "services/train",
        },
        "repository": {
            "name": "origin",
            "type": "github",
            "source": None,
            "remote": {
                "transport": "https",
                "host": "github.com",
                "port": None,
                "user": None,
                "path": "/acme/widgets.git",
            },
            "options": {"owner": "acme", "repository": "widgets", "apiUrl": "https://api.github.com"},
        },
        "code": {
            "objectFormat": "sha1",
            "head": {
                "commit": "1" * 40,
                "tree": "2" * 40,
                "branch": "main",
                "webUrl": f"https://github.com/acme/widgets/commit/{'1' * 40}",
            },
            "dirty": True,
            "changes": {"staged": 1, "unstaged": 2, "untracked": 1, "unpushed": 3},
            "base": {"commit": "3" * 40, "tree": "4" * 40, "knownBy": "remote-tracking", "archive": "exact"},
            "snapshot": {"tree": "5" * 40, "ref": None, "commit": None},
            "overlay": {
                "tarSha256": "6" * 64,
                "sha256": sha256(overlay).hexdigest(),
                "size": len(overlay),
                "files": 4,
                "deleted": ["old.py", {"base64": base64.b64encode(b"caf\xe9.txt").decode()}],
                "data": base64.b64encode(overlay).decode(),
            },
            "special": [
                {"path": "run.sh", "mode": "100755"},
                {"path": "latest", "mode": "120000", "target": "../v2"},
                {"path": "lib", "mode": "160000"},
            ],
            "subdirectory": {"path": ".", "tree": "5" * 40, "proof": []},
            "scope": None,
            "submodules": [{"path": "lib", "commit": "7" * 40, "state": "absent", "repository": None, "code": None}],
            "omitted": [{"path": ".env", "reason": "secret-name"}],
        },
        "environment": {"buildKey": None, "image": None},
        "producer": {"name": "git-coderepo", "version": "0.1.0", "git": "2.39.5"},
    }


def example_receipt() -> Document:
    """The receipt of a fetch whose archive did not hash to the recorded tree, so that git was asked."""
    return {
        "$schema": "urn:git-coderepo:receipt:1",
        "receiptVersion": "1.0",
        "manifest": {"digest": "a" * 64, "runId": EXAMPLE_RUN},
        "commit": "3" * 40,
        "treeBy": "manifest",
        "tree": "5" * 40,
        "verified": True,
        "method": "git",
        "fallbacks": [{"method": "archive", "reason": "the archive has another tree"}],
        "cacheHit": False,
        "subdirectory": ".",
        "files": 2000,
        "bytes": 123456,
        "overlay": {"files": 4, "deleted": 2},
        "submodules": [
            {
                "path": "lib",
                "commit": "7" * 40,
                "state": "fetched",
                "tree": "8" * 40,
                "method": "archive",
                "fallbacks": [],
                "files": 3,
                "bytes": 1234,
                "overlay": None,
            },
            {
                "path": path_value(b"lib/\xff"),
                "commit": "9" * 40,
                "state": "absent",
                "tree": None,
                "method": None,
                "fallbacks": [],
                "files": 0,
                "bytes": 0,
                "overlay": None,
            },
        ],
        "outsideLinks": ["latest", path_value(b"\xff")],
        "conversions": [
            {"kind": "eol", "value": "crlf", "files": 3, "left": [], "reason": None},
            {"kind": "filter", "value": "nbstrip", "files": 0, "left": ["a.ipynb"], "reason": "filters are never run"},
        ],
        "startedOn": "2026-11-23T07:00:00Z",
        "finishedOn": "2026-11-23T07:00:02Z",
        "seconds": 1.75,
        "host": "worker-7",
        "producer": {"name": "git-coderepo", "version": "0.1.0", "git": None, "python": "3.11.7"},
    }


# --- strategies --------------------------------------------------------------------------------

_ODD_NAMES = (b"-rf", b"--", b"a b", b"line\nbreak", b"\n", b".\n", b"..\n", b"...", b" ", b'"', b"\\", b"x" * 250)
_NON_UTF8_NAMES = (b"caf\xe9", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe9" * 250)


def names() -> st.SearchStrategy[bytes]:
    """One part of a path, whatever Git and the file system take: no `/`, no NUL, not `.` or `..`."""
    any_bytes = st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    return st.one_of(
        st.from_regex(r"[a-z]{1,8}(\.py)?", fullmatch=True).map(str.encode),
        st.sampled_from(_ODD_NAMES + _NON_UTF8_NAMES),
        st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8).map(str.encode),
        any_bytes,
    ).filter(lambda name: name not in (b".", b".."))


def paths() -> st.SearchStrategy[bytes]:
    return st.lists(names(), min_size=1, max_size=4).map(b"/".join)


def arguments() -> st.SearchStrategy[bytes]:
    """A word of a command, or the target of a link: any bytes without NUL, none at all included."""
    return st.one_of(
        st.sampled_from((b"", b"/", b"../x", b"--lr=0.1") + _ODD_NAMES + _NON_UTF8_NAMES),
        st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"_")),
    )


def object_ids(object_format: str) -> st.SearchStrategy[str]:
    size = 20 if object_format == "sha1" else 32
    return st.binary(min_size=size, max_size=size).map(bytes.hex)


def counts() -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 53) - 1)


def lines() -> st.SearchStrategy[str]:
    printable = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
    return st.text(printable, min_size=1, max_size=20).filter(lambda text: "{{" not in text)


def nullable(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def run_ids() -> st.SearchStrategy[str]:
    """UUIDs of version 7 (RFC 9562, section 5.7)."""
    return st.uuids().map(lambda uuid: str(UUID(int=uuid.int & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62)))


def times() -> st.SearchStrategy[str]:
    return st.datetimes().map(lambda time: f"{time.replace(microsecond=0).isoformat()}Z")


def repositories() -> st.SearchStrategy[Document]:
    remote = st.fixed_dictionaries(
        {
            "transport": st.sampled_from(("https", "ssh", "git", "file", "local", "helper:codecommit", "helper:HTTPS")),
            "host": nullable(st.sampled_from(("github.com", "git.corp", "::1", "fe80::1%eth0", "box"))),
            "port": nullable(st.integers(1, 65535)),
            "user": nullable(lines()),
            "path": arguments().filter(lambda raw: raw and b"{{" not in raw).map(path_value),
        }
    )
    return st.fixed_dictionaries(
        {
            "name": lines(),
            "type": st.sampled_from(("git", "github", "gitlab", "custom", "bitbucket-server")),
            "source": nullable(st.just("my_module.MyRepositoryClass")),
            "remote": nullable(remote),
            "options": st.dictionaries(st.from_regex(r"[a-z][A-Za-z0-9_]{0,9}", fullmatch=True), lines(), max_size=3),
        }
    )


@st.composite
def codes(draw: st.DrawFn, *, submodules: int = 2) -> Document:
    """The `code` object, with submodules in each other at most so deep."""
    object_format = draw(st.sampled_from(("sha1", "sha256")))
    ids = object_ids(object_format)
    base = draw(
        nullable(
            st.fixed_dictionaries(
                {
                    "commit": ids,
                    "tree": ids,
                    "knownBy": st.sampled_from(("remote-tracking", "shallow", "fetch-head", "ci", "platform")),
                    "archive": st.sampled_from(("exact", "altered")),
                }
            )
        )
    )
    snapshot_tree, subdirectory = draw(_parts(object_format))
    obstacle = st.fixed_dictionaries({"reason": st.sampled_from(("too-large", "token")), "message": lines()})
    obstacles = draw(nullable(st.lists(obstacle, min_size=1, max_size=2)))
    return {
        **({} if obstacles is None else {"unreproducible": obstacles}),
        "objectFormat": object_format,
        "head": draw(
            nullable(
                st.fixed_dictionaries(
                    {
                        "commit": ids,
                        "tree": ids,
                        "branch": nullable(paths().map(path_value)),
                        "webUrl": nullable(lines()),
                    }
                )
            )
        ),
        "dirty": draw(st.booleans()),
        "changes": {
            "staged": draw(counts()),
            "unstaged": draw(counts()),
            "untracked": draw(counts()),
            "unpushed": draw(nullable(counts())),
        },
        "base": base,
        "snapshot": {
            "tree": snapshot_tree,
            "ref": draw(nullable(run_ids().map("refs/coderepo/runs/{}".format))),
            "commit": draw(nullable(object_ids(object_format))),
        },
        "overlay": draw(nullable(_overlays(has_base=base is not None))),
        "special": draw(
            nullable(st.lists(_special_entries(), max_size=3, unique_by=lambda entry: repr(entry["path"])))
        ),
        "subdirectory": subdirectory,
        "scope": draw(nullable(st.lists(paths(), min_size=1, max_size=2, unique=True).map(_values))),
        "submodules": draw(_submodules(ids, submodules)) if submodules else [],
        "omitted": [
            {"path": path_value(path), "reason": draw(st.sampled_from(("secret-name", "excluded")))}
            for path in draw(st.lists(paths(), max_size=2))
        ],
        "lfs": draw(nullable(_lfs())),
        **draw(_outside()),
    }


def _outside() -> st.SearchStrategy[Document]:
    """Return paths with contents that Git does not store, of a directory their number; mostly none."""
    reasons = st.sampled_from(("git-annex", "filter", "link-outside"))
    entry = st.fixed_dictionaries(
        {"path": paths().map(path_value), "reason": reasons, "detail": nullable(paths().map(path_value))},
        optional={"files": st.integers(1, 5000)},
    )
    return st.fixed_dictionaries({}, optional={"outside": st.lists(entry, min_size=1, max_size=2)})


def _values(raw: list[bytes]) -> list[object]:
    return [path_value(path) for path in raw]


@st.composite
def _parts(draw: st.DrawFn, object_format: str) -> tuple[str, Document]:
    """A snapshot's tree, and a part of it that proves itself."""
    path = draw(st.just(b".") | paths())
    if path == b".":
        tree = draw(object_ids(object_format))
        return tree, {"path": ".", "tree": tree, "proof": []}
    # A twin beside the path: its name begins as the directory's does, and is sorted next to it.
    size = 20 if object_format == "sha1" else 32
    blob = draw(st.binary(min_size=size, max_size=size))
    trees = tree_objects(
        [TreeEntry(path + b"/file", FILE, blob), TreeEntry(path + b"-twin", FILE, blob)], object_format
    )
    names = path.split(b"/")
    proof = [trees[b"/".join(names[:depth])][1] for depth in range(len(names))]
    return trees[b""][0].hex(), {
        "path": path_value(path),
        "tree": trees[path][0].hex(),
        "proof": [base64.b64encode(contents).decode() for contents in proof],
    }


@st.composite
def _overlays(draw: st.DrawFn, *, has_base: bool) -> Document:
    data = draw(st.binary(max_size=100))
    document: Document = {
        "tarSha256": draw(object_ids("sha256")),
        "sha256": sha256(data).hexdigest(),
        "size": len(data),
        "files": draw(counts()),
        "deleted": _values(draw(st.lists(paths(), max_size=3, unique=True))) if has_base else [],
    }
    if draw(st.booleans()):
        document["data"] = base64.b64encode(data).decode()
    return document


@st.composite
def _lfs(draw: st.DrawFn) -> Document:
    data = draw(st.binary(max_size=100))
    objects = st.fixed_dictionaries({"oid": object_ids("sha256"), "size": counts()})
    document: Document = {
        "tarSha256": draw(object_ids("sha256")),
        "sha256": sha256(data).hexdigest(),
        "size": len(data),
        "objects": draw(st.lists(objects, max_size=3, unique_by=lambda entry: str(entry["oid"]))),
    }
    if draw(st.booleans()):
        document["data"] = base64.b64encode(data).decode()
    return document


def _special_entries() -> st.SearchStrategy[Document]:
    path = paths().map(path_value)
    link = {"path": path, "mode": st.just("120000"), "target": arguments().map(path_value)}
    return st.fixed_dictionaries(link) | st.fixed_dictionaries(
        {"path": path, "mode": st.sampled_from(("100755", "160000"))}
    )


def _submodules(ids: st.SearchStrategy[str], depth: int) -> st.SearchStrategy[list[Document]]:
    path = paths().map(path_value)
    absent = {"path": path, "commit": ids, "state": st.just("absent"), "repository": st.none(), "code": st.none()}
    fetched = {
        "path": path,
        "commit": ids,
        "state": st.just("fetched"),
        "repository": nullable(repositories()),
        "code": codes(submodules=depth - 1),
    }
    entry = st.fixed_dictionaries(absent) | st.fixed_dictionaries(fetched)
    return st.lists(entry, max_size=2, unique_by=lambda submodule: repr(submodule["path"]))


def documents(*, submodules: int = 2) -> st.SearchStrategy[Document]:
    """Whatever a writer of version 1.1 can write; submodules in each other at most so deep."""
    return st.fixed_dictionaries(
        {
            "$schema": st.just("urn:git-coderepo:run-manifest:1"),
            "manifestVersion": st.sampled_from(["1.0", "1.1"]),
            "run": st.fixed_dictionaries(
                {
                    "id": run_ids(),
                    "createdOn": times(),
                    "name": nullable(lines()),
                    "parent": nullable(run_ids()),
                    "command": nullable(st.lists(arguments(), min_size=1, max_size=3).map(_values)),
                    "directory": (st.just(b".") | paths()).map(path_value),
                }
            ),
            "repository": nullable(repositories()),
            "code": codes(submodules=submodules),
            "environment": st.fixed_dictionaries({"buildKey": nullable(lines()), "image": nullable(lines())}),
            "producer": st.fixed_dictionaries({"name": lines(), "version": lines(), "git": st.none() | lines()}),
        }
    )
