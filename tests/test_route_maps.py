"""Reconstruction from files: the map as it is, its connected part, positions, and the record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from route_texts import GOOD, saved

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.studies.reconstruction import reconstruct_file

TOWN = "node,direction,to\na,N,b\nb,N,c\nc,N,a\nb,S,a\nc,S,b\na,S,c\nc,E,d\ne,W,a\n"


def test_routes_may_end_and_begin_outside_the_connected_part(tmp_path: Path) -> None:
    """From c a way leads to d, which cannot be left; e cannot be reached."""
    town = saved(tmp_path, TOWN, "town.csv")
    file = saved(tmp_path, "a d N N E end\ne a W end\na c N N end\nd a E end\na d N N end\n")
    record, _ = reconstruct_file(file, str(town), tmp_path / "out", orders=1)
    assert record.map.places == 5
    assert record.map.report["places_without_way_out"] == 1
    scores = {k: v.value for k, v in record.scores.items()}
    valid = record.scores["valid_routes"]
    assert (valid.value, valid.n) == (0.6, 5)
    assert valid.interval == pytest.approx([0.1893, 0.9236], abs=1e-4)  # Clopper and Pearson, one-sided
    assert scores["edge_recall"] == 4 / 8
    assert scores["red_edges"] == 1  # d, E: back to a
    assert any("1 ride has no true route between its ends" in note for note in record.notes)
    with pytest.raises(InputError, match=r"a place has no way out \('d'\)"):
        reconstruct_file(file, str(town), tmp_path / "out", connected=True)


def test_the_connected_part_alone_can_be_asked_for(tmp_path: Path) -> None:
    """Then lines that name places outside are left out."""
    town = saved(tmp_path, TOWN.replace("c,E,d\n", ""), "town.csv")
    file = saved(tmp_path, "a c N N end\n" * 9 + "e a W end\n")
    both = [reconstruct_file(file, str(town), tmp_path / "out", connected=c) for c in (False, True)]
    assert both[0][1] != both[1][1]
    whole, part = (record for record, _ in both)
    assert (whole.map.places, part.map.places) == (4, 3)
    assert (whole.routes.count, part.routes.count, part.routes.skipped) == (10, 9, 1)
    left_out = "left out: 1 line that cannot be placed on the map (line 10: the origin 'e'"
    assert any(left_out in note for note in part.notes)
    with pytest.raises(InputError, match="cannot be used: line 10: the origin 'e' is not a node"):
        reconstruct_file(file, str(town), tmp_path / "out", connected=True, strict=True)


def test_positions_from_a_file_say_how_far_a_street_may_lead(tmp_path: Path) -> None:
    town = saved(tmp_path, TOWN, "town.csv")
    near, far = (
        saved(tmp_path, "node,lon,lat\n" + "".join(f"{p},{gap * i},0\n" for i, p in enumerate("abcde")), f"{name}.csv")
        for name, gap in (("near", 0.001), ("far", 0.1))
    )
    file = saved(tmp_path, "a d N N E end\nd a E end\n")
    records = [reconstruct_file(file, str(town), tmp_path / "out", positions=p, orders=1) for p in (near, far)]
    assert [record.scores["red_edges"].value for record, _ in records] == [1, 0]
    assert records[0][1] != records[1][1]
    assert not any("laid out" in note for note in records[0][0].notes)
    bare, _ = reconstruct_file(file, str(town), tmp_path / "out", orders=1)
    assert any("positions with --positions FILE" in note for note in bare.notes)


def test_the_record_is_printed_as_json(tmp_path: Path, square: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = saved(tmp_path, GOOD + "x b end\n")
    assert main(["reconstruct", str(file), "--map", str(square), "--out", str(tmp_path / "o"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    folder = Path(printed.pop("folder"))
    assert printed == json.loads((folder / "reconstruction.json").read_text())
    assert printed["scores"]["valid_routes"]["value"] == 1
    assert printed["routes"]["skipped"] == 1
    assert main(["reconstruct", str(file), "--map", str(square), "--out", str(tmp_path / "o"), "--strict"]) == 2
    assert "line 5: the origin 'x'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.pictures
@pytest.mark.pictures
def test_the_same_command_in_two_processes_ends_in_the_same_bytes(tmp_path: Path, square: Path) -> None:
    file = saved(tmp_path, GOOD)
    command = [
        *(sys.executable, "-m", "worldbench", "reconstruct", str(file), "--map", str(square), "--orders", "1"),
        "--out",
    ]
    _, alone = reconstruct_file(file, str(square), tmp_path / "alone", orders=1)
    running = [
        subprocess.Popen([*command, str(tmp_path / "both")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    folder = tmp_path / "both" / alone.name
    names = sorted(p.relative_to(alone) for p in alone.rglob("*.*"))
    assert sorted(p.relative_to(folder) for p in folder.rglob("*.*")) == names
    assert all((folder / name).read_bytes() == (alone / name).read_bytes() for name in names)
