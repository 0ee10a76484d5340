"""A deliberately damaged copy of a map. A useful metric must notice that a model follows the damaged map.

Each kind of damage (deleted, added, rewired) draws its edges in a random order that depends on the map and the seed
alone. So damage of higher severity contains all damage of lower severity, and the kinds do not influence each other.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.text import counted


def damaged_map(graph: Graph, deleted: int, added: int, rewired: int, seed: int) -> Graph:
    """A copy of the map with edges rewired, then deleted, then added; the three counts say how many of each.

    A rewired edge leads to a random other place. An edge is deleted only if another edge still leaves the same place.
    An added edge starts at a random place, in a direction that is free there on the true map, and leads to a random
    other place. Rewired edges keep their length and street name; added edges have none. Raises InputError if the map
    has too few edges, or too few free directions, for the counts.
    """
    successor, length = graph.successor.copy(), graph.length.copy()
    n, edges = graph.n_places, graph.edges

    rng = streams.generator("damage", "rewired", graph.digest, seed)
    order = rng.permutation(len(edges))
    shift = rng.random(len(edges))
    if rewired > len(edges):
        raise InputError(f"only {counted(len(edges), 'edge')} of {graph.name} can be rewired, not {rewired}")
    for e in order[:rewired]:
        source, target, direction = edges[e]
        others = np.setdiff1d(np.arange(n), [source, target])
        successor[source, direction] = others[int(shift[e] * len(others))]

    rng = streams.generator("damage", "deleted", graph.digest, seed)
    degree = (graph.successor >= 0).sum(1)
    gone = 0
    for e in rng.permutation(len(edges)):
        if gone == deleted:
            break
        source, _, direction = edges[e]
        if degree[source] > 1:
            successor[source, direction], length[source, direction] = -1, np.nan
            degree[source] -= 1
            gone += 1
    if gone < deleted:
        raise InputError(
            f"only {counted(gone, 'edge')} of {graph.name} can be deleted without leaving a place "
            f"that no move leaves, not {deleted}"
        )

    rng = streams.generator("damage", "added", graph.digest, seed)
    free = np.argwhere(graph.successor < 0)
    if added > len(free):
        raise InputError(f"only {counted(len(free), 'edge')} can be added to {graph.name}, not {added}")
    places = rng.random(len(free))
    for i in rng.permutation(len(free))[:added]:
        source, direction = free[i]
        successor[source, direction] = (source + 1 + int(places[i] * (n - 1))) % n
    return dataclasses.replace(graph, name=f"{graph.name}, damaged", successor=successor, length=length)
