"""The maps in results/village-plan, drawn again from the rides in the published evidence, in both modes."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.metrics.map_intervals import map_scores
from worldbench.metrics.measured_routes import FORCED_END, MOVES_ALONE, GivenRoutes
from worldbench.metrics.route_controls import ends_of
from worldbench.metrics.routes import from_table
from worldbench.records.reading import read
from worldbench.records.runs import Result

ROOT = Path(__file__).resolve().parent.parent
VILLAGE = ROOT / "results" / "village-plan"
RUNS = sorted(path.parent.parent for path in VILLAGE.glob("taxi-*/evidence-*/map_reconstruction.npz"))
COLUMNS = (
    "street_precision", "implied_streets", "unexplained_rides", "ends_elsewhere", "never_ends", "edge_precision",
    "red_edges", "failed_routes",
)  # fmt: skip


def graph_of(data: dict[str, np.ndarray]) -> Graph:
    shape = len(data["places"]), len(data["directions"])
    successor = np.full(shape, -1, np.int32)
    successor[data["edges"][:, 0], data["edges"][:, 2]] = data["edges"][:, 1]
    places, directions = (tuple(data[name].tolist()) for name in ("places", "directions"))
    return Graph(
        name="published", places=places, directions=directions, metres=data["metres"], lonlat=None,
        successor=successor, length=np.where(successor < 0, np.nan, 1.0), street=np.full(shape, "", object),
    )  # fmt: skip


def published_routes(folder: Path) -> GivenRoutes:
    """The rides in the evidence of a run, and nothing else of the evidence than the true map."""
    (path,) = folder.glob("evidence-*/map_reconstruction.npz")
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    return GivenRoutes(
        graph_of(data), data["origin"], data["destination"], from_table(data["moves"]), degree=4, distance=804.672,
        roll_back=True,
    )  # fmt: skip


def scores_of(folder: Path, orders: int = 5) -> dict[str, float]:
    routes, found = published_routes(folder), {}
    n = len(routes.moves)
    shuffled = [streams.generator("bootstrap", 0, "orders", k).permutation(n) if k else None for k in range(orders)]
    for forced_end, names in ((False, MOVES_ALONE), (True, FORCED_END)):
        scores = map_scores([routes.draw(forced_end, order) for order in shuffled])
        found |= {name: scores[part].value for part, name in names.items()}
    end, never = ends_of(routes.graph, routes.origin, routes.moves.alone()), routes.moves.never_ends
    found["ends_elsewhere"] = float((~never & (end >= 0) & (end != routes.destination)).mean())
    found["never_ends"] = float(never.mean())
    return found


def test_every_row_of_the_table_has_its_rides() -> None:
    """And the page shows the scores that are drawn again here; test_results.py holds the table to the records."""
    seeds = Counter(read(next(folder.glob("result-*.json")), Result).model.name for folder in RUNS)
    trained = ("bst", "gpt", "gru", "jtp", "lstm", "mtp", "nextlat")
    assert seeds == {**dict.fromkeys(trained, 5), "oracle": 1, "random-legal": 1, "uniform": 1}
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    columns = " ".join(f"map_reconstruction.{name}" for name in COLUMNS)
    assert f"<!-- worldbench leaderboard results/village-plan --format markdown --columns {columns} -->" in page


@pytest.mark.parametrize("model", ["gpt", "nextlat"])
def test_the_maps_of_the_readme_are_drawn_from_moves_alone(model: str) -> None:
    (folder,) = VILLAGE.glob(f"taxi-{model}-small-s0-*")
    routes = published_routes(folder)
    drawing = routes.draw(forced_end=False)
    with (ROOT / f"results/figures/village-{model}-map.csv").open(encoding="utf-8") as file:
        kinds = Counter(row["kind"] for row in csv.DictReader(file))
    end = ends_of(routes.graph, routes.origin, routes.moves.alone())
    wrong = np.unique(end[~routes.moves.never_ends & (end >= 0) & (end != routes.destination)])
    assert kinds == {"true": drawing.n_black, "implied": drawing.n_red, "ends elsewhere": len(wrong)}


FIRST = [folder for folder in RUNS if not any(f"-s{seed}-" in folder.name for seed in range(1, 5))]
LATER = [pytest.param(folder, marks=pytest.mark.slow) for folder in RUNS if folder not in FIRST]


@pytest.mark.parametrize("folder", [*FIRST, *LATER], ids=lambda folder: folder.name)
def test_the_rides_give_the_recorded_scores(folder: Path) -> None:
    """To the last digit, over all orders of the rides. A score that is missing in the record is NaN here."""
    recorded = read(next(folder.glob("result-*.json")), Result).scores["map_reconstruction"].scores
    found = scores_of(folder)
    assert set(COLUMNS) <= set(found)
    assert {name: None if np.isnan(value) else value for name, value in found.items()} == {
        name: recorded[name].value for name in found
    }
