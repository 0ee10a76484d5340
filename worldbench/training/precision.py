"""The precision in which a training step computes its products (`train.precision`).

fp32: everything in fp32. bf16: `torch.autocast` rounds the inputs of matrix products and attention to bf16, and keeps
norms, the residual stream, losses, weights, gradients of the weights and the optimizer's state in fp32. tf32: on CUDA,
products round their fp32 inputs to 19 bits.

Only training uses it. Scores and the learning curve are computed in fp32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from worldbench.core.errors import InputError


def refuse_precision(precision: str, device: str) -> None:
    """Raises InputError for a precision that the device, `cpu` or `cuda`, does not have."""
    if precision == "tf32" and device != "cuda":
        raise InputError(
            f"train.precision tf32 is a format of CUDA devices, and training runs on {device}; use --train.precision "
            "fp32 or bf16, or --train.device cuda"
        )


@contextlib.contextmanager
def computing(precision: str, device: str) -> Iterator[None]:
    """The block computes the gradients of a step in this precision, on this device.

    The setting of tf32 belongs to the whole process, so the block restores it at its end.
    """
    if precision == "bf16":
        # Without the cache of rounded weights: a weight that is first used under no_grad would be kept there without
        # its gradient.
        with torch.autocast(device, torch.bfloat16, cache_enabled=False):
            yield
    elif precision == "tf32":
        matmul: Any = torch.backends.cuda.matmul
        cudnn: Any = torch.backends.cudnn
        before = matmul.allow_tf32, cudnn.allow_tf32
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        try:
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before
    else:
        yield


def rounds_updates(precision: str, device: str) -> bool:
    """Whether Muon forms its products in bf16, as published: on CUDA, and wherever training uses bf16."""
    return precision == "bf16" or device == "cuda"
