"""Counts the operations of a training step in its matrix products and its attention, as they are dispatched.

An operation is one multiplication or one addition. So an [n, k] by [k, m] product has 2 n k m operations. Attention
counts as fused kernels compute it: 2 products forward and 5 backward (the scores are computed twice), over all T x T
cells, because masked cells are multiplied too. Norms, softmax and activations are not counted.
`torch.utils.flop_counter` counts. This file adds the operators that it does not know: attention, LSTM layers and
oneDNN's products on the CPU, and cuDNN's GRU and LSTM layers on CUDA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
    shape_wrapper,
)

from worldbench.baselines.batch import Batch
from worldbench.baselines.objective import Objective
from worldbench.baselines.products import OPERATOR

Sizes = tuple[int, ...]


def _attention(query: Sizes, key: Sizes, value: Sizes, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_back(gradient: Sizes, query: Sizes, key: Sizes, value: Sizes, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


def _recurrent(x: Sizes, of_input: Sizes, of_state: Sizes, *_: Any, **__: Any) -> int:
    """A layer over its whole sequence: products of the inputs [.., .., inputs] with [gates, inputs], and of as many
    hidden states with [gates, width]."""
    return 2 * x[0] * x[1] * (of_input[0] * of_input[1] + of_state[0] * of_state[1])


def _recurrent_back(x: Sizes, of_input: Sizes, of_state: Sizes, *_: Any, **__: Any) -> int:
    return 2 * _recurrent(x, of_input, of_state)


def _cudnn(x: Sizes, weights: list[Sizes], *_: Any, **__: Any) -> int:
    """All layers of a recurrent network: for each of the inputs [.., inputs], a product with each matrix of a layer.
    Two matrices belong to a layer, for the input and for the state; the other weights are biases."""
    return 2 * math.prod(x[:-1]) * sum(math.prod(w) for w in weights if len(w) == 2)


def _cudnn_back(x: Sizes, weights: list[Sizes], *_: Any, **__: Any) -> int:
    return 2 * _cudnn(x, weights)


def _product(x: Sizes, weight: Sizes, *_: Any, **__: Any) -> int:
    return 2 * math.prod(x) * weight[0]


def _unknown_to_torch() -> dict[Any, Any]:
    aten = torch.ops.aten
    return {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_back,
        aten.mkldnn_rnn_layer: _recurrent,
        aten.mkldnn_rnn_layer_backward: _recurrent_back,
        aten._cudnn_rnn: _cudnn,
        aten._cudnn_rnn_backward: _cudnn_back,
        OPERATOR: _product,
    }


@dataclass(frozen=True)
class Operations:
    """Operations of one training step without the optimizer.

    by_kind: by the name of the dispatched operator. largest: elements of the largest tensor that an operator
    created.
    """

    by_kind: dict[str, int]
    largest: int

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


class _Largest(TorchDispatchMode):
    """Records the largest storage of a tensor that an operator returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(x, torch.Tensor):
                self.elements = max(self.elements, x.untyped_storage().nbytes() // x.element_size())
        return out


class CountedOperators(TorchDispatchMode):
    """Counts the operations of the operators that are dispatched inside it, as `count_operations` does. Much faster
    than torch's counter, because it neither follows modules nor takes operators apart. It serves tensors without
    numbers too."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self._of = {**flop_registry, **{k: shape_wrapper(count) for k, count in _unknown_to_torch().items()}}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := self._of.get(func._overloadpacket)) is not None:
            self.total += int(count(*args, **(kwargs or {}), out_val=out))
        return out


def count_operations(objective: Objective, batch: Batch) -> Operations:
    """Runs one step (forward and backward) and counts its operations. The gradients are discarded."""
    largest = _Largest()
    with FlopCounterMode(display=False, custom_mapping=_unknown_to_torch()) as counter, largest:
        objective.backward(batch, objective.counts(batch))
    for p in objective.parameters():
        p.grad = None
    return Operations(
        {str(k): int(v) for k, v in counter.get_flop_counts().get("Global", {}).items()}, largest.elements
    )
