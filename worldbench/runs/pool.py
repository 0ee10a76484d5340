"""Plans and pools: which pieces of work there are, and where they run.

A cell is one piece of work: a function at the top level of a module and its arguments. A plan is a list of cells, and a
cell may name others that must succeed first. A pool runs a plan: `Here` in this process, one cell after the other;
`Processes` (processes.py) in local processes, one process per cell; `Beside` (beside.py) in this process and one
other. What a cell computes must depend on its arguments alone, so that every pool gives the same results. Pools know
nothing of worlds, models and records.
"""

from __future__ import annotations

import abc
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from worldbench.core.errors import InputError, Interrupted, RunError, WorldbenchError

Watch = Callable[[Sequence[str]], None]
"""Is called with the names of the cells that run."""


@dataclass(frozen=True)
class Cell:
    """One piece of work. name: unique in its plan, and shown to people. after: names of cells that must succeed
    first."""

    name: str
    work: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The outcome of a cell: its value, or the error that ended it."""

    cell: Cell
    value: Any = None
    error: WorldbenchError | None = None

    def result(self) -> Any:
        """The value. Raises the error if the cell failed."""
        if self.error is not None:
            raise self.error
        return self.value


class Pool(abc.ABC):
    """Runs the cells of a plan. here: whether cells run on this machine, and see its files."""

    here: bool = True

    def run(self, cells: Sequence[Cell]) -> Iterator[Outcome]:
        """The outcome of every cell, in the order in which cells finish.

        A cell that fails does not stop the others. Cells that need a failed cell are not run; their error names it.
        Raises InputError for a plan with two cells of one name, an unknown name in `after`, or a circle; Interrupted
        once the work was asked to stop.
        """
        _check(cells)
        return self._run(list(cells))

    def finished(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Any]]:
        """Every cell with its value, in the order in which cells finish. Raises the error of the first cell that fails;
        cells that run are then stopped, and no other is started."""
        for outcome in self.run(cells):
            yield outcome.cell, outcome.result()

    def results(self, cells: Sequence[Cell]) -> list[Any]:
        """The values of all cells, in the order of the plan. Raises the first error, after all other cells have
        ended."""
        outcomes = {outcome.cell.name: outcome for outcome in self.run(cells)}
        return [outcomes[cell.name].result() for cell in cells]

    @abc.abstractmethod
    def _run(self, cells: list[Cell]) -> Iterator[Outcome]: ...


class Here(Pool):
    """Runs cells in this process, in the order of the plan as far as `after` allows."""

    def _run(self, cells: list[Cell]) -> Iterator[Outcome]:
        left, ended = cells, Ended()
        with terminated_as_interrupted():
            while left:
                cell = next(c for c in left if ended.ready(c))
                left = [c for c in left if c is not cell]
                yield ended.add(ended.blocked(cell) or attempt(cell))


class Ended:
    """The cells that have ended, and whether they succeeded."""

    def __init__(self) -> None:
        self._succeeded: dict[str, bool] = {}

    def add(self, outcome: Outcome) -> Outcome:
        self._succeeded[outcome.cell.name] = outcome.error is None
        return outcome

    def ready(self, cell: Cell) -> bool:
        return all(name in self._succeeded for name in cell.after)

    def blocked(self, cell: Cell) -> Outcome | None:
        failed = [name for name in cell.after if not self._succeeded[name]]
        return Outcome(cell, error=RunError(f"{cell.name} was not run, because {failed[0]} failed")) if failed else None


def _check(cells: Iterable[Cell]) -> None:
    after: dict[str, tuple[str, ...]] = {}
    for cell in cells:
        if cell.name in after:
            raise InputError(f"two cells of the plan have the name {cell.name!r}")
        after[cell.name] = cell.after
    for name, needed in after.items():
        for other in needed:
            if other not in after:
                raise InputError(f"the cell {name!r} needs {other!r}, which is not in the plan")
    done: set[str] = set()
    while len(done) < len(after):
        ready = {name for name, needed in after.items() if name not in done and done.issuperset(needed)}
        if not ready:
            circle = sorted(after.keys() - done)
            raise InputError(f"these cells wait for one another: {', '.join(circle)}")
        done |= ready


def attempt(cell: Cell) -> Outcome:
    """Run a cell. Raises Interrupted, which ends the plan. Any other WorldbenchError becomes the outcome of the
    cell."""
    try:
        return Outcome(cell, cell.work(*cell.arguments))
    except Interrupted:
        raise
    except WorldbenchError as error:
        return Outcome(cell, error=error)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as SIGINT does, where nobody else has taken it."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
