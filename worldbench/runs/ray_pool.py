"""The pool of a Ray cluster: each cell is a task, on whichever machine has a processor core for it.

Needs the package ray (extra `ray`). A task whose worker or machine dies is tried again on another. What a cell computes
must depend on its arguments alone, so a cell that ran twice has one outcome, and that is counted once.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, Interrupted, RunError, WorldbenchError
from worldbench.core.files import make_folder, write_atomic
from worldbench.core.plugins import Source, read_plugin
from worldbench.core.process import set_environment
from worldbench.runs.pool import Cell, Ended, Outcome, Pool, Watch
from worldbench.runs.processes import SECONDS_UNHEARD, noted_signals

RETRIES = 5
"""How often a task is started again after its worker or its machine has died."""
COUNTED = 1.0
"""Seconds between two counts of the cores of the cluster, to which machines may come and from which they may go."""
STOP = 60.0
"""Seconds that tasks get to save their state once the work was asked to stop."""


class Ray(Pool):
    """Runs each cell as a task of a Ray cluster."""

    here = False

    def __init__(
        self,
        address: str,
        plugins: Sequence[Path] = (),
        watch: Watch = lambda names: None,
        cores: int = 1,
        cards: int = 0,
    ) -> None:
        """address: of a cluster, such as 10.0.0.1:6379; `auto`: the cluster that runs on this machine. plugins: the
        plugin files that were run in this process; their content is sent with every cell. cores, cards: processor cores
        and graphics cards of one cell. watch: called with the names of the cells that were given to the cluster.

        Raises InputError if the package ray is missing.
        """
        try:
            import ray  # pyright: ignore[reportMissingImports]  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"--ray needs the package ray ({error}); install it with pip install 'worldbench[ray]'"
            ) from error
        self.address, self.watch, self.cores, self.cards = address, watch, cores, cards
        self.plugins = [(source.path.name, source.text, source.sha256) for source in map(read_plugin, plugins)]

    def _run(self, cells: list[Cell]) -> Iterator[Outcome]:
        import ray  # pyright: ignore[reportMissingImports]

        _connect(self.address)
        task = ray.remote(
            max_retries=RETRIES, num_cpus=self.cores, num_gpus=self.cards, runtime_env={"env_vars": ENVIRONMENT}
        )(run_cell)
        left, ended = cells, Ended()
        running: dict[Any, Cell] = {}
        room, counted = 0, -COUNTED
        try:
            with noted_signals() as stopped:
                while running or (left and not stopped):
                    if time.monotonic() - counted > COUNTED:
                        room, counted = self._room(), time.monotonic()
                    for cell in [c for c in left if ended.ready(c)]:
                        if (blocked := ended.blocked(cell)) is not None:
                            left = [c for c in left if c is not cell]
                            yield ended.add(blocked)
                        elif len(running) < room and not stopped:
                            left = [c for c in left if c is not cell]
                            running[task.remote(self.plugins, [ray.put(cell)])] = cell
                    self.watch([cell.name for cell in running.values()])
                    if stopped:
                        for reference in _stop(list(running)):
                            outcome = _received(reference, running[reference])
                            if outcome.error is None:
                                yield ended.add(outcome)
                        raise Interrupted("stopped; the same command goes on with what is missing")
                    if not running:
                        time.sleep(SECONDS_UNHEARD)
                        continue
                    for reference in ray.wait(list(running), timeout=SECONDS_UNHEARD)[0]:
                        cell = running.pop(reference)
                        yield ended.add(_received(reference, cell))
        finally:
            ray.shutdown()

    def _room(self) -> int:
        """How many cells the cluster can run at a time; at least 1, which then waits for a machine."""
        import ray  # pyright: ignore[reportMissingImports]

        there = ray.cluster_resources()
        room = int(there.get("CPU", 0)) // self.cores
        return max(1, min(room, int(there.get("GPU", 0)) // self.cards) if self.cards else room)


ENVIRONMENT = {"GOMP_SPINCOUNT": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What `core.process.set_environment` sets; torch reads it when it is loaded."""


def run_cell(plugins: list[tuple[str, bytes, str]], cell: list[Any]) -> tuple[str, Any]:
    """The task. Runs the plugin files that came with the cell, then the cell.

    cell: one reference to the cell, in a list, so that Ray does not decode the cell before its plugins are loaded.
    Returns ("value", value) or ("error", error).
    """
    import ray  # pyright: ignore[reportMissingImports]

    set_environment()
    name = "a task"
    try:
        for file, text, sha256 in plugins:
            path = make_folder(Path(tempfile.gettempdir()) / f"worldbench-plugins-{os.getuid()}" / sha256) / file
            write_atomic(path, text)
            Source(path, text).run()
        work: Cell = ray.get(cell[0])
        name = work.name
        return "value", work.work(*work.arguments)
    except WorldbenchError as error:
        return "error", error
    except KeyboardInterrupt:
        return "error", Interrupted(f"{name} was stopped")
    except Exception as error:  # whatever it is, the driver reports it
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(last.filename)}:{last.lineno}"
        return "error", RunError(f"{name} failed: {type(error).__name__}: {error} ({where})")


def _connect(address: str) -> None:
    import ray  # pyright: ignore[reportMissingImports]

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"no Ray cluster answers at {address!r} ({reason}); start one with ray start --head, or check the address"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)  # ray.init sets a handler of its own


def _received(reference: Any, cell: Cell) -> Outcome:
    import ray  # pyright: ignore[reportMissingImports]
    from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

    try:
        kind, value = ray.get(reference)
    except RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[0].strip()[:200] if lines else type(error).__name__
        return Outcome(cell, error=RunError(f"the cluster lost {cell.name} {RETRIES + 1} times: {reason}"))
    return Outcome(cell, value) if kind == "value" else Outcome(cell, error=value)


def _stop(running: list[Any]) -> list[Any]:
    """Ask tasks to stop as Ctrl-C does, and wait until they have saved their state. Returns those that have ended."""
    import ray  # pyright: ignore[reportMissingImports]

    for reference in running:
        ray.cancel(reference, force=False)
    return ray.wait(running, num_returns=len(running), timeout=STOP)[0] if running else []
