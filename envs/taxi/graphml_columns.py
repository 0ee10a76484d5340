"""The parts of a GraphML file that a street map needs, as columns of numbers.

Letters: N nodes, E edges.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np

from worldbench.envs.taxi.reading import Refused, number

MOST_NODES = 500_000
MOST_EDGES = 1_500_000
SMALLER = "save a smaller part of the map"
ABSENT = -1
"""The code of an edge without a name or id."""
Store = Callable[[int, str], None]
"""A function that stores a value. Arguments: the row of the node or edge, and the text of the value."""


@dataclass
class Document:
    """The content of a GraphML file.

    ids: N ids, in the order in which nodes or edges first mention them. declared: bool [N], does a <node> have the id?
    repeated: number of <node> elements whose id was declared before.
    numbers: float64 [N] by name, in lower case, of a node attribute; attributes that hold two numbers have the keys
    (name, 0) and (name, 1). source, target: int64 [E], rows of ids. edge_id: int64 [E], equal for equal ids, or ABSENT.
    both_ways: bool [E], is the edge undirected? length: float64 [E], 0 if absent, NaN if the text is not a number.
    street: int64 [E], rows of `names`, or ABSENT. crs: the text in the file, or None.
    """

    ids: list[str]
    declared: np.ndarray
    repeated: int
    numbers: dict[str | tuple[str, int], np.ndarray]
    source: np.ndarray
    target: np.ndarray
    edge_id: np.ndarray
    both_ways: np.ndarray
    length: np.ndarray
    street: np.ndarray
    names: list[str]
    crs: str | None


@dataclass
class Values:
    """Numbers by row, in the order of the file. The last number of a row counts. default: for rows without a number."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[float] = field(default_factory=lambda: array("d"))
    default: float = math.nan

    def put(self, row: int, value: float) -> None:
        self.rows.append(row)
        self.numbers.append(value)

    def store(self, row: int, text: str) -> None:
        self.rows.append(row)
        self.numbers.append(number(text))

    def column(self, n: int) -> np.ndarray:
        """float64 [n]."""
        out = np.full(n, self.default)
        out[_integers(self.rows)] = np.frombuffer(self.numbers, np.float64)
        return out


class Columns:
    """Collects the content of a GraphML file, element by element.

    single, double: names, in lower case, of the node attributes that hold one number, and two numbers.
    pair: reads the two numbers of a text.
    """

    def __init__(
        self, single: Collection[str], double: Collection[str], pair: Callable[[str], tuple[float, float]]
    ) -> None:
        self.single, self.double, self.pair = frozenset(single), frozenset(double), pair
        self.row: dict[str, int] = {}
        self.declared = bytearray()
        self.repeated = 0
        self.values: dict[str | tuple[str, int], Values] = {}
        self.ends, self.edge_id, self.both_ways = array("q"), array("q"), bytearray()
        self.id_code: dict[str, int] = {}
        self.length = Values(default=0.0)
        self.street = Values(default=ABSENT)
        self.name_code: dict[str, int] = {}
        self.crs: str | None = None

    def place(self, name: str) -> int:
        """The row of a node id. A new id gets a new row."""
        found = self.row.get(name)
        if found is None:
            found = len(self.declared)
            if found >= MOST_NODES:
                raise Refused(f"has more than {MOST_NODES:,} nodes, which is the limit", SMALLER)
            self.row[name] = found
            self.declared.append(0)
        return found

    def node(self, name: str) -> int:
        """Adds a <node>. Returns its row."""
        at = self.place(name)
        self.repeated += self.declared[at]
        self.declared[at] = 1
        return at

    def edge(self, source: str, target: str, name: str | None, undirected: bool) -> int:
        """Adds an <edge>. Returns its row. name: the id of the edge."""
        at = len(self.both_ways)
        if at >= MOST_EDGES:
            raise Refused(f"has more than {MOST_EDGES:,} edges, which is the limit", SMALLER)
        self.ends.append(self.place(source))
        self.ends.append(self.place(target))
        self.edge_id.append(self.id_code.setdefault(name, len(self.id_code)) if name else ABSENT)
        self.both_ways.append(undirected)
        return at

    def node_store(self, name: str) -> Store | None:
        """The function that stores the node attribute of this name; None if the attribute is not needed."""
        name = name.lower()
        if name in self.single:
            return self.values.setdefault(name, Values()).store
        if name not in self.double:
            return None
        first, second = (self.values.setdefault((name, k), Values()) for k in (0, 1))

        def both(row: int, text: str) -> None:
            found = self.pair(text)
            first.put(row, found[0])
            second.put(row, found[1])

        return both

    def edge_store(self, name: str) -> Store | None:
        """The same for an edge attribute."""
        return {"length": self.length.store, "name": self._street}.get(name)

    def graph_store(self, name: str) -> Store | None:
        """The same for an attribute of the graph, whose row has no meaning."""
        return self._crs if name == "crs" else None

    def default(self, name: str, of: str, text: str) -> None:
        """Sets the value of all nodes or edges without their own value. of: "node", "edge", "graph" or "all"."""
        if of in ("node", "all") and name.lower() in self.single:
            self.values.setdefault(name.lower(), Values()).default = number(text)
        if of in ("edge", "all") and name == "length":
            self.length.default = number(text)
        if of in ("edge", "all") and name == "name":
            self.street.default = self._name(text)
        if of in ("graph", "all") and name == "crs":
            self.crs = text

    def _name(self, text: str) -> int:
        return self.name_code.setdefault(text, len(self.name_code))

    def _street(self, row: int, text: str) -> None:
        self.street.put(row, self._name(text))

    def _crs(self, _row: int, text: str) -> None:
        self.crs = text

    def document(self) -> Document:
        """The collected content as arrays."""
        n, edges = len(self.declared), len(self.both_ways)
        ends = _integers(self.ends).reshape(edges, 2)
        return Document(
            ids=list(self.row),
            declared=np.frombuffer(self.declared, np.uint8).astype(bool),
            repeated=self.repeated,
            numbers={name: values.column(n) for name, values in self.values.items()},
            source=ends[:, 0].copy(),
            target=ends[:, 1].copy(),
            edge_id=_integers(self.edge_id),
            both_ways=np.frombuffer(self.both_ways, np.uint8).astype(bool),
            length=self.length.column(edges),
            street=self.street.column(edges).astype(np.int64),
            names=list(self.name_code),
            crs=self.crs,
        )


def _integers(values: array[int]) -> np.ndarray:
    return np.frombuffer(values, np.int64)
