"""The record of a tuning, its recipe and its table."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from worldbench.core import tables
from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import write_atomic
from worldbench.records.reading import read
from worldbench.records.tuning import (
    Amount,
    Best,
    Bounds,
    Further,
    JudgedBy,
    Seeds,
    Short,
    Trial,
    TunedModel,
    Tuning,
)
from worldbench.runs.prepared import Prepared, config_of
from worldbench.settings.job import Job
from worldbench.settings.recipe import to_toml
from worldbench.studies.tune import halving
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.search import Range
from worldbench.training.environment import environment


@dataclass(frozen=True)
class TuningSettings:
    """How much is tried, and the criterion (None: the default criterion of the world). halving: 1 trains every trial in
    full; see `halving.py`. further: how many trials follow near the best one."""

    trials: int = 16
    seeds: int = 1
    criterion: str | None = None
    halving: int = 1
    further: int = 0

    def __post_init__(self) -> None:
        if self.trials < 2:
            raise InputError(f"--trials must be at least 2, not {self.trials}: the first is the preset itself")
        if not 1 <= self.seeds <= len(TUNING_SEEDS):
            raise InputError(f"--seeds must be 1 .. {len(TUNING_SEEDS)}, not {self.seeds}")
        halving.check(self.trials, self.halving)
        if self.further < 0:
            raise InputError(f"--further must be 0 or more, not {self.further}; 0 adds no trial near the best one")


@dataclass(frozen=True)
class Tuned:
    """The tuning of one model: its trainings and their folder.

    job: as given by the user, for the recipe. prepared: the job with its world. runs: for each trial, one run per
    seed, with all steps. short: for each trial, its short run; empty if every trial is trained in full.
    """

    job: Job
    prepared: Prepared
    ranges: list[Range]
    drawn: list[dict[str, float]]
    runs: list[list[Prepared]]
    short: list[Prepared]
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "tuning.json"

    @property
    def recipe(self) -> Path:
        return self.folder / "best.toml"

    def cell(self, trial: int, run: Prepared) -> str:
        """The name of a training in the plan."""
        short = ", short" if run in self.short else ""
        return f"{self.job.model}, trial {trial}{short}, seed {run.job.seed}"


def best_of(trials: list[Trial], criterion: Criterion) -> Best | None:
    """The best trial; None if no trial has a finite value."""
    place = criterion.best([t.value for t in trials])
    if place is None or (value := trials[place].value) is None:
        return None
    return Best(trial=trials[place].trial, value=value, settings=trials[place].settings)


@dataclass(frozen=True)
class Outcomes:
    """The trials of a tuning, in order. short: the short trainings. full: those with all steps. further: those near the
    best one, and the ranges of their settings."""

    short: list[Trial]
    full: list[Trial]
    further: list[Trial]
    ranges: list[Range]


def record_of(
    tuned: Tuned, criterion: Criterion, settings: TuningSettings, shared: float, outcomes: Outcomes
) -> Tuning:
    """The record of all trials and their outcomes, without times."""
    first, job = tuned.runs[0][0], tuned.job
    words = [
        "worldbench",
        "tune",
        job.world,
        "--models",
        job.model,
        "--trials",
        settings.trials,
        "--seeds",
        settings.seeds,
    ]
    words += [
        *(["--halving", settings.halving] if settings.halving > 1 else []),
        *(["--further", settings.further] if settings.further else []),
        *(["--criterion", settings.criterion] if settings.criterion else []),
        "--preset",
        job.preset,
        *job.options(),
    ]
    seeds = list(TUNING_SEEDS[: settings.seeds])
    return Tuning(
        world=first.world_identity,
        model=TunedModel(name=job.model),
        preset=job.preset,
        command=" ".join(map(str, words)),
        budget=Amount(trials=settings.trials, seeds=settings.seeds, halving=settings.halving, further=settings.further),
        criterion=JudgedBy(score=criterion.name, direction=criterion.direction, evaluation=first.evaluation),
        seeds=Seeds(training=seeds, evaluation=TUNING_SEEDS[0], shared_documents=shared),
        space=_bounds(tuned.ranges),
        config=config_of(first.job),
        best=best_of([*outcomes.full, *outcomes.further], criterion),
        trials=outcomes.full,
        environment=environment(),
        short=_short(tuned, outcomes.short) if outcomes.short else None,
        further=Further(space=_bounds(outcomes.ranges), trials=outcomes.further) if outcomes.further else None,
    )


def _bounds(ranges: list[Range]) -> dict[str, Bounds]:
    return {r.option: Bounds(start=r.start, low=r.low, high=r.high) for r in ranges}


def _short(tuned: Tuned, trials: list[Trial]) -> Short:
    job = tuned.short[0].job
    return Short(steps=job.value("train.steps"), warmup=job.value("train.warmup"), trials=trials)


def write_recipe(tuned: Tuned) -> None:
    """Writes `best.toml`: the job with the best settings, the settled world, and the budget."""
    path, job = tuned.path, tuned.job
    record = read(path, Tuning)
    if record.best is None:
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    amount = record.budget
    budget = Budget(amount.trials, amount.seeds, record.criterion.score, digest, amount.halving, amount.further)
    groups = job.groups | ({"env": tuned.prepared.job.groups["env"]} if "env" in job.groups else {})
    best = dataclasses.replace(job, groups=groups, tuned=budget).changed(record.best.settings)
    about = f"{job.model} in {job.world}, {job.preset}: best of {budget.cell} trials by {budget.criterion}"
    if edges := at_edge(record):
        about += f"; near an end of the range: {', '.join(option.partition('.')[2] for option in edges)}"
    write_atomic(tuned.recipe, f"# {about}\n{to_toml(best, path.parent)}")


def require_equal(records: list[Tuning]) -> None:
    """Raises RunError if a model had fewer trainings, finished or failed, than another: the comparison would be
    unfair."""
    done = {r.model.name: sum(len(t.runs) for t in r.trained) for r in records}
    fewest, most = min(done, key=lambda name: done[name]), max(done, key=lambda name: done[name])
    if done[fewest] < done[most]:
        unequal = f"{fewest} had {done[fewest]} trainings and {most} had {done[most]}"
        raise RunError(f"{unequal}, so they cannot be compared; run the same command again to finish them")


def show(paths: list[Path]) -> None:
    """Prints one table of the tuned models. Raises RunError if they had unequal numbers of trainings, or if no
    trial of one model has a finite value."""
    records = [read(path, Tuning) for path in paths]
    require_equal(records)
    criterion = records[0].criterion.score
    body = []
    for r in records:
        # of a trial that was trained twice, the full training counts
        last = {t.trial: t for t in r.trained}.values()
        best, failed = r.best, sum(t.value is None for t in last)
        infinite = sum(t.value is not None and math.isinf(t.value) for t in last)
        chosen = ["-", "-", "no trial has a finite value"]
        if best is not None:
            chosen = [value_text(best.value), str(best.trial), settings_text(best.settings)]
        amount = r.budget
        tuned = Budget(amount.trials, amount.seeds, criterion, "", amount.halving, amount.further).cell
        body.append([r.model.name, tuned, str(failed), str(infinite), value_text(r.trials[0].value), *chosen])
    head = [
        "model",
        "tuned",
        "failed",
        "infinite",
        f"{criterion} of the preset",
        "of the best trial",
        "trial",
        "its settings",
    ]
    print(tables.terminal(head, body, 1))
    for line in edge_lines(records):
        print(line)
    if lost := [r.model.name for r in records if r.best is None]:
        every = f"every trial of {', '.join(lost)} failed or has an infinite {criterion}, including the preset"
        raise RunError(f"{every}; start from a lower --train.learning_rate")


FURTHER = 4
"""How many trials near the best one are advised."""
EDGE = 1 / 8
"""A best value in the outermost part of its range, on the logarithmic scale of the draws, may be better outside."""


def at_edge(record: Tuning) -> dict[str, str]:
    """The settings of the best trial that lie near an end of what was searched: option -> "low" or "high". A setting
    without a range of positive numbers is left out: a record that somebody changed may hold one."""
    found = {}
    for option, value in record.best.settings.items() if record.best is not None else ():
        low, high = searched(record, option)
        if not 0 < low < high or value <= 0:
            continue
        place = math.log(value / low) / math.log(high / low)
        if not EDGE <= place <= 1 - EDGE:
            found[option] = "low" if place < EDGE else "high"
    return found


def edge_lines(records: list[Tuning]) -> list[str]:
    """A line for every setting of a best trial that lies near an end of its range, with the option to search on."""
    lines = []
    for r in records:
        for option, side in at_edge(r).items():
            low, high = searched(r, option)
            beyond = (
                f"repeat the command for all models with --further {FURTHER}; finished trials are not trained again"
            )
            if r.further is not None and r.best is not None:
                beyond = f"tune all models again, with --{option} {r.best.settings[option]:g}"
            lines.append(
                f"{r.model.name}: the best {option} lies near the {side} end of what was searched, {low:g} to "
                f"{high:g}; to search beyond, {beyond}"
            )
    return lines


def searched(record: Tuning, option: str) -> tuple[float, float]:
    """The least and the greatest value in the ranges of a setting: those of the first trials, and of further ones."""
    spaces = [record.space, *([record.further.space] if record.further is not None else [])]
    bounds = [space[option] for space in spaces if option in space]
    return min((b.low for b in bounds), default=0.0), max((b.high for b in bounds), default=0.0)


def settings_text(settings: dict[str, float]) -> str:
    """The settings of a trial in one line."""
    return " ".join(f"{option.partition('.')[2]}={value:g}" for option, value in settings.items())


def value_text(value: float | None) -> str:
    """The value of a trial in a table."""
    return "failed" if value is None else f"{value:.5g}"
