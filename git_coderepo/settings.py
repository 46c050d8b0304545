"""The table of the `coderepo.*` settings, and how they and a few of git's own are read from git's configuration.

A setting such as `coderepo.cacheDir` can also be set by an environment variable, `CODEREPO_CACHE_DIR`, which takes
precedence over the configuration.
"""

from __future__ import annotations

import os
import stat

from git_coderepo.errors import GitNotFound, NotReproducible, UsageError
from git_coderepo.value import Value

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

# The scope of entries that come from a team's file; see `with_team`.
TEAM = "team"
# The scopes that a repository cannot write to.
TRUSTED_SCOPES = ("system", "global", "command")

_TRUE = frozenset(("true", "yes", "on", "1"))
_FALSE = frozenset(("false", "no", "off", "0", ""))
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

# --- The table of settings -------------------------------------------------------------------------------------------

# Who may set a setting: the team in its `.coderepo` file as well; any configuration; the user alone, since a repository
# and its configuration may come from somebody else; or this program, which keeps a list of names in it.
ANYONE, CHECKOUT, USER, PROGRAM = "anyone", "checkout", "user", "program"


class Setting(Value):
    """A setting `coderepo.NAME`.

    `value` is a placeholder for the kind of its value, such as SIZE, or the words to choose from, separated by `|`.
    `default` is written as a user would write it, and None where an unset setting has no effect. `set_by` is ANYONE,
    CHECKOUT, USER or PROGRAM. A `repeated` setting may have several values. `help` is for the manual.
    """

    name: str
    value: str
    default: str | None
    set_by: str
    repeated: bool
    help: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The words to choose from; empty where the value is not one of a few words."""
        return tuple(self.value.split("|")) if "|" in self.value else ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it as well."""
        return variable_of(self.name)


def _setting(
    name: str, value: str, help: str, default: str | None = None, *, set_by: str = CHECKOUT, repeated: bool = False
) -> Setting:
    return Setting(name=name, value=value, default=default, set_by=set_by, repeated=repeated, help=help)


# The readers in `Settings`, what a team's file may set, the manual and the reference are derived from this table.
SETTINGS = {
    each.name: each
    for each in (
        _setting("default", "NAME", "The code repository to use."),
        _setting("dirty", "allow|refuse", "Whether a run in a dirty checkout may be recorded.", "allow"),
        _setting("untracked", "include|ignore|refuse", "What to do with untracked files.", "include"),
        _setting(
            "exclude",
            "PATTERN",
            "Untracked files to leave out: a shell pattern for a path, for its last name, or for a folder above it.",
            set_by=ANYONE,
            repeated=True,
        ),
        _setting(
            "scope",
            "PATH",
            "Limit the snapshot to this path from the root; see LARGE REPOSITORIES.",
            set_by=ANYONE,
            repeated=True,
        ),
        _setting(
            "buildFile",
            "PATTERN",
            "Additional files for `build-key`. A PATTERN without a slash is a file name, looked up in the run's "
            "directory and its parents; with a slash it is the path of a file or a folder from the root. Files outside "
            "the scope are ignored.",
            set_by=ANYONE,
            repeated=True,
        ),
        _setting(
            "onCommit",
            "remove|snapshot",
            "What the post-commit hook does with `current.json`: remove it, or write it again. `hooks install` reads "
            "this setting.",
            "remove",
        ),
        _setting(
            "allowSecret",
            "FINGERPRINT",
            "A line that the scan for tokens accepts, by the fingerprint that the error prints. A comment "
            "`coderepo:allow-secret` on the line has the same effect.",
            set_by=ANYONE,
            repeated=True,
        ),
        _setting("secretScan", "BOOL", "Whether contents that look like a token stop a snapshot.", "true"),
        _setting(
            "inlineLimit",
            "SIZE",
            "The maximum total size of the overlays inside the manifest; larger ones are files beside it.",
            "64k",
            set_by=ANYONE,
        ),
        _setting(
            "overlayLimit",
            "SIZE",
            "Maximum total size of the files that are sent with the manifest.",
            "100m",
            set_by=ANYONE,
        ),
        _setting("cache", "BOOL", "Whether `fetch` adds trees to the cache; `exec` always does.", "false"),
        _setting(
            "cacheDir",
            "DIR",
            "Cache directory (default: the user's cache directory). Each user gets a separate subdirectory.",
        ),
        _setting(
            "cacheLimit",
            "SIZE",
            "The maximum size of the cache; `0` means no limit. When a tree is added, the least recently used ones are "
            "removed.",
            "0",
        ),
        _setting(
            "cacheTrust",
            "own",
            "No longer has any effect: only your own trees are used. Any other value prints a warning.",
            "own",
        ),
        _setting("publish", "never|ask|auto", "Whether to publish a run when it is recorded.", "never"),
        _setting("store", "URL", "The shared store, which runners ask before the platform; see SHARED STORE."),
        # GitHub accepts no push above 2 GiB, and a run should not wait for one: half of that.
        _setting("publishLimit", "SIZE", "The maximum size of a publication: all that the base lacks.", "1g"),
        _setting("maxWait", "SECONDS", "How long to wait when a platform asks to retry later.", "60"),
        _setting("credentialsFile", "FILE", "A file of credentials; see CREDENTIALS.", set_by=USER),
        _setting(
            "allowSource",
            "CLASS",
            "A custom class that a manifest may name: `module.Class`, or a whole `module`. A value may hold several, "
            "separated by `:` or `,`.",
            set_by=USER,
            repeated=True,
        ),
        _setting(
            "keyringEntry",
            "ORIGIN[/PREFIX] [USER]",
            "A token that `login` put into the keyring.",
            set_by=PROGRAM,
            repeated=True,
        ),
        _setting(
            "keyringOption",
            "ORIGIN[/PREFIX] OPTION",
            "A secret option of a custom class that `register` put into the keyring.",
            set_by=PROGRAM,
            repeated=True,
        ),
        _setting(
            "secret", "NAME.KEY", "A value that `secret set` put into the keyring.", set_by=PROGRAM, repeated=True
        ),
    )
}


def variable_of(name: str) -> str:
    """Return the environment variable of a setting: `CODEREPO_CACHE_DIR` for `cacheDir`."""
    return "CODEREPO_" + "".join("_" + char if char.isupper() else char for char in name).upper()


# --- Reading ---------------------------------------------------------------------------------------------------------


class Entry:
    """One line of configuration: `section` and `name` in lower case, `subsection` as written or None.

    `value` is None for a name without `=`, which git reads as true. `scope` is `system`, `global`, `local`, `worktree`
    or `command`, or TEAM.
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
        """Return the entry in `SECTION.SUBSECTION.NAME`, a newline and its value, as `git config --null` prints it."""
        key, newline, value = text.partition("\n")
        section, _, rest = key.partition(".")
        subsection, dot, name = rest.rpartition(".")
        return cls(section, subsection if dot else None, name, value if newline else None, scope)


class Settings:
    """The entries that `READ_ARGUMENTS` printed, in git's order: of several values the last one counts.

    In a submodule `outer` holds the settings of its superproject, of which ours apply there too, and `path` is its raw
    path.
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
        """Return the settings in the output of `git config --null --show-scope --get-regexp …`."""
        fields = os.fsdecode(output).split("\0")
        entries = [Entry.parse(text, scope) for scope, text in zip(fields[0:-1:2], fields[1::2], strict=True)]
        return cls(entries, os.environ if environment is None else environment)

    @classmethod
    def read(cls, git: Git) -> Settings:
        """Ask git for its configuration, once. Raises GitFailed, GitNotFound."""
        return cls.parse(git.start(*READ_ARGUMENTS).checked(1), git.environment)

    def within(self, outer: Settings, path: bytes) -> Settings:
        """Return these settings for the submodule at `path` (raw) of the checkout whose settings are `outer`."""
        return Settings(self.entries, self.environment, outer, path)

    @property
    def outermost(self) -> Settings:
        """The settings of the outermost superproject."""
        return self if self.outer is None else self.outer.outermost

    def value(self, section: str, name: str, subsection: str | None = None) -> str | None:
        """Return the last value of `section.subsection.name` (any case of section and name), or None."""
        values = self.values(section, name, subsection)
        return values[-1] if values else None

    def values(self, section: str, name: str, subsection: str | None = None) -> list[str]:
        """Return all values of `section.subsection.name`, in git's order."""
        key = (section.lower(), subsection, name.lower())
        return [
            "true" if entry.value is None else entry.value
            for entry in self.entries
            if (entry.section, entry.subsection, entry.name) == key
        ]

    def subsections(self, section: str) -> Iterator[str]:
        """Yield the subsections of a section, each once, in the order of their first appearance."""
        seen: dict[str, None] = {}
        for entry in self.entries:
            if entry.section == section and entry.subsection is not None:
                seen[entry.subsection] = None
        return iter(seen)

    def git_flag(self, section: str, name: str, default: bool) -> bool:
        """Return one of git's own boolean settings, or `default` if its value is missing or invalid."""
        text = self.value(section, name)
        return default if text is None else text.lower() in _TRUE or (text.lower() not in _FALSE and default)

    # --- settings of our own, by their name in SETTINGS ---

    def text(self, name: str) -> str | None:
        """Return the value of a setting, else its default; None where it has neither."""
        text = self._set_text(name)
        return SETTINGS[name].default if text is None else text

    def texts(self, name: str) -> list[str]:
        """Return all values of a repeated setting; its environment variable separates them by newlines."""
        variable = self.environment.get(variable_of(name))
        return variable.split("\n") if variable is not None else self.configured(name)

    def configured(self, name: str) -> list[str]:
        """Return the values that the configuration gives a setting, from the scopes that may set it, in git's order."""
        if SETTINGS[name].set_by != USER:
            return self.values("coderepo", name)
        trusted = [entry for entry in self.entries if entry.scope in TRUSTED_SCOPES]
        return Settings(trusted, self.environment).values("coderepo", name)

    def choice(self, name: str) -> str:
        """Return the value of a setting that is one of a few words. Raises UsageError for another word."""
        text, choices = self.text(name), SETTINGS[name].choices
        if text is None or text not in choices:
            raise UsageError(
                f"invalid value '{text}' of 'coderepo.{name}'", hints=[f"choose one of: {', '.join(choices)}"]
            )
        return text

    def flag(self, name: str) -> bool:
        """Return a boolean, as `git config --type=bool` reads it. Raises UsageError for anything else."""
        text = (self.text(name) or "").lower()
        if text not in _TRUE and text not in _FALSE:
            raise UsageError(f"invalid boolean '{text}' of 'coderepo.{name}': use true or false")
        return text in _TRUE

    def seconds(self, name: str, default: float) -> float:
        """Return a time in seconds, or `default`, which stands in for that of the table. Raises UsageError."""
        text = self._set_text(name)
        if text is None:
            return default
        if not text.isascii() or not text.replace(".", "", 1).isdigit():
            raise UsageError(f"invalid time '{text}' of 'coderepo.{name}': use a number of seconds")
        return float(text)

    def size(self, name: str) -> int:
        """Return a number of bytes, as `git config --type=int` reads `64k`, `100m` or `1g`. Raises UsageError."""
        return size_of(self.text(name) or "", f"coderepo.{name}")

    def _set_text(self, name: str) -> str | None:
        """Return the value of a setting; None where nothing sets it, in the superproject's settings neither."""
        text = self.environment.get(variable_of(name))
        if text is None:
            text = next(reversed(self.configured(name)), None)
        return self.outer._set_text(name) if text is None and self.outer is not None else text


def start_runner_settings(git: Git) -> Callable[[], Settings]:
    """Start to read git's configuration; return a function that waits for it and returns the settings.

    Without git on this machine they come from the environment alone.
    """
    try:
        process = git.start(*READ_ARGUMENTS)
    except GitNotFound:
        return lambda: Settings([], git.environment)
    return lambda: Settings.parse(process.checked(1), git.environment)


def runner_settings(git: Git) -> Settings:
    """Return the settings of a runner, where git need not be installed."""
    return start_runner_settings(git)()


def size_of(text: str, subject: str) -> int:
    """Return the number of bytes of a text such as `64k`, `100m` or `1g`. Raises UsageError, which names `subject`."""
    digits, unit = (text[:-1], text[-1].lower()) if text[-1:].lower() in _UNITS else (text, "")
    if not digits.isascii() or not digits.isdigit():
        raise UsageError(
            f"invalid size '{text}' of '{subject}'",
            hints=["write a number of bytes, or a number with k, m or g, such as 64k"],
        )
    return int(digits) * _UNITS.get(unit, 1)


# --- A team's settings -----------------------------------------------------------------------------------------------

_TEAM_FILE = b".coderepo"
# Settings take a few lines. The limit keeps a file of another kind from being read as a whole.
_TEAM_LIMIT = 64 << 10
_TEAM_READ = ("config", "--null", "--no-includes")
# git prints names in lower case.
_TEAM_NAMES = frozenset(each.name.lower() for each in SETTINGS.values() if each.set_by == ANYONE)
# Settings that the team's file adds to, where it otherwise counts only if the user has no value.
_ADDED = frozenset(("allowsecret",))


def start_team(git: Git, toplevel: bytes) -> Process | None:
    """Start to read the team's file in the work tree at `toplevel` (a raw path); None where there is none.

    Raises NotReproducible for a file that is not a regular file, or is too large for a file of settings.
    """
    path = toplevel + b"/" + _TEAM_FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        link = os.path.islink(path)
        raise _unusable("it is a symbolic link" if link else (error.strerror or str(error)).lower()) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            return None
        if not stat.S_ISREG(mode):
            raise _unusable("it is not a regular file")
        contents = os.read(descriptor, _TEAM_LIMIT + 1)
    finally:
        os.close(descriptor)
    return _start_reading(git, contents)


def start_team_of(git: Git, listing: bytes) -> Process | None:
    """Start to read the team's file of a tree, from the output of its `ls-tree -r -z`; None where there is none.

    Raises NotReproducible, as `start_team` does.
    """
    end = b"\t" + _TEAM_FILE + b"\0"
    at = listing.find(end)
    if at < 0:
        return None
    mode, kind, id = listing[listing.rfind(b"\0", 0, at) + 1 : at].split(b" ")
    if kind != b"blob" or mode == b"120000":
        raise _unusable("it is not a regular file")
    size = int(git.line("cat-file", "-s", id.decode()))
    contents = git.run("cat-file", "blob", id.decode()) if size <= _TEAM_LIMIT else bytes(_TEAM_LIMIT + 1)
    return _start_reading(git, contents)


def with_team(settings: Settings, process: Process | None, notify: Callable[[str], None]) -> Settings:
    """Return the user's settings, with the team's as fallback; `process` comes from `start_team`.

    `notify` receives a warning for each setting that a team's file may not set. Raises NotReproducible where git
    cannot read the file.
    """
    if process is None:
        return settings
    if process.finish().status != 0:
        words = os.fsdecode(process.stderr).strip().rpartition("fatal: ")[2]
        raise _unusable(words.replace(" in standard input", "") or f"git ended with status {process.status}")
    known = {(entry.section, entry.subsection, entry.name) for entry in settings.entries}
    added = []
    ignored: dict[str, None] = {}
    for line in os.fsdecode(process.stdout).split("\0")[:-1]:
        entry = Entry.parse(line, TEAM)
        if not is_allowed(entry):
            ignored[".".join(part for part in (entry.section, entry.subsection, entry.name) if part is not None)] = None
        elif (entry.section, entry.subsection, entry.name) not in known or entry.name in _ADDED:
            added.append(entry)
    for name in ignored:
        notify(f"warning: '{name}' in '.coderepo' is ignored: a team's file may not set it")
    return Settings([*settings.entries, *added], settings.environment)


def team_settings(git: Git, layout: Layout, settings: Settings, notify: Callable[[str], None]) -> Settings:
    """Return the settings of a checkout, the team's included. Raises NotReproducible, as `with_team` does."""
    return with_team(settings, start_team(git, layout.toplevel), notify)


def is_allowed(entry: Entry) -> bool:
    """Return whether a team's file may set this: a setting that ANYONE sets, or the platform of a host."""
    if entry.section != "coderepo":
        return False
    if entry.subsection is None:
        return entry.name in _TEAM_NAMES
    authority = entry.subsection.removeprefix("https://").removesuffix("/")
    return (
        entry.name == "type"
        and entry.subsection == f"https://{authority}/"
        and bool(authority)
        and not set(authority) & set("/@?#\\ ")
        # A custom class is a program, which a repository must not be able to choose.
        and entry.value not in (None, "custom")
    )


def _start_reading(git: Git, contents: bytes) -> Process:
    if len(contents) > _TEAM_LIMIT:
        raise _unusable(f"it is larger than {_TEAM_LIMIT >> 10} KiB")
    return git.start(*_TEAM_READ, "--file", "-", "--list", stdin=contents)


def _unusable(reason: str) -> NotReproducible:
    return NotReproducible(
        f"cannot read the team's settings in '.coderepo': {reason}",
        hints=["make it a regular file of at most 64 KiB that git reads: git config --file .coderepo --list"],
    )
