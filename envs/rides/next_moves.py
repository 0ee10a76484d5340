"""The next move of the shortest path from every place to every destination, for each weighting of the map.

Of several shortest paths, the ride takes the path whose next move has the first direction in the order of the map.

Tables of large maps are kept in the cache (`core/cache.py`): `rides/next-moves-<digest>.npy` with a record
`.json` that holds the digest of the file.

Shape letters: K weightings, N places, A directions, D destinations.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from worldbench.core.cache import cache_folder
from worldbench.core.files import lock, make_folder, read_json, sha256, to_json, write_atomic
from worldbench.core.graph import Graph
from worldbench.envs.rides.weightings import NO_MOVE

AT_ONCE = 256
"""Destinations computed together, to limit memory."""
KEPT_FROM = 1 << 22
"""Tables of at least so many bytes are kept in the cache."""
LOG = logging.getLogger("worldbench")
VERSION = 1
"""Part of the name of a cached table. A change of the rules of this file raises it."""


def next_moves(graph: Graph, weightings: Sequence[np.ndarray]) -> np.ndarray:
    """The direction of the next move: uint8 [K, N, N], by weighting, destination and place.

    The value is A at the destination itself, and at a place from which no path leads to the destination.
    weightings: K arrays int64 [N, A], lengths in millimeters, NO_MOVE where there is no move.
    """
    n = graph.n_places
    shape = (len(weightings), n, n)
    if len(weightings) * n * n < KEPT_FROM:
        out = np.empty(shape, np.uint8)
        _fill(out, graph, weightings)
        return out
    path = cache_folder() / "rides" / f"next-moves-{_digest(graph, weightings)}.npy"
    make_folder(path.parent, "set WORLDBENCH_CACHE to another")
    with lock(path.parent, wait=True):
        if not _whole(path, shape):
            part = path.with_name(f".{path.name}.part")
            LOG.info("computing the shortest paths between %s places, %s times", f"{n:,}", len(weightings))
            table = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
            _fill(table, graph, weightings)
            table.flush()
            del table
            os.replace(part, path)
            write_atomic(path.with_suffix(".json"), to_json({"sha256": sha256(path)}))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _digest(graph: Graph, weightings: Sequence[np.ndarray]) -> str:
    h = hashlib.sha256(f"next moves {VERSION}".encode())
    h.update(np.ascontiguousarray(graph.successor, dtype="<i4").tobytes())
    for weights in weightings:
        h.update(np.ascontiguousarray(weights, dtype="<i8").tobytes())
    return h.hexdigest()[:24]


def _whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Is the file in the cache the table that was written? A file that differs is computed again, with a warning."""
    record = path.with_suffix(".json")
    if not (path.is_file() and record.is_file()):
        return False
    known = read_json(record)
    if isinstance(known, dict) and known.get("sha256") == sha256(path):
        return np.load(path, mmap_mode="r", allow_pickle=False).shape == shape
    LOG.warning("the file %r in the cache is not what was written there; it is computed again", str(path))
    return False


def _fill(out: np.ndarray, graph: Graph, weightings: Sequence[np.ndarray]) -> None:
    for table, weights in zip(out, weightings):
        for low, rows in _tables(graph, weights):
            table[low : low + len(rows)] = rows


def _tables(graph: Graph, weights: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The table of one weighting for AT_ONCE destinations at a time, each with the first destination."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra

    n, directions = graph.successor.shape
    source, direction = np.nonzero(weights != NO_MOVE)
    target, weight = graph.successor[source, direction], weights[source, direction].astype(np.float64)
    # Of several moves between the same two places, the shortest one: the matrix has one entry for both.
    order = np.lexsort((weight, target, source))
    source, target, weight = source[order], target[order], weight[order]
    first = np.ones(len(source), bool)
    first[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    backward = csr_matrix((weight[first], (target[first], source[first])), shape=(n, n))
    for low in range(0, n, AT_ONCE):
        goal = np.arange(low, min(low + AT_ONCE, n))
        left = dijkstra(backward, directed=True, indices=goal)  # float64 [D, N], exact whole numbers
        best = np.full(left.shape, np.inf)
        rows = np.full(left.shape, directions, np.uint8)
        for a in range(directions):
            at = np.flatnonzero(weights[:, a] != NO_MOVE)
            through = weights[at, a] + left[:, graph.successor[at, a]]
            better = through < best[:, at]
            best[:, at] = np.where(better, through, best[:, at])
            rows[:, at] = np.where(better, np.uint8(a), rows[:, at])
        rows[np.arange(len(goal)), goal] = directions
        yield low, rows
