"""The tar reader takes what `git archive` makes, and nothing that somebody made up to get out of the target."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import CodeRepoError, DownloadDamaged, UnsafeTree
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.sources.tar_reader import TarReader, entries
from git_coderepo.filesystem.paths import check_path
from git_coderepo.git.objects import DIRECTORY, EXECUTABLE, FILE, SYMLINK
from tests.raw_tar import END, archive, directory, file, gzipped, header, link, pax, raw_pax, record, zeros_gzipped
from tests.support.repo import Repo, run_git


class Dribble:
    """A stream that gives `at_once` bytes at a time, as a slow network does."""

    def __init__(self, data: bytes, at_once: int) -> None:
        self._data = io.BytesIO(data)
        self._at_once = at_once

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, self._at_once))


def read(data: bytes, *, top: bool = False, limits: Limits | None = None) -> list[tuple[bytes, int, bytes]]:
    reader = entries(io.BytesIO(data), top_directory=top, limits=limits)
    return [(entry.path, entry.mode, entry.read()) for entry in reader]


# --- what an honest archive holds ----------------------------------------------------------------


def test_files_modes_links_and_directories_come_as_git_has_them():
    tar = archive(
        file(b"plain.txt", b"hello\n", mode=0o664),
        file(b"run me.sh", b"#!/bin/sh\n", mode=0o775),
        directory(b"lib/"),
        link(b"latest", b"v2/\xff"),
        file(b"empty"),
        file(b"old", b"x", kind=b"\0"),
    )
    expected = [
        (b"plain.txt", FILE, b"hello\n"),
        (b"run me.sh", EXECUTABLE, b"#!/bin/sh\n"),
        (b"lib", DIRECTORY, b""),
        (b"latest", SYMLINK, b"v2/\xff"),
        (b"empty", FILE, b""),
        (b"old", FILE, b"x"),
    ]
    assert read(tar) == expected
    assert read(gzipped(tar)) == expected
    assert read(gzipped(tar[:700]) + gzipped(tar[700:])) == expected, "gzip members that follow one another are one"


def test_what_git_archive_writes_is_read_whole_with_its_commit(repo: Repo):
    long = b"d" * 120 + b"/" + b"e" * 120 + b"/" + b"n" * 250
    repo.write(b"a file\nwith a newline", "1")
    repo.write(b"non-utf8-\xff\xfe", "2")
    repo.write(b"-rf", "3", mode=0o755)
    repo.write(long, "4")
    repo.write(b"big.bin", bytes(range(256)) * 9000)
    repo.symlink(b"link", b"x" * 300)
    commit = repo.commit()
    data = repo.git("archive", "--format=tar.gz", "--prefix=widgets-1234567/", "HEAD")

    for at_once in (1 << 20, 4099, 100):
        reader = entries(Dribble(data, at_once), top_directory=True)
        found = {entry.path: (entry.mode, entry.read()) for entry in reader if entry.mode != DIRECTORY}
        assert reader.comment == commit.encode()
        assert found == {
            b"a file\nwith a newline": (FILE, b"1"),
            b"non-utf8-\xff\xfe": (FILE, b"2"),
            b"-rf": (EXECUTABLE, b"3"),
            long: (FILE, b"4"),
            b"big.bin": (FILE, bytes(range(256)) * 9000),
            b"link": (SYMLINK, b"x" * 300),
        }


def test_a_submodule_is_an_empty_directory_in_an_archive(repo: Repo):
    repo.write("a", "1")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'12' * 20},vendored lib")
    repo.git("add", "a")
    repo.git("commit", "--quiet", "-m", "c")
    found = [(path, mode) for path, mode, _ in read(repo.git("archive", "--prefix=top/", "HEAD"), top=True)]
    assert sorted(found) == [(b"a", FILE), (b"vendored lib", DIRECTORY)]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_other_tools_with_long_names_are_read(format: int):
    long, target = "d" * 90 + "/" + "ü" * 120, "t" * 200
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=format) as tar:
        info = tarfile.TarInfo(long)
        info.size = 5
        info.mtime = 1.5  # pax keeps the fraction
        tar.addfile(info, io.BytesIO(b"hello"))
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, target
        tar.addfile(info)
    assert read(memory.getvalue()) == [(long.encode(), FILE, b"hello"), (b"link", SYMLINK, target.encode())]


def test_gnu_writes_large_sizes_in_base_256_and_pax_writes_them_as_decimals():
    base256 = b"\x80" + (5).to_bytes(11, "big")
    assert read(archive(header(b"a", size_field=base256) + b"hello".ljust(512, b"\0"))) == [(b"a", FILE, b"hello")]
    overridden = pax({b"size": b"5"}) + header(b"a", size=0) + b"hello".ljust(512, b"\0")
    assert read(archive(overridden, file(b"b"))) == [(b"a", FILE, b"hello"), (b"b", FILE, b"")]


def test_the_ustar_prefix_is_put_before_the_name():
    assert read(archive(file(b"name", b"1", prefix=b"some/folder"))) == [(b"some/folder/name", FILE, b"1")]


def test_an_archive_of_an_empty_tree_has_nothing():
    assert read(END) == []
    assert read(archive(pax({b"comment": b"1" * 40}, kind=b"g"), directory(b"top/")), top=True) == []


def test_contents_that_nobody_reads_are_passed_over():
    big = bytes(3 << 20)
    tar = gzipped(archive(file(b"a", b"1"), file(b"big", big), file(b"z", b"2")))
    assert [entry.path for entry in TarReader(io.BytesIO(tar), top_directory=False)] == [b"a", b"big", b"z"]
    reader = TarReader(io.BytesIO(tar), top_directory=False)
    next(reader)
    pieces = next(reader).chunks()
    assert next(pieces)
    assert next(reader).read() == b"2"
    with pytest.raises(RuntimeError):
        next(pieces)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from /proc")
def test_a_large_file_streams_in_little_memory(tmp_path: Path):
    """Z3: no size of a file makes it come out empty, and none makes the runner grow."""
    tar = tmp_path / "huge.tar.gz"
    size = 300 << 20
    tar.write_bytes(zeros_gzipped(header(b"huge", size=size), size + 1024))
    program = (
        "import sys\n"
        "from git_coderepo.fetching.sources.tar_reader import TarReader\n"
        "with open(sys.argv[1], 'rb') as stream:\n"
        "    total = sum(len(piece) for entry in TarReader(stream, top_directory=False) for piece in entry.chunks())\n"
        "with open('/proc/self/status') as status:\n"
        "    print(total, next(line.split()[1] for line in status if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tar)], capture_output=True, check=True)
    total, peak = map(int, done.stdout.split())
    assert total == size
    assert peak < 40 << 10, "KiB"


# --- the top directory ----------------------------------------------------------------------------


def test_the_top_directory_is_taken_off_whatever_it_is_called():
    tar = archive(directory(b"acme-widgets-1234567/"), file(b"acme-widgets-1234567/a", b"1"))
    assert read(tar, top=True) == [(b"a", FILE, b"1")]


@pytest.mark.parametrize(
    "members",
    [
        [file(b"top/a"), file(b"other/b")],
        [file(b"top/a"), file(b"b")],
        [file(b"a")],
        [file(b"top/a"), file(b"topmost/b")],
        [directory(b"top/"), directory(b"other/")],
        [file(b"../a")],
        [file(b".git/a")],
        [file(b"top/../../a")],
        [file(b"top/a"), file(b"top")],
        [link(b"top", b"/tmp"), file(b"top/a")],
    ],
)
def test_what_is_not_below_the_one_top_directory_is_refused(members: list[bytes]):
    with pytest.raises(UnsafeTree):
        read(archive(*members), top=True)


# --- adversaries ---------------------------------------------------------------------------------

UNSAFE = {
    "traversal": [file(b"../evil")],
    "traversal in the middle": [file(b"a/../../evil")],
    "dot": [file(b"./a")],
    "absolute": [file(b"/etc/evil")],
    "absolute by prefix": [file(b"evil", prefix=b"/etc")],
    "empty part": [file(b"a//b")],
    "a file named as a directory": [file(b"a/")],
    "empty name": [file(b"")],
    ".git": [file(b".git/hooks/post-checkout")],
    ".git alone": [file(b".git")],
    ".GIT": [file(b"a/.GIT/config")],
    "git~1": [file(b"GIT~1/config")],
    ".git with dots and spaces": [file(b".git. ./config")],
    ".git as a stream": [file(b".git::$INDEX_ALLOCATION/config")],
    ".git with an ignorable code point": [file(".g\u200cit/config".encode())],
    ".git behind a backslash": [file(b"a\\.git\\config")],
    ".git by a link": [link(b".git", b"/tmp/evil")],
    ".git as a directory": [directory(b".git/")],
    ".gitmodules as a link": [link(b".gitmodules", b"x")],
    ".gitmodules as a link by its short name": [link(b"GI7EBA~1", b"x")],
    "hard link": [header(b"a", kind=b"1", link=b"/etc/passwd")],
    "hard link with contents": [header(b"a", kind=b"1", link=b"b", size=1) + bytes(512)],
    "character device": [header(b"null", kind=b"3")],
    "block device": [header(b"sda", kind=b"4")],
    "pipe": [header(b"pipe", kind=b"6")],
    "contiguous file": [file(b"a", kind=b"7")],
    "old GNU sparse": [file(b"a", kind=b"S")],
    "pax sparse": [pax({b"GNU.sparse.major": b"1"}), file(b"a")],
    "pax sparse for all": [pax({b"GNU.sparse.major": b"1"}, kind=b"g"), file(b"a")],
    "multi-volume": [file(b"a", kind=b"M")],
    "unknown type": [file(b"a", kind=b"Z")],
    "NUL in a name": [header(b"a\0b")],
    "NUL in a pax name": [pax({b"path": b"a\0b"}), file(b"a")],
    "a pax path that traverses": [pax({b"path": b"../evil"}), file(b"harmless")],
    "a GNU path that traverses": [file(b"././@LongLink", b"../evil\0", kind=b"L"), file(b"harmless")],
    "one path for all": [pax({b"path": b"a"}, kind=b"g"), file(b"b")],
    "one size for all": [pax({b"size": b"0"}, kind=b"g"), file(b"b", b"1")],
    "one target for all": [pax({b"linkpath": b"/etc"}, kind=b"g"), link(b"b", b"c")],
    "a pax size beyond measure": [pax({b"size": b"9" * 19}), header(b"a")],
    "a base-256 size beyond measure": [header(b"a", size_field=b"\x80" + b"\xff" * 11)],
    "an extended header beyond measure": [header(b"x", kind=b"x", size=1 << 30)],
    "extended headers without an end": [pax({b"comment": b"x"}, kind=b"g")] * 20 + [file(b"a")],
    "a path beyond measure": [pax({b"path": b"a/" * 40_000 + b"a"}), file(b"a")],
}


@pytest.mark.parametrize("members", UNSAFE.values(), ids=UNSAFE.keys())
def test_an_archive_that_tries_something_is_refused(members: list[bytes]):
    for tar in (archive(*members), gzipped(archive(file(b"before"), *members))):
        with pytest.raises(UnsafeTree):
            read(tar)


DAMAGED = {
    "empty": b"",
    "one byte": b"\x1f",
    "a web page": b"<!DOCTYPE html><title>Sign in</title>" + b" " * 2000,
    "a short web page": b"<html>no such commit</html>",
    "a zip": b"PK\x03\x04" + bytes(2000),
    "gzip of a web page": gzipped(b"<html>" * 1000),
    "wrong checksum": archive(header(b"a", checksum=1)),
    "no magic": archive(header(b"a", magic=b"\0" * 8)),
    "no end": file(b"a", b"1"),
    "one end block": file(b"a", b"1") + bytes(512),
    "an end block in the middle": archive(file(b"a"), bytes(512), file(b"b")),
    "something after the end": archive(file(b"a")) + b"evil",
    "a further archive after the end": archive(file(b"a")) + archive(file(b"b")),
    "an entry announced and not given": archive(pax({b"path": b"a"})),
    "a link with contents": archive(header(b"a", kind=b"2", link=b"b", size=3) + bytes(512)),
    "a directory with contents": archive(header(b"a/", kind=b"5", size=3) + bytes(512)),
    "a size that is no number": archive(header(b"a", size_field=b"0000000000x\0")),
    "a negative size": archive(header(b"a", size_field=b"-0000000001\0")),
    "a size with underscores": archive(header(b"a", size_field=b"0000_0000_1\0")),
    "a size with an 8": archive(header(b"a", size_field=b"00000000008\0")),
    "a negative pax size": archive(pax({b"size": b"-1"}), file(b"a")),
    "a pax record that is too long": archive(raw_pax(b"99 path=a\n"), file(b"a")),
    "a pax record that is too short": archive(raw_pax(b"5 path=a\n"), file(b"a")),
    "a pax record of length 0": archive(raw_pax(b"0 path=a\n"), file(b"a")),
    "a pax record without a length": archive(raw_pax(b"path=a\n"), file(b"a")),
    "a pax record without a key": archive(raw_pax(record(b"", b"x")), file(b"a")),
    "a pax record without a value": archive(raw_pax(b"8 path2\n"), file(b"a")),
    "a pax record with a negative length": archive(raw_pax(b"-9 path=a\n"), file(b"a")),
    "a pax record with a huge length": archive(raw_pax(b"9" * 400 + b" path=a\n"), file(b"a")),
    "gzip with garbage after it": gzipped(archive(file(b"a"))) + b"garbage",
    "gzip with NULs after it": gzipped(archive(file(b"a"))) + bytes(100),
    "gzip cut off in its checksum": gzipped(archive(file(b"a")))[:-1],
    "gzip with a wrong checksum": gzipped(archive(file(b"a")))[:-8] + b"\1\2\3\4" + gzipped(archive(file(b"a")))[-4:],
    "gzip with a wrong length": gzipped(archive(file(b"a")))[:-4] + b"\1\2\3\4",
    "gzip header only": b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_bytes_that_are_no_whole_archive_are_refused(data: bytes):
    with pytest.raises(DownloadDamaged):
        read(data)


def test_an_archive_cut_off_anywhere_is_refused():
    tar = archive(
        pax({b"comment": b"1" * 40}, kind=b"g"),
        directory(b"top/"),
        pax({b"path": b"top/" + b"n" * 150}),
        file(b"top/n", b"x" * 700),
        link(b"top/l", b"target"),
        file(b"top/z", b"1"),
    )
    assert len(read(tar, top=True)) == 3
    for length in range(0, len(tar), 512):
        with pytest.raises(DownloadDamaged):
            read(tar[:length], top=True)
        with pytest.raises(DownloadDamaged):
            read(gzipped(tar[:length]), top=True)
    packed = gzipped(tar)
    for length in range(len(packed)):
        with pytest.raises(DownloadDamaged):
            read(packed[:length], top=True)


@pytest.mark.slow
def test_a_bomb_is_stopped_by_its_first_bytes_too_many():
    limits = Limits(bytes=10 << 20)
    bomb = zeros_gzipped(header(b"bomb", size=64 << 20), 64 << 20)
    assert len(bomb) < 100_000
    with pytest.raises(UnsafeTree, match="more than 10485760 bytes"):
        read(bomb, limits=limits)
    with pytest.raises(UnsafeTree, match="more than 10485760 bytes"):
        read(zeros_gzipped(END, 64 << 20), limits=limits)


def test_millions_of_entries_are_stopped_at_the_limit():
    tar = gzipped(archive(*[file(b"f%d" % number) for number in range(300)]))
    assert len(read(tar, limits=Limits(entries=300))) == 300
    with pytest.raises(UnsafeTree, match="more than 299 entries"):
        read(tar, limits=Limits(entries=299))
    tops = archive(*[directory(b"top/")] * 300)
    with pytest.raises(UnsafeTree, match="more than 299 entries"):
        read(tops, top=True, limits=Limits(entries=299))


def test_gzip_members_without_measure_are_refused():
    empty = gzipped(b"")
    with pytest.raises(UnsafeTree, match="gzip members"):
        read(empty * 10_000 + gzipped(archive(file(b"a"))))


def test_messages_cannot_steer_a_terminal():
    with pytest.raises(UnsafeTree) as refused:
        read(archive(file(b"../\x1b[2J\r\n\xe2\x80\xae\xff")))
    assert refused.value.message.isprintable()


HONEST = archive(
    pax({b"comment": b"1" * 40}, kind=b"g"),
    directory(b"top/"),
    file(b"top/a.py", b"print(1)\n" * 40),
    pax({b"path": b"top/" + b"n" * 150, b"mtime": b"1.5"}),
    file(b"top/n", b"x" * 100, mode=0o755),
    link(b"top/link", b"a.py"),
    pax({b"linkpath": b"t" * 150}),
    link(b"top/long", b"t"),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bytes_end_in_a_word_of_ours_or_in_entries_with_safe_paths(data: st.DataObject):
    tar = bytearray(HONEST)
    packed = data.draw(st.booleans())
    if packed:
        tar = bytearray(gzipped(HONEST))
    for _ in range(data.draw(st.integers(1, 4))):
        tar[data.draw(st.integers(0, len(tar) - 1))] = data.draw(st.integers(0, 255))
    # Headers whose checksums were made right again reach further in.
    if not packed and data.draw(st.booleans()):
        for start in range(0, len(tar) - 1024, 512):
            if tar[start + 257 : start + 262] == b"ustar":
                block = bytes(tar[start : start + 512])
                tar[start + 148 : start + 156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    try:
        found = read(bytes(tar), top=data.draw(st.booleans()))
    except CodeRepoError:
        return
    for path, mode, _ in found:
        check_path(path, is_link=mode == SYMLINK)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.booleans())
def test_noise_ends_in_a_word_of_ours(noise: bytes, packed: bool):
    with pytest.raises(CodeRepoError):
        read(gzip.compress(noise) if packed else noise + b"!")


# --- paths, held against git's own rules ---------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from(
        [
            b".git",
            b".GIT",
            b".gIt",
            b"git~1",
            b"GIT~1",
            b"git~2",
            b".gitmodules",
            b".GITMODULES",
            b"gitmod~1",
            b"gitmod~5",
        ]
        + [
            b"gi7eba~1",
            b"gi7e~123",
            b"~1234567",
            b"gi7eb~10",
            b"gi7eba~0",
            b"GI7D29~1",
            b".git ",
            b".git.",
            b".git. . ",
        ]
        + [
            b".git::$INDEX_ALLOCATION",
            b".git:x",
            b".gitmodules:x",
            b".gitmodules ",
            b".git\\x",
            b"x\\.git",
            b"x\\git~1\\y",
        ]
        + [
            b"..",
            b".",
            b"",
            b"...",
            b".gitignore",
            b".github",
            b"git",
            b"a",
            b"\xff",
            b".git\xff",
            b".gi\xfft",
            b"x.git",
        ]
        + [
            ".g\u200cit".encode(),
            "\ufeff.git".encode(),
            ".git\u206f".encode(),
            ".gitmod\u202eules".encode(),
            b".\xe2\x80git",
        ]
        + [".g\u0131t".encode(), ".G\u0130T".encode(), ".git\u00e9".encode(), b"\xed\xa0\x80.git", b".git\xef\xbf\xbf"]
    ),
    st.text(st.sampled_from(".gitGIT~1 :\\modules\u200d\u206a\ufeffx7eba"), max_size=12).map(str.encode),
    st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name and b"/" not in name),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@example([(b".gitmodules:x/gi7eba~0", True), (b".gitmodules/x", True), (b"a\\gitmod~1 :s/x", True)])
@given(
    st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3).map(b"/".join), st.booleans()), min_size=8, max_size=8)
)
def test_a_path_is_refused_just_when_git_refuses_it_somewhere(tmp_path_factory: pytest.TempPathFactory, paths):
    repo = _scratch(tmp_path_factory)
    for path, is_link in paths:
        mode = SYMLINK if is_link else FILE
        row = b"%o %b\t%b\0" % (mode, b"1" * 40, path)
        index = ("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true", "update-index", "-z", "--index-info")
        repo.git("read-tree", "--empty")
        run_git(*index, cwd=repo.path, env=repo.env, input=row, check=False)
        taken = repo.git("ls-files", "-z") == path + b"\0"
        try:
            check_path(path, is_link=mode == SYMLINK)
        except UnsafeTree:
            assert not taken, f"git takes {path!r} ({mode:o})"
        else:
            assert taken, f"git refuses {path!r} ({mode:o})"


_SCRATCH: list[Repo] = []


def _scratch(factory: pytest.TempPathFactory) -> Repo:
    if not _SCRATCH:
        from tests.support.environment import clean_environment

        place = factory.mktemp("index")
        _SCRATCH.append(Repo.init(place / "repo", clean_environment(place / "home")))
    return _SCRATCH[0]


def test_ordinary_paths_pass():
    for path in (
        b"a",
        b"src/\xff",
        b".github/x",
        b"a\\b",
        b"...",
        b"-rf",
        b"a b\nc",
        "ü/\u200c".encode(),
        b"x" * 4000,
        b"CON",
    ):
        check_path(path)
        check_path(path, is_link=True)
