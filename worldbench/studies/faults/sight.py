"""Which metrics tell which wrong models from the exact model, and the table that says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from worldbench.core import tables
from worldbench.core.errors import RunError
from worldbench.core.statistics import equal_differences, holm, paired_t
from worldbench.records.faults import EXACT, Faults

Sight = Literal["worse", "better", "other", "same", "missing"]
"""A wrong model against the exact one: significantly worse, better, or other (where neither direction is better); not
told apart; without a score under some seed, while the exact model has one."""
SIGNS: dict[Sight, str] = {"worse": "−", "better": "+", "other": "≠", "same": "=", "missing": "none"}
WORDS: dict[Sight, str] = {
    "worse": "worse", "better": "better", "other": "different", "same": "not told apart", "missing": "(no score)",
}  # fmt: skip
LEVEL = 0.05
SAME = 1e-6
"""Scores that differ by at most this under every seed are the same: logits are float32, and the models mix in 1e-6."""


def sights(record: Faults) -> dict[str, dict[str, Sight]]:
    """{fault: {metric: what the primary score says}} where both models have the metric. The differences are tested in
    pairs over the seeds (paired t), with Holm's correction over all cells. No test is needed where a score differs by
    the same amount under every seed, such as 1 and 0, or infinitely: nothing is trained here, and a seed only draws the
    prompts."""
    out: dict[str, dict[str, Sight]] = {fault: {} for fault in record.faults}
    tests: list[tuple[str, str, float, float]] = []  # fault, metric, mean difference, p
    for fault in record.faults:
        for metric, values in record.scores[fault].items():
            exact = record.scores[EXACT].get(metric)
            if exact is None or any(value is None for value in exact):
                continue
            if any(value is None for value in values):
                out[fault][metric] = "missing"
                continue
            a, b = [float(v) for v in values if v is not None], [float(v) for v in exact if v is not None]
            if all(x == y or abs(x - y) <= SAME for x, y in zip(a, b)):
                out[fault][metric] = "same"
            elif all(map(math.isfinite, (*a, *b))):
                test = paired_t(a, b)
                tests.append((fault, metric, test.difference, 0.0 if equal_differences(a, b) else test.p))
            else:  # infinite under some seed: told apart if on one side under all seeds
                apart = {math.copysign(1, x - y) for x, y in zip(a, b) if x != y and not math.isnan(x - y)}
                whole = len(apart) == 1 and all(x != y for x, y in zip(a, b))
                tests.append((fault, metric, next(iter(apart), 0.0), 0.0 if whole else 1.0))
    for (fault, metric, difference, _), p in zip(tests, holm([test[3] for test in tests])):
        out[fault][metric] = _side(difference, record.metrics[metric].direction) if p < LEVEL else "same"
    return out


def _side(difference: float, direction: str) -> Sight:
    if direction == "none":
        return "other"
    return "better" if (difference > 0) == (direction == "higher") else "worse"


def told_apart(record: Faults) -> dict[str, list[str]]:
    """{fault: the metrics whose primary score tells it from the exact model}."""
    return {
        fault: [metric for metric, sight in seen.items() if sight in ("worse", "better", "other")]
        for fault, seen in sights(record).items()
    }


def rows(record: Faults) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table: a row for the exact model and for each wrong one, a column for each metric
    that some model has; the last row counts the wrong models that a metric tells apart."""
    seen = sights(record)
    columns = [m for m in record.metrics if any(m in scores for scores in record.scores.values())]
    body: list[list[str]] = []
    for model in (EXACT, *record.faults):
        cells = []
        for metric in columns:
            values = record.scores[model].get(metric)
            sign = "" if model == EXACT or metric not in seen[model] else SIGNS[seen[model][metric]] + " "
            cells.append("" if values is None else f"{sign}{_mean(values)}".strip())
        body.append([model, *cells])
    apart = told_apart(record)
    counts = []
    for metric in columns:
        tried = [fault for fault in seen if metric in seen[fault]]
        counts.append(f"{sum(metric in apart[fault] for fault in tried)} of {len(tried)}" if tried else "")
    body.append(["told apart", *counts])
    return ["model", *(f"{m}.{record.metrics[m].primary}" for m in columns)], body


def _mean(values: Sequence[float | None]) -> str:
    known = [float(value) for value in values if value is not None]
    if len(known) < len(values):
        return ""
    mean = sum(known) / len(known)
    return f"{mean:.3f}" if math.isfinite(mean) else str(mean)


def markdown(record: Faults) -> str:
    """For a page: the table, and below it what each model gets wrong."""
    head, body = rows(record)
    table = tables.markdown(head, body, right=range(1, len(head)))
    return "\n\n".join([table, tables.markdown(["model", "what is wrong"], list(record.faults.items()))])


def show(record: Faults) -> None:
    """Prints the table, and what each model gets wrong."""
    head, body = rows(record)
    title = f"wrong models in {record.world['world']}: mean over {len(record.seeds)} evaluation seeds"
    print(tables.terminal(head, body, 1, title=title))
    found = {sight for seen in sights(record).values() for sight in seen.values()}
    print(tables.note("compared with the oracle: " + ", ".join(f"{SIGNS[s]} {WORDS[s]}" for s in SIGNS if s in found)))
    for fault, line in record.faults.items():
        print(tables.note(f"{fault}: {line}"))


def require(record: Faults, folder: Any) -> None:
    """Raises RunError if no metric tells a wrong model from the exact one."""
    unseen = [fault for fault, by in told_apart(record).items() if not by]
    if unseen:
        raise RunError(
            f"no metric tells {', '.join(unseen)} from the exact model; {folder / 'faults.json'} has the scores"
        )
