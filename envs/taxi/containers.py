"""Unpacks the file of a street map, and recognizes formats that are not read, which are refused with advice.

A packed file (gzip, xz, bzip2) is unpacked piece by piece, up to a limit, so that a small file cannot fill the memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from worldbench.envs.taxi.reading import Refused, content, shown

LARGEST_BYTES = 1 << 29
"""Most bytes of a map, both on disk and after unpacking. Manhattan has 6.4 million."""
PIECE = 1 << 18
LZMA_MEMORY = 1 << 28
"""Most bytes of memory that xz may use. The strongest setting of xz needs 65 million."""
ENDINGS = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2"}
SQLITE = b"SQLite format 3\x00"
"""The first bytes of a GeoPackage, which is an SQLite database."""
PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}

SAVE = "osmnx.save_graphml(G, 'map.graphml')"
WITH_GEOPANDAS = (
    "read its nodes (indexed by osmid) and its edges (by u, v, key) with geopandas, "
    f"G = osmnx.graph_from_gdfs(nodes, edges), then {SAVE}"
)
WITH_OSMNX = f"G = osmnx.graph_from_xml('map.osm'), then {SAVE}"
UNPACK = "unpack it and name the map inside"
AS_GRAPH = f"read it with networkx into a graph G whose nodes have x and y in degrees, then {SAVE}"
PICKLE = (
    "is a pickle, which can run any program when it is opened, so it is never opened here",
    f"if you trust it, load it in Python as G, then {SAVE}",
)
GEOJSON = ("is GeoJSON", WITH_GEOPANDAS)
GEOJSON_TYPES = ("FeatureCollection", "Feature", "GeometryCollection")
NODE_LINK = (
    "is a graph in the node-link form of networkx",
    f"G = networkx.node_link_graph(json.load(open('map.json')), directed=True, multigraph=True), then {SAVE}",
)
MAGIC: tuple[tuple[bytes, tuple[str, str]], ...] = (
    (b"\x00\x00\x27\x0a", ("is a shapefile", WITH_GEOPANDAS)),
    (b"PAR1", ("is a Parquet file", WITH_GEOPANDAS)),
    (b"ARROW1", ("is an Arrow file", WITH_GEOPANDAS)),
    (b"PK\x03\x04", ("is a zip archive", UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", ("is a 7z archive", UNPACK)),
    (b"\x28\xb5\x2f\xfd", ("is packed with zstd", "unpack it, or pack it as .gz, .xz or .bz2")),
    (b"version https://git-lfs.github.com/", ("is a pointer of Git LFS to a map", "fetch the map: git lfs pull")),
)
"""The first bytes of a file, with two texts: what the file is, and what to do with it."""
SUFFIXES: dict[tuple[str, ...], tuple[str, str]] = {
    (".pkl", ".pickle", ".gpickle"): PICKLE,
    (".gpkg",): ("is not GraphML; by its name it is a GeoPackage", WITH_GEOPANDAS),
    (".shp", ".dbf", ".shx", ".prj"): ("is not GraphML; by its name it is part of a shapefile", WITH_GEOPANDAS),
    (".geojson", ".geojsonl"): GEOJSON,
    (".csv", ".json"): ("is a packed table", "unpack it; a table is read as .csv or .json"),
    (".gml",): ("is not GraphML; by its name it is GML", AS_GRAPH),
}
"""Endings of file names, with the same two texts, for content that is not XML and whose first bytes are not known."""
ROOTS: dict[str, tuple[str, str]] = {
    "osmchange": ("is a change file of OpenStreetMap, not a map", "apply it to a map with osmium"),
    "gexf": ("is GEXF", AS_GRAPH),
    "kml": ("is KML", WITH_GEOPANDAS),
    "gpx": (
        "is GPX, which holds a track and not a street map",
        f"G = osmnx.graph_from_point((lat, lon), 1000, network_type='drive'), then {SAVE}",
    ),
    "net": ("is a network of SUMO", "export its junctions (longitude and latitude) and its edges as GraphML"),
    "html": ("is a web page", "download the map itself"),
}
"""The first element, in lower case, of XML that is not GraphML, with the same two texts."""


def packed(path: Path) -> bytes:
    """The bytes of the file as they are. Raises Refused if the path is not a regular file, or the file too large."""
    return content(path, LARGEST_BYTES)


def inner_name(path: Path) -> Path:
    """The path without the ending of a packed file."""
    return path.with_suffix("") if path.suffix.lower() in ENDINGS else path


def unpacked(raw: bytes, path: Path) -> Iterator[bytes]:
    """The bytes `raw` of the file, unpacked, piece by piece. Raises Refused if the file is too large or damaged."""
    method = next((name for magic, name in PACKED.items() if raw.startswith(magic)), None)
    named = ENDINGS.get(path.suffix.lower())
    if method is None and named is not None:
        raise Refused(f"is named {path.suffix} but is not {named}", "rename it to match its content")
    done = 0
    for piece in _plain(raw) if method is None else _unpacked(raw, method):
        done += len(piece)
        if done > LARGEST_BYTES:
            raise Refused(
                f"holds more than {LARGEST_BYTES >> 20:,} MiB after unpacking, which is the limit",
                "save a smaller part of the map",
            )
        yield piece


def refuse_foreign(start: bytes, path: Path) -> None:
    """Raises Refused if the first bytes, or else the name, belong to a format other than XML."""
    for magic, what in MAGIC:
        if start.startswith(magic):
            raise Refused(*what)
    if b"OSMHeader" in start[:64]:
        raise Refused("is OpenStreetMap PBF", f"osmium cat map.osm.pbf -o map.osm, then {WITH_OSMNX}")
    if start[257:262] == b"ustar":
        raise Refused("is a tar archive", UNPACK)
    if re.match(rb"\x80[\x02-\x05]", start):
        raise Refused(*PICKLE)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"{"):
        if any(f'"{kind}"'.encode() in text[:4096] for kind in GEOJSON_TYPES):
            raise Refused(*GEOJSON)
        raise Refused("is JSON but its name does not end in .json", "if it is a table of moves, rename it to .json")
    if not text.startswith(b"<") and b"\0" not in start[:4]:  # XML in UTF-16 has zeros there
        for endings, what in SUFFIXES.items():
            if path.suffix.lower() in endings:
                raise Refused(*what)


def foreign_root(tag: str) -> Refused:
    """The error for XML that is not GraphML. tag: its first element."""
    return Refused(*ROOTS.get(tag.lower(), (f"is XML but not GraphML (its first element is <{tag[:40]}>)", "")))


def _plain(raw: bytes) -> Iterator[bytes]:
    view = memoryview(raw)
    for low in range(0, len(raw), PIECE):
        yield bytes(view[low : low + PIECE])


def _unpacked(raw: bytes, method: str) -> Iterator[bytes]:
    source = io.BytesIO(raw)
    try:
        if method == "xz":
            yield from _unpacked_xz(raw)
            return
        with cast(BinaryIO, gzip.GzipFile(fileobj=source) if method == "gzip" else bz2.BZ2File(source)) as file:
            while piece := file.read(PIECE):
                yield piece
    except EOFError as error:
        raise Refused(f"is a truncated {method} file", "download or copy it again") from error
    except (OSError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise Refused(f"cannot be unpacked as {method} ({shown(error)})", "download or copy it again") from error


def _unpacked_xz(raw: bytes) -> Iterator[bytes]:
    """Unpacks the streams of an xz file one after another.

    Used instead of lzma.LZMAFile, which does not limit the memory that a file may ask for.
    """
    while raw:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY)
        given = raw
        while not stream.eof:
            piece = stream.decompress(given, PIECE)
            given = b""
            if piece:
                yield piece
            elif stream.needs_input:
                raise EOFError
        raw = stream.unused_data.lstrip(b"\0")  # padding between streams
