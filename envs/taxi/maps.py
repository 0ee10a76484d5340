"""Makes the map that the options `env.map` and `env.region` name."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.taxi import street_plan, table_maps
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.moves import build, village
from worldbench.envs.taxi.positions import read_positions
from worldbench.envs.taxi.reading import quoted
from worldbench.envs.taxi.regions import Nearest, named_village, parse_region
from worldbench.envs.taxi.streets import Streets

FORMS = (
    "a street map or a table in a file, 'manhattan', 'manhattan-plan', 'city:N' (such as city:500), 'auto', or the "
    "name of a place with its country, such as 'Lisbon, Portugal'"
)
ENDINGS = r"\.(graphml|osm|xml|gpkg|npz|csv|json|txt|pbf|gz|xz|bz2|zip|shp|pkl|pickle|geojson)$"
"""Endings of the names of files."""


def load_map(config: TaxiConfig, *, whole: bool = False, positions: Path | None = None) -> Graph:
    """The map that `config.map` names, reduced to `config.region`. A table is never reduced to a region.

    whole: keep the whole map, not only the part in which all places can reach each other.
    positions: a file with the positions of the places of a table (see `positions.py`).

    A caller that wants to announce automatic choices calls `settle` first. Otherwise they are made here, and the
    report of the map names them. Raises InputError if the map cannot be read, downloaded or reduced.
    """
    config, announcement = settle(config)
    if table_maps.is_table(config.map):
        if config.region.strip() != "all":
            raise InputError(
                f"env.region {config.region!r} does not apply to the table {config.map!r}; leave it at 'all'"
            )
        lonlat = None if positions is None else read_positions(positions)
        return table_maps.read(_path(config.map), whole=whole, lonlat=lonlat)
    if positions is not None:
        raise InputError(
            f"--positions {str(positions)!r} applies to tables only, and {config.map!r} has its own positions; "
            "leave the option out"
        )
    graph = build(_streets(config), config.region, whole=whole)
    if announcement:
        graph.report["announcement"] = announcement
    return graph


def settle(config: TaxiConfig) -> tuple[TaxiConfig, str]:
    """The options with an explicit map and region, and a sentence for people on what was chosen ("" for nothing).

    The map `auto` becomes Manhattan or its street plan (see `resolve_auto`). The region `village` becomes Greenwich
    Village if the map contains it; `all` for a generated city, a table or a small map; and else a region around the
    middle of the map. Raises InputError for a malformed region, and for a map that must be read for this but cannot be
    read.
    """
    greenwich = named_village(config.region)
    if greenwich is None:
        parse_region(config.region)  # refuse a misspelled region before a download
        return resolve_auto(config)
    config, announcement = resolve_auto(replace(config, region=greenwich))
    if announcement or config.map in ("manhattan", street_plan.NAME):
        return config, announcement
    if config.map.startswith("city:") or table_maps.is_table(config.map):
        return replace(config, region="all"), ""
    streets = _streets(config)
    region = village(streets, greenwich)
    return replace(config, region=region), "" if region == greenwich else _village_elsewhere(streets.name, region)


def _village_elsewhere(name: str, region: str) -> str:
    asked = parse_region(region)
    if isinstance(asked, Nearest):
        what = f"the {asked.count} intersections around its middle (--env.region {region})"
    else:
        what = "the whole map, because the map is small"
    return f"map: {name} does not contain Greenwich Village, so the region 'village' is {what}"


def _streets(config: TaxiConfig) -> Streets:
    if config.map == "manhattan":
        from worldbench.envs.taxi.download import manhattan
        from worldbench.envs.taxi.map_files import read

        return read(manhattan())
    if config.map == street_plan.NAME:
        return street_plan.streets()
    if config.map.startswith("city:"):
        from worldbench.envs.taxi.city import generate

        return generate(city_size(config.map), config.city_seed)
    if not config.map.strip():
        raise InputError(f"env.map is empty; it takes {FORMS}")
    from worldbench.envs.taxi.map_files import read

    path = _path(config.map)
    if os.path.exists(path) or re.search(r"[/\\]", config.map):
        return read(path)
    if is_place(config.map):
        from worldbench.envs.taxi.download import fetched

        return replace(read(fetched(config.map)), name=" ".join(config.map.split()))
    if "." not in config.map:
        close = difflib.get_close_matches(config.map, ("manhattan", street_plan.NAME, "auto", "city:500"), 1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(f"env.map {quoted(config.map)} is not a file{meant}; it takes {FORMS}")
    return read(path)


def is_place(text: str) -> bool:
    """Is the text the name of a place, such as `Lisbon, Portugal`, and not the name of a file?"""
    return "," in text and not re.search(r"[/\\\0]", text) and not re.search(ENDINGS, text, re.IGNORECASE)


def _path(text: str) -> Path:
    """The path of the file that a user names, with `~` expanded. An unknown `~name` is not changed."""
    if "\0" in text:
        raise InputError(f"env.map {text!r} is not a file name")
    return Path(os.path.expanduser(text))


def city_size(text: str) -> int:
    """N of `city:N`. Raises InputError for another text, or for an N out of bounds."""
    from worldbench.envs.taxi.city import LARGEST, SMALLEST

    match = re.fullmatch(r"city:([0-9]{1,9})", text, re.ASCII)
    if not match or not SMALLEST <= int(match[1]) <= LARGEST:
        raise InputError(
            f"env.map {text!r}: a generated city is city:N with N from {SMALLEST} to {LARGEST:,}, such as city:500"
        )
    return int(match[1])


def manhattan_ready() -> bool:
    """Is the map of Manhattan in the cache?"""
    from worldbench.envs.taxi.download import cached

    return cached()


def resolve_auto(config: TaxiConfig) -> tuple[TaxiConfig, str]:
    """Replaces the map `auto`, and returns a line that says which map was taken and why.

    `auto` becomes Manhattan if the map is in the cache or can be downloaded soon, else the street plan of Manhattan. A
    region applies to both. For a map other than `auto`, the options are returned unchanged, with an empty line.
    """
    if config.map != "auto":
        return config, ""
    where = "" if parse_region(config.region) is None else f", region {config.region}"
    from worldbench.envs.taxi.download import fetch_soon

    ready = manhattan_ready()
    reason = "" if ready else fetch_soon()
    if not reason:
        how = "downloaded before" if ready else "downloaded now"
        return replace(config, map="manhattan"), f"map: Manhattan, {how}{where}"
    return replace(config, map=street_plan.NAME), (
        f"map: {street_plan.NAME}{where}: Manhattan generated from public facts about its streets, not from "
        f"OpenStreetMap, because {reason}; use --env.map FILE for your own map"
    )
