"""Prints the record of a run: settings, learning curve, scores, and the metrics that do not apply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from worldbench.core import tables
from worldbench.records.bounds import BOTH, Bounds, untrained
from worldbench.records.scores import NO_REASON
from worldbench.runs.display import number, print_notes

if TYPE_CHECKING:
    from worldbench.records.folder import Config
    from worldbench.records.lines import EvalLine
    from worldbench.records.parts import Environment, Head
    from worldbench.records.runs import Result
    from worldbench.records.scores import Metric, Score

CURVE_ROWS = 7
"""Number of points in the short table of a learning curve: the first, the last, and some in between."""
SCORE_HEAD = ("metric (better)", "floor", "score", "95% interval over n", "ceiling", "n")
BETTER = {"higher": "up", "lower": "down", "none": "-"}


def print_scores(record: Result, bounds: Bounds, *, every: bool = False) -> None:
    """Print a result as a table: floor, score, interval, ceiling. every: all scores, not only the primary scores and
    those beside them."""
    rows, head = score_rows(record, bounds, every=every), SCORE_HEAD
    body, styles = [cells for cells, _ in rows], [style for _, style in rows]
    used = [i for i in range(len(head)) if i in (0, 2) or any(row[i] for row in body)]
    body = [[row[i] for i in used] for row in body]
    right = range(1, len(used))
    print(tables.terminal([head[i] for i in used], body, 1, title=_title(record), right=right, styles=styles))


def score_rows(record: Result, bounds: Bounds, *, every: bool = False) -> list[tuple[list[str], str]]:
    """The rows of the table of scores under SCORE_HEAD, each with its style."""
    rows: list[tuple[list[str], str]] = []
    for name, metric in record.scores.items():
        better = f"({BETTER[metric.direction]})"
        if not every:
            rows.append(([f"{name}.{metric.primary} {better}", *_cells(name, metric, metric.primary, bounds)], ""))
            for key in metric.beside:
                rows.append(([f"  beside it: {key}", *_cells(name, metric, key, bounds)], "dim"))
            continue
        rows.append(([f"{name} {better}", *[""] * 5], "bold"))
        for key in sorted(metric.scores, key=lambda k: k != metric.primary):
            style = "bold" if key == metric.primary else "dim"
            rows.append(([f"  {key}", *_cells(name, metric, key, bounds)], style))
    return rows


def _title(record: Head) -> str:
    title = f"{record.model.name} in {record.world_name}"
    if record.seed is not None:
        title += f", seed {record.seed}"
    if record.tuning is not None:
        title += f", tuned in {record.tuning.settings} trials ({record.tuning.cell})"
    return title


def _cells(name: str, metric: Metric, key: str, bounds: Bounds) -> list[str]:
    score = metric.scores[key]
    interval = f"{number(score.interval[0])} .. {number(score.interval[1])}" if score.interval else ""
    floor, ceiling = (
        "" if (bound := bounds.value(name, metric, which, key)) is None else number(bound) for which in BOTH
    )
    return [
        floor or ("" if (plain := untrained(metric, key)) is None else _value(plain)),
        _value(score),
        interval,
        ceiling,
        f"{score.n} {score.over}".rstrip(),
    ]


def _value(score: Score) -> str:
    return "missing" if score.value is None else number(score.value)


def print_reasons(record: Result, *, every: bool = False) -> None:
    """Print the notes of the metrics, then the reasons why scores are missing and why other metrics do not apply, each
    reason once. every: of all scores, not only of those in tables.
    """
    notes = [f"{name}: {note}" for name, metric in record.scores.items() for note in metric.notes]
    reasons: dict[str, list[str]] = {}
    for name, reason in record.not_applicable.items():
        reasons.setdefault(reason, []).append(name)
    notes += missing_notes(record, every=every)
    notes += [f"not applicable: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    print_notes(notes)


def missing_notes(record: Result, *, every: bool = False) -> list[str]:
    """A sentence for each reason why scores have no value. every: of all scores, not only of those in tables."""
    reasons: dict[str, list[str]] = {}
    for name, metric in record.scores.items():
        for key, score in metric.scores.items():
            if score.value is None and (every or key in metric.shown):
                reasons.setdefault(score.reason or NO_REASON, []).append(f"{name}.{key}")
    return [f"missing: {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def print_result(record: Result, bounds: Bounds, *, every: bool = False) -> None:
    """Print a whole result with its floors and ceilings. every: all scores, and all points of the learning curve."""
    print_head(record)
    if record.training is not None:
        print_curve(record.training.curve, every=every)
    print_scores(record, bounds, every=every)
    print_reasons(record, every=every)
    print_notes(bounds.messages())


def print_head(record: Head) -> None:
    """Print the settings of a record."""
    print_facts(facts_of(record))


def facts_of(record: Head) -> dict[str, str]:
    """The settings of a record: run, command, world, model, identities and environment."""
    facts = {"run": f"{_title(record)}, preset {record.preset}", "command": record.command}
    others = {name: value for name, value in record.world.items() if name != "world"}
    facts["world"] = ", ".join([record.world_name, *([_pairs(others)] if others else [])])
    if record.model.hidden is not None:
        facts["hidden state"] = record.model.hidden
    if (parameters := record.model.parameters) is not None:
        facts["parameters"] = f"{parameters.training:,} in training, {parameters.inference:,} in prediction"
    if record.model.reads is not None:
        facts["weights"] = f"those of the {record.model.reads} run"
    facts["identity"] = f"training {record.identity.training}, evaluation {record.identity.evaluation}"
    facts["environment"] = _environment(record.environment)
    return facts


def print_config(config: Config) -> None:
    """Print the settings of a run that has no result yet."""
    facts = {"run": f"{config.model} in {config.world}, seed {config.seed}, preset {config.preset}"}
    if config.given:
        facts["changed from the preset"] = _pairs(config.given)
    facts["identity"] = f"training {config.identity.training}, evaluation {config.identity.evaluation}"
    print_facts(facts)


def print_facts(facts: dict[str, str]) -> None:
    """Print each fact as `name: fact`, on several lines if it is long."""
    print_notes([f"{name}: {fact}" for name, fact in facts.items()])


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _environment(e: Environment) -> str:
    processor = f"{e.processor} ({e.instructions})" if e.instructions else e.processor
    parts = [f"worldbench {e.worldbench}", f"Python {e.python}", f"torch {e.torch}", f"numpy {e.numpy}", processor]
    if e.commit:
        parts.append(f"commit {e.commit[:10]}" + (" with changes that are not committed" if e.dirty else ""))
    return ", ".join(parts)


def print_curve(curve: list[EvalLine], *, every: bool = False) -> None:
    """Print the held-out losses of a training, in nats per token. every: all points, not only CURVE_ROWS of them."""
    if not curve:
        return
    points = curve if every else [curve[i] for i in _some(len(curve))]
    known = any(p.bayes is not None for p in points)
    head = ["step", "held-out loss", *(["loss of the exact law", "excess"] if known else [])]
    body = [[f"{p.step:,}", *(number(v) for v in ([p.loss, p.bayes, p.excess] if known else [p.loss]))] for p in points]
    title = "learning curve, nats per token"
    if len(points) < len(curve):
        title += f" ({len(points)} of {len(curve)} points)"
    print(tables.terminal(head, body, 1, title=title, right=range(len(head))))


def _some(count: int) -> Iterable[int]:
    """At most CURVE_ROWS of the indices below `count`, evenly spaced, with the first and the last index."""
    most = min(count, CURVE_ROWS)
    return [round(i * (count - 1) / max(most - 1, 1)) for i in range(most)]
