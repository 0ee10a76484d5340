"""Small pictures in the page of a leaderboard, as SVG without any style of their own: the learning curves of a row, and
the street map that the rides of a model imply. The style sheet of the page colors them, in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError
from worldbench.figures import street_map, wrong_ends
from worldbench.records.finding import evidence_folder
from worldbench.records.runs import Result
from worldbench.records.scores import finite

WIDE, HIGH = 420, 220
"""Size of the picture of the learning curves, in units of the SVG."""
LEFT, RIGHT, TOP, FOOT = 52, 10, 10, 34
SIDE = 1000
"""Longest side of a map, in units of the SVG."""
MOST_STREETS = 20_000
"""Largest map that is drawn in the page: its streets and the red streets."""
METRIC = "map_reconstruction"


def curves(records: Sequence[Result]) -> dict[str, object] | None:
    """What the template draws of the held-out losses: lines (points of one polyline for each run), the height of the
    loss of the exact law, and ticks. None if no run has two points."""
    runs = []
    for record in records:
        points = [] if record.training is None else record.training.curve
        known = [(p.step, loss) for p in points if (loss := finite(p.loss)) is not None and p.step > 0]
        if len(known) > 1:
            runs.append(known)
    if not runs:
        return None
    laws = [p.bayes for r in records if r.training is not None for p in r.training.curve if finite(p.bayes) is not None]
    exact = laws[-1] if laws else None
    steps = [step for run in runs for step, _ in run]
    losses = [loss for run in runs for _, loss in run] + ([] if exact is None else [exact])
    low, high, first, last = min(losses), max(losses), min(steps), max(steps)
    if not (math.isfinite(high - low) and last > first):
        return None
    span = (high - low) or 1.0

    def x(step: int) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * math.log(step / first) / math.log(last / first)

    def y(loss: float) -> float:
        return TOP + (HIGH - TOP - FOOT) * (1 - (loss - low) / span)

    powers = range(math.ceil(math.log10(first)), math.floor(math.log10(last)) + 1)
    return {
        "lines": [" ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in run) for run in runs],
        "exact": None if exact is None else (f"{y(exact):.1f}", f"{exact:.3f}"),
        "ticks": [(f"{x(10**power):.1f}", f"{10**power:,}") for power in powers],
        "heights": [(f"{y(loss):.1f}", f"{loss:.3g}") for loss in (low, (low + high) / 2, high)],
        "size": (WIDE, HIGH),
        "frame": (LEFT, TOP, WIDE - RIGHT, HIGH - FOOT),
    }


def street_map_of(sources: Sequence[tuple[Path, Result]]) -> dict[str, object] | None:
    """What the template draws of the map of the first run that has the evidence of the metric; None if no run has it.

    Raises InputError for evidence that cannot be read or is not that of its record, and for a map that is too large for
    a page.
    """
    for path, record in sources:
        if METRIC not in record.scores:
            continue
        file = evidence_folder(path) / f"{METRIC}.npz"
        if file.exists():
            return {**_paths(street_map.load(file)), "seed": record.seed}
    return None


def _paths(data: dict[str, np.ndarray]) -> dict[str, object]:
    edges, black = data["edges"].reshape(-1, 3), data["black"]
    red = street_map.red_streets(data)
    if len(edges) + len(red.ends) > MOST_STREETS:
        raise InputError(f"the map has more than {MOST_STREETS:,} streets, the limit of this page")
    ends = wrong_ends.wrong_ends(data)
    whole = np.concatenate([data["metres"], red.points()])
    low, high = whole.min(axis=0), whole.max(axis=0)
    scale = SIDE / max(float((high - low).max()), 1e-9)

    def at(metres: np.ndarray) -> list[list[int]]:
        """In units of the SVG, whose y points down."""
        placed = (metres - low) * scale
        placed[:, 1] = (high[1] - low[1]) * scale - placed[:, 1]
        return np.round(placed).astype(np.int64).tolist()

    def lines(of: np.ndarray) -> str:
        pairs = np.unique(np.sort(of[:, :2], axis=1), axis=0)
        starts, stops = at(data["metres"][pairs[:, 0]]), at(data["metres"][pairs[:, 1]])
        return "".join(f"M{a} {b}L{c} {d}" for (a, b), (c, d) in zip(starts, stops))

    bent = zip(at(red.start), at(red.control), at(red.stop))
    rings = [] if ends is None else [(a, b, 4 + 4 * min(n, 9)) for (a, b), n in zip(at(ends.at), ends.rides.tolist())]
    size = np.ceil((high - low) * scale).astype(int).tolist()
    return {
        "unused": lines(edges[~black]),
        "used": lines(edges[black]),
        "red": "".join(f"M{a} {b}Q{c} {d} {e} {f}" for (a, b), (c, d), (e, f) in bent),
        "rings": rings,
        "box": f"-20 -20 {size[0] + 40} {size[1] + 40}",
        "counts": (int(black.sum()), len(edges), len(red.ends), None if ends is None else ends.total),
        "red_words": wrong_ends.red_words(data)[0],
        "osm": "lonlat" in data,
    }
