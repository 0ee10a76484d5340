"""Tables for people and for programs. In a terminal, no name and no number is ever cut, however narrow the terminal
is.

If the columns do not fit side by side, the table is split into several tables, one below the other. If even that
leaves too little room beside the names of rows, each row becomes a few lines. Every cell goes through
`core/cells.py`.
"""

from __future__ import annotations

import csv as codec
import io
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from worldbench.core import cells, console

MOST_BLOCKS, LEAST_COLUMNS = 3, 3
"""Rows are printed as lines if there would be more than MOST_BLOCKS tables with fewer than LEAST_COLUMNS columns
each."""
DEEPEST = 8
"""Largest indent of a line, in characters."""
LONGEST_NOTE = 2000
"""Most characters of a sentence below a table. A longer sentence is cut, and its length is shown."""
FRAME = 3
"""Characters of a column in addition to its text."""


def terminal(
    head: Sequence[str], body: Iterable[Sequence[Any]], fixed: int, *, title: str = "", right: Collection[int] = (),
    styles: Sequence[str] | None = None,
) -> str:  # fmt: skip
    """A table as text, as wide as standard output.

    fixed: how many columns at the left name a row. They are repeated in each part of a split table. Those with the
    same value in all rows are then printed once, above. right: columns that are aligned to the right. styles: one
    style per row, such as "bold", for terminals with colors.
    """
    names = [console.fit(cells.terminal(h)) for h in head]
    rows = [[console.fit(cells.terminal(cell)) for cell in row] for row in body]
    styles = styles or [""] * len(rows)
    wide = [max(map(_length, (names[i], *(row[i] for row in rows)))) + FRAME for i in range(len(names))]
    most = console.width()
    parts = [*_title(title, most)]
    naming = list(range(fixed))
    if sum(wide) + 1 > most and len(rows) > 1:  # values that all rows share are printed once, above
        shared = [i for i in naming if all(row[i] == rows[0][i] for row in rows)]
        naming = [i for i in naming if i not in shared] or naming[:1]
        parts += _title(", ".join(f"{names[i]}: {rows[0][i]}" for i in shared if i not in naming and rows[0][i]), most)
    others = range(fixed, len(names))
    blocks = _blocks(wide, naming, others, most)
    if blocks is None:
        parts += [_lines(names, row, naming, others, style, most) for row, style in zip(rows, styles)]
    else:
        parts += [_table(names, rows, styles, [*naming, *block], right) for block in blocks]
    return "\n".join(parts)


def note(text: str) -> str:
    """A sentence below a table, wrapped to the width of standard output."""
    from rich.text import Text

    lines = _wrapped(console.fit(cells.terminal(text, LONGEST_NOTE)), console.width())
    return "\n".join(_printed(Text(line, style="dim")) for line in lines)


def _blocks(wide: list[int], naming: list[int], others: Collection[int], most: int) -> list[list[int]] | None:
    """The other columns of each table. None if rows of lines are easier to read."""
    room = most - sum(wide[i] for i in naming) - 1
    blocks: list[list[int]] = [[]]
    for i in others:
        if blocks[-1] and sum(wide[j] for j in blocks[-1]) + wide[i] > room:
            blocks.append([])
        blocks[-1].append(i)
    if room < max((wide[i] for i in others), default=0):
        return None
    thin = len(others) < LEAST_COLUMNS * len(blocks)
    return None if len(blocks) > MOST_BLOCKS and thin else blocks


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _printed(*parts: Any) -> str:
    """The text that rich renders, with colors if standard output is a terminal that has them."""
    import sys

    from rich.console import Console

    out = io.StringIO()
    colored = Console(file=out, force_terminal=console.on_terminal(sys.stdout), width=10**6, highlight=False)
    colored.print(*parts, crop=False, no_wrap=True, overflow="ignore")
    return out.getvalue().rstrip("\n")


def _title(title: str, most: int) -> list[str]:
    from rich.text import Text

    return (
        [_printed(Text(line, style="italic")) for line in _wrapped(console.fit(cells.terminal(title)), most)]
        if title
        else []
    )


def _table(
    names: list[str], rows: list[list[str]], styles: Sequence[str], shown: list[int], right: Collection[int]
) -> str:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for i in shown:
        table.add_column(Text(names[i]), justify="right" if i in right else "left", no_wrap=True)
    for row, style in zip(rows, styles):
        table.add_row(*(Text(row[i]) for i in shown), style=style)
    return _printed(table)


def _lines(names: list[str], row: list[str], naming: list[int], others: Collection[int], style: str, most: int) -> str:
    """A row as lines: first its name, then each other cell that is not empty, after the name of its column."""
    from rich.text import Text

    first = row[naming[0]]
    if len(naming) > 1:
        first = ", ".join(f"{names[i]}: {row[i]}" for i in naming if row[i])
    indent = len(first) - len(first.lstrip())
    out = [_printed(Text(line, style=style)) for line in _wrapped(first, most)]
    for i in others:
        if row[i]:
            out += _wrapped(f"{' ' * indent}  {names[i]}: {row[i]}", most)
    return "\n".join(out)


def _wrapped(text: str, most: int) -> list[str]:
    """`text` in lines of at most `most` characters, broken between words where possible. No character is lost."""
    from rich.cells import chop_cells

    indent = " " * min(len(text) - len(text.lstrip()), DEEPEST)
    hanging, room = indent + "  ", max(most, 20)
    lines, line = [], indent
    for word in text.split():
        glue = "" if not line.strip() else " "
        if line.strip() and _length(line + glue + word) > room:
            lines.append(line)
            line, glue = hanging, ""
        while _length(line + glue + word) > room:
            first, *rest = chop_cells(word, room - _length(line + glue))
            lines.append(line + glue + first)
            line, glue, word = hanging, "", "".join(rest)
        line += glue + word
    return [*lines, line]


def markdown(head: Sequence[Any], body: Iterable[Sequence[Any]], *, right: Collection[int] = ()) -> str:
    """A Markdown table."""
    rule = "".join("--:|" if i in right else "---|" for i in range(len(head)))
    rows = ["| " + " | ".join(map(cells.markdown, row)) + " |" for row in (head, *body)]
    return "\n".join([rows[0], f"|{rule}", *rows[1:]])


def latex(head: Sequence[Any], body: Iterable[Sequence[Any]], fixed: int, *, title: str = "") -> str:
    """A LaTeX table for the package booktabs. fixed: how many columns at the left are text; the others are centered.
    title: a comment above the table, in LaTeX a line that is not printed."""
    rows = [" & ".join(map(cells.latex, row)) + r" \\" for row in body]
    columns = "l" * fixed + "c" * (len(head) - fixed)
    top = [f"% {cells.latex(title)}"] if title else []
    top += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(cells.latex, head)) + r" \\", r"\midrule"]
    return "\n".join([*top, *rows, r"\bottomrule", r"\end{tabular}"])


def csv(head: Sequence[Any], body: Iterable[Sequence[Any]]) -> str:
    """A CSV file without its last line end. Every row has as many columns as the head."""
    out = io.StringIO()
    writer = codec.writer(out, lineterminator="\n")
    for row in (head, *body):
        assert len(row) == len(head)
        writer.writerow([cells.csv(cell) for cell in row])
    return out.getvalue().rstrip("\n")
