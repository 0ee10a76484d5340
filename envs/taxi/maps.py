"""`env.map` and `env.region` made into a map."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.taxi import table_maps
from worldbench.envs.taxi.config import VILLAGE, TaxiConfig
from worldbench.envs.taxi.moves import build, village
from worldbench.envs.taxi.positions import read_positions
from worldbench.envs.taxi.reading import quoted
from worldbench.envs.taxi.regions import Nearest, parse_region
from worldbench.envs.taxi.streets import Streets

CITY_OF_ALL, CITY_OF_VILLAGE = "city:4500", "city:48"
"""What `auto` falls back to in place of all Manhattan, and of a part of it."""


def load_map(config: TaxiConfig, *, whole: bool = False, positions: Path | None = None) -> Graph:
    """The map that `config.map` names, cut to `config.region`; of a table (see `table_maps`) always all.

    whole: take the map as it is, instead of the part in which all places can reach each other.
    positions: a file that says where the places of a table are (see `positions`).

    Callers that announce what is automatic call `settle` first; else it is done here, and `auto` stands in the report.
    Raises InputError with one sentence for whatever cannot be read, downloaded or cut.
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
            f"--positions {str(positions)!r} is for a table, and {config.map!r} has positions of its own; leave it out"
        )
    graph = build(_streets(config), config.region, whole=whole)
    if announcement:
        graph.report["announcement"] = announcement
    return graph


def settle(config: TaxiConfig) -> tuple[TaxiConfig, str]:
    """The options with a map and a region that say all, and a sentence for people where something was decided.

    `auto` becomes Manhattan or a generated city (see `resolve_auto`). The region `village` becomes Greenwich Village
    where the map holds it, all of a city, of a table or of a small map, and of another map the part around its middle.
    Raises InputError for a malformed region, and for a map that must be read and cannot be.
    """
    if config.region.strip() != "village":
        parse_region(config.region)  # a misspelt region is said before a download
        return resolve_auto(config, city=CITY_OF_ALL if config.region.strip() == "all" else CITY_OF_VILLAGE)
    config, announcement = resolve_auto(
        replace(config, region="all"), region_on_manhattan=VILLAGE, city=CITY_OF_VILLAGE
    )
    if announcement or config.map.startswith("city:") or table_maps.is_table(config.map):
        return config, announcement
    if config.map == "manhattan":
        return replace(config, region=VILLAGE), ""
    streets = _streets(config)
    region = village(streets, VILLAGE)
    return replace(config, region=region), "" if region == VILLAGE else _village_elsewhere(streets.name, region)


def _village_elsewhere(name: str, region: str) -> str:
    asked = parse_region(region)
    if isinstance(asked, Nearest):
        what = f"the {asked.count} intersections around its middle (--env.region {region})"
    else:
        what = "all of it, for it is small"
    return f"map: {name} does not hold Greenwich Village, so the region 'village' is {what}"


def _streets(config: TaxiConfig) -> Streets:
    if config.map == "manhattan":
        from worldbench.envs.taxi.download import manhattan
        from worldbench.envs.taxi.graphml import read

        return read(manhattan())
    if config.map.startswith("city:"):
        from worldbench.envs.taxi.city import generate

        return generate(city_size(config.map), config.city_seed)
    if not config.map.strip():
        raise InputError(
            "env.map is empty; it takes a GraphML file, a CSV or JSON table, 'manhattan', 'city:N' or 'auto'"
        )
    path = _path(config.map)
    if not os.path.exists(path) and not re.search(r"[./\\]", config.map):
        raise InputError(
            f"env.map {quoted(config.map)} is neither a file nor one of 'manhattan', 'city:N' "
            "(such as city:500) and 'auto'"
        )
    from worldbench.envs.taxi.graphml import read

    return read(path)


def _path(text: str) -> Path:
    """The file that a user names; an unknown `~name` stays as it is."""
    if "\0" in text:
        raise InputError(f"env.map {text!r} is no file name")
    return Path(os.path.expanduser(text))


def city_size(text: str) -> int:
    """N of `city:N`. Errors: InputError."""
    from worldbench.envs.taxi.city import LARGEST, SMALLEST

    match = re.fullmatch(r"city:([0-9]{1,9})", text, re.ASCII)
    if not match or not SMALLEST <= int(match[1]) <= LARGEST:
        raise InputError(
            f"env.map {text!r}: a generated city is city:N with N from {SMALLEST} to {LARGEST:,}, such as city:500"
        )
    return int(match[1])


def manhattan_ready() -> bool:
    """Whether Manhattan was downloaded before."""
    from worldbench.envs.taxi.download import cached

    return cached()


def resolve_auto(
    config: TaxiConfig, region_on_manhattan: str = "all", city: str = CITY_OF_ALL
) -> tuple[TaxiConfig, str]:
    """`auto` settled: Manhattan when it is there or can be had soon, else a generated city; and a line on which and
    why.

    region_on_manhattan: used unless the user named a region other than `all`. city: `city:N`. On the city such a region
    is only checked for form, since its degrees mean nothing there. A map other than `auto` comes back as it is, with
    an empty line.
    """
    if config.map != "auto":
        return config, ""
    asked = parse_region(config.region)
    parse_region(region_on_manhattan)
    city_size(city)
    from worldbench.envs.taxi.download import fetch_soon

    ready = manhattan_ready()
    reason = "" if ready else fetch_soon()
    if not reason:
        region = config.region if asked is not None else region_on_manhattan
        how = "downloaded before" if ready else "downloaded now"
        where = "" if region == "all" else f", region {region}"
        return replace(config, map="manhattan", region=region), f"map: Manhattan, {how}{where}"
    left = f", and the region {config.region} does not apply to it" if asked is not None else ""
    line = f"map: {city}, a generated city, because {reason}{left}; --env.map FILE takes a map of yours"
    return replace(config, map=city, region="all"), line
