"""A custom platform: a class that its source names, `my_module.MyRepositoryClass` or `package.module:Class`."""

from __future__ import annotations

from git_coderepo.errors import SourceNotAllowed
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.similar import closest


def split_source(source: str) -> tuple[str, str]:
    """Return the module and class of `module.Class` or `module:Class`. Raises SourceNotAllowed."""
    module, separator, name = source.partition(":")
    if not separator:
        module, _, name = source.rpartition(".")
    if not name.isidentifier() or not module or not all(part.isidentifier() for part in module.split(".")):
        raise SourceNotAllowed(
            f"'{source}' is not the name of a class", hints=["write it as my_module.MyRepositoryClass"]
        )
    return module, name


def load_class(source: str, *, directory: str | None = None) -> type[BaseCodeRepository]:
    """Import the class that `source` names.

    `directory` is where a module lies that is not installed (the checkout's root); it is on `sys.path` during the
    import only. Raises SourceNotAllowed if the module or class does not exist or cannot be imported, and if the
    class is not a subclass of BaseCodeRepository that implements all abstract methods.
    """
    import importlib
    import sys

    module_name, name = split_source(source)
    if directory is not None:
        sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise SourceNotAllowed(
            f"cannot import '{module_name}': {type(error).__name__}: {reason}",
            hints=["install the module beside git-coderepo, or put its directory on PYTHONPATH"]
            if isinstance(error, ModuleNotFoundError)
            else [],
        ) from error
    finally:
        if directory is not None:
            sys.path.remove(directory)
    found = vars(module).get(name)
    if found is None:
        near = closest(name, [key for key, value in vars(module).items() if isinstance(value, type)])
        raise SourceNotAllowed(
            f"'{module_name}' has no class '{name}'", hints=[f"did you mean '{module_name}.{near[0]}'?"] if near else []
        )
    if not isinstance(found, type) or not issubclass(found, BaseCodeRepository):
        raise SourceNotAllowed(
            f"'{source}' is not a subclass of BaseCodeRepository",
            hints=[
                "derive it from the base class: from git_coderepo import BaseCodeRepository",
                "if it was written for ZenML: from git_coderepo.compat import BaseCodeRepository",
            ],
        )
    missing = sorted(found.__abstractmethods__)
    if missing:
        raise SourceNotAllowed(f"'{source}' does not implement {', '.join(f'{method}()' for method in missing)}")
    return found
