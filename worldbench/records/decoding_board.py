"""The board of speculative decoding: how many drafts are accepted, and how much faster a model decodes, over training
seeds; a table for each world and machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from worldbench.core import cells, tables
from worldbench.core.files import identity_hash
from worldbench.core.statistics import Mean
from worldbench.core.text import counted
from worldbench.records.decoding import Decoding
from worldbench.records.decoding_lines import Line, Point, compared, lines_of, machine_of
from worldbench.records.parts import Head
from worldbench.records.world_words import words_of, world_key

HEAD = ("model", "way", "drafts", "seeds", "tokens per round", "accepted", "speed-up", "in processor time")
BELOW = (
    "drafts: drafted tokens per round; accepted: the share of them that the model accepts; speed-up: the time of plain "
    "decoding divided by the time with drafts, the median over repeats"
)
SEVERAL_SEEDS = "; ±: 95% t interval over training seeds"
ONE_SEED = "; in parentheses, for a single seed: the range over repeats"
Format = Literal["table", "markdown"]


def board(
    records: Iterable[tuple[Path, Decoding]],
    cards: dict[str, dict[str, Any]],
    form: Format = "table",
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """The board as text. cards: facts of worlds by the hash of their identity, which results hold. say: receives a
    sentence for each measurement that is not used."""
    parts = list[str]()
    shown = list[Point]()
    groups = compared(records).values()
    titles = _titles([runs[0][1] for runs in groups], cards)
    for title, runs in zip(titles, groups):
        lines = lines_of(runs, title, say)
        if not lines:
            continue
        shown += [point for line in lines for point in line.points]
        body = [_row(line, point) for line in lines for point in line.points]
        if form == "markdown":
            parts += [cells.markdown_line(title), tables.markdown(HEAD, body)]
        else:
            parts.append(tables.terminal(HEAD, body, 3, title=title))
    below = _below(shown)
    if form == "markdown":
        return "\n\n".join([*parts, cells.markdown_line(below)])
    return "\n".join([*parts, tables.note(below)])


def _below(shown: list[Point]) -> str:
    """What the columns of the board mean, and the signs that it shows."""
    several = any(p.speed_up.interval is not None for p in shown)
    one = any(p.repeats is not None for p in shown)
    return f"{BELOW}{SEVERAL_SEEDS if several else ''}{ONE_SEED if one else ''}"


def _titles(firsts: list[Decoding], cards: dict[str, dict[str, Any]]) -> list[str]:
    """World, preset, training data and machine. If the words of two groups are equal, the key of the world is added."""
    out = [", ".join([_world(record, cards), *machine_of(record)]) for record in firsts]
    return [words if out.count(words) == 1 else f"{words} ({world_key(record)})" for words, record in zip(out, firsts)]


def _world(record: Head, cards: dict[str, dict[str, Any]]) -> str:
    world = words_of(record.world_name, record.world, cards.get(identity_hash(record.world), {}))
    documents = record.number("data", "documents")
    data = [counted(int(documents), "document")] if documents else []
    return ", ".join([world, f"preset {record.preset}", *data])


def _row(line: Line, point: Point) -> list[str]:
    speed_up = _text(point.speed_up, 2)
    if point.repeats is not None:
        speed_up += f" ({point.repeats[0]:.2f} .. {point.repeats[1]:.2f})"
    return [
        line.label, line.short, str(point.drafts), str(line.seeds), _text(point.tokens, 2), _text(point.accepted, 3),
        speed_up, _text(point.processor, 2),
    ]  # fmt: skip


def _text(mean: Mean, digits: int) -> str:
    half = "" if mean.interval is None else f" ±{mean.interval[1] - mean.value:.{digits}f}"
    return f"{mean.value:.{digits}f}{half}"
