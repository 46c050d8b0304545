"""A platform's options in their three spellings: on the command line, in git's configuration and in a manifest.

`_`, `-` and camel case do not distinguish names: `api_url`, `--api-url` and `apiUrl` are the same option.
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
from git_coderepo.similar import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from git_coderepo.platforms.base import BaseCodeRepository, Option

# An option that a custom class does not declare is secret if its name contains one of these words.
_SECRET_WORDS = ("token", "password", "passwd", "secret", "credential", "apikey", "privatekey")


def declared(platform: type[BaseCodeRepository]) -> dict[str, Option]:
    """Return the options of a platform by their names in lower case without `_` and `-`."""
    return {_folded(option.name): option for option in platform.options}


def option_word(flag: str) -> str:
    """Return the key of an option in `declared`: `apiurl` for `--api-url` and `apiUrl`."""
    return _folded(flag.lstrip("-"))


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def takes_any_option(platform: type[BaseCodeRepository]) -> bool:
    """Return whether a custom class declares no options, so that its constructor receives any option."""
    return not platform.options and not platform.__module__.startswith("git_coderepo.platforms.")


def is_secret(platform: type[BaseCodeRepository] | None, name: str) -> bool:
    """Return whether an option (by its Python name) may be written as a reference only.

    `platform` is None for a custom class that is not imported.
    """
    if platform is not None and (option := declared(platform).get(_folded(name))) is not None:
        return option.secret
    return any(word in _folded(name) for word in _SECRET_WORDS)


def is_hidden(platform: type[BaseCodeRepository] | None, name: str, value: str) -> bool:
    """Return whether an option is never recorded: a secret, or a reference in an undeclared option of a custom class.

    `platform` is None for a custom class that is not imported.
    """
    if is_secret(platform, name):
        return True
    undeclared = platform is None or _folded(name) not in declared(platform)
    return undeclared and parse_reference(value) is not None


def config_key(platform: type[BaseCodeRepository] | None, name: str) -> str:
    """Return the key of an option in git's configuration, where `_` is not allowed and case is lost.

    It is camelCase for a declared option. For an option that only the constructor of a custom class knows, it is
    `my-option`, from which `my_option` can be restored.
    """
    if platform is not None and (option := declared(platform).get(_folded(name))) is not None:
        return option.key
    return name.replace("_", "-")


def python_name(platform: type[BaseCodeRepository] | None, key: str) -> str | None:
    """Return the Python name of an option by its key in the configuration or a manifest, or None."""
    if platform is None or takes_any_option(platform):
        return key.replace("-", "_")
    option = declared(platform).get(_folded(key))
    return option.name if option is not None else None


def with_defaults(platform: type[BaseCodeRepository], options: Mapping[str, str]) -> dict[str, str]:
    """Return the options, with the platform's defaults for those that are not given."""
    defaults = {option.name: option.default for option in platform.options if option.default is not None}
    return {**defaults, **options}


def parse_options(
    platform: type[BaseCodeRepository],
    pairs: Iterable[tuple[str, str]],
    *,
    standard_input: Callable[[], bytes],
    partial: bool = False,
) -> dict[str, str | Secret]:
    """Return the values of options, by Python name, from (name, value) on the command line; the last value counts.

    `@FILE` and `-` read a value from a file or from `standard_input` (UTF-8, without one final newline); `@@x` is
    `@x`. The value of a secret option is a Secret, or a reference `{{name.key}}` as it is. Required options may be
    missing only if `partial` (an update). Raises UnknownOption with a similar name as hint, UsageError,
    CredentialError.
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
                raise UsageError("standard input can be used for one option only")
            input_used = True
        text = read_value(given, what=f"'--{bare}'", standard_input=standard_input)
        if is_secret(platform, name) and parse_reference(text) is None:
            values[name] = Secret.read(text, what=f"'--{bare}'")
        elif "{{" in text and not is_hidden(platform, name, text):
            raise UsageError(
                f"'--{bare}' is recorded with each run and cannot refer to a secret",
                hints=[f"add a value: --{bare}=VALUE"],
            )
        elif not text or any(char in text for char in "\r\n\0"):
            raise UsageError(f"invalid value of '--{bare}': it is empty, or contains a line break or a NUL byte")
        elif not anything and _url_with_secret(text):
            raise CredentialError(
                f"invalid URL of '--{bare}': it contains a password, a token or a query, which is stored as plain text",
                hints=["remove it from the URL, and give the token with --token @FILE or git coderepo login"],
            )
        else:
            values[name] = text
    # A required secret may come from the credentials; if it does not, its class raises an error.
    missing = [each.flag for each in platform.options if each.required and not each.secret and each.name not in values]
    if missing and not partial:
        raise UsageError(f"the platform '{platform.type}' requires {', '.join(missing)}")
    return values


def _url_with_secret(text: str) -> bool:
    if "://" not in text:
        return False
    try:
        return RemoteURL.parse(text).has_secret
    except InvalidRemoteURL:
        return False


def read_value(given: str, *, what: str, standard_input: Callable[[], bytes]) -> str:
    """Return the value that `@FILE`, `@@text`, `-` or a plain text gives; `what` names the option in errors.

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
    """Return the text of a file (UTF-8) without one final newline (LF or CR LF). Raises UsageError."""
    try:
        text = contents.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"invalid value of {what}: it is not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def is_on_command_line(given: str) -> bool:
    """Return whether a value was given on the command line itself, where every user can see it in the process list."""
    return given != "-" and (not given.startswith("@") or given.startswith("@@")) and parse_reference(given) is None


def unknown_option(platform: type[BaseCodeRepository], name: str) -> UnknownOption:
    """Return the error for an unknown option, with a similar one as hint."""
    flags = {_folded(option.name): option.flag for option in platform.options}
    near = closest(_folded(name), flags)
    if near:
        hints = [f"did you mean '{flags[near[0]]}'?"]
    elif flags:
        hints = [f"options of the platform '{platform.type}': {', '.join(flags.values())}"]
    else:
        hints = ["use letters, digits, '_' and '-' in the name of an option"]
    return UnknownOption(f"unknown option '--{name.replace('_', '-')}'", hints=hints)


def platform_of(type_: str, source: str | None) -> type[BaseCodeRepository] | None:
    """Return the class of a platform type; None for a custom class, which is not imported to read the configuration.

    Raises RegistrationError for an unknown type.
    """
    if source is not None:
        return None
    if type_ == "custom":
        raise RegistrationError("a custom code repository requires '--source module.Class'")
    return platform_class(type_)
