"""`worldbench reconstruct`: routes from a text file on a map from anywhere."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from worldbench.cli.reconstruct import add_arguments, run
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.world import ARRIVED
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.map_reconstruction import METRIC
from worldbench.metrics.routes import NO_END, NOT_A_DIRECTION
from worldbench.records.reading import read
from worldbench.records.reconstruction import Reconstruction
from worldbench.studies.reconstruction import reconstruct_file
from worldbench.studies.routes import read_routes

LINE = "\n".join(
    ["node,direction,to,x,y", *(f"{i},E,{i + 1},{i * 100},0\n{i + 1},W,{i},{(i + 1) * 100},0" for i in range(4))]
)
ROUTES = """# rides over a line of five places
0 2 E E end

1 0 W end
0 4 E E W E E E end
"""


@pytest.fixture
def line(tmp_path: Path) -> Path:
    path = tmp_path / "line.csv"
    path.write_text(LINE, encoding="utf-8")
    return path


def routes(folder: Path, text: str) -> Path:
    path = folder / "routes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_valid_routes_alone_are_drawn_in_black(tmp_path: Path, line: Path) -> None:
    record, folder = reconstruct_file(routes(tmp_path, ROUTES), str(line), tmp_path / "out")
    scores = {k: v.value for k, v in record.scores.items()}
    assert (scores["red_edges"], scores["failed_routes"], scores["edge_precision"], scores["edge_recall"]) == (
        0,
        0,
        1,
        6 / 8,
    )
    assert scores["illegal_moves"] == scores["control_uniform_red"] == scores["control_matched_failed"] == 0
    assert (scores["street_precision"], scores["street_recall"], scores["unexplained_rides"]) == (1, 6 / 8, 0)
    interval = record.scores["street_precision"].interval
    assert interval is not None
    assert 0 < interval[0] < interval[1] == 1
    assert read(folder / "reconstruction.json", Reconstruction) == record
    assert str(tmp_path) not in (folder / "reconstruction.json").read_text()
    drawn = {f"{name}.{kind}" for name in ("map", "map-zoom", "maze") for kind in ("png", "svg", "csv")} | {
        "map.html"
    }  # a line of two-way moves is a maze
    assert {p.name for p in (folder / "figures").iterdir()} == drawn
    with np.load(folder / "evidence" / "map_reconstruction.npz") as data:
        assert data["status"].tolist() == [0, 0, 0]
        assert data["black"].sum() == 6
    _, again = reconstruct_file(routes(tmp_path, ROUTES), str(line), tmp_path / "again")
    for path in folder.rglob("*.*"):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()


def test_a_ride_of_a_model_scores_the_same_as_text(tmp_path: Path) -> None:
    """The rides of a broken driver, written down and read back: the metric's own scores, but for the controls, whose
    true routes are others."""
    from worldbench.baselines.corrupted import Corrupted
    from worldbench.baselines.corrupted_config import CorruptedConfig

    world = TaxiWorld(TaxiConfig(map="city:40", min_moves=3, max_moves=16))
    evaluation = Evaluation(
        world,
        Corrupted(world, CorruptedConfig(rewired=6)),
        eval_config(reconstruction_rides=60, reconstruction_orders=3),
    )
    report = METRIC.measure(evaluation)
    assert report.scores["red_edges"].value > 0
    rides = evaluation.rides("greedy", 60)
    text = "\n".join(world.vocabulary.text(np.concatenate([p, t])) for p, t in zip(rides.prompts, rides.tokens))
    record, _ = reconstruct_file(routes(tmp_path, text), "city:40", tmp_path, orders=3, connected=True)
    mine = {k: v.value for k, v in record.scores.items() if not k.startswith("control_")}
    valid = mine.pop("valid_routes")
    assert valid == (rides.outcome == ARRIVED).mean()
    assert mine == {k: v.value for k, v in report.scores.items() if not k.startswith("control_")}


def test_routes_are_read_as_a_model_would_be_judged(tmp_path: Path, line: Path) -> None:
    from worldbench.envs.taxi.maps import load_map

    graph = load_map(TaxiConfig(map=str(line)))
    read = read_routes(routes(tmp_path, "0 2 E E\n0 2 E 3 E end\n2 2 end\n  0\t1  E end  \n"), graph)
    assert read.origin.tolist() == [0, 0, 2, 0]
    assert read.destination.tolist() == [2, 2, 2, 1]
    assert read.moves.table().tolist() == [[0, 0, NO_END], [0, NOT_A_DIRECTION, 0], [-1, -1, -1], [0, -1, -1]]
    assert read.line.tolist() == [1, 2, 3, 4]
    assert (read.without_end, read.naming_places, read.past_end, read.skipped) == (1, 1, 0, 0)
    record, _ = reconstruct_file(tmp_path / "routes.txt", str(line), tmp_path)
    assert (record.scores["failed_routes"].value, record.scores["unexplained_rides"].value) == (0.5, 0.25)
    assert (record.scores["never_ends"].value, record.scores["ends_elsewhere"].value) == (0.25, 0)
    assert record.notes[0] == "4 routes; 1 route has no `end`"
    assert "2 rides could not be explained" in record.notes[2]


def test_released_behaviour_keeps_what_a_failed_route_drew(tmp_path: Path) -> None:
    (tmp_path / "line.csv").write_text(LINE + "\n0,N,1,0,0", encoding="utf-8")
    file = routes(tmp_path, "0 4 E N N N end\n0 1 N end\n")
    both = [reconstruct_file(file, str(tmp_path / "line.csv"), tmp_path, roll_back=b, orders=1) for b in (True, False)]
    assert both[0][1] != both[1][1]
    ours, released = (record for record, _ in both)
    assert (ours.scores["black_edges"].value, released.scores["black_edges"].value) == (1, 2)
    assert released.settings.roll_back is False


def test_lines_that_cannot_be_placed_are_left_out_and_said_or_refuse_the_file(tmp_path: Path, line: Path) -> None:
    text = "0 2 E E end\n0\nx 2 E end\n0 2 E up end\n0 2 E E end E\n0 9 E end\n"
    file = routes(tmp_path, text)
    with pytest.raises(InputError) as caught:
        reconstruct_file(file, str(line), tmp_path / "out", strict=True)
    message = str(caught.value)
    assert "line 2: an origin and a destination are needed" in message
    assert "line 3: the origin 'x' is not a node of the map 'line'" in message
    assert "line 4: 'up' is neither a direction (E, W, N, NE, SE, S, SW, NW)" in message
    assert "and 1 more line." in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()
    record, folder = reconstruct_file(file, str(line), tmp_path / "out")
    assert {k: getattr(record.routes, k) for k in ("count", "skipped", "past_end")} == {
        "count": 2,
        "skipped": 4,
        "past_end": 1,
    }
    assert record.scores["valid_routes"].value == 1
    notes = "; ".join(record.notes)
    assert "left out: 4 lines that cannot be placed on the map (line 2: an origin" in notes
    assert "1 line had such words" in notes
    with np.load(folder / "evidence" / "map_reconstruction.npz") as data:
        assert data["line"].tolist() == [1, 5]
    alone, _ = reconstruct_file(routes(tmp_path, "0 2 E E end\n0 2 E E end\n"), str(line), tmp_path / "alone")
    assert alone.scores == record.scores
    assert not any("left out: " in note for note in alone.notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "contain no route"),
        ("# nothing\n\n", "contain no route"),
        ("0 1 E\n1 2 E\n", "has the word 'end'"),
        ("9 1 E end\n", "the origin '9'"),
    ],
)
def test_files_without_routes_are_reported(tmp_path: Path, line: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        reconstruct_file(routes(tmp_path, text), str(line), tmp_path / "out")


def test_options_and_files_that_cannot_be_used_are_reported(tmp_path: Path, line: Path) -> None:
    file = routes(tmp_path, ROUTES)
    for options, words in (
        ({"degree": 0}, "--degree"),
        ({"orders": 0}, "--orders"),
        ({"distance": 0.0}, "--distance"),
        ({"distance": float("nan")}, "--distance"),
        ({"seed": -1}, "--seed"),
        ({"directions": ("3",)}, "--directions '3'"),
        ({"directions": ("a b",)}, "not a single word"),
    ):
        with pytest.raises(InputError, match=words):
            reconstruct_file(file, str(line), tmp_path, **options)
    with pytest.raises(InputError, match="No such file"):
        reconstruct_file(tmp_path / "none.txt", str(line), tmp_path)
    with pytest.raises(InputError, match="is not a file; it takes"):
        reconstruct_file(file, "nowhere", tmp_path)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="save it as UTF-8"):
        reconstruct_file(tmp_path / "bytes.txt", str(line), tmp_path)


def test_the_verb_prints_scores_beside_their_controls(
    tmp_path: Path, line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    file = routes(tmp_path, "0 4 E S E E end\n" * 5)
    assert (
        run(
            parser.parse_args(
                [
                    *(str(file), "--map", str(line), "--out", str(tmp_path / "o"), "--degree", "3"),
                    *("--distance", "150", "--orders", "2"),
                ]
            )
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "5 routes on line" in printed
    assert "edge_precision" in printed
    assert "valid: 0 of 5 routes" in printed
    assert "valid_routes" in printed
    assert "reconstruction.json" in printed
    record = read(next((tmp_path / "o").rglob("reconstruction.json")), Reconstruction)
    assert (record.settings.degree, record.settings.distance) == (3, 150)
    assert record.scores["red_edges"].value == 1
    assert record.scores["illegal_moves"].value == 0.5


def test_a_route_may_take_a_direction_that_the_map_lacks(tmp_path: Path, line: Path) -> None:
    file = routes(tmp_path, "0 4 E S E E end\n0 4 E up E E end\n")
    record, folder = reconstruct_file(file, str(line), tmp_path / "o", directions=("up",))
    assert record.settings.directions == ["up"]
    table = (folder / "figures" / "map.csv").read_text().splitlines()
    assert [row.split(",")[:4] for row in table if "implied" in row] == [
        ["1", "2", "S", "implied"],
        ["1", "2", "up", "implied"],
    ]
