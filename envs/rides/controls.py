"""How much of a map's rides can be had without the map: two numbers for the card of every world of rides.

Shape letters: N places, A directions.
"""

from __future__ import annotations

import numpy as np

from worldbench.core import streams
from worldbench.envs.rides.walker import Walker


def counter_accuracy(walker: Walker, rides: int = 20_000) -> float:
    """Share of rides whose end is the place nearest to origin + a linear function of how often each direction was
    taken.

    Below .3 nobody can tell where a ride stands by counting (metrics.md, section 7); 1 on any grid with moves of one
    length, mazes among them: there the map is needed for what can be driven, not for where one is (see
    `beeline_arrival`). Fitted on one half of the rides, scored on the other.
    """
    from scipy.spatial import KDTree

    graph, n_directions = walker.graph, len(walker.graph.directions)
    origin, destination, moves, directions = walker.rides(streams.integer("counter accuracy"), "train", 0, rides)
    directions = np.where(np.arange(walker.max_moves)[None, :] < moves[:, None], directions, n_directions)
    counts = np.stack([(directions == a).sum(1) for a in range(n_directions)], axis=1).astype(float)
    metres, half = graph.metres, rides // 2
    shift = metres[destination] - metres[origin]
    fit, *_ = np.linalg.lstsq(counts[:half], shift[:half], rcond=None)
    _, nearest = KDTree(metres).query(metres[origin[half:]] + counts[half:] @ fit)
    return float((nearest == destination[half:]).mean())


def beeline_arrival(walker: Walker, rides: int = 10_000) -> float:
    """Share of the held-out pairs that some ride is asked for in which a driver who knows all positions but no streets
    reaches the destination in the budget.

    It is told where it stands after every move, and how far each direction leads on average over the map; it takes a
    uniform one of the directions that bring it nearer to the destination as the crow flies (none: the one that leaves
    it nearest), and is out at its first illegal turn.
    """
    graph = walker.graph
    source, target, direction = graph.edges.T
    step = np.zeros(
        (len(graph.directions), 2)
    )  # a direction that no move of the map has leads nowhere, and so brings nobody nearer
    for a in np.unique(direction):
        of = direction == a
        step[a] = (graph.metres[target[of]] - graph.metres[source[of]]).mean(0)
    origin, destination, _, _ = walker.rides(streams.integer("beeline"), "test", 0, rides)
    at, goal = np.divmod(np.unique(origin * graph.n_places + destination), graph.n_places)
    pairs, arrived = len(at), 0
    uniform, running = streams.uniform(0, pairs, walker.max_moves, "beeline"), np.arange(pairs)
    for t in range(walker.max_moves + 1):
        there = at == goal
        arrived += int(there.sum())
        at, goal, running = at[~there], goal[~there], running[~there]
        if t == walker.max_moves or not len(at):
            break
        left = graph.metres[goal] - graph.metres[at]
        after = np.hypot(*np.moveaxis(left[:, None] - step[None], 2, 0))
        nearer = after < np.hypot(*left.T)[:, None] - 1e-6
        nearer[~nearer.any(1)] = after[~nearer.any(1)] == after[~nearer.any(1)].min(1, keepdims=True)
        chosen = (uniform[running, t] * nearer.sum(1)).astype(np.int64)
        a = np.argmax(np.cumsum(nearer, axis=1) > chosen[:, None], axis=1)
        at = graph.successor[at, a].astype(np.int64)
        legal = at >= 0
        at, goal, running = at[legal], goal[legal], running[legal]
    return arrived / pairs
