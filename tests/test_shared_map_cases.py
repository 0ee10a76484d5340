"""Every map that once failed, where the cases lie beside the checkout: read, or refused in one sentence, in little
time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from shared_cases import CASES

from worldbench.core.errors import InputError
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map, settle

PATTERNS = ("map-*/*", "run-files/special-*.graphml", "run-files/table-csv-slow.csv", "run-files/table-json-slow.json")
FILES = sorted(path for pattern in PATTERNS for path in CASES.glob(pattern))
REFUSED = {
    "town.gpkg": "cannot be read as a GeoPackage.*save_graphml",  # an SQLite file without tables
    "map-reserved-id": "cannot be words of a ride: 1 node .the first is 'N'.*relabel_nodes",
    "special-place-named-N.graphml": "cannot be words of a ride: 1 node .the first is 'N'.*relabel_nodes",
}
SQUARE_TOWN = (16, 48)
"""Intersections and moves of the town that most cases are."""


@pytest.mark.skipif(not FILES, reason="the inputs that once failed are not beside this checkout (../shared/cases)")
@pytest.mark.parametrize("path", FILES or [CASES], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_map_that_once_failed(path: Path) -> None:
    started = time.monotonic()
    expected = REFUSED.get(path.name) or REFUSED.get(path.parent.name)
    config = TaxiConfig(map=str(path), region="village")
    if expected:
        for read in (settle, load_map):
            with pytest.raises(InputError, match=expected) as caught:
                read(config)
            assert "\n" not in str(caught.value)
    else:
        graph = load_map(config)
        if path.parent.name.startswith("map-"):
            assert (graph.n_places, len(graph.edges)) == SQUARE_TOWN
            assert "does not contain Greenwich Village" in str(graph.report["announcement"])
        assert ("two-way" in str(graph.report.get("notes"))) == (path.parent.name == "map-undirected")
        assert max(map(len, graph.street.ravel())) <= 202
    assert time.monotonic() - started < 10
