"""What else of a repository and a server is read on a runner: attributes, patterns, encodings, pointers, trees, tags,
and the answers of an LFS server. The first byte says as which of them the rest is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache

from git_coderepo.errors import InvalidManifest, InvalidObjectId, LfsPointerUnusable, UnexpectedAnswer
from git_coderepo.git.attributes.conversion import CHANGING, CLEANING, Conversion
from git_coderepo.git.attributes.encodings import Encoding
from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.attributes.wildmatch import Pattern, _Automaton, _expression
from git_coderepo.git.lfs_pointer import Pointer, read_pointer
from git_coderepo.git.objects import FILE, TreeEntry, tree_objects
from git_coderepo.manifest.invariants import _directory_in
from git_coderepo.platforms.git import GitRemote
from git_coderepo.platforms.lfs import Action, LfsServer
from git_coderepo.stores.published_commit import read_tag

PATHS = (b"a", b"a.py", b"docs/a", b"docs/sub/read me.txt", b"caf\xc3\xa9", b"\xff", b"[", b"docs/\n")


def one(data: bytes) -> None:
    """Read what follows the first byte."""
    READERS[data[0] % len(READERS) if data else 0](data[1:])


def _attributes(data: bytes) -> None:
    """A root's `.gitattributes`, a folder's, and a file's contents, parted by 0xFF 0xFE 0xFF."""
    root, _, rest = data.partition(b"\xff\xfe\xff")
    folder, _, contents = rest.partition(b"\xff\xfe\xff")
    attributes = Attributes({b"": root, b"docs": folder})
    few = {True: attributes.only(CLEANING), False: attributes.only(CHANGING)}
    named = attributes.names()
    for path in PATHS:
        found = attributes.of(path)
        assert named.issuperset(found)
        for cleaning, limited in few.items():
            names = CLEANING if cleaning else CHANGING
            kept = {name: value for name, value in limited.of(path).items() if name in names}
            assert kept == {name: value for name, value in found.items() if name in names}
        _conversion(Conversion(found), contents)


def _conversion(conversion: Conversion, contents: bytes) -> None:
    for there in (lambda: conversion.checked_out(contents, "1" * 40), lambda: conversion.checked_in(contents)):
        try:
            made = there()
        except UnicodeError:
            continue
        assert conversion.changes or conversion.cleans or made == contents
        assert len(made) <= 50 * len(contents) + 8, "a few bytes become many"


def _pattern(data: bytes) -> None:
    """A pattern and a path: the regular expression and the automaton are of one mind."""
    pattern, _, path = data.partition(b"\n")
    if pattern.startswith(b"!") or pattern.endswith(b"/"):
        return
    for directory in (b"", b"docs"):
        found = Pattern(directory, pattern)
        text = directory + b"/" + path if directory else path
        fits = found.matches(text, text.rpartition(b"/")[2])
        if found.plain is not None:
            is_path, plain = found.plain
            assert not fits or (text if is_path else text.rpartition(b"/")[2]) == plain
        tokens = found._tokens
        if tokens and len(path) * len(pattern) < 500 and sum(isinstance(token, str) for token in tokens) < 4:
            expected = _expression(tokens).fullmatch(path) is not None
            assert _Automaton(tokens).accepts(path) == expected


def _encoding(data: bytes) -> None:
    name, _, contents = data.partition(b"\n")
    encoding = Encoding(name)
    if not encoding.is_known:
        return
    try:
        encoded = encoding.encoded(contents)
    except UnicodeError:
        return
    try:
        assert encoding.decoded(encoded) == contents or not encoding.is_utf8
    except UnicodeError:
        pass  # what begins with a mark of its own


def _pointer(data: bytes) -> None:
    try:
        pointer = read_pointer(data, b"a\n\xff")
    except LfsPointerUnusable:
        return
    assert pointer is None or (pointer.encode() == data and 0 <= pointer.size < 1 << 53)


def _tree(data: bytes) -> None:
    """The rows of a tree object, and a name in it; the id that is found stands behind that very name."""
    name, _, contents = data.partition(b"\n")
    for length in (20, 32):
        found = _directory_in(contents, name, length)
        assert found is None or b"40000 " + name + b"\0" + found.raw in contents


def _tag(data: bytes) -> None:
    try:
        commit, manifest = read_tag(data)
    except (InvalidManifest, InvalidObjectId):
        return
    assert commit.hex.encode() in data and data.endswith(manifest)


def _answer(data: bytes) -> None:
    """An LFS server's answer: each object that was asked for has an action or a word."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(answer, dict):
        return
    asked = [Pointer("1" * 64, 12), Pointer("2" * 64, 1 << 40)]
    try:
        found = _server()._read(answer, asked)
    except UnexpectedAnswer:
        return
    assert set(found) == {each.oid for each in asked}
    for action in found.values():
        assert isinstance(action, Action) or (isinstance(action, str) and len(action) < 500)
        if isinstance(action, str):
            assert action.isprintable()


@cache
def _server() -> LfsServer:
    return LfsServer(GitRemote("origin", {"url": "https://git.invalid/acme/widgets.git"}), environment={})


READERS: tuple[Callable[[bytes], None], ...] = (_attributes, _pattern, _encoding, _pointer, _tree, _tag, _answer)


def seeds() -> Iterator[bytes]:
    """One or more of each kind, as git and git-lfs write them."""

    def seed(reader: Callable[[bytes], None], data: bytes) -> bytes:
        return bytes([READERS.index(reader)]) + data

    mark = b"\xff\xfe\xff"
    for line in (
        b"* text=auto eol=crlf\n*.py -text\n",
        b'*.txt ident\n"read me.txt" eol=lf\n',
        b"[attr]mine text -diff eol=crlf\na mine\n[attr]yours mine\n* !yours\n",
        b"docs/** working-tree-encoding=UTF-16LE-BOM\n",
        b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
        b'"\\303\\251\\"" crlf=input\n#x\n!a text\n[[:alpha:]]* text\n',
    ):
        yield seed(_attributes, line + mark + b"* eol=lf\n" + mark + b"$Id$\r\nx $Id: 1 $\n\xc3\xa9")
    for pattern, path in (
        (b"*.py", b"a.py"),
        (b"**/x", b"a/b/x"),
        (b"a/**/b", b"a/c/d/b"),
        (b"[!a-c[:digit:]]?\\*", b"zz*"),
        (b"/a/**", b"a/b"),
        (b"*a*b*c*", b"xaybzc"),
        (b"[]-]\\[", b"]["),
    ):
        yield seed(_pattern, pattern + b"\n" + path)
    for name in (
        b"UTF-16",
        b"utf-16le-bom",
        b"UTF-32BE",
        b"latin1",
        b"SHIFT-JIS",
        b"idna",
        b"../x",
        b"gb2312",
        b"zlib",
    ):
        yield seed(_encoding, name + b"\n" + "é日本\n".encode())
    pointer = Pointer("4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393", 12345)
    yield seed(_pointer, pointer.encode())
    yield seed(_pointer, pointer.encode().replace(b"oid", b"ext-0-x sha256:" + b"1" * 64 + b"\noid"))
    yield seed(_pointer, pointer.encode().replace(b"12345", b"-1"))
    trees = tree_objects([TreeEntry(b"a/x", FILE, b"1" * 20), TreeEntry(b"a-b", FILE, b"2" * 20)], "sha1")
    yield seed(_tree, b"a\n" + trees[b""][1])
    yield seed(_tag, b"object " + b"1" * 40 + b"\ntype commit\ntag x\ntagger x <x> 0 +0000\n\n{}")
    rows = [
        {"oid": "1" * 64, "size": 12, "actions": {"download": {"href": "https://x/y", "header": {"A": "b"}}}},
        {"oid": "2" * 64, "error": {"code": 404, "message": "no\x1b[2J"}},
    ]
    yield seed(_answer, json.dumps({"transfer": "basic", "objects": rows, "hash_algo": "sha256"}).encode())
    yield seed(_answer, json.dumps({"objects": [{"oid": "1" * 64, "actions": {"download": {"href": 1}}}]}).encode())
    yield seed(_answer, b'{"objects": [{"oid": "' + b"1" * 64 + b'", "error": {"code": {}, "message": []}}]}')
