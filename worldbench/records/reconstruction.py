"""`reconstruction.json`: the street map that a file of routes implies. No clock in it."""

from __future__ import annotations

from typing import Any, ClassVar

from worldbench.records.parts import Count, Digest, Key, Part, Record
from worldbench.records.scores import Score


class MapFacts(Part, frozen=True, kw_only=True):
    """report: what was done to the map as it was read, for people."""

    name: str
    digest: str
    places: Count
    moves: Count
    report: dict[str, Any]


class RouteFacts(Part, frozen=True, kw_only=True):
    """name, sha256: of the file. count: routes that were read. skipped: lines that cannot be placed on the map.

    Of the routes, without_end do not say that they have arrived, past_end went on after they had, and naming_places
    name a place among their directions.
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
    """How routes are explained: see `worldbench.metrics.reconstruction`. directions: words beyond those of the map."""

    degree: Count
    distance: float
    orders: Count
    roll_back: bool
    seed: Count
    directions: list[str]


class Reconstruction(Record, frozen=True, kw_only=True):
    """version: of the metric. identity: of the metric, the map, the routes and the settings."""

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
