"""The names of schema 3 in a file of schema 2: what was renamed of options, scores and columns
(`worldbench.settings.renamed`).

What does not have the expected shape is left alone, as in every upgrade.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from worldbench.settings.renamed import COLUMNS, OPTIONS, SCORES

COMMANDS = ("command", "trace_command", "decode_command")
_OPTION = re.compile(rf"--({'|'.join(map(re.escape, OPTIONS))})(?=[=\s]|$)")
_SCORE = re.compile(rf"\b({'|'.join(sorted(SCORES, key=len, reverse=True))})\b")


def with_new_names(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """The content of a file of schema 2, with the present names of options and scores."""
    content = dict(content)
    _change(content, _groups, "config", "groups", "training")
    _change(content, _given, "given")
    _change(content, _command, *COMMANDS)
    _change(content, lambda tuning: _changed(tuning, _score_text, "criterion"), "tuning")
    if kind in ("result", "trace"):
        _change(content, _metrics, "scores")
        _change(content, lambda points: _list(points, lambda point: _changed(point, _metrics, "scores")), "trace")
    elif kind == "trial":
        content = _trial_run(content)
    elif kind == "tuning":
        _change(content, _given, "space")
        _change(content, lambda best: _changed(best, _given, "settings"), "best")
        _change(content, lambda criterion: _changed(criterion, _score_text, "score"), "criterion")
        _change(content, lambda trials: _list(trials, _trial), "trials")
    elif kind == "check":
        content = _check(content)
    elif kind == "bench":
        _change(content, lambda models: _list(models, _cost), "models")
    return content


def _groups(groups: Any) -> Any:
    """Option group -> option -> value. Entries that are no groups stay as they are."""

    def options(group: str, values: Any) -> Any:
        new = {old: now for old, now in OPTIONS.items() if old.startswith(f"{group}.")}
        return _keys(values, {old.partition(".")[2]: now.partition(".")[2] for old, now in new.items()})

    return {group: options(group, values) for group, values in groups.items()} if isinstance(groups, dict) else groups


def _given(options: Any) -> Any:
    """`group.option` -> value."""
    return _keys(options, OPTIONS)


def _command(text: Any) -> Any:
    return _OPTION.sub(lambda found: f"--{OPTIONS[found[1]]}", text) if isinstance(text, str) else text


def _score_text(text: Any) -> Any:
    """A sentence or a name that scores stand in."""
    return _SCORE.sub(lambda found: SCORES[found[1]], text) if isinstance(text, str) else text


def _scores(scores: Any) -> Any:
    """Score -> anything."""
    return _keys(scores, SCORES)


def _metrics(metrics: Any) -> Any:
    """Metric -> its scores and those of its bounds."""

    def metric(values: Any) -> Any:
        values = _changed(values, _scores, "scores")
        values = _changed(values, _score_text, "primary")
        values = _changed(values, lambda bound: _changed(bound, _scores, "scores"), "floor", "ceiling")
        values = _changed(values, lambda series: _values(series, lambda columns: _keys(columns, COLUMNS)), "series")
        return _changed(values, lambda notes: _list(notes, _score_text), "notes")

    return _values(metrics, metric)


def _trial(trial: Any) -> Any:
    trial = _changed(trial, _given, "settings")
    return _changed(trial, lambda runs: _list(runs, _trial_run), "runs")


def _trial_run(run: Any) -> Any:
    return _changed(run, _scores, "scores")


def _check(content: dict[str, Any]) -> dict[str, Any]:
    def severity(values: Any) -> Any:
        return _changed(values, lambda metrics: _values(metrics, _scores), "values")

    _change(content, lambda metrics: _values(metrics, lambda m: _changed(m, _score_text, "primary")), "metrics")
    _change(content, lambda metrics: _values(metrics, lambda models: _values(models, _scores)), "references")
    _change(content, lambda ladders: _values(ladders, lambda ladder: _list(ladder, severity)), "ladders")
    _change(content, lambda verdicts: _list(verdicts, lambda v: _changed(v, _score_text, "statement")), "verdicts")
    return content


def _cost(model: Any) -> Any:
    model = _changed(model, lambda options: _groups({"model": options})["model"], "options")
    return _changed(model, lambda seconds: _keys(seconds, {"optimiser": "optimizer"}), "seconds")


def _change(content: dict[str, Any], step: Callable[[Any], Any], *keys: str) -> None:
    """Take a step on some values of an object, in place."""
    for key in keys:
        if key in content:
            content[key] = step(content[key])


def _changed(value: Any, step: Callable[[Any], Any], *keys: str) -> Any:
    """The same on a copy of what may be no object."""
    if not isinstance(value, dict):
        return value
    _change(copy := dict(value), step, *keys)
    return copy


def _values(value: Any, step: Callable[[Any], Any]) -> Any:
    return {name: step(child) for name, child in value.items()} if isinstance(value, dict) else value


def _list(value: Any, step: Callable[[Any], Any]) -> Any:
    return [step(child) for child in value] if isinstance(value, list) else value


def _keys(value: Any, names: dict[str, str]) -> Any:
    """An object with other names for some keys. The order stays."""
    return {names.get(key, key): child for key, child in value.items()} if isinstance(value, dict) else value
