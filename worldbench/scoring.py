"""Every metric that applies, on one model in one world."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldbench.arithmetic import limit_blas
from worldbench.core.arrays import npz
from worldbench.core.files import write_atomic
from worldbench.core.metric import Metric, Report
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics
from worldbench.core.world import World
from worldbench.metrics.config import EvalConfig
from worldbench.metrics.evaluation import Evaluation


def score(
    world: World, model: SequenceModel, settings: EvalConfig, evidence: Path | None, announce: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, Any]]:
    """{"scores": {metric: {version, direction, primary, scores, series, notes, evidence}}, "not_applicable": {metric: reason}}.

    Per-trial arrays go to `<evidence>/<metric>.npz`, their digest into the record.
    """
    limit_blas()
    evaluation = Evaluation(world, model, settings)
    out: dict[str, dict[str, Any]] = {"scores": {}, "not_applicable": {}}
    chosen: dict[str, Metric] = {}
    for name in settings.metrics or metrics.names():
        metric: Metric = metrics[name].load()
        reason = metric.not_applicable(world, model)
        if reason is None:
            chosen[name] = metric
        else:
            out["not_applicable"][name] = reason
    for number, (name, metric) in enumerate(chosen.items(), 1):
        announce(f"{name} ({number} of {len(chosen)})")
        out["scores"][name] = _record(metric, metric.measure(evaluation), evidence)
    return out


def _record(metric: Metric, report: Report, evidence: Path | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "version": metric.version,
        "direction": metric.direction,
        "primary": metric.primary if metric.primary in report.scores else next(iter(report.scores)),
        "scores": {k: {"value": s.value, "n": s.n, "interval": s.interval} for k, s in report.scores.items()},
        "series": report.series,
        "notes": report.notes,
    }
    if evidence is not None and report.arrays:
        raw = npz(report.arrays)
        evidence.mkdir(exist_ok=True)
        write_atomic(evidence / f"{metric.name}.npz", raw)
        record["evidence_sha256"] = hashlib.sha256(raw).hexdigest()
    return record
