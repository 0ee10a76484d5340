"""The streets of a document: GraphML as osmnx writes it, or another file that was put into the same columns.

Nodes need positions (see `coordinates.py`); edges may have a `length` in meters and a `name`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldbench.envs.taxi.coordinates import positions
from worldbench.envs.taxi.graphml_columns import ABSENT, Document
from worldbench.envs.taxi.reading import Refused, counted, some
from worldbench.envs.taxi.streets import DIRECTIONS, Streets, distance

RESERVED = (*DIRECTIONS, "end", "pad", "<pad>")
"""Words with a meaning in a ride, which cannot be the id of an intersection."""
LONGEST_NAME = 200
"""Characters of a street name that are kept."""


def streets_of(path: Path, document: Document, remarks: Sequence[str] = ()) -> Streets:
    """The streets of a document. remarks: further notes for people. Raises Refused with everything that is wrong with
    it."""
    source, target, ids = document.source, document.target, document.ids
    found = positions(document)
    places = [node for node, there in zip(ids, document.declared.tolist()) if there]
    problems = list(found.problems)
    if not len(source):
        problems.append("it has no edges")
    if document.repeated:
        problems.append(f"{counted(document.repeated, 'node')} with the id of another")
    unknown = (node for node, there in zip(ids, document.declared.tolist()) if not there)
    problems += some("ends of edges that are not nodes", sorted(unknown))
    problems += unusable_words(places)
    if repeats := _repeated(document):
        problems.append(f"{counted(repeats, 'edge')} with the source, target and id of another")
    wrong = np.flatnonzero(~np.isfinite(document.length) | (document.length < 0))
    problems += some("no usable length", (f"{ids[source[e]]}->{ids[target[e]]}" for e in wrong.tolist()), "edge")
    if problems:
        raise Refused(f"cannot be used: {'; '.join(problems)}")

    row = np.cumsum(document.declared) - 1
    source, target = row[source], row[target]
    straight = distance(found.position[source], found.position[target], globe=found.globe)
    length = np.where(document.length > 0, document.length, straight)
    names = np.array([*map(street_name, document.names), ""], dtype=object)
    street = names[np.where(document.street == ABSENT, len(names) - 1, document.street)]
    back = np.flatnonzero(document.both_ways & (source != target))
    report: dict[str, int | str] = {"nodes_read": len(places), "edges_read": len(source)}
    notes = [*remarks, *filter(None, [found.note])]
    if document.both_ways.any():
        undirected = int(document.both_ways.sum())
        report["undirected_edges"] = undirected
        notes.append(f"{counted(undirected, 'undirected edge')} of the file read as two-way streets")
    if notes:
        report["notes"] = "; ".join(notes)
    return Streets(
        name=re.sub(r"(\.graphml|\.osm|\.xml|\.gpkg)?(\.gz|\.xz|\.bz2)?$", "", path.name, flags=re.IGNORECASE)
        or path.name,
        places=places,
        position=found.position,
        globe=found.globe,
        source=np.concatenate([source, target[back]]),
        target=np.concatenate([target, source[back]]),
        length=np.concatenate([length, length[back]]),
        street=np.concatenate([street, street[back]]).tolist(),
        report=report,
    )


def unusable_words(places: list[str]) -> list[str]:
    """What is wrong with ids that are to be words of a ride, in words; [] if all can be used."""
    reserved = frozenset(RESERVED)
    bad = (p for p in places if not p or not p.isprintable() or " " in p or p in reserved)
    rule = (
        f"an id must not contain a space or be one of {', '.join(RESERVED)}; rename these with networkx.relabel_nodes"
    )
    return [f"{problem}: {rule}" for problem in some("ids that cannot be words of a ride", bad)]


def _repeated(document: Document) -> int:
    """How many edges have the ends and the id of an earlier edge. The ends of an undirected edge have no order."""
    low, high = np.minimum(document.source, document.target), np.maximum(document.source, document.target)
    first = np.where(document.both_ways, low, document.source)
    second = np.where(document.both_ways, high, document.target)
    named = document.edge_id != ABSENT
    edges = np.stack([first, second, document.edge_id, document.both_ways], axis=1)[named]
    if not len(edges):
        return 0
    order = np.lexsort(edges.T)
    return int((np.diff(edges[order], axis=0) == 0).all(1).sum())


ITEM = r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[+-]?[0-9.]+|None|True|False)\s*"""
LIST = re.compile(rf"\[(?:{ITEM}(?:,{ITEM})*,?\s*)?\]", re.DOTALL)


def street_name(value: str) -> str:
    """One printable name. osmnx writes several names as a Python list; they are joined with a slash."""
    text = value
    if text.startswith("[") and LIST.fullmatch(text):
        text = " / ".join(_unquoted(match[1]) for match in re.finditer(ITEM, text[1:-1], re.DOTALL))
    text = text if text.isprintable() else "".join(c for c in text if c.isprintable())
    return text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + ".."


def _unquoted(item: str) -> str:
    """The text of one item of a list. An item with a backslash is read as a Python literal."""
    if item[0] not in "'\"":
        return item
    if "\\" not in item:
        return item[1:-1]
    try:
        return str(ast.literal_eval(item))
    except (ValueError, SyntaxError):
        return item[1:-1]
