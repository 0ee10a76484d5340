"""Prints the rows of a leaderboard, and below them what a reader must know of its cells: which scores are missing and
why, and which metrics were scored under other versions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from worldbench.core import cells, tables
from worldbench.core.errors import InputError
from worldbench.core.statistics import Mean
from worldbench.records import versions
from worldbench.records.leaderboard import Row
from worldbench.records.parts import marked

MISSING = "missing"
OVER = "training seeds"
"""The units of every interval of a leaderboard."""


def cell(mean: Mean | None) -> str:
    """The mean with half its interval."""
    if mean is None:
        return MISSING
    digits = 3 if abs(mean.value) < 10 else 1
    text = f"{mean.value:.{digits}f}" if abs(mean.value) < 1e15 else f"{mean.value:.3g}"
    if mean.interval is not None:
        text += f" ±{mean.interval[1] - mean.value:.{digits}f}"
    return text


def _cell_of(row: Row, column: str, mixed: dict[str, list[int]]) -> str:
    """The cell of a row: the mean, the number of seeds with an infinite score, and the version of the metric where
    rows differ in it."""
    text, name = cell(row.cells[column]), column.partition(".")[0]
    extreme = row.extremes.get(column)
    if extreme is not None and extreme.n > 1:
        text += f" ({extreme.share('seed')})"
    return f"{text} (v{row.versions[name]})" if name in mixed and name in row.versions else text


def notes(rows: list[Row]) -> list[str]:
    """Sentences about the cells of a board."""
    mixed = versions.mixed(row.versions for row in rows)
    out = [
        f"{name} was scored under versions {' and '.join(map(str, found))} (v in its cells), which cannot be compared"
        for name, found in mixed.items()
    ]
    out += versions.sentence(row.versions for row in rows)
    return out + _missing(rows)


def _missing(rows: list[Row]) -> list[str]:
    """A sentence for each reason why scores are missing: the columns, and the rows."""
    by_row: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        name = _name(row, rows)
        for column, reason in row.missing.items():
            if column not in by_row[name, reason]:
                by_row[name, reason].append(column)
    by_reason: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (name, reason), columns in by_row.items():
        by_reason[reason, tuple(columns)].append(name)
    return [
        f"missing: {', '.join(columns)} of {', '.join(names)}: {reason}"
        for (reason, columns), names in by_reason.items()
    ]


def _name(row: Row, rows: list[Row]) -> str:
    """The label of a row, with its arm and world where another row of this label lacks other scores."""
    parts: tuple[str, ...] = (row.label,)
    for parts in ((row.label,), (row.label, row.arm), (row.label, row.arm, row.world)):
        alike = [r for r in rows if (r.label, r.arm, r.world)[: len(parts)] == parts]
        if all(r.missing == row.missing for r in alike):
            break
    return " ".join(filter(None, parts))


def _row_as_json(row: Row, any_tuned: bool) -> dict[str, Any]:
    return {
        "world": row.world,
        "arm": row.arm,
        "model": row.label,
        "seeds": row.seeds,
        **({"tuned": row.tuned} if any_tuned else {}),
        "command": row.command,
        "scores": {
            c: None
            if m is None
            else {"mean": m.value, "seeds": m.n, "interval": m.interval, "over": OVER, "trials": row.n[c]}
            for c, m in row.cells.items()
        },
        "missing": row.missing,
        "infinite": {c: extreme.count for c, extreme in row.extremes.items()},
        "versions": row.versions,
    }


def render(rows: list[Row], form: str) -> str:
    """The leaderboard as a terminal table, Markdown, CSV or JSON."""
    if not rows:
        raise InputError("there are no results to show")
    columns, any_tuned = list(rows[0].cells), any(r.tuned != "-" for r in rows)
    if form == "json":
        return cells.json(marked([_row_as_json(r, any_tuned) for r in rows]))
    names = ["world", "arm", "model", "seeds", *(["tuned"] if any_tuned else [])]
    head = [*names, *(c.partition(".")[2] or c for c in columns)]
    mixed = versions.mixed(row.versions for row in rows)
    body = [
        [
            r.world,
            r.arm,
            r.label,
            str(len(r.seeds)) if r.seeds else "-",
            *([r.tuned] if any_tuned else []),
            *(_cell_of(r, c, mixed) for c in columns),
        ]
        for r in rows
    ]
    if form == "csv":
        return _csv(rows, names, [row[: len(names)] for row in body], head[len(names) :])
    if form == "markdown":
        return "\n".join([tables.markdown(head, body), *(f"\n{cells.markdown_line(line)}" for line in notes(rows))])
    several = any(mean is not None and mean.interval is not None for r in rows for mean in r.cells.values())
    below = [*([f"±: 95%, over {OVER}"] if several else []), *notes(rows)]
    return "\n".join([tables.terminal(head, body, len(names)), *map(tables.note, below)])


def _csv(rows: list[Row], names: list[str], body: list[list[str]], scores: list[str]) -> str:
    """Four columns for each score, the reasons why scores are missing, and the command."""
    lines = []
    for r, row in zip(rows, body):
        numbers: list[Any] = []
        for c, m in r.cells.items():
            version = r.versions.get(c.partition(".")[0], "")
            numbers += ["", "", "", version] if m is None else [m.value, *(m.interval or ("", "")), version]
        reasons = "; ".join(f"{c}: {reason}" for c, reason in r.missing.items())
        lines.append([*row, *numbers, reasons, r.command])
    parts = [f"{h} {part}" for h in scores for part in ("mean", f"low over {OVER}", f"high over {OVER}", "version")]
    return tables.csv([*names, *parts, MISSING, "command"], lines)
