"""The ways of computing a training step that `bench` compares: what computes products, and in which precision."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from worldbench.baselines.batch import Batch
from worldbench.baselines.objective import Objective
from worldbench.baselines.products import ONEDNN, TORCH, has_onednn, use_products
from worldbench.core.errors import InputError
from worldbench.training.compiled import Compiled
from worldbench.training.precision import computing, refuse_precision


@dataclass(frozen=True)
class Way:
    """products, precision, compiled: as `train.products`, `train.precision` and `train.compile`."""

    products: str = TORCH
    precision: str = "fp32"
    compiled: bool = False

    @property
    def name(self) -> str:
        """`torch`, `onednn`, or the precision where it is not fp32 (then torch computes the products); `compiled`."""
        name = self.products if self.precision == "fp32" else self.precision
        return f"{name}, compiled" if self.compiled else name


FIRST = Way()
"""How a step is computed unless something else is asked for."""


def ways(products: tuple[str, ...], precisions: tuple[str, ...], device: str, compiled: bool = False) -> list[Way]:
    """The ways that a plan asks for on a device, `cpu` or `cuda`. products: empty for all that the device has.
    compiled: each way also with compiled parts.

    Raises InputError for what the device does not have.
    """
    if not products:
        products = (TORCH, ONEDNN) if device == "cpu" and has_onednn() else (TORCH,)
    if ONEDNN in products and device == "cuda":
        raise InputError("--products onednn is for the CPU, and the device is cuda; use --products torch")
    for precision in precisions:
        refuse_precision(precision, device)
    fp32 = [Way(name) for name in dict.fromkeys(products)] if "fp32" in precisions else []
    out = fp32 + [Way(TORCH, precision) for precision in dict.fromkeys(precisions) if precision != "fp32"]
    return out + [replace(way, compiled=True) for way in out if compiled]


def forward_backward(
    objective: Objective, batch: Batch, device: str, way: Way = FIRST, compiled: Compiled | None = None
) -> None:
    """All of a training step but the drawing of documents and the update: what the objective derives from the rows on
    the CPU, the transfer to the device, the loss and its gradient. compiled: the compiled parts of the objective."""
    use_products(objective, way.products)
    fresh = batch.rows(0, len(batch.tokens))  # nothing is derived yet
    counts = objective.prepare(fresh)
    with computing(way.precision, device), compiled.used() if compiled else contextlib.nullcontext():
        objective.backward(fresh.to(device), counts)
