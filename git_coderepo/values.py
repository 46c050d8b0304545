"""`dataclass(frozen=True)` without its price: the library compiles six methods of each class anew at every start.

With Python 3.11 that is 0.7 ms a class, and a runner's way has fifty of them. Fields, `replace` and all else are the
library's, and so is what a type checker sees; only the methods are made here, of functions that the classes share.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen, slots=False):
        """`dataclasses.dataclass` for classes whose values never change, of plain fields only.

        `slots` is for the reader: a value that cannot be changed gets no other attributes, with slots or without.
        """
        assert frozen, "what can be changed is a dataclass of the library"
        made = dataclasses.dataclass(init=False, repr=False, eq=False)

        def complete(kind):
            kind = made(kind)
            methods = {"__init__": _constructor(kind), "__repr__": _repr, "__eq__": _eq, "__hash__": _hash}
            for name, method in {**methods, "__setattr__": _setattr, "__delattr__": _delattr}.items():
                if name not in kind.__dict__:
                    setattr(kind, name, method)
            return kind

        return complete

    def _constructor(kind):
        fields = dataclasses.fields(kind)
        names = tuple(field.name for field in fields)
        known = frozenset(names)
        defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
        factories = [field for field in fields if field.default_factory is not dataclasses.MISSING]

        def __init__(self, /, *given, **named):
            values = self.__dict__
            values.update(defaults)
            values.update(zip(names, given))  # noqa: B905 - the check below says how many there were
            values.update(named)
            for field in factories:
                if field.name not in values:
                    values[field.name] = field.default_factory()
            if len(given) > len(names) or values.keys() != known or not named.keys().isdisjoint(names[: len(given)]):
                raise TypeError(_wrong(kind, names, given, named, values))

        return __init__

    def _wrong(kind, names, given, named, values):
        place = f"{kind.__qualname__}.__init__()"
        if len(given) > len(names):
            return f"{place} takes {len(names)} values but {len(given)} were given"
        for name in named:
            if name not in names:
                return f"{place} got an unexpected keyword argument '{name}'"
            if name in names[: len(given)]:
                return f"{place} got multiple values for argument '{name}'"
        return f"{place} missing: {', '.join(repr(name) for name in names if name not in values)}"

    def _values(self):
        return tuple(self.__dict__[name] for name in self.__dataclass_fields__)

    def _repr(self):
        shown = (f"{name}={self.__dict__[name]!r}" for name, field in self.__dataclass_fields__.items() if field.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _eq(self, other):
        return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented

    def _hash(self):
        return hash(_values(self))

    def _setattr(self, name, value):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field '{name}'")

    def _delattr(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field '{name}'")


__all__ = ("dataclass",)
