"""What is measured on routes, whoever made them: the map that explains them, where they end, and the two controls."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.core.metric import Report, Score
from worldbench.core.text import counted
from worldbench.metrics.map_intervals import map_scores, over_orders, range_over_orders
from worldbench.metrics.reconstruction import FAILED, Reconstruction, reconstruct
from worldbench.metrics.route_controls import FOUND, completed_routes, ends_of, matched_errors, mistakes, uniform_errors
from worldbench.metrics.routes import NOT_A_DIRECTION, Moves, starts, stretches

MOVES_ALONE = {
    "precision": "street_precision", "recall": "street_recall", "black": "true_streets", "red": "implied_streets",
    "failed": "unexplained_rides", "with_red": "rides_with_implied",
}  # fmt: skip
FORCED_END = {
    "precision": "edge_precision", "recall": "edge_recall", "black": "black_edges", "red": "red_edges",
    "unused": "unused_edges", "failed": "failed_routes", "without_red": "routes_without_red",
    "with_red": "routes_with_red",
}  # fmt: skip
"""Names of the scores in each mode of the reconstruction: from moves alone; with the forced end of Vafa et al."""
CONTROL_ALONE = {"precision": "street_precision", "red": "implied_streets", "failed": "unexplained"}
CONTROL_FORCED = {"precision": "precision", "red": "red", "failed": "failed"}
"""The same for the controls; the names follow `control_uniform_` and `control_matched_`."""


@dataclass(frozen=True)
class GivenRoutes:
    """Routes, and how maps are drawn from them: origin, destination int [n]; the options of `reconstruct`."""

    graph: Graph
    origin: np.ndarray
    destination: np.ndarray
    moves: Moves
    degree: int
    distance: float
    roll_back: bool

    def draw(self, forced_end: bool, order: np.ndarray | None = None) -> Reconstruction:
        return reconstruct(
            self.graph, self.origin, self.destination, self.moves, degree=self.degree, distance=self.distance,
            roll_back=self.roll_back, forced_end=forced_end, order=order,
        )  # fmt: skip


def measure_routes(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: Moves, true: Moves, *,
    degree: int, distance: float, orders: int, roll_back: bool, seed: int,
) -> Report:  # fmt: skip
    """Everything that is measured on n routes, whoever made them: origin, destination int [n].

    true: a legal route for each pair, which the controls are made of. Pairs without such a route are left out of the
    controls, and counted in a note. orders: how often the routes are drawn: as given the first time, then shuffled.
    The arrays of the report are those of the first order. They describe the map from moves alone; names that begin with
    `forced_` belong to the map with the forced end.
    """
    routes = GivenRoutes(graph, origin, destination, moves, degree, distance, roll_back)
    shuffled = [
        streams.generator("bootstrap", seed, "orders", k).permutation(len(moves)) if k else None for k in range(orders)
    ]
    report = Report(scores={}, series={"by_order": {"order": list(range(orders))}})
    for forced_end, names in ((False, MOVES_ALONE), (True, FORCED_END)):
        drawings = [routes.draw(forced_end, order) for order in shuffled]
        scores = map_scores(drawings)
        report.scores |= {name: scores[part] for part, name in names.items()}
        if forced_end:
            extremes = range_over_orders(scores["precision"], drawings)
            report.scores |= {f"{names['precision']}_{end}": score for end, score in extremes.items()}
        else:
            report.scores[f"{names['precision']}_orders"] = over_orders(scores["precision"], drawings)
        by_order = [map_scores([d]) for d in drawings]
        report.series["by_order"] |= {name: [s[part].value for s in by_order] for part, name in names.items()}
        first = drawings[0]
        kept = {part: getattr(first, part) for part in ("uses", "black", "red", "red_uses", "status")}
        report.arrays |= {f"forced_{part}" if forced_end else part: values for part, values in kept.items()}
    _describe(report, graph, routes)
    _count_ends(report, routes)
    _hold_against_controls(report, routes, true, seed)
    return report


def _describe(report: Report, graph: Graph, routes: GivenRoutes) -> None:
    """Put the map and the ends of the routes into the arrays."""
    report.arrays |= {
        "map": np.array(graph.name),
        "places": np.array(graph.places),
        "directions": np.array(graph.directions),
        "metres": graph.metres,
        "edges": graph.edges,
        "origin": np.asarray(routes.origin, np.int32),
        "destination": np.asarray(routes.destination, np.int32),
    }
    if (streets := graph.street[graph.edges[:, 0], graph.edges[:, 2]].astype(str)).any():
        report.arrays["streets"] = streets
    if graph.lonlat is not None:
        report.arrays["lonlat"] = graph.lonlat


def _count_ends(report: Report, routes: GivenRoutes) -> None:
    """Count the rides that end elsewhere than at their destination, and those that never end. A ride with an illegal
    move is in neither number, unless it never ends: where it ends is not certain."""
    end = ends_of(routes.graph, routes.origin, routes.moves.alone())
    never = routes.moves.never_ends
    elsewhere = ~never & (end >= 0) & (end != routes.destination)
    report.scores["ends_elsewhere"] = Score.rate(elsewhere, "rides")
    report.scores["never_ends"] = Score.rate(never, "rides")
    report.arrays["end"] = np.where(never, -1, end).astype(np.int32)
    report.arrays["wrong_ends"] = end[elsewhere].astype(np.int32)


def _hold_against_controls(report: Report, routes: GivenRoutes, true: Moves, seed: int) -> None:
    """The share of illegal moves, and the maps of true routes with as many of them."""
    graph, origin, destination = routes.graph, routes.origin, routes.destination
    found = mistakes(graph, origin, routes.moves)
    made = int(found.made.sum())
    illegal = found.illegal.astype(float)
    share = (
        Score.share(illegal, found.moves, "rides") if made else Score.missing("no ride names a direction", len(illegal))
    )
    report.scores["illegal_moves"] = share
    there = ends_of(graph, origin, true) == destination
    o, d, t = origin[there], destination[there], true.take(there)
    for name, wrong in (
        ("uniform", uniform_errors(graph, o, t, found.share, seed)),
        ("matched", matched_errors(graph, o, t, found.rate, seed)),
    ):
        control = GivenRoutes(graph, o, d, wrong, routes.degree, routes.distance, routes.roll_back)
        for forced_end, names in ((False, CONTROL_ALONE), (True, CONTROL_FORCED)):
            drawing = control.draw(forced_end)
            scores = map_scores([drawing])
            for part, word in names.items():  # without an interval: it is one draw of the mistakes, in one order
                report.scores[f"control_{name}_{word}"] = replace(scores[part], interval=None, over="")
            prefix = f"control_{name}_forced_" if forced_end else f"control_{name}_"
            report.arrays |= {f"{prefix}{part}": getattr(drawing, part) for part in ("black", "red", "status")}
    report.arrays["control_rides"] = np.flatnonzero(there).astype(np.int32)
    if (left_out := len(there) - len(o)) > 0:
        report.notes.append(
            counted(
                left_out, "ride has no true route between its ends, and is left out",
                "rides have no true route between their ends, and are left out", commas=False,
            ) + " of the controls"
        )  # fmt: skip
    if not made:
        report.notes.append("no ride names a direction: there are no illegal moves to hold the controls against")


def modes(report: Report, roll_back: bool) -> list[str]:
    """Sentences that say in which modes the maps were drawn, and how many rides could not be explained in each, in the
    first order."""
    alone, forced = (int((report.arrays[name] == FAILED).sum()) for name in ("status", "forced_status"))
    mode, kept = ("roll-back", "leave no street") if roll_back else ("released", "leave the streets drawn before")
    return [
        f"moves alone (street_*): {counted(alone, 'ride')} could not be explained",
        f"forced end, {mode} mode (edge_*, after Vafa et al.): {counted(forced, 'ride')} could not be explained, and "
        f"{kept}",
    ]


def completed(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: Moves, most: int | None = None
) -> tuple[Moves, np.ndarray]:
    """True routes by `completed_routes`, as `measure_routes` takes them, and what became of each, int8 [n].

    A route that is not found is a single NOT_A_DIRECTION.
    """
    routes, became = completed_routes(graph, origin, destination, moves, most)
    reached = became == FOUND
    lengths = np.where(reached, routes.lengths, 1)
    start = starts(lengths)
    words = np.full(start[-1], NOT_A_DIRECTION, np.int16)
    words[stretches(start[:-1][reached], lengths[reached])] = routes.take(reached).words
    return Moves(words, start, routes.width), became
