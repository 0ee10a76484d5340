"""Answers of a world that are the same for every model, kept from one model to the next in one process."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from worldbench.core.world import World

T = TypeVar("T")


class Kept(Generic[T]):
    """The last answer of each world to one question."""

    def __init__(self) -> None:
        self._last: weakref.WeakKeyDictionary[World, tuple[Hashable, T]] = weakref.WeakKeyDictionary()

    def get(self, world: World, about: Hashable, make: Callable[[], T]) -> T:
        """The answer that `make` gives. about: what it depends on beside the world. Nobody may change the answer."""
        try:
            last = self._last.get(world)
        except TypeError:  # an object that cannot be held weakly (a stand-in for a world) is asked every time
            return make()
        if last is None or last[0] != about:
            last = self._last[world] = about, make()
        return last[1]
