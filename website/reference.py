"""The pages of the reference, as Markdown, from the program: verbs, settings, variables, exit statuses, Python API."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import git_coderepo
from git_coderepo.cli.help import manual_text as text
from git_coderepo.cli.help.introspection import Parameter, Verb, program_options, verbs
from git_coderepo.cli.table import GROUPS
from git_coderepo.credentials.sources import CREDENTIAL_SOURCES
from git_coderepo.platforms.registry import CUSTOM, platform_class, platform_types
from git_coderepo.settings import ANYONE, PROGRAM, SETTINGS, USER


def cell(words: str) -> str:
    """Return text for a cell of a Markdown table."""
    return words.replace("|", "\\|").replace("\n", " ")


def table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a Markdown table, and nothing if there are no rows."""
    lines = ["| " + " | ".join(cell(each) for each in row) + " |" for row in rows]
    if not lines:
        return []
    return ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading), *lines, ""]


def page(*parts: str | Iterable[str]) -> str:
    """Join lines and lists of lines to a page."""
    lines: list[str] = []
    for part in parts:
        lines += [part, ""] if isinstance(part, str) else part
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


# --- the command line ---


def commands() -> str:
    """Return the page of all verbs with their options, in the groups of `git coderepo -h`."""
    known = verbs()
    lines: list[str] = []
    for group, names in GROUPS.items():
        lines += [f"## {group}", ""]
        for name in names:
            for verb in known:
                if verb.words[0] == name:
                    lines += [*_verb(verb), ""]
            lines += _examples(name)
            status = text.VERB_STATUS.get(name, ())
            lines += table(("exit status", "meaning"), ((f"`{number}`", meaning) for number, meaning in status))
    return page(
        "# Commands",
        "After reading an entry of this page you can use every option of a command. `git coderepo VERB -h` prints the "
        "same text.",
        "```sh\ngit coderepo -h\ngit coderepo run -h\n```",
        "`RUN` is explained under [Naming a run](#naming-a-run). Options of the program come before the verb:",
        _parameters(program_options()),
        lines,
        "## Naming a run",
        *text.RUN,
        "### Methods",
        "`--method` of `fetch` chooses the source of the code:",
        table(("method", "meaning"), ((f"`{name}`", _sentence(meaning)) for name, meaning in text.METHODS)),
    )


def _verb(verb: Verb) -> Iterator[str]:
    words = " ".join(verb.words)
    yield f"### {words}"
    yield ""
    usage = [f"git coderepo {words}"]
    usage += ["[OPTIONS]"] if verb.options or verb.takes_platform_options else []
    for each in verb.arguments:
        word = f"{each.metavar}..." if each.repeated else str(each.metavar)
        usage.append(word if each.required else f"[{word}]")
    yield f"```text\n{' '.join(usage)}\n```"
    yield ""
    for part in verb.help.split("\n\n"):
        yield " ".join(part.split())
        yield ""
    yield from _parameters(verb.parameters)
    if verb.takes_platform_options:
        yield "It also takes the [options of the platform](platforms.md)."
        yield ""
    if verb.words == ("secret", "set"):
        yield "`--KEY=@FILE` and `--KEY=-` read a value from a file or from standard input."
        yield ""


def _examples(name: str) -> list[str]:
    """Return the examples of a verb's manual page as one block to copy."""
    examples = text.VERB_EXAMPLES.get(name, ())
    lines = [f"# {' '.join(meaning.split())}\n{command}" for command, meaning in examples]
    return ["Examples:", "", "```sh", "\n\n".join(lines), "```", ""] if lines else []


def _parameters(parameters: Iterable[Parameter]) -> list[str]:
    rows = []
    for each in parameters:
        names = ", ".join(f"`{flag}`" for flag in sorted(each.flags, key=len)) or f"`{each.metavar}`"
        if each.flags and each.metavar:
            names += f" `{each.metavar}`"
        rows.append((names, each.help))
    return table(("argument or option", "meaning"), rows)


def exit_statuses() -> str:
    """Return the page of exit statuses."""
    return page(
        "# Exit status",
        "After reading this page you can use `git coderepo` in scripts.",
        '```sh\ngit coderepo verify run.json code || echo "the code has changed"\n```',
        table(("status", "meaning"), ((f"`{number}`", meaning) for number, meaning in text.STATUS)),
        *text.RUN_STATUS,
    )


# --- settings and variables ---


def settings() -> str:
    """Return the page of settings, with the variable of each."""
    return page(
        "# Settings",
        "After reading this page you can change how `git coderepo` behaves, for yourself, a checkout or a team.",
        "```sh\ngit config coderepo.overlayLimit 500m              # in this checkout\n"
        "git config --global coderepo.cacheLimit 20g        # for all your checkouts\n"
        "git config --file .coderepo coderepo.exclude 'outputs/'   # for your team\n```",
        "A setting is an entry of [git config](https://git-scm.com/docs/git-config). Its environment variable takes "
        "precedence. The variable of a setting that can be repeated separates its values by newlines. Sizes can end in "
        "`k`, `m` or `g`.",
        "## In any configuration",
        _settings((ANYONE, "checkout")),
        "## In your own configuration only",
        "A repository's configuration can come from somebody else. These settings are therefore read only from your "
        "own and the system's configuration, from `git -c`, and from the environment.",
        _settings((USER,)),
        "## For a team",
        *text.TEAM,
        "## Registrations",
        'A registration is a section `[coderepo "NAME"]` of the checkout\'s configuration. `register` writes it.',
        table(("entry", "meaning"), ((f"`coderepo.NAME.{name}`", meaning) for name, meaning in text.REGISTRATION)),
        "## Host rules",
        "A host rule is a section of your own configuration. It applies to all repositories below a URL; the longest "
        "prefix comes first.",
        table(("entry", "meaning"), ((f"`coderepo.https://HOST/.{name}`", each) for name, each in text.HOST_RULE)),
        "## Written by the program",
        "The program keeps these lists in your configuration. Do not edit them.",
        _settings((PROGRAM,)),
    )


def _settings(set_by: tuple[str, ...]) -> list[str]:
    rows = []
    for each in SETTINGS.values():
        if each.set_by not in set_by:
            continue
        value = "`, `".join(each.choices) if each.choices else each.value
        remarks = [each.help.partition("; see ")[0].removesuffix(".") + "."]
        remarks += ["Can be repeated."] if each.repeated else []
        remarks += ["Allowed in `.coderepo`."] if each.set_by == ANYONE else []
        variable = f"`{each.variable}`" if each.set_by != PROGRAM else ""
        default = f"`{each.default}`" if each.default is not None else ""
        rows.append((f"`coderepo.{each.name}`", f"`{value}`", default, variable, " ".join(remarks)))
    return table(("setting", "value", "default", "variable", "meaning"), rows)


def environment() -> str:
    """Return the page of environment variables."""
    tokens = []
    for name in _platforms():
        for each in platform_class(name).token_variables:
            hosts = [f"the host in `{variable}`" for variable in each.host_variables]
            hosts += [each.default_host] if each.default_host is not None else []
            tokens.append((f"`{each.name}`", f"A token for {', else '.join(hosts)}."))
        ci = platform_class(name).ci
        if ci is not None:
            names = f"`{ci.commit}`, `{ci.server}`, `{ci.repository}`"
            where = f"In CI (`{ci.marker[0]}={ci.marker[1]}`), the commit that the platform has, and where."
            tokens.append((names, where))
    return page(
        "# Environment variables",
        "After reading this page you can configure a machine by its environment, as in a container.",
        "```sh\nexport CODEREPO_CREDENTIALS_FILE=/run/secrets/git\nexport CODEREPO_CACHE_DIR=/scratch/coderepo\n```",
        "Every [setting](settings.md) also has a variable.",
        "## Credentials and places",
        _variables(text.ENVIRONMENT),
        "## Tokens of platforms",
        "Each is used for one host only.",
        table(("variable", "meaning"), tokens),
        "## Set for the command of `run`",
        _variables(text.RUN_ENVIRONMENT),
        "## Read by the pre-run hook",
        _variables(text.HOOK_ENVIRONMENT),
        "## Of Git and other programs",
        _variables(text.OTHERS_ENVIRONMENT),
    )


def _variables(rows: Iterable[tuple[str, str]]) -> list[str]:
    named = ((", ".join(f"`{name}`" for name in names.split(", ")), meaning) for names, meaning in rows)
    return table(("variable", "meaning"), named)


def files() -> str:
    """Return the page of the files that the program writes."""
    return page(
        "# Files",
        "After reading this page you know every file that `git coderepo` writes, and which of them you can delete.",
        "```sh\nls .git/coderepo\ngit coderepo prune --dry-run\n```",
        table(("file", "contents"), ((f"`{name}`", meaning) for name, meaning in text.FILES)),
        "The formats are described in [File formats](../design/formats.md).",
        "## The cache",
        *text.CACHE,
    )


# --- platforms and credentials ---


def _platforms() -> list[str]:
    return [name for name in platform_types() if name != CUSTOM]


def platforms() -> str:
    """Return the page of platforms with their options."""
    lines: list[str] = []
    for name in _platforms():
        platform = platform_class(name)
        lines += [f"## {name}", "", f"{platform.title}.", ""]
        lines += table(("option", "meaning"), ((f"`{each.flag}`", _sentence(each.help)) for each in platform.options))
        facts = []
        if platform.hosts:
            facts.append(("public hosts", ", ".join(f"`{host}`" for host in platform.hosts)))
        if platform.token_variables:
            facts.append(("token variables", ", ".join(f"`{each.name}`" for each in platform.token_variables)))
        if platform.token_help:
            facts.append(("token", _sentence(platform.token_help)))
        scopes = getattr(platform, "scopes", "")
        if scopes:
            facts.append(("permissions of the token", _sentence(scopes)))
        lines += table(("", ""), facts)
    return page(
        "# Platforms",
        "After reading this page you know which servers are supported, and what to tell `register` about yours.",
        "```sh\ngit coderepo register\ngit coderepo register --type gitlab --instance-url https://git.corp/gitlab\n```",
        "`_` and `-` are equivalent in the names of options. The value `@FILE` is read from a file and `-` from "
        "standard input, without the final newline. `@@x` means `@x`. `{{name.key}}` refers to a secret that `git "
        "coderepo secret set` saved. Unknown options are errors.",
        lines,
        "## custom",
        "A class of yours: see [Connect another platform](../guides/custom-platform.md). `--source MODULE.CLASS` names "
        "it, and its options are passed to its constructor.",
        "## Which code repository a run uses",
        *text.MEANT,
        "## Where credentials come from",
        *text.CREDENTIALS,
        table(("source", "meaning"), ((each.title, _sentence(each.help)) for each in CREDENTIAL_SOURCES)),
        *text.CREDENTIALS_FILE,
    )


# --- Python ---


def python() -> str:
    """Return the page of the public names of the package."""
    functions: list[tuple[str, Any]] = []
    classes: list[tuple[str, Any]] = []
    for name in git_coderepo.__all__:
        value = getattr(git_coderepo, name)
        (classes if inspect.isclass(value) else functions).append((name, value))
    lines = ["## Functions", ""]
    for name, value in functions:
        lines += [f"### {name}", "", "```python", f"{name}{_signature(value)}", "```", ""]
        lines += [inspect.getdoc(value) or "", ""]
    lines += ["## Classes", ""]
    for name, value in classes:
        lines += [f"### {name}", "", inspect.getdoc(value) or "", "", *_members(value), ""]
    modules = []
    for name in ("git_coderepo.compat", "git_coderepo.testing"):
        # `testing` needs pytest, which is not installed where the site is built.
        spec = find_spec(name)
        source = "" if spec is None or spec.origin is None else Path(spec.origin).read_text(encoding="utf-8")
        described = ast.get_docstring(ast.parse(source)) or ""
        modules.append((f"`{name}`", " ".join(described.partition("\n\n")[0].split())))
    return page(
        "# Python API",
        "After reading this page you can record and fetch runs from a Python program. [From "
        "Python](../guides/python.md) has examples.",
        '```python\nimport git_coderepo as coderepo\n\nmanifest = coderepo.snapshot(".")\n```',
        "These names never move. The package is typed (PEP 561). Every error is a subclass of `CodeRepoError`.",
        lines,
        "## Modules",
        table(("module", "purpose"), modules),
    )


def _signature(value: object) -> str:
    # Annotations are text here, and inspect shows them in quotes.
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(value)))  # type: ignore[arg-type]
    if len(signature) < 80:
        return signature
    inside, _, returned = signature[1:].rpartition(") -> ")
    parts = re.split(r", (?=[*\w]+[:,=]|\*)", inside)
    return "(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {returned}"


def _members(value: type) -> list[str]:
    rows = []
    for name, member in vars(value).items():
        described = inspect.getdoc(member) if callable(member) or isinstance(member, (property, classmethod)) else None
        if name.startswith("_") or name == "notify" or not described:
            continue
        called = member.__func__ if isinstance(member, classmethod) else member
        shown = name if isinstance(member, property) else name + _signature(called).replace("\n", " ")
        rows.append((f"`{shown}`", " ".join(described.split())))
    fields = [f"`{name}`" for name in getattr(value, "_fields", ())]
    return [*([f"Fields: {', '.join(fields)}.", ""] if fields else []), *table(("member", "meaning"), rows)]


def _sentence(words: str) -> str:
    return words if words.endswith((".", ":", "?")) else words + "."
