"""Checks of a device: a training step of every objective, a stop and its continuation, decoding, and the speed."""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from worldbench.core.errors import Interrupted, RunError
from worldbench.core.registry import models
from worldbench.core.text import counted
from worldbench.studies.doctor.checks import Check, Device, Outcome

SAME = 2e-3
"""Largest relative difference between the losses of the first step on a card and on the CPU, both in fp32."""
OBJECTIVES = [entry.name for entry in models if entry.trained]
NEAR = 0.02
"""Largest relative difference of a loss in bf16 or tf32 from the one in fp32."""
ROUNDS, SECONDS = 12, 3.0
"""Timed training steps at most, and seconds after which no further one starts."""
STEPS, STOP = 6, 3
"""Steps of the training that is stopped, and the step after which it is stopped."""


def checks(device: Device) -> list[Check]:
    """The checks of a device that train."""
    on_cpu = "make room in the temporary folder if a file cannot be written; else install the torch of constraints.txt"
    remedy = "train with --train.device cpu" if device == "cuda" else on_cpu
    steps = [Check(device, f"step of {m}", functools.partial(step, device, m), remedy) for m in OBJECTIVES]
    for precision in ("bf16",) if device == "cpu" else ("bf16", "tf32"):
        work = functools.partial(rounded, device, precision)
        steps.append(Check(device, f"step in {precision}", work, "train with --train.precision fp32", optional=True))
    others = {"save and resume": resume, "decoding": decode, "speed": speed}
    return steps + [Check(device, name, functools.partial(work, device), remedy) for name, work in others.items()]


def step(device: Device, model: str) -> Outcome:
    """Two training steps; on a card, the first losses are compared with those of the CPU. Raises RunError for a loss
    that is not finite, or not the one of the CPU."""
    first, second = _losses(device, model)
    values: dict[str, Any] = {"losses": [first, second]}
    text = f"{_named(first)}, then {_named(second)}"
    if device == "cuda":
        other = _losses("cpu", model, steps=1)[0]
        values["cpu"] = other
        wrong = [name for name, x in first.items() if abs(x - other[name]) > SAME * max(1, abs(other[name]))]
        if wrong:
            raise RunError(f"the first losses are {_named(first)} on the card and {_named(other)} on the CPU")
        text += "; the first as on the CPU"
    return Outcome(text, values=values)


def rounded(device: Device, precision: str) -> Outcome:
    """Two training steps of GPT in a precision below fp32. Raises RunError for a loss that is far from the one in
    fp32."""
    exact, found = (_losses(device, "gpt", precision=name) for name in ("fp32", precision))
    for one, other in zip(exact, found):
        if any(abs(other[name] - x) > NEAR * max(1, abs(x)) for name, x in one.items()):
            raise RunError(f"{_named(other)} in {precision}, and {_named(one)} in fp32")
    values = {"losses": found, "fp32": exact}
    return Outcome(f"{_named(found[0])}, then {_named(found[1])}; in fp32 {_named(exact[1])}", values=values)


def _losses(device: Device, model: str, steps: int = 2, **train: Any) -> list[dict[str, float]]:
    """The terms of the loss in each of the first steps."""
    import math

    from worldbench.studies.doctor import tiny

    with tempfile.TemporaryDirectory(prefix="worldbench-doctor-") as folder:
        trainer = tiny.trainer(tiny.job(model, device, steps, **train), Path(folder))
        out = [{name: float(x) for name, x in trainer.step(i).items()} for i in range(steps)]
    if not all(math.isfinite(x) for losses in out for x in losses.values()):
        raise RunError(f"a loss is not a number: {', then '.join(map(_named, out))}")
    return out


def _named(losses: dict[str, float]) -> str:
    return "loss " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items())


def resume(device: Device) -> Outcome:
    """A training that is stopped and continued writes the same bytes as one that is not stopped. Raises RunError if it
    does not."""
    with tempfile.TemporaryDirectory(prefix="worldbench-doctor-") as folder:
        whole, stopped = Path(folder, "whole"), Path(folder, "stopped")
        _train(device, whole)
        try:
            _train(device, stopped, stop=STOP)
        except Interrupted:
            _train(device, stopped)
        else:
            raise RunError(f"a training that was asked to stop after step {STOP} went on")
        one, other = (_bytes(path) for path in (whole, stopped))
        if one.keys() != other.keys():
            raise RunError(f"the folders have different files: {', '.join(sorted(one.keys() ^ other.keys()))}")
        if different := sorted(name for name in one if one[name] != other[name]):
            raise RunError(f"stopped after step {STOP} of {STEPS} and continued, {', '.join(different)} differ")
    return Outcome(f"stopped after step {STOP} of {STEPS}: the same bytes in {counted(len(one), 'file')}")


def _train(device: Device, folder: Path, stop: int | None = None) -> None:
    from worldbench.studies.doctor import tiny

    def report(done: int, *_: Any) -> None:
        trainer.interrupted = done == stop

    trainer = tiny.trainer(tiny.job("nextlat", device, STEPS, log_every=1), folder, report)
    trainer.train()


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def decode(device: Device) -> Outcome:
    """NextLat's continuations with several drafts per round are those of plain decoding. Raises RunError if they are
    not, apart from tokens that are equally likely within rounding."""
    from worldbench.baselines.drafters import drafter_of
    from worldbench.baselines.speculative import PLAIN, Drafting
    from worldbench.baselines.trained import TrainedModel
    from worldbench.studies.decode import DecodeOptions, TimedPasses, compare_greedy
    from worldbench.studies.decode_arms import Arm
    from worldbench.studies.doctor import tiny

    with tempfile.TemporaryDirectory(prefix="worldbench-doctor-") as folder:
        trainer = tiny.trainer(tiny.job("nextlat", device, 20), Path(folder))
        for i in range(20):
            trainer.step(i)
    options = DecodeOptions(prompts=16, batch=8)
    passes = TimedPasses(trainer.world, drafter_of(trainer.objective), options, 0)
    arms = [Arm(PLAIN), Arm(Drafting(3))]
    passes.run(arms)
    same = compare_greedy(arms, passes, TrainedModel(trainer.objective, device))
    text = f"{counted(same.rows, 'continuation')} of nextlat with 3 drafts per round, "
    text += "identical to plain decoding" if same.all else f"of which {same.different} differ where two tokens tie"
    return Outcome(text, values={"rows": same.rows, "different": same.different, "tokens": arms[1].counts.tokens})


def speed(device: Device) -> Outcome:
    """Tokens per second of training steps of GPT at the small shape of `worldbench bench`, and on a card at width 256
    as well. One CPU thread; medians."""
    rates = {shape: _rate(device, shape) for shape in (("small", "256") if device == "cuda" else ("small",))}
    names = {"small": "4 layers of 64", "256": "6 layers of 256"}
    text = ", ".join(f"{rate:,.0f} tokens/s at {names[shape]}" for shape, rate in rates.items())
    return Outcome(f"training of gpt: {text}", values={"tokens_per_second": rates})


def _rate(device: Device, shape: str) -> float:
    from worldbench.studies.bench.plan import BenchPlan
    from worldbench.studies.bench.times import Times
    from worldbench.studies.bench.timing import build, rows_of
    from worldbench.studies.bench.ways import forward_backward
    from worldbench.training.arithmetic import set_up
    from worldbench.training.optimizer import apply_gradients, make_optimizer

    plan = BenchPlan(labels=("gpt",), shape=shape)
    rows = rows_of(plan)
    set_up(plan.threads)
    objective = build(plan, "gpt", rows).to(device)
    optimizer, times, started = make_optimizer(objective, rows.train), Times(), time.monotonic()

    def one_step() -> None:
        forward_backward(objective, rows.batch, device)
        apply_gradients(objective, optimizer, rows.train)

    for i in range(ROUNDS + 2):
        times.take(one_step, device, keep=i > 1)
        if len(times.wall) > 2 and time.monotonic() - started > SECONDS:
            break
    return int(rows.batch.valid.sum()) / statistics.median(times.wall)
