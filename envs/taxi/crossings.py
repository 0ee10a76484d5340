"""Streets from a drawing: lines with names and directions, which meet where they cross.

Crossings nearer to each other than MERGED make one intersection. An intersection is named after the lines that meet
there, in the order of the drawing, such as `Broadway&5Av&W23St`.
Letters: S segments, C crossings, P intersections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MERGED = 130.0
"""Feet: crossings nearer to each other than this make one intersection."""
REACH = 70.0
"""Feet by which the ends of a line are made longer before crossings are searched, so that a line that ends at another
line meets it."""

Way = str
"""Traffic along the points of a line ("up"), against them ("down"), or "both"."""


@dataclass(frozen=True)
class Line:
    """name: of the street at a position (feet across, feet along). points: float64 [K, 2], feet. opens: does the line
    run through superblocks?"""

    name: Callable[[float, float], str]
    way: Way
    points: np.ndarray
    opens: bool = False


@dataclass(frozen=True)
class Drawing:
    """names: of P intersections. position: float64 [P, 2], feet. source, target: int64 [E], one row per direction of
    travel. street: E names."""

    names: list[str]
    position: np.ndarray
    source: np.ndarray
    target: np.ndarray
    street: list[str]


def named(name: str) -> Callable[[float, float], str]:
    """The name of a line that has the same name everywhere."""
    return lambda _across, _along: name


def draw(lines: Sequence[Line], closed: Callable[[np.ndarray], np.ndarray]) -> Drawing:
    """The intersections and pieces of street of a drawing. closed: for points float64 [N, 2], bool [N]: is the point
    inside a superblock?"""
    at, first, second, where = _crossings(lines)
    open_ = ~closed(at)
    at, first, second, where = at[open_], first[open_], second[open_], where[open_]
    group = _grouped(at)
    n = int(group.max()) + 1
    position = np.stack([np.bincount(group, at[:, k], n) / np.bincount(group, minlength=n) for k in (0, 1)], axis=1)
    meeting: list[set[int]] = [set() for _ in range(n)]
    for place, one, other in zip(group.tolist(), first.tolist(), second.tolist()):
        meeting[place] |= {one, other}
    names = _names(lines, meeting, position)
    pieces: dict[tuple[int, int], str] = {}  # where two lines run along each other, the first has the piece
    for k, line in enumerate(lines):
        mine, along = (
            np.concatenate([group[first == k], group[second == k]]),
            np.concatenate([where[first == k, 0], where[second == k, 1]]),
        )
        stops = mine[np.argsort(along, kind="stable")].tolist()
        ends = [(a, b) for a, b in pairwise(stops) if a != b]
        if not ends:
            continue
        middle = position[np.array(ends)].mean(1)
        shut = np.zeros(len(ends), bool) if line.opens else closed(middle)
        for (a, b), (across, up), inside in zip(ends, middle.tolist(), shut.tolist()):
            for start, end, ways in ((a, b, ("up", "both")), (b, a, ("down", "both"))):
                if not inside and line.way in ways:
                    pieces.setdefault((start, end), line.name(across, up))
    source, target = np.array(list(pieces), np.int64).T
    return Drawing(names, position, source, target, list(pieces.values()))


def _crossings(lines: Sequence[Line]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points float64 [C, 2] where two lines cross, the lines int64 [C] and [C], and how far along each of the two lines
    the point lies, float64 [C, 2], in segments."""
    starts, ends, owner, number = [], [], [], []
    for k, line in enumerate(lines):
        points = _longer(line.points)
        starts.append(points[:-1])
        ends.append(points[1:])
        owner += [k] * (len(points) - 1)
        number += range(len(points) - 1)
    start, end, of, part = np.concatenate(starts), np.concatenate(ends), np.array(owner), np.array(number, float)
    low, high = np.minimum(start, end), np.maximum(start, end)
    near = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(2) & (of[:, None] < of[None])
    i, j = np.nonzero(near)
    along, across, between = end[i] - start[i], end[j] - start[j], start[j] - start[i]
    area = _cross(along, across)
    with np.errstate(divide="ignore", invalid="ignore"):
        s, t = _cross(between, across) / area, _cross(between, along) / area
    meet = (area != 0) & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    i, j, s, t = i[meet], j[meet], s[meet], t[meet]
    return start[i] + s[:, None] * (end[i] - start[i]), of[i], of[j], np.stack([part[i] + s, part[j] + t], axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _longer(points: np.ndarray) -> np.ndarray:
    """The points of a line whose first and last segment are longer by REACH."""
    out = points.astype(float)
    for end, inner in ((0, 1), (-1, -2)):
        away = points[end] - points[inner]
        out[end] = points[end] + away * (REACH / np.hypot(*away))
    return out


def _grouped(at: np.ndarray) -> np.ndarray:
    """int64 [C]: the intersection of every crossing, numbered in the order of their first crossings."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    near = KDTree(at).query_pairs(MERGED, output_type="ndarray")
    links = coo_matrix((np.ones(len(near)), near.T), shape=(len(at), len(at)))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _names(lines: Sequence[Line], meeting: Sequence[set[int]], position: np.ndarray) -> list[str]:
    """The names of the intersections. Where the same streets meet twice, the second name ends in `&2`."""
    out: list[str] = []
    seen: Counter[str] = Counter()
    for found, (across, along) in zip(meeting, position.tolist()):
        name = "&".join(dict.fromkeys(lines[k].name(across, along) for k in sorted(found)))
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}&{seen[name]}")
    return out
