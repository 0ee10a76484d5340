"""The weights of a run: trains what is missing, and loads the model with the weights of a step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from worldbench.core.errors import Interrupted
from worldbench.core.model import SequenceModel
from worldbench.core.text import counted
from worldbench.records.lines import EvalLine
from worldbench.runs.display import Display
from worldbench.runs.prepared import Prepared, config_of, make_objective
from worldbench.settings.choice import in_processes

if TYPE_CHECKING:
    from worldbench.training.parallel import Together


def removed(prepared: Prepared, folder: Path) -> bool:
    """True if a run folder has neither weights nor a saved state. The weights were then removed on purpose after
    scoring."""
    from worldbench.training import checkpoint

    return not checkpoint.kept_steps(folder) and not checkpoint.state_path(folder).exists()


def train(prepared: Prepared, folder: Path, display: Display) -> SequenceModel:
    """The trained model of a run folder. Trains what is missing, in this process."""
    from worldbench.training.arithmetic import set_up

    config = prepared.job.groups["train"]
    set_up(config.threads)
    if complete(prepared, folder):
        return at_step(prepared, folder, scored_step(prepared, folder, display.say))
    in_processes(prepared.job, 1)
    return fit(prepared, folder, display)


def fit(prepared: Prepared, folder: Path, display: Display, together: Together | None = None) -> SequenceModel:
    """Train what is missing of a run, alone or together with other processes. Returns the model that is scored."""
    from worldbench.baselines.trained import TrainedModel
    from worldbench.runs.repeated import compare_logs, keep_log
    from worldbench.training.curve import named
    from worldbench.training.loggers import NONE, opened
    from worldbench.training.parallel import ALONE
    from worldbench.training.trainer import Trainer

    together = together or ALONE
    job, world = prepared.job, prepared.world
    config = job.groups["train"]
    if together.leads and finished(prepared, folder):
        display.say(f"the weights of {named(gone(prepared, folder))} are missing: training again from the first step")
    if together.leads:
        keep_log(folder, display.say)
    objective = build(prepared)
    size = (
        f"{counted(objective.parameter_count(), 'parameter')}, {counted(config.steps, 'step')} "
        f"of {counted(config.batch, 'row')}"
    )
    threads = counted(config.threads, "thread")
    if config.processes > 1:
        threads = f"{counted(config.processes, 'process', 'processes')} of {threads}"
    how = [size, config.device, threads]
    how += [config.precision] if config.precision != "fp32" else []
    how += ["compiled, which takes some time before the first step"] if config.compile else []
    display.say(f"training {job.model}: {', '.join(how)}")
    if 0 < config.row_tokens < world.input_length:
        display.say(
            f"train.row_tokens is {config.row_tokens}, and the longest document has {world.input_length} input tokens: "
            "the model is not trained on tokens beyond the end of a row"
        )
    sends = config.log if together.leads else NONE
    with (
        opened(sends, folder, config_of(job), display.say) as logger,
        display.training(config.steps) as report,
    ):
        trainer = Trainer(
            world, objective, job.groups["data"], config, job.seed, folder, report=report, together=together,
            logger=logger,
        )  # fmt: skip
        with stop_signals(trainer, ends=together.size > 1):
            trainer.train()
    if together.leads:
        compare_logs(folder, display.say)
    if together.leads and config.scored_step == "least_loss":
        return at_step(prepared, folder, scored_step(prepared, folder, display.say))
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


def learning_curve(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> list[EvalLine]:
    """The learning curve of a finished training: as training wrote it, or computed again from the kept weights."""
    from worldbench.training import checkpoint, curve

    config = prepared.job.groups["train"]
    about = checkpoint.read_about(checkpoint.weights_path(folder, config.steps))
    chooses = config.scored_step == "least_loss"

    def compute(step: int) -> EvalLine:
        held_out = curve.documents(prepared.world, config.curve_documents)
        choosing = curve.choosing(prepared.world, config.curve_documents) if chooses else None
        return curve.point(prepared.world, at_step(prepared, folder, step), held_out, step, choosing)

    found = curve.of_run(folder / "metrics.jsonl", points(prepared), about.curve, compute, say)
    # The log of a training that is shared with a run of `least_loss` holds losses that this run has no use for.
    return found if chooses else [msgspec.structs.replace(line, choice=None) for line in found]


def scored_step(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> int:
    """The step of a finished training whose weights are scored (`train.scored_step`). Raises RunError if there is
    none."""
    from worldbench.training import curve

    config = prepared.job.groups["train"]
    if config.scored_step != "least_loss":
        return config.steps
    return curve.least(learning_curve(prepared, folder, say))


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
def stop_signals(trainer: Any, ends: bool = False) -> Iterator[None]:
    """SIGTERM and SIGINT ask the trainer to save and stop. A second signal stops it immediately.

    ends: the process ends after an error, and ignores both signals from then on: torchrun sends SIGTERM as soon as one
    process has failed, and the reason must still be printed.
    """

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
    except BaseException:
        if ends:
            old = dict.fromkeys(old, signal.SIG_IGN)
        raise
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
