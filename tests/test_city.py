"""The generated city: a function of (n, seed), connected, irregular, within its bounds."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.taxi.city import LARGEST, SHARE_KEPT, SMALLEST, SPACING, generate
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map


def city(n: int, seed: int = 0, region: str = "all") -> Graph:
    return load_map(TaxiConfig(map=f"city:{n}", city_seed=seed, region=region))


def test_golden_digest() -> None:
    assert city(64).digest == "55b110c5b60feed74e6c5dd2abd98a274802dc3d20433172cbbbf87a43cf244c"


def test_same_seed_same_city_other_seed_another() -> None:
    assert city(60, 3).digest == city(60, 3).digest
    assert len({city(60, seed).digest for seed in range(10)}) == 10


@pytest.mark.parametrize("n", [8, 9, 12, 20, 43, 100, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_strongly_connected_and_most_of_it_kept(n: int, seed: int) -> None:
    graph = city(n, seed)
    drawn = nx.DiGraph((int(u), int(v)) for u, v, _ in graph.edges)
    assert nx.is_strongly_connected(drawn)
    assert drawn.number_of_nodes() == graph.n_places == graph.report["places"]
    assert graph.n_places >= min(SHARE_KEPT, 0.75) * n
    assert graph.name == f"city:{n}"
    assert graph.lonlat is None
    assert set(graph.street.ravel()) == {""}


def test_many_streets_are_one_way_and_none_are_alike() -> None:
    graph = city(500)
    pairs = {(int(u), int(v)) for u, v, _ in graph.edges}
    one_way = sum((v, u) not in pairs for u, v in pairs) / len(pairs)
    assert 0.2 < one_way < 0.7
    used = np.bincount(graph.edges[:, 2], minlength=8) / len(graph.edges)
    assert used.min() > 0.04  # no direction is missing, as it would be on a lattice
    lengths = graph.length[graph.successor >= 0]
    assert lengths.min() > 0.05 * SPACING
    assert len(np.unique(np.round(lengths, 2))) > 0.3 * len(lengths)


def test_streets_are_connected_and_as_many_as_stated() -> None:
    streets = generate(200, 5)
    assert nx.is_connected(nx.Graph(zip(streets.source.tolist(), streets.target.tolist(), strict=True)))
    assert streets.report["streets"] == 320
    assert len(np.unique(streets.position, axis=0)) == 200
    straight = np.hypot(*(streets.position[streets.target] - streets.position[streets.source]).T)
    assert np.array_equal(streets.length, straight)


@pytest.mark.parametrize("n", [SMALLEST, pytest.param(LARGEST, marks=pytest.mark.slow)])
def test_smallest_and_largest(n: int) -> None:
    assert city(n).n_places > 0.7 * n


@pytest.mark.parametrize(
    "text",
    ["city:7", "city:50001", "city:", "city:many", "city:-8", "city:8.5", "city: 64", "city:99999999999999", "city:٦٤"],
)
def test_out_of_bounds(text: str) -> None:
    with pytest.raises(InputError, match=r"city:N with N from 8 to 50,000"):
        load_map(TaxiConfig(map=text))


def test_region_in_metres() -> None:
    graph = city(400, 1, "40@200,-100")
    assert graph.report["places_in_region"] == 40
    assert graph.n_places == 40 - int(graph.report["places_lost_in_region"])
    whole = city(400, 1)
    here = generate(400, 1).position[[int(p) for p in whole.places]]
    near = np.argsort(np.hypot(*(here - [200, -100]).T))[:40]
    assert set(graph.places) <= {whole.places[i] for i in near}


def test_box_of_degrees_means_nothing_in_a_city() -> None:
    with pytest.raises(InputError, match="not on the globe"):
        city(60, 0, "0,0,1,1")


def test_point_outside_the_city() -> None:
    with pytest.raises(InputError, match="km from the map"):
        city(60, 0, "10@90000,0")


def test_a_seed_of_a_city_without_a_city_is_refused() -> None:
    with pytest.raises(InputError, match=r"city_seed 3 has no effect on the map 'auto'; it is used by generated"):
        TaxiConfig(city_seed=3)
