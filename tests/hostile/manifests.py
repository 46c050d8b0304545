"""Manifests that somebody tampered with: an honest one, in which one thing is another."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from git_coderepo.git.objects import FILE, TreeEntry, tree_objects
from tests.hostile.play import Document, Place

GROUP = "A manifest"

Prepare = Callable[[Place], None]
EVIL = "touch /tmp/evil"


def put(*settings: tuple[str, object], clean: bool = False) -> Prepare:
    """The dirty manifest (or the clean one) with values put at places such as `code.overlay.size`."""

    def prepare(here: Place) -> None:
        document = here.clean() if clean else here.dirty()
        for place, value in settings:
            *above, last = place.split(".")
            inner = document
            for key in above:
                inner = inner[key]
            inner[last] = value
        here.serve(here.honest.and_then())
        here.write(document)

    return prepare


def text(change: Callable[[bytes], bytes]) -> Prepare:
    """The text of the manifest, changed."""

    def prepare(here: Place) -> None:
        honest = json.dumps(here.dirty()).encode()
        hostile = change(honest)
        assert hostile != honest
        here.serve(here.honest.and_then())
        here.write(hostile)

    return prepare


def extra(value: bytes) -> Prepare:
    """A member that nobody knows, with this text for its value."""
    return text(lambda data: data.replace(b'"dirty":', b'"later": ' + value + b', "dirty":', 1))


def remote(**parts: object) -> Prepare:
    """A plain git remote with these parts instead of the platform's."""

    def prepare(here: Place) -> None:
        document = here.clean()
        inner = document["repository"]
        inner.update(type="git", options={})
        inner["remote"].update(parts)
        here.write(document)

    return prepare


def url(text: str) -> Prepare:
    """A plain git repository with this URL as its option."""
    return put(("repository.type", "git"), ("repository.options", {"url": text}), clean=True)


def option(name: str, value: str) -> Prepare:
    """The platform with another value of an option."""

    def prepare(here: Place) -> None:
        document = here.clean()
        document["repository"]["options"][name] = value
        here.serve(here.honest.and_then())
        here.write(document)

    return prepare


def api_elsewhere(here: Place) -> None:
    """The token would go to another host, if it went where the manifest says."""
    document = here.clean()
    document["repository"]["options"]["apiUrl"] = here.world.forge.evil_url
    here.write(document)


def remote_elsewhere(here: Place) -> None:
    document = here.clean()
    port = int(here.world.forge.evil_url.rpartition(":")[2])
    document["repository"]["remote"].update(host="localhost", port=port)
    document["repository"]["options"].pop("apiUrl")
    here.write(document)


def local_remote(transport: str) -> Prepare:
    """The platform's own bare repository, past the platform."""

    def prepare(here: Place) -> None:
        document = here.clean()
        inner = document["repository"]
        inner.update(type="git", options={})
        inner["remote"] = {
            "transport": transport, "host": None, "port": None, "user": None, "path": str(here.world.repository.path),
        }  # fmt: skip
        here.write(document)

    return prepare


def helper(name: str, address: str) -> Prepare:
    """A remote helper, which git would run."""
    return remote(transport=f"helper:{name}", host=None, port=None, user=None, path=address)


def submodule(path: object, *, state: str = "absent", nested: int = 0) -> Prepare:
    """One more submodule at a path; `nested` of them in each other."""

    def prepare(here: Place) -> None:
        document = here.dirty()
        inner: Document = {"path": path, "commit": "1" * 40, "state": state, "repository": None, "code": None}
        for _ in range(nested):
            code = {**here.dirty()["code"], "submodules": [inner], "overlay": None, "base": None}
            inner = {"path": path, "commit": "1" * 40, "state": "fetched", "repository": None, "code": code}
        if state == "fetched" and not nested:
            inner.update(code=here.clean()["code"], repository=here.clean()["repository"])
        document["code"]["submodules"] = [inner]
        here.serve(here.honest.and_then())
        here.write(document)

    return prepare


def proof(path: str, make: Callable[[bytes], list[bytes]]) -> Prepare:
    """A part of the tree, with a proof made of what its true tree object would be."""

    def prepare(here: Place) -> None:
        document = here.dirty()
        trees = tree_objects([TreeEntry(b"docs/evil", FILE, b"1" * 20)], "sha1")
        document["code"]["subdirectory"] = {
            "path": path,
            "tree": trees[b"docs"][0].hex(),
            "proof": [base64.b64encode(each).decode() for each in make(trees[b""][1])],
        }
        here.serve(here.honest.and_then())
        here.write(document)

    return prepare


def base64_of(path: bytes) -> Document:
    return {"base64": base64.b64encode(path).decode()}


def special(**entry: object) -> Prepare:
    return put(("code.special", [entry]))


TEXTS: dict[str, Prepare] = {
    "nothing in it": text(lambda data: b""),
    "half of it": text(lambda data: data[: len(data) // 2]),
    "a shell script": text(lambda data: b"#!/bin/sh\ntouch /tmp/evil\n"),
    "a list": text(lambda data: b"[" + data + b"]"),
    "a byte that is no UTF-8": text(lambda data: data.replace(b'"code"', b'"c\xffde"', 1)),
    "a surrogate in UTF-8": extra(b'"\xed\xa0\x80"'),
    "UTF-16": text(lambda data: data.decode().encode("utf-16")),
    "a BOM": text(lambda data: b"\xef\xbb\xbf" + data),
    "a key twice": text(lambda data: data.replace(b'"dirty":', b'"dirty": false, "dirty":', 1)),
    "a key twice, once escaped": text(lambda data: data.replace(b'"dirty":', b'"d\\u0069rty": false, "dirty":', 1)),
    "NaN": extra(b"NaN"),
    "-Infinity": extra(b"-Infinity"),
    "1e999": extra(b"1e999"),
    "a lone surrogate": extra(b'"\\ud800"'),
    "a lone surrogate in a key": extra(b'{"\\udc00x": 1}'),
    "a number of 5,000 digits": extra(b"9" * 5000),
    "lists in lists, 100,000 deep": extra(b"[" * 100_000 + b"]" * 100_000),
    "lists in lists without an end": text(lambda data: b"[" * 4_000_000),
    "objects in objects, 65 deep": extra(b'{"a":' * 65 + b"1" + b"}" * 65),
    "more than 4 MiB": extra(b'"' + b"x" * (4 << 20) + b'"'),
    "a control character in a text": extra(b'"a\nb"'),
    "a comment": text(lambda data: b"// evil\n" + data),
    "a comma too many": text(lambda data: data[:-1] + b",}"),
    "a second document behind it": text(lambda data: data + data),
    "NUL behind it": text(lambda data: data + b"\0"),
    "another major version": put(("manifestVersion", "2.0")),
    "a version that is none": put(("manifestVersion", "1.0; rm -rf /")),
    "a version with zeros before it": put(("manifestVersion", "1.00")),
    "another schema": put(("$schema", "https://evil.example/schema.json")),
    "200,000 deletions": put(("code.overlay.deleted", ["a"] * 200_000)),
}

VALUES: dict[str, Prepare] = {
    "a size below 0": put(("code.overlay.size", -1)),
    "a size of 2^64": put(("code.overlay.size", 1 << 64)),
    "a size that is true": put(("code.overlay.size", True)),
    "a size with a fraction": put(("code.overlay.size", 1.5)),
    "a number of files that lies": put(("code.overlay.files", 7)),
    "a run id that is a path": put(("run.id", "../../outside/file")),
    "a time that there is not": put(("run.createdOn", "2026-02-30T00:00:00Z")),
    "a command with NUL": put(("run.command", [base64_of(b"a\0b")])),
    "a commit that is an option": put(("code.base.commit", f"--upload-pack={EVIL}")),
    "a short commit": put(("code.base.commit", "1" * 7)),
    "a commit in upper case": put(("code.base.commit", "A" * 40)),
    "a commit of the other hash": put(("code.base.commit", "1" * 64)),
    "a hash that there is not": put(("code.objectFormat", "md5")),
    "another tree": put(("code.snapshot.tree", "1" * 40), ("code.subdirectory.tree", "1" * 40)),
    "the tree of the base": put(("code.snapshot.tree", "1" * 40)),
    "no base, and no overlay": put(("code.base", None), ("code.overlay", None)),
    "no base, and deletions": put(("code.base", None)),
    "no repository": put(("repository", None)),
    "a published commit that there is not": put(("code.snapshot.commit", "1" * 40), ("code.overlay", None)),
    "a reference that is an option": put(("code.snapshot.ref", f"--upload-pack={EVIL}")),
    "a reference with a colon": put(("code.snapshot.ref", "refs/heads/main:refs/heads/evil")),
    "a reference with '..'": put(("code.snapshot.ref", "refs/../../x"), ("code.base.commit", "1" * 40)),
    "a branch that is an option": put(("code.head.branch", f"--upload-pack={EVIL}"), ("code.base.commit", "1" * 40)),
    "a branch with a line break": put(("code.head.branch", "main\nevil"), ("code.base.commit", "1" * 40)),
    "a branch with NUL": put(("code.head.branch", base64_of(b"main\0"))),
    # paths
    "a directory of the run outside": put(("run.directory", "../../..")),
    "a directory of the run that is absolute": put(("run.directory", "/etc")),
    "a part outside": proof("../docs", lambda tree: [tree, tree]),
    "a part without its proof": proof("docs", lambda tree: []),
    "a proof that lies": proof("docs", lambda tree: [tree]),
    "a proof that is no tree": proof("docs", lambda tree: [b"\0" * 100]),
    "a proof that is too long": proof("docs", lambda tree: [tree] * 100),
    "a scope outside": put(("code.scope", ["../outside"])),
    "a scope in .git": put(("code.scope", [".git/hooks"])),
    "what was left out, outside": put(("code.omitted", [{"path": "../x", "reason": "secret-name"}])),
    "a special path outside": special(path="../x", mode="100755"),
    "a special path outside, in base64": special(path=base64_of(b"../x"), mode="100755"),
    "a special path that is absolute": special(path="/bin/sh", mode="100755"),
    "a special path with NUL": special(path=base64_of(b"a\0b"), mode="100755"),
    "a special path with an empty part": special(path="a//b", mode="100755"),
    "a special target with NUL": special(path="a", mode="120000", target=base64_of(b"a\0b")),
    "a special setuid mode": special(path="a", mode="104755"),
    "a special target of a file": special(path="a", mode="100755", target="/etc/passwd"),
    "a path in base64 that is not canonical": special(path={"base64": "YR=="}, mode="100755"),
    "an empty path in base64": special(path={"base64": ""}, mode="100755"),
    "a submodule outside": submodule("../x"),
    "a submodule that is absolute": submodule("/tmp/evil"),
    "a submodule in .git": submodule(".git/modules"),
    "a submodule in .GIT": submodule("docs/.GIT"),
    "a submodule in the place of a folder": submodule("docs"),
    "a submodule in the place of a file": submodule("train.py"),
    "a submodule below a file": submodule("train.py/evil"),
    "a submodule that the tree does not have": submodule("lib"),
    "a submodule of another commit": submodule("lib", state="fetched"),
    "submodules in each other, 30 deep": submodule("lib", nested=30),
}

REPOSITORIES: dict[str, Prepare] = {
    "a secret's name as its name": put(("repository.name", "{{my.token}}")),
    "a secret's name in an option": option("owner", "{{my.token}}"),
    "a secret's name as an option": option("{{my.token}}", "x"),
    "a secret's name in a later field": put(("repository.later", {"x": ["{{my.token}}"]})),
    "a secret's name in the path": remote(path="/{{my.token}}/x"),
    "a secret's name in the path, in base64": remote(path=base64_of(b"/{{my.token}}/x")),
    "a token": option("token", "ghp_wrong0wrong0wrong0wrong0wrong0wrong0"),
    "an API on another host": api_elsewhere,
    "an API in plain http": option("apiUrl", "http://api.github.example"),
    "an API in a file": option("apiUrl", "file:///etc/passwd"),
    "an API with a password": option("apiUrl", "https://user:secret@127.0.0.1/api"),
    "an API with a line break": option("apiUrl", "https://127.0.0.1/\r\nHost: evil"),
    "an API that is no URL": option("apiUrl", "--output=/tmp/evil"),
    "an owner that is a path": option("owner", "../../user"),
    "an owner with a query": option("owner", "acme?x=1#"),
    "an owner with a line break": option("owner", "acme\r\nX-Evil: 1"),
    "a repository that is a path": option("repository", "../../../etc/passwd"),
    "an option with NUL": option("owner", "acme\0"),
    "another host": remote_elsewhere,
    "a file": local_remote("file"),
    "a local path": local_remote("local"),
    "ext::": helper("ext", f"sh -c '{EVIL}'"),
    "fd::": helper("fd", "17"),
    "a helper that is an option": helper("-x", "y"),
    "git://": remote(transport="git", host="127.0.0.1", port=1),
    "ftp://": remote(transport="ftp", host="127.0.0.1", port=1),
    "http://": remote(transport="http", host="git.example.org", port=None),
    "a transport that there is not": remote(transport="gopher"),
    "a host that is an option of ssh": remote(transport="ssh", host=f"-oProxyCommand={EVIL}", port=None),
    "a user that is an option of ssh": remote(transport="ssh", host="127.0.0.1", user="-lroot", port=None),
    "a path that is an option": remote(transport="ssh", host="127.0.0.1", path=f"--upload-pack={EVIL}"),
    "a path that runs a command": remote(transport="ssh", host="127.0.0.1", port=1, path=f"/x'; {EVIL}; '"),
    "a host with a line break": remote(host="127.0.0.1\nhost=evil"),
    "a host with an encoded line break": remote(host="127.0.0.1%0ahost=evil"),
    "a host with a user": remote(host="user:secret@127.0.0.1"),
    "a host with a slash": remote(host="evil/x"),
    "an empty host": remote(host=""),
    "no host": remote(host=None),
    "a port of 0": remote(port=0),
    "a port of 65,536": remote(port=65536),
    "a path with a line break": remote(path="/acme/widgets\nevil"),
    "a path with NUL": remote(path=base64_of(b"/acme/widgets\0")),
    "a path with '..'": remote(path="/acme/../../etc/passwd"),
    "a path with a query": remote(path="/acme/widgets?private_token=x"),
    "a URL that is an option": url(f"--upload-pack={EVIL}"),
    "a URL of ext::": url(f"ext::sh -c {EVIL}"),
    "a URL of a file": url("file:///etc"),
    "a URL of a path": url("/etc"),
    "a URL with a password": url("https://user:secret@127.0.0.1/x"),
    "a URL with a token": url("https://ghp_wrong0wrong0wrong0@127.0.0.1/x"),
    "a URL with a line break": url("https://127.0.0.1/x\nurl=evil"),
    "a URL of ssh with an option": url(f"ssh://-oProxyCommand={EVIL}/x"),
    "a platform that there is not": put(("repository.type", "evil")),
    "a class of one's own": put(("repository.type", "custom"), ("repository.source", "evil.Repository")),
    "a class of the standard library": put(("repository.type", "custom"), ("repository.source", "os.system")),
    "a class by its path": put(("repository.type", "custom"), ("repository.source", "../evil.py:Evil")),
    "a class that is none": put(("repository.type", "custom"), ("repository.source", "__import__('os')")),
    "a class for a known platform": put(("repository.type", "github"), ("repository.source", "evil.Repository")),
    "a custom platform without a class": put(("repository.type", "custom"), ("repository.source", None)),
}

# By any other way than the archive it comes without that API.
BY_ARCHIVE = frozenset(("an API on another host",))

MANIFESTS: dict[str, Prepare] = {**TEXTS, **VALUES, **REPOSITORIES}
