"""Resolve `NAME@REVISION[:PATH]`: a commit of a code repository, without a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    GitFailed,
    GitNotFound,
    InvalidRemoteURL,
    MethodUnavailable,
    UnsafeTree,
)
from git_coderepo.fetching.lfs import LfsSources
from git_coderepo.fetching.planned_tree import BaseRequest, PlannedSubmodule, PlannedTree
from git_coderepo.fetching.receipt import Identity
from git_coderepo.fetching.sources.git_tree import listed_tree
from git_coderepo.fetching.target import said_of
from git_coderepo.filesystem.paths import quoted
from git_coderepo.git.objects import EXECUTABLE, FILE, ObjectId
from git_coderepo.git.process import Git
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.transport.scratch_repository import Scratch

# `.gitmodules` can lead anywhere, in a circle too.
_MOST_LEVELS = 8
_MOST_SUBMODULES = 256

Opener = Callable[[BaseCodeRepository, str], BaseCodeRepository]


class _Facts(NamedTuple):
    """The tree of a commit or of a directory in it, how it is known (`commit` or `platform`), and its submodules.

    `gitlinks` is None if the fetch itself lists them; `urls` has the URLs of submodules by path from the root.
    """

    tree: ObjectId
    tree_by: str
    gitlinks: Mapping[bytes, bytes] | None = None
    urls: Mapping[bytes, str] = {}


class _Following:
    """How submodules are followed: by which function (None: not at all), and how many are still allowed."""

    def __init__(self, environment: Mapping[str, str], open_submodule: Opener | None) -> None:
        self.environment = environment
        self.open_submodule = open_submodule
        self.left = _MOST_SUBMODULES

    def spend(self) -> None:
        """Count one submodule. Raises UnsafeTree above the limit."""
        self.left -= 1
        if self.left < 0:
            raise UnsafeTree(f"the commit has more than {_MOST_SUBMODULES} submodules")


def resolve_revision(platform: BaseCodeRepository, revision: str, environment: Mapping[str, str]) -> ObjectId:
    """Return the commit that a branch, a tag or the beginning of an id names on the platform.

    The API is asked first, then git. Raises CommitMissing, PlatformErrors.
    """
    try:
        found = platform.resolve(revision)
        error: CodeRepoError | None = None
    except CodeRepoError as failed:
        found, error = None, failed
    if found is None:
        try:
            found = _by_ls_remote(platform, revision, environment)
        except (GitNotFound, MethodUnavailable):
            pass  # the answer or the error of the API counts
        except CodeRepoError as failed:
            error = error or failed
    if found is None:
        raise error or CommitMissing(
            f"'{platform.name}' has no branch, tag or commit '{revision}'",
            hints=["check the spelling", "without an API, give the full id of a commit"],
        )
    return found


def _by_ls_remote(platform: BaseCodeRepository, revision: str, environment: Mapping[str, str]) -> ObjectId | None:
    from git_coderepo.transport.git_remote import ask

    # In git's order, a tag precedes a branch; the commit of an annotated tag has `^{}` after the name.
    names = [f"refs/tags/{revision}^{{}}", f"refs/tags/{revision}", f"refs/heads/{revision}"]
    names += [revision] if revision == "HEAD" or revision.startswith("refs/") else []
    output = ask(platform, Git(environment=environment), "ls-remote", "--quiet", "--", "{url}", *names)
    rows = [line.split("\t") for line in output.decode("utf-8", "surrogateescape").splitlines()]
    ids = {name: id for id, name in rows}
    return next((ObjectId(ids[name]) for name in names if name in ids), None)


def plan_commit(
    platform: BaseCodeRepository,
    commit: ObjectId,
    part: bytes,
    *,
    environment: Mapping[str, str],
    open_submodule: Opener | None,
) -> PlannedTree:
    """Plan the tree of a commit, or of its directory `part`: git reads the tree id from the commit itself.

    Without git, the platform's API says the tree id. `open_submodule` returns the platform of a submodule, from its
    superproject's platform and its URL; None leaves submodules empty. Raises CommitMissing, MethodUnavailable,
    UnsafeTree, PlatformErrors.
    """
    return _planned(platform, commit, part, _Following(environment, open_submodule), 0)


def _planned(
    platform: BaseCodeRepository, commit: ObjectId, part: bytes, following: _Following, level: int
) -> PlannedTree:
    environment, open_submodule = following.environment, following.open_submodule
    follow = open_submodule is not None
    try:
        facts = _by_git(platform, commit, part, environment, follow=follow)
    except (GitNotFound, MethodUnavailable):
        found = _by_platform(platform, commit, part, follow=follow)
        if found is None:
            raise MethodUnavailable(
                f"cannot find the tree of the commit {commit}: git is not installed, and the platform has no API",
                hints=["install git, or fetch with a run manifest, which records the tree"],
            ) from None
        facts = found
    submodules = []
    for path, id in sorted((facts.gitlinks or {}).items()):
        url = facts.urls.get(part + b"/" + path if part else path)
        if url is None or open_submodule is None:
            continue  # without a URL, its directory stays empty
        following.spend()
        if level == _MOST_LEVELS:
            raise UnsafeTree(f"submodules are nested more than {_MOST_LEVELS} levels deep: {quoted(path)}")
        try:
            inner = ObjectId.from_raw(id)
            home = open_submodule(platform, url)
            planned = _planned(home, inner, b"", following, level + 1)
        except UnsafeTree:
            raise
        except CodeRepoError as error:
            more = ["--no-submodules leaves submodules empty"] if level == 0 else []
            raise said_of(error.replace(hints=[*error.hints, *more]), path) from error
        submodules.append(PlannedSubmodule(path, inner, planned))
    return PlannedTree(
        tree=facts.tree,
        tree_by=facts.tree_by,
        base=BaseRequest(
            platform=platform,
            commit=commit,
            tree=facts.tree,
            object_format=commit.object_format,
            part=part,
            environment=environment,
        ),
        submodules=tuple(submodules),
        gitlinks=facts.gitlinks,
        lfs=LfsSources(platform=platform, environment=environment),
        identity=Identity(commit=commit, subdirectory=part or b"."),
    )


def _by_git(
    platform: BaseCodeRepository, commit: ObjectId, part: bytes, environment: Mapping[str, str], *, follow: bool
) -> _Facts:
    """Read the commit with git: first its root tree, which shows whether there are submodules, then all trees."""
    with ExitStack() as stack:
        scratch = stack.enter_context(Scratch(commit.object_format, environment))
        scratch.fetch_commit(platform, commit, only="blob:none" if part else "tree:1" if follow else "tree:0")
        tree = scratch.tree_of(commit, part)
        blob = _gitmodules_of(scratch, commit) if follow else None
        if blob is None:
            return _Facts(tree, "commit")
        if not part:
            scratch = stack.enter_context(Scratch(commit.object_format, environment))
            scratch.fetch_commit(platform, commit, only="blob:none")
        _, gitlinks = listed_tree(scratch.git, tree.hex)
        if not gitlinks:
            return _Facts(tree, "commit", gitlinks)
        try:
            scratch.fetch_blobs(platform, [blob])
        except (CommitMissing, GitFailed):
            # The server does not serve single objects: fetch the whole commit.
            scratch = stack.enter_context(Scratch(commit.object_format, environment))
            scratch.fetch_commit(platform, commit)
        try:
            contents = scratch.contents("blob", blob, MOST_BYTES)
        except UnsafeTree:
            raise too_large() from None
        return _Facts(tree, "commit", gitlinks, submodule_urls(contents))


def _gitmodules_of(scratch: Scratch, commit: ObjectId) -> str | None:
    """Return the hex blob id of `.gitmodules` in the root of a commit; None without one."""
    row = scratch.git.run("ls-tree", "-z", "--full-tree", commit.hex, "--", ".gitmodules").partition(b"\0")[0]
    facts = row.partition(b"\t")[0].split(b" ")
    return facts[2].decode() if len(facts) == 3 and int(facts[0], 8) in (FILE, EXECUTABLE) else None


def _by_platform(platform: BaseCodeRepository, commit: ObjectId, part: bytes, *, follow: bool) -> _Facts | None:
    """Return the facts from the platform's API; None if it has none."""
    described = platform.describe_tree(commit, part)
    if described is None:
        tree = None if part else platform.commit_tree(commit)
        return None if tree is None else _Facts(tree, "platform")
    contents = platform.read_file(commit, ".gitmodules") if follow and described.gitlinks else None
    urls = submodule_urls(contents) if contents is not None else {}
    return _Facts(described.tree, "platform", described.gitlinks, urls)


# --- Read a commit's `.gitmodules` -----------------------------------------------------------------------------------

MOST_BYTES = 1 << 20
_LONGEST_URL = 1 << 13
_ESCAPES = {ord("n"): b"\n", ord("t"): b"\t", ord("b"): b"\b", ord("\\"): b"\\", ord('"'): b'"'}


def too_large() -> UnsafeTree:
    """Return the error for contents of more than `MOST_BYTES`."""
    return UnsafeTree(
        f"the '.gitmodules' of a commit has more than {MOST_BYTES} bytes",
        hints=["--no-submodules leaves submodules empty"],
    )


def submodule_urls(contents: bytes) -> dict[bytes, str]:
    """Return the URL of each submodule in `.gitmodules`, by its raw path from the root.

    Sections that git would not use are left out: without a path or URL, with `..` in their name, or with a URL that
    looks like an option. The last of several values counts; includes are ignored. Raises UnsafeTree for contents of
    more than `MOST_BYTES`.
    """
    values: dict[bytes, dict[bytes, bytes]] = {}
    if len(contents) > MOST_BYTES:
        raise too_large()
    for section, key, value in _entries(contents):
        kind, _, name = section.partition(b".")
        if kind == b"submodule" and name and key in (b"path", b"url"):
            values.setdefault(name, {})[key] = value
    found = {}
    for name, each in values.items():
        path, url = each.get(b"path", b"").strip(b"/"), each.get(b"url", b"")
        # `check_submodule_name` and `check_submodule_url` of git's submodule-config.c.
        if path and url and not url.startswith(b"-") and b".." not in name.replace(b"\\", b"/").split(b"/"):
            found[path] = os.fsdecode(url)
    return found


def _entries(contents: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return (section, key in lower case, value): `submodule.NAME` for `[submodule "NAME"]`."""
    found = []
    section = b""
    text = contents.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\\\n", b"")
    for raw in text.split(b"\n"):
        line = raw.strip()
        if line.startswith(b"["):
            section, line = _section(line)
        if not line or line[:1] in b"#;":
            continue
        key, equals, value = line.partition(b"=")
        found.append((section, key.strip().lower(), _value(value.strip()) if equals else b"true"))
    return found


def _section(line: bytes) -> tuple[bytes, bytes]:
    """Return the section of `[kind "name"] rest`, and the rest."""
    start = line.find(b'"')
    end = line.find(b"]")
    if start < 0 or end < start:
        return line[1 : end if end >= 0 else len(line)].strip().lower(), line[end + 1 :].strip() if end >= 0 else b""
    name = bytearray()
    at = start + 1
    while at < len(line) and line[at] != ord('"'):
        if line[at] == ord("\\"):
            at += 1
        name += line[at : at + 1]
        at += 1
    rest = line[at + 1 :].lstrip()
    return line[1:start].strip().lower() + b"." + bytes(name), rest[1:].strip() if rest.startswith(b"]") else b""


def _value(text: bytes) -> bytes:
    """Return a value without its quotes, escapes and comment."""
    kept = bytearray()
    quoted = False
    end = 0  # trailing blanks outside quotes are not part of the value
    at = 0
    while at < len(text):
        byte = text[at]
        if byte == ord("\\"):
            at += 1
            kept += _ESCAPES.get(text[at], b"") if at < len(text) else b""
            end = len(kept)
        elif byte == ord('"'):
            quoted = not quoted
            end = len(kept)
        elif byte in b"#;" and not quoted:
            break
        else:
            kept.append(byte)
            if quoted or byte not in b" \t":
                end = len(kept)
        at += 1
    return bytes(kept[:end])


def absolute_url(url: str, remote: str) -> str:
    """Return a submodule's URL, with `./…` and `../…` resolved as `relative_url` in git's remote.c does.

    Raises InvalidRemoteURL for a URL that leads above the host, and for one that is too long.
    """
    if len(url) > _LONGEST_URL:
        raise InvalidRemoteURL(f"the URL has more than {_LONGEST_URL} characters")
    if not url.startswith(("./", "../")):
        return url
    above = remote.rstrip("/")
    separator = "/"
    while True:
        if url.startswith("../"):
            url = url[3:]
            at = above.rfind("/")
            if at < 0:
                at, separator = above.rfind(":"), ":"
            if at < 0 or above[:at].endswith((":", ":/")) or not above[:at]:
                raise InvalidRemoteURL("the relative URL leads above the host of its superproject")
            above = above[:at]
        elif url.startswith("./"):
            url = url[2:]
        else:
            return (above + separator + url).rstrip("/")
