"""What tables call a world of rides. The card of a record may come from anyone: any field may be absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldbench.core.text import counted


def in_words(
    identity: Mapping[str, Any], card: Mapping[str, Any], place_words: tuple[str, str], place: str = ""
) -> str:
    """The map, the number of its places, and the kind of rides if they are not random: "city:40, 40 intersections,
    shortest rides". place: the name to use instead of the name of the map. place_words: the singular and the plural for
    a place."""
    places = card.get(place_words[1])
    count = [counted(places, *place_words)] if type(places) is int else []
    kind = [f"{identity['rides']} rides"] if "rides" in identity else []
    return ", ".join([place or str(card.get("map", "an unnamed map")), *count, *kind])


def region(card: Mapping[str, Any]) -> str:
    """The region of the map, as the report of its reader has it; "all" if it has none."""
    report = card.get("map_report")
    return str(report.get("region", "all")) if isinstance(report, dict) else "all"
