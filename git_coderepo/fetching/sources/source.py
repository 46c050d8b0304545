"""The interface of a source, one way to get a tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, NamedTuple, TypeVar

from git_coderepo.errors import CodeRepoError, MethodUnavailable
from git_coderepo.fetching.limits import Limits
from git_coderepo.fetching.planned_tree import BaseRequest, PlannedTree
from git_coderepo.fetching.sources.entry_stream import EntryStream

Result = TypeVar("Result")


class Failure(NamedTuple):
    """An attempt that failed with `error`, after the sources before it failed with those in `before`.

    With `insisted`, the user named the source, and no other is tried.
    """

    planned: PlannedTree
    error: CodeRepoError
    insisted: bool
    before: Sequence[CodeRepoError]


class Source(ABC):
    """One way to get a tree; `name` is the word for `--method` and in the receipt.

    A source with `gives_base` asks the platform for the base, to which the overlay is added.
    """

    name: ClassVar[str]
    gives_base: ClassVar[bool] = False

    @abstractmethod
    def applies_to(self, planned: PlannedTree) -> bool:
        """Return whether to try this source when the user has not chosen one."""

    @abstractmethod
    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        """Return a context manager with the unverified entries. Raises MethodUnavailable if it cannot have the tree."""

    def gives_all(self, planned: PlannedTree) -> bool:
        """Return whether it returns the whole snapshot, so that no overlay is needed."""
        return not self.gives_base

    def is_due(self, before: Sequence[CodeRepoError]) -> bool:
        """Return whether to try this source after earlier sources failed with these errors."""
        return True

    def attempted(self, planned: PlannedTree, coming: list[Source], attempt: Callable[[PlannedTree], Result]) -> Result:
        """Run `attempt`, possibly several times, and raise its error; `coming` are the sources to try next."""
        return attempt(planned)

    def explained(self, failure: Failure) -> CodeRepoError:
        """Return the error to show to the user."""
        return failure.error

    def in_addition(self, error: CodeRepoError) -> str | None:
        """Return a hint to add to the previous source's error; None if this failure must be reported separately."""
        return None


def base_request(planned: PlannedTree, limits: Limits) -> BaseRequest:
    """Return the request to the platform. Raises the planned problem, and MethodUnavailable without a base."""
    if planned.problem is not None:
        raise planned.problem
    if planned.base is None:
        raise MethodUnavailable("the run has no base: the overlay contains the whole tree")
    return planned.base._replace(limits=limits)
