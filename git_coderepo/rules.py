"""The settings that say which changes belong to a snapshot, and how much may travel with it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.settings import Settings

_OVERLAY_LIMIT = 100 << 20
# GitHub takes no push above 2 GiB, and a run should not wait for one: half of that.
_PUBLISH_LIMIT = 1 << 30


def untracked_rule(settings: Settings) -> str:
    """What `coderepo.untracked` has become of untracked paths. Raises UsageError."""
    return settings.choice("untracked", ("include", "ignore", "refuse"), "include")


def dirty_rule(settings: Settings) -> str:
    """Whether `coderepo.dirty` lets a dirty checkout pass. Raises UsageError."""
    return settings.choice("dirty", ("allow", "refuse"), "allow")


def overlay_limit(settings: Settings) -> int:
    """The bytes that an overlay may carry. Raises UsageError."""
    return settings.size("overlayLimit", _OVERLAY_LIMIT)


def publish_limit(settings: Settings) -> int:
    """The bytes that may be published. Raises UsageError."""
    return settings.size("publishLimit", _PUBLISH_LIMIT)
