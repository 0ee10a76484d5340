"""`worldbench speedrun RECIPE`: how many processor seconds of training until a target score is reached.

All runs are trained first, one after another in this process, and each is timed. Then all are scored, by the metric of
the target alone. So no score is seen while a run trains. The seconds are the processor time of this process (user and
system) from the making of the network to the last saved weights: they include the drawing of documents, the learning
curve and the saving of files. They exclude the start of the program, the making of the world, one step that warms up
the process, and the scoring.

A run that was stopped goes on, and the seconds of its parts are added up. If a part was killed, its seconds are not
known, and the run is trained again from its first step.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from worldbench.core.errors import Diverged, InputError
from worldbench.core.files import identity_hash, lock, make_folder, remove
from worldbench.records.reading import read, write
from worldbench.records.speedrun import Speedrun, Target, TimedRun, outcome_of
from worldbench.runs.config_file import write_config
from worldbench.runs.display import Display
from worldbench.runs.manifest import manifest
from worldbench.runs.prepared import Prepared, config_of, identify, prepare
from worldbench.runs.weights import at_step, build, finished, fit, scored_step
from worldbench.settings.choice import Choice
from worldbench.settings.job import Job
from worldbench.settings.speedrun import SpeedrunRecipe
from worldbench.studies.tune.criterion import Criterion
from worldbench.training.environment import environment

ALONE = {"train.device": "cpu", "train.threads": 1, "train.processes": 1, "train.compile": False}
"""Settings of every entry: its seconds are those of one thread of this process."""


def speedrun(
    recipe: SpeedrunRecipe, choice: Choice, model: str, options: list[str], runs: int, out: Path, display: Display
) -> Path:
    """Trains, times and scores the runs that are missing of an entry. Returns the path of its `speedrun.json`.

    choice: the choice of the recipe. options: typed options of the command line. An entry has one folder below `out`
    for its settings, commit, versions and processor. Raises InputError for settings that cannot be timed.
    """
    job = choice.job(model, options, seed=0)
    if not job.trained:
        raise InputError(f"{model} is not trained, so its training cannot be timed")
    if list(job.value("eval.metrics")) != [recipe.metric]:
        raise InputError(f"a speedrun scores only {recipe.metric}, the metric of its target; leave out --eval.metrics")
    first = prepare(job, display)
    _require_alone(first.job)
    criterion = Criterion.parse(recipe.score, first.world)
    blank = build(first)
    criterion.require(first, _model(first, blank))
    target = Target(score=criterion.name, value=recipe.value, direction=criterion.direction)
    here = environment()
    entry = {
        "recipe": recipe.name,
        "task": identity_hash([first.world_identity, first.evaluation, msgspec.structs.asdict(target)]),
        "target": target,
        "environment": here,
        "world": first.world_identity,
        "model": first.job.model,
        "preset": first.job.preset,
        "config": config_of(first.job),
        "settings": settings_digest(first),
        "parameters": blank.parameter_count(),
    }
    key = identity_hash([entry["task"], entry["settings"], msgspec.structs.asdict(here)])
    folder = make_folder(make_folder(out) / f"{recipe.name}-{key[:10]}")
    path = folder / "speedrun.json"
    plain = choice.job(model, [], seed=0)
    with lock(folder):
        done = read(path, Speedrun).runs if path.exists() else []
        if len(done) > runs:
            display.say(f"{str(path)!r} already has {len(done)} runs; all of them count, not only {runs}")
        prepared = [
            identify(dataclasses.replace(first.job, seed=seed), first.world) for seed in range(max(runs, len(done)))
        ]
        done += [TimedRun(seed=p.job.seed, training=p.training) for p in prepared[len(done) :]]
        command = _command(recipe, job, plain, len(done))
        work = _Entry(path, {**entry, "command": command}, criterion, prepared, done, display)
        display.say(f"entry: {folder}")
        work.save()
        for i in range(len(prepared)):
            work.train(i)
        for i in range(len(prepared)):
            work.score(i)
    return path


@dataclasses.dataclass
class _Entry:
    """An entry in work. fields: of its record, without runs and outcome."""

    path: Path
    fields: dict[str, Any]
    criterion: Criterion
    prepared: list[Prepared]
    runs: list[TimedRun]
    display: Display
    warm: bool = False

    def save(self) -> None:
        outcome = outcome_of(self.runs, self.fields["target"])
        write(self.path, Speedrun(**self.fields, runs=self.runs, outcome=outcome))

    def change(self, i: int, **values: Any) -> None:
        self.runs[i] = msgspec.structs.replace(self.runs[i], **values)
        self.save()

    def train(self, i: int) -> None:
        """Trains what is missing of a run, and adds the seconds to its parts."""
        from worldbench.training import checkpoint

        prepared, run = self.prepared[i], self.runs[i]
        folder = make_folder(prepared.folder(self.path.parent))
        if run.ended or (run.seconds is not None and finished(prepared, folder)):
            return
        self.display.say(f"run {i + 1} of {len(self.runs)}, seed {prepared.job.seed}")
        parts, state = run.parts, checkpoint.state_path(folder)
        with lock(folder):
            if run.trained or None in parts or not (parts and state.exists()):
                if None in parts:
                    self.display.say(
                        "its processor seconds are not all known, because a process was killed: training again from "
                        "the first step"
                    )
                if state.exists():
                    remove(state)
                parts = []
            self.change(i, parts=[*parts, None], trained=False)
            write_config(folder, prepared)
            self.warm_up()
            started, failed, trained = time.process_time(), None, False
            try:
                with manifest(folder, self.display.say):
                    fit(prepared, folder, self.display)
                trained = True
            except Diverged as error:
                failed = str(error)
            finally:
                self.change(i, parts=[*parts, time.process_time() - started], trained=trained, failed=failed)
        if trained:
            self.display.say(f"{self.runs[i].seconds:.2f} processor seconds")

    def warm_up(self) -> None:
        """One step of a training that is thrown away, before the first timed one: it imports and allocates."""
        from worldbench.training.trainer import Trainer

        if not self.warm:
            prepared, groups = self.prepared[0], self.prepared[0].job.groups
            with tempfile.TemporaryDirectory(prefix="worldbench-speedrun-") as folder:
                objective = build(prepared)
                trainer = Trainer(
                    prepared.world, objective, groups["data"], groups["train"], prepared.job.seed, Path(folder)
                )
                trainer.step(0)
            self.warm = True

    def score(self, i: int) -> None:
        """Scores a run that is trained."""
        prepared, run = self.prepared[i], self.runs[i]
        if run.ended:
            return
        folder = prepared.folder(self.path.parent)
        with self.display.task("scoring", lines=False) as announce:
            announce(f"run {i + 1} of {len(self.runs)}")
            try:
                model = at_step(prepared, folder, scored_step(prepared, folder, self.display.say))
                scores, missing = self.criterion.measure(prepared, model)
            except (ArithmeticError, np.linalg.LinAlgError) as error:
                self.change(i, failed=str(error))
                return
        value = scores.get(self.criterion.score)
        if value is None or math.isnan(value):
            self.change(i, failed=missing.get(self.criterion.score) or "the score has no value")
        else:
            self.change(i, score=value)


def settings_digest(prepared: Prepared) -> str:
    """The digest of everything that changes the scores of a run, apart from its seed."""
    training = {name: value for name, value in prepared.content.items() if name != "seed"}
    return identity_hash([training, prepared.evaluation])


def _require_alone(job: Job) -> None:
    for option, value in ALONE.items():
        if (found := job.value(option)) != value:
            raise InputError(
                f"{option} is {found}, and a speedrun measures the processor time of one thread of one process; "
                f"set --{option} {value}"
            )


def _model(prepared: Prepared, objective: Any) -> Any:
    from worldbench.baselines.trained import TrainedModel

    return TrainedModel(objective, prepared.job.groups["train"].device)


def _command(recipe: SpeedrunRecipe, job: Job, plain: Job, runs: int) -> str:
    """The command that repeats an entry (files by their names alone). plain: the job of the recipe without options."""
    changed = {
        f"{group}.{f.name}": getattr(config, f.name)
        for group, config in job.groups.items()
        for f in dataclasses.fields(config)
        if getattr(config, f.name) != getattr(plain.groups[group], f.name) and not f.metadata.get("execution")
    }
    name = recipe.name if recipe.shipped else recipe.path.name
    words = ["worldbench", "speedrun", shlex.quote(name)]
    words += ["--model", job.model] if job.model != recipe.recipe.get("model", {}).get("name", "gpt") else []
    return " ".join([*words, "--runs", str(runs), *dataclasses.replace(job, given=changed).options()])
