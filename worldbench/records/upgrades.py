"""From each older schema to the next one: what a file of that schema held, as the next one holds it. Files of every
schema load for ever.

A step takes the file as it was parsed, with nothing checked yet, and leaves alone what does not have the shape that it
expects: the types refuse it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worldbench.records.new_names import with_new_names

VERSION = 3
"""The schema of all files that are written. It goes up when a published form changes, and a step is added to STEPS."""


def upgraded(kind: str, content: dict[str, Any], version: int) -> dict[str, Any]:
    """The content of a file of schema `version` in the present one."""
    for before in range(version, VERSION):
        content = STEPS[before](kind, content)
    return content


def _from_1(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 did not say its kind. A bound was {model, score: value, ..}; an interval without numbers was [null,
    null]; a plugin was its path.
    """
    content = dict(content)
    if kind == "result":
        content["scores"] = _each(content.get("scores"), _metric_from_1)
    if kind == "trace" and isinstance(content.get("trace"), list):
        content["trace"] = [
            point | {"scores": _each(point.get("scores"), _metric_from_1)} if isinstance(point, dict) else point
            for point in content["trace"]
        ]
    if kind == "reconstruction":
        content["version"] = content.pop("reconstruction", None)
        content["scores"] = _each(content.get("scores"), _score_from_1)
        if isinstance(routes := content.get("routes"), dict):
            content["routes"] = {"past_end": 0, "naming_places": 0, "skipped": 0, **routes}
    if kind == "config" and isinstance(content.get("plugins"), list):
        content["plugins"] = [
            {"path": plugin, "sha256": None, "registers": []} if isinstance(plugin, str) else plugin
            for plugin in content["plugins"]
        ]
    return content


def _from_2(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 had other names for some options and scores."""
    return with_new_names(kind, content)


def _metric_from_1(metric: dict[str, Any]) -> dict[str, Any]:
    metric = metric | {"scores": _each(metric.get("scores"), _score_from_1)}
    for bound in ("floor", "ceiling"):
        if isinstance(old := metric.get(bound), dict):
            metric[bound] = {
                "model": old.get("model"),
                "scores": {name: value for name, value in old.items() if name != "model"},
            }
    return metric


def _score_from_1(score: dict[str, Any]) -> dict[str, Any]:
    return score | {"interval": None} if score.get("interval") == [None, None] else score


def _each(values: Any, step: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A step taken on every object of an object."""
    if not isinstance(values, dict):
        return values
    return {name: step(value) if isinstance(value, dict) else value for name, value in values.items()}


STEPS: dict[int, Callable[[str, dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}
"""By the schema that a step starts from."""
