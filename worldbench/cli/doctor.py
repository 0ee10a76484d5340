"""`worldbench doctor`: check that everything that worldbench needs works on this machine, and how fast it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser
from worldbench.core.errors import RunError

LINE = "check that this machine can train, decode and draw, on the CPU and on a CUDA device"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add(
        "--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="auto: check the CPU, and a CUDA device if there is one (default); cpu: check the CPU only; cuda: fail "
        "without a CUDA device",
    )  # fmt: skip
    add("--json", action="store_true", help="print the record as JSON, and nothing else")
    add("--out", type=Path, metavar="FILE", help="also write the record to this file")


def run(arguments: argparse.Namespace) -> int:
    """Make all checks, print them, write the record. Returns 1 if a check failed."""
    from worldbench.studies.doctor import packages

    absent = [package for package in packages.missing() if package.name in packages.FIRST]
    if absent:
        names = ", ".join(package.name for package in absent)
        raise RunError(f"not ready: {names} cannot be found, which every check needs; {packages.remedy(absent)}")
    from worldbench.core import cells
    from worldbench.core.files import make_folder
    from worldbench.core.text import visible
    from worldbench.records.reading import content_of, write
    from worldbench.studies.doctor.examination import examine
    from worldbench.studies.doctor.report import ending, line

    if arguments.out is not None:
        make_folder(arguments.out.parent)
    needed = None if arguments.device == "auto" else arguments.device
    record = examine(needed, (lambda found: None) if arguments.json else (lambda found: print(line(found), flush=True)))
    if arguments.out is not None:
        write(arguments.out, record)
    if arguments.json:
        print(cells.json(content_of(record)))
    else:
        if arguments.out is not None:
            print(visible(f"record: {arguments.out}"))
        print(ending(record))
    return 0 if record.ready else 1
