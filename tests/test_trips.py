"""Trips from a CSV file, and rides of several kinds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from test_registered_worlds import answers_of
from tiny_jobs import OTHER
from tiny_runs import tiny_env

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.untrained import make_untrained
from worldbench.core.abilities import HasBudget, HasGoals, HasHistories, HasLaw, HasMap, lacking
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.world import ARRIVED
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.trips import read_trips
from worldbench.envs.taxi.world import TaxiWorld

HEADER = "origin_lon,origin_lat,destination_lon,destination_lat\n"
GOOD = "-73.991,40.731,-73.998,40.739\n"


def square() -> Graph:
    """Four one-way streets in Manhattan, 1.1 km long; a -E-> b -S-> c -W-> d -N-> a."""
    successor = np.full((4, 4), -1, np.int32)
    successor[range(4), range(4)] = [1, 2, 3, 0]
    lonlat = np.array([[-74.0, 40.74], [-73.99, 40.74], [-73.99, 40.73], [-74.0, 40.73]])
    metres = (lonlat - lonlat.mean(0)) * [84_000, 111_000]
    length = np.where(successor >= 0, 1000.0, np.nan)
    street = np.full((4, 4), "", object)
    return Graph(
        name="square", places=("a", "b", "c", "d"), directions=("E", "S", "W", "N"), metres=metres, lonlat=lonlat,
        successor=successor, length=length, street=street,
    )  # fmt: skip


def read(folder: Path, text: str, graph: Graph | None = None) -> list[list[int]]:
    (folder / "trips.csv").write_text(text)
    return read_trips(folder / "trips.csv", graph or square()).pairs.tolist()


def test_trips_go_to_the_nearest_intersections(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + GOOD + GOOD) == [[2, 0], [2, 0]]
    assert read(tmp_path, GOOD) == [[2, 0]]
    published = (
        "id,dropoff_longitude,dropoff_latitude,Pickup_Longitude,pickup_latitude\n7,-73.991,40.731,-73.998,40.739\n"
    )
    assert read(tmp_path, published) == [[0, 2]]
    on_plane = dataclasses.replace(square(), lonlat=None, metres=np.array([[0, 0], [900, 0], [900, -900], [0, -900.0]]))
    assert read(tmp_path, "start_x,start_y,end_x,end_y\n10,20,890,-910\n", on_plane) == [[0, 2]]


def test_points_at_sea_are_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "trips.csv").write_text(HEADER + GOOD + "-73.9,40.2,-73.99,40.74\n0,0,0,0\n" + "-74,40.74,-74,40.741\n")
    trips = read_trips(tmp_path / "trips.csv", square())
    assert trips.summary() == (
        "1 trip (left out: 2 with a point more than 500 m from every intersection, 1 that begin and end at one "
        "intersection)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "0,0,0,0\n", "no trip of .* more than 500 m from every intersection.*choose the map"),
        (HEADER + "40.731,-73.991,40.739,-73.998\n", "in the other order"),
        (HEADER + GOOD + "-73.99,x,-74,40.7\n", r"line 3: 'x' is not a latitude \(-90 to 90\); correct or remove"),
        (HEADER + "-73.99,nan,-74,40.7\n", "line 2: 'nan' is not a latitude"),
        (HEADER + "-573.99,40,-74,40.7\n", "line 2: '-573.99' is not a longitude"),
        (HEADER + "-73.99,40\n", "line 2: it has 2 cells"),
        ("origin_lon,origin_lat,destination_lon\n", "lack the column 'destination_lat'"),
        ("origin_lon,pickup_lon,origin_lat,destination_lon,end_lat\n", "have two columns 'origin_lon'"),
        ("when,where\n1,2\n", "have the columns 'when', 'where'; the columns are origin_lon"),
        (HEADER, "have no trip"),
        ("", "have no trip"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_rides_go_between_the_ends_of_trips() -> None:
    w = TaxiWorld(dataclasses.replace(tiny_env("taxi"), **OTHER["taxi.trips"]))
    pairs = {tuple(pair) for pair in read_trips(Path(w.config.trips), w.graph()).pairs.tolist()}
    for split in ("train", "test"):
        ends = w.sample(0, split, 0, 500).tokens[:, :2] - w.first_place
        assert {tuple(pair) for pair in ends.tolist()} <= pairs
    assert w.walker.drawable("train").sum() + w.walker.drawable("test").sum() <= len(pairs)


def test_a_mixture_has_the_shares_of_its_kinds_and_no_law() -> None:
    w = TaxiWorld(TaxiConfig(map="city:24", max_moves=9, rides="random:0.25,shortest:0.75"))
    assert isinstance(w, (HasMap, HasBudget, HasHistories))
    assert not isinstance(w, (HasLaw, HasGoals))
    assert lacking((HasLaw,), w) == "the exact law of the world 'taxi' is not known"
    documents = w.sample(3, "train", 0, 4000)
    assert (w.after(documents).status == ARRIVED).all()
    parts = [
        TaxiWorld(TaxiConfig(map="city:24", max_moves=9, rides=kind)).sample(3, "train", 0, 4000).tokens
        for kind in ("random", "shortest")
    ]
    same = np.array([(documents.tokens == part).all(axis=1) for part in parts])
    assert same.any(axis=0).all()
    assert same[1].mean() == pytest.approx(0.75, abs=0.03)
    part = w.sample(3, "train", 1000, 50)
    assert np.array_equal(part.tokens, documents.tokens[1000:1050])


@pytest.mark.slow
@pytest.mark.parametrize("rides", ["noisy", "random:0.5,shortest:0.5"])
def test_every_metric_answers_for_every_kind(rides: str) -> None:
    world = TaxiWorld(dataclasses.replace(tiny_env("taxi"), rides=rides))
    model = (
        Oracle(world) if isinstance(world, HasLaw) else make_untrained(world, GPTConfig(layers=1, heads=1, width=16))
    )
    answers_of(world, model)
