"""Options in which results differ, and how values of options are written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any


def differing(sets: Sequence[dict[str, Any]], *, absent: bool = False) -> list[list[str]]:
    """For each set of options (name -> any JSON value), the names in which it differs from another of the sets.

    absent: does a set that lacks a name differ from one that has it? Otherwise only values are compared: a result from
    before an option existed says nothing about that option. Takes time linear in the number of sets.
    """
    seen: dict[str, set[Any]] = defaultdict(set)
    having: dict[str, int] = defaultdict(int)
    for options in sets:
        for name, value in options.items():
            seen[name].add(_frozen(value))
            having[name] += 1
    differ = {name for name, values in seen.items() if len(values) > 1 or (absent and having[name] < len(sets))}
    return [[name for name in options if name in differ] for options in sets]


def _frozen(value: Any) -> Any:
    """A hashable value, equal for equal values."""
    if isinstance(value, dict):
        return frozenset((name, _frozen(child)) for name, child in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def plain(value: Any) -> str:
    """The value of an option, as labels have it."""
    if isinstance(value, list):
        return ",".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
