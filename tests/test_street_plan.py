"""Manhattan by its street plan: intersections where they are, one-way directions, superblocks, one connected map."""

from __future__ import annotations

import numpy as np
import pytest

from worldbench.core.graph import Graph
from worldbench.envs.rides.controls import counter_accuracy
from worldbench.envs.taxi import plan_facts, street_plan
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.crossings import Line, draw, named
from worldbench.envs.taxi.maps import load_map, settle
from worldbench.envs.taxi.regions import VILLAGE
from worldbench.envs.taxi.streets import DIRECTIONS, distance
from worldbench.envs.taxi.world import TaxiWorld


@pytest.fixture(scope="module")
def plan() -> Graph:
    return load_map(TaxiConfig(map="manhattan-plan"))


def leads(graph: Graph, start: str) -> dict[str, str]:
    """The intersections that one move reaches, by direction."""
    row = graph.places.index(start)
    return {d: graph.places[t] for d, t in zip(DIRECTIONS, graph.successor[row]) if t >= 0}


@pytest.mark.parametrize(
    ("name", "latitude", "longitude"),
    [
        ("5Av&W42St", 40.7536, -73.9808),
        ("Broadway&7Av&W45St", 40.7580, -73.9855),
        ("5Av&W59St", 40.7644, -73.9730),
        ("1Av&E14St", 40.7310, -73.9826),
        ("LenoxAv&W125St", 40.8078, -73.9454),
        ("7AvS&W4St&ChristopherSt&GroveSt", 40.7336, -74.0027),  # Sheridan Square
        ("HudsonSt&ChristopherSt", 40.7331, -74.0066),
        ("Broadway&CanalSt", 40.7195, -74.0018),
        ("BroadSt&NassauSt&WallSt", 40.7072, -74.0107),
    ],
)
def test_intersections_lie_where_they_are(plan: Graph, name: str, latitude: float, longitude: float) -> None:
    assert plan.lonlat is not None
    at = plan.lonlat[[plan.places.index(name)]]
    assert distance(at, np.array([[longitude, latitude]]), globe=True)[0] < 120  # meters; coordinates from public maps


def test_all_intersections_reach_each_other(plan: Graph) -> None:
    assert len(plan.places) > 2500
    assert plan.report["places"] >= plan.report["nodes_read"] - 10
    assert len(set(plan.places)) == len(plan.places)
    assert not any(" " in place for place in plan.places)
    assert plan.report["parallel_dropped"] == 0
    assert sum(name[-2] == "&" for name in plan.places) < 5  # two intersections of the same streets


def test_avenues_and_streets_are_one_way(plan: Graph) -> None:
    around = leads(plan, "6Av&W37St")
    assert "6Av&W38St" in around.values()
    assert "6Av&W36St" not in around.values()
    assert "5Av&W37St" not in around.values()  # odd streets run west
    assert "5Av&W36St" in leads(plan, "6Av&W36St").values()  # even streets run east
    assert "5Av&W41St" in leads(plan, "5Av&W42St").values()
    both = leads(plan, "3Av&E42St").values()
    assert {"2Av&E42St", "LexingtonAv&E42St"} <= set(both)


def test_broadway_crosses_the_avenues(plan: Graph) -> None:
    assert {"Broadway&5Av&W23St", "Broadway&6Av&W34St", "Broadway&7Av&W45St"} <= set(plan.places)
    assert "Broadway&W38St" in leads(plan, "Broadway&W39St").values()
    assert "Broadway&W40St" not in leads(plan, "Broadway&W39St").values()


def test_nothing_lies_inside_a_superblock(plan: Graph) -> None:
    assert not {"7Av&W70St", "6Av&W80St", "ParkAv&E43St", "AvA&E15St"} & set(plan.places)
    assert "CentralPkW&W81St" in leads(plan, "5Av&W79St").values()
    assert "79StTransverse" in plan.street
    assert all(name in {c.why for c in plan_facts.CLOSED} for name in ("Central Park", "Union Square"))


def test_the_village_bends(plan: Graph) -> None:
    """West of Sixth Avenue the streets turn: West 4th Street crosses West 10th and West 12th Street."""
    assert {"W4St&W10St", "W4St&W12St", "BleeckerSt&W11St"} <= set(plan.places)
    assert "W4St&PerrySt" in leads(plan, "BleeckerSt&PerrySt").values()  # Perry Street runs east, Charles Street west
    assert "W4St&CharlesSt" not in leads(plan, "BleeckerSt&CharlesSt").values()


def test_streets_are_as_far_apart_as_the_plan_says() -> None:
    along = street_plan.along()
    assert along[43] - along[42] == 200 + 30 + 50  # half of 43rd Street, half of the wide 42nd Street
    assert along[38] - along[37] == 260
    assert plan_facts.ACROSS["1Av"] - plan_facts.ACROSS["2Av"] == 650 + 100
    assert plan_facts.ACROSS["6Av"] - plan_facts.ACROSS["7Av"] == 800 + 100


def test_positions_go_back_to_feet() -> None:
    points = np.array([[0.0, 0.0], [-5520.0, 20_000.0], [3500.0, -9000.0]])
    assert np.abs(street_plan.feet(street_plan.degrees(points)) - points).max() < 1
    up = street_plan.along()[80]
    assert street_plan.closed(np.array([[-1000.0, up], [10.0, up]])).tolist() == [True, False]  # Central Park


def test_the_region_village_is_greenwich_village() -> None:
    """Counting moves does not find the place there (below .3), as on the surveyed map (.22)."""
    config, announcement = settle(TaxiConfig(map="manhattan-plan", region="village", min_moves=5, max_moves=28))
    assert (config.region, announcement) == (VILLAGE, "")
    world = TaxiWorld(config)
    assert world.graph().n_places >= 40
    assert counter_accuracy(world.walker) < 0.3
    assert "not from OpenStreetMap" in world.summary(0)


def test_lines_that_cross() -> None:
    """An avenue, a street that ends short of it, and a diagonal through a superblock, which stops the street."""
    lines = [
        Line(named("Av"), "up", np.array([(0, 0), (0, 1000)])),
        Line(named("Diagonal"), "both", np.array([(-50, 0), (900, 950)]), opens=True),
        Line(lambda across, _along: "W" if across <= 0 else "E", "down", np.array([(50, 500), (1000, 500)])),
        Line(named("Far"), "up", np.array([(900, 0), (900, 1000)])),
    ]
    drawing = draw(lines, lambda points: (abs(points[:, 0] - 650) < 100) & (abs(points[:, 1] - 500) < 300))
    assert drawing.names == ["Av&Diagonal", "Av&W", "Diagonal&E", "Diagonal&Far", "E&Far"]
    edges = {(drawing.names[a], drawing.names[b]): s for a, b, s in zip(drawing.source, drawing.target, drawing.street)}
    assert edges == {
        ("Av&Diagonal", "Av&W"): "Av",
        ("Av&Diagonal", "Diagonal&E"): "Diagonal", ("Diagonal&E", "Av&Diagonal"): "Diagonal",
        ("Diagonal&E", "Diagonal&Far"): "Diagonal", ("Diagonal&Far", "Diagonal&E"): "Diagonal",
        ("E&Far", "Diagonal&Far"): "Far",
        ("Diagonal&E", "Av&W"): "E",
    }  # fmt: skip
