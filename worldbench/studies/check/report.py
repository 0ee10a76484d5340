"""The record of a check, its table, and its failed statements."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from worldbench.core import tables
from worldbench.core.errors import RunError
from worldbench.core.files import identity_hash, make_folder, write_atomic
from worldbench.records.check import Check, Verdict
from worldbench.records.parts import Real


def folder_of(out: Path, world: dict[str, Any], settings: Any, corruptions: int, severities: int, metrics: Any) -> Path:
    """The folder `<out>/check-<world>-<identity>/`, created if necessary. world: the identity of the world.
    settings: the evaluation options. metrics: as in the record."""
    content = [world, settings, corruptions, severities, msgspec.to_builtins(metrics)]
    return make_folder(make_folder(out) / f"check-{world['world']}-{identity_hash(content)[:10]}")


def write(record: Check, out: Path) -> Path:
    """Writes check.json, calibration.csv and the figures to `folder_of` the record. Returns the folder."""
    from worldbench.figures import calibration
    from worldbench.records import reading

    folder = folder_of(out, record.world, record.settings, record.corruptions, record.severities, record.metrics)
    reading.write(folder / "check.json", record)
    rows: list[list[Any]] = []
    for metric, by_model in record.references.items():
        for model, scores in by_model.items():
            rows += [[metric, score, model, "", "", value] for score, value in scores.items()]
    for kind, ladder in record.ladders.items():
        for severity in ladder:
            for metric, scores in severity.values.items():
                for score, values in scores.items():
                    rows += [[metric, score, kind, f"{severity.size:g}", c, v] for c, v in enumerate(values)]
    head = ["metric", "score", "model", "size", "corruption", "value"]
    write_atomic(folder / "calibration.csv", tables.csv(head, rows) + "\n")
    calibration.draw(folder / "check.json", folder / "calibration")
    return folder


def show(record: Check) -> None:
    """Prints the calibration table: the primary score of each metric for each reference and at the largest damage.
    Then prints every statement that failed, and those that were not judged, with each reason once for a metric."""
    references = list(dict.fromkeys(m for scores in record.references.values() for m in scores))
    largest = {kind: f"{kind} {ladder[-1].size:g}" for kind, ladder in record.ladders.items()}
    body = []
    for name, metric in record.metrics.items():
        mine = [v for v in record.verdicts if v.metric == name]
        scores = [record.references.get(name, {}).get(r, {}) for r in references]
        cells = [_cell([s[metric.primary]] if metric.primary in s else []) for s in scores]
        cells += [_cell(ladder[-1].values.get(name, {}).get(metric.primary, [])) for ladder in record.ladders.values()]
        judged = [v.holds for v in mine if v.holds is not None]
        held = f"{sum(judged)} of {len(judged)}" if judged else "none"
        held += f" ({len(mine) - len(judged)} not judged)" if len(mine) > len(judged) else ""
        body.append([f"{name}.{metric.primary}", metric.direction, held, *cells])
    head = ["metric", "better", "statements hold", *references, *largest.values()]
    print(tables.terminal(head, body, 1, title=f"calibration of {record.world['world']}"))
    for v in failures(record):
        print(tables.note(f"fails: {v.metric}: {v.statement}; measured: {v.measured}"))
    for line in _not_judged(record.verdicts):
        print(tables.note(line))


def _not_judged(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each metric and each reason why statements were not judged, with these statements."""
    statements: dict[tuple[str, str], list[str]] = {}
    for v in verdicts:
        if v.holds is None:
            why, values = _why_not_judged(v.measured)
            statements.setdefault((v.metric, why), []).append(v.statement + values)
    return [f"not judged: {metric}, because {why}: {'; '.join(said)}" for (metric, why), said in statements.items()]


def _why_not_judged(measured: str) -> tuple[str, str]:
    """The reason in words, and the values if there are any. measured: of a verdict: the value of a reference, or one
    for each severity of damage; and what a world says against the statement."""
    severities, _, against = measured.partition("; not claimed here: ")
    if re.fullmatch(r"not measured|none( none)*", severities):
        return against or "the score was not measured", ""
    if re.fullmatch(r"missing|\((\d+) of \1 missing\)( \(\1 of \1 missing\))*", severities):
        return against or "the score has no value here", ""
    return against or "the undamaged model lacks the score", f" (measured: {severities})"


def _cell(values: Sequence[Real | None]) -> str:
    """The mean of a score over corruptions. "missing" if at least half have none; "-" if nothing was measured."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    if 2 * len(known) > len(values):
        return f"{sum(known) / len(known):.3f}"
    return "missing" if values else "-"


def failures(record: Check) -> list[Verdict]:
    return [v for v in record.verdicts if v.holds is False]


def require(record: Check, folder: Path) -> None:
    """Raises RunError if a statement of a metric fails or a metric is blind."""
    failed = failures(record)
    if failed:
        names = ", ".join(dict.fromkeys(v.metric for v in failed))
        share = f"{len(failed)} of {len(record.verdicts)} statements fail"
        raise RunError(f"{share}, for {names}; {folder / 'check.json'} lists all of them")
