"""Files that worlds and the verb reconstruct read: maps, routes, positions, mazes, processes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from fuzz_reader import Reader, encoded
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document
from small_maps import small_map

from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map

# Maps, and what is read beside them

NAMED = [(u, v, {"length": "100", "name": "['A', 'B']"}) for u, v, _ in SQUARE_EDGES]
LON = document().replace('attr.name="x"', 'attr.name="lon"').replace('attr.name="y"', 'attr.name="lat"')
GRAPHML = {
    "map.graphml": document(),
    "named.graphml": document(edges=NAMED),
    "undirected.graphml": document(kind="undirected"),
    "wkt.graphml": document(crs='GEOGCRS["WGS 84",ID["EPSG",4326]]'),
    "dict.graphml": document(crs="{'init': 'epsg:4326'}"),
    "lon.graphml": LON,
    "metres.graphml": document(crs="metres"),
}
PACKED = {"packed.graphml.gz": document({**SQUARE_NODES, "9": (-74.001, 40.7)})}
TABLE = "node,direction,to,x,y\na,E,b,0,0\nb,NW,c,100,0\nc,SW,a,50,80\nb,up,a,100,0\n"
MOVES = {"a": {"E": "b"}, "b": {"NW": "c", "left": "a"}, "c": {"SW": "a"}}
JSON_TABLE = json.dumps({"moves": MOVES, "nodes": {"a": [0, 0], "b": [100, 0], "c": [50, 80]}})
ROUTES = {
    "routes.txt": "a c E NW end\n# a comment\nb a left end <pad> <pad>\n\nc a SW end\na b E NW\nb c NW SW E NW end\n",
    "few.txt": "a b E end\n",
}
POSITIONS = {
    "positions.csv": "node,lon,lat\na,-74.0,40.7\nb,-74.0,40.701\nc,-73.999,40.7\n",
    "plain.csv": "a,0,0\nb,0,1\n",
}


def read_map(path: Path) -> None:
    graph = load_map(TaxiConfig(map=str(path), region="village"))
    words = {*graph.places, *graph.directions, "end", "<pad>"}
    assert graph.n_places >= 3
    assert np.isfinite(graph.metres).all()
    assert len(words) == graph.n_places + len(graph.directions) + 2


def walk(path: Path) -> None:
    """Rides over a small table: what is held out, and what is drawn."""
    from worldbench.envs.taxi.world import TaxiWorld

    world = TaxiWorld(TaxiConfig(map=str(path), min_moves=1, max_moves=6, held_out_share=0.6))
    documents = world.sample(0, "train", 0, 8)
    assert documents.tokens.max() < len(world.vocabulary)
    world.prompts(0, 8)


def compact_map() -> bytes:
    """A compact file of a small map."""
    from worldbench.envs.taxi import compact

    with tempfile.TemporaryDirectory() as folder:
        compact.write(small_map(4, 0), Path(folder) / "town.map.npz")
        return (Path(folder) / "town.map.npz").read_bytes()


def maps() -> dict[str, Reader]:
    return {
        "map": Reader(encoded(GRAPHML), read_map, 1400),
        "packed map": Reader(encoded(PACKED), read_map, 200, packed=True),
        "compact map": Reader({"town.map.npz": compact_map()}, read_map, 300, "npz"),
        "table": Reader(encoded({"map.csv": TABLE}), read_map, 300),
        "JSON table": Reader(encoded({"map.json": JSON_TABLE}), read_map, 300, "json"),
        "walked table": Reader(encoded({"map.csv": TABLE}), walk, 300),
        "walked JSON table": Reader(encoded({"map.json": JSON_TABLE}), walk, 300, "json"),
    }


def routes() -> dict[str, Reader]:
    from worldbench.envs.taxi.positions import read_positions
    from worldbench.studies.routes import read_routes, with_directions

    graph = with_directions(small_map(4, 0))
    named = {"a": graph.places[0], "b": graph.places[1], "c": graph.places[2], "left": "N"}

    def on_the_map(line: str) -> str:
        return " ".join(named.get(word, word) for word in line.split(" "))

    files = {name: "\n".join(map(on_the_map, content.split("\n"))) for name, content in ROUTES.items()}
    wholes = encoded(files) | {"wide.txt": files["routes.txt"].encode("utf-16")}

    def taken(path: Path) -> None:
        found = read_routes(path, graph)
        assert len(found) > 0
        assert max(found.origin.max(), found.destination.max()) < graph.n_places

    return {
        "routes": Reader(wholes, taken, 600, "bytes"),
        "routes in words": Reader(encoded(files), taken, 400),
        "strict routes": Reader(encoded(files), lambda path: read_routes(path, graph, strict=True), 100),
        "positions": Reader(encoded(POSITIONS), read_positions, 300),
        "positions of a map": Reader(encoded({"map.graphml": document()}), read_positions, 200),
    }


# Other worlds

OWN = {
    "transition": [[[0.5, 0.0], [0.0, 0.25]], [[0.25, 0.25], [0.75, 0.0]]],
    "start": [0.75, 0.25],
    "words": ["a", "b"],
}
MAZE = (
    "<ADJLIST_START> (0,0) <--> (0,1) ; (0,1) <--> (1,1) ; <ADJLIST_END> <ORIGIN_START> (0,0) <ORIGIN_END> "
    "<TARGET_START> (1,1) <TARGET_END> <PATH_START> (0,0) (0,1) (1,1) <PATH_END>\n"
)
TURNED = (
    "<ADJLIST_START> (1,0) <--> (0,0) ; (1,1) <--> (1,0) ; <ADJLIST_END> <ORIGIN_START> (1,1) <ORIGIN_END> "
    "<TARGET_START> (0,0) <TARGET_END> <PATH_START> (1,1) (1,0) (0,0) <PATH_END>\n"
)
LOOSE = (
    "# mine\n<adjlist_start> ( 0 , 0 ) <--> ( 0 , 1 ) ;(0,1)<-->(1,1); "
    "(0,0) <XX> (1,0) <adjlist_end> <ORIGIN_START> (0, 0) "
    "<ORIGIN_END> <TARGET_START> (1,1) <TARGET_END> <PATH_START> (0,0)(0,1) (1,1) <PATH_END>  # last\n"
)
MAZES = {"mazes.txt": MAZE + TURNED, "loose.txt": LOOSE + MAZE}
PROCESSES = {
    "own.json": OWN,
    "theirs.json": {"transition_matrices": OWN["transition"], "initial_state": [0.5, 0.5]},
    "three.json": {"startprob": [1, 0], "transmat": [[0.9, 0.1], [0.3, 0.7]], "emissionprob": [[0.8, 0.2], [0.1, 0.9]]},
    "parts.json": {"transition": [[[0.5, 0.25, 0], [1, 0.5, 0], [0, 0, 1]]], "start": [0.5, 0, 0.5], "phi": [1, 2, 1]},
}


def worlds() -> dict[str, Reader]:
    from worldbench.envs.hmm.config import HMMConfig
    from worldbench.envs.hmm.world import FIRST, HMM
    from worldbench.envs.maze.text_format import read as read_mazes

    def emit(path: Path) -> None:
        world = HMM(HMMConfig(process=str(path), length=6))
        documents = world.sample(0, "train", 0, 8)
        states = world.start(*world.prompts(0, 1))
        world.step(states, documents.tokens[:1, 1])
        assert documents.tokens[:, 1:].min() >= FIRST
        assert documents.tokens.max() < len(world.vocabulary)
        json.dumps(world.card(8), allow_nan=False)
        world.summary(8)

    return {
        "process": Reader({name: json.dumps(p).encode() for name, p in PROCESSES.items()}, emit, 1000, "json"),
        "mazes": Reader(encoded(MAZES), lambda path: read_mazes(path, 2, 3), 800),
    }
