"""The table and the notes of `worldbench bench`: what each objective costs to train, at one shape.

All models are in one process and are timed alternately, round after round, so that other load on the machine slows
all of them. The first round warms up and is dropped. Each round also times the bare matrix products of the shape.
The highest rate among them is the ceiling. Shares and ratios are medians over rounds, and both times of a ratio come
from the same round. Memory is measured in a new process for each model (`footprint.py`). `operations.py` counts
operations.

Rows are packed from random documents as long as those of a taxi world (a prompt of two tokens, a uniform number of
moves, an end), or from the documents of a world.
"""

from __future__ import annotations

from pathlib import Path

from worldbench.core import cells, tables
from worldbench.core.files import identity_hash, make_folder
from worldbench.core.text import counted
from worldbench.records import reading
from worldbench.records.bench import Bench, Cost
from worldbench.studies.bench.plan import PLAIN, REFERENCE, BenchPlan


def write(plan: BenchPlan, record: Bench, out: Path) -> Path:
    """Writes `<out>/bench-<shape or world>-<identity>/bench.json`. The identity is a hash of the plan and the device,
    so another plan has another folder. Returns the path."""
    of = plan.world or plan.shape
    path = make_folder(make_folder(out) / f"bench-{of}-{identity_hash([plan.content(), record.device])[:10]}") / NAME
    reading.write(path, record)
    return path


NAME = "bench.json"
HEAD = ["model", "parameters", "to predict", "step", "quartiles", "forward, backward", "optimizer", "tokens/s"]
HEAD += [f"step / {REFERENCE}", "by operations", "of the ceiling", "memory"]
WAYS = (
    f"way: what computes products, or the precision; / gpt: GPT in the same way; {PLAIN}: a GPT of nanoGPT's shape "
    "(learned positions, LayerNorm, GELU, no document boundaries), by torch in fp32, on the same rows"
)


def render(record: Bench, form: str) -> str:
    """The record as a table for a terminal or for Markdown, or as JSON."""
    if form == "json":
        return cells.json(reading.content_of(record))
    body = [_row(model, record.clock) for model in record.models]
    head, beside = _ways(record)
    both = [(HEAD, body, range(1, len(HEAD))), *([(head, beside, range(2, len(head)))] if beside else [])]
    if form == "markdown":
        made = [tables.markdown(names, rows, right=right) for names, rows, right in both]
        return "\n".join(["\n\n".join(made), "", *map(cells.markdown_line, _notes(record))])
    made = [tables.terminal(names, rows, 1, right=right) for names, rows, right in both]
    return "\n".join(["\n\n".join(made), *map(tables.note, _notes(record))])


def _ways(record: Bench) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table of each model's step in each way of computing. No rows in older records."""
    first = record.models[0].way
    head = ["model", "way", "step", f"/ {first}", "/ gpt", f"/ {PLAIN}"]
    rows = []
    for m in record.models:
        if m.to_plain is not None:
            rows.append([m.label, m.way, _seconds(m.step), "1.00", f"{m.ratio:.2f}", f"{m.to_plain:.2f}"])
        for w in m.others:
            rows.append([m.label, w.name, _seconds(w.step), *(f"{r:.2f}" for r in (w.to_first, w.ratio, w.to_plain))])
    return head, rows


def _seconds(s: float) -> str:
    return f"{s:.2f} s" if s >= 10 else f"{s:.4f} s"


def _row(m: Cost, clock: str) -> list[str]:
    from statistics import median

    parts = (m.seconds.forward_backward, m.seconds.optimizer)
    seconds = [m.step, *m.quartiles, *(median(getattr(part, clock)) for part in parts)]
    step, low, high, pass_, optimizer = (f"{s:.2f}" if max(seconds) >= 10 else f"{s:.3f}" for s in seconds)
    memory = "-" if m.memory.bytes is None else f"{m.memory.bytes / 2**20:,.0f} MiB"
    ratios = [f"{m.ratio:.2f}", f"{m.ratio_by_operations:.2f}", f"{m.share_of_ceiling:.0%}"]
    return [
        m.label, f"{m.parameters:,}", f"{m.inference_parameters:,}", f"{step} s", f"{low} .. {high}", f"{pass_} s",
        f"{optimizer} s", f"{m.tokens_per_second:,.0f}", *ratios, memory,
    ]  # fmt: skip


def _notes(record: Bench) -> list[str]:
    e, rows, ceiling, shape = record.environment, record.rows, record.ceiling, record.shape
    where = f"{e.processor}, {counted(record.threads, 'thread')}" if record.device == "cpu" else record.device
    sizes = []
    if shape is not None:
        layers, heads = counted(shape.layers, "layer"), counted(shape.heads, "attention head")
        sizes = [f"{layers} of {shape.width}, {heads}, vocabulary {shape.vocabulary:,}"]
    data = f"{counted(rows.rows, 'row')} of {counted(rows.width, 'token')} ({rows.of})"
    rate = f"{ceiling.operations_per_second / 1e9:.1f} billion operations per second"
    clock = "processor time of this process" if record.clock == "processor" else "wall-clock time"
    return [
        "; ".join([f"{where}, torch {e.torch}", *sizes, data, counted(record.repeats, "round")]),
        f"seconds: medians of {clock}",
        f"{HEAD[8]}: median over rounds; of the ceiling: operations per second of forward and backward / ceiling",
        f"ceiling: {rate} ({ceiling.product})",
        f"memory: {record.models[0].memory.what}",
        *([] if record.models[0].to_plain is None else [WAYS]),
    ]
