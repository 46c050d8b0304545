"""The manual page, made from the command line and the platforms as they are; `make man` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from git_coderepo import __version__
from git_coderepo.cli.surface import Parameter, Verb, verbs
from git_coderepo.platforms import platform_class, platform_types

_DESCRIPTION = """\
.PP
A run is only as good as the memory of the code behind it.
\\fBgit coderepo\\fR knows where a checkout's code is hosted, records the exact tree that runs, as dirty as it is, in a
JSON run manifest, and lets a runner that has nothing but the manifest materialise the same tree from the platform
and prove it by Git's own tree id.
.PP
A snapshot is a tree id: tracked paths as they are now, plus untracked ones that are not ignored.
Its \\fIbase\\fR is the commit from which the platform serves the rest; what the base lacks, the \\fIoverlay\\fR,
travels with the manifest.
The tree id of what a runner materialised equals the recorded one, or the runner fails and leaves nothing behind.
.PP
The user's index, objects, references, work tree, HEAD and stash are never changed."""

_SETTINGS = (
    ("coderepo.default", "the code repository that is meant when several match"),
    ("coderepo.NAME.type, .remote, .source, .description, .logoUrl", "a registration, and the platform's options"),
    ("coderepo.https://HOST/.type", "the platform of a whole host, in the user's or the system's configuration"),
    ("coderepo.dirty", "'allow' (default) or 'refuse': whether a dirty checkout may be recorded"),
    ("coderepo.untracked", "'include' (default), 'ignore' or 'refuse' untracked files"),
    ("coderepo.exclude", "a pattern of untracked files that do not travel; may be given several times"),
    ("coderepo.secretScan", "whether contents in the shape of a token stop a snapshot (default true)"),
    ("coderepo.inlineLimit", "up to which size the overlay stands in the manifest (default 64k)"),
    ("coderepo.overlayLimit", "up to which size anything travels at all (default 100m)"),
    ("coderepo.maxWait", "how many seconds to wait for a platform that asks for it (default 60)"),
)

_ENVIRONMENT = (
    ("CODEREPO_CREDENTIALS_FILE", "a file of credentials: lines as git-credential-store(1) writes them, or "
     "'ORIGIN[/PREFIX] USER @/path/to/token'; read again at each use"),
    ("CODEREPO_TOKEN, CODEREPO_TOKEN_FILE", "a token, only together with CODEREPO_TOKEN_ORIGIN"),
    ("CODEREPO_TOKEN_ORIGIN", "the origin that the token is for, such as https://git.example.com"),
    ("CODEREPO_ALLOW_PROTOCOL", "protocols allowed beside https and ssh, parted by ':': file, http (loopback only)"),
    ("CODEREPO_ALLOW_SOURCE", "custom classes that a manifest may name, parted by ':'"),
    ("CODEREPO_...", "every setting that a runner reads has a twin: coderepo.maxWait is CODEREPO_MAX_WAIT"),
    ("GIT_TRACE", "set to 1, shows each command and request, with secrets redacted, as --verbose does"),
    ("GIT_ADVICE", "set to 0, switches all hints off"),
)  # fmt: skip

_STATUS = (
    ("0", "it was done, or the answer is yes"),
    ("1", "the answer is no: a tree that differs, a file that is not valid"),
    ("4", "a credential is missing or was refused"),
    ("128", "a fatal error; nothing half-done is left behind"),
    ("129", "the words of the command do not fit its usage"),
    ("130", "interrupted"),
    ("141", "whoever read the output is gone"),
)

_FILES = (
    (".git/config", "registrations, in sections [coderepo \"NAME\"]; no secret is ever written there"),
    (".git/coderepo/", "our own objects, with the user's as their alternate, and overlays too large for a manifest"),
)  # fmt: skip

_EXAMPLES = (
    ("git coderepo register", "Tie this checkout to its platform."),
    ("git coderepo status", "What would be recorded now, and could a runner fetch it?"),
    ("git coderepo snapshot -o run.json", "Write the run manifest."),
    ("git coderepo fetch run.json code", "On any machine: the same code, proved."),
    ("git coderepo verify run.json code", "Is it still the same?"),
)


def make() -> str:
    """The page as roff (man(7))."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield f'.TH GIT\\-CODEREPO 1 "" "git\\-coderepo {__version__}" "Git Manual"'
    yield ".SH NAME"
    yield "git\\-coderepo \\- know exactly which code made a run, and get exactly that code back"
    yield ".SH SYNOPSIS"
    yield ".nf"
    for verb in verbs():
        yield f"\\fIgit coderepo\\fR {_text(_synopsis(verb))}"
    yield ".fi"
    yield ".SH DESCRIPTION"
    yield _DESCRIPTION
    yield ".SH COMMANDS"
    for verb in verbs():
        yield f".SS {_text(_synopsis(verb))}"
        yield _text(verb.help)
        for each in verb.parameters:
            yield from _item(_named(each), each.help)
        if verb.takes_platform_options:
            yield ".PP"
            yield "The platform's own options follow; see PLATFORMS."
    yield ".SH PLATFORMS"
    yield "In option names `_' and `\\-' are one. `@FILE' reads a value from a file, `\\-' from standard input;"
    yield "`{{name.key}}' refers to a secret that `git coderepo secret set' keeps in the keyring."
    for name in platform_types():
        platform = platform_class(name)
        yield f".SS {_text(name)}: {_text(platform.title)}"
        for option in platform.options:
            yield from _item(option.flag, option.help)
        if platform.token_help:
            yield ".PP"
            yield "Token: " + _text(platform.token_help)
    for title, rows in (
        ("CONFIGURATION", _SETTINGS),
        ("ENVIRONMENT", _ENVIRONMENT),
        ("FILES", _FILES),
        ("EXIT STATUS", _STATUS),
        ("EXAMPLES", _EXAMPLES),
    ):
        yield f'.SH "{title}"'
        for term, text in rows:
            yield from _item(term, text)
    yield ".SH SEE ALSO"
    yield "\\fBgit\\fR(1), \\fBgit\\-config\\fR(1), \\fBgitcredentials\\fR(7), \\fBgitattributes\\fR(5)"


def _item(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f"\\fB{_text(term)}\\fR"
    yield _text(text)


def _synopsis(verb: Verb) -> str:
    words = [*verb.words]
    if verb.options:
        words.append("[<options>]")
    for each in verb.arguments:
        word = f"{each.metavar}…" if each.repeated else str(each.metavar)
        words.append(word if each.required else f"[{word}]")
    return " ".join(words)


def _named(each: Parameter) -> str:
    if not each.flags:
        return str(each.metavar)
    names = ", ".join(sorted(each.flags, key=len))
    return names if each.metavar is None else f"{names} {each.metavar}"


def _text(text: str) -> str:
    """Text for roff: hyphens stay hyphens, a backslash is one, no line starts with a control character."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in escaped.splitlines())


if __name__ == "__main__":
    sys.stdout.write(make())
