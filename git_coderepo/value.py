"""The base class of frozen values on the hook's path."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_):
        """Return a decorator that changes nothing: only the type checker reads it."""
        return lambda cls: cls


_FIELDS: dict[type, tuple[str, ...]] = {}
_DEFAULTS: dict[type, dict[str, object]] = {}


class _Slotted(type):
    """Give a class a slot for each of its annotations, and note its fields and their defaults."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> _Slotted:
        fields: tuple[str, ...] = tuple(namespace.get("__annotations__", ()))  # type: ignore[arg-type]
        # A slot and a class attribute cannot share a name.
        defaults = {field: namespace.pop(field) for field in fields if field in namespace}
        namespace["__slots__"] = fields
        made = super().__new__(cls, name, bases, namespace)
        _FIELDS[made], _DEFAULTS[made] = fields, defaults
        return made


# The hook imports neither `dataclasses` (19 ms) nor `typing` (12 ms): this is the part of them that it needs. A
# subclass lists its fields as annotations, and all of them are given by name. Its module needs
# `from __future__ import annotations`, which keeps annotations from being evaluated.
@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
class Value(metaclass=_Slotted):
    """A value that never changes once it is made."""

    def __init__(self, **fields: object) -> None:
        names = _FIELDS[type(self)]
        if len(fields) != len(names):
            fields = {**_DEFAULTS[type(self)], **fields}
            if len(fields) != len(names):
                raise TypeError(f"{type(self).__name__} takes the fields {', '.join(names)}")
        for name in names:
            object.__setattr__(self, name, fields[name])

    def replace(self, **changes: object) -> Self:
        """Return a value of the same kind with some fields changed."""
        return type(self)(**{name: getattr(self, name) for name in _FIELDS[type(self)]} | changes)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: '{name}' cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: '{name}' cannot be deleted")
