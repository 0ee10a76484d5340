"""Runs the cells of a sweep that are missing, and reports each cell that fails.

Every cell is one run in its own folder below the output folder, as `worldbench run` makes it. A cell is done when its
result is there and its figures are drawn, so a sweep that was stopped goes on, and a sweep that is done does nothing.
A copied record, without weights and without a manifest, is done too: a table needs only its result.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worldbench.core.errors import Interrupted, RunError, WorldbenchError
from worldbench.core.files import make_folder
from worldbench.core.text import counted
from worldbench.runs.display import Display
from worldbench.runs.one_run import one_run
from worldbench.runs.pool import Cell, Pool, Watch
from worldbench.runs.prepared import Prepared
from worldbench.runs.processes import Processes, usable_cores
from worldbench.studies.sweep.elsewhere import Returned, Sent, bring_home, score_elsewhere, sweep_key
from worldbench.studies.sweep.plan import SweepCell, done_in_words
from worldbench.studies.sweep.progress import progress


@dataclass
class Swept:
    """What a sweep did. before: cells that were done already. now: names of cells that were run. failed: name ->
    reason."""

    before: list[SweepCell] = field(default_factory=list)
    now: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """The counts in one line."""
        total = len(self.before) + len(self.now) + len(self.failed)
        already = f"done already{done_in_words(self.before)}"
        parts = [(len(self.before), already), (len(self.now), "done now"), (len(self.failed), "failed")]
        said = ", ".join(f"{count} {what}" for count, what in parts if count)
        return f"{counted(total, 'cell')}: {said or 'nothing to do'}"


def sweep(
    cells: Sequence[SweepCell],
    out: Path,
    display: Display,
    pool_with: Callable[[Watch], Pool] | None = None,
    look: Callable[[SweepCell], None] = lambda cell: None,
) -> Swept:
    """Run the cells that are missing.

    pool_with: makes the pool, given what it calls while cells run (None: local processes, `default_workers` at a time).
    look: called with each cell that is done, once its result is there. Raises Interrupted once the work was asked to
    stop. A cell that fails stops no other cell, but those that need its weights.
    """
    make_folder(out)
    swept, left = Swept(), list[SweepCell]()
    for cell in cells:
        try:
            done = cell.done()
        except WorldbenchError as error:
            _failed(swept, cell.name, error, display)
            continue
        if done:
            swept.before.append(cell)
            look(cell)
        else:
            left.append(cell)
    if swept.before:
        done_ = f"{len(swept.before)} of {counted(len(cells), 'cell')} are done already"
        display.say(done_ + done_in_words(swept.before))
    ready, by_name = list[SweepCell](), {cell.name: cell for cell in left}
    trains = {cell.folder: cell.name for cell in reversed(left) if cell.without_weights()}
    first = {cell.name: cell.after if cell.after in by_name else trains.get(cell.folder) for cell in left}
    for cell in left:
        if cell.after in swept.failed:
            _failed(swept, cell.name, RunError(f"it was not run, because {cell.after} failed"), display)
        else:
            ready.append(cell)
    if not ready:
        return swept
    with progress(left, display) as shown:
        pool = (pool_with or (lambda watch: Processes(default_workers(cells), watch=watch)))(shown.watch)
        if ready and pool.here:
            _load_what_cells_share()
        for outcome in pool.run([_planned(cell, out, pool, first[cell.name]) for cell in ready]):
            name, error = outcome.cell.name, outcome.error
            if isinstance(error, Interrupted):
                raise error
            back = outcome.value
            if isinstance(back, Returned) and back.stopped:  # the pool raises Interrupted once all cells have stopped
                bring_home(by_name[name].prepared, back, out)
                display.say(f"stopped: {by_name[name].folder}")
                continue
            if error is None and not pool.here:
                try:
                    bring_home(by_name[name].prepared, back, out)
                except WorldbenchError as lost:
                    error = lost
            shown.end(name, error is not None)
            if error is None:
                swept.now.append(name)
                display.say(f"done ({shown.ended} of {len(ready)}): {by_name[name].result}")
                look(by_name[name])
            else:
                _failed(swept, name, error, display)
    return swept


def _planned(cell: SweepCell, out: Path, pool: Pool, first: str | None) -> Cell:
    """The cell of a plan. first: the cell that trains the weights of its folder; None if no cell of the plan does."""
    after = (first,) if first is not None and first != cell.name else ()
    if pool.here:
        return Cell(cell.name, score_cell, (cell.prepared, out), after)
    prepared = cell.prepared
    return Cell(
        cell.name, score_elsewhere, (prepared, Sent(cell.folder), prepared.identity, sweep_key(out)), after
    )  # fmt: skip


def score_cell(prepared: Prepared, out: Path) -> Path:
    """Train and score one cell, in a process of this machine. Returns the path of the result.

    It waits where another process works in the folder: a sweep that was killed may still be saving its state.
    """
    return one_run(prepared, out, Display(quiet=True), wait=True, redraw=False)


def default_workers(cells: Sequence[SweepCell]) -> int:
    """As many processes as cores, divided by the threads of a training; 1 if trainings use a graphics card."""
    cores, cards = cores_and_cards(cells)
    return 1 if cards else max(1, usable_cores() // cores)


def cores_and_cards(cells: Sequence[SweepCell]) -> tuple[int, int]:
    """The processor cores and the graphics cards that a cell needs, as many as the cell that needs most."""
    jobs = [cell.prepared.job for cell in cells]
    cards = any(job.trained and job.groups["train"].device == "cuda" for job in jobs)
    return max((job.threads for job in jobs), default=1), int(cards)


def _load_what_cells_share() -> None:
    """Import what the cells need, so that forked processes share it: each would spend a second or two on that."""
    modules = ["scoring", "weights"], ["trainer", "curve"], ["run_figures", "learning_curves", "position_loss"]
    for room, names in zip(("runs", "training", "figures"), modules):
        for name in names:
            importlib.import_module(f"worldbench.{room}.{name}")
    importlib.import_module("torch._dynamo")  # torch imports it at the first step of an optimizer
    for name in ("matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.special"):
        importlib.import_module(name)


def _failed(swept: Swept, name: str, error: WorldbenchError, display: Display) -> None:
    swept.failed[name] = str(error)
    display.say(f"failed: {name}: {error}")
