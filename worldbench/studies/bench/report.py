"""`worldbench bench`: what each objective costs to train, at one shape.

All models stand in one process and take turns, so that whatever else the machine does hits them alike; the first round
warms up and is dropped. Beside them the matrix products of the shape itself take their turn, nothing but products: the
highest rate among them is the ceiling. Shares and ratios are medians over the rounds, ratios of one round's times.
Memory is measured apart, each model in a fresh process (`footprint.py`). Operations: `operations.py`.

Rows are packed from documents as long as a taxi world's (a prompt of two tokens, a uniform number of moves, an end), of
random words; or a world's own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.core import cells, tables
from worldbench.core.errors import InputError
from worldbench.core.files import make_folder
from worldbench.core.text import counted
from worldbench.records import reading
from worldbench.records.bench import Bench, Cost
from worldbench.studies.bench.plan import REFERENCE, Plan

CHANGES = (
    ("layers", "N", "blocks"),
    ("heads", "N", "attention heads"),
    ("width", "D", "width of the residual stream"),
    ("vocabulary", "V", "words"),
    ("tokens", "T", "tokens of a row"),
    ("batch", "B", "rows of a step"),
    ("shortest", "N", "tokens of the shortest document"),
    ("longest", "N", "tokens of the longest document"),
)
"""Fields of a shape that the command line may name: what stands for the value, and what it is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="which, with options: gpt 'nextlat[horizon=8]' (default: all that are trained)",
    )
    parser.add_argument(
        "--shape",
        default="256",
        metavar="NAME",
        help="small, 256 (default: 6 layers of 256) or manhattan (48 layers of 384)",
    )
    for name, metavar, line in CHANGES:
        parser.add_argument(f"--{name}", type=int, metavar=metavar, help=f"{line}, instead of the shape's")
    parser.add_argument(
        "--world",
        metavar="WORLD",
        help="its own training rows and vocabulary, at a preset's shape, instead of random documents",
    )
    parser.add_argument("--preset", metavar="NAME", help="of --world (default: its first)")
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="rounds, after one that is dropped (default 5)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the CPU (default 1)")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where it computes (default auto: cuda where there is one)",
    )
    parser.add_argument(
        "--clock",
        choices=("auto", "processor", "wall"),
        default="auto",
        help="what is shown (auto: processor time with one thread)",
    )
    parser.add_argument("--format", choices=("table", "markdown", "json"), default="table")
    parser.add_argument(
        "--plugin",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="a file that registers worlds or models of your own",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/bench"),
        metavar="FOLDER",
        help="where bench.json is put (default runs/bench)",
    )
    parser.add_argument("--quiet", action="store_true", help="print the table only")


def plan_of(arguments: argparse.Namespace) -> Plan:
    from worldbench.core.plugins import load_plugins
    from worldbench.core.registry import models
    from worldbench.settings.presets import default_preset

    plugins = load_plugins(arguments.plugin)
    if arguments.preset is not None and arguments.world is None:
        raise InputError(
            f"--preset {arguments.preset} is of a world's rows; name one with --world, or choose a --shape"
        )
    return Plan(
        labels=tuple(arguments.models) or tuple(e.name for e in models if e.trained and not e.weights_of),
        shape=arguments.shape,
        changes={name: getattr(arguments, name) for name, _, _ in CHANGES if getattr(arguments, name) is not None},
        world=arguments.world,
        preset=arguments.preset or (default_preset(arguments.world) if arguments.world else ""),
        plugins=tuple((plugin.path, plugin.sha256) for plugin in plugins),
        repeats=arguments.repeats,
        threads=arguments.threads,
        device=arguments.device,
        clock=arguments.clock,
    )


def run(arguments: argparse.Namespace) -> int:
    """The verb: measure, write, print."""
    from worldbench.runs.display import Display
    from worldbench.studies.bench.timing import measure

    plan, display = plan_of(arguments), Display(quiet=arguments.quiet)
    make_folder(arguments.out)
    record = measure(plan, display)
    path = write(record, arguments.out)
    print(render(record, arguments.format))
    display.say(f"every round's times: {path}")
    return 0


def write(record: Bench, out: Path) -> Path:
    path = make_folder(out) / "bench.json"
    reading.write(path, record)
    return path


HEAD = ["model", "parameters", "to predict", "step", "quartiles", "forward, backward", "optimiser", "tokens/s"]
HEAD += [f"step / {REFERENCE}", "by operations", "of the ceiling", "memory"]


def render(record: Bench, form: str) -> str:
    """The record as a table for people or for Markdown, or as JSON."""
    if form == "json":
        return cells.json(reading.content_of(record))
    body = [_row(model, record.clock) for model in record.models]
    if form == "markdown":
        notes = map(cells.markdown_line, _notes(record))
        return "\n".join([tables.markdown(HEAD, body, right=range(1, len(HEAD))), "", *notes])
    return "\n".join([tables.terminal(HEAD, body, 1, right=range(1, len(HEAD))), *map(tables.note, _notes(record))])


def _row(m: Cost, clock: str) -> list[str]:
    from statistics import median

    parts = (m.seconds.forward_backward, m.seconds.optimiser)
    seconds = [m.step, *m.quartiles, *(median(getattr(part, clock)) for part in parts)]
    step, low, high, pass_, optimiser = (f"{s:.2f}" if max(seconds) >= 10 else f"{s:.3f}" for s in seconds)
    memory = "-" if m.memory.bytes is None else f"{m.memory.bytes / 2**20:,.0f} MiB"
    ratios = [f"{m.ratio:.2f}", f"{m.ratio_by_operations:.2f}", f"{m.share_of_ceiling:.0%}"]
    return [
        m.label, f"{m.parameters:,}", f"{m.inference_parameters:,}", f"{step} s", f"{low} .. {high}", f"{pass_} s",
        f"{optimiser} s", f"{m.tokens_per_second:,.0f}", *ratios, memory,
    ]  # fmt: skip


def _notes(record: Bench) -> list[str]:
    e, rows, ceiling, shape = record.environment, record.rows, record.ceiling, record.shape
    where = f"{e.processor}, {counted(record.threads, 'thread')}" if record.device == "cpu" else record.device
    sizes = []
    if shape is not None:
        layers, heads = counted(shape.layers, "layer"), counted(shape.heads, "attention head")
        sizes = [f"{layers} of {shape.width}, {heads}, vocabulary {shape.vocabulary:,}"]
    data = f"{counted(rows.rows, 'row')} of {counted(rows.width, 'token')} ({rows.of})"
    rate = f"{ceiling.operations_per_second / 1e9:.1f} billion operations a second"
    clock = "processor, in this process" if record.clock == "processor" else "clock on the wall"
    return [
        "; ".join([f"{where}, torch {e.torch}", *sizes, data, counted(record.repeats, "round")]),
        f"seconds of the {clock}: medians",
        f"{HEAD[8]}: median of the rounds' ratios; of the ceiling: operations of forward and backward, in their time",
        f"ceiling: {rate} ({ceiling.product})",
        f"memory: {record.models[0].memory.what}",
    ]
