"""What attributes make of a file is what git makes of it; `git checkout-index` and `git hash-object` are the judges."""

from __future__ import annotations

import encodings.aliases
import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_coderepo.fetching.convert_files import convert, stored
from git_coderepo.fetching.listing import Listing
from git_coderepo.fetching.verify import rehash
from git_coderepo.git.attributes.conversion import CHANGING, Conversion
from git_coderepo.git.attributes.encodings import CODECS, Encoding
from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.objects import blob_id
from tests.support.environment import clean_environment
from tests.support.repo import Repo


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    place = tmp_path_factory.mktemp("conversion")
    return Repo.init(place / "code", clean_environment(place / "home"))


def checked_out_by_git(repo: Repo, files: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The files that `git checkout-index` makes of these blobs, an empty work tree and no configuration given."""
    repo.git("read-tree", "--empty")
    repo.git("clean", "-qffdx")
    rows = b""
    for path, contents in files.items():
        id = repo.git("hash-object", "-w", "--no-filters", "--stdin", input=contents).strip()
        rows += b"100644 %b\t%b\0" % (id, path)
    repo.git("update-index", "-z", "--index-info", input=rows)
    repo.git("checkout-index", "-a", "-q")
    made = {}
    for path in files:
        with open(repo.file(path), "rb") as file:
            made[path] = file.read()
    return made


PIECES = [
    "a", "b c", "\n", "\r\n", "\r", "$Id$", "$Id: ", " $", "$", "$Id", "$Id:", "Id$", "\0", "\x01", "\x1a", "\x7f", "é",
    "\ufeff", "語", "\U0001f600", "x" * 130, "\t", "$Id: 0123456789 $", "$Id: a b $", "$Id:a b$", "$Id:$", "I",
]  # fmt: skip
CONTENTS = st.lists(st.sampled_from(PIECES), max_size=10).map(lambda pieces: "".join(pieces).encode())
BLOBS = st.one_of(CONTENTS, CONTENTS, st.tuples(CONTENTS, st.binary(max_size=3), CONTENTS).map(b"".join))
ENCODINGS = [
    "UTF-16", "utf16le-bom", "UTF-16LE", "UTF-16BE-BOM", "UTF-32", "utf8", "latin-1", "windows-1252", "SHIFT-JIS",
    "nope",
]  # fmt: skip
WORDS = [
    "text", "-text", "!text", "text=auto", "text=input", "text=foo", "eol=crlf", "eol=lf", "-eol", "eol", "crlf",
    "-crlf", "crlf=input", "crlf=auto", "ident", "-ident", "ident=x", "filter=absent", "binary",
    "working-tree-encoding=", *(f"working-tree-encoding={name}" for name in ENCODINGS),
]  # fmt: skip
STATES = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(files=st.lists(st.tuples(BLOBS, STATES), min_size=1, max_size=8))
@example(files=[(b"$$Id$ $Id:a b$ $Id$", "ident"), (b"$$Id$ $Id:a b$ $Id$", "ident text=auto")])
@example(files=[(b"a\r\nb\n", "text eol=crlf"), (b"a\r\nb\n", "text=auto eol=crlf"), (b"a\nb\n", "text=auto eol=crlf")])
@example(
    files=[(b"$Ida$Id: 0123456789 $", "ident"), (b"x$Ida$Id: 1 2 $", "ident"), (b"$Ida$Idb$Id:c$$Ida$Id$", "ident")]
)
@example(
    files=[(b"$Idab$Id:c$", "ident"), (b"$Ida$Id: c\n$", "ident"), (b"$Ida$I$Id:c$", "ident"), (b"$Ida$Id", "ident")]
)
@example(files=[(b"$Id\0\0$Id$$Id", "ident"), (b"a\n" * 200 + b"\x01\x01", "text=auto eol=crlf")])
@example(files=[("\ufeffa\n".encode(), f"working-tree-encoding={name}") for name in ("UTF-16", "UTF-16LE", "UTF-32")])
@example(
    files=[(b"\xff", "working-tree-encoding=UTF-16 eol=crlf"), (b"a\n\xff", "working-tree-encoding=UTF-16 eol=crlf")]
)
def test_any_blob_is_checked_out_as_git_does_it(repository: Repo, tmp_path_factory, files: list[tuple[bytes, str]]):
    """A runner's directory is the checkout, but for what is named as left: that has the blobs' own bytes."""
    lines = "".join(f"f{number} {states}\n" for number, (_, states) in enumerate(files)).encode()
    blobs = {b"f%d" % number: blob for number, (blob, _) in enumerate(files)}

    made = checked_out_by_git(repository, {b".gitattributes": lines, **blobs})

    attributes = Attributes({b"": lines})
    for path, blob in blobs.items():
        asked = attributes.of(path)
        conversion = Conversion(asked)
        id = repository.git("hash-object", "--no-filters", "--stdin", input=blob).decode().strip()
        try:
            ours = conversion.checked_out(blob, id)
        except UnicodeError:
            # git says so, and leaves the encoding away.
            conversion.encoding = None
            ours = conversion.checked_out(blob, id) if not conversion.ident else made[path]
        assert ours == made[path], (blob, asked)
        assert conversion.changes or ours == blob
        assert CHANGING & asked.keys() or ours == blob
        if made[path] != blob:
            assert conversion.changes

    directory = tmp_path_factory.mktemp("runner")
    tree = Listing()
    for path, blob in {b".gitattributes": lines, **blobs}.items():
        directory.joinpath(os.fsdecode(path)).write_bytes(blob)
        tree.directories[b""][path] = b"100644" + blob_id(blob, "sha1")
    converted = convert(directory, tree)
    left = {path for each in converted for path in each.left if each.kind != "filter"}
    for path, blob in blobs.items():
        there = directory.joinpath(os.fsdecode(path)).read_bytes()
        assert there == (blob if path in left else made[path])
    # Each of them is found to be its blob again.
    found = stored(directory, rehash(directory, "sha1"), "sha1")
    for path, blob in blobs.items():
        there = directory.joinpath(os.fsdecode(path)).read_bytes()
        assert there == blob or found[path] == blob_id(blob, "sha1")


@settings(max_examples=30, deadline=None)
@given(files=st.lists(st.tuples(BLOBS, STATES), min_size=1, max_size=4))
def test_any_file_is_checked_in_as_git_does_it(repository: Repo, files: list[tuple[bytes, str]]):
    """Files as a checkout makes them, and files that nobody made so."""
    repository.git("read-tree", "--empty")
    lines = "".join(f"f{number} {states}\n" for number, (_, states) in enumerate(files)).encode()
    repository.write(b".gitattributes", lines)
    for number, (contents, _) in enumerate(files):
        conversion = Conversion(Attributes({b"": lines}).of(b"f%d" % number))
        if conversion.encoding is not None and conversion.encoding.name.upper() == "UTF-16BE-BOM":
            continue  # git writes it, and cannot read it again
        variants = [contents]
        try:
            variants.append(conversion.checked_out(contents, "0" * 40))
        except UnicodeError:
            pass
        for variant in variants:
            try:
                blob = conversion.checked_in(variant)
            except UnicodeError:
                continue  # git refuses it, or an encoding that is not known here
            said = repository.git("hash-object", "--stdin", f"--path=f{number}", input=variant).strip()
            ours = repository.git("hash-object", "--no-filters", "--stdin", input=blob).strip()
            assert ours == said, (variant, conversion.lines, conversion.encoding)


@pytest.mark.slow
def test_every_encoding_writes_what_iconv_writes():
    """For each character of the basic plane, and some above; every name under which Python knows the codec."""
    names = {alias.replace("_", "-") for alias in encodings.aliases.aliases}
    characters = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000] + ["\U00010348", "\U0001f600"]
    text = "\n".join(characters)
    compared = set()
    for name in sorted(names):
        encoding = Encoding(name.encode())
        if not encoding.is_known:
            continue
        codec = encoding._codec or ""
        writable = text.encode(codec, "ignore").decode(codec).encode()
        done = subprocess.run(["iconv", "-f", "UTF-8", "-t", name], input=writable, capture_output=True)
        if b"not supported" in done.stderr or b"failed to start" in done.stderr:
            continue  # a name that only Python knows
        assert done.returncode == 0, (name, done.stderr)
        assert encoding.encoded(writable) == done.stdout, name
        assert encoding.decoded(done.stdout) == writable, name
        compared.add(codec)
    assert compared >= CODECS | {"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"}
