"""A run: settle the world, train, score beside the references, draw. The same command continues a run that was
stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from worldbench.core.errors import InputError, RunError
from worldbench.core.files import identity_hash, lock, make_folder
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics, models
from worldbench.records.finding import evidence_folder, result_path
from worldbench.records.lines import EvalLine
from worldbench.records.parts import Lender, Model, Parameters
from worldbench.records.reading import read, write
from worldbench.records.runs import Result, Training
from worldbench.records.scores import Bound, Scores
from worldbench.runs.config_file import differences, is_own, load_job, saved_config, write_config
from worldbench.runs.display import Display
from worldbench.runs.manifest import manifest
from worldbench.settings.job import Job
from worldbench.training.environment import environment

if TYPE_CHECKING:
    from worldbench.runs.scoring import Scored
from worldbench.runs.prepared import Prepared, config_of, lender, prepare
from worldbench.runs.weights import _removed, at_step, complete, finished, points, train, weights_folder


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


def reference(prepared: Prepared) -> SequenceModel:
    """A model that is not trained."""
    from worldbench.training.arithmetic import set_up

    set_up(prepared.job.threads)
    job, make = prepared.job, models[prepared.job.model].load()
    return make(prepared.world, job.groups["model"], job.seed) if job.seeded else make(prepared.world)


def score_callable(
    job: Job, spec: str, out: Path, display: Display, *, rows: int | None = None, threads: int = 1
) -> Path:
    """Score a user's function in a world, beside the references. Always scored anew: what it computes is not known.

    rows: the most that it is called with at once. threads: of torch. The function's name and the digest of its file
    are its training identity, so that an edited function is another one.
    """
    from worldbench.baselines.callable import CallableModel
    from worldbench.baselines.causality import require_next_token_model
    from worldbench.baselines.user_code import load_callable
    from worldbench.training.arithmetic import set_up

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


def _score_and_write(
    prepared: Prepared, model: SequenceModel, folder: Path, out: Path, result: Path, display: Display
) -> None:
    """Score the model, read its floors and ceilings off the reference runs, write the result."""
    from worldbench.runs.scoring import score

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
    from worldbench.training import checkpoint, curve

    config = prepared.job.groups["train"]
    about = checkpoint.read_about(checkpoint.weights_path(folder, config.steps))

    def compute(step: int) -> EvalLine:
        held_out = curve.documents(prepared.world, config.curve_documents)
        return curve.point(prepared.world, at_step(prepared, folder, step), held_out, step)

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
            f"{str(folder)!r} was trained under another identity ({told}); "
            f"score it where that is as it was, or run its "
            f"command again: {prepared.job.command()}"
        )
    if prepared.job.trained and not finished(prepared, folder):
        where = weights_folder(prepared, folder)
        whose = "" if where == folder else f", whose weights {folder.name!r} has,"
        what = "is not trained to its end, or its last weights are gone"
        raise InputError(f"{str(where)!r}{whose} {what}; run its command again first: {prepared.job.command()}")
    return prepared


def evaluate(folder: Path, changes: list[str], display: Display, plugins: Sequence[Path] = ()) -> Path:
    """Score a finished run again, under evaluation settings that may have changed; training is not touched.

    The figures of the run's own evaluation go to `figures`, those of any other to `figures-<evaluation>`.
    """
    from worldbench.figures.run_figures import drawn_beside

    prepared = reopen(folder, changes, display, plugins)
    result = result_path(folder, prepared.identity)
    with lock(folder):
        done(result, prepared)  # refuses to write over the result of another run
        steps = prepared.job.groups["train"].steps if prepared.job.trained else 0
        model = at_step(prepared, folder, steps) if prepared.job.trained else reference(prepared)
        _score_and_write(prepared, model, folder, folder.parent, result, display)
        if is_own(folder, prepared.identity):
            draw(folder, display, result)
        else:
            list(drawn_beside(folder, result))
    return result


def draw(folder: Path, display: Display, result: Path | None = None) -> list[Path]:
    """The figures of a run folder, from its files. result: which evaluation's (None: the run's own)."""
    from worldbench.figures.run_figures import draw_run

    return draw_run(folder, result)
