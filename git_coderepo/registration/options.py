"""A platform's options as people write them: on the command line, in git's configuration, in a manifest.

`_`, `-` and the camel case of the configuration are one: `api_url`, `--api-url` and `apiUrl` name the same option.
"""

from __future__ import annotations

from git_coderepo.credentials.secret import Secret, is_word, parse_reference
from git_coderepo.errors import (
    CredentialError,
    InvalidRemoteURL,
    RegistrationError,
    UnknownOption,
    UsageError,
)
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.registry import platform_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from git_coderepo.platforms.base import BaseCodeRepository, Option

# An option that a custom class does not declare counts as secret when its name says so.
_SECRET_WORDS = ("token", "password", "passwd", "secret", "credential", "apikey", "privatekey")


def declared(platform: type[BaseCodeRepository]) -> dict[str, Option]:
    """The options of a platform by the spelling without `_`, `-` and case."""
    return {_folded(option.name): option for option in platform.options}


def option_word(flag: str) -> str:
    """Return an option as `declared` has it, from how it was written: `--api-url` and `apiUrl` are `apiurl`."""
    return _folded(flag.lstrip("-"))


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def takes_any_option(platform: type[BaseCodeRepository]) -> bool:
    """Whether a custom class declares nothing, so that each option reaches its constructor."""
    return not platform.options and not platform.__module__.startswith("git_coderepo.platforms.")


def is_secret(platform: type[BaseCodeRepository] | None, name: str) -> bool:
    """Whether an option (by its Python name) may be written down only as a reference; None: a class not at hand."""
    if platform is not None and (option := declared(platform).get(_folded(name))) is not None:
        return option.secret
    return any(word in _folded(name) for word in _SECRET_WORDS)


def is_hidden(platform: type[BaseCodeRepository] | None, name: str, value: str) -> bool:
    """Return whether an option is never recorded: a secret, or a reference that only a class's own code resolves.

    `platform` is None for a custom class that is not at hand.
    """
    if is_secret(platform, name):
        return True
    undeclared = platform is None or _folded(name) not in declared(platform)
    return undeclared and parse_reference(value) is not None


def config_key(platform: type[BaseCodeRepository] | None, name: str) -> str:
    """The key of an option in git's configuration, which knows no `_` and forgets the case.

    camelCase for a declared option; `my-option` for one that only a custom class's constructor knows, since
    `my_option` can be told from it again.
    """
    if platform is not None and (option := declared(platform).get(_folded(name))) is not None:
        return option.key
    return name.replace("_", "-")


def python_name(platform: type[BaseCodeRepository] | None, key: str) -> str | None:
    """The Python name of an option by its key in the configuration or a manifest; None: the platform has none such."""
    if platform is None or takes_any_option(platform):
        return key.replace("-", "_")
    option = declared(platform).get(_folded(key))
    return option.name if option is not None else None


def with_defaults(platform: type[BaseCodeRepository], options: Mapping[str, str]) -> dict[str, str]:
    """The options with the platform's defaults beneath."""
    defaults = {option.name: option.default for option in platform.options if option.default is not None}
    return {**defaults, **options}


def parse_options(
    platform: type[BaseCodeRepository],
    pairs: Iterable[tuple[str, str]],
    *,
    standard_input: Callable[[], bytes],
    partial: bool = False,
) -> dict[str, str | Secret]:
    """Options as given on the command line, (name, value), to values by Python name; of several the last one counts.

    `@FILE` and `-` read a value from a file or from `standard_input`, one final newline cut; `@@x` is `@x`. A
    secret option becomes a Secret, unless its value is a reference `{{name.key}}`, which stays as it is. Unless
    `partial` (an update), required options must be there. Raises UnknownOption with the near miss as hint,
    UsageError, CredentialError.
    """
    known = declared(platform)
    anything = takes_any_option(platform)
    values: dict[str, str | Secret] = {}
    input_used = False
    for written, given in pairs:
        bare = written.lstrip("-")
        option = known.get(_folded(bare))
        if option is None and not (anything and is_word(bare)):
            raise unknown_option(platform, bare)
        name = option.name if option is not None else bare.replace("-", "_")
        if given == "-":
            if input_used:
                raise UsageError("standard input can give the value of one option only")
            input_used = True
        text = read_value(given, what=f"'--{bare}'", standard_input=standard_input)
        if is_secret(platform, name) and parse_reference(text) is None:
            values[name] = Secret.read(text, what=f"'--{bare}'")
        elif "{{" in text and not is_hidden(platform, name, text):
            raise UsageError(
                f"'--{bare}' is recorded with each run and cannot refer to a secret",
                hints=[f"give its value: --{bare}=VALUE"],
            )
        elif not text or any(char in text for char in "\r\n\0"):
            raise UsageError(f"the value of '--{bare}' is empty, or holds a line break or a NUL byte")
        elif not anything and _url_with_secret(text):
            raise CredentialError(
                f"the URL of '--{bare}' holds a password, a token or a query, and would be kept in plain text",
                hints=["write it without, and give the token by --token @FILE or git coderepo login"],
            )
        else:
            values[name] = text
    # A required secret may come from the credentials; its class says so where none has it.
    missing = [each.flag for each in platform.options if each.required and not each.secret and each.name not in values]
    if missing and not partial:
        raise UsageError(f"the platform '{platform.type}' needs {', '.join(missing)}")
    return values


def _url_with_secret(text: str) -> bool:
    if "://" not in text:
        return False
    try:
        return RemoteURL.parse(text).has_secret
    except InvalidRemoteURL:
        return False


def read_value(given: str, *, what: str, standard_input: Callable[[], bytes]) -> str:
    """The value that `@FILE`, `@@text`, `-` or a plain text stands for; `what` names it in errors.

    Raises UsageError for a file that cannot be read or is not UTF-8.
    """
    if given == "-":
        contents = standard_input()
    elif given.startswith("@@"):
        return given[1:]
    elif given.startswith("@"):
        try:
            with open(given[1:], "rb") as file:
                contents = file.read()
        except OSError as error:
            raise UsageError(f"cannot read the value of {what} from '{given[1:]}': {error.strerror}") from None
    else:
        return given
    return without_newline(contents, what=what)


def without_newline(contents: bytes, *, what: str) -> str:
    """The text of a file that holds one value: UTF-8, its one final newline (LF or CR LF) cut. Raises UsageError."""
    try:
        text = contents.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"the value of {what} is not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def is_on_command_line(given: str) -> bool:
    """Whether a value stands in the process list for all to see, which a secret should not."""
    return given != "-" and (not given.startswith("@") or given.startswith("@@")) and parse_reference(given) is None


def unknown_option(platform: type[BaseCodeRepository], name: str) -> UnknownOption:
    """The error for an option that the platform has not, with the one that was probably meant."""
    import difflib

    flags = {_folded(option.name): option.flag for option in platform.options}
    near = difflib.get_close_matches(_folded(name), flags, n=1)
    if near:
        hints = [f"did you mean '{flags[near[0]]}'?"]
    elif flags:
        hints = [f"the platform '{platform.type}' knows {', '.join(flags.values())}"]
    else:
        hints = ["use letters, digits, '_' and '-' in the name of an option"]
    return UnknownOption(f"unknown option '--{name.replace('_', '-')}'", hints=hints)


def platform_of(type_: str, source: str | None) -> type[BaseCodeRepository] | None:
    """The class behind a type; None for a custom one, which is not imported only to read the configuration.

    Raises RegistrationError for a type that does not exist.
    """
    if source is not None:
        return None
    if type_ == "custom":
        raise RegistrationError("a custom code repository needs '--source module.Class'")
    return platform_class(type_)
