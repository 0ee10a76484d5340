"""A job and the references of its metrics: a plan whose cells are runs, each in its own folder. The same command
repeated does only what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.core.errors import Interrupted
from worldbench.core.files import make_folder
from worldbench.runs.display import Display
from worldbench.runs.one_run import one_evaluation, one_reference, one_run, one_training, reopen
from worldbench.runs.own import Make, prepare_own, score_own
from worldbench.runs.pool import Cell, Here, Pool
from worldbench.runs.prepared import Prepared, prepare
from worldbench.runs.references import references
from worldbench.settings.job import Job

if TYPE_CHECKING:
    from worldbench.training.parallel import Several

JOB = "job"
"""The name of the job's own cell, which comes after the references."""


def run(job: Job, out: Path, display: Display, pool: Pool | None = None) -> Path:
    """Does what is missing of a job and of the references of its metrics. Returns the path of the job's result file.

    pool: runs the cells (None: in this process). If a reference fails, `display` reports it and the job still runs.
    """
    return _scored(_announced(job, out, display), out, display, pool)


def run_in_processes(job: Job, out: Path, display: Display, together: Several) -> Path | None:
    """`run` in one of several processes: all train the job, then the leading process does the rest alone.

    Returns the path of the result file, and None in the other processes.
    """
    prepared = _announced(job, out, display) if together.leads else prepare(job, display)
    together.join(prepared.job.groups["train"], prepared.training)
    one_training(prepared, out, display, together)
    together.close()
    return _scored(prepared, out, display, None) if together.leads else None


def _announced(job: Job, out: Path, display: Display) -> Prepared:
    prepared = prepare(job, display)
    folder = prepared.folder(make_folder(out))
    display.say(prepared.world.summary(prepared.documents()), f"folder: {folder}")
    return prepared


def _scored(prepared: Prepared, out: Path, display: Display, pool: Pool | None) -> Path:
    return _planned(prepared, Cell(JOB, one_run, (prepared, out, display)), out, display, pool)


def evaluate(
    folder: Path,
    changes: list[str],
    display: Display,
    plugins: Sequence[Path] = (),
    reading: str | None = None,
    pool: Pool | None = None,
) -> Path:
    """Scores a finished run again, possibly with other evaluation options. Training is not repeated.

    Figures of the run's own evaluation go to `figures`, those of other evaluations to `figures-<evaluation>`.
    reading: another model that is scored with the weights of the run.
    """
    prepared = reopen(folder, changes, display, plugins, reading)
    cell = Cell(JOB, one_evaluation, (prepared, folder, display))
    return _planned(prepared, cell, folder.absolute().parent, display, pool)


def score(job: Job, make: Make, out: Path, display: Display, *, threads: int = 1) -> Path:
    """Scores a model of the user in a world, together with the references. make: makes the model for the world
    (`own.py`). threads: CPU threads of torch."""
    prepared, own = prepare_own(job, make, display, threads)
    return _planned(prepared, Cell(JOB, score_own, (prepared, own, out, display, threads)), out, display, None)


def plan(prepared: Prepared, cell: Cell, out: Path, display: Display) -> list[Cell]:
    """The cells of a job: the runs of its references, with folders below `out`, then the job's own cell. Reports
    references that cannot be built in the world."""
    beside = references(prepared)
    for name, reason in beside.impossible.items():
        display.say(f"no {name} beside the scores: {reason}")
    return [*(Cell(name, one_reference, (run, out, display)) for name, run in beside.runs.items()), cell]


def _planned(prepared: Prepared, cell: Cell, out: Path, display: Display, pool: Pool | None) -> Path:
    """Runs the plan of a job. Returns the value of the job's own cell."""
    path: Path | None = None
    for outcome in (pool or Here()).run(plan(prepared, cell, out, display)):
        if outcome.cell is cell:
            path = outcome.result()
        elif isinstance(outcome.error, Interrupted):
            raise outcome.error
        elif outcome.error is not None:
            display.say(f"no {outcome.cell.name} beside the scores: {outcome.error}")
    assert path is not None  # the outcome of every cell comes
    return path
