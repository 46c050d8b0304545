"""The names under which code repositories were written for ZenML 0.98: such a class ports by changing its import.

    from git_coderepo.compat import BaseCodeRepository, BaseCodeRepositoryConfig, LocalGitRepositoryContext, SecretField

What differs from there is meant: nothing logs in before something is asked of the platform, an unknown option is
refused (Z9), and remotes are compared after git has resolved them (Z8).
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
    """What `SecretField()` leaves in a class's body."""

    def __init__(self, default: Any) -> None:
        self.default = default


def SecretField(default: Any = _MISSING, **_: Any) -> Any:
    """Marks a field of a configuration as secret: it is stored nowhere, and shows as `****`."""
    return _SecretMarker(default)


# --- the configuration -----------------------------------------------------------------------------


class Field:
    """One field of a configuration class: `annotation` as resolved, `default` (absent: required), `secret`."""

    def __init__(self, name: str, annotation: Any, given: Any) -> None:
        self.name = name
        self.annotation = annotation
        self.secret = isinstance(given, _SecretMarker)
        self.default = given.default if isinstance(given, _SecretMarker) else given

    @property
    def required(self) -> bool:
        return self.default is _MISSING or self.default is ...

    def convert(self, value: Any) -> Any:
        """The value as its annotation wants it: texts from the command line become numbers and booleans."""
        wanted = [kind for kind in typing.get_args(self.annotation) or (self.annotation,) if isinstance(kind, type)]
        if not isinstance(value, str) or str in wanted:
            return value
        try:
            if bool in wanted:
                return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
            if int in wanted:
                return int(value)
            if float in wanted:
                return float(value)
        except (KeyError, ValueError):
            kinds = " or ".join(kind.__name__ for kind in wanted if kind is not type(None))
            raise RegistrationError(f"the option '{self.name}' is no {kinds}") from None
        return value


class BaseCodeRepositoryConfig:
    """The options of a code repository, declared as annotations with or without a default.

    Raises UnknownOption for one that is not declared, RegistrationError for one that is missing. A class that
    declares none takes any.
    """

    def __init__(self, **values: Any) -> None:
        fields = type(self).fields()
        for name in values:
            if fields and name not in fields:
                from difflib import get_close_matches

                near = get_close_matches(name, fields, n=1)
                hint = f"did you mean '--{near[0]}'?" if near else f"choose one of: {', '.join(fields)}"
                raise UnknownOption(f"'{type(self).__name__}' has no option '{name}'", hints=[hint])
        missing = [f"'{name}'" for name, field in fields.items() if field.required and name not in values]
        if missing:
            raise RegistrationError(f"'{type(self).__name__}' needs the option {', '.join(missing)}")
        for name, field in fields.items():
            setattr(self, name, field.convert(values[name]) if name in values else field.default)
        for name in values.keys() - fields.keys():
            setattr(self, name, values[name])

    @classmethod
    def fields(cls) -> dict[str, Field]:
        """The declared fields in their order, those of base classes first."""
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
        """The values by name, as pydantic's method of that name gives them."""
        return dict(vars(self))

    def __repr__(self) -> str:
        fields = type(self).fields()
        # Without a declaration nothing says which value is public.
        public = {name for name, field in fields.items() if not field.secret}
        shown = (f"{name}={value!r}" if name in public else f"{name}='****'" for name, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__


def _annotations(owner: type) -> Mapping[str, Any]:
    if owner in (object, BaseCodeRepositoryConfig):
        return {}
    return inspect.get_annotations(owner)


def _resolved(owner: type) -> Mapping[str, Any]:
    """Annotations as types; a name that cannot be resolved leaves them as texts, which convert nothing."""
    try:
        return inspect.get_annotations(owner, eval_str=True)
    except Exception:  # whatever evaluating somebody's annotation raises
        return inspect.get_annotations(owner)


# --- the code repository -----------------------------------------------------------------------------


class _BothConstructors(ABCMeta):
    """Lets a class with ZenML's constructor `(id, name, config)` be made as `(name, options)` too.

    Classes write `__init__(self, id, name, config)` of their own, so the class's call is the only place for it.
    """

    def __call__(cls, *arguments: Any, **names: Any) -> Any:
        made_here = len(arguments) == 2 and not names and isinstance(arguments[1], Mapping)
        if not made_here:
            return super().__call__(*arguments, **names)
        name, options = arguments
        repository: Any = object.__new__(cls)  # type: ignore[arg-type]
        repository._logs_in_later = True
        repository.__init__(id=uuid5(NAMESPACE_URL, f"git-coderepo:{name}"), name=name, config=dict(options))
        return repository


class BaseCodeRepository(base.BaseCodeRepository, metaclass=_BothConstructors):
    """ZenML's base class. Made by its own constructor it logs in at once, as there; else when it is first asked."""

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
            cls.login = _explained(cls.__dict__["login"], logs_in=True)  # type: ignore[method-assign]
        if "download_files" in cls.__dict__:
            cls.download_files = _explained(cls.__dict__["download_files"], logs_in=False)  # type: ignore[method-assign]
        if "options" not in cls.__dict__:
            cls.options = _options_of(cls) or cls.options

    @property
    def id(self) -> UUID:
        return self._id

    @property
    def config(self) -> BaseCodeRepositoryConfig:
        """A subclass returns its own class here; by its annotation the options are known."""
        return BaseCodeRepositoryConfig(**self._config)

    @property
    def requirements(self) -> set[str]:
        """The packages that a runner needs for this class; here nobody but its author knows."""
        return set()

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        """Log in with this configuration, and read it once; raises what is wrong with it."""
        repository = cls(id=uuid4(), name="", config=config)
        _ = repository.config

    @abstractmethod
    def login(self) -> None: ...

    @abstractmethod
    def download_files(self, commit: str, directory: str, repo_sub_directory: str | None) -> None: ...

    @abstractmethod
    def get_local_context(self, path: str) -> context.LocalRepositoryContext | None: ...


def _options_of(cls: type[BaseCodeRepository]) -> tuple[base.Option, ...]:
    """The options that the class's `config` property declares by its annotation; () where it declares none."""
    getter = getattr(inspect.getattr_static(cls, "config"), "fget", None)
    try:
        config = typing.get_type_hints(getter).get("return") if getter is not None else None
    except Exception:  # a name that is not defined yet, or only for type checkers
        return ()
    if not isinstance(config, type) or not issubclass(config, BaseCodeRepositoryConfig):
        return ()
    return tuple(
        base.Option(name, f"see {config.__name__}", required=field.required, secret=field.secret)
        for name, field in config.fields().items()
    )


def _explained(method: Callable[..., None], *, logs_in: bool) -> Callable[..., None]:
    """A method whose errors are errors of ours, without a secret in them; it logs in first unless it is `login`."""

    @functools.wraps(method)
    def explained(self: BaseCodeRepository, *arguments: Any, **names: Any) -> None:
        if not logs_in and not self._logged_in:
            self.login()
        try:
            method(self, *arguments, **names)
        except CodeRepoError:
            raise
        except Exception as error:
            message = f"{type(self).__name__}.{method.__name__}() failed: {_words(self, error)}"
        else:
            self._logged_in = self._logged_in or logs_in
            return
        # Raised outside the handler: the original error may hold a secret.
        raise PlatformError(message)

    return explained


def _words(repository: BaseCodeRepository, error: Exception) -> str:
    words = redact(f"{type(error).__name__}: {error}".partition("\n")[0])
    public = {option.name for option in repository.options if not option.secret}
    for name, value in repository.option_values.items():
        if name not in public and value:
            words = words.replace(value, "****")
    return words


# --- the checkout ------------------------------------------------------------------------------------


class LocalRepositoryContext(context.LocalRepositoryContext):
    """ZenML's base class: a subclass says where the checkout is and what state it is in."""

    def __init__(self, code_repository: BaseCodeRepository) -> None:
        self._code_repository = code_repository
        self.remote_name = None

    @property
    def code_repository(self) -> BaseCodeRepository:
        return self._code_repository


class LocalGitRepositoryContext(LocalRepositoryContext):
    """A Git checkout, with GitPython's objects for those who used them; its state comes from git's plumbing (Z4)."""

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
        """The checkout that holds `path`, by its first remote that the callback takes.

        The callback sees the URL that git resolves, without a secret, and the common spellings of the same place.
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
    """One remote as classes for ZenML compare it: as it is, and as `https://HOST/PATH.git` (Z8).

    An ssh remote also as `git@HOST:PATH.git`; an https one not, since such classes match that form by patterns in
    which a dot stands for anything.
    """
    texts = [url.url()]
    if url.host is not None and url.path and url.transport in ("https", "http", "ssh"):
        path = url.path.strip("/").removesuffix(".git")
        port = f":{url.port}" if url.port is not None and url.transport != "ssh" else ""
        texts += [f"https://{url.host}{port}/{path}.git", f"https://{url.host}{port}/{path}"]
        if url.transport == "ssh":
            texts.append(f"git@{url.host}:{path}.git")
    return list(dict.fromkeys(texts))
