"""The download of Manhattan, with a stand-in for osmnx, and what `auto` decides."""

from __future__ import annotations

import json
import shutil
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from graphml_files import document, load, saved

from worldbench.core.errors import InputError
from worldbench.envs.taxi import download
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.maps import load_map, manhattan_ready, resolve_auto, settle
from worldbench.envs.taxi.regions import VILLAGE

# The download, with a stand-in for osmnx


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_answers", lambda: True)
    return tmp_path / "cache"


@pytest.fixture
def osmnx(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that answers with the square, and notes what it was asked under which settings."""
    fake: Any = types.ModuleType("osmnx")
    fake.__version__ = "9.9"
    fake.settings = types.SimpleNamespace(overpass_settings="before", use_cache=True)
    fake.asked = []

    def graph_from_place(place: str, network_type: str) -> str:
        fake.asked.append((place, network_type, fake.settings.overpass_settings, fake.settings.use_cache))
        return "graph"

    def save_graphml(graph: str, filepath: Path) -> None:
        assert graph == "graph with bearings"
        filepath.write_text(document())

    fake.graph_from_place, fake.save_graphml = graph_from_place, save_graphml
    fake.add_edge_bearings = lambda graph: f"{graph} with bearings"
    monkeypatch.setitem(sys.modules, "osmnx", fake)
    return fake


def test_download_once_with_the_date_pinned(cache: Path, osmnx: Any) -> None:
    assert not manhattan_ready()
    graph = load_map(TaxiConfig(map="manhattan"))
    assert graph.name == "manhattan"
    assert graph.n_places == 4
    pinned = '[out:json][timeout:180][date:"2024-05-05T00:00:00Z"]'
    assert osmnx.asked == [("Manhattan, New York City, New York, USA", "drive", pinned, False)]
    assert (osmnx.settings.overpass_settings, osmnx.settings.use_cache) == ("before", True)
    assert manhattan_ready()
    record = json.loads((cache / "manhattan.json").read_text())
    assert record["date"] == "2024-05-05T00:00:00Z"
    assert record["osmnx"] == "9.9"
    assert load_map(TaxiConfig(map="manhattan")).digest == graph.digest
    assert len(osmnx.asked) == 1


@pytest.mark.parametrize(
    ("name", "content"), [("manhattan.graphml.gz", "other"), ("manhattan.json", "{}"), ("manhattan.json", "[]")]
)
def test_another_file_is_refused(cache: Path, osmnx: Any, name: str, content: str) -> None:
    load_map(TaxiConfig(map="manhattan"))
    (cache / name).write_text(content)
    with pytest.raises(InputError, match="delete it to download it again"):
        load_map(TaxiConfig(map="manhattan"))
    (cache / "manhattan.graphml.gz").unlink()
    assert load_map(TaxiConfig(map="manhattan")).n_places == 4


def test_no_network_is_one_sentence(cache: Path, osmnx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Max retries exceeded\nwith url")

    monkeypatch.setattr(osmnx, "graph_from_place", unreachable)
    with pytest.raises(
        InputError, match=r"could not be downloaded.*--env.map FILE.*manhattan-plan needs no network"
    ) as caught:
        load_map(TaxiConfig(map="manhattan"))
    assert "\n" not in str(caught.value)
    assert osmnx.settings.overpass_settings == "before"
    assert not manhattan_ready()


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, osmnx: Any) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="WORLDBENCH_CACHE"):
        load_map(TaxiConfig(map="manhattan"))


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDBENCH_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert download.cache_folder() == Path("/one")
    monkeypatch.delenv("WORLDBENCH_CACHE")
    assert download.cache_folder() == Path("/two/worldbench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert download.cache_folder() == Path.home() / ".cache" / "worldbench"


def test_auto_downloads_where_it_can(cache: Path, osmnx: Any) -> None:
    config, line = resolve_auto(TaxiConfig(region="3@40.7005,-73.9995"))
    assert (config.map, config.region) == ("manhattan", "3@40.7005,-73.9995")
    assert "downloaded now" in line
    config, line = settle(TaxiConfig(region="village"))
    assert (config.map, config.region) == ("manhattan", VILLAGE)
    config, line = resolve_auto(TaxiConfig(region="4@40.7005,-73.9995"))
    assert config.region == "4@40.7005,-73.9995"
    assert "downloaded before" in line
    assert load_map(config).n_places == 4


def test_auto_falls_back_to_the_street_plan(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_answers", lambda: False)
    config, line = settle(TaxiConfig(region="village"))
    assert (config.map, config.region) == ("manhattan-plan", VILLAGE)
    assert line.startswith(f"map: manhattan-plan, region {VILLAGE}: Manhattan generated from public facts")
    assert "not from OpenStreetMap, because OpenStreetMap does not answer" in line
    assert "\n" not in line
    with pytest.raises(InputError, match="not understood"):
        resolve_auto(TaxiConfig(region="here"))
    graph = load_map(TaxiConfig(region="20@40.7535,-73.9808"))
    assert graph.name == "manhattan-plan"
    assert "5Av&W42St" in graph.places
    assert "does not answer" in str(graph.report["announcement"])


def test_auto_does_not_wait_for_ever(cache: Path, osmnx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(download, "DOWNLOAD_SECONDS", 0.05)
    monkeypatch.setattr(osmnx, "graph_from_place", lambda *_, **__: time.sleep(0.3))
    config, line = resolve_auto(TaxiConfig())
    assert config.map == "manhattan-plan"
    assert "took more than" in line
    monkeypatch.setattr(download, "_answers", lambda: time.sleep(0.3))
    assert "does not answer" in resolve_auto(TaxiConfig())[1]


def test_auto_after_a_failed_download(cache: Path, osmnx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such place")

    monkeypatch.setattr(osmnx, "graph_from_place", broken)
    config, line = resolve_auto(TaxiConfig())
    assert config.map == "manhattan-plan"
    assert "download of Manhattan failed" in line


def test_other_maps_are_left_alone(cache: Path) -> None:
    config = TaxiConfig(map="city:20")
    assert resolve_auto(config) == (config, "")


def test_reading_needs_no_osmnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "osmnx", None)
    assert load(saved(tmp_path, document())).n_places == 4
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="not installed"):
        load_map(TaxiConfig(map="manhattan"))
    shutil.rmtree(tmp_path / "cache")


# Places by name


def test_a_place_is_downloaded_once_with_its_date_and_digest(cache: Path, osmnx: Any) -> None:
    graph = load_map(TaxiConfig(map="Lisbon, Portugal"))
    assert graph.name == "Lisbon, Portugal"
    assert graph.n_places == 4
    assert osmnx.asked == [("Lisbon, Portugal", "drive", download.OVERPASS, False)]
    (path,) = (cache / "places").glob("*.graphml.gz")
    assert path.name.startswith("lisbon-portugal-")
    record = json.loads(path.with_name(path.name.replace(".graphml.gz", ".json")).read_text())
    assert (record["place"], record["date"]) == ("Lisbon, Portugal", "2024-05-05T00:00:00Z")
    assert record["downloaded"].endswith("Z")
    assert load_map(TaxiConfig(map="Lisbon,  Portugal ")).digest == graph.digest  # spaces do not matter
    assert len(osmnx.asked) == 1
    assert not manhattan_ready()
    path.write_bytes(b"other")
    with pytest.raises(InputError, match="delete it to download it again"):
        load_map(TaxiConfig(map="Lisbon, Portugal"))


def test_the_village_of_a_place_is_its_middle(cache: Path, osmnx: Any) -> None:
    config, line = settle(TaxiConfig(map="Lisbon, Portugal", region="village"))
    assert (config.map, config.region) == ("Lisbon, Portugal", "all")
    assert line.startswith("map: Lisbon, Portugal does not contain Greenwich Village")


@pytest.mark.parametrize("text", ["manhatan", "Lisbon", "map,1.graphml", "none/map, 2", "what.graphml"])
def test_what_is_no_place(cache: Path, osmnx: Any, text: str) -> None:
    with pytest.raises(InputError, match=r"is not a file|does not exist") as caught:
        load_map(TaxiConfig(map=text))
    assert ("did you mean 'manhattan'" in str(caught.value)) == (text == "manhatan")
    assert ("'Lisbon, Portugal'" in str(caught.value)) == ("." not in text and "/" not in text)
    assert not osmnx.asked


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("nobody", "no place 'Nowhere, Atlantis' with a border.*check the spelling"),
        ("offline", r"there is no connection to it .ConnectionError.*manhattan-plan needs no network"),
    ],
)
def test_osmnx_itself_without_a_place_or_a_network(
    cache: Path, monkeypatch: pytest.MonkeyPatch, answer: str, expected: str
) -> None:
    """The real osmnx, whose requests do not leave this machine."""
    real = pytest.importorskip("osmnx")
    import requests

    def get(url: str, **_: Any) -> Any:
        if answer == "offline":
            raise requests.exceptions.ConnectionError("name resolution failed")
        reply = requests.Response()
        reply.status_code, reply._content, reply.url = 200, b"[]", url
        return reply

    monkeypatch.setattr(requests, "get", get)
    monkeypatch.setattr(requests, "post", get)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # osmnx waits a second before each request
    monkeypatch.setattr(real.settings, "use_cache", True)
    with pytest.raises(InputError, match=expected) as caught:
        load_map(TaxiConfig(map="Nowhere, Atlantis"))
    assert "\n" not in str(caught.value)
    assert real.settings.use_cache is True
    assert not list(cache.rglob("*.graphml.gz"))
