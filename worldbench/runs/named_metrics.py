"""The metrics that a user names, checked against the world before any work is done; and those that a world can have."""

from __future__ import annotations

from collections.abc import Sequence

from worldbench.core.abilities import without_methods
from worldbench.core.errors import InputError
from worldbench.core.metric import Metric
from worldbench.core.registry import metrics
from worldbench.core.world import World


def fitting(kind: type[World]) -> list[str]:
    """The registered metrics that some world of a class can have. No world is made: its map may be in no file yet."""

    def fits(metric: Metric) -> bool:
        asks = metric.serves_labels or not kind.labelled
        return asks and not any(without_methods(kind, need) for need in metric.needs)

    return [entry.name for entry in metrics if fits(entry.load())]


def unfit(world: World, names: Sequence[str]) -> dict[str, str]:
    """The named metrics that say nothing about any model in a world, and why.

    Raises InputError if names are given and all of them are such.
    """
    reasons = {name: reason for name in names if (reason := metrics[name].load().not_in(world)) is not None}
    if names and len(reasons) == len(names):
        raise InputError(
            f"eval.metrics names nothing that can be measured in the world {world.name!r} ({_listed(reasons)}); name "
            f"another metric, or leave eval.metrics out"
        )
    return reasons


def require_fit(world: World, names: Sequence[str]) -> None:
    """Raises InputError for a named metric that says nothing about any model in a world."""
    if reasons := unfit(world, names):
        raise InputError(f"eval.metrics: in the world {world.name!r}, {_listed(reasons)}; leave this out")


def _listed(reasons: dict[str, str]) -> str:
    return "; ".join(f"{name} does not apply: {reason}" for name, reason in reasons.items())
