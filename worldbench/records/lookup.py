"""Tables of the last k tokens, as `belief_probe` records them: what a memory of recent tokens knows of the belief, and
at what loss."""

from __future__ import annotations

from typing import Any

from worldbench.records.scores import Metric

SERIES = "lookup"
FIRST_VERSION = 3
"""The first version of `belief_probe` whose tables leave out the prefix that they predict. Earlier tables contain the
prefix itself, so a long one knows every belief."""


def tables(metric: Metric, world: dict[str, Any], score: str = "r2") -> list[tuple[float, float, float]]:
    """(k, excess loss in nats per predicted token, score) of each table. No rows if the tables contain the prefix that
    they predict.

    The excess loss is over the same predictions as `excess_loss.kl`: the first token is among them, which every table
    predicts exactly. Older records leave the first token out (column `excess`). Their documents have one length, which
    the identity of the world holds.
    """
    if metric.version < FIRST_VERSION:
        return []
    if rows := metric.curve(SERIES, "k", "kl", score):
        return [(k, kl, value) for k, kl, value in rows]
    length = world.get("length")
    share = 1 - 1 / length if isinstance(length, int) and length > 0 else 1.0
    return [(k, share * excess, value) for k, excess, value in metric.curve(SERIES, "k", "excess", score)]
