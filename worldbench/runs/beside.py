"""A pool with one process beside this one: for a plan whose last cell belongs in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from worldbench.core.errors import WorldbenchError
from worldbench.runs.pool import Cell, Here, Outcome, Pool, Watch, terminated_as_interrupted
from worldbench.runs.processes import Processes


class Beside(Pool):
    """Runs the last cell of a plan in this process, and all other cells in one process beside it, one after the other.

    So the last cell keeps what belongs to this process: the terminal, its signals, its unforeseen errors. The process
    beside is stopped when the last cell fails or is asked to stop. Where it ends without an answer (an unforeseen
    error, too little memory), this process runs its cells again after the last cell.
    """

    def __init__(self, plugins: Sequence[Path] = (), watch: Watch = lambda names: None) -> None:
        """plugins: see `Processes`. watch: called with the names of the other cells, when this process waits for
        them."""
        self.plugins, self.watch = plugins, watch

    def _run(self, cells: list[Cell]) -> Iterator[Outcome]:
        *others, last = cells
        if not others or any(cell.after for cell in cells):
            yield from Here().run(cells)
            return
        names = [cell.name for cell in others]
        connection, running = Processes(1, self.plugins).started(Cell(", ".join(names), _one_by_one, (others,)))
        try:
            yield from Here().run([last])
            with terminated_as_interrupted():
                if not connection.poll():
                    self.watch(names)
                    wait([connection])
                found = running.outcome(connection)
        finally:
            running.process.terminate()
            running.process.join()
        if found.error is not None:
            yield from Here().run(others)
            return
        for cell, (value, error) in zip(others, found.value, strict=True):
            yield Outcome(cell, value, error)


def _one_by_one(cells: Sequence[Cell]) -> list[tuple[Any, WorldbenchError | None]]:
    """Run cells in this process: the value or the error of each. The cells themselves are not sent back."""
    return [(outcome.value, outcome.error) for outcome in Here().run(cells)]
