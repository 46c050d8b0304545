"""Paths of a snapshot whose contents Git does not store: links, git-annex, DVC, and filters of this machine.

A runner gets what Git stores and nothing else, so other files that a run reads are named before it starts. Formats:
https://git-annex.branchable.com/internals/ and /internals/pointer_file/,
https://dvc.org/doc/user-guide/project-structure/dvc-files, https://git-scm.com/docs/gitattributes.
"""

from __future__ import annotations

import os
import stat

from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.process import read_blobs
from git_coderepo.git.tree_diff import blob_sizes
from git_coderepo.snapshots.archive_check import CONVERTING, gitlinks, taken_back, words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from git_coderepo.git.attributes.rules import Value
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git

ANNEX, POINTER, FILTER, ATTRIBUTE = "git-annex", "pointer-file", "filter", "attribute"
LINK_OUTSIDE, LINK_UNRECORDED = "link-outside", "link-unrecorded"
_ANNEX_OBJECTS = b"annex/objects/"
# Pointers are shorter: a key is a file name, and git-annex may add a line after it.
_POINTER_BYTES = 1024
# Files that describe the data beside them: `weights.bin.sha256`. `.dvc` and `dvc.lock` always count.
_BESIDE = (
    b".md5", b".sha1", b".sha256", b".sha512", b".ptr", b".pointer", b".url", b".s3", b".gs", b".torrent",
)  # fmt: skip
# A longer path cannot be checked out: PATH_MAX of Linux.
_PATH_BYTES = 4096
# The most bytes of paths in the arguments of a command.
_ARGUMENTS = 32 << 10
# The most paths that a message names.
_NAMED = 3


class Outside:
    """A raw `path` with contents outside Git.

    `reason` is one of the words above; `detail` is the raw target of a link or a pointer file, the key of git-annex,
    the name of a filter, or an attribute with its value.
    """

    __slots__ = ("detail", "path", "reason")

    def __init__(self, path: bytes, reason: str, detail: bytes) -> None:
        self.path = path
        self.reason = reason
        self.detail = detail


class Place:
    """A tree whose objects `git` finds; `toplevel` is None for a commit without its work tree."""

    __slots__ = ("git", "toplevel", "tree")

    def __init__(self, git: Git, tree: ObjectId, toplevel: bytes | None) -> None:
        self.git = git
        self.tree = tree
        self.toplevel = toplevel

    def exists(self, path: bytes) -> bool:
        """Return whether the run could read a path; True for a commit without its work tree, where it is not known."""
        return self.toplevel is None or os.path.exists(os.path.join(self.toplevel, path))

    def holds(self, paths: Iterable[bytes]) -> set[bytes]:
        """Return the paths that exist in the tree, as files, links or directories.

        The paths may be any bytes: they come from files that people write.
        """
        rest, present = sorted({path for path in paths if _may_be_in_a_tree(path)}), set[bytes]()
        while rest:
            size, count = 0, 0
            while count < len(rest) and (size < _ARGUMENTS or not count):
                size += len(rest[count])
                count += 1
            options = ("--full-tree", "--name-only", self.tree.hex)
            output = self.git.run("--literal-pathspecs", "ls-tree", "-z", *options, "--", *rest[:count])
            present.update(output.split(b"\0"))
            rest = rest[count:]
        return present.difference((b"",))

    def contents(self, rows: Sequence[tuple[bytes, str]]) -> Iterator[tuple[bytes, bytes]]:
        """Yield (path, contents) of each (path, blob id)."""
        blobs = read_blobs(self.git, [id for _, id in rows])
        for (path, _), (_, size, source) in zip(rows, blobs, strict=True):
            yield path, source.read(size)


def _may_be_in_a_tree(path: bytes) -> bool:
    """Return whether `ls-tree` takes a path; it fails at others, of which no tree that was checked out has one."""
    return 0 < len(path) <= _PATH_BYTES and b"\0" not in path and not (path + b"/").startswith((b"/", b"../"))


def may_describe_data(listing: bytes) -> bool:
    """Return whether `ls-tree -r -z` output contains a pointer file, which describes data stored outside Git."""
    return any(ending + b"\0" in listing for ending in _BESIDE)


def find_linked(place: Place, listing: bytes) -> list[Outside]:
    """Return the links and pointer files among the rows of `ls-tree -r -z` that lead out of the tree, sorted."""
    links, pointers = [], []
    for row in listing.split(b"\0"):
        facts, _, path = row.partition(b"\t")
        if facts.startswith(b"120000 "):
            links.append((path, facts[12:].decode()))
        elif facts.startswith(b"100") and (
            path.endswith((b".dvc", *_BESIDE)) or path.rpartition(b"/")[2] == b"dvc.lock"
        ):
            pointers.append((path, facts[12:].decode()))
    outside, inside = _links(place, links)
    candidates = [(path, LINK_UNRECORDED, target) for path, target in inside]
    candidates += [(path, POINTER, target) for path, target in _pointer_targets(place, pointers)]
    submodules = tuple(path + b"/" for path, _ in gitlinks(listing))
    if submodules:
        candidates = [each for each in candidates if not (each[2] + b"/").startswith(submodules)]
    outside += _unrecorded(place, candidates)
    return sorted(outside, key=lambda each: (each.path, each.detail))


def _links(place: Place, links: Sequence[tuple[bytes, str]]) -> tuple[list[Outside], list[tuple[bytes, bytes]]]:
    """Return what is outside of the tree, and (path, target from the root) of the links that stay inside."""
    outside: list[Outside] = []
    inside: list[tuple[bytes, bytes]] = []
    for path, target in _link_targets(place, links):
        where = os.path.normpath(os.path.join(os.path.dirname(path), target))
        before, annexed, key = target.rpartition(b"/")[0] + b"/", _ANNEX_OBJECTS in target, os.path.basename(target)
        if annexed and b".git/" in before:
            outside.append(Outside(path, ANNEX, key))
        elif where.startswith((b"/", b"../", b".git/")) or where in (b"..", b".git"):
            if target not in (b"/dev/null", b"/dev/stdin", b"/dev/stdout", b"/dev/stderr") and place.exists(path):
                outside.append(Outside(path, LINK_OUTSIDE, target))
        elif where != b".":
            inside.append((path, where))
    return outside, inside


def _link_targets(place: Place, links: Sequence[tuple[bytes, str]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (path, raw target) of each link, from the disk where there is a work tree."""
    if place.toplevel is None:
        yield from place.contents(links)
        return
    for path, _ in links:
        file = place.toplevel + b"/" + path
        try:
            yield path, os.readlink(file)
        except OSError:
            target = _small_file(file)  # with core.symlinks=false a file; in a sparse checkout it may not exist
            if target:
                yield path, target


def _small_file(path: bytes) -> bytes | None:
    """Return the contents of a file, at most 1 MiB of them; None if the file does not exist."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:
        return file.read(1 << 20)


def _unrecorded(place: Place, candidates: Sequence[tuple[bytes, str, bytes]]) -> list[Outside]:
    """Return those of (path, reason, target from the root) whose target can be read here, and is not in the tree."""
    recorded = place.holds(target for _, _, target in candidates)
    missing = [each for each in candidates if each[2] not in recorded]
    if place.toplevel is None:
        # A link of a commit that leads to nothing in it is broken wherever the commit is checked out.
        return [Outside(path, reason, target) for path, reason, target in missing if reason != LINK_UNRECORDED]
    outside = []
    root = os.path.realpath(place.toplevel)
    for path, reason, target in missing:
        if not place.exists(target):
            continue
        # The target may lie behind another link.
        real = os.path.relpath(os.path.realpath(os.path.join(root, target)), root)
        if not real.startswith(b"../") and (real == b"." or real in place.holds([real])):
            continue
        outside.append(Outside(path, reason, target))
    return outside


# --- DVC -----------------------------------------------------------------------------------------------------------


def _pointer_targets(place: Place, rows: Sequence[tuple[bytes, str]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (path of the DVC file, target from the root) of each output that a DVC file names."""
    for path, contents in _texts(place, rows):
        folder, _, name = path.rpartition(b"/")
        if not name.endswith((b".dvc", b"dvc.lock")):
            beside = name.rpartition(b".")[0]
            if beside:
                yield path, os.path.join(folder, beside)
            continue
        if name == b"dvc.lock":
            folders = _stage_folders(place, folder)
            targets = [os.path.join(folders.get(stage, b""), target) for stage, target in _lock_paths(contents)]
        else:
            keys, targets = _output_paths(contents)
            targets = [os.path.join(keys, target) for target in targets] or [name.removesuffix(b".dvc")]
        for target in dict.fromkeys(targets):
            if b"://" not in target and target:
                yield path, os.path.normpath(os.path.join(folder, target))


def _texts(place: Place, rows: Sequence[tuple[bytes, str]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (path, contents) of small files: those of the work tree, where there is one."""
    if place.toplevel is None:
        yield from place.contents(rows)
        return
    for path, _ in rows:
        contents = _small_file(place.toplevel + b"/" + path)
        if contents is not None:
            yield path, contents


def _output_paths(contents: bytes) -> tuple[bytes, list[bytes]]:
    """Return `wdir` (b"" for the file's own directory) and the paths below `outs` of a `.dvc` file."""
    section, folder, paths = b"", b"", []
    for line in contents.splitlines():
        key, value = _entry(line)
        if line[:1] not in b" -#" and key:
            section = key
            folder = value if key == b"wdir" else folder
        elif section == b"outs" and key == b"path":
            paths.append(value)
    return folder, paths


def _lock_paths(contents: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (stage, path) of each dependency and output in a `dvc.lock`."""
    stage, kind, within = b"", b"", b"schema:" in contents
    for line in contents.splitlines():
        indent = len(line) - len(line.lstrip(b" "))
        key, value = _entry(line)
        if indent == (2 if within else 0) and key and not line.lstrip(b" ").startswith(b"-"):
            stage = key
        elif key in (b"deps", b"outs", b"params") and not value:
            kind = key
        elif key == b"path" and kind in (b"deps", b"outs"):
            yield stage, value


def _stage_folders(place: Place, folder: bytes) -> dict[bytes, bytes]:
    """Return the working directory of each stage in the `dvc.yaml` of a folder that names one."""
    name = (folder and folder + b"/") + b"dvc.yaml"
    listed = place.git.run("--literal-pathspecs", "ls-tree", "-z", "--full-tree", place.tree.hex, "--", name)
    row = listed.partition(b"\t")[0]
    folders: dict[bytes, bytes] = {}
    stage = b""
    for _, contents in _texts(place, [(name, row[12:].decode())] if row.startswith(b"100") else []):
        for line in contents.splitlines():
            key, value = _entry(line)
            indent = len(line) - len(line.lstrip(b" "))
            if indent == 2 and key and not value:
                stage = key
            elif key == b"wdir" and indent > 2:
                folders[stage] = value
    return folders


def _entry(line: bytes) -> tuple[bytes, bytes]:
    """Return the key and the scalar of a line of block-style YAML, as DVC writes it; (b"", b"") for another line."""
    key, colon, value = line.strip().removeprefix(b"- ").partition(b":")
    if not colon or key.startswith(b"#"):
        return b"", b""
    value = value.strip()
    if value[:1] in (b"'", b'"') and value[:1] == value[-1:] and len(value) > 1:
        value = value[1:-1].replace(b"''", b"'") if value[:1] == b"'" else value[1:-1]
    else:
        value = value.partition(b" #")[0].rstrip()
    return key.strip().strip(b"'\""), value


# --- filters and attributes of this machine ------------------------------------------------------------------------


def find_converted(
    place: Place,
    listing: bytes,
    tree_files: Mapping[bytes, bytes],
    others: Sequence[bytes],
    drivers: frozenset[bytes],
) -> list[Outside]:
    """Return the paths that a filter or an attribute of this machine converts, sorted by path.

    `listing` has every row of the tree whose object is here, `tree_files` are its attributes files by directory,
    `others` those outside of it, `drivers` the filters that have a command here. In a work tree git itself says which
    attributes a path has.
    """
    known_names = {word for word, _ in words_of([*others, *tree_files.values()])}
    names = sorted((known_names | taken_back(others)).intersection((*CONVERTING, b"text")))
    rows = [row.partition(b"\t") for row in listing.split(b"\0") if row.startswith(b"100")]
    ids = {path: facts[12:].decode() for facts, _, path in rows}
    if not ids or not names:
        return []
    own = Attributes(tree_files).only((*CONVERTING, b"text"))
    outside: list[Outside] = []
    annexed: list[tuple[bytes, str]] = []
    for path, name, value in _attribute_values(place, own, list(ids), names):
        if name == b"filter" and value == b"annex" and value in drivers:
            annexed.append((path, ids[path]))
        else:
            outside += _conversion(path, (name, value), own.of(path), drivers)
    outside += _annex_pointers(place, annexed)
    return sorted(outside, key=lambda each: each.path)


def _attribute_values(
    place: Place, own: Attributes, paths: Sequence[bytes], names: Sequence[bytes]
) -> Iterable[tuple[bytes, bytes, bytes]]:
    """Return (path, name, value) of the attributes: as git has them in a work tree, else the tree's `own`."""
    if place.toplevel is None:
        return [
            (path, name, b"set" if value is True else value or b"unset")
            for path in paths
            for name, value in own.of(path).items()
        ]
    output = place.git.run("check-attr", "-z", "--stdin", *names, stdin=b"\0".join(paths) + b"\0").split(b"\0")
    return zip(output[0:-1:3], output[1::3], output[2::3], strict=False)


def _conversion(
    path: bytes, attribute: tuple[bytes, bytes], own: Mapping[bytes, Value], drivers: frozenset[bytes]
) -> list[Outside]:
    """Return the path if an attribute (name, value) converts it here, or undoes a conversion of the tree's `own`."""
    name, value = attribute
    if name == b"text" or value in (b"unspecified", b"unset"):
        return [Outside(path, ATTRIBUTE, b"-" + name)] if _is_taken_back(name, value, own) else []
    is_own = own.get(name) == (True if value == b"set" else value)
    if name == b"filter":
        is_elsewhere = value not in drivers or (value == b"lfs" and is_own)
        return [] if is_elsewhere else [Outside(path, FILTER, value)]
    if is_own or (name == b"eol" and value == b"lf"):
        return []
    return [Outside(path, ATTRIBUTE, name if value == b"set" else name + b"=" + value)]


def _is_taken_back(name: bytes, value: bytes, own: Mapping[bytes, Value]) -> bool:
    """Return whether the tree's own attributes convert a path in a way that this attribute undoes on this machine."""
    known = own.get(name)
    if name == b"text":
        return value == b"unset" and known is not False and own.get(b"eol") == b"crlf"
    if known is None or known is False:
        return False
    return known == b"lfs" if name == b"filter" else (name, known) != (b"eol", b"lf")


def _annex_pointers(place: Place, rows: Sequence[tuple[bytes, str]]) -> Iterator[Outside]:
    """Yield those of the rows whose contents are in git-annex: the blob is a pointer, `/annex/objects/KEY`."""
    sizes = blob_sizes(place.git, [id for _, id in rows]) if rows else []
    small = [row for row, size in zip(rows, sizes, strict=True) if size < _POINTER_BYTES]
    for path, contents in place.contents(small):
        if contents.startswith(b"/" + _ANNEX_OBJECTS):
            yield Outside(path, ANNEX, contents.partition(b"\n")[0].rpartition(b"/")[2])


# --- what people read ----------------------------------------------------------------------------------------------

# For one path, and for several. {0} is the detail, if they have the same.
_SENTENCES = {
    ANNEX: (
        "is stored in git-annex, not in Git: a runner gets the pointer without its contents",
        "are stored in git-annex, not in Git: a runner gets the pointers without their contents",
    ),
    POINTER: (
        "describes '{0}', which Git does not store: a runner gets the description without the data",
        "describe data that Git does not store: a runner gets the descriptions without the data",
    ),
    FILTER: (
        "passes through the filter '{0}', which is configured on this machine only: a runner gets what Git stores",
        "pass through the filter '{0}', which is configured on this machine only: a runner gets what Git stores",
    ),
    ATTRIBUTE: (
        "has the attribute '{0}' from a file outside the tree: a runner does not convert it",
        "have the attribute '{0}' from a file outside the tree: a runner does not convert them",
    ),
    LINK_OUTSIDE: (
        "is a link to '{0}', outside the checkout: a runner gets only the link",
        "are links out of the checkout: a runner gets only the links",
    ),
    LINK_UNRECORDED: (
        "is a link to '{0}', which is not part of the snapshot: a runner gets a broken link",
        "are links to paths that are not part of the snapshot: a runner gets broken links",
    ),
}


def sentences(outside: Iterable[tuple[bytes, Outside]]) -> list[str]:
    """Return a sentence for each kind among (directory with a final slash, what is in it), naming a few paths."""
    groups: dict[tuple[str, bytes], list[tuple[bytes, bytes]]] = {}
    for directory, each in outside:
        key = each.detail if each.reason in (FILTER, ATTRIBUTE) else b""
        groups.setdefault((each.reason, key), []).append((directory + each.path, each.detail))
    lines = []
    for (reason, _), paths in groups.items():
        names = list(dict.fromkeys(path for path, _ in paths))
        named = ", ".join(f"'{os.fsdecode(name)}'" for name in names[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        one, several = _SENTENCES[reason]
        words = (one if len(paths) == 1 else several).format(os.fsdecode(paths[0][1]))
        if len(names) == 1 and len(paths) > 1:
            words = words.replace("describe data", "describes data", 1)
        lines.append(f"{named}{more} {words}")
    return lines
