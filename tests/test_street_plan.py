"""Manhattan by its street plan: intersections where they are, one-way directions, superblocks, one connected map."""

from __future__ import annotations

import numpy as np
import pytest

from worldbench.core.graph import Graph
from worldbench.envs.taxi import plan_facts, street_plan
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map, settle
from worldbench.envs.taxi.streets import DIRECTIONS, distance


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
        ("5Av&42St", 40.7536, -73.9808),
        ("Broadway&7Av&45St", 40.7580, -73.9855),
        ("5Av&59St", 40.7644, -73.9730),
        ("1Av&14St", 40.7310, -73.9826),
        ("LenoxAv&125St", 40.8078, -73.9454),
    ],
)
def test_intersections_lie_where_they_are(plan: Graph, name: str, latitude: float, longitude: float) -> None:
    assert plan.lonlat is not None
    at = plan.lonlat[[plan.places.index(name)]]
    assert distance(at, np.array([[longitude, latitude]]), globe=True)[0] < 150  # meters; coordinates from public maps


def test_all_intersections_reach_each_other(plan: Graph) -> None:
    assert len(plan.places) > 1700
    assert plan.report["places"] >= plan.report["nodes_read"] - 5
    assert len(set(plan.places)) == len(plan.places)
    assert not any(" " in place for place in plan.places)


def test_avenues_and_streets_are_one_way(plan: Graph) -> None:
    around = leads(plan, "6Av&37St")
    assert "6Av&38St" in around.values()
    assert "6Av&36St" not in around.values()
    assert "5Av&37St" not in around.values()  # odd streets run west
    assert "5Av&36St" in leads(plan, "6Av&36St").values()  # even streets run east
    assert "5Av&41St" in leads(plan, "5Av&42St").values()
    both = leads(plan, "3Av&42St").values()
    assert {"2Av&42St", "LexingtonAv&42St"} <= set(both)


def test_broadway_crosses_the_avenues(plan: Graph) -> None:
    assert {"Broadway&5Av&23St", "Broadway&6Av&34St", "Broadway&7Av&45St"} <= set(plan.places)
    assert "Broadway&38St" in leads(plan, "Broadway&39St").values()
    assert "Broadway&40St" not in leads(plan, "Broadway&39St").values()


def test_nothing_lies_inside_a_superblock(plan: Graph) -> None:
    assert not {"7Av&70St", "6Av&80St", "ParkAv&43St", "AvA&15St"} & set(plan.places)
    assert "CentralPkW&81St" in leads(plan, "5Av&79St").values()
    assert all(name in {c.why for c in plan_facts.CLOSED} for name in ("Central Park", "Union Square"))


def test_streets_are_as_far_apart_as_the_plan_says() -> None:
    along = street_plan.along()
    assert along[43] - along[42] == 200 + 30 + 50  # half of 43rd Street, half of the wide 42nd Street
    assert along[38] - along[37] == 260
    assert street_plan.broadway_at(9) is None
    assert street_plan.broadway_at(23) == 0


def test_the_region_village_is_announced() -> None:
    config, said = settle(TaxiConfig(map="manhattan-plan", region="village"))
    assert "Union Square" in said
    graph = load_map(config)
    assert len(graph.places) >= 40
    assert any("14St" in place or "17St" in place for place in graph.places)
