"""What a computing process must set before torch is loaded, and which of several processes it is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from worldbench.core.errors import InputError


def set_environment() -> None:
    """Set two environment variables that libraries read when they are loaded, where the user has not set them.

    GOMP_SPINCOUNT: the idle threads of libgomp spin by default, which makes two threads four to twenty times slower
    beside another busy process. CUBLAS_WORKSPACE_CONFIG: without it some CUDA operators do not repeat to the bit.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class Launch:
    """How this process was started. rank: its number, from 0, among all `size` processes of one training. local_rank:
    its number among those of this machine, which is also the number of its graphics card.

    Process 0 writes the files and prints; the others only train.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @classmethod
    def here(cls) -> Launch:
        """From the environment variables that torchrun sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT.

        Without RANK and WORLD_SIZE, or with a WORLD_SIZE of 1, this is the only process. Raises InputError for values
        that cannot be.
        """
        if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
            return cls()
        size = _number("WORLD_SIZE", 1)
        if size == 1:
            return cls()
        rank = _number("RANK", 0)
        if rank >= size:
            raise InputError(
                f"RANK is {rank}, and must be 0 to {size - 1} (WORLD_SIZE {size}); start the processes by torchrun"
            )
        if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
            raise InputError(
                f"WORLD_SIZE is {size}, but {' and '.join(missing)} must be set too; start the processes by torchrun "
                "--nproc-per-node N -m worldbench run .., or unset WORLD_SIZE to use one process"
            )
        return cls(rank, size, _number("LOCAL_RANK", 0) if "LOCAL_RANK" in os.environ else rank)


def _number(name: str, low: int) -> int:
    text = os.environ[name]
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= low):
        raise InputError(f"{name} must be a whole number from {low}, not {text!r}; start by torchrun, or unset {name}")
    return int(text)
