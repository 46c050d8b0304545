"""The custom classes that a runner may import because a manifest names them."""

from __future__ import annotations

import os

from git_coderepo.errors import SourceNotAllowed
from git_coderepo.platforms.custom import split_source
from git_coderepo.settings import variable_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.settings import Settings


def allowed_sources(settings: Settings) -> list[str]:
    """Return the classes that the user allows manifests to name, by `coderepo.allowSource`.

    Each is `module.Class`, or a whole `module`.
    """
    text = ",".join(settings.texts("allowSource"))
    return [name.strip() for name in text.replace(":", ",").split(",") if name.strip()]


def check_source(source: str | None, settings: Settings) -> None:
    """Raise SourceNotAllowed unless the runner allows this class and it comes from an installed package.

    Only the packages above a nested module are imported.
    """
    if source is None:
        raise SourceNotAllowed("invalid manifest: a custom code repository requires its class")
    module, name = split_source(source)
    dotted = f"{module}.{name}"
    if dotted not in (allowed := allowed_sources(settings)) and module not in allowed:
        raise SourceNotAllowed(
            f"the manifest names the class '{dotted}', which is not allowed here",
            hints=[f"if you trust it: export {variable_of('allowSource')}={dotted}"],
        )
    if not is_installed(module):
        raise SourceNotAllowed(
            f"'{module}' is not an installed package",
            hints=["install it with pip, since a runner imports nothing from elsewhere"],
        )


def is_installed(module: str) -> bool:
    """Return whether a module is in a directory into which pip installs, whatever the working directory is."""
    import site
    import sysconfig
    from importlib.util import find_spec

    directories = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        directories.add(site.getusersitepackages())
    roots = [os.path.realpath(directory) + os.sep for directory in directories if directory]

    def is_below_root(path: str | None) -> bool:
        return path is not None and any(os.path.realpath(path).startswith(root) for root in roots)

    names = module.split(".")
    # From the outermost package: to find `a.b` imports `a`, which therefore has to be checked first.
    for count in range(1, len(names) + 1):
        try:
            spec = find_spec(".".join(names[:count]))
        except (ImportError, ValueError):
            return False
        if spec is None:
            return False
        places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
        if not places or not all(is_below_root(place) for place in places):
            return False
    return True
