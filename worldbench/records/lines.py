"""The lines of `metrics.jsonl`: training losses, and the held-out loss at the steps whose weights are kept."""

from __future__ import annotations

from worldbench.records.parts import Count, Part, Real, Values


class TrainLine(Part, frozen=True, kw_only=True, tag_field="kind", tag="train"):
    """loss: by term, in nats a token."""

    step: Count
    loss: Values
    learning_rate: Real


class EvalLine(Part, frozen=True, kw_only=True, tag_field="kind", tag="eval"):
    """Held-out loss in nats a token; bayes: of the exact distribution on the same documents; excess: by how much the
    model's is larger.
    """

    step: Count
    loss: Real | None
    bayes: Real | None = None
    excess: Real | None = None


Line = TrainLine | EvalLine
