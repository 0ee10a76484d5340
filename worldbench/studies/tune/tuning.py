"""`worldbench tune WORLD`: the same number of trials for every objective, over learning rate, weight decay and loss
weights.

A trial is a training run in its own folder, on seeds that are never reported. Only the criterion is scored, on the
documents and prompts of an evaluation seed that is not reported. What is held out (pairs, mazes) depends on the
world only, so it is the same for every seed. A trial that diverges, or whose criterion is infinite, stays in the
record and is never chosen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
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
from worldbench.runs.prepared import Prepared, identify, prepare, prepare_beside
from worldbench.runs.processes import pool_of
from worldbench.runs.weights import build, train
from worldbench.settings.job import Job
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.halving import finalists, short_job
from worldbench.studies.tune.report import (
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
    checked before the first training starts.

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
    with contextlib.ExitStack() as held:
        for tuned in sorted(tunings, key=lambda tuned: tuned.folder):
            held.enter_context(lock(make_folder(tuned.folder), wait=True, say=display.say))
        left = [tuned for tuned in tunings if not tuned.path.exists()]
        for tuned in tunings:
            if tuned not in left:
                display.say(f"done already: {tuned.path}")
        shown = display if workers == 1 else display.quieter()
        short: dict[str, list[Trial]] = {tuned.job.model: [] for tuned in left}
        for tuned, trial in _trials(pool, _short_plan(left), criterion, out / TRIALS, shown):
            short[tuned.job.model].append(trial)
            steps = counted(tuned.short[0].job.value("train.steps"), "step")
            _say(tuned, trial, f"{settings.trials}, {steps}", criterion, display)
        plan = [
            (tuned, number, tuned.runs[number])
            for tuned in left
            for number in _chosen(tuned, short[tuned.job.model], criterion, settings)
        ]
        full: dict[str, list[Trial]] = {tuned.job.model: [] for tuned in left}
        for tuned, trial in _trials(pool, plan, criterion, out / TRIALS, shown):
            name, wanted = tuned.job.model, sum(planned is tuned for planned, _, _ in plan)
            full[name].append(trial)
            _say(tuned, trial, str(settings.trials), criterion, display)
            if len(full[name]) == wanted:
                done, first = _in_order(full[name]), _in_order(short[name])
                write(tuned.path, record_of(tuned, criterion, settings, shared, first, done))
                write_recipe(tuned)
        for tuned in tunings:
            if not tuned.recipe.exists():
                write_recipe(tuned)
    return [tuned.path for tuned in tunings]


Plan = list[tuple[Tuned, int, list[Prepared]]]
"""Trials to train: of which tuning, the number of the trial, and its trainings."""


def _short_plan(tunings: list[Tuned]) -> Plan:
    return [(tuned, number, [run]) for tuned in tunings for number, run in enumerate(tuned.short)]


def _chosen(tuned: Tuned, short: list[Trial], criterion: Criterion, settings: TuningSettings) -> list[int]:
    """The trials that are trained in full."""
    if not tuned.short:
        return list(range(settings.trials))
    return finalists([trial.value for trial in _in_order(short)], criterion, settings.halving)


def _in_order(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: trial.trial)


def _trials(pool: Pool, plan: Plan, criterion: Criterion, out: Path, display: Display) -> Iterator[tuple[Tuned, Trial]]:
    """Trains the trials of a plan, and yields each one when its last training is finished."""
    named = {tuned.cell(number, run): (tuned, number, runs, run) for tuned, number, runs in plan for run in runs}
    cells = [Cell(name, _attempt, (run, criterion, out, display)) for name, (_, _, _, run) in named.items()]
    attempts: dict[str, TrialRun] = {}
    for cell, attempt in pool.finished(cells):
        attempts[cell.name] = attempt
        tuned, number, runs, _ = named[cell.name]
        own = [attempts.get(tuned.cell(number, run)) for run in runs]
        finished = [one for one in own if one is not None]
        if len(finished) == len(runs):
            yield tuned, _trial(number, tuned.drawn[number], finished, criterion)


def _say(tuned: Tuned, trial: Trial, of: str, criterion: Criterion, display: Display) -> None:
    which = f"trial {trial.trial} ({'the preset; ' if not trial.trial else ''}{trial.trial + 1} of {of})"
    value = f"{settings_text(trial.settings)}: {criterion.name} {value_text(trial.value)}"
    display.say(f"{tuned.job.model} {which}: {value}")


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


def trial_job(job: Job, settings: dict[str, float], seed: int, criterion: Criterion) -> Job:
    """One training of one trial: its drawn settings, and seeds reserved for tuning. Only the last weights are kept,
    unless the weights to score are chosen among several (`train.scored_step least_loss`)."""
    judged = {f"eval.{name}": value for name, value in criterion.evaluation().items()}
    kept = {} if job.groups["train"].scored_step == "least_loss" else {"train.checkpoints": 1}
    changes = {**settings, **kept, "eval.seed": TUNING_SEEDS[0], **judged}
    return dataclasses.replace(job.changed(changes), seed=seed)


def _tuned(prepared: Prepared, job: Job, criterion: Criterion, settings: TuningSettings, out: Path) -> Tuned:
    ranges, seeds = space(prepared.job), TUNING_SEEDS[: settings.seeds]
    drawn = draws(ranges, settings.trials)

    def trials(job: Job, seeds: Sequence[int]) -> list[list[Prepared]]:
        return [[identify(trial_job(job, c, seed, criterion), prepared.world) for seed in seeds] for c in drawn]

    runs, short = trials(prepared.job, seeds), []
    if settings.halving > 1:
        short = [run for (run,) in trials(short_job(prepared.job, settings.halving), seeds[:1])]
    key = [
        TUNING_VERSION,
        [[r.training for r in trial] for trial in runs],
        *([[r.training for r in short]] if short else []),
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
