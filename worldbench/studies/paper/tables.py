"""The leaderboard as LaTeX tables for the package booktabs, each in an environment with a caption and notes."""

from __future__ import annotations

from collections.abc import Sequence

from worldbench.records.board import SEEDS, Board, Cell, Column, Group
from worldbench.records.board_text import missing, naming, number
from worldbench.studies.paper.tex import floats, text

WIDEST = 469.0
"""Width of a table in points: that of the text of a page, 6.5 inches."""
LETTER, GAP = 4.8, 8.0
"""Points: a letter of the size \\small, and the room between two columns."""
SHORT = 4
"""Letters. A shorter line of a head takes the next word too."""
ARROWS = {"higher": "$\\uparrow$", "lower": "$\\downarrow$", "none": ""}


def tables(board: Board) -> str:
    """A table for each group. The scores of a group are in several tables if one would be wider than a page."""
    parts = []
    for g, group in enumerate(board.groups, 1):
        notes = [f"{line[0].upper()}{line[1:]}." for line in missing(group)]
        pages = _pages(group)
        for p, columns in enumerate(pages, 1):
            label = f"tab:worldbench-{g}" + (f"-{p}" if len(pages) > 1 else "")
            of = f" Part {p} of {len(pages)}." if len(pages) > 1 else ""
            parts.append(_table(group, columns, f"{group.caption}.{of}", label, notes if p == len(pages) else []))
    return floats(parts)


def _pages(group: Group) -> list[list[Column]]:
    """The columns of each table: as few tables as the width allows, with about as many columns each."""
    room = WIDEST - sum(GAP + LETTER * max(map(len, [name, *map(of, group.rows)])) for name, of in naming(group))
    columns = list(group.columns)
    for pages in range(1, len(columns) + 1):
        size = -(-len(columns) // pages)
        out = [columns[i : i + size] for i in range(0, len(columns), size)]
        if all(sum(_width(group, column) for column in page) <= room for page in out):
            return out
    return [[column] for column in columns]


def _width(group: Group, column: Column) -> float:
    """The width of a column in points."""
    shown = (cell(row.cells[column.name]).strip("$").replace("\\pm", "+") for row in group.rows)
    return GAP + LETTER * max(map(len, [*_lines(column), *shown]))


def _lines(column: Column) -> list[str]:
    """The name of a score in lines of at least four letters, broken at underscores."""
    lines = [""]
    for word in column.label.split("_"):
        if len(lines[-1]) >= SHORT:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _table(group: Group, columns: Sequence[Column], caption: str, label: str, notes: Sequence[str]) -> str:
    names = naming(group)
    heads = [*(text(name) for name, _ in names), *map(_head, columns)]
    rows = [
        " & ".join([*(text(of(row)) for _, of in names), *(cell(row.cells[c.name]) for c in columns)])
        for row in group.rows
    ]
    metrics = ", ".join(dict.fromkeys(f"{c.name.partition('.')[0]} {c.version}" for c in columns))
    above = f"{caption} Means over training seeds, with half the 95% t interval. Versions of metrics: {metrics}."
    return "\n".join([
        r"\begin{table}[t]", r"\centering", r"\small\setlength{\tabcolsep}{4pt}",
        f"\\caption{{{text(above)}}}", f"\\label{{{label}}}",
        f"\\begin{{tabular}}{{{'l' * len(names)}{'r' * len(columns)}}}", r"\toprule",
        " & ".join(heads) + r" \\", r"\midrule", *(row + r" \\" for row in rows), r"\bottomrule", r"\end{tabular}",
        *([f"\\par\\medskip\\raggedright\\footnotesize {text(' '.join(notes))}"] if notes else []),
        r"\end{table}",
    ])  # fmt: skip


def _head(column: Column) -> str:
    """The name of a score in a few lines, with an arrow in the direction that is better."""
    lines = list(map(text, _lines(column)))
    lines[-1] = f"{lines[-1]} {ARROWS[column.better]}".strip()
    return "\\shortstack[r]{" + " \\\\ ".join(lines) + "}" if len(lines) > 1 else lines[0]


def cell(found: Cell) -> str:
    """The mean with half its interval over seeds; infinite as infinite; a dash where the score is missing."""
    if found.value is None:
        return "--"
    value = number(found.value)
    if value in ("inf", "-inf"):
        value = f"{value.removesuffix('inf')}\\infty"
    half = ""
    if found.interval is not None and found.over == SEEDS:
        digits = len(value.partition(".")[2])
        half = f" \\pm {found.interval[1] - found.value:.{digits}f}"
    share = f" ({text(found.extremes.share('seed'))})" if found.extremes is not None and found.extremes.n > 1 else ""
    return f"${value}{half}${share}"
