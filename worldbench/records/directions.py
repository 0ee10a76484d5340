"""Which way a score is better."""

from __future__ import annotations

from worldbench.core.errors import InputError
from worldbench.core.metric import Direction
from worldbench.core.registry import metrics
from worldbench.records.scores import Metric


def direction_of(column: str, metric: Metric) -> Direction:
    """The better direction of `metric.score`. A record states the direction of the primary score alone. The direction
    of another score is what the registered metric states; "none" if the metric is of a plugin that is not loaded.
    """
    name, _, score = column.partition(".")
    if score == metric.primary:
        return metric.direction
    try:
        return metrics[name].load().direction_of(score)
    except InputError:
        return "none"
