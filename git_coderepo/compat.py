"""ZenML 0.98's names for custom code repositories: to port such a class, change its imports.

    from git_coderepo.compat import BaseCodeRepository, BaseCodeRepositoryConfig, LocalGitRepositoryContext, SecretField

Three differences from ZenML are intended: a repository logs in before its first request and not when it is created,
unknown options are errors (Z9), and remotes are compared after git has resolved them (Z8 in
docs/design/faults.md).
"""

from __future__ import annotations

import functools
import inspect
import typing
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from git_coderepo.errors import CodeRepoError, PlatformError, RegistrationError, UnknownOption
from git_coderepo.platforms import base, context
from git_coderepo.similar import closest
from git_coderepo.trace import redact

if TYPE_CHECKING:
    from git import Remote, Repo

    from git_coderepo.git.url.remote import RemoteURL

__all__ = [
    "BaseCodeRepository",
    "BaseCodeRepositoryConfig",
    "LocalGitRepositoryContext",
    "LocalRepositoryContext",
    "SecretField",
]

_MISSING: Any = object()


class _SecretMarker:
    """The value of `SecretField()` in the body of a class."""

    def __init__(self, default: Any) -> None:
        self.default = default


def SecretField(default: Any = _MISSING, **_: Any) -> Any:
    """Mark a field of a configuration as secret: it is never stored, and printed as `****`."""
    return _SecretMarker(default)


# --- the configuration -----------------------------------------------------------------------------


class Field:
    """A field of a configuration class: its resolved annotation, its default, and whether it is secret."""

    def __init__(self, name: str, annotation: Any, given: Any) -> None:
        self.name = name
        self.annotation = annotation
        self.secret = isinstance(given, _SecretMarker)
        self.default = given.default if isinstance(given, _SecretMarker) else given

    @property
    def required(self) -> bool:
        return self.default is _MISSING or self.default is ...

    def convert(self, value: Any) -> Any:
        """Convert a string to the annotated type: bool, int or float. Raises RegistrationError."""
        types = [kind for kind in typing.get_args(self.annotation) or (self.annotation,) if isinstance(kind, type)]
        if not isinstance(value, str) or str in types:
            return value
        try:
            if bool in types:
                return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
            if int in types:
                return int(value)
            if float in types:
                return float(value)
        except (KeyError, ValueError):
            names = " or ".join(kind.__name__ for kind in types if kind is not type(None))
            raise RegistrationError(f"invalid value of the option '{self.name}': not of type {names}") from None
        return value


class BaseCodeRepositoryConfig:
    """The options of a code repository, declared as annotations with or without a default.

    Raises UnknownOption if an option is not declared and RegistrationError if a required option is missing. A class
    without declared options accepts any option.
    """

    def __init__(self, **values: Any) -> None:
        fields = type(self).fields()
        for name in values:
            if fields and name not in fields:
                near = closest(name, fields)
                hint = f"did you mean '--{near[0]}'?" if near else f"choose one of: {', '.join(fields)}"
                raise UnknownOption(f"'{type(self).__name__}' has no option '{name}'", hints=[hint])
        missing = [f"'{name}'" for name, field in fields.items() if field.required and name not in values]
        if missing:
            raise RegistrationError(f"'{type(self).__name__}' requires the option {', '.join(missing)}")
        for name, field in fields.items():
            setattr(self, name, field.convert(values[name]) if name in values else field.default)
        for name in values.keys() - fields.keys():
            setattr(self, name, values[name])

    @classmethod
    def fields(cls) -> dict[str, Field]:
        """Return the declared fields in order, those of base classes first."""
        found: dict[str, Field] = {}
        for owner in reversed(cls.__mro__):
            names = [name for name in _annotations(owner) if not name.startswith("_")]
            hints = _resolved(owner) if names else {}
            for name in names:
                annotation = hints.get(name, str)
                if typing.get_origin(annotation) is not ClassVar:
                    found[name] = Field(name, annotation, vars(owner).get(name, _MISSING))
        return found

    def model_dump(self) -> dict[str, Any]:
        """Return the values by name, as in pydantic."""
        return dict(vars(self))

    def __repr__(self) -> str:
        fields = type(self).fields()
        # Only declared fields are known to be public.
        public = {name for name, field in fields.items() if not field.secret}
        shown = (f"{name}={value!r}" if name in public else f"{name}='****'" for name, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__


def _annotations(owner: type) -> Mapping[str, Any]:
    if owner in (object, BaseCodeRepositoryConfig):
        return {}
    return inspect.get_annotations(owner)


def _resolved(owner: type) -> Mapping[str, Any]:
    """Return annotations as types, or as strings if a name cannot be resolved; strings convert nothing."""
    try:
        return inspect.get_annotations(owner, eval_str=True)
    except Exception:  # evaluating an annotation can raise anything
        return inspect.get_annotations(owner)


# --- the code repository -----------------------------------------------------------------------------


class _BothConstructors(ABCMeta):
    """Metaclass that lets a class with ZenML's constructor `(id, name, config)` also be called with `(name, options)`.

    Subclasses define `__init__(self, id, name, config)`, so the other signature has to be handled here.
    """

    def __call__(cls, *arguments: Any, **names: Any) -> Any:
        is_ours = len(arguments) == 2 and not names and isinstance(arguments[1], Mapping)
        if not is_ours:
            return super().__call__(*arguments, **names)
        name, options = arguments
        repository: Any = object.__new__(cls)  # type: ignore[arg-type]
        repository._logs_in_later = True
        repository.__init__(id=uuid5(NAMESPACE_URL, f"git-coderepo:{name}"), name=name, config=dict(options))
        return repository


class BaseCodeRepository(base.BaseCodeRepository, metaclass=_BothConstructors):
    """ZenML's base class. Its own constructor logs in at once, as in ZenML; otherwise it logs in before first use."""

    _logs_in_later = False
    _logged_in = False

    def __init__(self, id: UUID, name: str, config: Mapping[str, Any]) -> None:
        super().__init__(name, {key: str(value) for key, value in config.items() if value is not None})
        self._id = id
        self._config = dict(config)
        if not self._logs_in_later:
            self.login()

    def __init_subclass__(cls, **names: Any) -> None:
        super().__init_subclass__(**names)
        if "login" in cls.__dict__:
            cls.login = _wrapped(cls.__dict__["login"], logs_in=True)  # type: ignore[method-assign]
        if "download_files" in cls.__dict__:
            cls.download_files = _wrapped(cls.__dict__["download_files"], logs_in=False)  # type: ignore[method-assign]
        if "options" not in cls.__dict__:
            cls.options = _options_of(cls) or cls.options

    @property
    def id(self) -> UUID:
        return self._id

    @property
    def config(self) -> BaseCodeRepositoryConfig:
        """Return the configuration. A subclass returns its own class, whose annotation declares the options."""
        return BaseCodeRepositoryConfig(**self._config)

    @property
    def requirements(self) -> set[str]:
        """Return the packages that a runner needs for this class; subclasses can override this."""
        return set()

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        """Log in with this configuration and read it; raises an error if it is invalid."""
        repository = cls(id=uuid4(), name="", config=config)
        _ = repository.config

    @abstractmethod
    def login(self) -> None: ...

    @abstractmethod
    def download_files(self, commit: str, directory: str, repo_sub_directory: str | None) -> None: ...

    @abstractmethod
    def get_local_context(self, path: str) -> context.LocalRepositoryContext | None: ...


def _options_of(cls: type[BaseCodeRepository]) -> tuple[base.Option, ...]:
    """Return the options that the annotation of the class's `config` property declares, or () without one."""
    getter = getattr(inspect.getattr_static(cls, "config"), "fget", None)
    try:
        config = typing.get_type_hints(getter).get("return") if getter is not None else None
    except Exception:  # a name is not defined yet, or only for type checkers
        return ()
    if not isinstance(config, type) or not issubclass(config, BaseCodeRepositoryConfig):
        return ()
    return tuple(
        base.Option(name, f"see {config.__name__}", required=field.required, secret=field.secret)
        for name, field in config.fields().items()
    )


def _wrapped(method: Callable[..., None], *, logs_in: bool) -> Callable[..., None]:
    """Wrap a method: convert its errors to CodeRepoError without secrets, and log in first unless it is `login`."""

    @functools.wraps(method)
    def wrapped(self: BaseCodeRepository, *arguments: Any, **names: Any) -> None:
        if not logs_in and not self._logged_in:
            self.login()
        try:
            method(self, *arguments, **names)
        except CodeRepoError:
            raise
        except Exception as error:
            message = f"{type(self).__name__}.{method.__name__}() failed: {_redacted(self, error)}"
        else:
            self._logged_in = self._logged_in or logs_in
            return
        # Raised outside the handler, so that the original error, which can contain a secret, is not chained.
        raise PlatformError(message)

    return wrapped


def _redacted(repository: BaseCodeRepository, error: Exception) -> str:
    text = redact(f"{type(error).__name__}: {error}".partition("\n")[0])
    public = {option.name for option in repository.options if not option.secret}
    for name, value in repository.option_values.items():
        if name not in public and value:
            text = text.replace(value, "****")
    return text


# --- the checkout ------------------------------------------------------------------------------------


class LocalRepositoryContext(context.LocalRepositoryContext):
    """ZenML's base class: a subclass describes the checkout and its state."""

    def __init__(self, code_repository: BaseCodeRepository) -> None:
        self._code_repository = code_repository
        self.remote_name = None

    @property
    def code_repository(self) -> BaseCodeRepository:
        return self._code_repository


class LocalGitRepositoryContext(LocalRepositoryContext):
    """A Git checkout with GitPython's objects; its state comes from git's plumbing commands (Z4)."""

    def __init__(self, code_repository: BaseCodeRepository, git_repo: Repo, remote_name: str) -> None:
        super().__init__(code_repository)
        self._git_repo = git_repo
        self._root = str(git_repo.working_dir)
        self.remote_name = remote_name

    @classmethod
    def at(  # type: ignore[override]
        cls,
        path: str,
        code_repository: BaseCodeRepository,
        remote_url_validation_callback: Callable[[str], bool],
    ) -> LocalGitRepositoryContext | None:
        """Return the checkout that contains `path` if the callback accepts one of its remotes, else None.

        The callback receives the URL as git resolves it, without secrets, and its common spellings.
        """
        found = context.LocalRepositoryContext.at(
            path, lambda url: any(remote_url_validation_callback(text) for text in spellings(url))
        )
        if found is None or found.remote_name is None:
            return None
        return cls(code_repository, found.repo, found.remote_name)

    @property
    def git_repo(self) -> Repo:
        return self._git_repo

    @property
    def remote(self) -> Remote:
        assert self.remote_name is not None
        return self._git_repo.remote(self.remote_name)


def spellings(url: RemoteURL) -> list[str]:
    """Return a remote URL and the spellings that classes for ZenML compare, such as `https://HOST/PATH.git` (Z8).

    Only an ssh remote is also spelled `git@HOST:PATH.git`, because such classes match that form by patterns in which a
    dot matches any character.
    """
    texts = [url.url()]
    if url.host is not None and url.path and url.transport in ("https", "http", "ssh"):
        path = url.path.strip("/").removesuffix(".git")
        port = f":{url.port}" if url.port is not None and url.transport != "ssh" else ""
        texts += [f"https://{url.host}{port}/{path}.git", f"https://{url.host}{port}/{path}"]
        if url.transport == "ssh":
            texts.append(f"git@{url.host}:{path}.git")
    return list(dict.fromkeys(texts))
