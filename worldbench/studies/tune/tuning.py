"""`worldbench tune WORLD`: the same number of trials for every objective, over learning rate, weight decay and the
weights of its own terms.

A trial is a training run of its own, in a run folder, on seeds that are never reported; it is scored by the criterion
alone, on the documents and prompts of another evaluation seed than the reported one. What is held out (pairs, mazes) is
the world's, and so the same for every seed. A trial that diverges stays in the record, and counts as worst.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from worldbench.core import tables
from worldbench.core.budget import TUNING_SEEDS, Budget
from worldbench.core.errors import Diverged, InputError, RunError
from worldbench.core.files import identity_hash, lock, make_folder, write_atomic
from worldbench.core.world import Documents, World
from worldbench.records.reading import read, write
from worldbench.records.tuning import Amount, Best, Bounds, JudgedBy, Seeds, Trial, TrialRun, TunedModel, Tuning
from worldbench.runs.config_file import write_config
from worldbench.runs.display import Display
from worldbench.runs.manifest import manifest
from worldbench.runs.prepared import Prepared, config_of, identify, prepare
from worldbench.runs.weights import build, train
from worldbench.settings.job import Job
from worldbench.settings.recipe import to_toml
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.search import Range, draws, space
from worldbench.training.environment import environment

TUNING_VERSION = 1
"""Raised when a tuning of the same plan tries other settings."""
TRIALS = "tune-trials"
"""The folder of the trials' runs: shared by all tunings below one folder, so that more trials or seeds train only what
is new."""


@dataclass(frozen=True)
class Plan:
    """How much is tried, and by what it is judged (None: the world's usual criterion)."""

    trials: int = 16
    seeds: int = 1
    criterion: str | None = None

    def __post_init__(self) -> None:
        if self.trials < 2:
            raise InputError(f"--trials must be at least 2, not {self.trials}: the first is the preset itself")
        if not 1 <= self.seeds <= len(TUNING_SEEDS):
            raise InputError(f"--seeds must be 1 .. {len(TUNING_SEEDS)}, not {self.seeds}")


def tune(jobs: list[Job], plan: Plan, out: Path, display: Display) -> list[Path]:
    """Tune each job, which differ in the model alone; the paths of their `tuning.json`. What is wrong with any of them
    is told before the first is trained.

    Raises InputError for a model that cannot be judged by the criterion, and for a world whose test set is one and the
    same for every seed.
    """
    make_folder(out)
    first = prepare(jobs[0], display)
    prepared = [first, *(_beside(first, job) for job in jobs[1:])]
    world = first.world
    display.say(world.summary(first.documents()))
    criterion = Criterion.parse(plan.criterion, world)
    shared = shared_documents(world, first.job)
    display.say(
        f"judged by {criterion.name} ({criterion.direction} is better); {shared:.1%} of its "
        "documents are among those that are reported"
    )
    for p in prepared:
        criterion.require(p, _untrained(p))
    return [_tune(p, job, criterion, plan, shared, out, display) for p, job in zip(prepared, jobs)]


def _beside(first: Prepared, job: Job) -> Prepared:
    """Another model's job in the world that is loaded already, settled as the first one's was."""
    env = first.job.groups.get("env")
    settled = {f"env.{f.name}": getattr(env, f.name) for f in dataclasses.fields(env)} if env is not None else {}
    return identify(job.changed(settled).replace("train", device=first.job.groups["train"].device), first.world)


def _untrained(prepared: Prepared) -> Any:
    from worldbench.baselines.trained import TrainedModel

    device = prepared.job.groups["train"].device
    return TrainedModel(build(prepared).to(device), device)


def shared_documents(world: World, job: Job) -> float:
    """Share of the documents that tuning is judged on that are also among the reported ones. Refused where every seed
    has the same."""
    settings = job.groups["eval"]
    ours, theirs = (world.sample(seed, "test", 0, settings.documents) for seed in (TUNING_SEEDS[0], settings.seed))
    if np.array_equal(ours.tokens, theirs.tokens):
        raise InputError(
            "the test documents of this world are the same for every seed, and tuning on them is "
            f"not done: {world.summary(0)}"
        )
    return float(np.isin(_rows(ours), _rows(theirs)).mean())


def _rows(documents: Documents) -> np.ndarray:
    tokens = np.ascontiguousarray(documents.tokens)
    return tokens.view([("", tokens.dtype)] * tokens.shape[1])[:, 0]


def trial_job(job: Job, settings: dict[str, float], seed: int, criterion: Criterion) -> Job:
    """One training of one trial: the settings drawn, seeds of tuning, and only the last weights kept."""
    judged = {f"eval.{name}": value for name, value in criterion.evaluation().items()}
    changes = {**settings, "train.checkpoints": 1, "eval.seed": TUNING_SEEDS[0], **judged}
    return dataclasses.replace(job.changed(changes), seed=seed)


def _tune(
    prepared: Prepared, job: Job, criterion: Criterion, plan: Plan, shared: float, out: Path, display: Display
) -> Path:
    """prepared: with the world settled, for the trials; job: as it was asked for, for the recipe."""
    ranges, seeds = space(prepared.job), TUNING_SEEDS[: plan.seeds]
    drawn = draws(ranges, plan.trials)
    runs = [
        [identify(trial_job(prepared.job, settings, seed, criterion), prepared.world) for seed in seeds]
        for settings in drawn
    ]
    key = [
        TUNING_VERSION,
        [[r.training for r in trial] for trial in runs],
        runs[0][0].evaluation,
        prepared.job.groups["eval"].seed,
        criterion.name,
    ]
    name = f"tune-{job.world}-{job.model}-{job.preset}-{identity_hash(key)[:10]}"
    folder = make_folder(out / name)
    path = folder / "tuning.json"
    with lock(folder, wait=True):
        if path.exists():
            display.say(f"done already: {path}")
        else:
            trials: list[Trial] = []
            for number, (settings, trial) in enumerate(zip(drawn, runs)):
                record = _trial(
                    number, settings, [_attempt(r, criterion, out / TRIALS, display) for r in trial], criterion
                )
                which = f"trial {number} ({'the preset; ' if not number else ''}{number + 1} of {plan.trials})"
                display.say(f"{job.model} {which}: {_told(settings)}: {criterion.name} {_number(record.value)}")
                trials.append(record)
            write(path, _record(runs[0][0], job, criterion, plan, ranges, shared, trials))
        _write_recipe(path, prepared, job)
    return path


def _attempt(prepared: Prepared, criterion: Criterion, out: Path, display: Display) -> TrialRun:
    """Train and score once. What is done already is read."""
    folder = make_folder(prepared.folder(out))
    path = folder / f"trial-{identity_hash([prepared.evaluation, criterion.metric])[:10]}.json"
    with lock(folder, wait=True):
        if path.exists():
            return _done(path, prepared)
        write_config(folder, prepared)
        scores, failed = {}, None
        with manifest(folder, display.say):
            try:
                model = train(prepared, folder, display)
                with display.task("scoring"):
                    scores = criterion.measure(prepared, model)
            except (Diverged, ArithmeticError, np.linalg.LinAlgError) as error:
                failed = str(error)
        seed, training = prepared.job.seed, prepared.training
        record = TrialRun(seed=seed, folder=folder.name, training=training, scores=dict(scores), failed=failed)
        write(path, record)
    return record


def _done(path: Path, prepared: Prepared) -> TrialRun:
    record = read(path, TrialRun)
    if (record.seed, record.training) != (prepared.job.seed, prepared.training):
        raise RunError(f"{str(path)!r} is the trial of another training (seed {record.seed}); move it away")
    return record


def _trial(number: int, settings: dict[str, float], runs: list[TrialRun], criterion: Criterion) -> Trial:
    """value: the mean over seeds; None where a seed failed, or gave no number."""
    values = [run.scores.get(criterion.score) for run in runs]
    lost = f"{criterion.name} is not a number"
    runs = [
        msgspec.structs.replace(run, failed=lost) if value is None and not run.failed else run
        for run, value in zip(runs, values)
    ]
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if len(known) == len(values) else None
    return Trial(trial=number, settings=settings, value=mean, runs=runs)


def _record(
    first: Prepared, job: Job, criterion: Criterion, plan: Plan, ranges: list[Range], shared: float, trials: list[Trial]
) -> Tuning:
    """Everything that was tried, and what came of it; no clock in it."""
    place = criterion.best([t.value for t in trials])
    best = None
    if place is not None and (value := trials[place].value) is not None:
        best = Best(trial=place, value=value, settings=trials[place].settings)
    words = ["worldbench", "tune", job.world, "--models", job.model, "--trials", plan.trials, "--seeds", plan.seeds]
    words += [*(["--criterion", plan.criterion] if plan.criterion else []), "--preset", job.preset, *job.options()]
    seeds = list(TUNING_SEEDS[: plan.seeds])
    return Tuning(
        world=first.world_identity,
        model=TunedModel(name=job.model),
        preset=job.preset,
        command=" ".join(map(str, words)),
        budget=Amount(trials=plan.trials, seeds=plan.seeds),
        criterion=JudgedBy(score=criterion.name, direction=criterion.direction, evaluation=first.evaluation),
        seeds=Seeds(training=seeds, evaluation=TUNING_SEEDS[0], shared_documents=shared),
        space={r.option: Bounds(start=r.start, low=r.low, high=r.high) for r in ranges},
        config=config_of(first.job),
        best=best,
        trials=trials,
        environment=environment(),
    )


def _write_recipe(path: Path, prepared: Prepared, job: Job) -> None:
    """`best.toml`: the job with the chosen settings, and the budget behind them; the world as it was settled."""
    record = read(path, Tuning)
    if record.best is None:
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    budget = Budget(record.budget.trials, record.budget.seeds, record.criterion.score, digest)
    groups = job.groups | ({"env": prepared.job.groups["env"]} if "env" in job.groups else {})
    best = dataclasses.replace(job, groups=groups, tuned=budget).changed(record.best.settings)
    write_atomic(path.with_name("best.toml"), to_toml(best, path.parent))


def require_equal(records: list[Tuning]) -> None:
    """Raises RunError where a model had fewer trials, finished or failed, than another: that is no comparison."""
    done = {r.model.name: sum(len(t.runs) for t in r.trials) for r in records}
    fewest, most = min(done, key=lambda name: done[name]), max(done, key=lambda name: done[name])
    if done[fewest] < done[most]:
        unequal = f"{fewest} has had {done[fewest]} trainings and {most} {done[most]}"
        raise RunError(f"{unequal}: that is no comparison; run the same command again to finish them")


def show(paths: list[Path]) -> None:
    """One table of the tuned models. Raises RunError where they had unequal trials, or every trial of one failed."""
    records = [read(path, Tuning) for path in paths]
    require_equal(records)
    criterion = records[0].criterion.score
    body = []
    for r in records:
        best, failed = r.best, sum(t.value is None for t in r.trials)
        chosen = ["-", "-", "every trial failed"]
        if best is not None:
            chosen = [_number(best.value), str(best.trial), _told(best.settings)]
        tuned = f"{r.budget.trials}x{r.budget.seeds}"
        body.append([r.model.name, tuned, str(failed), _number(r.trials[0].value), *chosen])
    head = ["model", "tuned", "failed", f"{criterion} of the preset", "of the best", "trial", "its settings"]
    print(tables.terminal(head, body, 1))
    if lost := [r.model.name for r in records if r.best is None]:
        every = f"every trial of {', '.join(lost)} failed, the preset's too"
        raise RunError(f"{every}; start from a lower --train.learning_rate")


def _told(settings: dict[str, float]) -> str:
    return " ".join(f"{option.partition('.')[2]}={value:g}" for option, value in settings.items())


def _number(value: float | None) -> str:
    return "failed" if value is None else f"{value:.5g}"
