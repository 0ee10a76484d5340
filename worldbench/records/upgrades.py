"""Upgrades of files from each schema to the next one. Files of every schema that was ever published can be read.

A step gets the parsed file before anything in it is checked. It leaves values of an unexpected shape as they are; the
types of the records refuse them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worldbench.records.new_names import with_new_names

VERSION = 4
"""The schema of all files that are written. A change of a published form raises it, and adds a step to STEPS."""


def upgraded(kind: str, content: dict[str, Any], version: int) -> dict[str, Any]:
    """The content of a file of schema `version`, in the present schema."""
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
    if kind == "trace":
        content["trace"] = _points(content.get("trace"), _metric_from_1)
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
    """Schema 2 had other names for some options and scores, and for a severity. It held the scores of the references in
    every result; since then a result names the references, and their own results are read. A model that reads another
    model's weights was a run with a training identity of its own.
    """
    content = with_new_names(kind, content)
    if kind == "result":
        content["scores"] = _each(content.get("scores"), _metric_from_2)
    if kind == "trace":
        content["trace"] = _points(content.get("trace"), _metric_from_2)
    if kind in ("result", "trace", "decode"):
        content = _reading_from_2(content)
    if kind == "check" and "rungs" in content:
        content["severities"] = content.pop("rungs")
    return content


def _from_3(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """Schema 3 did not say over what an interval is, why a score is missing, and which scores are printed beside the
    primary score. Only the last of these is known.
    """
    if kind == "result":
        content["scores"] = _beside_from_3(content.get("scores"))
    if kind == "trace" and isinstance(points := content.get("trace"), list):
        content["trace"] = [
            p | {"scores": _beside_from_3(p.get("scores"))} if isinstance(p, dict) else p for p in points
        ]
    return content


def _beside_from_3(scores: Any) -> Any:
    """The metrics, with what is printed beside the precision of a map."""
    metric = scores.get("map_reconstruction") if isinstance(scores, dict) else None
    if not (isinstance(metric, dict) and isinstance(found := metric.get("scores"), dict) and "failed_routes" in found):
        return scores
    return scores | {"map_reconstruction": metric | {"beside": ["failed_routes"]}}


def _metric_from_2(metric: dict[str, Any]) -> dict[str, Any]:
    recorded = {}
    for bound in ("floor", "ceiling"):
        old = metric.get(bound)
        if isinstance(old, dict) and isinstance(old.get("model"), str):
            metric = metric | {bound: old["model"]}
            recorded[old["model"]] = old.get("scores")
    return metric | {"bounds_as_recorded": recorded} if recorded else metric


def _reading_from_2(content: dict[str, Any]) -> dict[str, Any]:
    model, identity = content.get("model"), content.get("identity")
    if not (isinstance(model, dict) and isinstance(lender := model.get("weights_of"), dict)):
        return content
    model = {name: value for name, value in model.items() if name != "weights_of"}
    if isinstance(identity, dict):
        content["identity"] = identity | {"training": lender.get("training"), "reading": model.get("name")}
    return content | {"model": model | {"reads": lender.get("name")}}


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


def _points(points: Any, step: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A step taken on every metric of every point of a trace."""
    if not isinstance(points, list):
        return points
    return [p | {"scores": _each(p.get("scores"), step)} if isinstance(p, dict) else p for p in points]


def _each(values: Any, step: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """An object with `step` applied to each of its objects."""
    if not isinstance(values, dict):
        return values
    return {name: step(value) if isinstance(value, dict) else value for name, value in values.items()}


STEPS: dict[int, Callable[[str, dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""Schema -> the step from that schema to the next one."""
