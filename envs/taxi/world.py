"""The taxi world: `origin destination direction .. direction end` over a street map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from worldbench.core.graph import Graph
from worldbench.envs.rides import words
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.world import RideWorld
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.regions import VILLAGE


class TaxiWorld(RideWorld[TaxiConfig]):
    """Rides over a street map (Vafa et al. 2024, arXiv 2406.03689).

    State: (intersection, destination, moves so far). Words: padding, `end`, the map's directions, one word per
    intersection.
    Rides: `env.rides` names their kind; see `rides/walker.py` and `rides/path_rides.py`. Ground truth: legal moves, the
    exact law (`rides/law.py`, `rides/path_world.py`), distances, the map.

    On a square of four one-way streets, a -E-> b -S-> c -W-> d -N-> a, two rides of 2 to 5 moves read
        a c E S end                (two moves)
        b b S W N E end            (round the block)
    """

    name, version = "taxi", 1
    place_words = ("intersection", "intersections")
    dropped: ClassVar[dict[str, tuple[str, str]]] = {
        "loops_dropped": ("loop", "loops"),
        "parallel_dropped": ("parallel street", "parallel streets"),
        "collisions_dropped": (
            "street that shares a direction with a shorter one",
            "streets that share a direction with a shorter one",
        ),
        "places_outside_largest_part": (
            "intersection outside the largest strongly connected part",
            "intersections outside the largest strongly connected part",
        ),
        "places_cut_off_by_collisions": (
            "intersection that only such streets join to the others",
            "intersections that only such streets join to the others",
        ),
        "places_lost_in_region": (
            "intersection at the edge of the region",
            "intersections at the edge of the region",
        ),
    }

    def __new__(cls, config: TaxiConfig, *args: Any, **kwargs: Any) -> TaxiWorld:
        """`TaxiWorld(config)` is a world of the class for the kind of rides that the options name."""
        chosen: type[Any] = cls
        if cls is TaxiWorld and (config.rides != "random" or config.ride_file):
            from worldbench.envs.taxi.kinds import TaxiFile, TaxiMixture, TaxiPaths

            chosen = TaxiFile if config.ride_file else TaxiPaths if len(config.shares) == 1 else TaxiMixture
        return object.__new__(chosen)

    def __init__(self, config: TaxiConfig, graph: Graph | None = None, held_out: HeldOut | None = None) -> None:
        """graph: None reads the map that the options name.

        held_out: None makes the rule from the options and the map.
        """
        if graph is None:
            from worldbench.envs.taxi.maps import load_map, settle

            config, _ = settle(config)
            graph = load_map(config)
        super().__init__(config, graph, held_out)

    @classmethod
    def settle(cls, config: TaxiConfig) -> tuple[TaxiConfig, str]:
        """The options with the map `auto` and the region `village` replaced by what they mean here (`maps.settle`)."""
        from worldbench.envs.taxi.maps import settle

        return settle(config)

    def summary(self, documents: int) -> str:
        """The line of every world of rides, then the notes of the map reader for people."""
        notes = self._graph.report.get("notes")
        return super().summary(documents) + (f"; {notes}" if notes else "")

    @classmethod
    def in_words(cls, identity: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """The map with its region, or Greenwich Village, and the number of its intersections."""
        place = words.region(card)
        if place == VILLAGE:
            place = "Greenwich Village"
        elif place != "all":
            place = f"{card.get('map')}, region {place}"
        return words.in_words(identity, card, cls.place_words, "" if place == "all" else place)
