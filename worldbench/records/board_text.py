"""Prints a board: for a terminal, as Markdown, CSV, JSON and LaTeX. Below each table stands what a reader must know of
its cells: which scores are missing and why, and which metrics were scored under other versions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from worldbench.core import cells, tables
from worldbench.records.board import MISSING, SEEDS, Board, Cell, Column, Group, Row
from worldbench.records.parts import marked

BELOW = f"±: 95%, over {SEEDS}"


def number(value: float) -> str:
    """A score as tables have it: three decimals, or one from 10 on."""
    return f"{value:.{_digits(value)}f}" if abs(value) < 1e15 else f"{value:.3g}"


def _digits(value: float) -> int:
    return 3 if abs(value) < 10 else 1


def cell_text(cell: Cell) -> str:
    """The mean with half its interval over seeds, and the number of seeds in which it is infinite."""
    if cell.value is None:
        return MISSING
    text = number(cell.value)
    if cell.interval is not None and cell.over == SEEDS:
        text += f" ±{cell.interval[1] - cell.value:.{_digits(cell.value)}f}"
    if cell.extremes is not None and cell.extremes.n > 1:
        text += f" ({cell.extremes.share('seed')})"
    return text


def missing(group: Group) -> list[str]:
    """A sentence for each reason why scores of a group are missing: the columns, and the rows."""
    by_row: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in group.rows:
        name = _name(row, group.rows)
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


def _name(row: Row, rows: tuple[Row, ...]) -> str:
    """The label of a row, with its arm and preset where another row of this label lacks other scores."""
    parts: tuple[str, ...] = (row.label,)
    for parts in ((row.label,), (row.label, row.arm), (row.label, row.arm, row.preset)):
        alike = [r for r in rows if (r.label, r.arm, r.preset)[: len(parts)] == parts]
        if all(r.missing == row.missing for r in alike):
            break
    return " ".join(filter(None, parts))


def naming(group: Group) -> list[tuple[str, Callable[[Row], str]]]:
    """The columns that name a row: their heads, and what a row has there. The preset is a column if trained models of
    the group have different ones, and the budget of tuning if a model was tuned."""
    out: list[tuple[str, Callable[[Row], str]]] = [("arm", lambda row: row.arm), ("model", lambda row: row.label)]
    out.append(("seeds", lambda row: str(len(row.seeds)) if row.seeds else "-"))
    if len(group.presets) > 1:
        out.insert(0, ("preset", lambda row: "" if row.reference else row.preset))
    if any(row.tuned != "-" for row in group.rows):
        out.append(("tuned", lambda row: row.tuned))
    return out


def _table(group: Group) -> tuple[list[str], list[list[str]], int]:
    """The head and the rows of the table of a group, and how many columns name a row."""
    names = naming(group)
    head = [*(name for name, _ in names), *(column.label for column in group.columns)]
    body = [
        [*(of(row) for _, of in names), *(cell_text(row.cells[column.name]) for column in group.columns)]
        for row in group.rows
    ]
    return head, body, len(names)


def render(board: Board, form: str) -> str:
    """The board in a form: table (for a terminal), markdown, csv, json or latex."""
    return {"table": _terminal, "markdown": _markdown, "csv": _csv, "json": _json, "latex": _latex}[form](board)


def _terminal(board: Board) -> str:
    parts = []
    for group in board.groups:
        head, body, fixed = _table(group)
        parts += [tables.terminal(head, body, fixed, title=group.caption), *map(tables.note, missing(group))]
    over_seeds = any(cell.interval is not None and cell.over == SEEDS for row in board for cell in row.cells.values())
    return "\n".join([*parts, *map(tables.note, [*([BELOW] if over_seeds else []), *board.notes()])])


def _markdown(board: Board) -> str:
    parts = []
    for group in board.groups:
        head, body, _ = _table(group)
        parts += [cells.markdown_line(group.caption), tables.markdown(head, body)]
        parts += map(cells.markdown_line, missing(group))
    return "\n\n".join([*parts, *map(cells.markdown_line, board.notes())])


def _latex(board: Board) -> str:
    """Tables for the package booktabs; the sentences below them are comments."""
    parts = []
    for group in board.groups:
        head, body, fixed = _table(group)
        parts.append(tables.latex(head, body, fixed, title=group.caption))
        parts += [f"% {cells.latex(line)}" for line in missing(group)]
    return "\n".join([*parts, *(f"% {cells.latex(line)}" for line in board.notes())])


NAMES = ("world", "world key", "world version", "evaluation", "preset", "arm", "model", "seeds", "tuned")
PARTS = ("mean", "low", "high", "n", "over", "version")


def _csv(board: Board) -> str:
    """One table over all groups: six columns for each score, the reasons of missing scores, and the command."""
    columns: dict[str, Column] = {}
    for group in board.groups:
        columns |= {column.name: columns.get(column.name, column) for column in group.columns}
    short = [name.partition(".")[2] or name for name in columns]
    heads = [label if short.count(label) == 1 else name for name, label in zip(columns, short)]
    lines = []
    for group in board.groups:
        versions = {column.name: column.version for column in group.columns}
        for row in group.rows:
            line: list[Any] = [group.world, group.world_key, group.world_version, group.evaluation, row.preset]
            line += [row.arm, row.label, str(len(row.seeds)) if row.seeds else "-", row.tuned]
            for name in columns:
                line += _csv_parts(row.cells.get(name), versions.get(name))
            reasons = "; ".join(f"{name}: {reason}" for name, reason in row.missing.items())
            lines.append([*line, reasons, row.command])
    return tables.csv([*NAMES, *(f"{h} {part}" for h in heads for part in PARTS), MISSING, "command"], lines)


def _csv_parts(cell: Cell | None, version: int | None) -> list[Any]:
    if cell is None or cell.value is None:
        return ["", "", "", "", "", version]
    return [cell.value, *(cell.interval or ("", "")), cell.n, cell.over, version]


def _json(board: Board) -> str:
    groups = [_group_as_json(group) for group in board.groups]
    return cells.json(marked({"groups": groups, "notes": board.notes(), "left_out": list(board.left_out)}))


def _group_as_json(group: Group) -> dict[str, Any]:
    columns = [{"name": c.name, "better": c.better, "version": c.version} for c in group.columns]
    world = {"words": group.world, "name": group.world_name, "key": group.world_key, "version": group.world_version}
    rows = [_row_as_json(row) for row in group.rows]
    protocol = {"evaluation": group.evaluation, "differs": list(group.protocol)}
    return {"world": world, **protocol, "columns": columns, "rows": rows}


def _row_as_json(row: Row) -> dict[str, Any]:
    scores = {}
    for name, cell in row.cells.items():
        over = {"interval": cell.interval, "n": cell.n, "over": cell.over, "trials": cell.trials}
        count = 0 if cell.extremes is None else cell.extremes.count
        scores[name] = (
            {"missing": cell.reason} if cell.value is None else {"mean": cell.value, **over, "infinite": count}
        )
    head = {"preset": row.preset, "arm": row.arm, "model": row.label, "seeds": row.seeds, "tuned": row.tuned}
    return {**head, "reference": row.reference, "command": row.command, "scores": scores}
