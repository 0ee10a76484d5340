"""`worldbench map NAME|FILE`: describe a street map, draw it, and write it as a compact file."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser

LINE = "describe a street map: its streets, what was dropped and why; draw it, and write it as a compact file"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add(
        "map", metavar="MAP",
        help="a file (GraphML, OpenStreetMap XML, GeoPackage, compact file, table), manhattan, manhattan-plan, city:N, "
        "auto, or a place with its country, such as 'Lisbon, Portugal'",
    )  # fmt: skip
    add("--region", default="all", metavar="REGION", help="the part of the map, as --env.region of taxi (default: all)")
    add("--city-seed", type=int, default=0, metavar="N", help="seed of a generated city (default 0)")
    add(
        "--positions", type=Path, metavar="FILE",
        help="positions of the nodes of a table: a CSV file node,lon,lat, or a street map",
    )  # fmt: skip
    add(
        "--out", type=Path, default=Path("runs"), metavar="FOLDER",
        help="the folder below which the picture and the compact file are written (default runs)",
    )  # fmt: skip
    add("--write", type=Path, metavar="FILE", help="write the compact file here (default: beside the picture)")
    add("--json", action="store_true", help="print the facts as JSON, and nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Describe, draw, write, print."""
    from worldbench.core import cells, tables
    from worldbench.core.text import visible
    from worldbench.runs.display import print_notes
    from worldbench.studies import maps

    described = maps.describe(
        arguments.map, region=arguments.region, city_seed=arguments.city_seed, positions=arguments.positions
    )
    facts = described.facts
    folder = arguments.out / f"map-{maps.stem(described.graph)}-{facts['digest'][:10]}"
    written = maps.write(described, folder, arguments.write)
    if arguments.json:
        print(cells.json({**facts, "notes": described.notes, "files": [str(path) for path in written]}))
        return 0
    print(tables.terminal(["", ""], maps.sentences(facts), 1, title=facts["map"]))
    print_notes(described.notes)
    for path in written:
        print(visible(f"file: {path}"))
    return 0
