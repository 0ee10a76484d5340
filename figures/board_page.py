"""The leaderboard as one HTML file that needs no network: sort, filter, choose columns, light and dark. Below each row
is a panel with its learning curves, its street map, and what made it.

The page is `board_page.html.j2` with `board_page.css` and `board_page.js` put into it. Its Content-Security-Policy
allows this style sheet and this script by their digests, and nothing else. All text of records is escaped. The same
records give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from worldbench.core.cells import LONGEST
from worldbench.core.errors import InputError
from worldbench.core.files import sha256
from worldbench.core.text import counted, visible
from worldbench.figures import board_pictures
from worldbench.records.board import SEEDS, Board, Cell, Group, Row
from worldbench.records.board_text import naming, number

LONGEST_TEXT = 4_000
"""Most characters of a command or a sentence in the page. A longer text is cut, and its length is shown."""


def page(board: Board, title: str = "Leaderboard") -> str:
    """The whole HTML file."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cut": lambda text: visible(str(text), LONGEST), "text": _text}
    style, script = _asset("css"), _asset("js")
    names = dict.fromkeys(column.name for group in board.groups for column in group.columns)
    return environment.from_string(_asset("html.j2")).render(
        title=title,
        groups=[_group(group) for group in board.groups],
        columns=[(i, *name.partition(".")[::2]) for i, name in enumerate(names)],
        place={name: i for i, name in enumerate(names)},
        notes=board.notes(),
        left_out=board.left_out,
        rows=counted(sum(1 for _ in board), "row"),
        tables=counted(len(board.groups), "table"),
        style=style,
        script=script,
        style_digest=_digest(style),
        script_digest=_digest(script),
    )


def _text(text: Any) -> str:
    return visible(str(text), LONGEST_TEXT)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(ending: str) -> str:
    file = resources.files(__package__ or "worldbench.figures").joinpath(f"board_page.{ending}")
    return file.read_text(encoding="utf-8")


def _group(group: Group) -> dict[str, Any]:
    """The content of a table: a letter for each reason why scores are missing, its columns and its rows."""
    reasons = list(dict.fromkeys(cell.reason for row in group.rows for cell in row.cells.values() if cell.reason))
    letters = {reason: str(i + 1) for i, reason in enumerate(reasons)}
    names = [(name, [of(row) for row in group.rows]) for name, of in naming(group) if name != "model"]
    rows = []
    for i, row in enumerate(group.rows):
        cells = [_cell(row.cells[column.name], letters) for column in group.columns]
        named = [(name, values[i]) for name, values in names]
        brief = ", ".join(_brief(name, value) for name, value in named if value not in ("", "-"))
        rows.append({"row": row, "names": [v for _, v in named], "brief": brief, "cells": cells, "panel": _panel(row)})
    return {"group": group, "heads": [name for name, _ in names], "rows": rows, "reasons": reasons}


def _brief(name: str, value: str) -> str:
    """What names a row, below its model on small screens, which have no room for more columns."""
    if name == "seeds":
        return counted(int(value), "seed")
    return value if name == "arm" else f"{name} {value}"


def _cell(cell: Cell, letters: dict[str, str]) -> dict[str, Any]:
    """value: the text. order: the number by which rows are sorted. below: the interval and the number of units."""
    if cell.value is None:
        return {"value": "missing", "order": None, "below": [], "why": letters[cell.reason], "reason": cell.reason}
    below = []
    if cell.interval is not None:
        low, high = cell.interval
        digits = 3 if abs(cell.value) < 10 else 1
        half = f"±{high - cell.value:.{digits}f}"
        below.append(half if cell.over == SEEDS else f"{number(low)} to {number(high)}")
    if cell.extremes is not None and cell.extremes.n > 1:
        below.append(cell.extremes.words("seed"))
    unit = "seeds" if cell.over == SEEDS else cell.over
    below.append(f"n = {cell.n:,} {unit}")
    return {"value": number(cell.value), "order": repr(float(cell.value)), "below": below, "why": "", "reason": ""}


def _panel(row: Row) -> dict[str, Any]:
    records = [record for _, record in row.sources]
    first = records[0]
    try:
        found, problem = board_pictures.street_map_of(row.sources), ""
    except InputError as error:
        found, problem = None, str(error)
    runs = [
        {
            "seed": "-" if record.seed is None else str(record.seed),
            "file": str(path),
            "sha256": _file_digest(path),
            "training": record.identity.training,
            "commit": _commit(record),
            "machine": f"{record.environment.processor}, torch {record.environment.torch}",
        }
        for path, record in row.sources
    ]
    tuning = first.tuning
    budget = "none: the settings are those of the preset and of the command"
    if tuning is not None:
        budget = f"{tuning.words}, chosen by {tuning.criterion}, record {tuning.record}"
    size = "" if first.model.parameters is None else f"{first.model.parameters.training:,}"
    evidence = {name: metric.evidence_sha256 for name, metric in first.scores.items() if metric.evidence_sha256}
    return {
        "curves": board_pictures.curves(records), "map": found, "problem": problem, "runs": runs, "budget": budget,
        "evaluation": first.identity.evaluation, "size": size, "evidence": evidence,
    }  # fmt: skip


def _file_digest(path: Any) -> str:
    """The SHA-256 of the file of a result; "" if it cannot be read any more."""
    try:
        return sha256(path)
    except InputError:
        return ""


def _commit(record: Any) -> str:
    environment = record.environment
    if environment.commit is None:
        return f"worldbench {environment.worldbench}, installed"
    return environment.commit[:12] + (", with changes" if environment.dirty else "")
