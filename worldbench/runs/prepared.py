"""A job with its loaded world, and the identities of its run.

The training identity gives the name of the run folder. The evaluation identity says what is scored, and how. Options
that only affect execution (where to write, how often to save) belong to neither.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.eval_config import evaluation_fields, foreign
from worldbench.core.files import identity_hash
from worldbench.core.model import refuse_impossible
from worldbench.core.options import identity_fields, named_files
from worldbench.core.registry import metrics, models, worlds
from worldbench.core.world import World
from worldbench.records.parts import Identity
from worldbench.runs.display import Display
from worldbench.settings.job import Job

RUN_VERSION = 3
"""Raised when training with the same settings gives other weights, or when options are renamed (2: `data.documents`,
`train.optimizer`, `model.control`; 3: the gradient of norms rounds otherwise)."""


@dataclasses.dataclass
class Prepared:
    """A job with its loaded world and the identities of its run.

    content: the content of the training identity. reading: the model that is scored with the weights of the job's
    model, or None to score the job's model. When a Prepared is sent to another process, that process loads the world
    again.
    """

    job: Job
    world: World
    world_identity: dict[str, Any]
    training: str
    evaluation: str
    content: dict[str, Any]
    reading: str | None = None

    @property
    def identity(self) -> Identity:
        return Identity(training=self.training, evaluation=self.evaluation, reading=self.reading)

    @property
    def scored_model(self) -> str:
        """The name of the model that is scored."""
        return self.reading or self.job.model

    def __reduce__(self) -> Any:
        return _prepared_again, (self.job, self.reading)

    def documents(self) -> int:
        """How many different documents training draws. 0 for models that are not trained."""
        from worldbench.training.stream import documents_seen

        groups = self.job.groups
        return documents_seen(self.world, groups["data"], groups["train"], self.job.seed) if self.job.trained else 0

    def folder(self, out: Path) -> Path:
        """The folder of the run. Each tuning budget has its own folder, so that tuned and untuned results never
        replace each other."""
        seed = f"-s{self.job.seed}" if self.job.seeded else ""
        tuned = self.job.tuned
        budget = "" if tuned is None else f"-tuned-{identity_hash({'tuning': tuned.parts})[:8]}"
        return out / f"{self.job.world}-{self.job.model}-{self.job.preset}{seed}-{self.training[:10]}{budget}"


def _prepared_again(job: Job, reading: str | None) -> Prepared:
    return prepare(job, Display(quiet=True), reading)


def prepare(job: Job, display: Display, reading: str | None = None, *, count_parts: bool = True) -> Prepared:
    """Decides automatic options (and announces them), loads the world, and computes the identities.

    reading: another model that is scored with the weights of the job's model. Raises InputError if that model cannot
    use them. count_parts: False: do not build a network to decide an automatic `train.accumulate`, which stays 0; the
    training identity is then that of no run.
    """
    from worldbench.training.arithmetic import set_up

    set_up(job.threads)
    job, world = load_world(job, display)
    job = on_this_machine(job)
    if reading is not None:
        _require_reading(job, reading)
    if job.trained:
        refuse_impossible(models[reading or job.model].load(), world)
    return identify(in_parts(job, world, display) if count_parts else job, world, reading)


def load_world(job: Job, display: Display) -> tuple[Job, World]:
    """The world of a job; and the job with the automatic options of the world decided, which are announced."""
    cls = worlds[job.world].load()
    if "env" not in job.groups:
        return job, cls()
    env, announcement = cls.settle(job.groups["env"])
    if announcement:
        display.say(announcement)
    job = dataclasses.replace(job, groups={**job.groups, "env": env}, given={**job.given, **_changed(job, env)})
    return job, cls(env)


def prepare_beside(first: Prepared, job: Job, display: Display, *, count_parts: bool = True) -> Prepared:
    """Another job in a world that is already loaded, with the settled options of that world. count_parts: as for
    `prepare`. Raises InputError as `prepare` does."""
    env = first.job.groups.get("env")
    settled = {f"env.{f.name}": getattr(env, f.name) for f in dataclasses.fields(env)} if env is not None else {}
    job = on_this_machine(job.changed(settled))
    if job.trained:
        refuse_impossible(models[job.model].load(), first.world)
    return identify(in_parts(job, first.world, display) if count_parts else job, first.world)


def on_this_machine(job: Job) -> Job:
    """The job with the device and the products that this machine chooses where they are `auto`. Raises InputError for
    what the machine does not have."""
    from worldbench.training.arithmetic import resolve_device, resolve_products
    from worldbench.training.precision import refuse_precision

    if not job.trained:
        return job
    job = job.replace("train", device=resolve_device(job.groups["train"].device))
    train = job.groups["train"]
    refuse_precision(train.precision, train.device)
    return job.replace("train", products=resolve_products(train.products, train.device, train.precision))


def in_parts(job: Job, world: World, display: Display) -> Job:
    """The job with the number of parts of a batch that fit the device, if `train.accumulate` is 0. A command that
    repeats the job names this number, unless it is 1."""
    from worldbench.training.memory import automatic_parts

    if not job.trained or job.groups["train"].accumulate:
        return job
    data, train = job.groups["data"], job.groups["train"]
    fit = automatic_parts(world, make_objective(job, world), data, train, job.seed)
    of_each = f"each of {train.processes} processes: " if train.processes > 1 else ""
    display.say(of_each + fit.line(train.device))
    given = {k: v for k, v in job.given.items() if k != "train.accumulate"}
    given |= {"train.accumulate": fit.parts} if fit.parts > 1 or len(given) < len(job.given) else {}
    return dataclasses.replace(job.replace("train", accumulate=fit.parts), given=given)


def make_objective(job: Job, world: World, name: str | None = None) -> Any:
    """The objective of a job, newly initialized. name: of another model that reads its weights."""
    return models[name or job.model].load()(
        job.groups["model"], len(world.vocabulary), world.context, job.seed, world.vocabulary.pad
    )


def _require_reading(job: Job, reading: str) -> None:
    entry = models[reading]
    if entry.reads != job.model:
        able = [e.name for e in models if e.reads == job.model]
        there = f"--as {' or '.join(able)} is for such runs" if able else f"no model reads {job.model} runs"
        whose = f"reads the weights of {entry.reads} runs" if entry.reads else "reads no weights of other models"
        raise InputError(f"--as {reading}: {reading} {whose}, and this is a run of {job.model}; {there}")


def _changed(job: Job, env: Any) -> dict[str, Any]:
    return {
        f"env.{f.name}": getattr(env, f.name)
        for f in dataclasses.fields(env)
        if getattr(env, f.name) != getattr(job.groups["env"], f.name)
    }


def identify(job: Job, world: World, reading: str | None = None) -> Prepared:
    """Computes the identities of a run.

    The digest of a plugin file belongs to the training identity, unless the file only registers metrics and figures.
    Training cannot depend on such a file. The evaluation identity then names it beside the versions of its metrics.
    """
    import numpy
    import torch

    world_identity = world.identity()
    training: dict[str, Any] = {"run_version": RUN_VERSION, "world": world_identity, "model": job.model}
    if job.trained:
        training |= {group: identity_fields(job.groups[group]) for group in ("data", "model", "train")}
        training |= {"seed": job.seed, "torch": str(torch.__version__), "numpy": numpy.__version__}
        training["model_name"] = job.model
    elif job.seeded:
        training |= {"options": identity_fields(job.groups["model"]), "seed": job.seed, "numpy": numpy.__version__}
    plugins = {plugin.sha256 for plugin in job.plugins if plugin.trains}
    plugins |= {worlds[job.world].plugin, models[job.model].plugin}  # for an installed package, its version
    if plugins - {""}:
        training["plugins"] = sorted(plugins - {""})
    settings = job.groups["eval"]
    entries = [metrics[name] for name in settings.metrics or metrics.names()]
    versions = {e.name: [e.load().version, e.plugin] if e.plugin else e.load().version for e in entries}
    evaluation = {**evaluation_fields(settings), "metrics": versions}
    return Prepared(job, world, world_identity, identity_hash(training), identity_hash(evaluation), training, reading)


def config_of(job: Job) -> dict[str, dict[str, Any]]:
    """Every setting that affects the result. Files appear with their names only."""
    config = {group: dataclasses.asdict(value) for group, value in job.groups.items()}
    for name in foreign(job.groups["eval"]):
        del config["eval"][name]
    for group, value in job.groups.items():
        for f in dataclasses.fields(value):
            if f.metadata.get("execution"):
                del config[group][f.name]
        config[group] |= {name: path.name for name, path in named_files(value).items() if name in config[group]}
    return config
