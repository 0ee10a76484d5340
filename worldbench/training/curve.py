"""The learning curve: held-out loss at log-spaced steps, a function of the weights kept at each and of nothing else.

Training writes each point to metrics.jsonl before it saves the weights. Where that file is no longer what training
wrote, the points are computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from worldbench.core.abilities import HasLaw
from worldbench.core.errors import InputError
from worldbench.core.files import clean, read_regular
from worldbench.core.model import SequenceModel
from worldbench.core.world import Documents, World
from worldbench.records.lines import EvalLine
from worldbench.training.training_log import LIMIT, digest_of, lines

SEED = 0
"""Of the held-out documents behind every learning curve: a curve belongs to the weights, whatever they are scored
on."""


def documents(world: World, count: int) -> Documents:
    """The held-out documents behind a learning curve."""
    return world.sample(SEED, "test", 0, count)


def log_spaced(steps: int, count: int) -> list[int]:
    """At most `count` distinct steps from about steps / 200 to steps, evenly spaced in their logarithm.

    The last is always `steps`.
    """
    if count == 1:
        return [steps]
    first = max(1, steps // 200)
    points = {round(first * (steps / first) ** (k / (count - 1))) for k in range(count)}
    return sorted(points | {steps})


def point(world: World, model: SequenceModel, documents: Documents, step: int) -> EvalLine:
    """Held-out loss, the loss of the exact law on the same documents (Bayes), and the excess. All in nats a token.

    Where the world has no exact law, the held-out loss alone. None for what is not a finite number.
    """
    from worldbench.metrics.excess_loss import divergences

    if not isinstance(world, HasLaw):
        return EvalLine(step=step, loss=clean(mean_loss(model, documents)))
    _, _, kl, entropy, loss = divergences(world, model, documents)
    losses = {"loss": loss, "bayes": entropy, "excess": kl}
    return EvalLine(step=step, **{name: clean(float(values.mean())) for name, values in losses.items()})


def mean_loss(model: SequenceModel, documents: Documents) -> float:
    """Mean -log p of what is asked for, for worlds without an exact law."""
    from worldbench.metrics.evaluation import chunks

    total, count = 0.0, 0
    for part in chunks(documents):
        targets = part.targets
        row, at = np.nonzero(targets >= 0)
        z = model.logits(part.inputs).astype(np.float64)[row, at]
        z -= z.max(axis=1, keepdims=True)
        total += float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(row)), targets[row, at]]).sum())
        count += len(row)
    return total / count


def of_run(
    path: Path, steps: list[int], digest: str | None, compute: Callable[[int], EvalLine], say: Callable[[str], None]
) -> list[EvalLine]:
    """The points at `steps` of a run that is trained to its end.

    path: its metrics.jsonl. digest: what its last weights say of the points in that file; None where an older version
    saved them. compute: the point at a step, from the weights kept. say: gets a sentence on what is computed again.
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
    """step 3; steps 3, 5."""
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"
