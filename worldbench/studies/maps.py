"""What a street map is like: its size, its streets, what was dropped when it was read and why, and how far it is a test
of a world model. Behind `worldbench map`."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.files import make_folder
from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.envs.taxi.config import TaxiConfig

FAIR = 0.3
"""Counter accuracy below which counting moves does not find the place."""
VILLAGE_RIDES, LONG_RIDES, FEW_PLACES = (5, 28), (2, 99), 200
"""Moves of the rides that measure counter accuracy: on maps of at most FEW_PLACES intersections, and on others. They
are those of the presets `small` and `standard`."""


@dataclass(frozen=True)
class Described:
    """graph: the map. facts: by name, what is known of it, ready for JSON. notes: sentences for people."""

    graph: Graph
    facts: dict[str, Any]
    notes: list[str]


def describe(spec: str, *, region: str = "all", city_seed: int = 0, positions: Path | None = None) -> Described:
    """Reads a map and describes it. spec: any value that `--env.map` takes; region, city_seed: as in the taxi world.

    positions: a file with the positions of the nodes of a table. Raises InputError for a map that cannot be read.
    """
    from worldbench.envs.taxi.maps import load_map, settle

    config, announcement = settle(TaxiConfig(map=spec, region=region, city_seed=city_seed))
    graph = load_map(config, positions=positions)
    report = graph.report
    facts: dict[str, Any] = {
        "map": graph.name,
        "region": config.region,
        "digest": graph.digest,
        "intersections": graph.n_places,
        "moves": len(graph.edges),
        **_streets(graph),
        "dropped": _dropped(report),
        **_accuracy(graph, config),
    }
    notes = [str(note) for note in (announcement, report.get("notes")) if note]
    return Described(graph, facts, notes)


def write(described: Described, out: Path, compact_file: Path | None = None) -> list[Path]:
    """Writes the picture (map.png, .svg and .csv) and the compact file into `out`; a table has no compact file.

    compact_file: another path for the compact file. Returns the files. Raises InputError for a path that cannot be
    written, and for a table with `compact_file`.
    """
    from worldbench.envs.taxi import compact
    from worldbench.envs.taxi.streets import DIRECTIONS
    from worldbench.figures.plain_map import draw

    graph = described.graph
    make_folder(out)
    path = compact_file or (out / f"{stem(graph)}{compact.ENDING}")
    if compact_file is not None and not compact_file.name.endswith(".npz"):
        raise InputError(
            f"--write {str(compact_file)!r} must end in {compact.ENDING}, so that worldbench can read it as a map"
        )
    written = []
    if compact_file is not None or graph.directions == DIRECTIONS:
        make_folder(path.parent)
        compact.write(graph, path)
        written.append(path)
    return [*draw(graph, out / "map", title=graph.name), *written]


def stem(graph: Graph) -> str:
    """The name of the map as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", graph.name).strip("-")[:40] or "map"


def _streets(graph: Graph) -> dict[str, Any]:
    """Degrees, directions, lengths, and how many streets are one-way."""
    source, target, direction = graph.edges.T
    moves = set(zip(source.tolist(), target.tolist()))
    one_way = sum((b, a) not in moves for a, b in moves)
    out, into = np.bincount(source, minlength=graph.n_places), np.bincount(target, minlength=graph.n_places)
    length = graph.length[source, direction]
    words = Counter(direction.tolist())
    named = sum(bool(name) for name in graph.street[source, direction])
    return {
        "one_way_streets": one_way,
        "two_way_streets": (len(moves) - one_way) // 2,
        "streets_with_a_name": named,
        "out_degree": {str(k): int((out == k).sum()) for k in np.unique(out)},
        "in_degree": {str(k): int((into == k).sum()) for k in np.unique(into)},
        "directions": {word: words[a] for a, word in enumerate(graph.directions)},
        "meters_median": round(float(np.median(length)), 1) if len(length) else None,
        "meters_longest": round(float(length.max()), 1) if len(length) else None,
        "kilometers": round(float(length.sum()) / 1000, 3),
        "width_meters": round(float(np.ptp(graph.metres[:, 0]))),
        "height_meters": round(float(np.ptp(graph.metres[:, 1]))),
    }


def _dropped(report: dict[str, int | str]) -> dict[str, int]:
    """Each cause, in words, with its count; only causes that dropped something. In the order of the rules."""
    from worldbench.envs.taxi.world import TaxiWorld

    causes = {
        **{key: words[1] for key, words in TaxiWorld.dropped.items()},
        "places_outside_region": "intersections outside the region",
        "moves_outside_largest_part": "moves to or from intersections that were dropped",
        "moves_outside_region": "moves to or from intersections outside the region or at its edge",
    }
    return {words: int(report[key]) for key, words in causes.items() if report.get(key)}


def _accuracy(graph: Graph, config: TaxiConfig) -> dict[str, Any]:
    """Counter accuracy and beeline arrival; None, with the reason, on a map without rides of these lengths."""
    from worldbench.envs.rides.controls import beeline_arrival, counter_accuracy
    from worldbench.envs.taxi.world import TaxiWorld

    low, high = VILLAGE_RIDES if graph.n_places <= FEW_PLACES else LONG_RIDES
    try:
        options = TaxiConfig(map=config.map, region=config.region, min_moves=low, max_moves=high)
        walker = TaxiWorld(options, graph).walker
        counter, beeline, why = counter_accuracy(walker), beeline_arrival(walker), ""
    except InputError as error:
        counter, beeline, why = None, None, str(error)
    return {
        "ride_moves": [low, high],
        "counter_accuracy": counter,
        "beeline_arrival": beeline,
        **({"no_rides": why} if why else {}),
    }


def sentences(facts: dict[str, Any]) -> list[list[str]]:
    """The facts as rows of a table for people: name and value."""
    low, high = facts["ride_moves"]
    rides = f"rides of {low} to {high} moves"
    counter = facts["counter_accuracy"]
    if counter is None:
        fair = facts["no_rides"]
    else:
        verdict = "counting moves does not find the place" if counter < FAIR else "an easy test: a fair one is below .3"
        fair = f"{counter:.2f} over {rides}; {verdict}"
    extent = f"{facts['width_meters'] / 1000:,.2f} km east to west, {facts['height_meters'] / 1000:,.2f} north to south"
    rows = [
        *([["region", facts["region"]]] if facts["region"] != "all" else []),
        ["intersections", f"{facts['intersections']:,}"],
        ["moves", f"{facts['moves']:,}"],
        ["streets", f"{facts['two_way_streets']:,} two-way, {facts['one_way_streets']:,} one-way"],
        ["moves with a street name", f"{facts['streets_with_a_name']:,}"],
        ["streets that leave", _histogram(facts["out_degree"])],
        ["streets that enter", _histogram(facts["in_degree"])],
        ["directions", ", ".join(f"{word} {count:,}" for word, count in facts["directions"].items())],
        ["length of a street", f"median {facts['meters_median']:,} m, longest {facts['meters_longest']:,} m"],
        ["extent", extent],
        *(["dropped", f"{count:,} {words}"] for words, count in facts["dropped"].items()),
        ["counter accuracy", fair],
    ]
    if facts["beeline_arrival"] is not None:
        rows.append(["beeline arrival", f"{facts['beeline_arrival']:.2f}"])
    return [*rows, ["digest", facts["digest"]]]


def _histogram(degrees: dict[str, int]) -> str:
    return ", ".join(f"{degree}: {counted(count, 'intersection')}" for degree, count in degrees.items())
