"""Maps of named places as of 5 May 2024, from OpenStreetMap through osmnx. Downloaded once and kept with a digest.

The query is the one of the published benchmark (Vafa et al. 2024, arXiv 2406.03689): the network of streets for cars
(osmnx: network type "drive") of one place at one date. Every place is asked for at the same date, so that two machines
get the same map.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worldbench.core.cache import cache_folder
from worldbench.core.errors import InputError, WorldbenchError
from worldbench.core.files import lock, make_folder, read_json, sha256, to_json, write_atomic

PLACE = "Manhattan, New York City, New York, USA"
DATE = "2024-05-05T00:00:00Z"
OVERPASS = f'[out:json][timeout:180][date:"{DATE}"]'
PROBE_URL = "https://overpass-api.de/api/status"
PROBE_SECONDS = 4.0
"""Seconds that `auto` waits for a first answer of the OpenStreetMap server."""
DOWNLOAD_SECONDS = 180.0
"""Seconds that `auto` then waits for the map."""
LONGEST_STEM = 60
"""Most characters of the name of a place in the name of its file."""
INSTEAD = "--env.map FILE takes a street map, and --env.map manhattan-plan needs no network"


def _paths(place: str = PLACE) -> tuple[Path, Path]:
    """The files of the map and of its record."""
    folder = cache_folder()
    if place == PLACE:
        return folder / "manhattan.graphml.gz", folder / "manhattan.json"
    known = " ".join(place.split())
    words = re.sub(r"[^a-z0-9]+", "-", known.casefold()).strip("-")[:LONGEST_STEM]
    stem = f"{words}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
    return folder / "places" / f"{stem}.graphml.gz", folder / "places" / f"{stem}.json"


def cached(place: str = PLACE) -> bool:
    """Are the map and its record in the cache? (`fetched` checks the digest.)"""
    return all(path.is_file() for path in _paths(place))


def manhattan() -> Path:
    """The path of the cached map of Manhattan (see `fetched`)."""
    return fetched(PLACE)


def fetched(place: str) -> Path:
    """The path of the cached map of a place. Downloads the map if the cache does not hold it.

    Raises InputError if OpenStreetMap does not know the place, if there is no network, if the cache cannot be written,
    or if the file has changed since the download.
    """
    path, record = _paths(place)
    if not cached(place):
        make_folder(path.parent, "set WORLDBENCH_CACHE to another")
        with lock(path.parent, wait=True):
            if not cached(place):  # else another process downloaded it meanwhile
                _download(place, path, record)
    known = read_json(record)
    expected = known.get("sha256") if isinstance(known, dict) else None
    if not isinstance(expected, str) or sha256(path) != expected:
        raise InputError(
            f"the map {str(path)!r} is not the file that was downloaded (its sha256 differs from "
            "the record); delete it to download it again"
        )
    return path


def fetch_soon() -> str:
    """Downloads the map if OpenStreetMap answers within seconds. Returns "" on success, else the reason for failure."""
    if _within(PROBE_SECONDS, _answers) is not True:
        return "OpenStreetMap does not answer"
    try:
        return "" if _within(DOWNLOAD_SECONDS, manhattan) else f"the download took more than {DOWNLOAD_SECONDS:.0f} s"
    except WorldbenchError:
        return "the download of Manhattan failed (--env.map manhattan says why)"


def _answers() -> bool:
    try:
        with urllib.request.urlopen(PROBE_URL, timeout=PROBE_SECONDS) as reply:
            return reply.status == 200
    except (OSError, ValueError):
        return False


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Returns or raises what `work` does, or returns None if `work` takes longer than this.

    The work runs in a thread, which is left running after the time limit: name look-ups and the retries of osmnx have
    no timeout of their own.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    return outcome[0] if outcome else None


def _download(place: str, path: Path, record: Path) -> None:
    """Downloads the map, then writes the map and its record, each in one atomic step."""
    name = "Manhattan" if place == PLACE else repr(place)
    try:
        import osmnx
    except ImportError as error:
        raise InputError(f"the download of {name} needs osmnx, which is not installed ({error}); {INSTEAD}") from error
    try:
        with _settings(osmnx), tempfile.TemporaryDirectory() as folder:
            graph = osmnx.graph_from_place(place, network_type="drive")
            graph = osmnx.add_edge_bearings(graph)
            plain = Path(folder) / "map.graphml"
            osmnx.save_graphml(graph, filepath=plain)
            data = gzip.compress(plain.read_bytes(), mtime=0)
    except Exception as error:  # the network, geocoding and geometry libraries of osmnx raise many types
        said = " ".join(str(error).split())[:160]
        if isinstance(error, OSError):  # all errors of the connection are of this kind
            raise InputError(
                f"{name} could not be downloaded from OpenStreetMap, because there is no connection to it "
                f"({type(error).__name__}: {said}); {INSTEAD}"
            ) from error
        if place != PLACE and (type(error).__name__ == "InsufficientResponseError" or isinstance(error, TypeError)):
            raise InputError(
                f"OpenStreetMap has no place {name} with a border and with streets for cars "
                f"({type(error).__name__}: {said}); check the spelling, or write more of the address, such as "
                "'Lisbon, Portugal'"
            ) from error
        raise InputError(
            f"{name} could not be downloaded from OpenStreetMap ({type(error).__name__}: {said}); {INSTEAD}"
        ) from error
    write_atomic(path, data)
    described = {
        "sha256": sha256(path),
        "place": place,
        "downloaded": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "network_type": "drive",
        "date": DATE,
        "overpass_settings": OVERPASS,
        "osmnx": str(getattr(osmnx, "__version__", "unknown")),
        "source": "OpenStreetMap through the Overpass API",
        "licence": "Open Database License 1.0, (c) OpenStreetMap contributors",
    }
    write_atomic(record, to_json(described) + "\n")


@contextlib.contextmanager
def _settings(osmnx: Any) -> Iterator[None]:
    """Sets the date of the map, and no osmnx cache in the working folder; restores the previous settings at the end."""
    wanted = {"overpass_settings": OVERPASS, "use_cache": False}
    before = {name: getattr(osmnx.settings, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(osmnx.settings, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(osmnx.settings, name, value)
