"""Several processes that train together (data parallelism), started by torchrun.

Every process holds the same weights and computes the gradient of its rows of each step. The gradients are added up, and
every process does the same update. Process 0 decides when to save, and it alone writes files.

`Together` is what the trainer uses. The class itself stands for one process alone, where nothing is exchanged.
Numbers that the host knows (counts, decisions) go over gloo; gradients go over gloo on the CPU and over NCCL on CUDA.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from worldbench.core.errors import InputError, Interrupted, RunError
from worldbench.core.process import Launch
from worldbench.settings.train import TrainConfig
from worldbench.training.arithmetic import fingerprint
from worldbench.training.optimizer import kept

PATIENCE = timedelta(minutes=30)
"""The longest time that a process waits for another. Process 0 measures points of the learning curve meanwhile."""
TO_BE_HEARD = 20.0
"""Seconds for which a process that failed before training waits until process 0 has read the reason."""
POLL = 0.02
"""Seconds between two looks at what the other processes have written."""


class Lost(RunError):
    """Another process of the training ended, or does not answer. reason: why. saved: what of the training is saved."""

    def __init__(self, reason: str, saved: str = "what was saved before is intact") -> None:
        self.reason = reason
        super().__init__(f"{reason}; {saved}; the same command goes on from there")


class Agreed(NamedTuple):
    """What the processes decided after a step. save: save the state. stop: a process was asked to stop. lost: set
    instead if another process is gone."""

    save: bool
    stop: bool
    lost: Lost | None = None


class Together:
    """The processes of one training; here: this process alone."""

    rank, size = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum_numbers(self, values: Sequence[Any]) -> list[Any]:
        """The sum of each number over all processes."""
        return list(values)

    def sum_gradients(self, parameters: Sequence[nn.Parameter], terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace each gradient by its sum over all processes. Returns the sums of the terms of the loss."""
        return terms

    def share(self, step: int, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Give weights, moments and the number of steps done of process 0 to all. Returns the number of steps."""
        return step

    def agree(self, save: bool, stop: bool) -> Agreed:
        """Decide together after a step. save: process 0 wants to save. stop: this process was asked to stop."""
        return Agreed(save, stop)

    def same(self, module: nn.Module) -> bool:
        """Whether all processes hold the same weights."""
        return True

    def wait(self) -> None:
        """Wait until all processes are here."""


ALONE = Together()


class Several(Together):
    """One of several processes. Made by `join`; `close` ends the connection, also after an error."""

    def __init__(self, launch: Launch) -> None:
        self.rank, self.size, self.launch = launch.rank, launch.size, launch
        self._store: Any = None

    # Before training

    def join(self, config: TrainConfig, identity: str) -> None:
        """Connect with the other processes. config: with its device and its products resolved. identity: the training
        identity.

        Raises RunError in process 0, and Lost in the others, if the identities or the arithmetic of the processes
        differ, or if another process has failed.
        """
        import torch.distributed as dist

        if config.device == "cuda":
            _choose_card(self.launch)
        here = fingerprint(config.device, config.products, config.precision)
        facts = {"training identity": identity, "arithmetic": here}
        store = self._connected(PATIENCE)
        store.set(f"facts/{self.rank}", json.dumps(facts))
        if self.leads:
            for rank in range(1, self.size):
                self._compare(rank, facts)
            store.set("begin", "1")
        else:
            with self._alive():
                store.wait(["begin"], PATIENCE)
        backend = "cpu:gloo,cuda:nccl" if config.device == "cuda" else "gloo"
        with self._alive():
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=PATIENCE)

    def _compare(self, rank: int, facts: dict[str, str]) -> None:
        """Wait for the facts of a process and compare them. Raises RunError."""
        until = time.monotonic() + PATIENCE.total_seconds()
        while not self._store.check([f"facts/{rank}"]):
            self._raise_reasons()
            if time.monotonic() > until:
                raise RunError(f"process {rank} of {self.size} did not start within {PATIENCE}; run the command again")
            time.sleep(POLL)
        theirs = json.loads(self._store.get(f"facts/{rank}"))
        for name, value in facts.items():
            if theirs.get(name) != value:
                raise RunError(
                    f"the {name} is {theirs.get(name)} in process {rank} and {value} in process 0, so their weights "
                    "would differ; start all processes with the same command, versions and kind of machine"
                )

    def tell(self, sentence: str) -> None:
        """Let process 0 know why this process fails, which process 0 then prints. Does nothing if process 0 is gone."""
        import torch.distributed as dist

        with contextlib.suppress(RuntimeError, ValueError):
            began = dist.is_initialized()
            store = self._connected(timedelta(seconds=TO_BE_HEARD))
            store.set(f"failed/{self.rank}", sentence)
            if not began:
                store.wait(["heard"], timedelta(seconds=TO_BE_HEARD))

    def _raise_reasons(self) -> None:
        """Raises RunError with what a failed process wrote, if one did."""
        for rank in range(1, self.size):
            if self._store.check([f"failed/{rank}"]):
                self._store.set("heard", "1")
                raise RunError(f"process {rank} of {self.size} failed: {self._store.get(f'failed/{rank}').decode()}")

    def _connected(self, timeout: timedelta) -> Any:
        """The store through which processes find one another, which torchrun or process 0 keeps."""
        from torch.distributed.rendezvous import rendezvous

        if self._store is None:
            with self._alive():
                self._store = next(rendezvous("env://", self.rank, self.size, timeout=timeout))[0]
        return self._store

    def close(self) -> None:
        """End the connection. The other processes notice at once."""
        import torch.distributed as dist

        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()

    # Training

    def sum_numbers(self, values: Sequence[Any]) -> list[Any]:
        import torch.distributed as dist

        vector = torch.tensor([float(v) for v in values], dtype=torch.float64)
        with self._alive():
            dist.all_reduce(vector)
        return [int(v) if v.is_integer() else v for v in vector.tolist()]

    def sum_gradients(self, parameters: Sequence[nn.Parameter], terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """One sum over one flat tensor. A parameter that no process has a gradient of keeps none, so that the optimizer
        leaves it alone, as in one process."""
        import torch.distributed as dist

        present = self.sum_numbers([p.grad is not None for p in parameters])
        used = [p for p, count in zip(parameters, present) if count]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
        pieces = [*gradients, *terms.values()]
        flat = torch.cat([piece.flatten() for piece in pieces])
        with self._alive():
            dist.all_reduce(flat)
        summed = [part.view_as(piece) for part, piece in zip(flat.split([p.numel() for p in pieces]), pieces)]
        for p, gradient, total in zip(used, gradients, summed):
            p.grad = gradient.copy_(total)
        return dict(zip(terms, summed[len(used) :]))

    def share(self, step: int, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        import torch.distributed as dist

        names = kept(optimizer)
        state = optimizer.state
        (step,) = self.sum_numbers([step if self.leads else 0])
        flags = [bool(self.leads and key in state.get(p, {})) for p in names for key in names[p]]
        there = iter(self.sum_numbers(flags))
        tensors = list(module.state_dict().values())
        for p, keys in names.items():
            for key in keys:
                if next(there):
                    if not self.leads:
                        state[p][key] = (
                            torch.zeros((), device=_home(optimizer, p)) if key == "step" else p.new_zeros(p.shape)
                        )
                    tensors.append(state[p][key])
        with self._alive():
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)
        return step

    def agree(self, save: bool, stop: bool) -> Agreed:
        try:
            saves, stops = self.sum_numbers([save and self.leads, stop])
        except Lost as lost:
            return Agreed(True, False, lost)
        return Agreed(saves > 0, stops > 0)

    def same(self, module: nn.Module) -> bool:
        digest = hashlib.sha256()
        for tensor in module.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        mine = [int.from_bytes(digest.digest()[at : at + 4], "big") for at in range(0, 32, 4)]
        return self.sum_numbers(mine) == [self.size * value for value in mine]

    def wait(self) -> None:
        self.sum_numbers([0])

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """Errors of the connection become Lost, or RunError with the reason that the other process gave."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, RunError):
                raise
            raise Lost(self._why()) from error

    def _why(self) -> str:
        try:
            if self.leads and self._store is not None:
                self._raise_reasons()
        except RunError as reason:
            return str(reason)
        except RuntimeError:
            pass  # the store is gone as well
        return f"another of the {self.size} processes ended or does not answer"


def _home(optimizer: torch.optim.Optimizer, p: nn.Parameter) -> torch.device:
    """Where the optimizer keeps the number of steps of a parameter: fused optimizers on the device of the parameter."""
    fused = any(group.get("fused") and any(q is p for q in group["params"]) for group in optimizer.param_groups)
    return p.device if fused else torch.device("cpu")


def _choose_card(launch: Launch) -> None:
    """Use the graphics card of this process. Raises InputError if there are fewer cards than processes."""
    cards = torch.cuda.device_count()
    if launch.local_rank >= cards:
        raise InputError(
            f"process {launch.local_rank} of this machine needs a graphics card of its own, and torch sees {cards}; "
            f"start at most {cards} (torchrun --nproc-per-node {cards}), or use --train.device cpu"
        )
    torch.cuda.set_device(launch.local_rank)


@contextlib.contextmanager
def several(launch: Launch) -> Iterator[Several]:
    """The processes of a launch of several. If this process fails, process 0 gets the reason and prints it."""
    processes = Several(launch)
    try:
        yield processes
    except (Lost, Interrupted, KeyboardInterrupt):
        raise
    except BaseException as error:
        if not launch.leads:
            processes.tell(
                str(error) if isinstance(error, RunError | InputError) else f"{type(error).__name__}: {error}"
            )
        raise
    finally:
        processes.close()
