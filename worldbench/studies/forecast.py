"""How long a run will train on this machine: its first steps are timed, in a folder that is removed afterwards."""

from __future__ import annotations

import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.records.bench import Memory
from worldbench.records.forecast import Forecast, Measured
from worldbench.runs.display import Display, print_notes
from worldbench.runs.prepared import Prepared, prepare
from worldbench.runs.weights import build
from worldbench.settings.job import Job

if TYPE_CHECKING:
    from worldbench.training.trainer import Trainer

WARM_UP = 2
"""Steps before the first one that is timed: they allocate memory and choose kernels."""
COUNTED_ROWS = 16
"""Rows of which the operations are counted; a row costs the same as any other."""


def forecast(job: Job, seconds: float, display: Display) -> Forecast:
    """Time the first training steps of a job for `seconds`, and extrapolate to its last step.

    Raises InputError for a model that is not trained, and whatever training raises.
    """
    if not job.trained:
        raise InputError(f"{job.model} is not trained, so it needs no time for training")
    return forecast_prepared(prepare(job, display), seconds, display)


def forecast_prepared(prepared: Prepared, seconds: float, display: Display) -> Forecast:
    """`forecast` of a job that is trained and whose world is loaded."""
    import torch

    from worldbench.studies.bench.operations import count_operations
    from worldbench.training.curve import log_spaced
    from worldbench.training.environment import environment, processor
    from worldbench.training.trainer import Trainer

    job, config = prepared.job, prepared.job.groups["train"]
    with tempfile.TemporaryDirectory(prefix="worldbench-forecast-") as folder:
        objective = build(prepared)
        trainer = Trainer(prepared.world, objective, job.groups["data"], config, job.seed, Path(folder))
        display.say(
            f"timing {job.model}: {counted(objective.parameter_count(), 'parameter')}, "
            f"{counted(config.batch, 'row')} per step, {trainer.device}, for {seconds:g} s"
        )
        times, tokens = _timed(trainer, seconds, config.log_every)
        memory = _memory(trainer.device)
        point = _seconds(trainer.device, lambda: trainer.evaluate(WARM_UP))
        batch = trainer.batches(0)[0]
        rows = min(COUNTED_ROWS, len(batch.tokens))
        operations = count_operations(trainer.objective, batch.rows(0, rows).to(trainer.device)).total
    step = float(np.median(times))
    low, high = np.quantile(times, (0.25, 0.75)).tolist()
    operations = operations * config.batch // rows
    points = len(log_spaced(config.steps, config.checkpoints))
    return Forecast(
        environment=environment(),
        command=job.command(),
        world=prepared.world_identity,
        model=job.model,
        preset=job.preset,
        device=torch.cuda.get_device_name() if trainer.device == "cuda" else processor(),
        threads=config.threads,
        parameters=objective.parameter_count(),
        steps=config.steps,
        points=points,
        measured=Measured(
            steps=len(times),
            step=step,
            quartiles=(low, high),
            tokens=tokens,
            tokens_per_second=tokens / step,
            operations=operations,
            operations_per_second=operations / step,
            point=point,
        ),
        memory=memory,
        seconds=step * config.steps + point * points,
    )


def _timed(trainer: Trainer, seconds: float, together: int) -> tuple[list[float], int]:
    """Seconds of each step after the warm-up, and the mean number of tokens of a step.

    together: steps on a card that are timed together, because the process waits for the card only where losses are
    logged. Their mean counts once for each.
    """
    cuda, last = trainer.device == "cuda", trainer.config.steps
    warm, times = min(WARM_UP, last - 1), list[float]()
    _seconds(trainer.device, lambda: [trainer.step(i) for i in range(warm)])
    before, started, chunk = trainer.tokens, time.monotonic(), together if cuda else 1
    for first in itertools.count(warm, chunk):
        steps = range(first, min(first + chunk, last))
        if not steps or (times and time.monotonic() - started > seconds):
            break
        took = _seconds(trainer.device, lambda steps=steps: [trainer.step(i) for i in steps])
        times += [took / len(steps)] * len(steps)
    return times, (trainer.tokens - before) // len(times)


def _seconds(device: str, work: Callable[[], Any]) -> float:
    import torch

    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _memory(device: str) -> Memory:
    import torch

    if device == "cuda":
        return Memory(bytes=torch.cuda.max_memory_allocated(), what="the most that torch's CUDA allocator held")
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return Memory(bytes=peak, what="the largest resident set of the process")


def show(record: Forecast) -> None:
    """Print a forecast."""
    m = record.measured
    where = record.device if record.threads == 1 else f"{record.device}, {counted(record.threads, 'thread')}"
    memory = "-" if record.memory.bytes is None else f"{record.memory.bytes / 2**30:.2f} GiB"
    print_notes(
        [
            f"{record.model} in {record.world['world']}, preset {record.preset}, on {where}",
            f"{counted(m.steps, 'step')} timed: {m.step:.4g} s per step (quartiles {m.quartiles[0]:.4g} .. "
            f"{m.quartiles[1]:.4g}), {m.tokens_per_second:,.0f} tokens/s, "
            f"{m.operations_per_second / 1e12:.3g} trillion operations per second, without those of the optimizer",
            f"memory: {memory} ({record.memory.what})",
            f"{counted(record.steps, 'step')} and {counted(record.points, 'point')} of the learning curve "
            f"({m.point:.2g} s each): training ends after {duration(record.seconds)}; scoring is not included",
        ]
    )


def duration(seconds: float) -> str:
    """Seconds in words, in the unit that fits."""
    for unit, size in (("years", 365 * 86_400), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} seconds"
