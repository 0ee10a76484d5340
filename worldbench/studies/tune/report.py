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
from worldbench.records.tuning import Amount, Best, Bounds, JudgedBy, Seeds, Trial, TunedModel, Tuning
from worldbench.runs.prepared import Prepared, config_of
from worldbench.settings.job import Job
from worldbench.settings.recipe import to_toml
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.search import Range
from worldbench.training.environment import environment


@dataclass(frozen=True)
class TuningSettings:
    """How much is tried, and the criterion (None: the default criterion of the world)."""

    trials: int = 16
    seeds: int = 1
    criterion: str | None = None

    def __post_init__(self) -> None:
        if self.trials < 2:
            raise InputError(f"--trials must be at least 2, not {self.trials}: the first is the preset itself")
        if not 1 <= self.seeds <= len(TUNING_SEEDS):
            raise InputError(f"--seeds must be 1 .. {len(TUNING_SEEDS)}, not {self.seeds}")


@dataclass(frozen=True)
class Tuned:
    """The tuning of one model: its trainings and their folder.

    job: as given by the user, for the recipe. prepared: the job with its world. runs: for each trial, one run per
    seed.
    """

    job: Job
    prepared: Prepared
    ranges: list[Range]
    drawn: list[dict[str, float]]
    runs: list[list[Prepared]]
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "tuning.json"

    def cell(self, trial: int, run: Prepared) -> str:
        """The name of a training in the plan."""
        return f"{self.job.model}, trial {trial}, seed {run.job.seed}"

    def cells(self) -> set[str]:
        """The names of all trainings in the plan."""
        return {self.cell(trial, run) for trial, runs in enumerate(self.runs) for run in runs}


def record_of(
    tuned: Tuned, criterion: Criterion, settings: TuningSettings, shared: float, trials: list[Trial]
) -> Tuning:
    """The record of all trials and their outcomes, without times."""
    first, job = tuned.runs[0][0], tuned.job
    place = criterion.best([t.value for t in trials])
    best = None
    if place is not None and (value := trials[place].value) is not None:
        best = Best(trial=place, value=value, settings=trials[place].settings)
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
        budget=Amount(trials=settings.trials, seeds=settings.seeds),
        criterion=JudgedBy(score=criterion.name, direction=criterion.direction, evaluation=first.evaluation),
        seeds=Seeds(training=seeds, evaluation=TUNING_SEEDS[0], shared_documents=shared),
        space={r.option: Bounds(start=r.start, low=r.low, high=r.high) for r in tuned.ranges},
        config=config_of(first.job),
        best=best,
        trials=trials,
        environment=environment(),
    )


def write_recipe(tuned: Tuned) -> None:
    """Writes `best.toml`: the job with the best settings, the settled world, and the budget."""
    path, job = tuned.path, tuned.job
    record = read(path, Tuning)
    if record.best is None:
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    budget = Budget(record.budget.trials, record.budget.seeds, record.criterion.score, digest)
    groups = job.groups | ({"env": tuned.prepared.job.groups["env"]} if "env" in job.groups else {})
    best = dataclasses.replace(job, groups=groups, tuned=budget).changed(record.best.settings)
    write_atomic(path.with_name("best.toml"), to_toml(best, path.parent))


def require_equal(records: list[Tuning]) -> None:
    """Raises RunError if a model had fewer trainings, finished or failed, than another: the comparison would be
    unfair."""
    done = {r.model.name: sum(len(t.runs) for t in r.trials) for r in records}
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
        best, failed = r.best, sum(t.value is None for t in r.trials)
        infinite = sum(t.value is not None and math.isinf(t.value) for t in r.trials)
        chosen = ["-", "-", "no trial has a finite value"]
        if best is not None:
            chosen = [value_text(best.value), str(best.trial), settings_text(best.settings)]
        tuned = f"{r.budget.trials}x{r.budget.seeds}"
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
    if lost := [r.model.name for r in records if r.best is None]:
        every = f"every trial of {', '.join(lost)} failed or has an infinite {criterion}, including the preset"
        raise RunError(f"{every}; start from a lower --train.learning_rate")


def settings_text(settings: dict[str, float]) -> str:
    """The settings of a trial in one line."""
    return " ".join(f"{option.partition('.')[2]}={value:g}" for option, value in settings.items())


def value_text(value: float | None) -> str:
    """The value of a trial in a table."""
    return "failed" if value is None else f"{value:.5g}"
