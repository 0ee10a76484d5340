"""The region `village` on a map from anywhere: about as many intersections as Greenwich Village, around the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphml_files import Edge, document, saved
from sample_records import result_of

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map, settle
from worldbench.envs.taxi.moves import village
from worldbench.envs.taxi.regions import VILLAGE
from worldbench.envs.taxi.streets import Streets
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.display import Display
from worldbench.runs.prepared import prepare
from worldbench.settings.resolve import resolve


def town(
    folder: Path, side: int, south: float = 52.5, west: float = 13.4, name: str = "town.graphml", crs: str = "epsg:4326"
) -> Path:
    """A grid of side x side two-way streets, 110 metres apart; ids from the far corner on, so that they tell
    nothing."""
    step = 110.0 if crs == "metres" else 0.001
    nodes = {str(1000 - side * r - c): (west + step * c, south + step * r) for r in range(side) for c in range(side)}
    ids = list(nodes)
    pairs = [(k, k + 1) for k in range(side**2) if k % side < side - 1] + [
        (k, k + side) for k in range(side * (side - 1))
    ]
    edges: list[Edge] = [(ids[u], ids[v], {"length": "110"}) for a, b in pairs for u, v in ((a, b), (b, a))]
    return saved(folder, document(nodes, edges, crs=crs), name)


def region(path: Path) -> tuple[str, str]:
    config, announcement = settle(TaxiConfig(map=str(path), region="village"))
    assert config.map == str(path)
    return config.region, announcement


def test_a_small_map_is_taken_whole_and_it_is_said(tmp_path: Path) -> None:
    asked, said = region(town(tmp_path, 7))
    assert asked == "all"
    assert (
        said == "map: town does not contain Greenwich Village, so the region 'village' is the whole map, "
        "because the map is small"
    )


def test_a_large_map_is_cut_around_its_middle_and_it_is_said(tmp_path: Path) -> None:
    path = town(tmp_path, 15)
    asked, said = region(path)
    assert asked == "50@52.5070,13.4070"
    assert "the 50 intersections around its middle (--env.region 50@52.5070,13.4070)" in said
    graph = TaxiWorld(TaxiConfig(map=str(path), region="village", max_moves=20)).graph()
    assert graph is not None
    assert 40 <= graph.n_places <= 50
    assert graph.lonlat is not None
    assert np.abs(graph.lonlat.mean(0) - [13.407, 52.507]).max() < 5e-4
    assert graph.digest == load_map(TaxiConfig(map=str(path), region=asked)).digest
    assert graph.digest == load_map(TaxiConfig(map=str(path), region=" village ")).digest


def test_the_order_of_the_file_has_no_effect(tmp_path: Path) -> None:
    path = town(tmp_path, 12)
    text = path.read_text()
    nodes = text[text.index("<node") : text.index("<edge")]
    turned = "".join(f"{node}</node>" for node in reversed(nodes.split("</node>")[:-1]))
    other = saved(tmp_path, text.replace(nodes, turned), "other.graphml.gz")
    assert region(other)[0] == region(path)[0]


def test_across_the_date_line_and_on_the_plane(tmp_path: Path) -> None:
    text = town(tmp_path, 12, south=-17, west=179.995).read_text()
    for k in range(12):
        east = 179.995 + 0.001 * k
        text = text.replace(f'<data key="x">{east}<', f'<data key="x">{east - 360 if east > 180 else east}<')
    assert region(saved(tmp_path, text))[0] == "50@-16.9945,-179.9995"
    assert region(town(tmp_path, 12, south=0, west=0, crs="metres"))[0] == "50@605,605"
    assert (
        region(town(tmp_path, 12, south=0, west=-100, crs="metres"))[0] == "50@505,605"
    )  # Greenwich's numbers lie within it


def test_the_region_grows_until_enough_can_reach_each_other() -> None:
    """Two long one-way streets side by side, joined at their ends: only all of it is strongly connected."""
    n = 120
    position = np.array([[100.0 * k, 0.0] for k in range(n)] + [[100.0 * k, 100.0] for k in range(n)])
    source = np.array([*range(n), *range(n, 2 * n)])
    target = np.array([*range(1, n), 2 * n - 1, 0, *range(n, 2 * n - 1)])
    ring = Streets(
        name="ring",
        places=[str(k) for k in range(2 * n)],
        position=position,
        globe=False,
        source=source,
        target=target,
        length=np.full(2 * n, 100.0),
        street=[""] * (2 * n),
        report={},
    )
    assert village(ring, VILLAGE) == "all"


def test_a_map_that_holds_greenwich_village_keeps_it(village_map: Path) -> None:
    assert region(village_map) == (VILLAGE, "")


def test_cities_and_tables_are_taken_whole(tmp_path: Path) -> None:
    assert settle(TaxiConfig(map="city:80", region="village")) == (TaxiConfig(map="city:80"), "")
    table = TaxiConfig(map=str(tmp_path / "town.csv"), region="village")
    assert settle(table) == (TaxiConfig(map=table.map), "")
    small = town(tmp_path, 6, south=40.733, west=-74.003)  # in the Village, but smaller than it
    assert region(small)[0] == "all"


def test_a_map_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        settle(TaxiConfig(map=str(tmp_path / "none.graphml"), region="village"))


def test_the_default_preset_runs_on_a_map_from_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = town(tmp_path, 12)
    short = ["--eval.trials", "5", "--eval.documents", "5", "--eval.metrics", "next_token"]
    assert main(["run", "taxi", "--model", "oracle", "--env.map", str(path), *short, "--out", str(tmp_path)]) == 0
    assert "does not contain Greenwich Village" in capsys.readouterr().err
    record = result_of(next(tmp_path.glob("taxi-oracle-*")))
    assert record.config["env"]["region"] == "50@52.5055,13.4055"
    assert "--env.region 50@52.5055,13.4055" in record.command

    asked = ["--env.map", str(path), "--env.region", "50@52.5055,13.4055", *short]
    prepared = prepare(resolve("taxi", "oracle", preset="small", seed=0, options=asked), Display())
    assert record.identity.training == prepared.training
    assert "Greenwich" not in capsys.readouterr().err
