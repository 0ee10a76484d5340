"""The table of published maps in docs/results.md: both modes, drawn again from the rides in the published evidence."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.core.statistics import mean_interval
from worldbench.metrics.map_intervals import map_scores
from worldbench.metrics.measured_routes import FORCED_END, MOVES_ALONE, GivenRoutes
from worldbench.metrics.route_controls import ends_of
from worldbench.metrics.routes import NO_END, NOT_A_DIRECTION, PAST_END, from_table

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"small": "results/taxi-village/small-all", "quick": "results/taxi-village/quick"}
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


def published_routes(path: Path) -> GivenRoutes:
    """The rides of an evidence file of version 2. There, the last token of a ride without end is NOT_A_DIRECTION."""
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    table = data["moves"].copy()
    last = (table != PAST_END).sum(1) - 1
    rows = np.flatnonzero((last >= 0) & (table[np.arange(len(table)), last] == NOT_A_DIRECTION))
    table[rows, last[rows]] = NO_END
    return GivenRoutes(
        graph_of(data), data["origin"], data["destination"], from_table(table), degree=4, distance=804.672,
        roll_back=True,
    )  # fmt: skip


def scores_of(path: Path, orders: int = 5) -> dict[str, float]:
    routes, found = published_routes(path), {}
    n = len(routes.moves)
    shuffled = [streams.generator("bootstrap", 0, "orders", k).permutation(n) if k else None for k in range(orders)]
    for forced_end, names in ((False, MOVES_ALONE), (True, FORCED_END)):
        scores = map_scores([routes.draw(forced_end, order) for order in shuffled])
        found |= {name: scores[part].value for part, name in names.items()}
    end, never = ends_of(routes.graph, routes.origin, routes.moves.alone()), routes.moves.never_ends
    found["ends_elsewhere"] = float((~never & (end >= 0) & (end != routes.destination)).mean())
    found["never_ends"] = float(never.mean())
    return found


def table_row(preset: str, model: str) -> str:
    files = sorted((ROOT / FOLDERS[preset]).glob(f"taxi-{model}-{preset}-*/evidence/map_reconstruction.npz"))
    by_score: dict[str, list[float]] = defaultdict(list)
    for path in files:
        for name, value in scores_of(path).items():
            by_score[name].append(value)
    cells = []
    for name in COLUMNS:
        values = by_score[name]
        mean = mean_interval(values)
        digits = 1 if name in ("implied_streets", "red_edges") else 3
        text = f"{mean.value:.{digits}f}" if np.isfinite(mean.value) else "missing"
        if mean.interval is not None and np.isfinite(mean.value):
            text += f" ±{mean.interval[1] - mean.value:.{digits}f}"
        cells.append(text)
    return f"| {' | '.join([preset, model, str(len(files)) if len(files) > 1 else '-', *cells])} |"


def rows() -> list[tuple[str, str]]:
    """The preset and the model of each row of the table in the page."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    part = page.partition("<!-- tests/test_published_maps.py -->")[2]
    return re.findall(r"^\| (small|quick) \| ([\w-]+) \| .* \|$", part, re.MULTILINE)


@pytest.mark.parametrize("model", ["gpt", "nextlat"])
def test_the_maps_of_the_readme_are_drawn_from_moves_alone(model: str) -> None:
    (path,) = (ROOT / FOLDERS["quick"]).glob(f"taxi-{model}-quick-s0-*/evidence/map_reconstruction.npz")
    routes = published_routes(path)
    drawing = routes.draw(forced_end=False)
    with (ROOT / f"results/figures/quick-{model}-map.csv").open(encoding="utf-8") as file:
        kinds = Counter(row["kind"] for row in csv.DictReader(file))
    end = ends_of(routes.graph, routes.origin, routes.moves.alone())
    wrong = np.unique(end[~routes.moves.never_ends & (end >= 0) & (end != routes.destination)])
    assert kinds == {"true": drawing.n_black, "implied": drawing.n_red, "ends elsewhere": len(wrong)}


def test_the_table_has_rows() -> None:
    assert {("small", "gru"), ("small", "gpt"), ("quick", "nextlat"), ("small", "random-legal")} <= set(rows())


@pytest.mark.parametrize(
    ("preset", "model"),
    [pytest.param(p, m, marks=() if m in ("oracle", "random-legal") else pytest.mark.slow) for p, m in rows()],
)
def test_each_row_is_what_the_rides_give(preset: str, model: str) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert table_row(preset, model) in page.splitlines()
