"""`worldbench reconstruct FILE`: reconstruct, score and draw the street map that a file of routes implies."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.metrics.reconstruction import HALF_MILE

if TYPE_CHECKING:
    from worldbench.records.reconstruction import Reconstruction

LINE = "score and draw the street map that a file of routes implies"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add(
        "file",
        type=Path,
        metavar="FILE",
        help="a text file, each line a route: origin destination direction .. direction end",
    )
    add(
        "--map", required=True, metavar="MAP",
        help="the true map: manhattan, city:N (generated, N intersections), a GraphML file, or a table: a CSV file "
        "node,direction,to[,x,y], or a JSON file",
    )  # fmt: skip
    add(
        "--positions",
        type=Path,
        metavar="FILE",
        help="positions of the nodes of a table: a CSV file node,lon,lat, or a GraphML file",
    )
    add("--region", default="all", metavar="REGION", help="the part of a street map to use (default: all of it)")
    add(
        "--connected", action="store_true",
        help="only the part of the map in which every node can reach every other, as in the taxi world",
    )  # fmt: skip
    add("--city-seed", type=int, default=0, metavar="N", help="seed of a generated city (default 0)")
    add(
        "--strict",
        action="store_true",
        help="refuse a file with a line that does not fit the map; without it such lines are left out",
    )
    add(
        "--out",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="the folder below which the result is written (default runs)",
    )
    add(
        "--degree",
        type=int,
        default=4,
        metavar="N",
        help="largest number of used streets that leave a node (default 4)",
    )
    add(
        "--distance", type=float, default=HALF_MILE, metavar="METERS",
        help=f"longest street that may be added to the map, in meters (default {HALF_MILE}, half a mile)",
    )  # fmt: skip
    add(
        "--orders", type=int, default=5, metavar="N", help="random orders in which the routes are explained (default 5)"
    )
    add(
        "--directions", nargs="+", default=[], metavar="WORD",
        help="further words that are directions, although no street of the map has them",
    )  # fmt: skip
    add(
        "--released", action="store_true",
        help="keep the streets that a route added before it failed, as the released code of Vafa et al. does",
    )  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="seed of the orders and of the controls (default 0)")
    add("--json", action="store_true", help="print the record as JSON, and nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Score, draw, print."""
    from worldbench.core import cells
    from worldbench.core.text import visible
    from worldbench.records.reading import content_of
    from worldbench.studies.reconstruction import reconstruct_file

    record, folder = reconstruct_file(
        arguments.file, arguments.map, arguments.out, degree=arguments.degree, distance=arguments.distance,
        orders=arguments.orders, roll_back=not arguments.released, seed=arguments.seed, region=arguments.region,
        city_seed=arguments.city_seed, directions=tuple(arguments.directions), positions=arguments.positions,
        connected=arguments.connected, strict=arguments.strict,
    )  # fmt: skip
    if arguments.json:
        print(cells.json({**content_of(record), "folder": str(folder)}))
        return 0
    show(record)
    for what, path in (("result", folder / "reconstruction.json"), ("figures", folder / "figures")):
        print(visible(f"{what}: {path}"))
    return 0


def show(record: Reconstruction) -> None:
    """Print a table of the scores with their intervals and, where a score has them, its controls; then the notes."""
    from worldbench.core import tables
    from worldbench.core.text import counted
    from worldbench.runs.display import number, print_notes

    controlled = {"edge_precision": "precision", "red_edges": "red", "failed_routes": "failed"}
    scores, over = record.scores, f"95% over {counted(record.settings.orders, 'order')}"
    head, body = ["score", "value", over, "uniform control", "matched control"], []
    for name, s in scores.items():
        if name.startswith("control_"):
            continue
        interval = f"{number(s.interval[0])} .. {number(s.interval[1])}" if s.interval else ""
        if name == "valid_routes":
            interval += " (over routes)"
        beside = [
            number(control.value) if name in controlled and control is not None else ""
            for control in (scores.get(f"control_{kind}_{controlled.get(name)}") for kind in ("uniform", "matched"))
        ]
        body.append([name, number(s.value), interval, *beside])
    title = f"{counted(record.routes.count, 'route')} on {record.map.name}"
    print(tables.terminal(head, body, 1, title=title, right=range(1, 5)))
    print_notes(record.notes)
