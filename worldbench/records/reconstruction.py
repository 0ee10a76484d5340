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
    """name, sha256: of the file. without_end: how many of the routes do not say that they have arrived. past_end: lines
    that went on after their first end. naming_places: routes with a place among the directions. skipped: lines that
    cannot be placed on the map.
    """

    name: str
    sha256: Digest
    count: Count
    without_end: Count
    past_end: Count = 0
    naming_places: Count = 0
    skipped: Count = 0


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
    settings: dict[str, Any]
    scores: dict[str, Score]
    series: dict[str, dict[str, list[Any]]]
    notes: list[str]
    evidence_sha256: Digest
