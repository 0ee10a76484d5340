"""A job and the references of its metrics: a plan whose cells are runs, each in its own folder. The same command
repeated does only what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.core.errors import InputError, Interrupted
from worldbench.core.files import make_folder
from worldbench.records.finding import result_path
from worldbench.runs.beside import Beside
from worldbench.runs.display import Display
from worldbench.runs.named_metrics import unfit
from worldbench.runs.one_run import one_evaluation, one_reference, one_run, one_training, reopen
from worldbench.runs.own import Make, prepare_own, score_own
from worldbench.runs.pool import Cell, Here, Pool
from worldbench.runs.prepared import Prepared, prepare
from worldbench.runs.processes import default_workers
from worldbench.runs.references import references
from worldbench.settings.job import Job

if TYPE_CHECKING:
    from worldbench.training.parallel import Several

JOB = "job"
"""The name of the job's own cell, which comes after the references."""


def run(job: Job, out: Path, display: Display, workers: int | None = 1) -> Path:
    """Does what is missing of a job and of the references of its metrics. Returns the path of the job's result file.

    workers: with 2 or more, the references are scored in a process beside the job, and the metrics of the job in as
    many processes; None: `default_workers`. The results do not depend on it. If a reference fails, `display` reports
    it and the job still runs. Raises InputError if `workers` is below 1.
    """
    _require(workers)
    return _scored(_announced(job, out, display), out, display, workers)


def run_in_processes(job: Job, out: Path, display: Display, together: Several) -> Path | None:
    """`run` in one of several processes: all train the job, then the leading process does the rest alone.

    Returns the path of the result file, and None in the other processes.
    """
    prepared = _announced(job, out, display) if together.leads else _prepared(job, display)
    together.join(prepared.job.groups["train"], prepared.training)
    one_training(prepared, out, display, together)
    together.close()
    return _scored(prepared, out, display, 1) if together.leads else None


def _announced(job: Job, out: Path, display: Display) -> Prepared:
    prepared = _prepared(job, display)
    folder = prepared.folder(make_folder(out))
    display.say(prepared.world.summary(prepared.documents()), f"folder: {folder}")
    return prepared


def _prepared(job: Job, display: Display) -> Prepared:
    """As `prepare`. Says which of the named metrics do not apply. Raises InputError if none of them does."""
    prepared = prepare(job, display)
    for name, reason in unfit(prepared.world, job.groups["eval"].metrics).items():
        display.say(f"{name} does not apply: {reason}")
    return prepared


def _scored(prepared: Prepared, out: Path, display: Display, workers: int | None) -> Path:
    workers = _workers(prepared, workers)
    cell = Cell(JOB, one_run, (prepared, out, display, False, True, workers))
    return _planned(prepared, cell, out, display, workers)


def _require(workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise InputError(f"the number of workers must be at least 1, not {workers}")


def _workers(prepared: Prepared, workers: int | None) -> int:
    if workers is not None:
        return workers
    job = prepared.job
    return default_workers(job.threads, job.groups["train"].device if job.trained else "cpu")


def evaluate(
    folder: Path,
    changes: list[str],
    display: Display,
    plugins: Sequence[Path] = (),
    reading: str | None = None,
    workers: int | None = 1,
) -> Path:
    """Scores one finished run again: `evaluate_all`. Returns the path of the result."""
    return next(evaluate_all([folder], changes, display, plugins, reading, workers))


def evaluate_all(
    folders: list[Path],
    changes: list[str],
    display: Display,
    plugins: Sequence[Path] = (),
    reading: str | None = None,
    workers: int | None = 1,
) -> Iterator[Path]:
    """Scores finished runs again, one after the other, possibly with other evaluation options. Training is not
    repeated. All runs are checked before the first one is scored. Yields the path of each result when it is written.

    Figures of a run's own evaluation go to `figures`, those of other evaluations to `figures-<evaluation>`.
    reading: another model that is scored with the weights of the runs. workers: as of `run`. Raises InputError for a
    folder that is not a run or whose run is not finished.
    """
    _require(workers)
    opened = {f: reopen(f, changes, display, plugins, reading) for f in folders}
    for folder, prepared in opened.items():
        processes = _workers(prepared, workers)
        cell = Cell(JOB, one_evaluation, (prepared, folder, display, processes))
        yield _planned(prepared, cell, folder.absolute().parent, display, processes)


def score(job: Job, make: Make, out: Path, display: Display, *, threads: int = 1) -> Path:
    """Scores a model of the user in a world, together with the references. make: makes the model for the world
    (`own.py`). threads: CPU threads of torch."""
    prepared, own = prepare_own(job, make, display, threads)
    return _planned(prepared, Cell(JOB, score_own, (prepared, own, out, display, threads)), out, display, 1)


def plan(prepared: Prepared, cell: Cell, out: Path, display: Display, workers: int = 1) -> tuple[list[Cell], Pool]:
    """The cells of a job: the runs of its references, with folders below `out`, then the job's own cell. Reports
    references that cannot be built in the world. Also the pool that runs the cells."""
    beside = references(prepared)
    for name, reason in beside.impossible.items():
        display.say(f"no {name} beside the scores: {reason}")
    missing = [name for name, run in beside.runs.items() if not result_path(run.folder(out), run.identity).exists()]
    pool: Pool = Here()
    shown = display
    if workers > 1 and missing:
        display.say(f"scoring the references {', '.join(missing)} on the prompts of the run, in a second process")
        plugins = [Path(plugin.path) for plugin in prepared.job.plugins]
        pool = Beside(plugins, lambda _: display.say("waiting for the second process, which scores the references"))
        shown = display.quieter()
    return [*(Cell(name, one_reference, (run, out, shown)) for name, run in beside.runs.items()), cell], pool


def _planned(prepared: Prepared, cell: Cell, out: Path, display: Display, workers: int) -> Path:
    """Runs the plan of a job. Returns the value of the job's own cell."""
    path: Path | None = None
    cells, pool = plan(prepared, cell, out, display, workers)
    for outcome in pool.run(cells):
        if outcome.cell is cell:
            path = outcome.result()
        elif isinstance(outcome.error, Interrupted):
            raise outcome.error
        elif outcome.error is not None:
            display.say(f"no {outcome.cell.name} beside the scores: {outcome.error}")
    assert path is not None  # the outcome of every cell comes
    return path
