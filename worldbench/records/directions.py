"""Which way a score is better."""

from __future__ import annotations

from worldbench.core.errors import InputError
from worldbench.core.metric import Direction
from worldbench.core.registry import metrics
from worldbench.records.scores import Metric


def direction_of(column: str, metric: Metric) -> Direction:
    """The better direction of `metric.score`. A record states the direction of the primary score alone. The direction
    of another score is what the registered metric states of damage to that score, else "none".
    """
    name, _, score = column.partition(".")
    if score == metric.primary:
        return metric.direction
    try:
        stated = metrics[name].load().damage
    except InputError:  # of a plugin that is not loaded
        return "none"
    return next((d.direction for d in stated if d.score == score), "none")
