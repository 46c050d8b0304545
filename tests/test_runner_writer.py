"""The writer: what git would have checked out, proved by the id that git gives it, and not a byte outside."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import CodeRepoError, DownloadDamaged, InvalidManifest, TargetUnusable, UnsafeTree
from git_coderepo.fetching.entries import Entry
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.sources.tar_reader import TarReader
from git_coderepo.fetching.writer import TreeWriter, WrittenTree
from git_coderepo.git.objects import DIRECTORY, EXECUTABLE, FILE, GITLINK, SYMLINK, blob_id
from tests.raw_tar import archive, directory, everything_below, file, gzipped, link, pax
from tests.support.environment import clean_environment
from tests.support.repo import Repo, tree_of

COMMIT = bytes.fromhex("12" * 20)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty directory, with a neighbour that nobody may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("precious")
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def entry(path: bytes, data: bytes = b"", mode: int = FILE) -> Entry:
    return Entry(path, mode, len(data), data)


def write(target: Path, *entries: Entry, **options: object) -> WrittenTree:
    with TreeWriter(str(target), **options) as writer:  # type: ignore[arg-type]
        for each in entries:
            writer.add(each)
        return writer.finish()


def write_tar(target: Path, data: bytes, *, top: bool = False) -> WrittenTree:
    with TreeWriter(str(target)) as writer:
        for each in TarReader(io.BytesIO(data), top_directory=top):
            writer.add(each)
        return writer.finish()


# --- what comes out is what git has ---------------------------------------------------------------


@pytest.mark.slow
def test_an_archive_becomes_the_tree_that_git_has(repo: Repo, target: Path, env: dict[str, str]):
    """Z2: exec bits and links come out as such. Z6: names of any bytes."""
    repo.write("README.md", "hello\n")
    repo.write("bin/run me.sh", "#!/bin/sh\n", mode=0o755)
    repo.write(b"src/non-utf8-\xff.py", "x = 1\n")
    repo.write(b"src/new\nline", "2")
    repo.write(b"-rf", "3")
    repo.write(b"n" * 250, "4")
    repo.write("empty", b"")
    repo.write("large.bin", os.urandom(3 << 20))
    repo.symlink("latest", "src")
    repo.symlink("dangling", b"no/such/\xff")
    repo.commit()
    written = write_tar(target, repo.git("archive", "--format=tar.gz", "--prefix=t/", "HEAD"), top=True)
    assert written.tree.hex == repo.tree() == tree_of(target, env)
    assert written.files == 10
    assert written.outside_links == ()
    assert os.readlink(os.fsencode(target) + b"/dangling") == b"no/such/\xff"
    assert stat.S_IMODE((target / "bin" / "run me.sh").stat().st_mode) & 0o111
    listed = repo.git("ls-tree", "-r", "-z", "HEAD").split(b"\0")[:-1]
    expected = {row.split(b"\t", 1)[1]: row.split(b" ") for row in listed}
    assert {path: (b"%06o" % mode, id.hex().encode()) for path, (mode, id) in written.entries.items()} == {
        path: (facts[0], facts[2].split(b"\t")[0]) for path, facts in expected.items()
    }


def test_sha256_repositories_are_proved_by_their_own_ids(tmp_path: Path, target: Path, env: dict[str, str]):
    repo = Repo.init(tmp_path / "sha256", env, object_format="sha256")
    repo.write("a/b", "1")
    repo.symlink("l", "a")
    repo.commit()
    with TreeWriter(str(target), object_format="sha256") as writer:
        for each in TarReader(io.BytesIO(repo.git("archive", "HEAD")), top_directory=False):
            writer.add(each)
        assert writer.base_tree({}).hex == repo.tree()


def test_modes_are_the_umasks_and_times_are_now(target: Path):
    before = time.time() - 2
    old = os.umask(0o027)
    try:
        write(target, entry(b"plain"), entry(b"run", mode=EXECUTABLE), entry(b"d/x"))
    finally:
        os.umask(old)
    assert stat.S_IMODE((target / "plain").stat().st_mode) == 0o640
    assert stat.S_IMODE((target / "run").stat().st_mode) == 0o750
    assert stat.S_IMODE((target / "d").stat().st_mode) == 0o750
    assert (target / "plain").stat().st_mtime >= before


def test_an_empty_tree_is_an_empty_directory(target: Path):
    written = write(target)
    assert written.tree.hex == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert written.files == 0
    assert list(target.iterdir()) == []
    assert write(target, entry(b"a/b", mode=DIRECTORY)).tree == written.tree
    assert list(target.iterdir()) == []


def test_a_submodule_counts_in_the_tree_and_is_an_empty_directory(repo: Repo, target: Path):
    repo.write("a", "1")
    repo.git("add", "a")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{COMMIT.hex()},vendor/lib")
    repo.git("commit", "--quiet", "-m", "c")
    with TreeWriter(str(target)) as writer:
        for each in TarReader(io.BytesIO(repo.git("archive", "HEAD")), top_directory=False):
            writer.add(each)
        assert writer.base_tree({b"vendor/lib": COMMIT}).hex == repo.line("rev-parse", "HEAD^{tree}")
        written = writer.finish()
    assert written.tree.hex == repo.line("rev-parse", "HEAD^{tree}")
    assert written.entries[b"vendor/lib"] == (GITLINK, COMMIT)
    assert written.files == 1
    assert list((target / "vendor" / "lib").iterdir()) == []


@pytest.mark.slow
def test_paths_longer_than_the_system_takes_come_out(target: Path):
    """A thousand directories deep, 5,000 bytes long: every step goes below the one before."""
    deep = b"/".join([b"d%03d" % number for number in range(1000)])
    wide = b"/".join([b"w" * 250] * 30)
    written = write(
        target, entry(deep + b"/f", b"1"), entry(wide + b"/l", b"target", SYMLINK), entry(deep[:2500] + b"x", b"2")
    )
    assert written.files == 3
    here = os.open(target, os.O_RDONLY)
    for part in deep.split(b"/"):
        below = os.open(part, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=here)
        os.close(here)
        here = below
    found = os.open(b"f", os.O_RDONLY, dir_fd=here)
    assert os.read(found, 10) == b"1"
    os.close(found)
    os.close(here)
    subprocess.run(["rm", "-rf", target], check=True)


def test_a_large_file_comes_in_pieces_that_must_add_up(target: Path):
    def pieces(*sizes: int) -> Iterator[bytes]:
        return (bytes(size) for size in sizes)

    written = write(target, Entry(b"a", FILE, 5, lambda: pieces(2, 0, 3)))
    assert (target / "a").read_bytes() == bytes(5)
    assert written.entries[b"a"] == (FILE, blob_id(bytes(5), "sha1"))
    for number, sizes in enumerate([(2, 2), (2, 4), ()]):
        with pytest.raises(DownloadDamaged):
            write(target, Entry(b"b%d" % number, FILE, 5, partial(pieces, *sizes)))
    with pytest.raises(DownloadDamaged):
        write(target, Entry(b"c", FILE, 5, b"1234"))


def test_what_the_network_says_while_a_file_streams_is_not_blamed_on_the_disk(target: Path):
    def broken() -> Iterator[bytes]:
        yield b"1"
        raise ConnectionResetError("reset by peer")

    with pytest.raises(ConnectionResetError):
        write(target, Entry(b"a", FILE, 5, broken))


# --- random trees, there and back -----------------------------------------------------------------

SEGMENTS = st.one_of(
    st.sampled_from(
        [b"a", b"b", b"a.b", b"a-", b"a0", b"A", b" ", b"-x", b"new\nline", b"\xff\xfe", "é".encode(), b"s" * 250]
    ),
    st.binary(min_size=1, max_size=5).filter(lambda name: not set(name) & {0, 0x2F} and name.strip(b". ") != b""),
).filter(lambda name: b".git" not in name.lower() and not name.lower().startswith(b"git~"))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map(b"/".join)
CONTENTS = st.tuples(st.sampled_from([FILE, FILE, EXECUTABLE, SYMLINK]), st.binary(min_size=1, max_size=40))
TREES = st.dictionaries(PATHS, CONTENTS, max_size=12).map(lambda tree: _without_conflicts(tree))


def _without_conflicts(tree: Mapping[bytes, tuple[int, bytes]]) -> dict[bytes, tuple[int, bytes]]:
    return {
        path: (mode, data.replace(b"\0", b"0") if mode == SYMLINK else data)
        for path, (mode, data) in tree.items()
        if not any(other.startswith(path + b"/") for other in tree)
    }


class GitTrees:
    """Puts trees into a repository without any work tree, and takes archives of them."""

    def __init__(self, place: Path) -> None:
        self.env = clean_environment(place / "home")
        self.repo = Repo.init(place / "repo", self.env, bare=True)
        self.place = place

    def tree(self, tree: Mapping[bytes, tuple[int, bytes]]) -> str:
        stream = b"".join(
            b"blob\nmark :%d\ndata %d\n%b\n" % (n, len(d), d) for n, (_, d) in enumerate(tree.values(), 1)
        )
        stream += b"commit refs/heads/x\ncommitter A <a@b> 1 +0000\ndata 0\ndeleteall\n"
        for number, (path, (mode, _)) in enumerate(tree.items(), 1):
            quoted = b"".join(b"\\%03o" % byte for byte in path)
            stream += b'M %06o :%d "%b"\n' % (mode, number, quoted)
        self.repo.git("fast-import", "--quiet", "--force", input=stream)
        return self.repo.line("rev-parse", "refs/heads/x^{tree}")

    def archive(self, tree: str, format: str) -> bytes:
        return self.repo.git("archive", f"--format={format}", "--prefix=top/", tree)


@pytest.fixture(scope="module")
def git_trees(tmp_path_factory: pytest.TempPathFactory) -> GitTrees:
    return GitTrees(tmp_path_factory.mktemp("trees"))


RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@RELAXED
@given(tree=TREES, format=st.sampled_from(["tar", "tar.gz"]))
@example(tree={b"a.b": (FILE, b"1"), b"a/b": (FILE, b"2"), b"a0": (EXECUTABLE, b"3")}, format="tar")
def test_any_tree_of_git_comes_out_with_the_same_id(git_trees: GitTrees, tree, format: str):
    expected = git_trees.tree(tree)
    place = git_trees.place / "out"
    place.mkdir()
    try:
        written = write_tar(place, git_trees.archive(expected, format), top=True)
        assert written.tree.hex == expected
        assert written.files == len(tree)
        assert written.bytes == sum(len(data) for _, data in tree.values())
        for path, (mode, data) in tree.items():
            full = os.path.join(os.fsencode(place), path)
            if mode == SYMLINK:
                assert os.readlink(full) == data
            else:
                with open(full, "rb") as stream:
                    assert stream.read() == data
                assert bool(os.stat(full).st_mode & 0o100) is (mode == EXECUTABLE)
    finally:
        shutil.rmtree(place)


@pytest.mark.slow
@RELAXED
@given(base=TREES, snapshot=TREES, kept=st.sets(st.integers(0, 11)))
@example(base={b"a": (FILE, b"1")}, snapshot={b"a/b": (FILE, b"2")}, kept=set())
@example(base={b"a/b/c": (FILE, b"1")}, snapshot={b"a": (SYMLINK, b"2")}, kept=set())
@example(base={b"a/b/c": (FILE, b"1"), b"a/x": (FILE, b"1")}, snapshot={b"a/b": (FILE, b"2")}, kept={1})
def test_base_and_overlay_make_any_snapshot(git_trees: GitTrees, base, snapshot, kept):
    """P4, P7: contents, modes, links, files become directories and back, deletions; two trees, no patch."""
    for number, (path, facts) in enumerate(base.items()):
        if number in kept and not any(one.startswith(path + b"/") or path.startswith(one + b"/") for one in snapshot):
            snapshot = {**snapshot, path: facts}
    base_id, snapshot_id = git_trees.tree(base), git_trees.tree(snapshot)
    changed = {path: facts for path, facts in snapshot.items() if base.get(path) != facts}
    deleted = tuple(base.keys() - snapshot.keys())
    place = git_trees.place / "out"
    place.mkdir()
    try:
        with TreeWriter(str(place), replaced=frozenset(changed).union(deleted)) as writer:
            for each in TarReader(io.BytesIO(git_trees.archive(base_id, "tar")), top_directory=True):
                writer.add(each)
            assert writer.base_tree({}).hex == base_id
            writer.apply_overlay([entry(path, data, mode) for path, (mode, data) in sorted(changed.items())], deleted)
            written = writer.finish()
        assert written.tree.hex == snapshot_id
        assert written.files == len(snapshot)
    finally:
        shutil.rmtree(place)


# --- overlays that do not fit ---------------------------------------------------------------------


def test_a_deletion_of_what_the_base_does_not_have_is_an_error(target: Path):
    with TreeWriter(str(target), replaced=frozenset({b"b"})) as writer:
        writer.add(entry(b"a/x"))
        for path in (b"b", b"a", b"a/x/y", b"../outside/file"):
            with pytest.raises(InvalidManifest):
                writer.apply_overlay([], [path])


def test_an_overlay_names_each_path_once_and_only_what_it_said_it_would_replace(target: Path):
    with TreeWriter(str(target), replaced=frozenset({b"a"})) as writer:
        writer.add(entry(b"a", b"1"))
        writer.add(entry(b"b", b"1"))
        with pytest.raises(UnsafeTree):
            writer.apply_overlay([entry(b"a", b"2"), entry(b"a", b"3")])
    another = target / "another"
    another.mkdir()
    with TreeWriter(str(another)) as writer:
        writer.add(entry(b"b", b"1"))
        with pytest.raises(UnsafeTree):
            writer.apply_overlay([entry(b"b", b"2")])
        with pytest.raises(ValueError, match="replaced"):
            writer.apply_overlay([], [b"b"])


def test_the_snapshots_submodules_take_the_place_of_the_bases(target: Path):
    with TreeWriter(str(target)) as writer:
        writer.add(entry(b"lib", mode=DIRECTORY))
        writer.base_tree({b"lib": COMMIT, b"gone": COMMIT})
        writer.apply_overlay([], [b"gone"], {b"lib": COMMIT[::-1], b"new/lib": COMMIT})
        written = writer.finish()
    assert dict(written.entries) == {b"lib": (GITLINK, COMMIT[::-1]), b"new/lib": (GITLINK, COMMIT)}
    assert sorted(path.name for path in target.iterdir()) == ["lib", "new"]


# --- adversaries ----------------------------------------------------------------------------------

CONFLICTS = {
    "duplicate entry": [file(b"a", b"1"), file(b"a", b"2")],
    "duplicate entry with a link": [file(b"a", b"1"), link(b"a", b"b")],
    "duplicate link": [link(b"a", b"../outside"), link(b"a", b"b")],
    "file over directory": [file(b"a/b"), file(b"a")],
    "file over a listed directory": [directory(b"a/"), file(b"a")],
    "directory over file": [file(b"a"), file(b"a/b")],
    "listed directory over file": [file(b"a"), directory(b"a/")],
    "link, then a file below it": [link(b"a", b"../outside"), file(b"a/file", b"evil")],
    "file below, then a link": [file(b"a/file", b"evil"), link(b"a", b"../outside")],
    "link chain, then a file below it": [link(b"a", b"b"), link(b"b", b"../outside"), file(b"a/file", b"evil")],
    "link, then a listed directory": [link(b"a", b"../outside"), directory(b"a/"), file(b"a/file", b"evil")],
    "link in the place of a parent": [file(b"a/b/c"), link(b"a/b", b"../../outside")],
    "link without a target": [link(b"a", b"")],
    "link with a NUL": [pax({b"linkpath": b"a\0b"}), link(b"a", b"")],
    "traversal": [file(b"../outside/file", b"evil")],
    "traversal through a link": [link(b"a", b"../outside"), file(b"a/../../outside/file", b"evil")],
}


@pytest.mark.parametrize("members", CONFLICTS.values(), ids=CONFLICTS.keys())
def test_an_archive_that_is_no_tree_is_refused_and_nothing_outside_changes(members: list[bytes], target: Path):
    before = everything_below(target.parent / "outside")
    with pytest.raises(UnsafeTree):
        write_tar(target, gzipped(archive(*members)))
    assert everything_below(target.parent / "outside") == before
    assert sorted(os.listdir(target.parent)) == ["outside", "target"]


def test_a_link_with_a_target_no_system_takes_is_refused(target: Path):
    with pytest.raises(TargetUnusable, match="too long"):
        write(target, entry(b"a", b"x" * 5000, SYMLINK))


@pytest.mark.parametrize("path", [b"../x", b"/x", b".git/x", b"a/.GIT/x", b"", b"a//b", b"a\0b"])
@pytest.mark.parametrize("mode", [FILE, SYMLINK, DIRECTORY])
def test_the_writer_checks_paths_whoever_sends_them(target: Path, path: bytes, mode: int):
    with pytest.raises(UnsafeTree):
        write(target, entry(path, b"x", mode))
    with TreeWriter(str(target)) as writer:
        with pytest.raises(UnsafeTree):
            writer.base_tree({path: COMMIT})
        with pytest.raises(UnsafeTree):
            writer.apply_overlay([], (), {path: COMMIT})
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("mode", [0, 0o100600, 0o100664, 0o060644, GITLINK])
def test_modes_that_git_does_not_have_are_refused(target: Path, mode: int):
    with pytest.raises(UnsafeTree, match="mode"):
        write(target, Entry(b"a", mode, 0, b""))


def test_a_submodule_in_the_place_of_a_file_is_refused(target: Path):
    for name, path in enumerate((b"a", b"a/b", b"d")):
        place = target / str(name)
        place.mkdir()
        with TreeWriter(str(place)) as writer:
            writer.add(entry(b"a"))
            writer.add(entry(b"d/x"))
            with pytest.raises(UnsafeTree):
                writer.base_tree({path: COMMIT})


def test_links_that_leave_the_tree_stand_as_git_has_them_and_are_named(target: Path):
    """Z2: the tree id demands them; nothing goes through them, and whoever asks is told."""
    links = {
        b"absolute": b"/etc/passwd",
        b"up": b"..",
        b"up-and-away": b"d/../../outside/file",
        b"d/inside": b"../d/./x",
        b"d/also-inside": b"..",
        b"d/out": b"../..",
        b"by-another": b"absolute/x",
        b"root": b".",
        b"d/root": b"../root",
        b"tricky": b"d/root/root/root/../..",
        b"circle": b"circle",
        b"loop-a": b"loop-b",
        b"loop-b": b"loop-a/x",
        b"plain": b"d//x/",
    }
    written = write(target, entry(b"d/x"), *[entry(path, to, SYMLINK) for path, to in links.items()])
    assert written.outside_links == (b"absolute", b"by-another", b"d/out", b"tricky", b"up", b"up-and-away")
    assert {path: os.readlink(os.fsencode(target) + b"/" + path) for path in links} == links
    assert (target.parent / "outside" / "file").read_text() == "precious"


@pytest.mark.slow
def test_links_through_one_another_without_measure_are_refused(target: Path):
    long = b"a/" * 2000
    chain = [entry(b"x%d" % n, long + b"x%d" % (n + 1), SYMLINK) for n in range(6_000)]
    with pytest.raises(UnsafeTree, match="too long to resolve"):
        write(target, *chain)


def test_limits_hold_for_whoever_sends_the_entries(target: Path):
    with pytest.raises(UnsafeTree, match="3 entries"):
        write(target, *[entry(b"f%d" % n) for n in range(4)], limits=Limits(entries=3))
    with pytest.raises(UnsafeTree, match="3 entries"):
        write(target, entry(b"d/d/d/d"), limits=Limits(entries=3))
    with pytest.raises(UnsafeTree, match="10 bytes"):
        write(target, entry(b"x", b"123456"), entry(b"y", b"123456"), limits=Limits(bytes=10))
    with pytest.raises(UnsafeTree, match="names"):
        write(target, *[entry(b"d%d/" % n + b"a/" * 2000 + b"a", mode=DIRECTORY) for n in range(60)])


# --- file systems that cannot hold the tree -------------------------------------------------------


def test_a_file_system_that_changed_a_name_is_found_out(target: Path):
    """As HFS+ does: the name that was written is not the one that is read."""
    composed, decomposed = "café".encode(), "cafe\u0301".encode()
    with TreeWriter(str(target)) as writer:
        writer.add(entry(b"d/" + composed))
        writer.write_out()
        os.rename(os.fsencode(target) + b"/d/" + composed, os.fsencode(target) + b"/d/" + decomposed)
        with pytest.raises(TargetUnusable, match=r"changes names: 'd/café' became 'd/cafe\\u0301'"):
            writer.finish()


def test_a_file_system_that_folds_case_is_found_out_when_names_collide(target: Path):
    """`Makefile` is there already when `makefile` is to be made, though nobody wrote it: so it is on such a disk."""
    for first, second in ((b"Makefile", b"makefile"), (b"Src/a", b"src/b"), (b"d/Link", b"d/link")):
        place = target / second.decode().replace("/", "-")
        place.mkdir()
        mode = SYMLINK if b"link" in second else FILE
        with TreeWriter(str(place)) as writer:
            writer.add(entry(first, b"1"))
            writer.write_out()
            twin = place / second.split(b"/a")[0].decode()
            if second == b"src/b":
                twin.parent.mkdir()
            else:
                twin.touch()
            with pytest.raises(TargetUnusable) as refused:
                writer.add(entry(second, b"2", mode))
                writer.finish()
        one, other = (first, second) if b"Src" not in first else (b"Src", b"src")
        assert refused.value.message.startswith(f"'{one.decode()}' and '{other.decode()}' have the same name")


@pytest.mark.parametrize(("first", "second"), [(b"Makefile", b"makefile"), (b"Src/a", b"src/b")])
def test_names_that_collide_are_told_when_they_are_written_as_late_as_that(target: Path, first: bytes, second: bytes):
    """Many small files are written together: both names were added when the disk takes them for one."""
    with TreeWriter(str(target)) as writer:
        writer.add(entry(first, b"1"))
        writer.add(entry(second, b"2"))
        writer.add(entry(b"z", b"3"))
        (target / os.fsdecode(second.split(b"/")[0])).touch()
        with pytest.raises(TargetUnusable, match="have the same name on the file system of the target"):
            writer.finish()
    assert not (target / "z").exists()


def test_many_small_files_large_ones_and_empty_ones_are_all_written_in_any_order(target: Path):
    contents = {b"d%d/file %d" % (n % 7, n): b"%d" % n * (n % 5) for n in range(1000)}
    contents |= {b"-large %d" % n: bytes([n]) * (n << 18) for n in range(8)}
    entries = [entry(path, data) for path, data in contents.items()]
    for each in entries[::100]:
        each.contents = lambda data=each.contents: iter((data[:1], data[1:]))
    written = write(target, *sorted(entries, key=lambda each: blob_id(each.path, "sha1")))
    assert {path: (target / os.fsdecode(path)).read_bytes() for path in contents} == contents
    assert {path: id for path, (_, id) in written.entries.items()} == {
        path: blob_id(data, "sha1") for path, data in contents.items()
    }


def test_lost_exec_bits_links_and_names_are_found_out(target: Path):
    def spoiled(name: str, *damage: tuple[str, object]) -> str:
        place = target / name
        place.mkdir()
        with TreeWriter(str(place)) as writer:
            writer.add(entry(b"plain"))
            writer.add(entry(b"d/run", mode=EXECUTABLE))
            writer.add(entry(b"d/gone"))
            writer.write_out()
            for path, how in damage:
                if isinstance(how, int):
                    (place / path).chmod(how)
                elif how is None:
                    (place / path).unlink()
                else:
                    (place / path).write_bytes(b"stranger")
            with pytest.raises(TargetUnusable) as refused:
                writer.finish()
        return refused.value.message

    assert "'d/run' cannot be made executable" in spoiled("one", ("d/run", 0o644))
    assert "makes every file executable: 'plain'" in spoiled("two", ("plain", 0o755))
    assert "removed 'd/gone'" in spoiled("three", ("d/gone", None))
    assert "'d/stranger' is not in this tree" in spoiled("four", ("d/stranger", "new"))


def test_an_umask_that_takes_the_exec_bit_is_found_out(target: Path):
    old = os.umask(0o177)
    try:
        if os.geteuid() == 0:
            with pytest.raises(TargetUnusable, match="cannot be made executable"):
                write(target, entry(b"run", mode=EXECUTABLE))
    finally:
        os.umask(old)


def test_names_that_differ_by_case_alone_are_fine_where_the_file_system_tells_them_apart(target: Path):
    (target / "Probe").touch()
    if (target / "probe").exists():
        pytest.skip("this file system folds case")
    (target / "Probe").unlink()
    assert (
        write(target, entry(b"Makefile"), entry(b"makefile"), entry("é".encode()), entry("e\u0301".encode())).files == 4
    )


def test_the_system_s_refusals_are_said_in_words(target: Path):
    with pytest.raises(TargetUnusable, match=r"cannot write 'x+': the name is too long for the file system"):
        write(target, entry(b"x" * 256))
    with pytest.raises(TargetUnusable, match=r"cannot write '.*nowhere': no such file or directory"):
        TreeWriter(str(target / "nowhere"))
    (target / "link").symlink_to(target)
    with pytest.raises(TargetUnusable):
        TreeWriter(str(target / "link"))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.parametrize(("options", "reason"), [("size=1m", "no space left"), ("nr_inodes=40", "no inodes left")])
def test_a_full_disk_is_said_in_words(tmp_path: Path, options: str, reason: str):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], capture_output=True).returncode:
        pytest.skip("this machine lets root mount nothing")
    try:
        for pieces in (lambda: iter([bytes(1 << 16)] * 40), b"\1" * (40 << 16)):
            with pytest.raises(TargetUnusable, match=reason) as refused:
                write(disk, *[entry(b"f%d" % n) for n in range(50)], Entry(b"big", FILE, 40 << 16, pieces))
            assert refused.value.hints
            for path in disk.iterdir():
                path.unlink()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_no_descriptor_is_left_open(target: Path):
    def opened() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    before = opened()
    write(target, *[entry(b"d%d/e/f" % n) for n in range(100)])
    with pytest.raises(CodeRepoError):
        write(target, entry(b"d1/x"), entry(b"d1/e/f"))
    assert opened() == before


def test_syncing_waits_for_the_disk(target: Path):
    with TreeWriter(str(target)) as writer:
        writer.add(entry(b"a", b"1"))
        writer.finish()
        writer.sync()


def test_git_sees_the_same_in_entries_that_come_from_no_archive(target: Path, env: dict[str, str]):
    written = write(target, entry(b"a b/c", b"1"), entry(b"x", b"2", EXECUTABLE), entry(b"l", b"a b", SYMLINK))
    assert tree_of(target, env) == written.tree.hex
