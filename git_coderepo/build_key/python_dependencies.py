"""Read the dependencies in a `pyproject.toml`, without its version, its tools and its comments.

Specifications: https://packaging.python.org/en/latest/specifications/pyproject-toml/ and
https://packaging.python.org/en/latest/specifications/dependency-groups/; the tables of Poetry, PDM and uv are in
their documentation.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each is a path of keys, whose whole value counts.
_TABLES = (
    ("build-system",),
    ("project", "dependencies"),
    ("project", "optional-dependencies"),
    ("project", "requires-python"),
    ("dependency-groups",),
    ("tool", "poetry", "dependencies"),
    ("tool", "poetry", "dev-dependencies"),
    ("tool", "poetry", "group"),
    ("tool", "poetry", "extras"),
    ("tool", "poetry", "source"),
    ("tool", "pdm", "dev-dependencies"),
    ("tool", "pdm", "resolution"),
    ("tool", "pdm", "source"),
    ("tool", "uv"),
    ("tool", "pixi"),
    ("tool", "conda-lock"),
    ("tool", "setuptools", "dynamic", "dependencies"),
    ("tool", "setuptools", "dynamic", "optional-dependencies"),
)


def parse_toml(data: bytes) -> dict[str, Any] | None:
    """Return the document in UTF-8 bytes; None if it is not valid TOML 1.0."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError):  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        return None


def dependency_tables(document: dict[str, Any]) -> bytes:
    """Return the tables that name dependencies as JSON in a fixed order, since TOML's tables have no order."""
    import json

    tables = {".".join(keys): value for keys in _TABLES if (value := _at(document, keys)) is not None}
    return json.dumps(tables, sort_keys=True, separators=(",", ":"), default=str).encode()


def required_python(document: dict[str, Any]) -> str | None:
    """Return `requires-python`, or the Python version in Poetry's dependencies; None without either."""
    for keys in (("project", "requires-python"), ("tool", "poetry", "dependencies", "python")):
        value = _at(document, keys)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def dependency_files(document: dict[str, Any]) -> Iterator[str]:
    """Yield the files from which setuptools reads dependencies (`dynamic`), as written."""
    for keys in _TABLES[-2:]:
        table = _at(document, keys)
        for each in (table, *(table.values() if isinstance(table, dict) else ())):
            named = each.get("file") if isinstance(each, dict) else None
            yield from (text for text in ([named] if isinstance(named, str) else named or ()) if isinstance(text, str))


def local_sources(document: dict[str, Any]) -> Iterator[str]:
    """Yield the dependencies that are folders of the checkout: `path` of Poetry, `path` and `workspace` of uv."""
    tables = [_at(document, ("tool", "uv", "sources")), _at(document, ("tool", "poetry", "dependencies"))]
    groups = _at(document, ("tool", "poetry", "group"))
    if isinstance(groups, dict):
        tables += [group.get("dependencies") for group in groups.values() if isinstance(group, dict)]
    for table in tables:
        for name, value in table.items() if isinstance(table, dict) else ():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict) and ("path" in each or each.get("workspace") is True):
                    yield name


def _at(document: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return None
        document = document[key]
    return document
