"""A value of our `dataclass` is what the library's would be: the same class is made both ways and asked the same."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

import git_coderepo
from git_coderepo import values


class _Plain:
    """A path with what is known of it."""

    path: bytes
    size: int
    secret: bytes = dataclasses.field(repr=False)
    mode: int = 0o644
    links: list[bytes] = dataclasses.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return self.size == 0


def _copied() -> type[Any]:
    return type("Path", (), {**{name: value for name, value in vars(_Plain).items() if name not in _OF_ITS_OWN}})


_OF_ITS_OWN = ("__dict__", "__weakref__")
Theirs: Any = dataclasses.dataclass(frozen=True)(_copied())
Ours: Any = values.dataclass(frozen=True)(_copied())
Path = Ours  # pickle looks for the class by its name


def _said(question: Callable[[Any], Any], kind: Any) -> object:
    try:
        return question(kind)
    except Exception as error:
        return type(error)


def _one(kind: Any, size: int = 3) -> Any:
    return kind(b"-a \xff\n", size, b"hidden")


QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "its values in their order": lambda kind: dataclasses.astuple(kind(b"a", 1, b"s", 0o755, [b"l"])),
    "by name": lambda kind: dataclasses.asdict(kind(size=1, path=b"a", secret=b"s", links=[])),
    "what was not given": lambda kind: (_one(kind).mode, _one(kind).links),
    "a list for each": lambda kind: _one(kind).links is _one(kind).links,
    "one is missing": lambda kind: kind(b"a", 1),
    "one too many": lambda kind: kind(b"a", 1, b"s", 0, [], 0),
    "one twice": lambda kind: kind(b"a", 1, b"s", path=b"b"),
    "one that is none": lambda kind: kind(b"a", 1, b"s", other=1),
    "shown": lambda kind: repr(_one(kind)),
    "alike": lambda kind: (_one(kind) == _one(kind), _one(kind) == _one(kind, 4), _one(kind) != _one(kind)),
    "like another thing": lambda kind: _one(kind) == (b"-a \xff\n", 3, b"hidden", 0o644, []),
    "as a key": lambda kind: hash(kind(b"a", 1, b"s", 0, ())) == hash(kind(b"a", 1, b"s", 0, ())),
    "as a key with a list in it": lambda kind: hash(_one(kind)),
    "changed": lambda kind: setattr(_one(kind), "size", 4),
    "given another": lambda kind: setattr(_one(kind), "other", 4),
    "taken away": lambda kind: delattr(_one(kind), "size"),
    "replaced": lambda kind: dataclasses.astuple(dataclasses.replace(_one(kind), size=0)),
    "replaced by what is none": lambda kind: dataclasses.replace(_one(kind), other=0),
    "its property": lambda kind: (_one(kind, 0).is_empty, _one(kind).is_empty),
    "its fields": lambda kind: [(each.name, each.repr) for each in dataclasses.fields(kind)],
    "matched": lambda kind: kind.__match_args__,
    "copied": lambda kind: copy.deepcopy(_one(kind)) == _one(kind),
    "its words": lambda kind: kind.__doc__,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_answers_as_the_librarys_own(question: str) -> None:
    assert _said(QUESTIONS[question], Ours) == _said(QUESTIONS[question], Theirs)


def test_it_goes_through_a_pickle() -> None:
    assert pickle.loads(pickle.dumps(_one(Ours))) == _one(Ours)


def test_a_refusal_names_what_is_wrong() -> None:
    for given, named, words in (
        ((b"a", 1), {}, "missing: 'secret'"),
        ((b"a", 1, b"s", 0, [], 0), {}, "takes 5 values but 6 were given"),
        ((b"a", 1, b"s"), {"path": b"b"}, "multiple values for argument 'path'"),
        ((b"a", 1, b"s"), {"other": 1}, "unexpected keyword argument 'other'"),
    ):
        with pytest.raises(TypeError, match=words):
            Ours(*given, **named)


def _classes() -> list[Any]:
    found: dict[type, None] = {}
    for module in pkgutil.walk_packages(git_coderepo.__path__, "git_coderepo."):
        if module.name.endswith("__main__"):
            continue
        found.update({each: None for each in vars(import_module(module.name)).values() if _is_value(each)})
    return list(found)


def _is_value(each: object) -> bool:
    return isinstance(each, type) and "_constructor" in each.__init__.__qualname__  # type: ignore[misc]


def test_no_class_of_ours_asks_for_what_only_the_library_does() -> None:
    """No value inherits from another, calls `__post_init__`, or has fields that are no plain ones."""
    classes = _classes()
    assert len(classes) > 50
    for kind in classes:
        assert kind.__bases__ == (object,), kind
        assert not hasattr(kind, "__post_init__"), kind
        for field in dataclasses.fields(kind):
            assert field.init and field.compare and field.hash is None and not field.kw_only, (kind, field.name)
