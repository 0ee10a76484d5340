"""The street map that tests make has what a real one has: one-way streets, dead ends, two grids, parallel streets."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import street_map

from worldbench.envs.taxi import map_files


def test_it_is_the_same_at_each_call(generated_map: Path) -> None:
    assert gzip.decompress(generated_map.read_bytes()).decode() == street_map.graphml()


def test_it_has_the_features_of_a_city(generated_map: Path) -> None:
    streets = map_files.read(generated_map)
    pairs = Counter(zip(streets.source.tolist(), streets.target.tolist()))
    one_way = sum((v, u) not in pairs for u, v in pairs)
    assert 0.4 < one_way / len(pairs) < 0.7
    assert sum(count > 1 for count in pairs.values()) >= 10  # parallel streets
    assert sum(u == v for u, v in pairs) == 3  # loops
    near = [{v if u == k else u for u, v in pairs if k in (u, v) and u != v} for k in range(len(streets.places))]
    assert sum(len(places) == 1 for places in near) >= 20  # dead ends
    bearings = np.array([street_map.bearing(*ends) for ends in ends_of(streets)]) % 90
    west, east = (bearings[side] for side in sides(streets))
    tilts = [-grid.tilt % 90 for grid in street_map.GRIDS]
    assert [float(np.median(side)) for side in (west, east)] == pytest.approx(tilts, abs=2)


def ends_of(streets: map_files.Streets) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    moving = streets.source != streets.target
    start, end = streets.position[streets.source[moving]], streets.position[streets.target[moving]]
    return [((*a,), (*b,)) for a, b in zip(start.tolist(), end.tolist())]


def sides(streets: map_files.Streets) -> list[np.ndarray]:
    """bool [streets] for each grid: does the street begin on its side of the seam, away from the seam?"""
    moving = streets.source != streets.target
    lon, lat = streets.position[streets.source[moving]].T
    meters = np.radians(1) * street_map.EARTH
    north = (lat - street_map.MIDDLE[0]) * meters
    east = (lon - street_map.MIDDLE[1]) * meters * np.cos(np.radians(street_map.MIDDLE[0]))
    beyond = np.array([street_map.beyond_seam(point) for point in np.stack([east, north], 1)])
    return [beyond * grid.side > 200 for grid in street_map.GRIDS]
