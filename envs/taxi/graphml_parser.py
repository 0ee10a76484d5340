"""Reads GraphML in one pass with expat, from the standard library.

A map may come from an unknown source. So the file must be well-formed, of bounded depth and size, and without a
document type declaration (which could define entities). Time and memory are proportional to the size of the file.
"""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Iterable
from typing import Any

from worldbench.envs.taxi.containers import foreign_root
from worldbench.envs.taxi.graphml_columns import SMALLER, Columns, Document, Store
from worldbench.envs.taxi.reading import Refused, quoted, shown

MOST_KEYS = 10_000
MOST_ELEMENTS = 10_000_000
"""Most XML elements: each one takes time, even a short one. Manhattan has 122 thousand."""
MOST_ATTRIBUTES = 20_000_000
"""Most XML attributes, for the same reason. Manhattan has 142 thousand."""
DEEPEST = 16
"""Most levels of nesting. osmnx writes four."""
LONGEST_TOKEN = 1 << 20
"""Most bytes of one tag or comment. expat starts a long tag again with every piece, so time grows with the square."""
LONGEST_TEXT = 20_000
"""Characters of a value that are kept. The text of a projection has about a thousand."""
Stores = dict[str, Store | None]
"""By key, the function that stores its values; None: the values are not needed."""


def parse(pieces: Iterable[bytes], columns: Columns) -> Document:
    """Reads one document into the columns. Raises Refused if it cannot be read."""
    parser = xml.parsers.expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    walk = _Walk(parser, columns)
    fed = 0
    try:
        for piece in pieces:
            parser.Parse(piece, False)
            fed += len(piece)
            if fed - parser.CurrentByteIndex > LONGEST_TOKEN:
                raise Refused(
                    f"has a tag or a comment of more than {LONGEST_TOKEN >> 20} MiB, which is the limit",
                    "save it without",
                )
        parser.Parse(b"", True)
    except (xml.parsers.expat.ExpatError, ValueError, LookupError) as error:
        raise Refused(f"is not well-formed XML ({shown(error)})") from error
    if walk.graphs != 1:
        raise Refused(f"holds {walk.graphs} <graph> elements, not one", "save each graph in its own file")
    return columns.document()


class _Walk:
    """The handlers for the elements: graphml > key > default, graphml > graph > node or edge > data, graph > data."""

    def __init__(self, parser: xml.parsers.expat.XMLParserType, columns: Columns) -> None:
        self.parser, self.columns = parser, columns
        self.graphs = 0
        self.undirected = False
        self.of_node: Stores = {}
        self.of_edge: Stores = {}
        self.of_graph: Stores = {}
        parser.StartElementHandler = self._root
        parser.StartDoctypeDeclHandler = _doctype

    def _root(self, name: str, _attributes: dict[str, str]) -> None:
        """Handles the first element, then installs the handlers for elements of the same namespace."""
        space, _, tag = name.rpartition("}")
        if tag != "graphml":
            raise foreign_root(tag)
        self._install(f"{space}}}" if space else "")

    def _install(self, space: str) -> None:
        """Installs the handlers. They are closures, not methods, because this makes parsing a third faster."""
        tags = ("key", "graph", "node", "edge", "data", "hyperedge", "default")
        KEY, GRAPH, NODE, EDGE, DATA, HYPER, DEFAULT = (space + tag for tag in tags)
        parser, columns = self.parser, self.columns
        of_node, of_edge, of_graph = self.of_node, self.of_edge, self.of_graph
        depth, elements, seen, at, size = 1, 0, 0, 0, 0
        in_graph = False
        declaring: dict[str, str] | None = None
        owner: Stores | None = None
        store: Store | None = None
        text: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal depth, elements, seen, owner, at, in_graph, declaring
            depth += 1
            elements += 1
            seen += len(attributes)
            if elements > MOST_ELEMENTS:
                raise Refused(f"holds more than {MOST_ELEMENTS:,} XML elements, which is the limit", SMALLER)
            if seen > MOST_ATTRIBUTES:
                raise Refused(f"holds more than {MOST_ATTRIBUTES:,} XML attributes, which is the limit", SMALLER)
            if store is not None:
                stop()  # a value that contains elements comes from a drawing program and is not needed
            if depth == 4:
                if owner is not None and name == DATA:
                    take(owner, attributes)
            elif depth == 3:
                owner = None
                if in_graph:
                    if name == NODE:
                        at, owner = columns.node(attributes.get("id", "")), of_node
                    elif name == EDGE:
                        at, owner = self._edge(attributes), of_edge
                    elif name == DATA:
                        take(of_graph, attributes)
                    elif name == HYPER:
                        raise Refused("has a hyperedge, which joins more than two nodes")
                elif name == DEFAULT and declaring is not None:
                    begin(self._default(declaring))
            elif depth == 2:
                in_graph = name == GRAPH and not self.graphs
                declaring = attributes if name == KEY else None
                if in_graph:
                    self.undirected = attributes.get("edgedefault") != "directed"
                elif name == KEY:
                    self._declare(attributes)
            elif depth > DEEPEST:
                raise Refused(f"is nested more than {DEEPEST} levels deep")
            if name == GRAPH:
                self.graphs += 1

        def end(_name: str) -> None:
            nonlocal depth
            depth -= 1
            if store is not None:
                done = store
                stop()
                done(at, "".join(text))

        def collect(data: str) -> None:
            nonlocal size
            if size < LONGEST_TEXT:
                text.append(data[: LONGEST_TEXT - size])
                size += len(data)

        def take(stores: Stores, attributes: dict[str, str]) -> None:
            key = attributes.get("key", "")
            if key not in stores:
                raise Refused(f"has a value with the key {quoted(key)}, which no <key> before it declares")
            if (found := stores[key]) is not None:
                begin(found)

        def begin(with_text: Store) -> None:
            nonlocal store, size
            store, size = with_text, 0
            text.clear()
            parser.CharacterDataHandler = collect

        def stop() -> None:
            nonlocal store
            store = parser.CharacterDataHandler = None

        parser.StartElementHandler = start
        parser.EndElementHandler = end

    def _edge(self, attributes: dict[str, str]) -> int:
        directed = attributes.get("directed")
        undirected = self.undirected if directed is None else directed != "true"
        source, target = attributes.get("source", ""), attributes.get("target", "")
        return self.columns.edge(source, target, attributes.get("id"), undirected)

    def _declare(self, attributes: dict[str, str]) -> None:
        """Handles a <key>. The attribute `for` is ignored, as in other readers of GraphML."""
        if len(self.of_node) >= MOST_KEYS:
            raise Refused(f"declares more than {MOST_KEYS:,} keys, which is the limit")
        key, name = attributes.get("id", ""), _name(attributes)
        self.of_node[key] = self.columns.node_store(name)
        self.of_edge[key] = self.columns.edge_store(name)
        self.of_graph[key] = self.columns.graph_store(name)

    def _default(self, attributes: dict[str, str]) -> Store:
        name, of = _name(attributes), attributes.get("for", "all")
        return lambda _row, text: self.columns.default(name, of, text)


def _name(attributes: dict[str, str]) -> str:
    return attributes.get("attr.name", attributes.get("id", ""))


def _doctype(*_: Any) -> None:
    raise Refused(
        "has a document type declaration, which a map does not need and which can hide entity attacks", "remove it"
    )
