"""The `coderepo.*` settings and the few of git's own that matter, from one reading of git's configuration.

A setting `coderepo.cacheDir` has a twin in the environment, `CODEREPO_CACHE_DIR`, which wins over the configuration.
"""

from __future__ import annotations

import os
import stat

from git_coderepo.errors import GitNotFound, NotReproducible, UsageError
from git_coderepo.git.process import Git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from git_coderepo.git.process import Git, Process
    from git_coderepo.git.repository import Layout

# `--show-scope` comes with git 2.26; `--null` ends a scope and an entry with NUL, a name with a newline.
READ_ARGUMENTS = (
    "config", "--null", "--show-scope", "--get-regexp",
    r"^(attr|coderepo|remote|branch|url|core|credential|extensions|submodule|filter|color|advice|index|lfs)\.",
)  # fmt: skip

# The scope of what a team's file says; see `team`.
TEAM = "team"
# The scopes that a repository cannot write to.
TRUSTED_SCOPES = ("system", "global", "command")

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


# --- A team's settings -----------------------------------------------------------------------------------------------

NAME = b".coderepo"
# A file of settings is some lines; who has more in it has something else.
LIMIT = 64 << 10
# `coderepo.NAME`, in lower case as git gives it.
SETTINGS = frozenset(("allowsecret", "exclude", "scope", "buildfile", "inlinelimit", "overlaylimit"))
# Of these the team's count beside the user's own.
_TOGETHER = frozenset(("allowsecret",))
_READ = ("config", "--null", "--no-includes")


def start_team(git: Git, toplevel: bytes) -> Process | None:
    """git on its way to read the file in the work tree as it is now; None where there is none: then nothing is started.

    Raises NotReproducible for one that is no regular file, or none of settings.
    """
    try:
        descriptor = os.open(toplevel + b"/" + NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        link = os.path.islink(toplevel + b"/" + NAME)
        raise _unusable("it is a symbolic link" if link else (error.strerror or str(error)).lower()) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            return None
        if not stat.S_ISREG(mode):
            raise _unusable("it is no plain file")
        contents = os.read(descriptor, LIMIT + 1)
    finally:
        os.close(descriptor)
    return _started(git, contents)


def start_team_of(git: Git, listing: bytes) -> Process | None:
    """The same for the file in a tree, whose `ls-tree -r -z` is `listing`."""
    end = b"\t" + NAME + b"\0"
    at = listing.find(end)
    if at < 0:
        return None
    mode, kind, id = listing[listing.rfind(b"\0", 0, at) + 1 : at].split(b" ")
    if kind != b"blob" or mode == b"120000":
        raise _unusable("it is no plain file")
    size = int(git.line("cat-file", "-s", id.decode()))
    return _started(git, git.run("cat-file", "blob", id.decode()) if size <= LIMIT else bytes(LIMIT + 1))


def with_team(settings: Settings, process: Process | None, notify: Callable[[str], None]) -> Settings:
    """The user's settings, and beneath them the team's; `notify` hears of each line that is passed over.

    Raises NotReproducible where git cannot read the file.
    """
    if process is None:
        return settings
    if process.finish().status != 0:
        words = os.fsdecode(process.stderr).strip().rpartition("fatal: ")[2]
        raise _unusable(words.replace(" in standard input", "") or f"git ended with status {process.status}")
    known = {(entry.section, entry.subsection, entry.name) for entry in settings.entries}
    added = []
    refused: dict[str, None] = {}
    for line in os.fsdecode(process.stdout).split("\0")[:-1]:
        entry = Entry.parse(line, TEAM)
        if not is_allowed(entry):
            refused[".".join(part for part in (entry.section, entry.subsection, entry.name) if part is not None)] = None
        elif (entry.section, entry.subsection, entry.name) not in known or entry.name in _TOGETHER:
            added.append(entry)
    for name in refused:
        notify(f"warning: '{name}' in '.coderepo' is passed over: a team's file may not set it")
    return Settings([*settings.entries, *added], settings.environment)


def team_settings(git: Git, layout: Layout, settings: Settings, notify: Callable[[str], None]) -> Settings:
    """The settings that hold in this checkout, the team's among them. Raises NotReproducible."""
    return with_team(settings, start_team(git, layout.toplevel), notify)


def is_allowed(entry: Entry) -> bool:
    """Whether a team's file may say this: what is left out or looked at, a limit, or a host's platform."""
    if entry.section != "coderepo":
        return False
    if entry.subsection is None:
        return entry.name in SETTINGS
    authority = entry.subsection.removeprefix("https://").removesuffix("/")
    return (
        entry.name == "type"
        and entry.subsection == f"https://{authority}/"
        and bool(authority)
        and not set(authority) & set("/@?#\\ ")
        # A custom class is code of somebody's choosing.
        and entry.value not in (None, "custom")
    )


def _started(git: Git, contents: bytes) -> Process:
    if len(contents) > LIMIT:
        raise _unusable(f"it is larger than {LIMIT >> 10} KiB")
    return git.start(*_READ, "--file", "-", "--list", stdin=contents)


def _unusable(reason: str) -> NotReproducible:
    return NotReproducible(
        f"the team's settings in '.coderepo' cannot be read: {reason}",
        hints=["make it a regular file of at most 64 KiB that git reads: git config --file .coderepo --list"],
    )


# --- The settings that say which changes belong to a snapshot --------------------------------------------------------

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
