"""What the fuzz tests try: for each reader, whole files to start from, and how one is read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document
from mutation import damaged_bytes, generator, mutant
from sample_records import every_kind
from small_maps import small_map

from worldbench.core.arrays import Array, names_in, npz, read_npz
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map
from worldbench.records.parts import Record
from worldbench.records.reading import read, read_any, text

Make = Callable[[Path], dict[str, bytes]]


@dataclass(frozen=True)
class Reader:
    """wholes: files that are read as they are, by their names. read: raises a WorldbenchError for any other, or uses it.

    count: damaged files that are tried. form: how they are damaged (`mutation.mutant`). packed: as gzip. signed: every
    file that differs from the whole one must be refused.
    """

    wholes: dict[str, bytes]
    read: Callable[[Path], object]
    count: int
    form: str = "text"
    packed: bool = False
    signed: bool = False

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


# Maps

NAMED = [(u, v, {"length": "100", "name": "['A', 'B']"}) for u, v, _ in SQUARE_EDGES]
LON = document().replace('attr.name="x"', 'attr.name="lon"').replace('attr.name="y"', 'attr.name="lat"')
GRAPHML = {
    "map.graphml": document(), "named.graphml": document(edges=NAMED), "undirected.graphml": document(kind="undirected"),
    "wkt.graphml": document(crs='GEOGCRS["WGS 84",ID["EPSG",4326]]'), "dict.graphml": document(crs="{'init': 'epsg:4326'}"),
    "lon.graphml": LON, "metres.graphml": document(crs="metres"),
}  # fmt: skip
PACKED = {"packed.graphml.gz": document({**SQUARE_NODES, "9": (-74.001, 40.7)})}
TABLE = "node,direction,to,x,y\na,E,b,0,0\nb,NW,c,100,0\nc,SW,a,50,80\nb,up,a,100,0\n"
MOVES = {"a": {"E": "b"}, "b": {"NW": "c", "left": "a"}, "c": {"SW": "a"}}
JSON_TABLE = json.dumps({"moves": MOVES, "nodes": {"a": [0, 0], "b": [100, 0], "c": [50, 80]}})


def read_map(path: Path) -> None:
    graph = load_map(TaxiConfig(map=str(path), region="village"))
    words = {*graph.places, *graph.directions, "end", "<pad>"}
    assert graph.n_places >= 3
    assert np.isfinite(graph.metres).all()
    assert len(words) == graph.n_places + len(graph.directions) + 2


def maps() -> dict[str, Reader]:
    def encoded(files: dict[str, str]) -> dict[str, bytes]:
        return {name: content.encode() for name, content in files.items()}

    return {
        "map": Reader(encoded(GRAPHML), read_map, 2000),
        "packed map": Reader(encoded(PACKED), read_map, 300, packed=True),
        "table": Reader(encoded({"map.csv": TABLE}), read_map, 500),
        "JSON table": Reader(encoded({"map.json": JSON_TABLE}), read_map, 500, "json"),
    }


# Records


def records() -> dict[str, Reader]:
    """Every kind; what is read can be written again."""

    def reader(record: Record) -> Reader:
        def again(path: Path) -> None:
            text(read(path, type(record)))
            text(read_any(path))

        return Reader({f"{record.kind}.json": text(record).encode()}, again, 300, "json")

    return {f"{record.kind} record": reader(record) for record in every_kind()}


# Arrays

ARRAYS = {
    "places": Array("text", ("P+",)), "metres": Array("float", ("P", 2), least=-1e6, most=1e6), "edges": Array("int", ("E", 3), index="P"),
    "legal": Array("bool", ("P", "A")), "rows": Array("int", (), least=1),
}  # fmt: skip


def arrays() -> dict[str, Reader]:
    graph = small_map(9, 0)
    whole = npz({
        "places": np.array(graph.places), "metres": graph.metres, "edges": np.asarray(graph.edges), "legal": graph.successor >= 0, "rows": np.array(3),
    })  # fmt: skip

    def taken(path: Path) -> None:
        names_in(path, again="run it again")
        read = read_npz(path, ARRAYS, again="run it again")
        assert read["edges"].max(initial=0) < len(read["places"]) == len(read["metres"])

    return {"arrays": Reader({"evidence.npz": whole}, taken, 800, "bytes")}


READERS: dict[str, Callable[[], dict[str, Reader]]] = {"maps": maps, "records": records, "arrays": arrays}
