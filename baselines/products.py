"""The matrix products of linear layers in training: by `torch` (F.linear) or by `onednn`.

torch computes F.linear of fp32 on the CPU by MKL, which on AMD processors reaches about half of what oneDNN does. Each
`Linear` holds its own choice, which `use_products` sets for all layers of a model. So two models of one process may
differ, and the compiler sees a constant. The choice counts in training mode (`nn.Module.train`) alone. In evaluation
mode every product is F.linear, so that scores do not depend on the choice.

Shape letters: N rows, K inputs, M outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.core.errors import InputError

TORCH, ONEDNN = "torch", "onednn"


class Linear(nn.Linear):
    """A linear layer without a bias. Its products in training mode are those of `products`, see `use_products`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.products = TORCH

    def forward(self, input: Tensor) -> Tensor:
        return self.product(input, self.weight)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """x weight^T [.., M] of x [.., K] and a weight [M, K], which is a part of the weight of the layer."""
        return product_of(self.products if self.training else TORCH)(x, weight)


def use_products(module: nn.Module, products: str) -> None:
    """Let every `Linear` in a module compute its products in training by `torch` or by `onednn`.

    Raises InputError if this build of torch has no oneDNN for fp32 products.
    """
    if products == ONEDNN and not has_onednn():
        raise InputError(
            "train.products onednn needs a torch that computes linear layers by oneDNN, which this build does not; use "
            "--train.products torch"
        )
    for part in module.modules():
        if isinstance(part, Linear):
            part.products = products


def product_of(products: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The function that computes x w^T [.., M] of x [.., K] and w [M, K], and its gradients."""
    return _OneDNN.apply if products == ONEDNN else F.linear  # type: ignore[return-value]


def has_onednn() -> bool:
    """True if this build of torch computes linear layers by oneDNN on the CPU."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def unrounded(x: Tensor) -> Tensor:
    """x in fp32, if autocast rounded it to bf16 (`train.precision`); else x."""
    return x.float() if x.dtype == torch.bfloat16 else x


# An operator of its own, so that fake tensors, tensors of the device `meta` and the compiler see one operator with a
# known shape. (torch.library.custom_op adds 55 microseconds to each layer of a step, this way 12.)
torch.library.define("worldbench::product", "(Tensor x, Tensor weight) -> Tensor")
OPERATOR = torch.ops.worldbench.product


@torch.library.impl("worldbench::product", "CPU")
def _product(x: Tensor, weight: Tensor) -> Tensor:
    if not x.numel():  # oneDNN refuses a sum of no terms
        return x.new_zeros(*x.shape[:-1], len(weight))
    return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(weight), None, "none", [], "")


@torch.library.register_fake("worldbench::product")
def _product_shape(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _dense(x: Tensor) -> Tensor:
    """The tensor in memory without gaps. oneDNN takes a kernel that is several times slower for other layouts."""
    return x if x.is_contiguous() or (x.ndim == 2 and x.t().is_contiguous()) else x.contiguous()


class _OneDNN(torch.autograd.Function):
    """y = x w^T, and both gradients, by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, weight)
        return OPERATOR(x, weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        of_x, of_weight = ctx.needs_input_grad
        rows, outputs = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        return (
            OPERATOR(outputs, weight.t()).view(x.shape) if of_x else None,
            OPERATOR(outputs.t(), rows.t()) if of_weight else None,
        )
