"""Random edits of a checkout, for property tests: what they may be, and how each is made, as a user makes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from hypothesis import strategies as st

from git_coderepo.snapshots.secret_scan import secret_by_name
from tests.support.manifests import names
from tests.support.repo import Repo

Edit = tuple[str, bytes | None, bytes | None]

# Few names meet one another often; any names are seldom the same twice.
FEW_NAMES = st.sampled_from(
    [b"a", b"b.py", b"sp ace", b"new\nline", b"caf\xc3\xa9", b"\xff\xfe", b"-dash", b"UP", b"up", b"n" * 250, b"x.sh"]
)
FEW_PATHS = st.lists(FEW_NAMES, min_size=1, max_size=3).map(b"/".join)
ANY_PATHS = st.lists(
    names().filter(lambda name: not name.lower().startswith((b".git", b"git~")) and not secret_by_name(name)),
    min_size=1,
    max_size=4,
).map(b"/".join)
PATHS = st.one_of(FEW_PATHS, FEW_PATHS, ANY_PATHS)
CONTENTS = st.one_of(
    st.binary(max_size=64), st.just(b"same\n" * 30), st.just(b"a\r\nb\n"), st.binary(max_size=8).map(lambda b: b * 9999)
)
TARGETS = st.one_of(
    st.sampled_from([b"a", b"../x", b"/etc/passwd", b"t" * 150, b"."]),
    st.binary(min_size=1, max_size=20).map(lambda raw: raw.replace(b"\0", b"_")),
)
_NONE = st.none()


def edits(paths: st.SearchStrategy[bytes] = PATHS) -> st.SearchStrategy[Edit]:
    """One edit: (kind, path, contents or a link's target)."""
    return st.one_of(
        st.tuples(st.just("write"), paths, CONTENTS),
        st.tuples(st.just("write"), paths, CONTENTS),
        st.tuples(st.just("executable"), paths, CONTENTS),
        st.tuples(st.just("link"), paths, TARGETS),
        st.tuples(st.just("remove"), paths, _NONE),
        st.tuples(st.just("flip"), paths, _NONE),
        st.tuples(st.just("move"), paths, paths),
        st.tuples(st.just("stage"), _NONE, _NONE),
    )


def apply(repo: Repo, wanted: Sequence[Edit]) -> None:
    """Make each edit; one that does not fit what is there replaces it, one that finds nothing does nothing."""
    for kind, path, data in wanted:
        if kind == "stage":
            repo.git("add", "-A")
            continue
        assert path is not None
        full = repo.file(path)
        if kind == "flip":
            if os.path.isfile(full) and not os.path.islink(full):
                os.chmod(full, os.stat(full).st_mode ^ 0o111)
            continue
        if kind == "move":
            assert data is not None
            if not os.path.lexists(full) or (data + b"/").startswith(path + b"/") or path.startswith(data + b"/"):
                continue
            _make_room(repo, data)
            if os.path.lexists(full):
                os.rename(full, repo.file(data))
            continue
        if kind == "remove":
            if os.path.lexists(full):
                repo.remove(path)
            continue
        _make_room(repo, path)
        assert data is not None
        if kind == "link":
            os.symlink(data, full)
        else:
            repo.write(path, data, 0o755 if kind == "executable" else 0o644)


def _make_room(repo: Repo, path: bytes) -> None:
    """The folders above a path, and nothing in its place."""
    parts = path.split(b"/")
    for depth in range(1, len(parts)):
        above = repo.file(b"/".join(parts[:depth]))
        if os.path.islink(above) or os.path.isfile(above):
            os.unlink(above)
    full = repo.file(path)
    if os.path.islink(full) or os.path.isfile(full):
        os.unlink(full)
    elif os.path.isdir(full):
        shutil.rmtree(full)
    os.makedirs(os.path.dirname(full), exist_ok=True)
