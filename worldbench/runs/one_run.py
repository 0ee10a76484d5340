"""One run: train, score, write, draw. Also scores a finished run again.

No other run is started here. The references of the metrics have their own runs (`references.py`). `run.py` plans
them before the job.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from worldbench.core.budget import refuse_seed
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import lock, make_folder
from worldbench.core.model import SequenceModel
from worldbench.core.registry import models
from worldbench.records.finding import evidence_folder, result_path
from worldbench.records.parts import Model, Parameters
from worldbench.records.reading import read, write
from worldbench.records.runs import Result, Training
from worldbench.runs.config_file import differences, is_own, load_job, saved_config, write_config
from worldbench.runs.display import Display
from worldbench.runs.manifest import ended, manifest
from worldbench.runs.prepared import Prepared, config_of, prepare
from worldbench.runs.references import references
from worldbench.runs.same_training import take_weights
from worldbench.runs.weights import at_step, complete, finished, fit, learning_curve, removed, scored_step, train
from worldbench.training.environment import environment
from worldbench.training.loggers import NONE, opened, require

if TYPE_CHECKING:
    from worldbench.runs.scoring import Scored
    from worldbench.training.parallel import Together


def one_run(
    prepared: Prepared, out: Path, display: Display, wait: bool = False, redraw: bool = True, workers: int = 1
) -> Path:
    """Does what is missing of one run. Returns the path of its result file.

    wait: waits for another process that works in the folder. redraw: draws the figures of a run that is done again.
    workers: the number of processes in which metrics are measured at a time.
    """
    if prepared.job.trained:
        require(prepared.job.groups["train"].log)
    job, folder = prepared.job, make_folder(prepared.folder(make_folder(out)))
    with lock(folder, wait=wait):
        result = result_path(folder, prepared.identity)
        scored = done(result, prepared)
        if scored and (not job.trained or complete(prepared, folder) or removed(prepared, folder)):
            display.say(f"done already: {result}")
            if job.trained and not complete(prepared, folder):
                display.say("its folder has no weights; to train them again, repeat the command with another --out")
            own = is_own(folder, prepared.identity)
            if not own:
                write_config(folder, prepared)
            if redraw or not own or not ended(folder):
                with nullcontext() if ended(folder) else manifest(folder, display.say):
                    draw(folder, display, result)
        else:
            write_config(folder, prepared)
            with manifest(folder, display.say):
                if job.trained:
                    take_weights(prepared, folder, display.say)
                model = train(prepared, folder, display) if job.trained else reference(prepared)
                if not scored:
                    score_and_write(prepared, model, folder, result, display, workers)
                    send_scores(prepared, folder, result, display)
                draw(folder, display, result)
    return result


def send_scores(prepared: Prepared, folder: Path, result: Path, display: Display) -> None:
    """Sends the scores of a trained run to the logger of its training."""
    if not prepared.job.trained or prepared.job.groups["train"].log == NONE:
        return
    train = prepared.job.groups["train"]
    with opened(train.log, folder, config_of(prepared.job), display.say) as logger:
        logger.scores(read(result, Result).scores, train.steps)


def one_training(prepared: Prepared, out: Path, display: Display, together: Together) -> None:
    """Trains what is missing of one run, in several processes. Only the leading process works in the folder."""
    folder = prepared.folder(out)
    if not together.leads:
        (needed,) = together.sum_numbers([0])
        if needed:
            fit(prepared, folder, display, together)
        return
    with lock(make_folder(folder)):
        scored = done(result_path(folder, prepared.identity), prepared)
        needed = not (complete(prepared, folder) or (scored and removed(prepared, folder)))
        together.sum_numbers([needed])
        if needed:
            write_config(folder, prepared)
            with manifest(folder, display.say):
                fit(prepared, folder, display, together)


def one_reference(prepared: Prepared, out: Path, display: Display) -> Path:
    """`one_run` for a reference of another run. Prints one line, and waits if another process scores the reference. A
    reference that is done is not drawn again."""
    if not result_path(prepared.folder(out), prepared.identity).exists():
        display.say(f"scoring the reference {prepared.job.model} on the prompts of the run")
    return one_run(prepared, out, display.quieter(), wait=True, redraw=False)


def one_evaluation(prepared: Prepared, folder: Path, display: Display, workers: int = 1) -> Path:
    """Scores a finished run again; `prepared` comes from `reopen`. Returns the path of the result file. workers: as of
    `one_run`."""
    from worldbench.figures.run_figures import drawn_beside

    result = result_path(folder, prepared.identity)
    with lock(folder):
        done(result, prepared)  # raises if the file is the result of another run
        job = prepared.job
        step = scored_step(prepared, folder, display.say) if job.trained else 0
        model = at_step(prepared, folder, step) if job.trained else reference(prepared)
        score_and_write(prepared, model, folder, result, display, workers)
        if is_own(folder, prepared.identity):
            draw(folder, display, result)
        else:
            list(drawn_beside(folder, result))
    return result


def score_and_write(
    prepared: Prepared, model: SequenceModel, folder: Path, result: Path, display: Display, workers: int = 1
) -> None:
    """Scores the model and writes the result. workers: as of `one_run`."""
    from worldbench.runs.scoring import score

    with display.task("scoring", forks=workers > 1) as announce:
        settings, evidence = prepared.job.groups["eval"], evidence_folder(result)
        scored = score(prepared.world, model, settings, evidence, announce, workers)
    write(result, record(prepared, model, folder, scored, display))


def nothing_left(prepared: Prepared, folder: Path) -> bool:
    """True if the result of a run is there, and no process stopped in its folder before all was done. Its weights may
    be gone: a table needs only the result. Raises RunError as `done` does."""
    return done(result_path(folder, prepared.identity), prepared) and ended(folder)


def done(result: Path, prepared: Prepared) -> bool:
    """True if a result file already answers the job. Raises RunError if the file is the result of another run."""
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


def record(prepared: Prepared, model: SequenceModel, folder: Path, scored: Scored, display: Display) -> Result:
    """The result. It depends only on the run, and names the references of its metrics."""
    training, by_metric = None, references(prepared).by_metric
    if prepared.job.trained and prepared.reading is None:
        chosen, last = scored_step(prepared, folder, display.say), prepared.job.groups["train"].steps
        training = Training(
            curve=learning_curve(prepared, folder, display.say), scored_step=None if chosen == last else chosen
        )
    return Result(
        **about(prepared, model),
        training=training,
        card=prepared.world.card(prepared.documents()),
        scores={
            name: msgspec.structs.replace(metric, **by_metric.get(name, {})) for name, metric in scored.scores.items()
        },
        not_applicable=scored.not_applicable,
    )


def about(prepared: Prepared, model: SequenceModel) -> dict[str, Any]:
    """The fields of `Head`, for every record of a run: what was run, on what, and how."""
    job = prepared.job
    counted = getattr(model, "parameters", None) if job.trained else None
    return {
        "world": prepared.world_identity,
        "model": Model(
            name=prepared.scored_model,
            hidden=model.hidden_name or None,
            parameters=None if counted is None else Parameters(**counted),
            reads=None if prepared.reading is None else job.model,
        ),
        "preset": job.preset,
        "seed": job.seed if job.seeded else None,
        "command": command(prepared),
        "config": config_of(job),
        "identity": prepared.identity,
        "environment": environment(),
        "tuning": job.tuned,
    }


def command(prepared: Prepared) -> str:
    """A command that repeats the work behind a record: the run, and `eval --as` where another model reads its
    weights."""
    run = prepared.job.command()
    if prepared.reading is None:
        return run
    folder = shlex.quote(str(prepared.folder(Path("runs"))))
    return f"{run} && worldbench eval {folder} --as {shlex.quote(prepared.reading)}"


def reopen(
    folder: Path, changes: list[str], display: Display, plugins: Sequence[Path] = (), reading: str | None = None
) -> Prepared:
    """A finished run that is to be scored again: its job, with changed evaluation options and paths of files.

    plugins: plugin files named on the command line. Plugins that a run folder names are not run automatically.
    reading: another model that is scored with the weights of the run. Raises InputError or RunError if the weights
    do not belong to the settings.
    """
    job = load_job(folder, changes, plugins)
    if any(word.partition("=")[0] == "--eval.seed" for word in changes):  # trials of tuning keep theirs
        refuse_seed("eval.seed", job.groups["eval"].seed)
    prepared = prepare(job, display, reading)
    saved = saved_config(folder)
    if prepared.training != saved.identity.training:
        changes_made = differences(saved.training, prepared.content)
        raise RunError(
            f"{str(folder)!r} was trained under another identity ({changes_made}); "
            f"undo these changes to score the run, or train it again: {prepared.job.command()}"
        )
    if prepared.job.trained and not finished(prepared, folder):
        raise InputError(
            f"{str(folder)!r} is not fully trained, or its last weights are missing; first run its command again: "
            f"{prepared.job.command()}"
        )
    return prepared


def draw(folder: Path, display: Display, result: Path | None = None) -> list[Path]:
    """Draws the figures of a run folder from its files. result: of which evaluation (None: the run's own)."""
    from worldbench.figures.run_figures import draw_run

    return draw_run(folder, result)
