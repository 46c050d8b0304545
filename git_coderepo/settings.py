"""The `coderepo.*` settings and the few of git's own that matter, from one reading of git's configuration.

A setting `coderepo.cacheDir` has a twin in the environment, `CODEREPO_CACHE_DIR`, which wins over the configuration.
"""

from __future__ import annotations

import os

from git_coderepo.errors import GitNotFound, UsageError
from git_coderepo.git.process import Git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# `--show-scope` comes with git 2.26; `--null` ends a scope and an entry with NUL, a name with a newline.
READ_ARGUMENTS = (
    "config", "--null", "--show-scope", "--get-regexp",
    r"^(attr|coderepo|remote|branch|url|core|credential|extensions|submodule|filter|color|advice|index|lfs)\.",
)  # fmt: skip

# The scope of what a team's file says; see `team`.
TEAM = "team"

_TRUE = frozenset(("true", "yes", "on", "1"))
_FALSE = frozenset(("false", "no", "off", "0", ""))
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Entry:
    """One line of configuration: `section` and `name` in lower case, `subsection` as written or None.

    `value` is None for a name without `=`, which git reads as true; `scope` is `system`, `global`, `local`,
    `worktree` or `command`, or TEAM.
    """

    __slots__ = ("name", "scope", "section", "subsection", "value")

    def __init__(self, section: str, subsection: str | None, name: str, value: str | None, scope: str) -> None:
        self.section = section
        self.subsection = subsection
        self.name = name
        self.value = value
        self.scope = scope

    @classmethod
    def parse(cls, text: str, scope: str) -> Entry:
        """From `section.subsection.name` and, after a newline, its value: an entry as `git config --null` lists it."""
        key, newline, value = text.partition("\n")
        section, _, rest = key.partition(".")
        subsection, dot, name = rest.rpartition(".")
        return cls(section, subsection if dot else None, name, value if newline else None, scope)


class Settings:
    """What `READ_ARGUMENTS` printed, in git's order: of several values the last one counts.

    In a submodule `outer` are its superproject's settings, of which ours hold there too, and `path` is its raw path.
    """

    __slots__ = ("entries", "environment", "outer", "path")

    def __init__(
        self, entries: list[Entry], environment: Mapping[str, str], outer: Settings | None = None, path: bytes = b""
    ) -> None:
        self.entries = entries
        self.environment = environment
        self.outer = outer
        self.path = path

    @classmethod
    def parse(cls, output: bytes, environment: Mapping[str, str] | None = None) -> Settings:
        """From the bytes of `git config --null --show-scope --get-regexp …`."""
        fields = os.fsdecode(output).split("\0")
        entries = [Entry.parse(text, scope) for scope, text in zip(fields[0:-1:2], fields[1::2], strict=True)]
        return cls(entries, os.environ if environment is None else environment)

    @classmethod
    def read(cls, git: Git) -> Settings:
        """Ask git, once."""
        return cls.parse(git.start(*READ_ARGUMENTS).checked(1), git.environment)

    def within(self, outer: Settings, path: bytes) -> Settings:
        """The same settings, in the submodule at `path` (raw) of the checkout whose settings are `outer`."""
        return Settings(self.entries, self.environment, outer, path)

    @property
    def outermost(self) -> Settings:
        """The settings of the checkout in which all of this lies."""
        return self if self.outer is None else self.outer.outermost

    def value(self, section: str, name: str, subsection: str | None = None) -> str | None:
        """The last value of `section.subsection.name` (any case of section and name), or None."""
        values = self.values(section, name, subsection)
        return values[-1] if values else None

    def values(self, section: str, name: str, subsection: str | None = None) -> list[str]:
        """All values, in git's order."""
        wanted = (section.lower(), subsection, name.lower())
        return [
            "true" if entry.value is None else entry.value
            for entry in self.entries
            if (entry.section, entry.subsection, entry.name) == wanted
        ]

    def subsections(self, section: str) -> Iterator[str]:
        """The subsections of a section, each once, in the order of their first appearance."""
        seen: dict[str, None] = {}
        for entry in self.entries:
            if entry.section == section and entry.subsection is not None:
                seen[entry.subsection] = None
        return iter(seen)

    def git_flag(self, section: str, name: str, default: bool) -> bool:
        """A boolean of git's own; what git would not take for one counts as the default."""
        text = self.value(section, name)
        return default if text is None else text.lower() in _TRUE or (text.lower() not in _FALSE and default)

    # --- settings of our own: `name` as documented, `cacheDir` ---

    def text(self, name: str) -> str | None:
        """`coderepo.NAME`, or its twin in the environment."""
        twin = self.environment.get(twin_of(name))
        text = twin if twin is not None else self.value("coderepo", name)
        return self.outer.text(name) if text is None and self.outer is not None else text

    def texts(self, name: str) -> list[str]:
        """All values of a setting that may be given several times; the twin holds them parted by newlines."""
        twin = self.environment.get(twin_of(name))
        return twin.split("\n") if twin is not None else self.values("coderepo", name)

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """A setting that is one of a few words; raises UsageError for another."""
        text = self.text(name)
        if text is None:
            return default
        if text not in allowed:
            raise UsageError(f"'{text}' is no value of 'coderepo.{name}'", hints=[f"one of: {', '.join(allowed)}"])
        return text

    def flag(self, name: str, default: bool) -> bool:
        """A boolean as `git config --type=bool` reads it."""
        text = self.text(name)
        if text is None:
            return default
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise UsageError(f"'{text}' is no boolean: 'coderepo.{name}'")

    def seconds(self, name: str, default: float) -> float:
        """A time in seconds, which need not be whole."""
        text = self.text(name)
        if text is None:
            return default
        if not text.isascii() or not text.replace(".", "", 1).isdigit():
            raise UsageError(f"'{text}' is no number of seconds: 'coderepo.{name}'")
        return float(text)

    def size(self, name: str, default: int) -> int:
        """A number of bytes as `git config --type=int` reads it: `64k`, `100m`, `1g`."""
        text = self.text(name)
        return default if text is None else size_of(text, f"coderepo.{name}")


def start_runner_settings(git: Git) -> Callable[[], Settings]:
    """git's configuration where there is a git, else the environment alone; what is returned waits for the answer."""
    try:
        asked = git.start(*READ_ARGUMENTS)
    except GitNotFound:
        return lambda: Settings([], git.environment)
    return lambda: Settings.parse(asked.checked(1), git.environment)


def runner_settings(git: Git) -> Settings:
    """The same, at once."""
    return start_runner_settings(git)()


def size_of(text: str, subject: str) -> int:
    """The number of bytes that a text such as `64k`, `100m` or `1g` means; raises UsageError, naming the subject."""
    digits, unit = (text[:-1], text[-1].lower()) if text[-1:].lower() in _UNITS else (text, "")
    if not digits.isascii() or not digits.isdigit():
        raise UsageError(
            f"'{text}' is no size: '{subject}'",
            hints=["write a number of bytes, or a number with k, m or g, such as 64k"],
        )
    return int(digits) * _UNITS.get(unit, 1)


def twin_of(name: str) -> str:
    """`CODEREPO_CACHE_DIR` for `cacheDir`."""
    return "CODEREPO_" + "".join("_" + char if char.isupper() else char for char in name).upper()
