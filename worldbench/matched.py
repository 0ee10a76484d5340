"""Two runs of one seed at one excess loss: what each knows when it predicts equally well.

The level of a seed is the larger of the two runs' least losses: the lowest that both reach. Each run is read off where it first comes down to the level: scores
are interpolated linearly in the log of the loss between that checkpoint and the one before it. A run that is below the level from its first checkpoint on was
never seen at it: that seed is not matched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldbench import leaderboard
from worldbench.core.errors import InputError
from worldbench.result import find_records, is_trace, load_result, load_trace

LEAST = 1e-12
"""Losses below this are not told apart: their logarithm would be noise."""

Record = dict[str, Any]


def load_traces(paths: list[Path], wanted: Callable[[list[Record]], list[Record]]) -> list[Record]:
    """The traces among files and folders. Raises InputError naming the runs among `wanted` that have none."""
    files = find_records(paths)
    results = [(path, load_result(path)) for path in files if not is_trace(path)]
    chosen = {id(r) for r in wanted([record for _, record in results])}
    beside = {trace for path, _ in results for trace in path.parent.glob("trace*.json")}
    traces = sorted({*(path for path in files if is_trace(path)), *beside})
    traced = {path.parent for path in traces}
    without = sorted({str(path.parent) for path, record in results if id(record) in chosen and path.parent not in traced})
    if without:
        told = "runs have" if len(without) > 1 else "run has"
        raise InputError(f"{len(without)} {told} no trace to match losses on; first: worldbench trace {' '.join(without)}")
    return [load_trace(path) for path in traces]


def at_matched_loss(ours: dict[int, Record], theirs: dict[int, Record], column: str) -> tuple[dict[int, Record], dict[int, Record]]:
    """Records by seed, as they stand at the loss `column` that both runs of a seed reach; seeds that only one has stay as they are.

    Each gets `matched`: {column, level, step}, with None where the seed is not matched, and all scores None then.
    """
    a, b = dict(ours), dict(theirs)
    for seed in ours.keys() & theirs.keys():
        level = max(min(losses(ours[seed], column)), min(losses(theirs[seed], column)))
        places = [crossing(losses(r, column), level) for r in (ours[seed], theirs[seed])]
        for out, record, place in ((a, ours[seed], places[0]), (b, theirs[seed], places[1])):
            out[seed] = _at(record, None if None in places else place, column, level)
    return a, b


def losses(record: Record, column: str) -> list[float]:
    """The loss at each checkpoint. Raises InputError for a score that is not a loss."""
    name, _, score = column.partition(".")
    if record["scores"].get(name, {}).get("direction") != "lower":
        raise InputError(f"comparison is matched on a loss, for which lower is better, such as excess_loss.kl, not on {column!r}")
    values = [point["scores"][name]["scores"][score]["value"] for point in record["trace"]]
    if any(v is None for v in values):
        raise InputError(f"{record['command']}: its trace lacks {column} at step {record['trace'][values.index(None)]['step']}")
    return [max(v, LEAST) for v in values]


def crossing(loss: list[float], level: float) -> tuple[int, float] | None:
    """(i, w): the level is first reached between checkpoints i - 1 and i, where the log of the loss is (1 - w) that of i - 1 plus w that of i.

    None: it is never reached, or the first checkpoint is below it already.
    """
    i = next((k for k, x in enumerate(loss) if x <= level), None)
    if i is None or (i == 0 and loss[0] < level):
        return None
    if loss[i] == level:
        return i, 1.0
    return i, math.log(loss[i - 1] / level) / math.log(loss[i - 1] / loss[i])


def _at(record: Record, place: tuple[int, float] | None, column: str, level: float) -> Record:
    """The record with its scores as they are at a place between two checkpoints; without intervals."""
    points = record["trace"]
    if place is None:
        before = after = points[0]
        weight = math.nan
    else:
        before, after, weight = points[max(place[0] - 1, 0)], points[place[0]], place[1]

    def between(x: float | None, y: float | None) -> float | None:
        if place is None or y is None:
            return None
        return y if weight == 1 else None if x is None else (1 - weight) * x + weight * y

    scores = {}
    for name, metric in after["scores"].items():
        old = before["scores"][name]["scores"]
        both = {k: (old.get(k, {"value": None, "n": 0}), s) for k, s in metric["scores"].items()}
        values = {k: {"value": between(x["value"], y["value"]), "n": min(x["n"], y["n"]), "interval": None} for k, (x, y) in both.items()}
        scores[name] = {**metric, "scores": values}
    step = between(float(before["step"]), float(after["step"]))
    return {**record, "scores": scores, "matched": {"column": column, "level": None if place is None else level, "step": step}}


def resolve(records: list[Record], column: str) -> str:
    """`metric.score` for the loss that was asked for."""
    return leaderboard.whole_name(records, column)
