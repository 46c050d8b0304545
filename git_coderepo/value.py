"""The base class of frozen values on the hook's path."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        """Return a decorator that changes nothing: only the type checker reads it."""
        return lambda cls: cls


class _Slotted(type):
    """Give a class a slot for each of its annotations."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> _Slotted:
        fields = namespace.get("__annotations__", ())
        namespace["__slots__"] = tuple(fields)  # type: ignore[arg-type]
        return super().__new__(cls, name, bases, namespace)


# The hook imports neither `dataclasses` (19 ms) nor `typing` (12 ms): this is the part of them that it needs. A
# subclass lists its fields as annotations without defaults, and all of them are given by name. Its module needs
# `from __future__ import annotations`, which keeps annotations from being evaluated.
@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
class Value(metaclass=_Slotted):
    """A value that never changes once it is made."""

    def __init__(self, **fields: object) -> None:
        names = type(self).__slots__  # type: ignore[attr-defined]
        if len(fields) != len(names):
            raise TypeError(f"{type(self).__name__} takes the fields {', '.join(names)}")
        for name in names:
            object.__setattr__(self, name, fields[name])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: '{name}' cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: '{name}' cannot be deleted")
