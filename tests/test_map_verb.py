"""`worldbench map`: what it says of a map, each cause of a drop with its count, the picture and the compact file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document, saved
from shared_cases import CASES

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.studies import maps

NODES = {
    **SQUARE_NODES,
    "5": (-74.0, 40.7015),  # its street shares a direction with a shorter one
    "6": (-73.998, 40.702),  # can be reached, and cannot be left
    "7": (-74.0, 41.0),  # without a street
    "8": (-73.999, 40.700),  # where 4 is
}
EDGES = [
    *SQUARE_EDGES,
    ("1", "1", {}),
    ("1", "2", {"length": "120"}),
    ("1", "5", {"length": "150"}),
    ("5", "1", {"length": "150"}),
    ("2", "6", {}),
    ("4", "8", {}),
]


def described(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["map", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_cause_of_a_drop_is_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, document(NODES, EDGES))
    facts = described(capsys, str(path), "--out", str(tmp_path / "runs"))
    assert facts["dropped"] == {
        "loops": 1,
        "streets between two intersections at one position": 1,
        "parallel streets": 1,
        "streets that share a direction with a shorter one": 1,
        "intersections without a street": 2,
        "intersections outside the largest strongly connected part": 1,
        "intersections that only such streets join to the others": 1,
        "moves to or from intersections that were dropped": 2,
    }
    assert (facts["intersections"], facts["moves"]) == (4, 5)
    assert (facts["two_way_streets"], facts["one_way_streets"]) == (1, 3)
    assert facts["out_degree"] == {"1": 3, "2": 1}
    assert facts["in_degree"] == {"1": 3, "2": 1}
    assert sum(facts["directions"].values()) == 5
    assert facts["directions"]["N"] == 1
    assert facts["meters_median"] == 100
    kept = 5 + sum(count for words, count in facts["dropped"].items() if "intersections without" not in words)
    assert kept - 1 - 1 == len(EDGES)  # without the two counts of intersections


def test_the_files_and_the_compact_map_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["manhattan-plan", "--region", "30@40.7355,-74.0000", "--out", str(tmp_path)]
    facts = described(capsys, *plan)
    files = [Path(file) for file in facts["files"]]
    assert [file.name for file in files] == ["map.png", "map.svg", "map.csv", "manhattan-plan.map.npz"]
    assert len((files[2]).read_text().splitlines()) == facts["moves"] + 1
    assert any("not from OpenStreetMap" in note for note in facts["notes"])
    assert 0 < facts["counter_accuracy"] < 0.5
    again = described(capsys, str(files[3]), "--out", str(tmp_path), "--write", str(tmp_path / "new" / "again.map.npz"))
    assert again["digest"] == facts["digest"]
    assert not again["dropped"]
    assert (tmp_path / "new" / "again.map.npz").read_bytes() != b""
    assert again["counter_accuracy"] == facts["counter_accuracy"]
    assert main(["map", *plan]) == 0
    out = capsys.readouterr().out
    for words in ("two-way", "counter accuracy", "dropped", "outside the region", facts["digest"][:20]):
        assert words in out


def test_a_table_and_a_map_without_rides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ring.csv").write_text("a,left,b\nb,left,c\nc,left,a\n")
    facts = described(capsys, str(tmp_path / "ring.csv"), "--out", str(tmp_path))
    assert facts["directions"] == {"left": 3}
    assert [Path(file).suffix for file in facts["files"]] == [".png", ".svg", ".csv"]  # a table is compact already
    assert (facts["counter_accuracy"] is None) == ("no_rides" in facts)
    assert main(["map", str(tmp_path / "ring.csv"), "--out", str(tmp_path), "--write", str(tmp_path / "r.npz")]) == 2
    assert "a table of moves" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere.graphml",), "'nowhere.graphml' does not exist"),
        (("manhatan",), "did you mean 'manhattan'"),
        (("city:30", "--region", "here"), "env.region 'here' is not understood"),
        (("city:30", "--positions", "p.csv"), "applies to tables only"),
        (("city:30", "--write", "map.txt"), "must end in .map.npz"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["map", *words]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1


FILES = sorted(path for pattern in ("map-*/*", "table-*/*") for path in CASES.glob(pattern))
REFUSED = {
    "map-container/town.gpkg": "cannot be read as a GeoPackage.*save_graphml",
    "map-reserved-id/town.graphml": "cannot be words of a ride.*relabel_nodes",
    "table-dead-end/town.csv": "a place has no way out .*add a row with a move",
}


@pytest.mark.skipif(not FILES, reason="the inputs that once failed are not beside this checkout (../shared/cases)")
@pytest.mark.parametrize("path", FILES or [CASES], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_map_that_once_failed_is_described_or_refused_with_the_way_out(path: Path) -> None:
    if expected := REFUSED.get(f"{path.parent.name}/{path.name}"):
        with pytest.raises(InputError, match=expected) as caught:
            maps.describe(str(path))
        assert "\n" not in str(caught.value)
    else:
        facts = maps.describe(str(path)).facts
        assert (facts["intersections"], facts["moves"]) == (16, 48)
        assert facts["counter_accuracy"] == 1  # a grid of equal blocks
