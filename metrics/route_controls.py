"""Controls of map reconstruction: true routes with as many wrong moves as the model makes. They show what
reconstruction itself makes of mistakes.

A ride is *known* up to its first move that the map does not have: until there its place is certain. That move is the
*illegal move* of the ride; the moves after it are not judged. A ride that fails in another way (a token that is no
direction, an `end` at a wrong place, no `end`) has no illegal move and counts in no control.

    share(v, a) = (rides whose illegal move is direction a at place v) / (moves that known rides make from place v)
    share       = (illegal moves) / (moves that known rides make)

Both controls take one true route from the origin to the destination of each ride, and replace single directions. The
rest of the route stays as it was.
- uniform (Vafa et al. 2024, arXiv 2406.03689: "the true map with the model's share of errors"): round(share * number
  of moves) moves of the true routes are chosen, and every set of that size is equally likely. Only moves from places
  that lack a direction can be chosen. A chosen move becomes one of the directions that the map lacks at its place, each
  with the same probability.
- matched: at every move of a true route from a place v, the direction becomes a with probability share(v, a),
  independently each time. These are the model's own mistakes, at the same intersections, as often as the model makes
  them there.

A model with as many red edges as a control makes rides like those of the true map with random slips. A model with more
red edges makes mistakes that are more than slips. The mistakes of both controls depend on the intersection alone.

Shape letters: N places, A directions, n routes, W moves of all routes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from worldbench.core import streams
from worldbench.core.graph import UNREACHABLE, Graph
from worldbench.metrics.routes import Moves, starts, stretches

NO_WAY, FOUND, TOO_LONG = 0, 1, 2
"""What became of a shortest route: none exists; found; left out, because all routes together would be too long."""
FEW = 32
"""Routes that are followed one by one, where no more are left."""
BLOCK = 256
"""Destinations whose distances are held at once."""


def places_along(graph: Graph, origin: np.ndarray, moves: Moves) -> np.ndarray:
    """The place of each move: int32 [W]; -1 after the illegal move of a route, and from the first token that is no
    direction."""
    place = np.full(len(moves.words), -1, np.int32)
    rows = np.flatnonzero(moves.lengths)
    at = np.asarray(origin, np.int32)[rows]
    step = 0
    while len(rows) > FEW:
        cell = moves.start[rows] + step
        move = moves.words[cell]
        going = move >= 0
        rows, at, cell, move = rows[going], at[going], cell[going], move[going]
        place[cell] = at
        at = graph.successor[at, move]
        step += 1
        going = (at >= 0) & (moves.lengths[rows] > step)
        rows, at = rows[going], at[going]
    if len(rows):  # a few long routes, whose steps would each be an array of a few
        successor = graph.successor.tolist()
        for row, here in zip(rows.tolist(), at.tolist()):
            cell, along = int(moves.start[row]) + step, []
            for move in moves.words[cell : moves.start[row + 1]].tolist():
                if here < 0 or move < 0:
                    break
                along.append(here)
                here = successor[here][move]
            place[cell : cell + len(along)] = along
    return place


def ends_of(graph: Graph, origin: np.ndarray, moves: Moves, place: np.ndarray | None = None) -> np.ndarray:
    """Where legal routes end: int64 [n]; -1 for a route that makes an illegal move or has a token that is no direction.

    place: the result of `places_along`, where the caller has it.
    """
    place = places_along(graph, origin, moves) if place is None else place
    at = np.asarray(origin, np.int64).copy()
    some = moves.lengths > 0
    last = moves.start[1:][some] - 1
    known = place[last] >= 0
    to = graph.successor[np.maximum(place[last], 0), np.maximum(moves.words[last], 0)]
    at[some] = np.where(known, to, -1)
    return at


@dataclass(frozen=True)
class Mistakes:
    """The moves in the known parts of rides.

    wrong: int64 [N, A], illegal moves by place and direction. made: int64 [N], all moves by place.
    illegal: bool [n], the routes with an illegal move. moves: int64 [n], the moves of each route.
    """

    wrong: np.ndarray
    made: np.ndarray
    illegal: np.ndarray
    moves: np.ndarray

    @property
    def share(self) -> float:
        """Illegal moves among all; 0 where there are no moves."""
        return float(self.wrong.sum() / max(self.made.sum(), 1))

    @property
    def rate(self) -> np.ndarray:
        """share(v, a), float64 [N, A]; 0 at places that no known ride leaves."""
        return self.wrong / np.maximum(self.made, 1)[:, None]


def mistakes(graph: Graph, origin: np.ndarray, moves: Moves) -> Mistakes:
    """Count the illegal moves of routes."""
    n, a = graph.successor.shape
    place = places_along(graph, origin, moves)
    known = place >= 0
    v, move = place[known].astype(np.int64), moves.words[known].astype(np.int64)
    illegal = graph.successor[v, move] < 0
    wrong = np.bincount(v[illegal] * a + move[illegal], minlength=n * a).reshape(n, a)
    row = moves.row[known]
    return Mistakes(
        wrong, np.bincount(v, minlength=n), np.bincount(row[illegal], minlength=len(moves)) > 0,
        np.bincount(row, minlength=len(moves)),
    )  # fmt: skip


def uniform_errors(graph: Graph, origin: np.ndarray, moves: Moves, share: float, seed: int) -> Moves:
    """The uniform control: a copy of true routes with wrong directions.

    Draws: stream ("evaluation", seed, "control uniform"), by route; of a route's 2 * width numbers the first half
    chooses its moves, the second their directions.
    """
    place = places_along(graph, origin, moves)
    missing = graph.successor < 0
    lacks = (~missing).sum(1) < missing.shape[1]
    cell = np.flatnonzero((place >= 0) & lacks[place])
    count = min(round(share * int((place >= 0).sum())), len(cell))
    words = moves.words.copy()
    if count:
        stream = ("evaluation", seed, "control uniform")
        row, step = moves.row[cell], cell - moves.start[moves.row[cell]]
        chosen = np.argsort(streams.uniform_cells(row, step, 2 * moves.width, *stream), kind="stable")[:count]
        chosen.sort()
        cell = cell[chosen]
        uniform = streams.uniform_cells(row[chosen], moves.width + step[chosen], 2 * moves.width, *stream)
        words[cell] = _one_of(missing, place[cell], uniform)
    return replace(moves, words=words)


def _one_of(choices: np.ndarray, place: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One of the allowed directions at each place, each with the same probability: int16 [k].

    choices: bool [N, A], the allowed directions; every place in `place` [k] has some. uniform: [k] in [0, 1). The loop
    goes over directions, so that no table [k, A] is made.
    """
    wanted = uniform * choices.sum(1)[place]
    passed, move = np.zeros(len(place)), np.zeros(len(place), np.int16)
    for there in choices.T:
        passed += there[place]
        move += passed <= wanted
    return move


def matched_errors(graph: Graph, origin: np.ndarray, moves: Moves, rate: np.ndarray, seed: int) -> Moves:
    """The matched control: a copy of true routes, wrong as often as `rate` [N, A] says.

    Draws: stream ("evaluation", seed, "control matched"), by route; one number for each of its `width` moves.
    """
    place = places_along(graph, origin, moves)
    cell = np.flatnonzero((place >= 0) & (rate.sum(1) > 0)[place])
    row = moves.row[cell]
    uniform = streams.uniform_cells(row, cell - moves.start[row], moves.width, "evaluation", seed, "control matched")
    move = np.zeros(len(cell), np.int16)
    for below in np.cumsum(rate, axis=1).T:
        move += below[place[cell]] <= uniform
    words = moves.words.copy()
    words[cell] = np.where(move < rate.shape[1], move, words[cell])
    return replace(moves, words=words)


def shortest_routes(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, most: int | None = None
) -> tuple[Moves, np.ndarray]:
    """A route of fewest moves for each pair, and what became of it. Of several such routes the first in the order of
    directions is taken.

    most: the most moves of all routes together; routes beyond that are TOO_LONG. None: no bound.
    Returns the routes, empty where none is found, and int8 [n]: NO_WAY, FOUND or TOO_LONG.
    """
    n = len(origin)
    lengths = np.zeros(n, np.int64)
    became = np.full(n, NO_WAY, np.int8)
    found: list[tuple[np.ndarray, np.ndarray]] = []  # for each block of destinations: rows, and their moves end to end
    wanted, which = np.unique(destination, return_inverse=True)
    for low in range(0, len(wanted), BLOCK):
        rows = np.flatnonzero((which >= low) & (which < low + BLOCK))
        hops = graph.hops_to(wanted[low : low + BLOCK]).astype(np.int64)
        goal, at = which[rows] - low, np.asarray(origin, np.int64)[rows]
        left = hops[goal, at]
        there = left < UNREACHABLE
        if most is not None:
            became[rows[there]] = TOO_LONG
            there &= np.cumsum(np.where(there, left, 0)) + lengths.sum() <= most
        rows, goal, at, left = (x[there] for x in (rows, goal, at, left))
        became[rows], lengths[rows] = FOUND, left
        start = starts(left)
        words = np.empty(start[-1], np.int16)
        found.append((rows, words))
        cell = start[:-1]
        while (left > 0).any():
            cell, goal, at, left = (x[left > 0] for x in (cell, goal, at, left))
            to = graph.successor[at]
            closer = (to >= 0) & (hops[goal[:, None], np.maximum(to, 0)] == left[:, None] - 1)
            move = closer.argmax(1)
            words[cell] = move
            cell, at, left = cell + 1, to[np.arange(len(at)), move].astype(np.int64), left - 1
    start = starts(lengths)
    out = np.empty(start[-1], np.int16)
    for rows, words in found:
        out[stretches(start[rows], lengths[rows])] = words
    return Moves(out, start, max(1, int(lengths.max(initial=0)))), became


def completed_routes(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: Moves, most: int | None = None
) -> tuple[Moves, np.ndarray]:
    """True routes from given ones: each given route as far as it is legal, then a shortest way to the destination.

    A given route that is legal and arrives stays as it is. Returns the routes, and what became of the shortest ways (as
    `shortest_routes` does).
    """
    place = places_along(graph, origin, moves)
    to = np.where(place >= 0, graph.successor[np.maximum(place, 0), np.maximum(moves.words, 0)], -1)
    legal = np.bincount(moves.row[to >= 0], minlength=len(moves))
    at = np.asarray(origin, np.int64).copy()
    at[legal > 0] = to[(moves.start[:-1] + legal - 1)[legal > 0]]
    rest, became = shortest_routes(graph, at, destination, most)
    lengths = legal + rest.lengths
    start = starts(lengths)
    words = np.empty(start[-1], np.int16)
    words[stretches(start[:-1], legal)] = moves.words[to >= 0]
    words[stretches(start[:-1] + legal, rest.lengths)] = rest.words
    return Moves(words, start, max(1, int(lengths.max(initial=0)))), became
