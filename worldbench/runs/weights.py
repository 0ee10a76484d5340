"""The weights of a run: train what is missing, and load the model that the weights of a step make."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.core.errors import Interrupted
from worldbench.core.files import lock, make_folder
from worldbench.core.model import SequenceModel
from worldbench.core.registry import models
from worldbench.core.text import counted
from worldbench.runs.config_file import write_config
from worldbench.runs.display import Display
from worldbench.runs.manifest import manifest

if TYPE_CHECKING:
    pass
from worldbench.runs.prepared import Prepared, lender


def _removed(prepared: Prepared, folder: Path) -> bool:
    """Are there no weights at all, nor a state? Then somebody removed them on purpose, when the scores were made."""
    from worldbench.training import checkpoint

    folder = weights_folder(prepared, folder)
    return not checkpoint.kept_steps(folder) and not checkpoint.state_path(folder).exists()


def train(prepared: Prepared, folder: Path, display: Display) -> SequenceModel:
    """The trained model of a run folder; trains what is missing. Where its weights are another run's, trains that one,
    in the folder of its own beside it."""
    from worldbench.baselines.trained import TrainedModel
    from worldbench.training.arithmetic import set_up
    from worldbench.training.curve import named
    from worldbench.training.trainer import Trainer

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
    size = (
        f"{counted(objective.parameter_count(), 'parameter')}, {counted(config.steps, 'step')} "
        f"of {counted(config.batch, 'row')}"
    )
    display.say(f"training {job.model}: {size}, {config.device}, {counted(config.threads, 'thread')}")
    with display.training(config.steps) as report:
        trainer = Trainer(world, objective, job.groups["data"], config, job.seed, folder, report=report)
        with stop_signals(trainer):
            trainer.train()
    return TrainedModel(objective, config.device)


def weights_folder(prepared: Prepared, folder: Path) -> Path:
    """Where the weights of a run are kept: in its folder, or that of their lender beside it."""
    of = lender(prepared)
    return folder if of is None else of.folder(folder.absolute().parent)


def finished(prepared: Prepared, folder: Path) -> bool:
    """Is a run folder trained to its end, and are its last weights there?"""
    from worldbench.training import checkpoint

    folder = weights_folder(prepared, folder)
    return (
        checkpoint.weights_path(folder, prepared.job.groups["train"].steps).exists()
        and not checkpoint.state_path(folder).exists()
    )


def complete(prepared: Prepared, folder: Path) -> bool:
    """Is a run folder trained to its end, and are all weights there that it keeps?"""
    return finished(prepared, folder) and not gone(prepared, folder)


def gone(prepared: Prepared, folder: Path) -> list[int]:
    """The steps whose weights should be in a run folder and are not."""
    from worldbench.training import checkpoint

    kept = set(checkpoint.kept_steps(weights_folder(prepared, folder)))
    return [step for step in points(prepared) if step not in kept]


def points(prepared: Prepared) -> list[int]:
    """The steps whose weights a run keeps: the points of its learning curve."""
    from worldbench.training.curve import log_spaced

    config = prepared.job.groups["train"]
    return log_spaced(config.steps, config.checkpoints)


def at_step(prepared: Prepared, folder: Path, step: int) -> SequenceModel:
    """The model that the weights kept at a step make. Raises RunError, with the command that makes them again, for
    weights that are damaged."""
    from worldbench.baselines.trained import TrainedModel
    from worldbench.training import checkpoint
    from worldbench.training.arithmetic import set_up

    config = prepared.job.groups["train"]
    set_up(config.threads)
    objective = build(prepared)
    command = (lender(prepared) or prepared).job.command()
    path = checkpoint.weights_path(weights_folder(prepared, folder), step)
    checkpoint.load_weights(path, objective, f"train again by the command of the run: {command}")
    return TrainedModel(objective.to(config.device), config.device)


def build(prepared: Prepared) -> Any:
    """The objective, freshly initialized."""
    job, world = prepared.job, prepared.world
    return models[job.model].load()(
        job.groups["model"], len(world.vocabulary), world.context, job.seed, world.vocabulary.pad
    )


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
