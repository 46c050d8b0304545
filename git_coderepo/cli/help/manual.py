"""The manual page, made from the command line, the platforms and `manual_text.py`; `make man` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from git_coderepo import __version__
from git_coderepo.cli.help import manual_text as text
from git_coderepo.cli.help.introspection import Parameter, Verb, program_options, verbs
from git_coderepo.credentials.sources import CREDENTIAL_SOURCES
from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types
from git_coderepo.settings import ANYONE, PROGRAM, SETTINGS, USER, Setting

_DATE = "2026-11-23"


def make() -> str:
    """The page as roff, man(7): only the macros that `cli/help.py` can show without `man`."""
    lines = list(_page())
    # A heading begins a paragraph of its own.
    kept = [line for before, line in pairwise(["", *lines]) if line != ".PP" or not before.startswith((".SH", ".SS"))]
    return "\n".join(kept) + "\n"


def _page() -> Iterator[str]:
    yield '.\\" Made by `make man`: edit git_coderepo/cli/help/manual_text.py, or the help of an option.'
    yield f'.TH GIT\\-CODEREPO 1 {_DATE} "git\\-coderepo {__version__}" "Git Manual"'
    yield ".SH NAME"
    yield "git\\-coderepo \\- know exactly which code made a run, and get exactly that code back"
    yield ".SH SYNOPSIS"
    yield ".nf"
    for verb in verbs():
        yield f"\\fBgit coderepo {_roff(' '.join(verb.words))}\\fR{_synopsis(verb)}"
    yield ".fi"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(text.DESCRIPTION)
    yield from _table(text.WORDS)
    yield ".SH OPTIONS"
    for option in program_options():
        yield from _item(_named(option), option.help)
    yield from _item("-h, --help", "Show the help of the program, or of a verb. After `git`, `--help` shows this page.")
    yield ".SH COMMANDS"
    for verb in verbs():
        yield from _verb(verb)
    yield '.SH "RUN, DIR AND METHOD"'
    yield from _paragraphs(text.RUN)
    yield from _table(text.METHODS)
    yield '.SH "WHICH CODE REPOSITORY IS MEANT"'
    yield from _paragraphs(text.MEANT)
    yield ".SH PLATFORMS"
    yield from _platforms()
    yield ".SH CREDENTIALS"
    yield from _paragraphs(text.CREDENTIALS)
    yield from _table((f"{number}. {each.title}", each.help) for number, each in enumerate(CREDENTIAL_SOURCES, 1))
    yield from _paragraphs(text.CREDENTIALS_FILE)
    yield '.SH "WHAT TRAVELS"'
    yield from _paragraphs(text.TRAVELS)
    yield '.SH "PUBLISHED RUNS"'
    yield from _paragraphs(text.PUBLISHED)
    yield '.SH "SHARED STORE"'
    yield from _paragraphs(text.STORE)
    yield ".SH CACHE"
    yield from _paragraphs(text.CACHE)
    yield '.SH "ON A RUNNER"'
    yield from _paragraphs(text.UNTRUSTED)
    yield '.SH "LARGE REPOSITORIES"'
    yield from _paragraphs(text.LARGE)
    yield ".SH CONFIGURATION"
    yield from _configuration()
    yield ".SH ENVIRONMENT"
    yield from _environment()
    for title, rows in (("FILES", text.FILES), ("EXIT STATUS", text.STATUS), ("EXAMPLES", text.EXAMPLES)):
        yield f'.SH "{title}"' if " " in title else f".SH {title}"
        yield from _table(rows)
        if rows is text.STATUS:
            yield from _paragraphs(text.RUN_STATUS)
    yield '.SH "SEE ALSO"'
    pages = (("git", 1), ("git-config", 1), ("gitcredentials", 7), ("gitattributes", 5), ("git-ls-tree", 1))
    yield ",\n".join(f"\\fB{_roff(page)}\\fR({section})" for page, section in pages)


def _verb(verb: Verb) -> Iterator[str]:
    yield f'.SS "{_roff(" ".join(verb.words))}{_synopsis(verb)}"'
    yield from _paragraphs(" ".join(part.split()) for part in verb.help.split("\n\n"))
    for each in verb.parameters:
        yield from _item(_named(each), each.help)
    if verb.takes_platform_options:
        yield from _item("--OPTION=VALUE", "An option of the platform; see PLATFORMS.")
    if verb.words == ("secret", "set"):
        yield from _item("--KEY=@FILE|-", "A value: from a file, or from standard input.")


def _platforms() -> Iterator[str]:
    yield from _paragraphs(
        (
            "In the names of options `_` and `-` are one: `--api_url` is `--api-url`. `@FILE` reads a value from a "
            "file and `-` from standard input, the final newline cut; `@@x` is a literal `@x`; `{{name.key}}` refers "
            "to a secret that `git coderepo secret set` keeps in the keyring. An option that the platform does not "
            "know is refused.",
        )
    )
    for name in platform_types():
        if name == CUSTOM:
            yield ".SS custom: a class of one\\(aqs own"
            yield from _paragraphs(
                (
                    "`--source MODULE.CLASS` names a subclass of `git_coderepo.BaseCodeRepository`, installed "
                    "or in the checkout; its options go to its constructor. A class written for ZenML imports "
                    "its names from `git_coderepo.compat` instead.",
                )
            )
            continue
        platform = platform_class(name)
        yield f".SS {_roff(name)}: {_roff(platform.title)}"
        for option in platform.options:
            yield from _item(option.flag, _sentence(option.help))
        if platform.hosts:
            yield from _item("public hosts", ", ".join(platform.hosts) + ".")
        if platform.token_variables:
            yield from _item("variables with a token", ", ".join(each.name for each in platform.token_variables) + ".")
        if platform.token_help:
            yield from _item("token", _sentence(platform.token_help))


def _configuration() -> Iterator[str]:
    yield from _paragraphs(
        (
            "Each setting has an environment variable, which takes precedence over the configuration. The variable of "
            "a setting that can be repeated separates its values by newlines.",
        )
    )
    for setting in SETTINGS.values():
        if setting.set_by not in (USER, PROGRAM):
            yield from _setting(setting)
    yield from _paragraphs(text.TEAM)
    yield from _paragraphs(
        (
            "These settings count only in your own and the system's configuration, with `git -c` and in the "
            "environment, since a repository may come from somebody else:",
        )
    )
    for setting in SETTINGS.values():
        if setting.set_by == USER:
            yield from _setting(setting)
    yield from _paragraphs(("The program keeps these lists in your configuration:",))
    for setting in SETTINGS.values():
        if setting.set_by == PROGRAM:
            yield from _item(f"coderepo.{setting.name} = {setting.value}", setting.help)
    yield from _paragraphs(('A registration is a section `[coderepo "NAME"]` of the checkout\'s configuration:',))
    for name, meaning in text.REGISTRATION:
        yield from _item(f"coderepo.NAME.{name}", meaning)
    yield from _paragraphs(
        (
            "A host rule is a section `[coderepo \"https://HOST[:PORT]/[PREFIX]\"]` of the user's or the system's "
            "configuration. It holds for every repository there, the longest prefix first:",
        )
    )
    for name, meaning in text.HOST_RULE:
        yield from _item(f"coderepo.https://HOST/.{name}", meaning)


def _setting(setting: Setting) -> Iterator[str]:
    remarks = [
        f"Default: `{setting.default}`." if setting.default is not None else "",
        "Can be repeated." if setting.repeated else "",
        "Allowed in `.coderepo`." if setting.set_by == ANYONE else "",
        f"Variable: `{setting.variable}`.",
    ]
    yield from _item(
        f"coderepo.{setting.name} = {setting.value}", " ".join([setting.help, *(each for each in remarks if each)])
    )


def _environment() -> Iterator[str]:
    yield from _table(text.ENVIRONMENT)
    variables = ", ".join(f"`{each.variable}`" for each in SETTINGS.values() if each.set_by != PROGRAM)
    yield from _paragraphs((f"Variables of settings: {variables}.",))
    yield from _paragraphs(("Of the platforms, each token for one host only:",))
    for name in platform_types():
        if name == CUSTOM:
            continue
        for each in platform_class(name).token_variables:
            hosts = [f"the host in `{variable}`" for variable in each.host_variables]
            hosts += [each.default_host] if each.default_host is not None else []
            yield from _item(each.name, f"A token for {', else '.join(hosts)}.")
        ci = platform_class(name).ci
        if ci is not None:
            yield from _item(
                f"{ci.commit}, {ci.server}, {ci.repository}",
                f"In its CI (`{ci.marker[0]}={ci.marker[1]}`) these say which commit the platform has.",
            )
    yield from _paragraphs(("Set for a command that `run` starts:",))
    yield from _table(text.RUN_ENVIRONMENT)
    yield from _paragraphs(("Read by the pre-run hook:",))
    yield from _table(text.HOOK_ENVIRONMENT)
    yield from _paragraphs(("Of others:",))
    yield from _table(text.OTHERS_ENVIRONMENT)


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in rows:
        yield from _item(term, _sentence(meaning))


def _item(term: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield f"\\fB{_roff(term.replace('`', '')).replace(chr(10), ' ')}\\fR"
    yield _roff(meaning)


def _paragraphs(paragraphs: Iterable[str]) -> Iterator[str]:
    for each in paragraphs:
        yield ".PP"
        yield _roff(each)


def _synopsis(verb: Verb) -> str:
    words = ["[<options>]"] if verb.options or verb.takes_platform_options else []
    for each in verb.arguments:
        word = f"{each.metavar}..." if each.repeated else str(each.metavar)
        words.append(word if each.required else f"[{word}]")
    return "".join(f" {_roff(word)}" for word in words)


def _named(each: Parameter) -> str:
    if not each.flags:
        return str(each.metavar)
    names = ", ".join(sorted(each.flags, key=len))
    return names if each.metavar is None else f"{names} {each.metavar}"


def _sentence(words: str) -> str:
    return words if words.endswith((".", ":", "?")) else words + "."


def _roff(words: str) -> str:
    """Text for roff: what is in backticks becomes bold, all else stays what it is, each sentence a line."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("~", "\\(ti")
    escaped = escaped.replace("^", "\\(ha").replace('"', "\\(dq")
    parts = escaped.split("`")
    marked = "".join(f"\\fB{part}\\fR" if index % 2 else part for index, part in enumerate(parts))
    # A line of its own for each sentence, so that roff knows where one ends.
    lines = marked.replace(". ", ".\n").replace(": \\fB", ":\n\\fB").splitlines()
    return "\n".join("\\&" + line if line.startswith(".") else line for line in lines)


# --- the README's tables --------------------------------------------------------------------------

_MARK = "<!-- {}: made by `make man` -->\n", "<!-- {}: end -->"


def platform_table() -> str:
    """Return the platforms as a Markdown table."""
    lines = ["| type | what it is | options | a token needs |", "|---|---|---|---|"]
    for name in platform_types():
        if name == CUSTOM:
            lines.append("| `custom` | a class of your own | `--source MODULE.CLASS`, and the options of the class | |")
            continue
        platform = platform_class(name)
        where = f"{platform.title} ({', '.join(platform.hosts)}, or `--host`)" if platform.hosts else platform.title
        options = ", ".join(f"`{option.flag}`" for option in platform.options)
        lines.append(f"| `{name}` | {where} | {options} | {getattr(platform, 'scopes', platform.token_help)} |")
    return "\n".join(lines) + "\n"


def settings_table() -> str:
    """Return the settings as a Markdown table."""
    lines = ["| setting | value | default | what it does |", "|---|---|---|---|"]
    for setting in SETTINGS.values():
        if setting.set_by == PROGRAM:
            continue
        value = "`, `".join(setting.choices) if setting.choices else setting.value
        default = f"`{setting.default}`" if setting.default is not None else ""
        marks = ("¹" if setting.set_by == ANYONE else "") + ("²" if setting.set_by == USER else "")
        help = setting.help.partition("; see ")[0].removesuffix(".")
        lines.append(f"| `coderepo.{setting.name}`{marks} | `{value}` | {default} | {help} |")
    return "\n".join(lines) + "\n"


def with_tables(readme: str) -> str:
    """Return the README's text with the tables between its marks made again."""
    for name, made in (("platforms", platform_table()), ("settings", settings_table())):
        begin, end = (mark.format(name) for mark in _MARK)
        before, _, rest = readme.partition(begin)
        readme = before + begin + made + end + rest.partition(end)[2]
    return readme


def main() -> None:
    """Write the page, and the tables into the README, in the checkout that is the working directory."""
    with open("man/git-coderepo.1", "w", encoding="utf-8") as page:
        page.write(make())
    with open("README.md", "r+", encoding="utf-8") as readme:
        made = with_tables(readme.read())
        readme.seek(0)
        readme.write(made)
        readme.truncate()


if __name__ == "__main__":
    main()
