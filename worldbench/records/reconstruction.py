"""`reconstruction.json`: the street map that a file of routes implies. It holds no times."""

from __future__ import annotations

from typing import Any, ClassVar

from worldbench.records.parts import Count, Digest, Key, Part, Record
from worldbench.records.scores import Score


class MapFacts(Part, frozen=True, kw_only=True):
    """The map. report: what was changed when the map was read, for people."""

    name: str
    digest: str
    places: Count
    moves: Count
    report: dict[str, Any]


class RouteFacts(Part, frozen=True, kw_only=True):
    """The file of routes. name, sha256: of the file. count: number of routes that were read. skipped: number of lines
    that cannot be placed on the map.

    without_end, past_end, naming_places: number of routes that have no end token, that continue after it, and that have
    the name of a node among their directions.
    """

    name: str
    sha256: Digest
    count: Count
    without_end: Count
    past_end: Count
    naming_places: Count
    skipped: Count
    past_end: Count = 0
    naming_places: Count = 0
    skipped: Count = 0


class Explained(Part, frozen=True, kw_only=True):
    """The settings of the reconstruction, see `worldbench.metrics.reconstruction`. directions: words for directions
    beside those of the map."""

    degree: Count
    distance: float
    orders: Count
    roll_back: bool
    seed: Count
    directions: list[str]


class Reconstruction(Record, frozen=True, kw_only=True):
    """The reconstruction. version: of the metric. identity: digest of the metric, the map, the routes and the
    settings."""

    kind: ClassVar[str] = "reconstruction"
    marks: ClassVar[tuple[str, ...]] = ("reconstruction",)
    remedy: ClassVar[str] = "delete the file and reconstruct again"

    version: Count
    worldbench: str
    identity: Key
    map: MapFacts
    routes: RouteFacts
    settings: Explained
    scores: dict[str, Score]
    series: dict[str, dict[str, list[Any]]]
    notes: list[str]
    evidence_sha256: Digest
