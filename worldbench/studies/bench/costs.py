"""The record of `bench`: what the times of models and bare products say."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from worldbench.baselines.batch import Batch
from worldbench.records import bench as records
from worldbench.studies.bench.plan import PLAIN, REFERENCE, BenchPlan
from worldbench.studies.bench.times import Entrant, Product
from worldbench.studies.bench.ways import Way
from worldbench.training.environment import environment


def record_of(
    plan: BenchPlan,
    of: str,
    vocabulary: int,
    batch: Batch,
    device: str,
    entrants: list[Entrant],
    alone: list[Product],
    memory: dict[str, records.Memory],
    configs: dict[str, Any],
) -> records.Bench:
    """of: the rows in words. alone: the bare products. configs: (name of the model, its options) of each label."""
    clock = plan.clock_on(device)
    best = max(alone, key=lambda product: product.rate(clock))
    reference, plain = (next(e for e in entrants if e.label == label) for label in (REFERENCE, PLAIN))
    tokens = int(batch.valid.sum())
    shape = None
    if plan.world is None:
        shape = records.Shape(name=plan.shape, **dataclasses.asdict(plan.sized()))
    return records.Bench(
        environment=environment(),
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        threads=plan.threads,
        clock=clock,
        repeats=plan.repeats,
        shape=shape,
        rows=records.RowFacts(
            of=of,
            rows=len(batch.tokens),
            width=batch.tokens.shape[1],
            tokens=tokens,
            scored=int(batch.scored.sum()),
        ),
        vocabulary=vocabulary,
        ceiling=records.Ceiling(
            operations_per_second=best.rate(clock),
            product=best.name,
            products=[_product(p, clock) for p in alone],
        ),
        models=[
            _cost(e, reference, plain, clock, tokens, best.rate(clock), memory[e.label], configs[e.label])
            for e in entrants
        ],
    )


def _cost(
    e: Entrant,
    reference: Entrant,
    plain: Entrant,
    clock: str,
    tokens: int,
    ceiling: float,
    memory: records.Memory,
    config: Any,
) -> records.Cost:
    """config: (name of the model, its options). ceiling: operations per second."""
    assert e.operations is not None
    assert reference.operations is not None
    passes, other = (np.array(getattr(x.times[x.ways[0]].forward_backward, clock)) for x in (e, reference))
    step, other_step = e.seconds(clock), reference.seconds(clock)
    low, high = np.quantile(step, (0.25, 0.75)).tolist()
    return records.Cost(
        label=e.label,
        model=config[0],
        options=dataclasses.asdict(config[1]),
        parameters=e.objective.parameter_count(),
        inference_parameters=e.objective.inference_parameters(),
        operations=e.operations.total,
        operations_by_kind=e.operations.by_kind,
        largest_tensor=e.operations.largest,
        seconds=e.times[e.ways[0]].parts(),
        step=float(np.median(step)),
        quartiles=(low, high),
        tokens_per_second=tokens / float(np.median(step)),
        ratio=float(np.median(step / other_step)),
        ratio_forward_backward=float(np.median(passes / other)),
        ratio_by_operations=e.operations.total / reference.operations.total,
        share_of_ceiling=e.operations.total / float(np.median(passes)) / ceiling,
        memory=memory,
        way=e.ways[0].name,
        to_plain=float(np.median(step / plain.seconds(clock))),
        others=[_other(e, way, reference, plain, clock) for way in e.ways[1:]],
    )


def _other(e: Entrant, way: Way, reference: Entrant, plain: Entrant, clock: str) -> records.OtherWay:
    step = e.seconds(clock, way)
    return records.OtherWay(
        name=way.name,
        products=way.products,
        precision=way.precision,
        compiled=way.compiled,
        seconds=e.times[way].parts(),
        step=float(np.median(step)),
        to_first=float(np.median(step / e.seconds(clock))),
        ratio=float(np.median(step / reference.seconds(clock, way))),
        to_plain=float(np.median(step / plain.seconds(clock))),
    )


def _product(p: Product, clock: str) -> records.Product:
    return records.Product(name=p.name, size=p.size, operations_per_second=p.rate(clock), seconds=p.times.record())
