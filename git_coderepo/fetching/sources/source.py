"""What a source is: one way to get a tree, asked by the engine through this and nothing else."""

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

    `insisted`: the user named the source, and no other is to be tried.
    """

    planned: PlannedTree
    error: CodeRepoError
    insisted: bool
    before: Sequence[CodeRepoError]


class Source(ABC):
    """One way to get a tree; `name` is what `--method` takes and the receipt has.

    `gives_base`: it asks the platform for the base, on which the overlay goes.
    """

    name: ClassVar[str]
    gives_base: ClassVar[bool] = False

    @abstractmethod
    def applies_to(self, planned: PlannedTree) -> bool:
        """Whether it is asked where the user names no source."""

    @abstractmethod
    def stream(self, planned: PlannedTree, limits: Limits) -> AbstractContextManager[EntryStream]:
        """Return what gives the entries; it does not judge them. Raises MethodUnavailable where it has none to give."""

    def gives_all(self, planned: PlannedTree) -> bool:
        """Whether the whole snapshot comes, on which no overlay goes."""
        return not self.gives_base

    def is_due(self, before: Sequence[CodeRepoError]) -> bool:
        """Whether it is asked after the sources before it failed with these errors."""
        return True

    def attempted(self, planned: PlannedTree, coming: list[Source], attempt: Callable[[PlannedTree], Result]) -> Result:
        """Return what `attempt` gives, before the sources in `coming` are asked. Raises what that raises."""
        return attempt(planned)

    def explained(self, failure: Failure) -> CodeRepoError:
        """Return the error that the user is to read."""
        return failure.error

    def in_addition(self, error: CodeRepoError) -> str | None:
        """Return its failure as something to add to the error before; None where it counts as an error of its own."""
        return None


def base_request(planned: PlannedTree, limits: Limits) -> BaseRequest:
    """Return what the platform is asked for. Raises why it cannot be."""
    if planned.problem is not None:
        raise planned.problem
    if planned.base is None:
        raise MethodUnavailable("there is no base: all of the code travelled with the manifest")
    return planned.base._replace(limits=limits)
