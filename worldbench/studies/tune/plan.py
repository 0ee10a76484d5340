"""The trials of a tuning that are trained: the short ones, those with all steps, and further ones near the best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.core.budget import TUNING_SEEDS
from worldbench.core.errors import InputError
from worldbench.records.tuning import Trial
from worldbench.runs.prepared import Prepared, identify
from worldbench.settings.job import Job
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.halving import finalists
from worldbench.studies.tune.report import Tuned, TuningSettings, best_of
from worldbench.studies.tune.search import Range, around, more_draws


@dataclass(frozen=True)
class Planned:
    """A trial to train: of which tuning, its number, its settings and its trainings."""

    tuned: Tuned
    number: int
    settings: dict[str, float]
    runs: list[Prepared]


def short_plan(tunings: list[Tuned]) -> list[Planned]:
    return [Planned(t, number, t.drawn[number], [run]) for t in tunings for number, run in enumerate(t.short)]


def full_plan(
    tunings: list[Tuned], short: dict[str, list[Trial]], criterion: Criterion, settings: TuningSettings
) -> list[Planned]:
    """The trials that are trained in full: all of them, or those that the short trainings choose."""
    plan = []
    for tuned in tunings:
        numbers = list(range(settings.trials))
        if tuned.short:
            numbers = finalists([trial.value for trial in short[tuned.job.model]], criterion, settings.halving)
        plan += [Planned(tuned, number, tuned.drawn[number], tuned.runs[number]) for number in numbers]
    return plan


def further_ranges(tuned: Tuned, full: list[Trial], criterion: Criterion) -> list[Range]:
    """The ranges of further trials: around the best one, or around the preset if no trial has a finite value."""
    best = best_of(full, criterion)
    return around(tuned.ranges, tuned.drawn[0] if best is None else best.settings)


def check_further(tuned: Tuned) -> None:
    """Raises InputError if a further trial may draw a setting that the model or the training refuses: the best trial
    may lie at either end of the first ranges."""
    for end in (0.0, 1.0):
        ends = around(tuned.ranges, {r.option: r.at(end) for r in tuned.ranges})
        for option, value in ((r.option, r.at(end)) for r in ends):
            try:
                tuned.prepared.job.changed({option: value})
            except InputError as error:
                raise InputError(f"with --further, {option} may be as far as {value:g}: {error}") from None


def further_plan(
    tunings: list[Tuned], ranges: dict[str, list[Range]], criterion: Criterion, settings: TuningSettings
) -> list[Planned]:
    plan = []
    for tuned in tunings:
        drawn = more_draws(ranges[tuned.job.model], settings.further)
        runs = trainings(tuned.prepared, tuned.prepared.job, drawn, TUNING_SEEDS[: settings.seeds], criterion)
        plan += [Planned(tuned, settings.trials + i, *one) for i, one in enumerate(zip(drawn, runs))]
    return plan


def trial_job(job: Job, settings: dict[str, float], seed: int, criterion: Criterion) -> Job:
    """One training of one trial: its drawn settings, and seeds reserved for tuning. Only the last weights are kept,
    unless the weights to score are chosen among several (`train.scored_step least_loss`)."""
    judged = {f"eval.{name}": value for name, value in criterion.evaluation().items()}
    kept = {} if job.groups["train"].scored_step == "least_loss" else {"train.checkpoints": 1}
    changes = {**settings, **kept, "eval.seed": TUNING_SEEDS[0], **judged}
    return dataclasses.replace(job.changed(changes), seed=seed)


def trainings(
    prepared: Prepared, job: Job, drawn: list[dict[str, float]], seeds: Sequence[int], criterion: Criterion
) -> list[list[Prepared]]:
    """For each drawn trial, one training per seed."""
    return [[identify(trial_job(job, c, seed, criterion), prepared.world) for seed in seeds] for c in drawn]
