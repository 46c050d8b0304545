"""Settings `coderepo.NAME` that do not exist, and the setting that each one was probably meant to be."""

from __future__ import annotations

from git_coderepo.settings import SETTINGS, TEAM
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.settings import Settings

# More than difflib's 0.6, where `cache` is near `scope`: a wrong suggestion is worse than none.
_CLOSE = 0.75


class Mistyped(Value):
    """A name as git prints it (lower case), the scope of the last line that sets it, and the setting it is close to."""

    name: str
    scope: str
    suggestion: str | None

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        meant = f"; did you mean 'coderepo.{self.suggestion}'?" if self.suggestion is not None else ""
        return f"unknown setting 'coderepo.{self.name}' has no effect{meant}"


def mistyped(settings: Settings) -> list[Mistyped]:
    """Return the unknown settings of ours, each once; those of a team's file are reported when it is read."""
    known = {name.lower(): name for name in SETTINGS}
    scopes = {
        entry.name: entry.scope
        for entry in settings.entries
        if entry.section == "coderepo" and entry.subsection is None and entry.name not in known and entry.scope != TEAM
    }
    return [Mistyped(name=name, scope=scope, suggestion=_closest(name, known)) for name, scope in scopes.items()]


def _closest(name: str, known: dict[str, str]) -> str | None:
    import difflib  # `status` reads the settings each time, and rarely finds an unknown one

    near = difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE)
    return known[near[0]] if near else None
