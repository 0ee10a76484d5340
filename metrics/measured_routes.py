"""What is measured on routes, whoever made them: the map that explains them, and the two controls."""

from __future__ import annotations

import numpy as np

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.core.metric import Report, Score
from worldbench.core.statistics import mean_interval
from worldbench.core.text import counted
from worldbench.metrics.reconstruction import DRAWN, DRAWN_WITH_RED, FAILED, Reconstruction, reconstruct
from worldbench.metrics.route_controls import FOUND, completed_routes, ends_of, matched_errors, mistakes, uniform_errors
from worldbench.metrics.routes import NOT_A_DIRECTION, Moves, starts, stretches

SHARES = ("edge_precision", "edge_recall", "failed_routes", "routes_without_red", "routes_with_red")


def scores_of(drawing: Reconstruction) -> dict[str, float]:
    """The scores of one order of the routes."""
    share = [
        float((drawing.status == s).mean()) if len(drawing.status) else float("nan")
        for s in (FAILED, DRAWN, DRAWN_WITH_RED)
    ]
    return {
        "edge_precision": drawing.precision,
        "edge_recall": drawing.recall,
        "black_edges": float(drawing.n_black),
        "red_edges": float(drawing.n_red),
        "unused_edges": float(len(drawing.edges) - drawing.n_black),
        "failed_routes": share[0],
        "routes_without_red": share[1],
        "routes_with_red": share[2],
    }


def over_orders(name: str, values: list[float]) -> Score:
    """The mean over orders of the same routes, with Student's t interval over orders (of shares, cut to 0..1)."""
    if not np.isfinite(values).all():
        return Score(float("nan"), len(values), None)
    mean = mean_interval(values)
    interval = mean.interval
    if interval is not None and name in SHARES:
        interval = max(0.0, interval[0]), min(1.0, interval[1])
    return Score(mean.value, mean.n, interval)


def measure_routes(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: Moves, true: Moves, *,
    degree: int, distance: float, orders: int, roll_back: bool, seed: int,
) -> Report:  # fmt: skip
    """Everything that is measured on n routes, whoever made them: origin, destination int [n].

    true: a legal route for each pair, which the controls are made of. Pairs without such a route are left out of the
    controls, and counted in a note. orders: how often the routes are drawn: as given the first time, then shuffled.
    """

    def draw(o: np.ndarray, d: np.ndarray, m: Moves, order: np.ndarray | None = None) -> Reconstruction:
        return reconstruct(graph, o, d, m, degree=degree, distance=distance, roll_back=roll_back, order=order)

    drawings = []
    for k in range(orders):
        order = streams.generator("bootstrap", seed, "orders", k).permutation(len(moves)) if k else None
        drawings.append(draw(origin, destination, moves, order))
    by_order = [scores_of(d) for d in drawings]
    series = {name: [s[name] for s in by_order] for name in by_order[0]}
    first = drawings[0]
    report = Report(
        scores={name: over_orders(name, values) for name, values in series.items()},
        series={"by_order": {"order": list(range(orders)), **series}},
        arrays={
            "map": np.array(graph.name),
            "places": np.array(graph.places),
            "directions": np.array(graph.directions),
            "metres": graph.metres,
            "edges": first.edges,
            "uses": first.uses,
            "black": first.black,
            "red": first.red,
            "red_uses": first.red_uses,
            "status": first.status,
            "origin": np.asarray(origin, np.int32),
            "destination": np.asarray(destination, np.int32),
        },
    )
    if (streets := graph.street[first.edges[:, 0], first.edges[:, 2]].astype(str)).any():
        report.arrays["streets"] = streets
    if graph.lonlat is not None:
        report.arrays["lonlat"] = graph.lonlat
    if first.n_black + first.n_red == 0:
        report.notes.append("no ride could be explained: no map is drawn, and its precision is undefined")

    found = mistakes(graph, origin, moves)
    made = int(found.made.sum())
    report.scores["illegal_moves"] = Score(found.share, made)
    there = ends_of(graph, origin, true) == destination
    o, d, t = origin[there], destination[there], true.take(there)
    for name, wrong in (
        ("uniform", uniform_errors(graph, o, t, found.share, seed)),
        ("matched", matched_errors(graph, o, t, found.rate, seed)),
    ):
        drawing = draw(o, d, wrong)
        report.scores[f"control_{name}_precision"] = Score(drawing.precision, len(o))
        report.scores[f"control_{name}_red"] = Score(float(drawing.n_red), len(o))
        report.scores[f"control_{name}_failed"] = Score(drawing.n_failed / len(o) if len(o) else float("nan"), len(o))
        report.arrays |= {f"control_{name}_{part}": getattr(drawing, part) for part in ("black", "red", "status")}
        if drawing.n_black + drawing.n_red == 0:
            report.notes.append(f"no route of the {name} control could be explained: its precision is undefined")
    report.arrays["control_rides"] = np.flatnonzero(there).astype(np.int32)
    if len(o) < len(moves):
        report.notes.append(
            counted(
                len(moves) - len(o), "ride has no true route between its ends, and is left out",
                "rides have no true route between their ends, and are left out", commas=False,
            ) + " of the controls"
        )  # fmt: skip
    if not made:
        report.notes.append("no ride names a direction: there are no illegal moves to hold the controls against")
    return report


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
