"""Suggest a word for a mistyped one, if it is really close: a wrong suggestion is worse than none."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def closest(word: str, words: Iterable[str]) -> list[str]:
    """Return the word that differs from `word` by the fewest typing errors, in a list; an empty list if none is close.

    An error is a missing, additional or wrong character, or two that are exchanged: one in a word of up to 5
    characters, two in one of up to 11, then three. In words of fewer than 3 characters none is accepted.
    """
    limit = 0 if len(word) < 3 else 1 if len(word) < 6 else 2 if len(word) < 12 else 3
    near = [(distance, each) for each in words if 0 < (distance := _errors(word, each)) <= limit]
    return [min(near, key=lambda pair: pair[0])[1]] if near else []


def _errors(one: str, other: str) -> int:
    """Return the number of typing errors between two words (optimal string alignment distance)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, char in enumerate(one, 1):
        earlier, before, row = before, row, [at]
        for to, wanted in enumerate(other, 1):
            cost = min(before[to] + 1, row[to - 1] + 1, before[to - 1] + (char != wanted))
            if at > 1 and to > 1 and char == other[to - 2] and one[at - 2] == wanted:
                cost = min(cost, earlier[to - 2] + 1)
            row.append(cost)
    return row[-1]
