"""Scores one model in one world with every metric that applies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worldbench.core.arrays import npz
from worldbench.core.eval_config import CommonOptions
from worldbench.core.files import write_atomic
from worldbench.core.metric import Metric, Report
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics
from worldbench.core.world import World
from worldbench.metrics.evaluation import Evaluation
from worldbench.records import scores as records
from worldbench.training.arithmetic import limit_blas


@dataclass(frozen=True)
class Scored:
    """The scores of every metric that applies, and the reason why each other metric does not apply."""

    scores: records.Scores
    not_applicable: dict[str, str]


def score(
    world: World,
    model: SequenceModel,
    settings: CommonOptions,
    evidence: Path | None,
    announce: Callable[[str], None] = lambda _: None,
) -> Scored:
    """Scores a model. Arrays with one entry per trial go to `<evidence>/<metric>.npz`, and their digest into the
    record."""
    limit_blas()
    evaluation = Evaluation(world, model, settings)
    out = Scored({}, {})
    chosen: dict[str, Metric] = {}
    for name in settings.metrics or metrics.names():
        metric: Metric = metrics[name].load()
        reason = metric.not_applicable(world, model)
        if reason is None:
            chosen[name] = metric
        else:
            out.not_applicable[name] = reason
    for number, (name, metric) in enumerate(chosen.items(), 1):
        announce(f"{name} ({number} of {len(chosen)})")
        out.scores[name] = _record(metric, metric.measure(evaluation), evidence)
    return out


def _record(metric: Metric, report: Report, evidence: Path | None) -> records.Metric:
    digest = None
    if evidence is not None and report.arrays:
        raw = npz(report.arrays)
        evidence.mkdir(exist_ok=True)
        write_atomic(evidence / f"{metric.name}.npz", raw)
        digest = hashlib.sha256(raw).hexdigest()
    return records.Metric(
        version=metric.version,
        direction=metric.direction,
        primary=metric.primary if metric.primary in report.scores else next(iter(report.scores)),
        beside=tuple(name for name in metric.beside if name in report.scores),
        scores={name: records.Score.of(measured) for name, measured in report.scores.items()},
        series=report.series,
        notes=report.notes,
        evidence_sha256=digest,
    )
