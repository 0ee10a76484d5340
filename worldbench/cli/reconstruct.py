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
        help="the true map: a street map or a place as in worldbench map, or a table: a CSV file "
        "node,direction,to[,x,y], or a JSON file",
    )  # fmt: skip
    add(
        "--positions",
        type=Path,
        metavar="FILE",
        help="positions of the nodes of a table: a CSV file node,lon,lat, or a street map",
    )
    add("--region", default="all", metavar="REGION", help="the part of a street map to use (default: all of it)")
    add(
        "--connected", action="store_true",
        help="use only the part of the map in which every node can reach every other node, as the world taxi does",
    )  # fmt: skip
    add("--city-seed", type=int, default=0, metavar="N", help="seed of a generated city (default 0)")
    add(
        "--strict",
        action="store_true",
        help="refuse a file with a line that does not fit the map; without --strict, such lines are left out",
    )
    add(
        "--out",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="the folder in which a folder for the result is made (default runs)",
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
        "--orders",
        type=int,
        default=5,
        metavar="N",
        help="random orders in which the routes are explained, in each mode (default 5)",
    )
    add(
        "--directions", nargs="+", default=[], metavar="WORD",
        help="further words that are directions, although no street of the map has them",
    )  # fmt: skip
    add(
        "--released", action="store_true",
        help="forced end in released mode: keep the streets that a route added before it failed, as the released code "
        "of Vafa et al. does (default: roll-back)",
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
    """Print a table of the scores for each mode of the reconstruction, with their intervals and, where a score has
    them, its controls; then the notes.

    Records of version 2 of the metric or before have the scores with the forced end alone.
    """
    from worldbench.core import tables
    from worldbench.core.text import counted
    from worldbench.metrics.measured_routes import CONTROL_ALONE, CONTROL_FORCED, FORCED_END, MOVES_ALONE
    from worldbench.records.scores import NO_REASON
    from worldbench.runs.display import number, print_notes

    scores, mode = record.scores, "roll-back" if record.settings.roll_back else "released"
    modes = {
        "moves alone": (MOVES_ALONE, CONTROL_ALONE),
        f"forced end, {mode} mode (Vafa et al.)": (FORCED_END, CONTROL_FORCED),
    }
    head = ["score", "value", "95% interval", "over", "uniform control", "matched control"]
    body: list[list[str]] = []
    styles: list[str] = []

    def add(name: str, control: str | None = None) -> None:
        s = scores[name]
        beside = [scores.get(f"control_{kind}_{control}") for kind in ("uniform", "matched")]
        interval = f"{number(s.interval[0])} .. {number(s.interval[1])}" if s.interval else ""
        body.append(
            [
                f"  {name}",
                number(s.value),
                interval,
                s.over,
                *(number(c.value) if c is not None else "" for c in beside),
            ]
        )
        styles.append("")

    shown: set[str] = set()
    for title, (names, controls) in modes.items():
        here = {name: controls.get(part) for part, name in names.items()}
        here |= {f"{names['precision']}_{of_orders}": None for of_orders in ("orders", "lowest", "highest")}
        if present := {name: control for name, control in here.items() if name in scores}:
            body.append([title, *[""] * 5])
            styles.append("bold")
            for name in sorted(present, key=lambda name: name not in (names["precision"], names["failed"])):
                add(name, present[name])
        shown |= set(here)
    body.append(["rides", *[""] * 5])
    styles.append("bold")
    for name in scores:
        if name not in shown and not name.startswith("control_"):
            add(name)
    title = f"{counted(record.routes.count, 'route')} on {record.map.name}, {counted(record.settings.orders, 'order')}"
    print(tables.terminal(head, body, 1, title=title, right=(1, 2, 4, 5), styles=styles))
    reasons: dict[str, list[str]] = {}
    for name, score in scores.items():
        if score.value is None:
            reasons.setdefault(score.reason or NO_REASON, []).append(name)
    print_notes([*(f"missing: {', '.join(names)}: {reason}" for reason, names in reasons.items()), *record.notes])
