"""The weights of a run: trains what is missing, and loads the model with the weights of a step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldbench.core.errors import Interrupted
from worldbench.core.model import SequenceModel
from worldbench.core.text import counted
from worldbench.runs.display import Display
from worldbench.runs.prepared import Prepared, make_objective


def removed(prepared: Prepared, folder: Path) -> bool:
    """True if a run folder has neither weights nor a saved state. The weights were then removed on purpose after
    scoring."""
    from worldbench.training import checkpoint

    return not checkpoint.kept_steps(folder) and not checkpoint.state_path(folder).exists()


def train(prepared: Prepared, folder: Path, display: Display) -> SequenceModel:
    """The trained model of a run folder. Trains what is missing."""
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
        display.say(f"the weights of {named(gone(prepared, folder))} are missing: training again from the first step")
    objective = build(prepared)
    size = (
        f"{counted(objective.parameter_count(), 'parameter')}, {counted(config.steps, 'step')} "
        f"of {counted(config.batch, 'row')}"
    )
    display.say(f"training {job.model}: {size}, {config.device}, {counted(config.threads, 'thread')}")
    if 0 < config.row_tokens < world.input_length:
        display.say(
            f"train.row_tokens {config.row_tokens} is less than the longest document has input tokens "
            f"({world.input_length}): what is behind the end of a row is not trained on"
        )
    with display.training(config.steps) as report:
        trainer = Trainer(world, objective, job.groups["data"], config, job.seed, folder, report=report)
        with stop_signals(trainer):
            trainer.train()
    return TrainedModel(objective, config.device)


def finished(prepared: Prepared, folder: Path) -> bool:
    """True if training is complete and the last weights exist."""
    from worldbench.training import checkpoint

    return (
        checkpoint.weights_path(folder, prepared.job.groups["train"].steps).exists()
        and not checkpoint.state_path(folder).exists()
    )


def complete(prepared: Prepared, folder: Path) -> bool:
    """True if training is complete and all weights that the run keeps exist."""
    return finished(prepared, folder) and not gone(prepared, folder)


def gone(prepared: Prepared, folder: Path) -> list[int]:
    """The steps whose weights should be in a run folder but are missing."""
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
    """The objective that is scored, newly initialized: the model of the job, or the model that reads its weights."""
    return make_objective(prepared.job, prepared.world, prepared.scored_model)


@contextmanager
def stop_signals(trainer: Any) -> Iterator[None]:
    """SIGTERM and SIGINT ask the trainer to save and stop. A second signal stops it immediately."""

    def ask(number: int, frame: Any) -> None:
        if trainer.interrupted:
            raise Interrupted("stopped at once; the same command goes on from the last saved state")
        trainer.interrupted = True

    try:
        old = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # only the main thread can set signal handlers
        yield
        return
    try:
        yield
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
