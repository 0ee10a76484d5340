"""How well one can follow rides without knowing the map: two numbers for the card of every world of rides.

A world is a test of a world model only as far as these shortcuts fail on it.

Shape letters: N places, A directions.
"""

from __future__ import annotations

import numpy as np

from worldbench.core import streams
from worldbench.envs.rides.source import RideSource


def counter_accuracy(walker: RideSource, rides: int = 20_000) -> float:
    """How often counting the moves in each direction is enough to find the place where a ride ends, from 0 to 1.

    A linear function of the counts predicts the displacement from the origin; the prediction is the place nearest to
    the predicted position. The function is fitted (least squares) on one half of the rides and scored on the other.
    Below 0.3, counting does not find the place. The value is 1 on every grid whose moves have one length, mazes
    included: there, the position needs no map, but the legal moves do (see `beeline_arrival`).
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


def beeline_arrival(walker: RideSource, rides: int = 10_000) -> float:
    """How often a driver who knows all positions but no streets reaches the destination, from 0 to 1.

    The average is over the distinct (origin, destination) pairs of `rides` test rides. After every move the driver
    learns its true place. It knows the mean displacement of each direction over the whole map. It takes a random one
    of the directions that bring it nearer to the destination in a straight line. If no direction does, it takes the
    one that ends nearest. It fails at its first illegal move, or after `max_moves` moves.
    """
    graph = walker.graph
    source, target, direction = graph.edges.T
    # A direction without a move on this map keeps the displacement 0, so the driver never prefers it.
    step = np.zeros((len(graph.directions), 2))
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
