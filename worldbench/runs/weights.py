"""The weights of a run: train what is missing, and load the model that the weights of a step make."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldbench.core.errors import Interrupted
from worldbench.core.model import SequenceModel
from worldbench.core.registry import models
from worldbench.core.text import counted
from worldbench.runs.display import Display
from worldbench.runs.prepared import Prepared


def removed(prepared: Prepared, folder: Path) -> bool:
    """Are there no weights at all, nor a state? Then somebody removed them on purpose, when the scores were made."""
    from worldbench.training import checkpoint

    return not checkpoint.kept_steps(folder) and not checkpoint.state_path(folder).exists()


def train(prepared: Prepared, folder: Path, display: Display) -> SequenceModel:
    """The trained model of a run folder; trains what is missing."""
    from worldbench.baselines.trained import TrainedModel
    from worldbench.training.arithmetic import set_up
    from worldbench.training.curve import named
    from worldbench.training.trainer import Trainer

    job, world = prepared.job, prepared.world
    config = job.groups["train"]
    set_up(config.threads)
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


def finished(prepared: Prepared, folder: Path) -> bool:
    """Is a run folder trained to its end, and are its last weights there?"""
    from worldbench.training import checkpoint

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

    kept = set(checkpoint.kept_steps(folder))
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
    command = prepared.job.command()
    path = checkpoint.weights_path(folder, step)
    checkpoint.load_weights(path, objective, f"train again by the command of the run: {command}")
    return TrainedModel(objective.to(config.device), config.device)


def build(prepared: Prepared) -> Any:
    """The objective that is scored, freshly initialized: the job's, or the one that reads its weights."""
    job, world = prepared.job, prepared.world
    return models[prepared.scored_model].load()(
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
