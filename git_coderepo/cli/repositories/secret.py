"""`git coderepo secret`: manage named secrets, to which `{{name.key}}` refers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Group, Verb, app, usage
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.cli.repositories.register import PLATFORM_OPTIONS, name_and_pairs
from git_coderepo.credentials.named_secrets import list_secrets, remove_secret, secrets_in_file, set_secret
from git_coderepo.credentials.secret import Secret
from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git
from git_coderepo.registration.options import is_on_command_line, read_value

secret = typer.Typer(name="secret", cls=Group, rich_markup_mode=None)
app.add_typer(secret)


@secret.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Manage named secrets in the keyring."""
    if context.invoked_subcommand is None:
        usage(context)


@secret.command("set", cls=Verb, context_settings=PLATFORM_OPTIONS)
def set_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the secret.")],
    as_json: Json = None,
) -> None:
    """Save a secret in the keyring: --KEY=@FILE or --KEY=-.

    A secret can have several keys. Use `{{NAME.KEY}}` as the value of any platform option that takes a secret.
    """
    given, pairs = name_and_pairs(name, context.args)
    if given is None:
        raise UsageError("missing argument 'NAME'", hints=["git coderepo secret set -h"])
    if any(is_on_command_line(value) for _, value in pairs):
        output.warn("a secret on the command line is visible to every process; use --KEY=@FILE or --KEY=-")
    values = {
        key: Secret.read(read_value(value, what=f"'--{key}'", standard_input=sys.stdin.buffer.read), what=f"'--{key}'")
        for key, value in pairs
    }
    files = {key: value[1:] for key, value in pairs if value.startswith("@") and not value.startswith("@@")}
    set_secret(Git(), given, values, files=files)
    if as_json:
        print_json({"name": given, "keys": list(values), "storedIn": "keyring"}, as_json)
        return
    for key in values:
        output.line(f"saved {{{{{given}.{key}}}}} in the keyring")


@secret.command("list", cls=Verb)
def list_(as_json: Json = None) -> None:
    """List the names and keys of secrets, without their values.

    This includes the keyring and the credentials file.
    """
    git = Git()
    found = list_secrets(git)
    for name, keys in secrets_in_file(git).items():
        found[name] = list(dict.fromkeys([*found.get(name, []), *keys]))
    if as_json:
        print_json(found, as_json)
        return
    for name, keys in found.items():
        for key in keys:
            output.line(f"{{{{{name}.{key}}}}}")


@secret.command("remove", cls=Verb)
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the secret.")],
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Remove only these keys.")] = None,
    as_json: Json = None,
) -> None:
    """Remove a secret from the keyring."""
    removed = remove_secret(Git(), name, keys or ())
    if as_json:
        print_json({"name": name, "keys": list(removed), "removedFrom": "keyring"}, as_json)
        return
    for key in removed:
        output.line(f"removed {{{{{name}.{key}}}}} from the keyring")
