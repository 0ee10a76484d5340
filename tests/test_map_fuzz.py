"""Thousands of damaged maps, seeded: each is read or refused in one sentence, quickly and in little memory."""

from __future__ import annotations

import gzip
import json
import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from graphml_files import SQUARE_EDGES, SQUARE_NODES, document

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map

ROUNDS = 1000
TABLE = "node,direction,to,x,y\na,E,b,0,0\nb,NW,c,100,0\nc,SW,a,50,80\nb,up,a,100,0\n"
JSON = json.dumps({"moves": {"a": {"E": "b"}, "b": {"NW": "c", "left": "a"}, "c": {"SW": "a"}}, "nodes": {"a": [0, 0], "b": [100, 0], "c": [50, 80]}})
NAMED = [(u, v, {"length": "100", "name": "['A', 'B']"}) for u, v, _ in SQUARE_EDGES]
SEEDS: dict[str, str] = {
    "map.graphml": document(), "named.graphml": document(edges=NAMED), "undirected.graphml": document(kind="undirected"),
    "wkt.graphml": document(crs='GEOGCRS["WGS 84",ID["EPSG",4326]]'), "dict.graphml": document(crs="{'init': 'epsg:4326'}"),
    "lon.graphml": document().replace('attr.name="x"', 'attr.name="lon"').replace('attr.name="y"', 'attr.name="lat"'), "metres.graphml": document(crs="metres"),
    "map.csv": TABLE, "map.json": JSON, "packed.graphml.gz": document({**SQUARE_NODES, "9": (-74.001, 40.7)}),
}  # fmt: skip
WORDS = [
    "", "0", "-1", "1e308", "nan", "inf", "N", "end", "<pad>", "\0", "\ud7ff", "\u202e", "[" * 3000, "{" * 3000, "(" * 3000, "9" * 5000, " " * 3000,
    "<", ">", "&amp;", "&#0;", "]]>", "<!--", "<![CDATA[", "<graph>", "</graph>", "<node/>", "<edge/>", "<data/>", '"', "'", ",", ";", "\n", "\r", "\\",
    "null", "true", "[[1, 2]]", "{}", "=1+1", "None", "4326", "+proj=utm", "POINT (1 2)", "é" * 100, "🚕", "false",
]  # fmt: skip


def damaged(text: str, rng: np.random.Generator) -> str:
    """Up to four cuts, doublings, replaced tokens or inserted words."""
    for _ in range(1 + rng.integers(4)):
        at = int(rng.integers(len(text) + 1))
        to = min(len(text), at + int(rng.integers(1, 60)))
        kind = rng.integers(5)
        word = WORDS[rng.integers(len(WORDS))]
        if kind == 0:
            text = text[:at] + text[to:]
        elif kind == 1:
            text = text[:to] + text[at:]
        elif kind == 2:
            text = text[:at] + word + text[at:]
        else:
            tokens = list(re.finditer(r"[\w.+-]+" if kind == 3 else r">[^<]*<|\"[^\"]*\"|[^,\n]+", text))
            if tokens:
                found = tokens[rng.integers(len(tokens))]
                text = text[: found.start()] + word + text[found.end() :]
    return text


def tried(path: Path) -> Graph | None:
    try:
        return load_map(TaxiConfig(map=str(path), region="village"))
    except InputError as refused:
        message = str(refused)
        assert "\n" not in message
        assert len(message) < 1200
        assert message.isprintable()
        return None


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_damaged_maps(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(sorted(SEEDS).index(name))
    path, read = tmp_path / name, 0
    tracemalloc.start()
    try:
        for _ in range(ROUNDS):
            raw = damaged(SEEDS[name], rng).encode("utf-8", "surrogatepass")
            path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
            started = time.process_time()
            graph = tried(path)
            assert time.process_time() - started < 10
            if graph is not None:
                read += 1
                assert graph.n_places >= 3
                assert np.isfinite(graph.metres).all()
                assert len({*graph.places, *graph.directions, "end", "<pad>"}) == graph.n_places + len(graph.directions) + 2
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()
    assert 5 < read < ROUNDS - 5
