"""The project's own compact file of a street map (.npz): what a world needs of the map, and nothing else.

It holds the intersections and streets that stay after the rules of `moves.py`, so the map that is read from the file
has the digest of the map that was written. Manhattan takes 0.2 million bytes; its GraphML takes 6.4 million.
Shape letters: N places, E streets (one row per direction of travel), K distinct names of streets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.arrays import Array, Named, npz, read_npz
from worldbench.core.errors import InputError
from worldbench.core.files import write_atomic
from worldbench.core.graph import Graph
from worldbench.envs.taxi.graphml import unusable_words
from worldbench.envs.taxi.reading import FARTHEST, Refused
from worldbench.envs.taxi.streets import DIRECTIONS, Streets

VERSION = 1
MARK = b"worldbench_map.npy"
"""The name of an array of every such file, which is in its bytes."""
ENDING = ".map.npz"
"""The end of the name of such a file."""
AGAIN = "worldbench map MAP --write FILE makes it again"
LONGEST_NOTES = 1000
NEEDED: Named = {
    "worldbench_map": Array("int", (), least=VERSION, most=VERSION),
    "name": Array("text"),
    "about": Array("text"),
    "globe": Array("bool"),
    "places": Array("text", ("N+",)),
    "position": Array("float", ("N+", 2), least=-FARTHEST, most=FARTHEST),
    "source": Array("int", ("E+",), index="N"),
    "target": Array("int", ("E+",), index="N"),
    "length": Array("float", ("E+",), least=0, most=FARTHEST),
    "street": Array("int", ("E+",), index="K"),
    "names": Array("text", ("K+",)),
}


def write(graph: Graph, path: Path) -> None:
    """Writes the file, in one atomic step; equal maps give equal bytes. Raises InputError for the map of a table, whose
    directions do not follow from positions."""
    if graph.directions != DIRECTIONS:
        raise InputError(
            f"{graph.name!r} is a table of moves with directions of its own, and only street maps have a compact file; "
            "a packed copy of the table is as small"
        )
    source, target, direction = graph.edges.T
    names, street = np.unique(graph.street[source, direction].astype(str), return_inverse=True)
    about = {key: value for key, value in graph.report.items() if key != "announcement"}
    write_atomic(
        path,
        npz(
            {
                "worldbench_map": np.array(VERSION, np.int32),
                "name": np.array(graph.name),
                "about": np.array(json.dumps(about, sort_keys=True)),
                "globe": np.array(graph.lonlat is not None),
                "places": np.array(graph.places),
                "position": graph.metres if graph.lonlat is None else graph.lonlat,
                "source": source.astype(np.int32),
                "target": target.astype(np.int32),
                "length": graph.length[source, direction],
                "street": street.astype(np.int32),
                "names": names,
            }
        ),
    )


def read(path: Path) -> Streets:
    """The streets of a compact file. Raises InputError for a file that is damaged, and Refused for one that is not a
    map."""
    found = read_npz(path, NEEDED, again=AGAIN)
    places = found["places"].tolist()
    if len(set(places)) < len(places):
        raise Refused("names an intersection twice", AGAIN)
    limit = [180, 90] if found["globe"] else [FARTHEST, FARTHEST]
    if (np.abs(found["position"]) > limit).any():
        raise Refused("has positions outside -180..180, -90..90 degrees", AGAIN)
    if problems := unusable_words(places):
        raise Refused(f"cannot be used: {'; '.join(problems)}", AGAIN)
    report: dict[str, int | str] = {"nodes_read": len(places), "edges_read": len(found["source"])}
    if notes := _about(str(found["about"])).get("notes"):
        report["notes"] = str(notes)[:LONGEST_NOTES]
    return Streets(
        name=str(found["name"]),
        places=places,
        position=found["position"].astype(float),
        globe=bool(found["globe"]),
        source=found["source"].astype(np.int64),
        target=found["target"].astype(np.int64),
        length=found["length"].astype(float),
        street=found["names"][found["street"]].tolist(),
        report=report,
    )


def _about(text: str) -> dict[str, Any]:
    """The report of the map from which the file was written."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("has an unreadable report", AGAIN) from error
    return found if isinstance(found, dict) else {}
