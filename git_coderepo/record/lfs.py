"""What a snapshot needs to know of Git LFS: whether its tree uses it, and which objects the server may not have."""

from __future__ import annotations

from git_coderepo.checkout.attributes import attribute_contents, attribute_files, wants_lfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.attributes import Attributes
    from git_coderepo.checkout.lfs import Unpushed
    from git_coderepo.git import Git
    from git_coderepo.record.snapshot import Snapshot


def lfs_attributes(git: Git, toplevel: bytes, listing: bytes) -> Attributes | None:
    """The attributes of the tree whose `ls-tree -r -z` is `listing`; None where they give nothing to Git LFS."""
    files = attribute_files(listing)
    if not files:
        return None
    contents = attribute_contents(git, toplevel, files)
    if not wants_lfs(contents):
        return None
    from git_coderepo.attributes import Attributes

    return Attributes({path.rpartition(b"/")[0]: text for (path, _), text in zip(files, contents, strict=True)})


def unpushed_objects(snapshot: Snapshot) -> list[Unpushed]:
    """The objects of Git LFS that the server may not have; see `checkout.lfs.find_unpushed`, which says what it raises.

    The differences of the snapshot are known already.
    """
    if snapshot.lfs_attributes is None:
        return []
    from git_coderepo.checkout.lfs import find_unpushed

    assert snapshot.layout is not None and snapshot.store is not None and snapshot.settings is not None
    git, base = snapshot.git_with_store, snapshot.base_tree
    return find_unpushed(
        git,
        snapshot.layout,
        snapshot.store,
        snapshot.settings,
        snapshot.travels,
        snapshot.lfs_attributes,
        edited=frozenset(change.path for change in snapshot.status.changes) if snapshot.status else frozenset(),
        base_listing=lambda: b"" if base is None else git.run("ls-tree", "-r", "-z", "--full-tree", base.hex),
    )
