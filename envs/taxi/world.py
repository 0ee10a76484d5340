"""The taxi world: `origin destination direction .. direction end` over a street map."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from worldbench.core.graph import Graph
from worldbench.envs.rides.walker import HeldOut
from worldbench.envs.rides.world import RideWorld
from worldbench.envs.taxi.config import VILLAGE, TaxiConfig


class TaxiWorld(RideWorld[TaxiConfig]):
    """Rides over a street map (Vafa et al. 2024, arXiv 2406.03689; random-walk data).

    State: (intersection, destination, moves so far). Words: padding, `end`, the map's directions, one word per intersection.
    Rides: see `rides/walker.py`. Ground truth: legal turns, the exact law (`rides/law.py`), distances, the map.

    On a square of four one-way streets, a -E-> b -S-> c -W-> d -N-> a, two rides of 2 to 5 moves read
        a c E S end                (two moves)
        b b S W N E end            (round the block)
    """

    name, version = "taxi", 1
    place_words = ("intersection", "intersections")
    dropped: ClassVar[dict[str, str]] = {
        "loops_dropped": "loops",
        "parallel_dropped": "parallel streets",
        "collisions_dropped": "streets that share a direction with a shorter one",
        "places_outside_largest_part": "intersections outside the largest strongly connected part",
        "places_lost_in_region": "of the region's",
    }

    def __init__(self, config: TaxiConfig, graph: Graph | None = None, held_out: HeldOut | None = None) -> None:
        """graph: None reads the one that the options name. held_out: None derives it from the map."""
        if graph is None:
            from worldbench.envs.taxi.maps import load_map

            config, _ = self.settle(config)
            graph = load_map(config)
        super().__init__(config, graph, held_out)

    @classmethod
    def settle(cls, config: TaxiConfig) -> tuple[TaxiConfig, str]:
        """`auto` becomes Manhattan or a generated city of the size asked for (all of it, or a village), and `village` the region that it means there."""
        from worldbench.envs.taxi.maps import resolve_auto
        from worldbench.envs.taxi.table_maps import is_table

        if config.region != "village":
            return resolve_auto(config, city="city:4500" if config.region == "all" else "city:48")
        config, announcement = resolve_auto(replace(config, region="all"), region_on_manhattan=VILLAGE, city="city:48")
        if not announcement and not config.map.startswith("city:") and not is_table(config.map):
            config = replace(config, region=VILLAGE)
        return config, announcement
