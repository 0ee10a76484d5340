"""What a metric states about its scores: which way a score is better, which scores do not depend on the trained
weights, and which are outcomes of whole runs.

Of a metric of a plugin that is not loaded, only what its records state is known.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from worldbench.core.metric import Direction
from worldbench.core.metric import Metric as Registered
from worldbench.core.registry import metrics
from worldbench.records.scores import Metric


def _registered(name: str) -> Registered | None:
    entry = metrics.find(name)
    return None if entry is None else entry.load()


def direction_of(column: str, metric: Metric) -> Direction:
    """The better direction of `metric.score`. A record states the direction of the primary score alone. The direction
    of another score is what the registered metric states; "none" if the metric is of a plugin that is not loaded.
    """
    name, _, score = column.partition(".")
    if score == metric.primary:
        return metric.direction
    found = _registered(name)
    return "none" if found is None else found.direction_of(score)


def same_for_all(column: str) -> bool:
    """Whether the score does not depend on the trained weights: the chance level, an untrained network .."""
    return _fits(column, "same_for_all")


def is_outcome(column: str) -> bool:
    """Whether the score is 0 or 1 for a whole run, such as "the run solved the task"."""
    return _fits(column, "outcomes")


def _fits(column: str, attribute: str) -> bool:
    name, _, score = column.partition(".")
    found = _registered(name)
    return found is not None and any(fnmatchcase(score, pattern) for pattern in getattr(found, attribute))
