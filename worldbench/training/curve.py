"""The learning curve: the held-out loss at log-spaced steps. Each point is a function of the weights kept at its step.

Training writes each point to metrics.jsonl before it saves the weights. If the file was changed since, its points are
computed again from the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import HasLaw
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import read_regular
from worldbench.core.model import SequenceModel
from worldbench.core.world import Documents, World
from worldbench.records.lines import EvalLine
from worldbench.training.training_log import LIMIT, digest_of, lines

SEED = 0
"""Seed of the held-out documents behind every learning curve. It is fixed, so that a curve does not depend on the
evaluation."""


def documents(world: World, count: int) -> Documents:
    """The `count` held-out documents behind a learning curve."""
    return world.sample(SEED, "test", 0, count)


def choosing(world: World, count: int) -> Documents:
    """The `count` held-out documents that choose the weights to score. They are drawn for this alone: their seed is a
    hash of 63 bits, which no evaluation has. (A world with few documents draws some of them again for its metrics.)"""
    return world.sample(streams.integer("documents that choose weights"), "test", 0, count)


def least(points: list[EvalLine]) -> int:
    """The step with the least loss on the documents that choose; of equal ones the earliest. Raises RunError if no
    loss is a number."""
    defined = [(line.choice, line.step) for line in points if line.choice is not None]
    if not defined:
        raise RunError(
            "the losses of all kept weights are NaN or infinite, so train.scored_step least_loss cannot choose; the "
            "training diverged: repeat it with a smaller learning rate"
        )
    return min(defined)[1]


def log_spaced(steps: int, count: int) -> list[int]:
    """At most `count` different steps from about steps / 200 to `steps`, evenly spaced in their logarithm. The last one
    is always `steps`."""
    if count == 1:
        return [steps]
    first = max(1, steps // 200)
    points = {round(first * (steps / first) ** (k / (count - 1))) for k in range(count)}
    return sorted(points | {steps})


def point(
    world: World, model: SequenceModel, documents: Documents, step: int, choosing: Documents | None = None
) -> EvalLine:
    """The held-out loss, the loss of the exact law on the same documents (`bayes`), and their difference (`excess`), in
    nats per token. choosing: the documents of `choice`.

    In a world without an exact law only the held-out loss is there. A value that is NaN is None; infinite values stay.
    """
    from worldbench.metrics.excess_loss import divergences

    choice = None if choosing is None else _defined(mean_loss(model, choosing))
    if not isinstance(world, HasLaw):
        return EvalLine(step=step, loss=_defined(mean_loss(model, documents)), choice=choice)
    _, _, kl, entropy, loss = divergences(world, model, documents)
    losses = {"loss": loss, "bayes": entropy, "excess": kl}
    means = {name: _defined(float(values.mean())) for name, values in losses.items()}
    return EvalLine(step=step, choice=choice, **means)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def mean_loss(model: SequenceModel, documents: Documents) -> float:
    """The mean of -log p(target) over the scored positions of documents, in nats; for worlds without an exact law."""
    from worldbench.metrics.evaluation import chunks

    total, count = 0.0, 0
    for part in chunks(documents):
        targets = part.targets
        row, at = np.nonzero(targets >= 0)
        z = model.logits(part.inputs)[row, at].astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(row)), targets[row, at]]).sum())
        count += len(row)
    return total / count


def of_run(
    path: Path, steps: list[int], digest: str | None, compute: Callable[[int], EvalLine], say: Callable[[str], None]
) -> list[EvalLine]:
    """The points at `steps` of a run whose training is complete.

    path: its metrics.jsonl. digest: the digest of the points in this file, as the last weights have it; None if an
    older version saved the weights. compute: computes the point at a step from the weights kept there. say: called with
    a sentence on points that are computed again.
    """
    found: dict[int, EvalLine] = {}
    try:
        written = [(raw, line) for raw, line in lines(read_regular(path, LIMIT)) if isinstance(line, EvalLine)]
        why = f"{str(path)!r} lacks it, or holds another one than training wrote"
        if digest in (None, digest_of([raw for raw, _ in written])):
            found = {line.step: line for _, line in written}
    except InputError as error:
        why = str(error)
    if missing := [step for step in steps if step not in found]:
        say(f"the learning curve at {named(missing)} is computed again from the weights kept there: {why}")
    return [found[step] if step in found else compute(step) for step in steps]


def named(steps: list[int]) -> str:
    """Steps in words: "step 3", "steps 3, 5"."""
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"
