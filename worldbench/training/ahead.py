"""Work that is done one step ahead, in a thread beside the step before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """The values of a function of the step. The result of a step depends on its number alone, so it is the same whether
    the thread computed it or not."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[int, Future[T]] | None = None

    def take(self, step: int) -> T:
        """`make(step)`, from the thread if it has computed this step. Raises what `make` raised there."""
        begun, self._next = self._next, None
        return begun[1].result() if begun is not None and begun[0] == step else self._make(step)

    @contextlib.contextmanager
    def beside(self, step: int | None) -> Iterator[None]:
        """While the block runs, the thread computes `make(step)`; None: nothing. The block ends when both are done, so
        that nothing else ever runs beside `make`. An error of `make` is raised by `take(step)`, not here."""
        if step is None:
            yield
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "worldbench-batches")
        self._next = step, self._pool.submit(self._make, step)
        try:
            yield
        finally:
            wait([self._next[1]])

    def close(self) -> None:
        """End the thread."""
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = self._next = None
