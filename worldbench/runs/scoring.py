"""Scores one model in one world with every metric that applies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
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
from worldbench.runs.pool import Cell
from worldbench.runs.processes import Processes, fork_is_safe
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
    workers: int = 1,
) -> Scored:
    """Scores a model. Arrays with one entry per trial go to `<evidence>/<metric>.npz`, and their digest into the
    record.

    workers: the number of processes in which metrics are measured at a time. The scores do not depend on it.
    """
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
    found = _in_processes(evaluation, chosen, evidence, announce, workers)
    for number, (name, metric) in enumerate(chosen.items(), 1):
        if name not in found:
            announce(f"{name} ({number} of {len(chosen)})")
            found |= _measured(evaluation, {name: metric}, evidence)
        out.scores[name] = found[name]
    return out


def _in_processes(
    evaluation: Evaluation,
    chosen: dict[str, Metric],
    evidence: Path | None,
    announce: Callable[[str], None],
    workers: int,
) -> records.Scores:
    """The scores of the chosen metrics, measured in several processes; {} where one process is to measure them.

    The metrics that share rides are measured in one process, in their order. After an error or a lost process, the
    scores that are there are returned: whoever measures the others meets the same error in this process.
    """
    shared = [name for name, metric in chosen.items() if not metric.apart]
    groups = [group for group in (shared, *([name] for name in chosen if name not in shared)) if group]
    if workers == 1 or len(groups) < 2 or not fork_is_safe():
        return {}
    found: records.Scores = {}
    running: list[str] = []

    def watch(names: Sequence[str]) -> None:
        if running != names:
            running[:] = names
            announce(f"{', '.join(names)} ({len(found)} of {len(chosen)} done)")

    cells = [
        Cell(_named(group), _measured, (evaluation, {name: chosen[name] for name in group}, evidence))
        for group in groups
    ]
    outcomes = Processes(workers, start="fork", watch=watch).run(cells)
    for outcome in outcomes:
        if outcome.error is not None:
            break
        found |= outcome.value
    return found


def _measured(evaluation: Evaluation, chosen: dict[str, Metric], evidence: Path | None) -> records.Scores:
    out: records.Scores = {}
    for name, metric in chosen.items():
        evaluation.apart = metric.apart
        out[name] = _record(metric, metric.measure(evaluation), evidence)
    return out


def _named(group: Sequence[str]) -> str:
    return group[0] if len(group) == 1 else f"{group[0]} and {len(group) - 1} more"


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
