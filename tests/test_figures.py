"""Figures are files that are the same every time, with the drawn data beside them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_maps import small_map

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.figures import learning_curves, street_map, wrong_ends
from worldbench.metrics.reconstruction import reconstruct
from worldbench.metrics.routes import from_table
from worldbench.records.lines import Line
from worldbench.records.parts import decoded

pytestmark = pytest.mark.pictures


def evidence(path: Path, graph: Graph, wrong: float) -> dict[str, np.ndarray]:
    """A reconstruction from forty walks, of whose turns a share is wrong, as the metric saves it."""
    rng = streams.generator("figure")
    origin = rng.integers(graph.n_places, size=40)
    destination, moves = origin.copy(), np.empty((40, 6), int)
    for t in range(6):
        turn = np.array([rng.choice(np.flatnonzero(graph.successor[v] >= 0)) for v in destination])
        destination = graph.successor[destination, turn]
        moves[:, t] = np.where(rng.random(40) < wrong, rng.integers(8, size=40), turn)
    r = reconstruct(graph, origin, destination, from_table(moves))
    arrays = {name: getattr(r, name) for name in ("edges", "uses", "black", "red", "red_uses", "status")}
    arrays |= {"metres": graph.metres, "places": np.array(graph.places), "directions": np.array(graph.directions)}
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    return arrays


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("wrong", [0.0, 0.2])
def test_the_map_is_drawn_whole_and_in_part_with_its_edges_beside_it(tmp_path: Path, wrong: float) -> None:
    arrays = evidence(tmp_path / "map.npz", small_map(20, 1, 20), wrong)
    paths = street_map.draw(tmp_path / "map.npz", tmp_path / "map", title="a map")
    assert [p.name for p in paths] == [f"map{part}.{kind}" for part in ("", "-zoom") for kind in ("png", "svg", "csv")]
    rows = table(tmp_path / "map.csv")
    assert sum(r["kind"] == "true" for r in rows) == arrays["black"].sum()
    red = [r for r in rows if r["kind"] == "invented"]
    assert [(r["from"], r["to"]) for r in red] == [
        (arrays["places"][u], arrays["places"][v]) for u, v, _ in arrays["red"]
    ]
    assert sum(int(r["uses"]) for r in red) == arrays["red_uses"].sum()
    assert bool(red) == (wrong > 0)
    assert len(table(tmp_path / "map-zoom.csv")) < len(rows)
    svg = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert (street_map.RED in svg.lower()) == (wrong > 0 or "invented" in svg)
    first = {p: p.read_bytes() for p in paths}
    street_map.draw(tmp_path / "map.npz", tmp_path / "map", title="a map")
    assert {p: p.read_bytes() for p in paths} == first


def test_wrong_ends_are_rings_and_rows_apart_from_red_streets(tmp_path: Path) -> None:
    """Without them the evidence is older, and the legend says that the end is forced."""
    arrays = evidence(tmp_path / "old.npz", small_map(20, 1, 20), 0.2)
    np.savez(tmp_path / "new.npz", **arrays, wrong_ends=np.array([3, 7, 3]))  # pyright: ignore[reportArgumentType]
    pictures = {}
    for name in ("old", "new"):
        street_map.draw(tmp_path / f"{name}.npz", tmp_path / name)
        pictures[name] = (tmp_path / f"{name}.svg").read_text(encoding="utf-8").lower()
    assert street_map.BLUE in pictures["new"]
    assert street_map.BLUE not in pictures["old"]
    ends = [(r["from"], r["to"], r["uses"]) for r in table(tmp_path / "new.csv") if r["kind"] == "ends elsewhere"]
    assert ends == [(str(arrays["places"][3]), "", "2"), (str(arrays["places"][7]), "", "1")]
    kinds = {name: {r["kind"] for r in table(tmp_path / f"{name}.csv")} for name in pictures}
    assert kinds == {"old": {"true", "invented"}, "new": {"true", "implied", "ends elsewhere"}}


def test_the_two_kinds_of_errors_are_counted_apart(tmp_path: Path) -> None:
    """In both forms of evidence: a row of moves for each ride, and all moves one after another."""
    arrays = evidence(tmp_path / "old.npz", small_map(20, 1, 20), 0.2)
    rides = len(arrays["status"])
    moves = np.full((rides, 7), -1)
    moves[:, 0], moves[:3, 4] = 2, -3
    forms = {"rows": {"moves": moves}, "one": {"moves": moves[moves != -1], "move_counts": (moves != -1).sum(1)}}
    turned, lost = (int((arrays["status"] == kind).sum()) for kind in (1, 2))
    assert turned
    for name, form in forms.items():
        new = {**arrays, **form, "wrong_ends": np.array([3, 7, 3])}
        np.savez(tmp_path / f"{name}.npz", **new)  # pyright: ignore[reportArgumentType]
        counts = wrong_ends.Counts.of(street_map.load(tmp_path / f"{name}.npz"))
        assert counts == wrong_ends.Counts(rides, turned, 3, 3, lost)
    words = [text for text, _ in counts.lines()]
    assert words == [f"3 of {rides} rides end elsewhere (rings)", f"3 never end; {lost} of {rides} rides not explained"]
    old = wrong_ends.Counts.of(street_map.load(tmp_path / "old.npz"))
    assert (old.elsewhere, old.never) == (None, None)
    assert [text for text, _ in old.lines()] == [f"{lost} of {rides} rides not explained"]


def test_an_invented_street_sets_out_in_the_direction_that_the_rides_name() -> None:
    data = {
        "metres": np.array([[0.0, 0.0], [100.0, 0.0]]),
        "red": np.array([[0, 1, 0], [0, 1, 6]]),
        "red_uses": np.array([1, 1]),
        "directions": np.array(["N", "NE", "E", "SE", "S", "SW", "W", "NW"]),
    }
    curves = street_map.red_streets(data)
    assert curves.control[0] == pytest.approx([0, 100 * street_map.BEND])
    assert curves.control[1] == pytest.approx([-100 * street_map.BEND, 0])
    words = street_map.red_streets(data | {"directions": np.array(list("abcdefgh"))})
    assert words.control[0] == pytest.approx([50, -25])


def test_a_box_can_be_chosen_and_an_empty_one_is_no_error(tmp_path: Path) -> None:
    evidence(tmp_path / "map.npz", small_map(12, 2), 0.1)
    street_map.draw(tmp_path / "map.npz", tmp_path / "map", box=(5000.0, 5000.0, 5100.0, 5200.0))
    assert table(tmp_path / "map-zoom.csv") == []


def test_what_is_no_evidence_is_reported(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", outcome=np.zeros(3))
    (tmp_path / "text.npz").write_text("not an archive")
    for name, words in (
        ("other.npz", "lacks places, directions"),
        ("text.npz", "cannot read"),
        ("absent.npz", "cannot read"),
    ):
        with pytest.raises(InputError, match=words):
            street_map.draw(tmp_path / name, tmp_path / "map")


def records(bayes: bool = True) -> list[dict]:
    steps = [1, *range(20, 401, 20)]
    train = [
        {"kind": "train", "step": s, "loss": {"next_token": 0.6 + 3 / s**0.5, "latent": 1 / s}, "learning_rate": 1e-3}
        for s in steps
    ]
    held_out = [
        {"kind": "eval", "step": s, "loss": 0.62 + 3 / s**0.5}
        | ({"bayes": 0.6, "excess": 0.02 + 3 / s**0.5} if bayes else {})
        for s in (1, 20, 400)
    ]
    return train + held_out


@pytest.mark.slow
def test_curves_are_drawn_from_a_file_whose_last_line_may_be_torn(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in records()) + '{"kind": "tr')
    paths = learning_curves.draw(file, tmp_path / "curves", title="a run")
    assert [p.name for p in paths] == ["curves.png", "curves.svg", "curves.csv"]
    rows = table(tmp_path / "curves.csv")
    assert len(rows) == len(records())
    assert [r["step"] for r in rows if r["excess"]] == ["1", "20", "400"]
    assert rows[0]["train_next_token"] == "3.6"
    first = paths[1].read_bytes()
    assert learning_curves.draw(typed(records()), tmp_path / "curves", title="a run")[1].read_bytes() == first


def test_a_world_without_a_law_has_one_panel(tmp_path: Path) -> None:
    narrow = learning_curves.draw(typed(records(bayes=False)), tmp_path / "narrow")[0]
    wide = learning_curves.draw(typed(records(bayes=False)), tmp_path / "wide", bayes=0.6)[0]
    assert width(narrow) < width(wide)


def typed(lines: list[dict]) -> list[Line]:
    return msgspec.convert(lines, list[Line], dec_hook=decoded)


def width(png: Path) -> int:
    return int.from_bytes(png.read_bytes()[16:20], "big")


def test_smoothing_keeps_the_mean_of_each_bin() -> None:
    step = np.array([1.0, 100.0, 101.0, 102.0])
    x, y = learning_curves._smoothed(step, np.array([4.0, 1.0, 2.0, 3.0]))
    assert y.tolist() == [4.0, 2.0]
    assert x == pytest.approx([1.0, 101.0], rel=1e-3)


def test_no_losses_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no losses"):
        learning_curves.draw([], tmp_path / "curves")
    with pytest.raises(InputError, match="cannot read"):
        learning_curves.draw(tmp_path / "absent.jsonl", tmp_path / "curves")
    whole = '{"kind": "eval", "step": 1, "loss": 2.0}\n'
    for line in ("{}", "1", '{"kind": "eval", "step": "1", "loss": 2.0}', '{"kind": "eval", "step": 1, "loss": NaN}'):
        (tmp_path / "metrics.jsonl").write_text(f"{whole}{line}\n{whole}")
        with pytest.raises(InputError, match="line 2 is not a line"):
            learning_curves.draw(tmp_path / "metrics.jsonl", tmp_path / "curves")
