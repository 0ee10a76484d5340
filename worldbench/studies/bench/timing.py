"""The timing of `worldbench bench`: models and bare matrix products are timed alternately in one process."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import numpy as np
import torch

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.objective import Objective
from worldbench.core import streams
from worldbench.core.errors import RunError
from worldbench.core.model import refuse_impossible
from worldbench.core.registry import models
from worldbench.core.text import counted
from worldbench.core.world import Documents
from worldbench.records import bench as records
from worldbench.runs.display import Display
from worldbench.settings.train import TrainConfig
from worldbench.studies.bench.costs import record_of
from worldbench.studies.bench.operations import count_operations
from worldbench.studies.bench.plain import PlainGPT
from worldbench.studies.bench.plan import PLAIN, PROMPT, REFERENCE, BenchPlan, Shape
from worldbench.studies.bench.times import Entrant, Product, StepTimes
from worldbench.studies.bench.ways import FIRST, forward_backward, ways
from worldbench.training.arithmetic import resolve_device, set_up
from worldbench.training.compiled import Compiled
from worldbench.training.optimizer import apply_gradients, make_optimizer


@dataclass(frozen=True)
class Rows:
    """A batch, and the facts about its world that a model needs.

    train: the options of the optimizer. description: the rows in words.
    """

    batch: Batch
    vocabulary: int
    context: int
    pad: int
    train: TrainConfig
    description: str


def rows_of(plan: BenchPlan) -> Rows:
    """The rows that a plan asks for."""
    return _world_rows(plan) if plan.world is not None else _random_rows(plan.sized())


def build(plan: BenchPlan, label: str, rows: Rows) -> Objective:
    """The model of a label, with random initial weights."""
    if label == PLAIN:
        return PlainGPT(plan.config(REFERENCE)[1], rows.vocabulary, rows.batch.tokens.shape[1], 0, rows.pad)
    name, config = plan.config(label)
    return models[name].load()(config, rows.vocabulary, rows.context, 0, rows.pad)


def _random_rows(shape: Shape) -> Rows:
    rng = streams.generator("bench", 0)
    mean = (shape.shortest + shape.longest) / 2 - 1
    per_row = math.ceil(shape.tokens / mean) + 1  # as many documents per row as in training
    length = rng.integers(shape.shortest, shape.longest + 1, shape.batch * per_row)
    tokens = rng.integers(1, shape.vocabulary, (len(length), shape.longest))
    documents = Documents(tokens.astype(np.int32), length.astype(np.int32), np.full(len(length), PROMPT, np.int32))
    description = f"random documents of {shape.shortest} .. {shape.longest} tokens"
    batch = pack(documents, shape.batch, shape.tokens)
    return Rows(batch, shape.vocabulary, shape.longest, 0, TrainConfig(), description)


def _world_rows(plan: BenchPlan) -> Rows:
    """The rows of the first training step in the world."""
    from worldbench.runs.prepared import prepare
    from worldbench.settings.resolve import resolve
    from worldbench.training.stream import TrainingStream

    assert plan.world is not None
    prepared = prepare(resolve(plan.world, REFERENCE, preset=plan.preset, seed=0), Display(quiet=True))
    world, groups = prepared.world, prepared.job.groups
    for label in plan.labels:
        refuse_impossible(models[plan.config(label)[0]].load(), world)
    train = dataclasses.replace(groups["train"], **{k: v for k, v in plan.changes.items() if k == "batch"})
    stream = TrainingStream(world, groups["data"], train, 0)
    batch = pack(stream.documents(0), train.batch, stream.width)
    return Rows(
        batch, len(world.vocabulary), world.context, world.vocabulary.pad, train, f"{plan.world}, preset {plan.preset}"
    )


def products(trunk: Any, vocabulary: int, positions: int, device: str) -> list[Product]:
    """The matrix products of the reference model's block and head, in fp32 and into preallocated memory: the forward
    product and both gradients of each layer."""
    block = trunk.blocks[0]
    out, generator = [], torch.Generator(device).manual_seed(0)
    for name, layer in {
        "qkv": block.qkv,
        "out": block.out,
        "gate_up": block.gate_up,
        "down": block.down,
        "head": trunk.head,
    }.items():
        n, k = layer.weight.shape
        x, w, y = (
            torch.rand(size, device=device, generator=generator) for size in ((positions, k), (n, k), (positions, n))
        )
        z, dx, dw = torch.empty_like(y), torch.empty_like(x), torch.empty_like(w)
        out.append(Product(name, (positions, k, n), lambda x=x, w=w, z=z: torch.mm(x, w.t(), out=z)))
        out.append(
            Product(f"{name}, gradient of its input", (positions, n, k), lambda y=y, w=w, dx=dx: torch.mm(y, w, out=dx))
        )
        out.append(
            Product(
                f"{name}, gradient of its weight", (n, positions, k), lambda x=x, y=y, dw=dw: torch.mm(y.t(), x, out=dw)
            )
        )
    return out


def measure_apart(plan: BenchPlan, label: str) -> records.Memory:
    """The peak memory of one model of a plan, measured in a new process. Raises RunError if that process fails, for
    example for lack of memory."""
    job = json.dumps({"plan": dataclasses.asdict(plan), "label": label})
    threads = {"OMP_NUM_THREADS": str(plan.threads)}
    done = subprocess.run(
        [sys.executable, "-m", "worldbench.studies.bench.footprint"],
        input=job,
        capture_output=True,
        text=True,
        env=os.environ | threads,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RunError(
            f"the process that measures the memory of {label!r} failed ({last[0]}); a smaller "
            "--batch or --layers needs less"
        )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=records.Memory)


def measure(plan: BenchPlan, display: Display) -> records.Bench:
    """Measures memory, times and operations of all models of a plan."""
    device = resolve_device(plan.device, "--device")
    labels = plan.labels if REFERENCE in plan.labels else (REFERENCE, *plan.labels)
    configs = {label: plan.config(label) for label in labels} | {PLAIN: (PLAIN, plan.config(REFERENCE)[1])}
    labels, asked = (*labels, PLAIN), ways(plan.products, plan.precisions, device, plan.compiled)
    rows = rows_of(plan)
    set_up(plan.threads)
    batch = rows.batch.to(device)
    display.say(f"memory: {counted(len(labels), 'process', 'processes')}, one after another")
    memory = {label: measure_apart(plan, label) for label in labels}
    entrants = []
    for label in labels:
        objective = build(plan, label, rows).to(device)
        own = [FIRST] if label == PLAIN else [w for w in asked if not w.compiled or objective.compiled_parts()]
        compiled = {way: Compiled(objective, device) for way in own if way.compiled}
        optimizer = make_optimizer(objective, rows.train)
        entrants.append(Entrant(label, objective, optimizer, {way: StepTimes() for way in own}, compiled))
    reference = next(e.objective for e in entrants if e.label == REFERENCE)
    alone = products(reference.trunk, rows.vocabulary, int(batch.valid.sum()), device)
    for round_ in range(plan.repeats + 1):
        display.say(f"round {round_} of {plan.repeats}" if round_ else "first round: counts operations and warms up")
        for product in alone:
            product.times.take(product.work, device, round_ > 0)
        for e in entrants:
            if not round_:
                e.operations = count_operations(e.objective, batch)
            for way, times in e.times.items():
                step = partial(forward_backward, e.objective, rows.batch, device, way, e.compiled.get(way))
                times.forward_backward.take(step, device, round_ > 0)
                times.update.take(partial(apply_gradients, e.objective, e.optimizer, rows.train), device, round_ > 0)
    return record_of(plan, rows.description, rows.vocabulary, batch, device, entrants, alone, memory, configs)
