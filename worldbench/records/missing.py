"""Why results lack a score."""

from __future__ import annotations

from collections.abc import Sequence

from worldbench.core.text import counted
from worldbench.records.runs import Result
from worldbench.records.scores import NO_REASON, Score


def score_of(record: Result, column: str) -> Score | None:
    """The score that a column names; None if the result does not have it."""
    name, _, score = column.partition(".")
    return record.scores[name].scores.get(score) if name in record.scores else None


def why(records: Sequence[Result], column: str) -> str:
    """Why results of one model have no value for `metric.score`: the reason of the first one without a value, and in
    how many seeds the value is missing if it is not missing in all. "" if every result has a value.
    """
    name, _, score = column.partition(".")
    without = [r for r in records if (s := score_of(r, column)) is None or s.value is None]
    if not without:
        return ""
    first = without[0]
    if name in first.not_applicable:
        reason = first.not_applicable[name]
    elif name not in first.scores:
        reason = f"the evaluation did not include {name}"
    elif (found := score_of(first, column)) is None:
        reason = f"{name} has no score {score} here"
    else:
        reason = found.reason or NO_REASON
    reason = reason.replace(f"the model {first.model.name!r}", "the model")  # one reason for several models
    share = f"{len(without)} of {counted(len(records), 'seed')}"
    return reason if len(without) == len(records) else f"{reason} (in {share})"
