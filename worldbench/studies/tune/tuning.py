"""`worldbench tune WORLD`: the same number of trials for every objective, over learning rate, weight decay and loss
weights.

A trial is a training run in its own folder, on seeds that are never reported. Only the criterion is scored, on the
documents and prompts of an evaluation seed that is not reported. What is held out (pairs, mazes) depends on the
world only, so it is the same for every seed. A trial that diverges, or whose criterion is infinite, stays in the
record and is never chosen.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from worldbench.core.budget import TUNING_SEEDS
from worldbench.core.errors import Diverged, InputError, RunError
from worldbench.core.files import identity_hash, lock, make_folder
from worldbench.core.text import counted
from worldbench.core.world import Documents, World
from worldbench.records.reading import read, write
from worldbench.records.tuning import Trial, TrialRun
from worldbench.runs.config_file import write_config
from worldbench.runs.display import Display
from worldbench.runs.manifest import manifest
from worldbench.runs.pool import Cell, Pool
from worldbench.runs.prepared import Prepared, prepare, prepare_beside
from worldbench.runs.processes import pool_of
from worldbench.runs.weights import build, train
from worldbench.settings.job import Job
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.halving import short_job
from worldbench.studies.tune.plan import (
    Planned,
    check_further,
    full_plan,
    further_plan,
    further_ranges,
    short_plan,
    trainings,
)
from worldbench.studies.tune.report import (
    Outcomes,
    Tuned,
    TuningSettings,
    record_of,
    settings_text,
    value_text,
    write_recipe,
)
from worldbench.studies.tune.search import draws, space

TUNING_VERSION = 1
"""Raised when a tuning with the same settings tries other values."""
TRIALS = "tune-trials"
"""The folder of the trials' runs. All tunings below one folder share it, so more trials or seeds train only what is
new."""


def tune(jobs: list[Job], settings: TuningSettings, out: Path, display: Display, workers: int = 1) -> list[Path]:
    """Tunes each job. The jobs differ only in the model. Returns the paths of their `tuning.json`. All jobs are
    checked before the first training starts, also with the largest and the smallest settings of further trials.

    workers: how many trainings run at the same time. The results do not depend on it.

    Raises InputError for a model that the criterion cannot judge, and for a world whose test documents are the same
    for every seed.
    """
    pool = pool_of(workers, [Path(plugin.path) for plugin in jobs[0].plugins])
    make_folder(out)
    first = prepare(jobs[0], display)
    prepared = [first, *(prepare_beside(first, job, display) for job in jobs[1:])]
    world = first.world
    display.say(world.summary(first.documents()))
    criterion = Criterion.parse(settings.criterion, world)
    shared = shared_documents(world, first.job)
    display.say(
        f"criterion: {criterion.name} ({criterion.direction} is better); {shared:.1%} of its "
        "documents are also in the reported evaluation"
    )
    for p in prepared:
        criterion.require(p, _untrained(p))
    tunings = [_tuned(p, job, criterion, settings, out) for p, job in zip(prepared, jobs)]
    for tuned in tunings if settings.further else ():
        check_further(tuned)
    with contextlib.ExitStack() as held:
        for tuned in sorted(tunings, key=lambda tuned: tuned.folder):
            held.enter_context(lock(make_folder(tuned.folder), wait=True, say=display.say))
        left = [tuned for tuned in tunings if not tuned.path.exists()]
        for tuned in tunings:
            if tuned not in left:
                display.say(f"done already: {tuned.path}")
        shown = display if workers == 1 else display.quieter()

        def trained(plan: list[Planned], of: str) -> Iterator[tuple[Tuned, list[Trial]]]:
            """Trains a plan. Yields the trials of a tuning, in order, when the last of them is finished."""
            ended: dict[str, list[Trial]] = {}
            for planned, trial in _trials(pool, plan, criterion, out / TRIALS, shown):
                own = ended.setdefault(planned.tuned.job.model, [])
                own.append(trial)
                _say(planned, trial, of, criterion, display)
                if len(own) == sum(other.tuned is planned.tuned for other in plan):
                    yield planned.tuned, sorted(own, key=lambda trial: trial.trial)

        def finish(tuned: Tuned, outcomes: Outcomes) -> None:
            write(tuned.path, record_of(tuned, criterion, settings, shared, outcomes))
            write_recipe(tuned)

        trials = str(settings.trials + settings.further)
        short = {tuned.job.model: done for tuned, done in trained(short_plan(left), trials)}
        full: dict[str, list[Trial]] = {}
        for tuned, done in trained(full_plan(left, short, criterion, settings), trials):
            full[tuned.job.model] = done
            if not settings.further:
                finish(tuned, Outcomes(short.get(tuned.job.model, []), done, [], []))
        if settings.further:
            ranges = {tuned.job.model: further_ranges(tuned, full[tuned.job.model], criterion) for tuned in left}
            plan = further_plan(left, ranges, criterion, settings)
            for tuned, done in trained(plan, trials):
                name = tuned.job.model
                finish(tuned, Outcomes(short.get(name, []), full[name], done, ranges[name]))
        for tuned in tunings:
            if not tuned.recipe.exists():
                write_recipe(tuned)
    return [tuned.path for tuned in tunings]


def _trials(
    pool: Pool, plan: list[Planned], criterion: Criterion, out: Path, display: Display
) -> Iterator[tuple[Planned, Trial]]:
    """Trains the trials of a plan, and yields each one when its last training is finished."""
    named = {one.tuned.cell(one.number, run): (one, run) for one in plan for run in one.runs}
    cells = [Cell(name, _attempt, (run, criterion, out, display)) for name, (_, run) in named.items()]
    attempts: dict[str, TrialRun] = {}
    for cell, attempt in pool.finished(cells):
        attempts[cell.name] = attempt
        one, _ = named[cell.name]
        own = [attempts.get(one.tuned.cell(one.number, run)) for run in one.runs]
        finished = [attempt for attempt in own if attempt is not None]
        if len(finished) == len(one.runs):
            yield one, _trial(one.number, one.settings, finished, criterion)


def _say(planned: Planned, trial: Trial, of: str, criterion: Criterion, display: Display) -> None:
    steps = planned.runs[0].job.value("train.steps")
    short = f", {counted(steps, 'step')}" if planned.runs[0] in planned.tuned.short else ""
    which = f"trial {trial.trial} ({'the preset; ' if not trial.trial else ''}{trial.trial + 1} of {of}{short})"
    value = f"{settings_text(trial.settings)}: {criterion.name} {value_text(trial.value)}"
    display.say(f"{planned.tuned.job.model} {which}: {value}")


def _untrained(prepared: Prepared) -> Any:
    from worldbench.baselines.trained import TrainedModel

    device = prepared.job.groups["train"].device
    return TrainedModel(build(prepared).to(device), device)


def shared_documents(world: World, job: Job) -> float:
    """The share of documents of the tuning evaluation that are also in the reported evaluation.

    Raises InputError if the test documents of the world are the same for every seed.
    """
    settings = job.groups["eval"]
    ours, theirs = (world.sample(seed, "test", 0, settings.documents) for seed in (TUNING_SEEDS[0], settings.seed))
    if np.array_equal(ours.tokens, theirs.tokens):
        raise InputError(
            f"this world cannot be tuned ({world.summary(0)}): its test documents are the same for every seed, so "
            "tuning would use documents of the reported evaluation"
        )
    return float(np.isin(_rows(ours), _rows(theirs)).mean())


def _rows(documents: Documents) -> np.ndarray:
    tokens = np.ascontiguousarray(documents.tokens)
    return tokens.view([("", tokens.dtype)] * tokens.shape[1])[:, 0]


def _tuned(prepared: Prepared, job: Job, criterion: Criterion, settings: TuningSettings, out: Path) -> Tuned:
    ranges, seeds = space(prepared.job), TUNING_SEEDS[: settings.seeds]
    drawn = draws(ranges, settings.trials)
    runs, short = trainings(prepared, prepared.job, drawn, seeds, criterion), []
    if settings.halving > 1:
        few = short_job(prepared.job, settings.halving)
        short = [run for (run,) in trainings(prepared, few, drawn, seeds[:1], criterion)]
    key = [
        TUNING_VERSION,
        [[r.training for r in trial] for trial in runs],
        *([[r.training for r in short]] if short else []),
        *([f"further {settings.further}"] if settings.further else []),
        runs[0][0].evaluation,
        prepared.job.groups["eval"].seed,
        criterion.name,
    ]
    name = f"tune-{job.world}-{job.model}-{job.preset}-{identity_hash(key)[:10]}"
    return Tuned(job, prepared, ranges, drawn, runs, short, out / name)


def _attempt(prepared: Prepared, criterion: Criterion, out: Path, display: Display) -> TrialRun:
    """Trains and scores once. A finished trial is read from its folder instead."""
    folder = make_folder(prepared.folder(out))
    path = folder / f"trial-{identity_hash([prepared.evaluation, criterion.metric])[:10]}.json"
    with lock(folder, wait=True):
        if path.exists():
            return _done(path, prepared)
        write_config(folder, prepared)
        scores, missing, failed = {}, {}, None
        with manifest(folder, display.say):
            try:
                model = train(prepared, folder, display)
                with display.task("scoring"):
                    scores, missing = criterion.measure(prepared, model)
            except (Diverged, ArithmeticError, np.linalg.LinAlgError) as error:
                failed = str(error)
        seed, training = prepared.job.seed, prepared.training
        record = TrialRun(
            seed=seed, folder=folder.name, training=training, scores=dict(scores), failed=failed, missing=missing
        )
        write(path, record)
    return record


def _done(path: Path, prepared: Prepared) -> TrialRun:
    record = read(path, TrialRun)
    if (record.seed, record.training) != (prepared.job.seed, prepared.training):
        raise RunError(f"{str(path)!r} belongs to another training (seed {record.seed}); move it to another folder")
    return record


def _trial(number: int, settings: dict[str, float], runs: list[TrialRun], criterion: Criterion) -> Trial:
    """The outcome of a trial. Its value is the mean over seeds: infinite if the score of a seed is infinite, None if a
    seed failed or has no score."""
    values = [run.scores.get(criterion.score) for run in runs]
    runs = [_failed(run, criterion) if value is None and not run.failed else run for run, value in zip(runs, values)]
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if len(known) == len(values) else None
    return Trial(trial=number, settings=settings, value=None if mean is None or math.isnan(mean) else mean, runs=runs)


def _failed(run: TrialRun, criterion: Criterion) -> TrialRun:
    """A training without the score of the criterion, as one that failed for the reason that the score is missing."""
    reason = run.missing.get(criterion.score) or "it has no value"
    return msgspec.structs.replace(run, failed=f"{criterion.name} is missing: {reason}")
