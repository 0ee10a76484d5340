"""`env.map` and `env.region` made into a map."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.envs.taxi import table_maps
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.moves import Streets, build, parse_region
from worldbench.envs.taxi.positions import read_positions

CITY = "city:500"
"""What `auto` falls back to when the caller names no city."""


def load_map(config: TaxiConfig, *, whole: bool = False, positions: Path | None = None) -> Graph:
    """The map that `config.map` names, cut to `config.region`; of a table (see `table_maps`) always all.

    whole: take the map as it is, instead of the part in which all places can reach each other.
    positions: a file that says where the places of a table are (see `positions`).

    `auto` is settled first, see `resolve_auto`; callers that announce what was chosen settle it themselves.
    Errors: InputError with one sentence for whatever cannot be read, downloaded or cut.
    """
    parse_region(config.region)  # a misspelt region is told before a download
    if "\0" in config.map:
        raise InputError(f"env.map {config.map!r} is no file name")
    if config.map == "auto":
        config, announcement = resolve_auto(config)
        graph = build(_streets(config), config.region, whole=whole)
        graph.report["announcement"] = announcement
        return graph
    if table_maps.is_table(config.map):
        if config.region.strip() != "all":
            raise InputError(f"env.region {config.region!r} does not apply to the table {config.map!r}; leave it at 'all'")
        lonlat = None if positions is None else read_positions(positions)
        return table_maps.read(Path(config.map).expanduser(), whole=whole, lonlat=lonlat)
    if positions is not None:
        raise InputError(f"--positions {str(positions)!r} is for a table, and {config.map!r} has positions of its own; leave it out")
    return build(_streets(config), config.region, whole=whole)


def _streets(config: TaxiConfig) -> Streets:
    if config.map == "manhattan":
        from worldbench.envs.taxi.download import manhattan
        from worldbench.envs.taxi.graphml import read

        return read(manhattan())
    if config.map.startswith("city:"):
        from worldbench.envs.taxi.city import generate

        return generate(city_size(config.map), config.city_seed)
    if not config.map.strip():
        raise InputError("env.map is empty; it takes a GraphML file, a CSV or JSON table, 'manhattan', 'city:N' or 'auto'")
    path = Path(config.map).expanduser()
    if not path.exists() and not re.search(r"[./\\]", config.map):
        raise InputError(f"env.map {config.map!r} is neither a file nor one of 'manhattan', 'city:N' (such as city:500) and 'auto'")
    from worldbench.envs.taxi.graphml import read

    return read(path)


def city_size(text: str) -> int:
    """N of `city:N`. Errors: InputError."""
    from worldbench.envs.taxi.city import LARGEST, SMALLEST

    match = re.fullmatch(r"city:([0-9]{1,9})", text, re.ASCII)
    if not match or not SMALLEST <= int(match[1]) <= LARGEST:
        raise InputError(f"env.map {text!r}: a generated city is city:N with N from {SMALLEST} to {LARGEST:,}, such as city:500")
    return int(match[1])


def manhattan_ready() -> bool:
    """Whether Manhattan was downloaded before."""
    from worldbench.envs.taxi.download import cached

    return cached()


def resolve_auto(config: TaxiConfig, region_on_manhattan: str = "all", city: str = CITY) -> tuple[TaxiConfig, str]:
    """`auto` settled: Manhattan when it is there or can be had soon, else a generated city; and one line that says which and why.

    region_on_manhattan: used unless the user named a region other than `all`. city: `city:N`. On the city such a region is only checked for form, since
    its degrees mean nothing there. A map other than `auto` comes back as it is, with an empty line.
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
