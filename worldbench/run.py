"""A run: settle the world, train, score beside its references, draw. A directory that the same command goes on in.

The training identity names the directory; the evaluation identity, of what is scored in it and how, names the result.
Nothing that is execution alone (where to, how often to save) enters either.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from worldbench.configuration import Job
from worldbench.core.errors import InputError, Interrupted, RunError
from worldbench.core.files import identity_hash, lock, make_folder
from worldbench.core.model import SequenceModel, refuse_impossible
from worldbench.core.options import identity_fields, named_files
from worldbench.core.registry import metrics, models, worlds
from worldbench.core.text import counted
from worldbench.core.world import World
from worldbench.display import Display
from worldbench.environment import environment
from worldbench.records.finding import evidence_folder, result_path
from worldbench.records.lines import EvalLine
from worldbench.records.parts import Identity, Lender, Model, Parameters
from worldbench.records.reading import read, write
from worldbench.records.runs import Result, Training
from worldbench.records.scores import Bound, Scores
from worldbench.run_config import differences, is_own, load_job, saved_config, write_config
from worldbench.run_files import manifest

if TYPE_CHECKING:
    from worldbench.scoring import Scored

RUN_VERSION = 1
"""Raised when training the same settings gives other weights."""


@dataclasses.dataclass
class Prepared:
    """A job whose world is settled and loaded, and the identities that follow. content: of the training identity."""

    job: Job
    world: World
    world_identity: dict[str, Any]
    training: str
    evaluation: str
    content: dict[str, Any]

    @property
    def identity(self) -> Identity:
        return Identity(training=self.training, evaluation=self.evaluation)

    def documents(self) -> int:
        """How many different documents training draws; 0 for models that are not trained."""
        from worldbench.stream import documents_seen

        groups = self.job.groups
        return documents_seen(self.world, groups["data"], groups["train"], self.job.seed) if self.job.trained else 0

    def folder(self, out: Path) -> Path:
        """Of its own for each budget of tuning, so that a result that claims one never takes the place of one that does not."""
        seed = f"-s{self.job.seed}" if self.job.seeded else ""
        tuned = self.job.tuned
        budget = "" if tuned is None else f"-tuned-{identity_hash({'tuning': msgspec.structs.asdict(tuned)})[:8]}"
        return out / f"{self.job.world}-{self.job.model}-{self.job.preset}{seed}-{self.training[:10]}{budget}"


def prepare(job: Job, display: Display) -> Prepared:
    """Settle what is automatic (announced), load the world, and name the run."""
    from worldbench.arithmetic import resolve_device, set_up

    set_up(job.threads)
    entry = worlds[job.world]
    cls = entry.load()
    if "env" in job.groups:
        env, announcement = cls.settle(job.groups["env"])
        if announcement:
            display.say(announcement)
        job = dataclasses.replace(job, groups={**job.groups, "env": env}, given={**job.given, **_changed(job, env)})
    if job.trained:
        job = job.replace("train", device=resolve_device(job.groups["train"].device))
    world = cls(job.groups["env"]) if "env" in job.groups else cls()
    if job.trained:
        refuse_impossible(models[job.model].load(), world)
    return identify(job, world)


def _changed(job: Job, env: Any) -> dict[str, Any]:
    return {f"env.{f.name}": getattr(env, f.name) for f in dataclasses.fields(env) if getattr(env, f.name) != getattr(job.groups["env"], f.name)}


def identify(job: Job, world: World) -> Prepared:
    """Name what a run depends on.

    A plugin file enters the training identity by its digest, unless it registers metrics and nothing else: training
    cannot depend on such a file, and the evaluation identity names it beside the versions of its metrics.
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
    plugins |= {worlds[job.world].plugin, models[job.model].plugin}  # of an installed package: its version
    if plugins - {""}:
        training["plugins"] = sorted(plugins - {""})
    settings = job.groups["eval"]
    entries = [metrics[name] for name in settings.metrics or metrics.names()]
    versions = {e.name: [e.load().version, e.plugin] if e.plugin else e.load().version for e in entries}
    evaluation = {**identity_fields(settings), "metrics": versions}
    return Prepared(job, world, world_identity, identity_hash(training), identity_hash(evaluation), training)


def run(job: Job, out: Path, display: Display, *, wait: bool = False) -> Path:
    """Do what is still to be done of a job; the path of its result file."""
    return run_and_read(job, out, display, wait=wait)[0]


def run_and_read(job: Job, out: Path, display: Display, *, wait: bool = False) -> tuple[Path, Result]:
    """`run`, and the result as it was when the run's folder was still held: another process may score it anew after."""
    prepared = prepare(job, display)
    folder = prepared.folder(make_folder(out))
    display.say(prepared.world.summary(prepared.documents()), f"folder: {folder}")
    make_folder(folder)
    with lock(folder, wait=wait):
        result = result_path(folder, prepared.identity)
        scored = done(result, prepared)
        if scored and (not job.trained or complete(prepared, folder) or _removed(prepared, folder)):
            display.say(f"done already: {result}")
            if job.trained and not complete(prepared, folder):
                display.say(f"its weights were removed; to train them again, delete {result} and repeat the command")
            if not is_own(folder, prepared.identity):
                write_config(folder, prepared)
        else:
            write_config(folder, prepared)
            with manifest(folder, display.say):
                model = train(prepared, folder, display) if job.trained else reference(prepared)
                if not scored:
                    _score_and_write(prepared, model, folder, out, result, display)
        found = read(result, Result)
        draw(folder, display, result)
    return result, found


def done(result: Path, prepared: Prepared) -> bool:
    """Does a result file answer the job already? Raises RunError where the file is the result of another run."""
    if not result.exists():
        return False
    record = read(result, Result)
    if (record.identity, record.tuning) != (prepared.identity, prepared.job.tuned):
        other = f"is the result of another run ({record.command})"
        raise RunError(f"{str(result)!r} {other}; move it to a folder of its own")
    return True


def _removed(prepared: Prepared, folder: Path) -> bool:
    """Are there no weights at all, nor a state? Then somebody removed them on purpose, when the scores were made."""
    from worldbench import checkpoint

    folder = weights_folder(prepared, folder)
    return not checkpoint.kept_steps(folder) and not checkpoint.state_path(folder).exists()


def reference(prepared: Prepared) -> SequenceModel:
    """A model that is not trained."""
    from worldbench.arithmetic import set_up

    set_up(prepared.job.threads)
    job, make = prepared.job, models[prepared.job.model].load()
    return make(prepared.world, job.groups["model"], job.seed) if job.seeded else make(prepared.world)


def train(prepared: Prepared, folder: Path, display: Display) -> SequenceModel:
    """The trained model of a run folder; trains what is missing. Where its weights are another run's, trains that one, in the folder of its own beside it."""
    from worldbench.arithmetic import set_up
    from worldbench.baselines.trained import TrainedModel
    from worldbench.curve import named
    from worldbench.trainer import Trainer

    job, world = prepared.job, prepared.world
    config = job.groups["train"]
    set_up(config.threads)
    if (of := lender(prepared)) is not None and not complete(prepared, folder):
        other = make_folder(weights_folder(prepared, folder))
        with lock(other, wait=True):
            if not complete(of, other):
                display.say(f"training {of.job.model} first, whose weights {job.model} has: {other}")
                write_config(other, of)
                with manifest(other, display.say):
                    train(of, other, display)
    if complete(prepared, folder):
        return at_step(prepared, folder, config.steps)
    if finished(prepared, folder):
        display.say(f"the weights of {named(gone(prepared, folder))} are gone: training again from the first step on")
    objective = build(prepared)
    size = f"{counted(objective.parameter_count(), 'parameter')}, {counted(config.steps, 'step')} of {counted(config.batch, 'row')}"
    display.say(f"training {job.model}: {size}, {config.device}, {counted(config.threads, 'thread')}")
    with display.training(config.steps) as report:
        trainer = Trainer(world, objective, job.groups["data"], config, job.seed, folder, evaluation_seed=job.groups["eval"].seed, report=report)
        with stop_signals(trainer):
            trainer.train()
    return TrainedModel(objective, config.device)


def lender(prepared: Prepared) -> Prepared | None:
    """The run whose weights a model has that trains none of its own."""
    name = models[prepared.job.model].weights_of
    return identify(dataclasses.replace(prepared.job, model=name, tuned=None), prepared.world) if name else None


def weights_folder(prepared: Prepared, folder: Path) -> Path:
    """Where the weights of a run are kept: in its folder, or that of their lender beside it."""
    of = lender(prepared)
    return folder if of is None else of.folder(folder.absolute().parent)


def finished(prepared: Prepared, folder: Path) -> bool:
    """Is a run folder trained to its end, and are its last weights there?"""
    from worldbench import checkpoint

    folder = weights_folder(prepared, folder)
    return checkpoint.weights_path(folder, prepared.job.groups["train"].steps).exists() and not checkpoint.state_path(folder).exists()


def complete(prepared: Prepared, folder: Path) -> bool:
    """Is a run folder trained to its end, and are all weights there that it keeps?"""
    return finished(prepared, folder) and not gone(prepared, folder)


def gone(prepared: Prepared, folder: Path) -> list[int]:
    """The steps whose weights should be in a run folder and are not."""
    from worldbench import checkpoint

    kept = set(checkpoint.kept_steps(weights_folder(prepared, folder)))
    return [step for step in points(prepared) if step not in kept]


def points(prepared: Prepared) -> list[int]:
    """The steps whose weights a run keeps: the points of its learning curve."""
    from worldbench.curve import log_spaced

    config = prepared.job.groups["train"]
    return log_spaced(config.steps, config.checkpoints)


def at_step(prepared: Prepared, folder: Path, step: int) -> SequenceModel:
    """The model that the weights kept at a step make. Raises RunError, with the command that makes them again, for weights that are damaged."""
    from worldbench import checkpoint
    from worldbench.arithmetic import set_up
    from worldbench.baselines.trained import TrainedModel

    config = prepared.job.groups["train"]
    set_up(config.threads)
    objective = build(prepared)
    command = (lender(prepared) or prepared).job.command()
    path = checkpoint.weights_path(weights_folder(prepared, folder), step)
    checkpoint.load_weights(path, objective, f"train again by the command of the run: {command}")
    return TrainedModel(objective.to(config.device), config.device)


def build(prepared: Prepared) -> Any:
    """The objective, freshly initialised."""
    job, world = prepared.job, prepared.world
    return models[job.model].load()(job.groups["model"], len(world.vocabulary), world.context, job.seed, world.vocabulary.pad)


@contextmanager
def stop_signals(trainer: Any) -> Iterator[None]:
    """SIGTERM and SIGINT ask the trainer to save and stop; a second one stops at once."""

    def ask(number: int, frame: Any) -> None:
        if trainer.interrupted:
            raise Interrupted("stopped at once; the same command goes on from the last saved state")
        trainer.interrupted = True

    try:
        old = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: the caller's signals are not ours
        yield
        return
    try:
        yield
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def score_callable(
    job: Job, spec: str, out: Path, display: Display, *, rows: int | None = None, threads: int = 1
) -> Path:
    """Score a user's function in a world, beside the references. Always scored anew: what it computes is not known.

    rows: the most that it is called with at once. threads: of torch. The function's name and the digest of its file
    are its training identity, so that an edited function is another one.
    """
    from worldbench.arithmetic import set_up
    from worldbench.baselines.callable import CallableModel
    from worldbench.baselines.causality import require_next_token_model
    from worldbench.baselines.user_code import load_callable

    user = load_callable(spec)
    prepared = prepare(job, display)
    set_up(threads)
    world = prepared.world
    model = CallableModel(user.call, world.vocabulary, user.name, rows, user.network)
    require_next_token_model(model, world, job.groups["eval"].seed)
    content = {**prepared.content, "model": user.name, "file": user.sha256}
    job = dataclasses.replace(prepared.job, model=user.name)
    prepared = dataclasses.replace(prepared, job=job, content=content, training=identity_hash(content))
    folder = make_folder(make_folder(out) / f"{job.world}-callable-{prepared.training[:10]}")
    with lock(folder):
        result = result_path(folder, prepared.identity)
        _score_and_write(prepared, model, folder, out, result, display)
        draw(folder, display, result)
    return result


def _score_and_write(prepared: Prepared, model: SequenceModel, folder: Path, out: Path, result: Path, display: Display) -> None:
    """Score the model, read its floors and ceilings off the reference runs, write the result."""
    from worldbench.scoring import score

    job, settings = prepared.job, prepared.job.groups["eval"]
    with display.task("scoring") as announce:
        scored = score(prepared.world, model, settings, evidence_folder(result), announce)
    if job.model not in models.names() or job.seeded:
        scored = dataclasses.replace(scored, scores=_with_bounds(prepared, scored.scores, out, display))
    write(result, record(prepared, model, folder, scored, display))


def _with_bounds(prepared: Prepared, scores: Scores, out: Path, display: Display) -> Scores:
    """The scores with their floors and ceilings: those of reference models on the same prompts, from other runs."""
    bounds: dict[str, dict[str, Bound]] = {name: {} for name in scores}
    wanted = {n: {k: getattr(metrics[n].load(), k) for k in ("floor", "ceiling")} for n in scores}
    for name in sorted({m for both in wanted.values() for m in both.values() if m}):
        cls = models[name].load()
        if (reason := cls.impossible(prepared.world)) is not None:
            display.say(f"no {name} beside the scores: {reason}")
            continue
        groups = {k: v for k, v in prepared.job.groups.items() if k in ("env", "eval")}
        given = {k: v for k, v in prepared.job.given.items() if k.split(".")[0] in groups}
        plugins = tuple(plugin for plugin in prepared.job.plugins if plugin.serves(prepared.job.world, name))
        job = dataclasses.replace(prepared.job, model=name, groups=groups, given=given, tuned=None, plugins=plugins)
        display.say(f"scoring {name} on the same prompts")
        measured = run_and_read(job, out, display.quieter(), wait=True)[1].scores
        for metric, both in wanted.items():
            for bound, reference_name in both.items():
                if reference_name == name and metric in measured:
                    values = {k: s.value for k, s in measured[metric].scores.items()}
                    bounds[metric][bound] = Bound(model=name, scores=values)
    return {name: msgspec.structs.replace(metric, **bounds[name]) for name, metric in scores.items()}


def record(prepared: Prepared, model: SequenceModel, folder: Path, scored: Scored, display: Display) -> Result:
    """The result; deterministic given the run."""
    training = None
    if prepared.job.trained and lender(prepared) is None:
        training = Training(curve=learning_curve(prepared, folder, display.say))
    return Result(
        **about(prepared, model),
        training=training,
        card=prepared.world.card(prepared.documents()),
        scores=scored.scores,
        not_applicable=scored.not_applicable,
    )


def learning_curve(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> list[EvalLine]:
    """Of a run that is trained to its end: as training wrote it, or computed again from the weights kept."""
    from worldbench import checkpoint, curve

    config = prepared.job.groups["train"]
    about = checkpoint.read_about(checkpoint.weights_path(folder, config.steps))

    def compute(step: int) -> EvalLine:
        seed = prepared.job.groups["eval"].seed if about.held_out is None else about.held_out
        documents = prepared.world.sample(seed, "test", 0, config.curve_documents)
        return curve.point(prepared.world, at_step(prepared, folder, step), documents, step)

    return curve.of_run(folder / "metrics.jsonl", points(prepared), about.curve, compute, say)


def about(prepared: Prepared, model: SequenceModel) -> dict[str, Any]:
    """What was run, on what, and how: the fields of `Head`, for every record of a run."""
    job, of = prepared.job, lender(prepared) if prepared.job.trained else None
    counted = getattr(model, "parameters", None) if job.trained else None
    return {
        "world": prepared.world_identity,
        "model": Model(
            name=job.model,
            hidden=model.hidden_name or None,
            parameters=None if counted is None else Parameters(**counted),
            weights_of=None if of is None else Lender(name=of.job.model, training=of.training),
        ),
        "preset": job.preset,
        "seed": job.seed if job.seeded else None,
        "command": job.command(),
        "config": config_of(job),
        "identity": prepared.identity,
        "environment": environment(),
        "tuning": job.tuned,
    }


def config_of(job: Job) -> dict[str, dict[str, Any]]:
    """Every setting that has an effect on the result; files by their names alone."""
    config = {group: dataclasses.asdict(value) for group, value in job.groups.items()}
    for group, value in job.groups.items():
        for f in dataclasses.fields(value):
            if f.metadata.get("execution"):
                del config[group][f.name]
        config[group] |= {name: path.name for name, path in named_files(value).items() if name in config[group]}
    return config


def reopen(folder: Path, changes: list[str], display: Display, plugins: Sequence[Path] = ()) -> Prepared:
    """A finished run, to be scored again: its job, with evaluation options and the places of its files changed.

    plugins: the files named on the command line; those that a run folder names are not run unasked.
    Raises InputError or RunError where its weights would not be those of its settings.
    """
    prepared = prepare(load_job(folder, changes, plugins), display)
    saved = saved_config(folder)
    if prepared.training != saved.identity.training:
        told = differences(saved.training, prepared.content)
        raise RunError(
            f"{str(folder)!r} was trained under another identity ({told}); score it where that is as it was, or run its "
            f"command again: {prepared.job.command()}"
        )
    if prepared.job.trained and not finished(prepared, folder):
        where = weights_folder(prepared, folder)
        whose = "" if where == folder else f", whose weights {folder.name!r} has,"
        what = "is not trained to its end, or its last weights are gone"
        raise InputError(f"{str(where)!r}{whose} {what}; run its command again first: {prepared.job.command()}")
    return prepared


def evaluate(folder: Path, changes: list[str], display: Display, plugins: Sequence[Path] = ()) -> Path:
    """Score a finished run again, under evaluation settings that may have changed; training is not touched."""
    prepared = reopen(folder, changes, display, plugins)
    result = result_path(folder, prepared.identity)
    with lock(folder):
        done(result, prepared)  # refuses to write over the result of another run
        steps = prepared.job.groups["train"].steps if prepared.job.trained else 0
        model = at_step(prepared, folder, steps) if prepared.job.trained else reference(prepared)
        _score_and_write(prepared, model, folder, folder.parent, result, display)
    return result


def draw(folder: Path, display: Display, result: Path | None = None) -> list[Path]:
    """The figures of a run folder, from its files. result: which evaluation's (None: the run's own)."""
    from worldbench.figures.run_figures import draw_run

    return draw_run(folder, result)
