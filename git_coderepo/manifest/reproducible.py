"""What was recorded as not reproducible is refused to whoever asks for it."""

from __future__ import annotations

from git_coderepo.errors import NotReproducible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.manifest.model import Code


def refuse_unreproducible(code: Code, run: str) -> None:
    """Raises NotReproducible, with the reasons of the record, for a `code` nobody can get back; `run` is its id."""
    obstacles = code.obstacles
    if obstacles:
        reasons = "; ".join(each.message for each in obstacles)
        raise NotReproducible(f"the run {run} was recorded as not reproducible: {reasons}")
