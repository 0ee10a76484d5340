"""Which of the results in a folder a board can show. Anyone may have written them, and one bad file must not cost the
board the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.records import budget
from worldbench.records.finding import Found
from worldbench.records.leaderboard import settings_key
from worldbench.records.runs import Result

MOST_METRICS = 200
"""Most metrics of a result that a board shows. worldbench itself has about forty."""
MOST_SCORES = 5_000
"""Most scores of a result. A metric has up to about fifty."""
LONGEST_NAME = 1_000
"""Longest name of a metric, a score or a model, in characters."""
LONGEST_TEXT = 20_000
"""Longest command, preset, or identity of a world, in characters."""


def accepted(found: Found[Result]) -> tuple[list[tuple[Path, Result]], list[str]]:
    """The results that a board can show, and a sentence for each of the others.

    Left out are results that are too large, results of seeds of tuning, and results whose row has a result of the same
    seed already. Raises InputError with the sentence for a file that was named itself.
    """
    kept: list[tuple[Path, Result]] = []
    reasons: list[str] = []
    rows: dict[str, dict[int | None, tuple[Path, Result]]] = {}
    checks: tuple[Callable[[Result], None], ...] = (_refuse_large, budget.refuse_reporting)
    for path, record in found.records:
        try:
            try:
                for check in checks:
                    check(record)
            except InputError as error:
                raise InputError(f"{str(path)!r}: {error}") from error
            row = rows.setdefault(settings_key(record), {})
            if record.seed is None and None in row:  # such as the exact law, scored beside several runs
                if record.scores != row[None][1].scores:
                    reasons.append(f"{str(path)!r} has other scores than {str(row[None][0])!r} of the same model")
                continue
            _refuse_repeated(path, record, row)
            row[record.seed] = path, record
            kept.append((path, record))
        except InputError as error:
            if path in found.named:
                raise
            reasons.append(str(error))
    return kept, reasons


def _refuse_repeated(path: Path, record: Result, row: dict[int | None, tuple[Path, Result]]) -> None:
    """Raises InputError for a seed that is in the row already, and for a row with seeds in which a result has none."""
    other = next(iter(row.values()), None)
    if record.seed in row:
        other_path, other_record = row[record.seed]
        scores = "the same" if record.scores == other_record.scores else "other"
        raise InputError(
            f"{str(path)!r}: {record.model.name} with the seed {record.seed} comes more than once: "
            f"{str(other_path)!r} has {scores} scores; keep one of the two files"
        )
    if other is not None and (other[1].seed is None) != (record.seed is None):
        which = "has no seed" if record.seed is None else f"has the seed {record.seed}"
        raise InputError(f"{str(path)!r} {which}, unlike {str(other[0])!r} of the same settings; leave out this file")


def _refuse_large(record: Result) -> None:
    """Raises InputError for a result whose row would make the board unreadable."""
    names = [*record.scores, *record.not_applicable]
    if len(names) > MOST_METRICS:
        raise InputError(f"it has {counted(len(names), 'metric')}, and a board shows at most {MOST_METRICS}")
    scores = [name for metric in record.scores.values() for name in metric.scores]
    if len(scores) > MOST_SCORES:
        raise InputError(f"it has {counted(len(scores), 'score')}, and a board shows at most {MOST_SCORES:,}")
    if any(len(name) > LONGEST_NAME for name in (record.model.name, record.world_name, *names, *scores)):
        raise InputError(f"one of its names is longer than {LONGEST_NAME:,} characters, the limit of a board")
    for what, text in (("command", record.command), ("preset", record.preset), ("world", json.dumps(record.world))):
        if len(text) > LONGEST_TEXT:
            raise InputError(f"its {what} is longer than {LONGEST_TEXT:,} characters, the limit of a board")
