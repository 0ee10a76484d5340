"""Compares measurements of references and of damage with the statements of the metrics. Takes numbers and returns
verdicts.

`by_reference[metric][model][score]` is a value. `ladders[kind]` is a list of severities, the undamaged model first.
Each severity has a size and `values[metric][score]`, one value for each corruption. Value i belongs to corruption i
at every severity, so severities can be compared in pairs.
"""

from __future__ import annotations

import itertools
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from worldbench.core.metric import Metric
from worldbench.core.statistics import mean_interval
from worldbench.records.check import Verdict

EXACT = 1e-6
"""Tolerance for numbers that must be equal: the logits of references are float32."""

NONE: Mapping[str, str] = types.MappingProxyType({})
Values = dict[str, dict[str, list[float]]]


@dataclass
class Severity:
    """One size of damage: `values[metric][score]` holds one number for each corruption."""

    size: float
    values: Values = field(default_factory=dict)


def _number(value: float) -> str:
    return f"{value:.4g}"


def excepted(verdict: Verdict, exceptions: Mapping[str, str], score: str, subject: str) -> Verdict:
    """The verdict, not judged if the world says why the statement about this score does not hold there.

    exceptions: as `World.exceptions`. subject: what the statement is about: a reference model, a kind of damage, or
    "references".
    """
    reason = exceptions.get(f"{verdict.metric}.{score} {subject}")
    if reason is None:
        return verdict
    return Verdict(verdict.metric, verdict.statement, f"{verdict.measured}; not claimed here: {reason}", None)


def judge_references(
    metric: Metric, measured: dict[str, dict[str, float]], exceptions: Mapping[str, str] = NONE
) -> list[Verdict]:
    """Compares the `expects` of a metric with the scores of the references that were measured. Nothing is judged where
    a score is missing."""
    out = []
    for model, expectations in metric.expects.items():
        for e in expectations:
            if model not in measured:
                continue
            value = measured[model].get(e.score, math.nan)
            bounds = f"= {_number(e.low)}" if e.low == e.high else f"in {_number(e.low)} .. {_number(e.high)}"
            absent = "missing" if e.score in measured[model] else "not measured"
            outcome = absent if math.isnan(value) else _number(value)
            met = None if math.isnan(value) else e.met_by(value)
            verdict = Verdict(metric.name, f"{model} scores {e.score} {bounds}", outcome, met)
            out.append(excepted(verdict, exceptions, e.score, model))
    return out


def _worse(a: Sequence[float], b: Sequence[float], higher: bool) -> tuple[float, float]:
    """How much worse b is than a, paired: the ends of the t interval of the mean difference. Both ends are the mean
    itself for a single pair, or if all pairs have the same difference.

    Infinite values are kept. Two equal ones differ by 0. If some pairs differ infinitely, all in one direction, then so
    does the interval; with both directions, nothing is known. Missing values are the worst. If b has more of them than
    a, by at least half of the pairs, both ends are infinite; if a has, minus infinite. Otherwise the other pairs are
    compared.
    """
    lost = sum(map(math.isnan, b)) - sum(map(math.isnan, a))
    if 2 * abs(lost) >= len(a):
        end = math.copysign(math.inf, lost)
        return end, end
    known = [(x, y) for x, y in zip(a, b) if not math.isnan(x) and not math.isnan(y)]
    if not known:
        return 0.0, 0.0
    m = mean_interval([0.0 if x == y else x - y if higher else y - x for x, y in known])
    return (-math.inf, math.inf) if math.isnan(m.value) else m.interval or (m.value, m.value)


def _summary(values: Sequence[float]) -> str:
    """The mean of the values, and how many are missing."""
    if not values:
        return "none"
    known = [x for x in values if not math.isnan(x)]
    missing = f"({len(values) - len(known)} of {len(values)} missing)" if len(known) < len(values) else ""
    return " ".join(filter(None, [_number(sum(known) / len(known)) if known else "", missing]))


def judge_damage(
    metric: Metric, kind: str, ladder: list[Severity], exceptions: Mapping[str, str] = NONE
) -> list[Verdict]:
    """Compares the `damage` of a metric with one ladder, whose first severity is undamaged.

    "worse": at the largest severity, the paired t interval over corruptions lies entirely on the worse side of
    undamaged. At no severity does it lie entirely on the better side. monotone: at no severity does the interval
    against the previous severity lie entirely on the better side. "unchanged": every corruption of every severity
    has the undamaged score.

    A score that damage makes missing has been made worse: the metric sees that there is nothing left to measure. Where
    the undamaged model has no score, nothing can be judged.
    """
    out: list[Verdict] = []

    def add(score: str, statement: str, measured: str, holds: bool | None) -> None:
        out.append(excepted(Verdict(metric.name, statement, measured, holds), exceptions, score, kind))

    for d in metric.damage:
        effect = d.effect(kind)
        if effect == "any":
            continue
        if len(ladder) < 2 or not any(metric.name in r.values for r in ladder):
            continue
        severities = [r.values.get(metric.name, {}).get(d.score, []) for r in ladder]
        higher = d.direction == "higher"
        means = " ".join(map(_summary, severities))
        if not all(severities) or any(map(math.isnan, severities[0])):
            said = f"{kind} leaves {d.score} unchanged" if effect == "unchanged" else f"{kind} makes {d.score} worse"
            add(d.score, said, means, None)
            continue
        if effect == "unchanged":
            gaps = [0.0 if x == y else abs(x - y) for r in severities[1:] for x, y in zip(severities[0], r)]
            same = all(gap <= d.tolerance + EXACT for gap in gaps)  # False if a value is missing
            add(d.score, f"{kind} leaves {d.score} unchanged", means, same)
            continue
        low, _ = _worse(severities[0], severities[-1], higher)
        never_better = all(_worse(severities[0], r, higher)[1] >= -EXACT for r in severities[1:])
        add(d.score, f"{kind} makes {d.score} worse", means, low > 0 and never_better)
        if d.monotone:
            steps = all(_worse(a, b, higher)[1] >= -EXACT for a, b in itertools.pairwise(severities))
            add(d.score, f"more {kind}, worse {d.score}, severity by severity", means, steps)
    return out


def judge_sight(
    metric: Metric,
    measured: dict[str, dict[str, float]],
    ladders: dict[str, list[Severity]],
    exceptions: Mapping[str, str] = NONE,
) -> list[Verdict]:
    """A metric is blind if its primary score is the same for all references and damaged models."""
    if metric.direction == "none":
        return []
    values = [scores[metric.primary] for scores in measured.values() if metric.primary in scores]
    for ladder in ladders.values():
        for r in ladder:
            mine = r.values.get(metric.name, {}).get(metric.primary, [])
            values += [sum(known) / len(known)] if (known := [v for v in mine if not math.isnan(v)]) else []
    values = [v for v in values if not math.isnan(v)]
    if len(values) < 2:
        return []
    spread = 0.0 if max(values) == min(values) else max(values) - min(values)
    statement, measured_as = (
        f"{metric.primary} tells references apart",
        f"{_number(min(values))} .. {_number(max(values))}",
    )
    verdict = Verdict(metric.name, statement, measured_as, spread > 100 * EXACT)
    return [excepted(verdict, exceptions, metric.primary, "references")]


def judge_statements(metric: Metric) -> Verdict:
    """A metric states which damage makes a score worse, or, in `blind`, why none does: one of the two."""
    kinds = dict.fromkeys(kind for d in metric.damage for kind in d.worse)
    said = [*kinds, *(["blind"] if metric.blind else [])]
    statement = "says which damage makes it worse, or why none does"
    return Verdict(metric.name, statement, ", ".join(said) or "neither", bool(kinds) != bool(metric.blind))


def judge(
    metrics: Iterable[Metric],
    by_reference: dict[str, dict[str, dict[str, float]]],
    ladders: dict[str, list[Severity]],
    exceptions: Mapping[str, str] = NONE,
) -> list[Verdict]:
    """All verdicts, metric by metric. exceptions: `World.exceptions` of the world that was measured."""
    out: list[Verdict] = []
    for metric in metrics:
        measured = by_reference.get(metric.name, {})
        out.append(judge_statements(metric))
        out += judge_references(metric, measured, exceptions)
        for kind, ladder in ladders.items():
            out += judge_damage(metric, kind, ladder, exceptions)
        out += judge_sight(metric, measured, ladders, exceptions)
    return out
