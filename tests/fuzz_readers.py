"""What the fuzz tests try: for each reader of files, whole files to start from, and how one is read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document
from mutation import damaged_bytes, generator, mutant
from sample_records import config as folder_config
from sample_records import every_kind
from small_maps import small_map

from worldbench.core.arrays import Array, names_in, npz, read_npz
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.records.parts import Record
from worldbench.records.reading import read, read_any, text

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Reader:
    """wholes: files that are read as they are, by their names. read: raises a WorldbenchError for a file, or uses it.

    count: damaged files that are tried. form: how they are damaged (`mutation.mutant`). packed: as gzip.
    """

    wholes: dict[str, bytes]
    read: Callable[[Path], object]
    count: int
    form: str = "text"
    packed: bool = False

    def damaged(self, name: str, index: int) -> tuple[str, bytes]:
        """The name of a file and what is in it: input `index` of the reader of that name."""
        rng = generator(name, index)
        file = list(self.wholes)[index % len(self.wholes)]
        raw = mutant(self.wholes[file], rng, self.form)
        if not self.packed:
            return file, raw
        packed = gzip.compress(raw, mtime=0)
        return file, packed if rng.random() < 0.8 else damaged_bytes(packed, rng)

    def whole(self, file: str) -> bytes:
        """What is in a whole file."""
        return gzip.compress(self.wholes[file]) if self.packed else self.wholes[file]


def encoded(files: dict[str, str]) -> dict[str, bytes]:
    return {name: content.encode() for name, content in files.items()}


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


def maps() -> dict[str, Reader]:
    return {
        "map": Reader(encoded(GRAPHML), read_map, 1400),
        "packed map": Reader(encoded(PACKED), read_map, 200, packed=True),
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


# Settings

RECIPE = """world = "hmm"
preset = "quick"
seed = 3
[env]
process = "mess3(x=0.15, a=0.6)"
length = 8
[model]
name = "nextlat"
horizon = 4
[train]
steps = 20
learning_rate = 0.001
[eval]
metrics = ["next_token", "excess_loss"]
trials = 20
"""
TUNED = """world = "taxi"
tuned = "16x2,excess_loss.kl,0123456789abcdef"
[env]
map = "city:40"
[data]
documents = 800
[model]
name = "gpt"
"""


def recipes() -> dict[str, Reader]:
    """Read, resolved, and written again."""
    from worldbench.core.registry import models
    from worldbench.core.registry import worlds as known
    from worldbench.settings.recipe import load_recipe, to_toml
    from worldbench.settings.resolve import resolve

    def resolved(path: Path) -> None:
        recipe = load_recipe(path)
        world, model = recipe.get("world", "hmm"), recipe.get("model", {}).get("name", "gpt")
        _ = known[world], models[model]
        job = resolve(world, model, preset=recipe.get("preset", "quick"), seed=recipe.get("seed", 0), recipe=recipe)
        path.write_text(to_toml(job), encoding="utf-8")
        again = load_recipe(path)
        assert resolve(world, model, preset=job.preset, seed=job.seed, recipe=again).groups == job.groups

    return {"recipe": Reader(encoded({"recipe.toml": RECIPE, "tuned.toml": TUNED}), resolved, 900, "toml")}


# What a run folder holds


def records() -> dict[str, Reader]:
    """Every kind; what is read can be written again."""

    def reader(record: Record) -> Reader:
        def again(path: Path) -> None:
            text(read(path, type(record)))
            text(read_any(path))

        return Reader({f"{record.kind}.json": text(record).encode()}, again, 500, "json")

    return {f"{record.kind} record": reader(record) for record in every_kind()}


ARRAYS = {
    "places": Array("text", ("P+",)),
    "metres": Array("float", ("P", 2), least=-1e6, most=1e6),
    "edges": Array("int", ("E", 3), index="P"),
    "legal": Array("bool", ("P", "A")),
    "rows": Array("int", (), least=1),
}


def arrays() -> dict[str, Reader]:
    graph = small_map(9, 0)
    whole = npz(
        {
            "places": np.array(graph.places),
            "metres": graph.metres,
            "edges": np.asarray(graph.edges),
            "legal": graph.successor >= 0,
            "rows": np.array(3),
        }
    )

    def taken(path: Path) -> None:
        names_in(path, again="run it again")
        read = read_npz(path, ARRAYS, again="run it again")
        assert read["edges"].max(initial=0) < len(read["places"]) == len(read["metres"])

    return {
        "arrays": Reader({"evidence.npz": whole}, taken, 400, "npz"),
        "bytes of arrays": Reader({"evidence.npz": whole}, taken, 300, "bytes"),
    }


def checkpoints() -> dict[str, Reader]:
    """What is used is what was saved, to the bit: a digest goes over all of it."""
    import tempfile

    import torch

    from worldbench.training import checkpoint
    from worldbench.training.training_log import Prefix

    module, optimizer = _trained()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "checkpoint").mkdir()
        checkpoint.save_weights(place, checkpoint.About(7, curve="c"), module)
        checkpoint.save_state(place, checkpoint.About(7, log=Prefix.of(b"")), module, optimizer)
        weights = {"checkpoint/step-00000007.safetensors": checkpoint.weights_path(place, 7).read_bytes()}
        state = {"checkpoint/state.safetensors": checkpoint.state_path(place).read_bytes()}
        about, said = (
            checkpoint.load_weights(checkpoint.weights_path(place, 7), module),
            checkpoint.load_state(place, module, optimizer),
        )

    def same(other: torch.nn.Module) -> None:
        assert all(
            torch.equal(a, b) for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True)
        )

    def load_weights(path: Path) -> None:
        loaded, _ = _trained(steps=0)
        assert checkpoint.load_weights(path, loaded) == about
        same(loaded)

    def load_state(path: Path) -> None:
        loaded, moments = _trained(steps=0)
        assert checkpoint.load_state(path.parent.parent, loaded, moments) == said
        same(loaded)
        for old, new in zip(
            optimizer.state_dict()["state"].values(), moments.state_dict()["state"].values(), strict=True
        ):
            assert all(torch.equal(old[name], new[name]) for name in old)

    return {
        "weights": Reader(weights, load_weights, 300, "safetensors"),
        "state": Reader(state, load_state, 300, "safetensors"),
        "what weights say of themselves": Reader(weights, checkpoint.read_about, 200, "safetensors"),
    }


def _trained(steps: int = 1) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A matrix after some steps, and a vector that never has a gradient."""
    import torch

    module = torch.nn.Module()
    module.matrix = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    module.still = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    for _ in range(steps):
        module.matrix.sum().backward()
        optimizer.step()
    return module, optimizer


CURVE = "".join(
    f'{{"kind": "train", "step": {i}, "loss": {{"next": {2 / i}}}, "learning_rate": 0.001}}\n'
    f'{{"kind": "eval", "step": {i}, "loss": 1.5, "bayes": 1.0, "excess": 0.5}}\n'
    for i in range(1, 5)
)


def curves() -> dict[str, Reader]:
    """The lines of metrics.jsonl, as figures read them and as a run that goes on does."""
    from worldbench.records.lines import read_lines
    from worldbench.training.training_log import lines

    def taken(path: Path) -> None:
        kept = [line for line, _ in lines(path.read_bytes())]
        assert path.read_bytes().startswith(b"".join(kept))
        assert len(read_lines(path)) >= len(kept)

    return {"curve": Reader({"metrics.jsonl": CURVE.encode()}, taken, 500)}


def saved_runs() -> dict[str, Reader]:
    """The job of a run folder, read again from its config.json to be scored again."""
    import dataclasses

    import msgspec

    from worldbench.runs.config_file import load_job
    from worldbench.settings.resolve import resolve

    job = resolve(
        "hmm", "nextlat", preset="quick", seed=1, options=["--train.steps", "20", "--eval.metrics", "next_token"]
    )
    groups = {name: dataclasses.asdict(values) for name, values in job.groups.items()}
    config = msgspec.structs.replace(folder_config(), world="hmm", model="nextlat", groups=groups, plugins=[])

    def loaded(path: Path) -> None:
        job = load_job(path.parent, ["--eval.trials", "6"])
        assert job.groups["eval"].trials == 6

    return {"saved run": Reader({"run/config.json": text(config).encode()}, loaded, 500, "json")}


READERS: dict[str, Callable[[], dict[str, Reader]]] = {
    "maps": maps,
    "routes": routes,
    "worlds": worlds,
    "recipes": recipes,
    "records": records,
    "arrays": arrays,
    "checkpoints": checkpoints,
    "curves": curves,
    "saved runs": saved_runs,
}
