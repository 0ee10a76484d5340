"""GraphML files written by tests."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from worldbench.core.graph import Graph
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map

KEYS = {"crs": "graph", "x": "node", "y": "node", "length": "edge", "name": "edge"}
Edge = tuple[str, str, dict[str, str]]
SQUARE_NODES = {"1": (-74.0, 40.700), "2": (-74.0, 40.701), "3": (-73.999, 40.701), "4": (-73.999, 40.700)}
SQUARE_EDGES: list[Edge] = [(u, v, {"length": "100"}) for u, v in ("12", "23", "34", "41", "21")]


def data(values: dict[str, str]) -> str:
    return "".join(f'<data key="{key}">{value}</data>' for key, value in values.items())


def document(
    nodes: dict[str, Any] | None = None,
    edges: list[Edge] | None = None,
    crs: str = "epsg:4326",
    kind: str = "directed",
    head: str = "",
) -> str:
    """GraphML of nodes {id: (x, y)} and edges; the square by default."""
    nodes, edges = SQUARE_NODES if nodes is None else nodes, SQUARE_EDGES if edges is None else edges
    keys = "".join(f'<key id="{key}" for="{of}" attr.name="{key}" attr.type="string"/>' for key, of in KEYS.items())
    node_text = "".join(
        f"<node id={quoteattr(i)}>{data({'x': str(p[0]), 'y': str(p[1])}) if p else ''}</node>"
        for i, p in nodes.items()
    )
    edge_text = "".join(
        f'<edge source={quoteattr(u)} target={quoteattr(v)} id="{k}">{data(values)}</edge>'
        for k, (u, v, values) in enumerate(edges)
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{head}<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{keys}'
        f'<graph edgedefault="{kind}">{data({"crs": crs})}{node_text}{edge_text}</graph></graphml>'
    )


def saved(folder: Path, text: str | bytes, name: str = "map.graphml") -> Path:
    path = folder / name
    raw = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def load(path: Path, region: str = "all") -> Graph:
    return load_map(TaxiConfig(map=str(path), region=region))


def moves(graph: Graph) -> list[tuple[str, str, str]]:
    return [(graph.places[u], graph.directions[a], graph.places[v]) for u, v, a in graph.edges]
