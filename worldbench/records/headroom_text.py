"""Prints where models stand between floor and ceiling: for a terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from worldbench.core import cells, tables
from worldbench.records.board import Board, Group, Row
from worldbench.records.board_text import number
from worldbench.records.headroom import End, Room, Standing, rooms
from worldbench.records.parts import marked
from worldbench.records.scores import finite

HEAD = ["score", "floor", "ceiling", "worst", "best", "clear", "at the ceiling", "at the floor", "unknown"]
SHARE = "share (%): where the mean lies between the floor (0%) and the ceiling (100%)"
CLEAR = (
    "clear: models whose 95% t interval over training seeds lies strictly between floor and ceiling (if only one of "
    "them exists: does not reach it)"
)
UNKNOWN = "unknown: fewer than two seeds, or no finite score"


def render(board: Board, form: str) -> str:
    """Every group of the board in a form: table (for a terminal), markdown, csv or json."""
    if form == "csv":
        return tables.csv(*_lines(board))
    if form == "json":
        head, body = _lines(board)
        return cells.json(
            marked({"models": [dict(zip(head, line)) for line in body], "left_out": list(board.left_out)})
        )
    parts, shown = list[str](), list[Standing]()
    for group, found, without in rooms(board):
        name = _naming(group)
        body = [_line(room, name) for room in found]
        notes = _notes(without)
        shown += [standing for room in found for standing in room.models]
        if form == "markdown":
            parts += [cells.markdown_line(group.caption), tables.markdown(HEAD, body), *map(cells.markdown_line, notes)]
        else:
            parts += [tables.terminal(HEAD, body, 1, title=group.caption), *map(tables.note, notes)]
    below = _meanings(shown) if parts else ["no trained model is among these results"]
    if form == "markdown":
        return "\n\n".join([*parts, *map(cells.markdown_line, below)])
    return "\n".join([*parts, *map(tables.note, below)])


def _meanings(shown: list[Standing]) -> list[str]:
    """What the words of the tables mean. shown: the models of all lines."""
    shares = [SHARE] if any(standing.share is not None for standing in shown) else []
    unknown = [UNKNOWN] if any(standing.place == "unknown" for standing in shown) else []
    return ["; ".join([*shares, CLEAR, *unknown])] if shown else []


def _line(room: Room, name: Callable[[Row], str]) -> list[str]:
    """The line of a score: the references, the worst and the best model, and the models at each place."""
    sign = 1 if room.column.better == "higher" else -1
    known = sorted(
        (s for s in room.models if finite(s.cell.value) is not None), key=lambda s: sign * (s.cell.value or 0)
    )
    ends = [_model_text(known[0], name), _model_text(known[-1], name)] if known else ["-", "-"]
    named = [
        ", ".join(name(s.row) for s in room.models if s.place in places)
        for places in (("ceiling", "both"), ("floor", "both"), ("unknown",))
    ]
    return [room.column.name, *map(_end_text, (room.floor, room.ceiling)), *ends, _count(room), *named]


def _count(room: Room) -> str:
    return f"{len(room.at('clear'))} of {len(room.models)}"


def _end_text(end: End | None) -> str:
    return "-" if end is None else f"{number(end.value)} {end.model}"


def _model_text(standing: Standing, name: Callable[[Row], str]) -> str:
    assert standing.cell.value is not None
    share = "" if standing.share is None else f" ({standing.share:.0%})"
    return f"{number(standing.cell.value)}{share} {name(standing.row)}"


def _notes(without: dict[str, str]) -> list[str]:
    """A sentence for each reason why scores have no line."""
    by_reason = defaultdict[str, list[str]](list)
    for name, reason in without.items():
        by_reason[reason].append(name)
    return [f"no floor and no ceiling: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _naming(group: Group) -> Callable[[Row], str]:
    """How the models of a group are named: with what distinguishes rows of one label."""
    trained = [row for row in group.rows if not row.reference]
    parts: list[Callable[[Row], str]] = [lambda row: row.label]
    if len({row.arm for row in trained}) > 1:
        parts.append(lambda row: row.arm)
    if len(group.presets) > 1:
        parts.append(lambda row: row.preset)
    if len({row.tuned for row in trained}) > 1:
        parts.append(lambda row: "" if row.tuned == "-" else f"tuned {row.tuned}")
    return lambda row: " ".join(filter(None, (part(row) for part in parts)))


def _lines(board: Board) -> tuple[list[str], list[list[Any]]]:
    """One line for each score and model."""
    head = [
        *("world", "evaluation", "score", "floor model", "floor", "ceiling model", "ceiling"),
        *("model", "arm", "preset", "tuned", "seeds", "mean", "low", "high", "share", "place"),
    ]
    body = [
        [group.world, group.evaluation, room.column.name, *_end(room.floor), *_end(room.ceiling), *_model(standing)]
        for group, found, _ in rooms(board)
        for room in found
        for standing in room.models
    ]
    return head, body


def _end(end: End | None) -> tuple[Any, Any]:
    return ("", "") if end is None else (end.model, end.value)


def _model(standing: Standing) -> Sequence[Any]:
    row, cell = standing.row, standing.cell
    interval = cell.interval or ("", "")
    value, share = (("" if x is None else x) for x in (cell.value, standing.share))
    return [row.label, row.arm, row.preset, row.tuned, len(row.seeds), value, *interval, share, standing.place]
