"""`worldbench bench [MODEL..]`: measure what each objective costs to train, all in the same shape."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

if TYPE_CHECKING:
    from worldbench.studies.bench.plan import BenchPlan

LINE = "measure what each objective costs to train at one shape: time, memory, operations"

CHANGES = (
    ("layers", "N", "transformer blocks"),
    ("heads", "N", "attention heads"),
    ("width", "D", "width of the residual stream"),
    ("vocabulary", "V", "number of words"),
    ("tokens", "T", "tokens per row"),
    ("batch", "B", "rows per step"),
    ("shortest", "N", "tokens of the shortest document"),
    ("longest", "N", "tokens of the longest document"),
)
"""Fields of a shape that the command line can set: name, placeholder of the value, meaning."""


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    add = parser.add_argument
    add(
        "models", nargs="*", metavar="MODEL",
        help="models, which may have options: gpt 'nextlat[horizon=8]' (default: all models that are trained)",
    )  # fmt: skip
    add(
        "--shape", default="256", metavar="NAME",
        help="shape of the models: small, 256 (default: 6 layers of width 256) or manhattan (48 layers of width 384)",
    )  # fmt: skip
    for name, metavar, line in CHANGES:
        add(f"--{name}", type=int, metavar=metavar, help=f"{line} (default: as in the shape)")
    add(
        "--world", metavar="WORLD",
        help="train on rows of this world, with its vocabulary, instead of on random documents",
    )  # fmt: skip
    add("--preset", metavar="NAME", help="preset of --world (default: the first preset of the world)")
    add("--repeats", type=int, default=5, metavar="N", help="timed rounds, after a warm-up round (default 5)")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads (default 1)")
    add(
        "--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="device (default auto: cuda if there is one)",
    )  # fmt: skip
    add(
        "--products", nargs="+", choices=("torch", "onednn"), default=[], metavar="NAME",
        help="libraries that compute the matrix products: torch, onednn; the table shows the first one, and the others "
        "beside it (default: all that this machine has)",
    )  # fmt: skip
    add(
        "--precision", nargs="+", choices=("fp32", "bf16", "tf32"), default=["fp32"], metavar="NAME",
        help="precisions of training that are compared: fp32 (default), bf16, tf32",
    )  # fmt: skip
    add(
        "--compile",
        action="store_true",
        help="time each library and precision a second time with compiled parts (train.compile)",
    )
    add(
        "--clock", choices=("auto", "processor", "wall"), default="auto",
        help="which time is shown (default auto: processor time with one thread, else wall time)",
    )  # fmt: skip
    add("--format", choices=("table", "markdown", "json"), default="table", help="how to print (default table)")
    add(
        "--plugin", type=Path, action="append", default=[], metavar="FILE.py",
        help="a file that registers worlds or models of your own",
    )  # fmt: skip
    add(
        "--out", type=Path, default=Path("runs/bench"), metavar="FOLDER",
        help="the folder for FOLDER/bench-../bench.json (default runs/bench)",
    )  # fmt: skip
    add("--quiet", action="store_true", help="print only the table")


def plan_of(arguments: argparse.Namespace) -> BenchPlan:
    """What to measure. Raises InputError for a preset without a world."""
    from worldbench.core.plugins import load_plugins
    from worldbench.core.registry import models
    from worldbench.settings.presets import default_preset
    from worldbench.studies.bench.plan import BenchPlan

    plugins = load_plugins(arguments.plugin)
    if arguments.preset is not None and arguments.world is None:
        what = f"--preset {arguments.preset} belongs to a world, and none is named"
        raise InputError(f"{what}; name one with --world, or choose a --shape")
    return BenchPlan(
        labels=tuple(arguments.models) or tuple(e.name for e in models if e.trained),
        shape=arguments.shape,
        changes={name: getattr(arguments, name) for name, _, _ in CHANGES if getattr(arguments, name) is not None},
        world=arguments.world,
        preset=arguments.preset or (default_preset(arguments.world) if arguments.world else ""),
        plugins=tuple((plugin.path, plugin.sha256) for plugin in plugins),
        repeats=arguments.repeats,
        threads=arguments.threads,
        device=arguments.device,
        clock=arguments.clock,
        products=tuple(arguments.products),
        precisions=tuple(arguments.precision),
        compiled=arguments.compile,
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, write the record, print it."""
    from worldbench.core.files import make_folder
    from worldbench.runs.display import Display
    from worldbench.studies.bench.report import render, write
    from worldbench.studies.bench.timing import measure

    plan, display = plan_of(arguments), Display(quiet=arguments.quiet)
    make_folder(arguments.out)
    record = measure(plan, display)
    path = write(plan, record, arguments.out)
    print(render(record, arguments.format))
    display.say(f"times of every round: {path}")
    return 0
