"""Plans and pools: which pieces of work there are, and where they run.

A cell is one piece of work: a function at the top level of a module and its arguments. A plan is a list of cells, and a
cell may name others that must succeed first. A pool runs a plan: `Here` in this process, one cell after the other;
`Processes` in local processes, one process per cell. What a cell computes must depend on its arguments alone, so that
every pool gives the same results. Pools know nothing of worlds, models and records.
"""

from __future__ import annotations

import abc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from worldbench.core.errors import InputError, Interrupted, RunError, WorldbenchError


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
    """What became of a cell: its value, or the error that ended it."""

    cell: Cell
    value: Any = None
    error: WorldbenchError | None = None

    def result(self) -> Any:
        """The value. Raises the error of a cell that failed."""
        if self.error is not None:
            raise self.error
        return self.value


class Pool(abc.ABC):
    """Runs the cells of a plan."""

    def run(self, cells: Sequence[Cell]) -> Iterator[Outcome]:
        """The outcome of every cell, in the order in which cells finish.

        A cell that fails does not stop the others. Cells that need a failed cell are not run; their error names it.
        Raises InputError for a plan with two cells of one name, an unknown name in `after`, or a circle; Interrupted
        once the work was asked to stop.
        """
        _check(cells)
        return self._run(list(cells))

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
        left, ended = cells, _Ended()
        while left:
            cell = next(c for c in left if ended.ready(c))
            left = [c for c in left if c is not cell]
            yield ended.add(ended.blocked(cell) or _attempt(cell))


class Processes(Pool):
    """Runs each cell in a process of its own, `workers` at a time.

    The processes are forked, so that they share what this process has loaded, such as a map. Where torch has started
    CUDA, which does not survive a fork, they are started afresh. SIGINT and SIGTERM are passed on to the processes: a
    training run saves its state before it stops.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise InputError(f"the number of workers must be at least 1, not {workers}")
        self.workers = workers

    def _run(self, cells: list[Cell]) -> Iterator[Outcome]:
        context: Any = multiprocessing.get_context("spawn" if _cuda_is_up() else "fork")
        left, ended = cells, _Ended()
        running: dict[Connection, tuple[Cell, BaseProcess]] = {}
        try:
            with _passing_on(running) as stopped:
                while running or (left and not stopped):
                    for cell in [c for c in left if ended.ready(c)]:
                        if (blocked := ended.blocked(cell)) is not None:
                            left = [c for c in left if c is not cell]
                            yield ended.add(blocked)
                        elif len(running) < self.workers and not stopped:
                            left = [c for c in left if c is not cell]
                            ours, theirs = context.Pipe(duplex=False)
                            process = context.Process(target=_child, args=(theirs, cell), name=cell.name)
                            process.start()
                            theirs.close()
                            running[ours] = (cell, process)
                    for connection in wait(list(running), timeout=1.0):
                        assert isinstance(connection, Connection)
                        cell, process = running.pop(connection)
                        yield ended.add(_received(connection, cell, process))
                if stopped:
                    raise Interrupted("stopped; the same command goes on with what is missing")
        finally:
            for _, process in running.values():
                process.terminate()
            for _, process in running.values():
                process.join()


def pool_of(workers: int) -> Pool:
    """`Here` for one worker, else `Processes`."""
    return Here() if workers == 1 else Processes(workers)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Ended:
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


def _attempt(cell: Cell) -> Outcome:
    """Run a cell. An interruption ends the plan; any other error of ours belongs to the cell alone."""
    try:
        return Outcome(cell, cell.work(*cell.arguments))
    except Interrupted:
        raise
    except WorldbenchError as error:
        return Outcome(cell, error=error)


def _child(connection: Connection, cell: Cell) -> None:
    os.setpgrp()  # Ctrl-C in a terminal reaches the parent alone, which passes one SIGTERM on
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = _attempt(cell)
        message: tuple[str, Any] = ("value", outcome.value) if outcome.error is None else ("error", outcome.error)
    except (Interrupted, KeyboardInterrupt):
        message = ("interrupted", None)
    except BaseException as error:  # whatever it is, it is reported by the parent
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(last.filename)}:{last.lineno}"
        message = ("error", RunError(f"{cell.name} failed: {type(error).__name__}: {error} ({where})"))
    connection.send(message)
    connection.close()


def _received(connection: Connection, cell: Cell, process: BaseProcess) -> Outcome:
    try:
        kind, value = connection.recv()
    except EOFError:
        kind, value = "died", None
    connection.close()
    process.join()
    if kind == "value":
        return Outcome(cell, value)
    if kind == "error":
        return Outcome(cell, error=value)
    if kind == "interrupted":
        return Outcome(cell, error=Interrupted(f"{cell.name} was stopped; the same command goes on with it"))
    code = process.exitcode or 0
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    hint = "; the system may have run out of memory: try fewer --workers" if code == -signal.SIGKILL else ""
    return Outcome(cell, error=RunError(f"the process of {cell.name} ended without an answer ({how}){hint}"))


@contextmanager
def _passing_on(running: dict[Connection, tuple[Cell, BaseProcess]]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to the running processes; the list holds the signals that came."""
    came: list[int] = []

    def on_signal(number: int, frame: Any) -> None:
        came.append(number)
        for _, process in list(running.values()):
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGTERM)

    try:
        old = {s: signal.signal(s, on_signal) for s in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: the signals belong to the caller
        yield came
        return
    try:
        yield came
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def _cuda_is_up() -> bool:
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()
