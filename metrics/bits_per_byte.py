"""Bits per byte: how well a model predicts text, whatever its tokens are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.abilities import Able, HasBytes
from worldbench.core.metric import Direction, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.world import Documents
from worldbench.metrics.evaluation import Evaluation, chunks

CELLS = 1 << 21
"""Log probabilities computed together, to limit memory."""
COPIES = 8
"""Arrays of logits of one chunk that memory is kept for: the model's own, and copies in double precision."""


def predicted(world: Able, model: SequenceModel, documents: Documents) -> dict[str, np.ndarray]:
    """Sums over the predicted tokens of each document, float64 [N] each: `bits` (-log2 of their probability), `bytes`,
    `tokens`, and `right` (where the token is the likeliest one)."""
    size, parts = world.token_bytes(), []
    for part in chunks(documents, COPIES * len(world.vocabulary)):
        row, t = np.nonzero(part.targets >= 0)
        target = part.targets[row, t].astype(np.int64)
        logits, bits, right = model.logits(part.inputs), np.empty(len(row)), np.empty(len(row), bool)
        for low in range(0, len(row), step := max(1, CELLS // logits.shape[2])):
            here = slice(low, low + step)
            z, asked = logits[row[here], t[here]].astype(np.float64), target[here]
            at, top = np.arange(len(z)), z.argmax(axis=1)
            z -= z[at, top][:, None]
            own = z[at, asked]
            bits[here] = (np.log(np.exp(z, out=z).sum(axis=1)) - own) / np.log(2)
            right[here] = top == asked
        per_token = {"bits": bits, "bytes": size[target], "tokens": np.ones(len(row)), "right": right}
        parts.append({name: np.bincount(row, x, minlength=len(part)) for name, x in per_token.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class BitsPerByte(Metric):
    """-log2 of the probability of the predicted tokens of held-out documents, divided by the bytes of these tokens.

    Models with different tokens can be compared: they predict the same bytes. `accuracy`: the share of tokens that are
    the likeliest ones. `loss`: nats per token. `of_uniform`: the bits as a share of those of a model that gives every
    word of the vocabulary the same probability. `bytes_per_token`: of the predicted tokens.

    Sees: how good the prediction is. Cannot see: how good it could be, because the law of text is not known; nor
    whether the model knows what the text is about.
    """

    name, version, direction = "bits_per_byte", 1, "lower"
    primary = "bits"
    beside = ("accuracy",)
    directions: ClassVar[dict[str, Direction]] = {"accuracy": "higher", "loss": "lower", "of_uniform": "lower"}
    needs = (HasBytes,)
    floor, ceiling = "uniform", None
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "uniform": (Expectation("of_uniform", 1 - 1e-6, 1 + 1e-6), Expectation("bits", 0.5, 17)),
        "untrained": (Expectation("of_uniform", 0.9, 2),),
        "ngram": (Expectation("of_uniform", 0, 0.8), Expectation("accuracy", 0.1, 1)),
    }
    blind = "the law of text is not known, so there is no exact model that could be damaged"

    def measure(self, evaluation: Evaluation) -> Report:
        world = evaluation.world
        sums = predicted(world, evaluation.model, evaluation.documents)
        flat = sums["tokens"] * np.log2(len(world.vocabulary))
        return Report(
            {
                "bits": Score.ratio(sums["bits"], sums["bytes"]),
                "accuracy": Score.share(sums["right"], sums["tokens"], "documents"),
                "loss": Score.ratio(sums["bits"] * np.log(2), sums["tokens"]),
                "of_uniform": Score.ratio(sums["bits"], flat),
                "bytes_per_token": Score.ratio(sums["bytes"], sums["tokens"]),
            },
            arrays={f"{name}_sum": x for name, x in sums.items()},
        )


METRIC = BitsPerByte()
