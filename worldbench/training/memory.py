"""The memory of a training step, worked out from shapes, and the number of parts of a batch that fit a device.

A step runs once with tensors that have shapes and no numbers (`FakeTensorMode`). Every tensor that an operator creates
is counted from its creation until nothing holds it. So the count follows the objective, whatever its loss does, and
takes neither the memory nor the time of the step.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from worldbench.baselines.attention import as_on_a_card
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.objective import Objective
from worldbench.baselines.static_shapes import without_numbers
from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.core.world import World
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.training.optimizer import kept, make_optimizer
from worldbench.training.precision import computing
from worldbench.training.stream import TrainingStream

USABLE = 0.85
"""Share of a device's memory that a step may take. The rest is for the context of CUDA, gaps between blocks, the batch
of the next step, and batches with more scored positions than the one that was counted."""
FEW, MORE = 8, 16
"""Numbers of rows that are counted. The activations of more rows lie on a line through these two, up to 2%."""
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files in which Linux states the memory limit of this process's group (version 2, version 1)."""


class Live(TorchDispatchMode):
    """Counts the bytes of the storages that operators create inside it. now: those still held. most: the most that were
    held at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self._see(x.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key)

    def leave_out(self, x: Tensor) -> None:
        """No longer count the storage of x."""
        key = x.untyped_storage()._cdata
        self.now -= self._sizes.get(key, 0)
        self._sizes[key] = 0

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def activations(objective: Objective, batch: Batch, precision: str = "fp32", device: str = "cpu") -> int:
    """Bytes of activations: the most that a step holds at one time, beside weights and gradients.

    batch: on the CPU. The objective does not change. device: with cuda, attention is that of a graphics card; the other
    operators are those of the CPU, which keep the same tensors.
    """
    stated = objective.stated_activations(batch)
    if stated is not None:
        return stated
    with as_on_a_card() if device == "cuda" else contextlib.nullcontext():
        return _counted(objective, batch, precision)


def _counted(objective: Objective, batch: Batch, precision: str) -> int:
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode, live = FakeTensorMode(), Live()

    def empty(x: Tensor) -> Tensor:
        return mode.from_tensor(x.detach())

    def done(p: Tensor) -> None:
        assert p.grad is not None
        live.leave_out(p.grad)

    totals = objective.prepare(batch)
    shadow, rows = without_numbers(objective, empty), batch.each(empty)
    for module in shadow.modules():  # tables that a module keeps beside its buffers, such as rotary factors
        for name, x in [(k, v) for k, v in vars(module).items() if isinstance(v, Tensor)]:
            setattr(module, name, empty(x))
    for p in shadow.parameters():
        p.register_post_accumulate_grad_hook(done)
    with mode, computing(precision, "cpu"), live:
        shadow.backward(rows, totals)
    return live.most


def weights_and_state(objective: Objective, optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the weights, their gradients, and what the optimizer keeps for them."""
    state = sum(p.nbytes * sum(name != "step" for name in names) for p, names in kept(optimizer).items())
    return state + 2 * sum(p.nbytes for p in objective.parameters())


def device_memory(device: str) -> int:
    """Bytes of memory of a device, `cpu` or `cuda`, in all. For the CPU: of the machine, or of the limit set to this
    process's group."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    if not hasattr(os, "sysconf"):
        raise InputError("this system does not say how much memory it has; give a number to --train.accumulate")
    stated = [Path(name).read_text(encoding="ascii").strip() for name in LIMITS if Path(name).exists()]
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *(int(x) for x in stated if x.isdigit())])


@dataclass(frozen=True)
class Fit:
    """A number of parts of a batch, and why. rows: of the largest part. activations: bytes of one part. fixed: bytes of
    weights, gradients and the optimizer's state. memory: bytes of the device."""

    batch: int
    parts: int
    rows: int
    activations: int
    fixed: int
    memory: int

    def line(self, device: str) -> str:
        """One sentence for the user."""
        parts = "one part" if self.parts == 1 else f"{self.parts} parts of {self.rows}"
        return (
            f"{counted(self.batch, 'row')} in {parts}: {_gb(self.activations)} of activations each, {_gb(self.fixed)} "
            f"of weights, gradients and optimizer; {device} has {_gb(self.memory)}, of which {USABLE:.0%} are used"
        )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def smallest_parts(batch: int, fixed: int, memory: int, of_rows: Callable[[int], int]) -> Fit:
    """The smallest number of parts of a batch with which a step fits the memory.

    of_rows: number of rows -> bytes of activations, which grow with the rows. Raises InputError if one row is too much.
    """
    room, of = USABLE * memory - fixed, functools.cache(of_rows)

    def rows(parts: int) -> int:
        return -(-batch // parts)

    parts = 1
    if of(batch) > room:
        one = of(1)
        if one > room:
            raise InputError(
                f"one row takes {_gb(one)} of activations beside {_gb(fixed)} of weights, gradients and optimizer, and "
                f"only {USABLE:.0%} of {_gb(memory)} can be used; choose a smaller model or shorter rows, or give a "
                "number to --train.accumulate to try it anyway"
            )
        fitting = 1 + (room - one) * (batch - 1) / (of(batch) - one)
        parts = min(batch, max(2, math.ceil(batch / fitting)))
        while of(rows(parts)) > room:
            parts += 1
        while parts > 2 and of(rows(parts - 1)) <= room:
            parts -= 1
    return Fit(batch, parts, rows(parts), of(rows(parts)), fixed, memory)


def automatic_parts(world: World, objective: Objective, data: DataConfig, train: TrainConfig, seed: int) -> Fit:
    """`smallest_parts` for the first step of a training, on the whole memory of its device. The same machine always
    gives the same number.

    Of several processes, each has its part of the rows; and of the memory, where they share the CPU.
    """
    stream = TrainingStream(world, data, train, seed)
    whole = pack(stream.documents(0), train.batch, stream.width)
    fixed = weights_and_state(objective, make_optimizer(objective, train))
    if train.processes > 1:  # they add up their gradients in one tensor
        fixed += sum(p.nbytes for p in objective.parameters())

    @functools.cache
    def counted_of(rows: int) -> int:
        return activations(objective, whole.rows(0, rows), train.precision, train.device)

    def of_rows(rows: int) -> int:
        if rows <= MORE:
            return counted_of(rows)
        few, more = counted_of(FEW), counted_of(MORE)
        return round(more + (more - few) * (rows - MORE) / (MORE - FEW))

    memory = device_memory(train.device) // (train.processes if train.device == "cpu" else 1)
    return smallest_parts(-(-train.batch // train.processes), fixed, memory, of_rows)
