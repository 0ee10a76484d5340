"""The pool of local processes: one process per cell, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from worldbench.core.errors import InputError, Interrupted, RunError, WorldbenchError
from worldbench.core.plugins import read_plugin
from worldbench.runs.pool import Cell, Ended, Here, Outcome, Pool, Watch, attempt

SECONDS_UNHEARD = 0.2
"""The longest time, in seconds, after which a signal is passed on to the processes, and after which a process notices
that its parent has ended."""
STOPPING = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask a plan to stop."""


class Processes(Pool):
    """Runs each cell in a process of its own, `workers` at a time.

    The processes are forked, so that they share what this process has loaded, such as a map. Where torch has several
    threads or finds a graphics card, they are started afresh (`fork_is_safe`). SIGINT and SIGTERM are passed on to
    the processes: a training run saves its state before it stops. Where this process is killed, they stop too.
    """

    def __init__(
        self,
        workers: int,
        plugins: Sequence[Path] = (),
        start: Literal["fork", "spawn"] | None = None,
        watch: Watch = lambda names: None,
    ) -> None:
        """plugins: the plugin files that were run in this process; a spawned process runs them first. start: how
        processes are started (None: fork if that is safe, else spawn). watch: called with the names of the cells that
        run, several times a second, in this thread."""
        if workers < 1:
            raise InputError(f"the number of workers must be at least 1, not {workers}")
        self.workers, self.start, self.watch = workers, start, watch
        self.plugins = [(path, read_plugin(path).sha256) for path in plugins]

    def _run(self, cells: list[Cell]) -> Iterator[Outcome]:
        left, ended = cells, Ended()
        running: dict[Connection, Running] = {}
        try:
            with noted_signals() as stopped:
                while running or (left and not stopped):
                    for cell in [c for c in left if ended.ready(c)]:
                        if (blocked := ended.blocked(cell)) is not None:
                            left = [c for c in left if c is not cell]
                            yield ended.add(blocked)
                        elif len(running) < self.workers and not stopped:
                            left = [c for c in left if c is not cell]
                            connection, new = self.started(cell)
                            running[connection] = new
                    for one in running.values():
                        one.pass_on(len(stopped))
                    self.watch([one.cell.name for one in running.values()])
                    for connection in wait(list(running), timeout=SECONDS_UNHEARD):
                        assert isinstance(connection, Connection)
                        cell = (one := running.pop(connection)).cell
                        outcome = one.outcome(connection)
                        if stopped and outcome.error is not None:  # it was stopped, in whatever way it said so
                            outcome = Outcome(cell, error=Interrupted(f"{cell.name} was stopped"))
                        ended.add(outcome)
                        if outcome.error is None or not stopped:
                            yield outcome
                if stopped:
                    raise Interrupted("stopped; the same command goes on with what is missing")
        finally:
            for one in running.values():
                one.process.terminate()
            for one in running.values():
                one.process.join()

    def started(self, cell: Cell) -> tuple[Connection, Running]:
        """A new process that runs a cell, and the connection through which its outcome comes."""
        start = self.start or ("fork" if fork_is_safe() else "spawn")
        context: Any = multiprocessing.get_context(start)
        plugins = self.plugins if start == "spawn" else []
        ours, theirs = context.Pipe()
        args = (theirs, plugins, cell if start == "fork" else None)
        process = context.Process(target=_child, args=args, name=cell.name)
        with _signals_held():  # the new process lets them through when it can be stopped by them
            process.start()
        theirs.close()
        if start == "spawn":
            try:
                ours.send(cell)
            except BaseException:
                process.terminate()
                raise
        return ours, Running(cell, process)


def pool_of(workers: int, plugins: Sequence[Path] = ()) -> Pool:
    """`Here` for one worker, else `Processes`."""
    return Here() if workers == 1 else Processes(workers, plugins)


MOST_WORKERS = 4
"""Most processes that score a run by default: more save little, because the longest metric takes a quarter of the
time, and each needs memory."""


def default_workers(threads: int, device: str) -> int:
    """The number of processes that score a run by default: one for each core, or for each group of as many cores as
    torch has threads; 1 on a graphics card."""
    return 1 if device == "cuda" else max(1, min(MOST_WORKERS, usable_cores() // threads))


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Running:
    """A cell whose process has been started. passed_on: the signals that the process was sent."""

    cell: Cell
    process: BaseProcess
    passed_on: int = 0

    def pass_on(self, came: int) -> None:
        """Send SIGTERM once for each signal that came and was not yet passed on."""
        while self.passed_on < came:
            self.passed_on += 1
            if self.process.pid is not None and self.process.is_alive():
                os.kill(self.process.pid, signal.SIGTERM)

    def outcome(self, connection: Connection) -> Outcome:
        """The outcome of the cell, once it has come through the connection. The process has then ended."""
        cell = self.cell
        try:
            kind, value = connection.recv()
        except EOFError:
            kind, value = "died", None
        connection.close()
        self.process.join()
        if kind == "value":
            return Outcome(cell, value)
        if kind == "error":
            return Outcome(cell, error=value)
        if kind == "interrupted":
            return Outcome(cell, error=Interrupted(f"{cell.name} was stopped; the same command goes on with it"))
        code = self.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        hint = "; the system may have run out of memory: try fewer --workers" if code == -signal.SIGKILL else ""
        return Outcome(cell, error=RunError(f"the process of {cell.name} ended without an answer ({how}){hint}"))


def _child(connection: Connection, plugins: list[tuple[Path, str]], cell: Cell | None) -> None:
    """Run a cell in a new process. cell: None if it is sent through the connection, because its arguments may have
    types of a plugin, which must be loaded first."""
    os.setpgrp()  # Ctrl-C in a terminal reaches the parent alone, which passes one SIGTERM on
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    threading.Thread(target=_stop_with_parent, args=(os.getppid(),), daemon=True).start()
    name = "a process" if cell is None else cell.name
    try:
        for path, sha256 in plugins:
            read_plugin(path, sha256).run()
        work: Cell = connection.recv() if cell is None else cell
        name = work.name
        outcome = attempt(work)
        message: tuple[str, Any] = ("value", outcome.value) if outcome.error is None else ("error", outcome.error)
    except (Interrupted, KeyboardInterrupt):
        message = ("interrupted", None)
    except WorldbenchError as error:  # of a plugin that cannot be run
        message = ("error", error)
    except BaseException as error:  # whatever it is, it is reported by the parent
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(last.filename)}:{last.lineno}"
        message = ("error", RunError(f"{name} failed: {type(error).__name__}: {error} ({where})"))
    connection.send(message)
    connection.close()


def _stop_with_parent(parent: int) -> None:
    """Stop this process, as SIGTERM does, after its parent has ended."""
    while os.getppid() == parent:
        time.sleep(SECONDS_UNHEARD)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _signals_held() -> Iterator[None]:
    """SIGINT and SIGTERM wait until the block has ended. A process that is started within waits too (see `_child`)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM are added to the list, and do nothing else. Whoever has the list passes them on.

    A handler that passed them on itself could come between the start of a process and the note of that start.
    """
    came: list[int] = []
    try:
        old = {s: signal.signal(s, lambda number, frame: came.append(number)) for s in STOPPING}
    except ValueError:  # not the main thread: the signals belong to the caller
        yield came
        return
    try:
        yield came
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def fork_is_safe() -> bool:
    """Is it safe to fork? The child hangs if torch has several threads of OpenMP. Where there is a graphics card, the
    child could not use it (torch refuses, as soon as this process has asked whether CUDA is available), and torch
    computes gradients in threads, which do not survive a fork, on the processor too."""
    torch = sys.modules.get("torch")
    return torch is None or not (torch.get_num_threads() > 1 or torch.accelerator.is_available())
