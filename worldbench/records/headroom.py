"""Where models stand between floor and ceiling: whether a score, in a world at a preset, can tell models apart.

A model is clear if the 95% t interval of its mean over training seeds lies strictly between the scores of the two
references; where a metric has one of them only, if the interval does not reach it. A score in which every model is at
the ceiling, or at the floor, says nothing about the models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from worldbench.records.board import SEEDS, Board, Cell, Column, Group, Row
from worldbench.records.bounds import BOTH, bounds, untrained
from worldbench.records.runs import Result
from worldbench.records.scores import Which, finite

Place = Literal["clear", "ceiling", "floor", "both", "unknown"]
"""clear: strictly between floor and ceiling. both: the interval reaches from the floor to the ceiling. unknown: there
is no interval over two seeds or more, or the score is infinite or missing."""


@dataclass(frozen=True)
class Standing:
    """One model in one score. share: where the mean lies between the floor (0) and the ceiling (1); None without both.
    place: without a floor or without a ceiling, clear means clear of the other one."""

    row: Row
    cell: Cell
    share: float | None
    place: Place


@dataclass(frozen=True)
class End:
    """A reference, and its score."""

    model: str
    value: float


@dataclass(frozen=True)
class Room:
    """A score that has a floor or a ceiling or both, with the trained models."""

    column: Column
    floor: End | None
    ceiling: End | None
    models: tuple[Standing, ...]

    def at(self, place: Place) -> list[Standing]:
        """The models at a place."""
        return [standing for standing in self.models if standing.place == place]


def rooms(board: Board) -> list[tuple[Group, list[Room], dict[str, str]]]:
    """For each group of the board that has trained models: its scores with a floor or a ceiling, and for each other
    score why it is left out."""
    return [_rooms(group) for group in board.groups if any(not row.reference for row in group.rows)]


def _rooms(group: Group) -> tuple[Group, list[Room], dict[str, str]]:
    records = [record for row in group.rows for _, record in row.sources]
    found, left_out = list[Room](), dict[str, str]()
    for column in group.columns:
        room = _room(column, [row for row in group.rows if not row.reference], records)
        if isinstance(room, Room):
            found.append(room)
        else:
            left_out[column.name] = room
    return group, found, left_out


def _room(column: Column, rows: list[Row], records: Sequence[Result]) -> Room | str:
    """The room of a score, or why it has none."""
    if column.better == "none":
        return "neither direction is better"
    name = column.name.partition(".")[0]
    scored = [row for row in rows if name in row.sources[0][1].scores and row.cells[column.name].value is not None]
    if not scored:
        return "no trained model has a value"
    first = scored[0].sources[0][1]
    floor, ceiling = (_end(first, records, column.name, which) for which in BOTH)
    floor = floor or _untrained(column.name, [record for row in scored for _, record in row.sources])
    if floor is None and ceiling is None:
        return "there is no finite score of a floor or of a ceiling"
    if floor is not None and ceiling is not None and abs(ceiling.value - floor.value) < 1e-9:
        return f"{floor.model} and {ceiling.model} have the same score"
    sign = 1 if column.better == "higher" else -1
    return Room(
        column, floor, ceiling, tuple(_standing(row, row.cells[column.name], floor, ceiling, sign) for row in rows)
    )


def _end(record: Result, records: Sequence[Result], column: str, which: Which) -> End | None:
    name, _, score = column.partition(".")
    metric = record.scores[name]
    model, value = metric.reference(which), finite(bounds(record, records).value(name, metric, which, score))
    return None if model is None or value is None else End(model, value)


def _untrained(column: str, records: Sequence[Result]) -> End | None:
    """The mean score of the untrained networks that the metric measured beside the models, if it has no other floor."""
    name, _, score = column.partition(".")
    found = [untrained(record.scores[name], score) for record in records if name in record.scores]
    values = [value for plain in found if plain is not None and (value := finite(plain.value)) is not None]
    return End("untrained", sum(values) / len(values)) if values else None


def _standing(row: Row, cell: Cell, floor: End | None, ceiling: End | None, sign: int) -> Standing:
    """sign: 1 if higher values are better, else -1."""
    value, share = finite(cell.value), None
    if value is not None and floor is not None and ceiling is not None:
        share = (value - floor.value) / (ceiling.value - floor.value)
    if value is None or cell.interval is None or cell.over != SEEDS or not all(map(math.isfinite, cell.interval)):
        return Standing(row, cell, share, "unknown")
    worst, best = sorted(sign * end for end in cell.interval)
    at_floor = floor is not None and worst <= sign * floor.value
    at_ceiling = ceiling is not None and best >= sign * ceiling.value
    place: Place = "both" if at_floor and at_ceiling else "floor" if at_floor else "ceiling" if at_ceiling else "clear"
    return Standing(row, cell, share, place)
