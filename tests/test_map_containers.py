"""Street maps in other wrappings: packed with gzip, xz or bzip2; and what is refused, with the way out."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import struct
import tarfile
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from graphml_files import document, load, saved

from worldbench.core.errors import InputError
from worldbench.envs.taxi import containers
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map

PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("ending", PACK)
def test_a_packed_map_is_the_same_map_whatever_its_name(tmp_path: Path, ending: str) -> None:
    plain = load(saved(tmp_path, document()))
    raw = PACK[ending](document().encode())
    for name in (f"map.graphml{ending}", f"map{ending}", "map.xml"):
        (tmp_path / name).write_bytes(raw)
        graph = load(tmp_path / name)
        assert graph.digest == plain.digest
    assert load(tmp_path / f"map.graphml{ending}").name == "map"
    half = len(document()) // 2
    twice = PACK[ending](document()[:half].encode()) + PACK[ending](document()[half:].encode())
    (tmp_path / f"two{ending}").write_bytes(twice)
    assert load(tmp_path / f"two{ending}").digest == plain.digest


@pytest.mark.parametrize("ending", PACK)
def test_a_damaged_or_misnamed_archive_says_so(tmp_path: Path, ending: str) -> None:
    whole, path = PACK[ending](document().encode()), tmp_path / f"map.graphml{ending}"
    for raw, expected in (
        (whole[: len(whole) // 2], "is a truncated .* file; download or copy it again"),
        (whole[:60] + bytes(b ^ 255 for b in whole[60:90]) + whole[90:], "cannot be unpacked as .*"),
        (document().encode(), f"is named {ending} but is not"),
    ):
        path.write_bytes(raw)
        with pytest.raises(InputError, match=expected):
            load(path)


@pytest.mark.parametrize("ending", PACK)
def test_a_small_file_cannot_fill_the_memory(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "LARGEST_BYTES", 2 << 20)
    path = tmp_path / f"bomb.graphml{ending}"
    path.write_bytes(PACK[ending](document().replace("</graph>", " " * (30 << 20) + "</graph>").encode()))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="more than 2 MiB after unpacking"):
        load(path)


def test_xz_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    raw = lzma.compress(document().encode(), filters=filters)
    (tmp_path / "map.xz").write_bytes(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containers, "LZMA_MEMORY", 1 << 16)
        with pytest.raises(InputError, match=r"cannot be unpacked as xz .*emory"):
            load(tmp_path / "map.xz")
    assert load(tmp_path / "map.xz").n_places == 4


def zipped() -> bytes:
    raw = BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("map.graphml", document())
    return raw.getvalue()


def tarred() -> bytes:
    raw = BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("map.graphml"))
    return raw.getvalue()


PBF = struct.pack(">i", 13) + b"\x0a\x09OSMHeader\x18\x7c"
PROTOCOL_4 = b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94."
OSM = '<?xml version="1.0"?><osm version="0.6"><node id="1" lat="1" lon="2"/></osm>'
FEATURES = json.dumps({"type": "FeatureCollection", "features": []})
LINKS = json.dumps({"directed": True, "nodes": [], "links": []})
FOREIGN: dict[str, tuple[str, bytes | str, str, str]] = {
    "geopackage": (
        "map.gpkg",
        b"SQLite format 3\0" + bytes(84),
        "cannot be read as a GeoPackage",
        "save_graphml",
    ),
    "geopackage by name": ("map.gpkg", b"hello", "by its name it is a GeoPackage", "graph_from_gdfs"),
    "shapefile": ("map.shp", b"\0\0\x27\x0a" + bytes(96), "is a shapefile", "graph_from_gdfs"),
    "part of a shapefile": ("map.dbf", b"\x03\x7b", "part of a shapefile", "graph_from_gdfs"),
    "osm without streets": ("map.osm", OSM, "without a street for cars", "export a part with streets"),
    "osm change": ("map.osc", "<osmChange/>", "a change file of OpenStreetMap", "osmium"),
    "pbf": ("map.osm.pbf", PBF, "is OpenStreetMap PBF", "osmium cat"),
    "pickle": ("map.pkl", PROTOCOL_4, "is a pickle, which can run any program", "save_graphml"),
    "pickle in another name": ("map.graphml", PROTOCOL_4, "is a pickle", "save_graphml"),
    "pickle, packed": ("map.gpickle.gz", gzip.compress(PROTOCOL_4), "is a pickle", "save_graphml"),
    "old pickle": ("map.gpickle", b"(dp0\n.", "is a pickle", "save_graphml"),
    "geojson": ("map.geojson", FEATURES, "is GeoJSON", "graph_from_gdfs"),
    "geojson as a table": ("map.json", FEATURES, "is GeoJSON", "graph_from_gdfs"),
    "node-link": ("map.json", LINKS, "the node-link form of networkx", "node_link_graph"),
    "packed table": ("map.csv.gz", gzip.compress(b"a,N,b\n"), "is a packed table", "unpack it"),
    "json": ("map.graphml", '{"moves": {}}', "is JSON but its name does not end in .json", "rename it to .json"),
    "gml": ("map.gml", "graph [\n]", "by its name it is GML", "networkx"),
    "gexf": ("map.gexf", "<gexf/>", "is GEXF", "networkx"),
    "kml": ("map.kml", '<kml xmlns="http://www.opengis.net/kml/2.2"/>', "is KML", "geopandas"),
    "gpx": ("map.gpx", "<gpx/>", "is GPX, which holds a track", "graph_from_point"),
    "sumo": ("map.net.xml", "<net/>", "network of SUMO", "GraphML"),
    "web page": ("map.graphml", "<html><body/></html>", "is a web page", "download the map itself"),
    "zip": ("map.zip", zipped(), "is a zip archive", "unpack it"),
    "tar": ("map.tar", tarred(), "is a tar archive", "unpack it"),
    "tar, packed": ("map.tar.xz", lzma.compress(tarred()), "is a tar archive", "unpack it"),
    "zstd": ("map.zst", b"\x28\xb5\x2f\xfd\0\0", "packed with zstd", "unpack it"),
    "parquet": ("map.parquet", b"PAR1" + bytes(8), "is a Parquet file", "graph_from_gdfs"),
    "lfs": (
        "map.graphml",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "a pointer of Git LFS",
        "git lfs pull",
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_another_container_is_named_with_the_way_out(tmp_path: Path, what: str) -> None:
    name, content, expected, way_out = FOREIGN[what]
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=expected) as caught:
        load(tmp_path / name)
    assert way_out in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["map.graphml", "map.csv", "map.json", "map.graphml.gz"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / name)
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is a named pipe, not a regular file; name a regular file"):
        load(tmp_path / name)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).mkdir()
    with pytest.raises(InputError, match="is a folder, not a regular file"):
        load(tmp_path / "folder" / name)
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    for path, expected in (
        (Path("/dev/zero"), "is a device, not"),
        (tmp_path / "ring", "cannot be read"),
        (tmp_path / name / "below", "does not exist"),
        (tmp_path / ("n" * 300 + name), "cannot be read .File name too long"),
    ):
        with pytest.raises(InputError, match=expected):
            load(path)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("region", ["all", "village"])
@pytest.mark.parametrize(
    "name", ["~nobody-of-that-name/map.graphml", "~nobody-of-that-name/map.csv", "n" * 5000, "a/\0.graphml", "a\0.csv"]
)
def test_a_name_that_no_file_can_have_is_one_sentence(name: str, region: str) -> None:
    with pytest.raises(InputError, match=r"map") as caught:
        load_map(TaxiConfig(map=name, region=region))
    assert len(str(caught.value)) < 300
