"""Compares two models at equal excess loss: for each seed, the scores of both runs where they predict equally well.

The level of a seed is the lowest loss that both runs reach: the larger of their two smallest losses. The scores of a
run are taken where its loss first falls to the level, by linear interpolation in the log of the loss between that
checkpoint and the one before. A seed is not matched if one run is below the level already at its first checkpoint, or
if the loss of one run is infinite at every checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.records.finding import PATTERNS, find
from worldbench.records.parts import Real
from worldbench.records.reading import read
from worldbench.records.runs import Result, Trace
from worldbench.records.scores import Metric, Score, value_of

LEAST = 1e-12
"""Smaller losses are treated as equal to this one, because their logarithm is noise."""


@dataclass
class Matched:
    """Two models at equal loss. ours, theirs: seed -> result with the scores at that loss. column: the loss.

    levels, steps: seed -> the level, and the steps at which both runs reach it; None if the seed is not matched, and
    then all its scores are None.
    """

    ours: dict[int, Result]
    theirs: dict[int, Result]
    column: str
    levels: dict[int, float | None] = field(default_factory=dict)
    steps: dict[int, tuple[float | None, float | None]] = field(default_factory=dict)


def load_traces(
    paths: list[Path],
    wanted: Callable[[list[Result]], list[Result]],
    check: Callable[[list[Result | Trace]], object],
    say: Callable[[str], None] = lambda line: None,
) -> list[Trace]:
    """The traces among files and folders. Raises InputError naming the runs among `wanted` that have none.

    check: is called first, with every result and trace. say: is given a line for each file below a folder that could
    not be read and was left out.
    """
    found = find(paths, Result, Trace)
    results = [(path, record) for path, record in found.records if isinstance(record, Result)]
    traces = {path: record for path, record in found.records if isinstance(record, Trace)}
    left_out = {path for path, _ in found.left_out}
    for folder in sorted({path.parent for path, _ in results}):  # a result that is named has its traces beside it
        for path in sorted(folder.glob(PATTERNS["trace"])):
            if path not in traces and path not in left_out:
                traces[path] = read(path, Trace)
    check([*(record for _, record in results), *traces.values()])
    chosen = {id(r) for r in wanted([record for _, record in results])}
    traced = {(path.parent, trace.model.name) for path, trace in traces.items()}
    untraced = [(path, r) for path, r in results if id(r) in chosen and (path.parent, r.model.name) not in traced]
    without = sorted({str(path.parent) for path, _ in untraced})
    for line in found.messages():
        say(line)
    if without:
        runs = "runs have" if len(without) > 1 else "run has"
        reading = untraced[0][1].identity.reading
        first = f"first: worldbench trace {' '.join(without)}" + (f" --as {reading}" if reading else "")
        raise InputError(f"{len(without)} {runs} no trace to compare during training; {first}")
    return [traces[path] for path in sorted(traces)]


def at_matched_loss(ours: dict[int, Trace], theirs: dict[int, Trace], column: str) -> Matched:
    """Results by seed at the loss `column` that both runs of a seed reach; a seed that only one has stays as it is."""
    a_runs, b_runs = ({seed: r.at(r.scores) for seed, r in runs.items()} for runs in (ours, theirs))
    out = Matched(a_runs, b_runs, column)
    for seed in ours.keys() & theirs.keys():
        a, b = losses(ours[seed], column), losses(theirs[seed], column)
        level = max(min(a), min(b))
        places = (crossing(a, level), crossing(b, level))
        both = None not in places
        out.ours[seed], first = scores_at(ours[seed], places[0] if both else None)
        out.theirs[seed], second = scores_at(theirs[seed], places[1] if both else None)
        out.levels[seed], out.steps[seed] = level if both else None, (first, second)
    return out


def losses(record: Trace, column: str) -> list[float]:
    """The loss at each checkpoint. Raises InputError for a score that is not a loss, and where a value is missing."""
    name, _, score = column.partition(".")
    if name not in record.scores or record.scores[name].direction != "lower":
        raise no_loss(column)
    values: list[float] = []
    for point in record.trace:
        value = point.scores[name].value(score)
        if value is None:
            raise InputError(f"{record.command}: its trace lacks {column} at step {point.step}")
        values.append(max(value, LEAST))
    return values


def no_loss(column: str) -> InputError:
    """The error for a score that is not a loss."""
    example = "for which lower is better, such as excess_loss.kl"
    return InputError(f"comparison is matched on a loss, {example}, not on {column!r}")


def crossing(loss: list[float], level: float) -> tuple[int, float] | None:
    """(i, w): the level is first reached between checkpoints i - 1 and i.

    There the log of the loss is (1 - w) times the log at i - 1 plus w times the log at i. None: the level is infinite
    or never reached, or the first checkpoint is below it already.
    """
    if math.isinf(level):
        return None
    i = next((k for k, x in enumerate(loss) if x <= level), None)
    if i is None or (i == 0 and loss[0] < level):
        return None
    if loss[i] == level or math.isinf(loss[i - 1]):
        return i, 1.0
    return i, math.log(loss[i - 1] / level) / math.log(loss[i - 1] / loss[i])


def scores_at(record: Trace, place: tuple[int, float] | None) -> tuple[Result, float | None]:
    """The scores at a place between two checkpoints, without intervals, and the step; no values for no place."""
    points = record.trace
    if place is None:
        scores = {name: _scored(m, dict.fromkeys(m.scores), m) for name, m in points[0].scores.items()}
        return record.at(scores), None
    before, after, weight = points[max(place[0] - 1, 0)], points[place[0]], place[1]

    def between(x: float | None, y: float | None) -> float | None:
        if y is None or weight == 1:
            return y
        mean = math.nan if x is None else (1 - weight) * x + weight * y
        return None if math.isnan(mean) else mean  # also between infinities of both signs

    scores = {}
    for name, metric in after.scores.items():
        values = {k: between(value_of(before.scores, f"{name}.{k}"), s.value) for k, s in metric.scores.items()}
        scores[name] = _scored(metric, values, before.scores[name])
    return record.at(scores), between(float(before.step), float(after.step))


def _scored(metric: Metric, values: dict[str, Real | None], before: Metric) -> Metric:
    """The metric with other values, each with the fewer of its trials at the two checkpoints."""
    trials = {k: min(s.n, before.scores[k].n if k in before.scores else 0) for k, s in metric.scores.items()}
    scores = {k: Score(value=value, n=trials[k], interval=None) for k, value in values.items()}
    return Metric(
        version=metric.version,
        direction=metric.direction,
        primary=metric.primary,
        scores=scores,
        series={},
        notes=[],
        beside=metric.beside,
    )
