"""Git LFS: the tree holds pointers, the contents are kept elsewhere."""

from __future__ import annotations

from tests.fidelity.case import Stage, Wanted, case

GROUP = "Git LFS"
ATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\n"


@case(GROUP, "attributes of Git LFS, no pointer")
def no_pointer(stage: Stage) -> Wanted:
    """Files that were never given to it: what the tree holds is what they are."""
    place = stage.world(files={".gitattributes": ATTRIBUTES, "weights.bin": bytes(range(256)) * 8})
    place.checkout.write("more.bin", b"\0" * 3000)
    return Wanted(place, place.checkout)
