"""A base class of immutable values for modules that the hook imports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_):
        """Return a decorator without effect; only the type checker uses it."""
        return lambda cls: cls


_FIELDS: dict[type, tuple[str, ...]] = {}
_DEFAULTS: dict[type, dict[str, object]] = {}


class _Slotted(type):
    """Metaclass that gives a class a slot for each of its annotations, and stores its fields and defaults."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> _Slotted:
        fields: tuple[str, ...] = tuple(namespace.get("__annotations__", ()))  # type: ignore[arg-type]
        # A slot and a class attribute cannot share a name.
        defaults = {field: namespace.pop(field) for field in fields if field in namespace}
        namespace["__slots__"] = fields
        made = super().__new__(cls, name, bases, namespace)
        _FIELDS[made], _DEFAULTS[made] = fields, defaults
        return made


# Replaces frozen dataclasses, since the hook must not import `dataclasses` (19 ms) or `typing` (12 ms). A subclass
# declares its fields as annotations; all of them are keyword arguments. Its module needs
# `from __future__ import annotations`, so that annotations are not evaluated.
@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
class Value(metaclass=_Slotted):
    """An immutable value with the annotated fields."""

    def __init__(self, **fields: object) -> None:
        names = _FIELDS[type(self)]
        if len(fields) != len(names):
            fields = {**_DEFAULTS[type(self)], **fields}
            if len(fields) != len(names):
                raise TypeError(f"{type(self).__name__} takes the fields {', '.join(names)}")
        for name in names:
            object.__setattr__(self, name, fields[name])

    def replace(self, **changes: object) -> Self:
        """Return a copy with some fields changed."""
        return type(self)(**{name: getattr(self, name) for name in _FIELDS[type(self)]} | changes)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: '{name}' cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: '{name}' cannot be deleted")
