"""What training draws from the world, and how an objective is trained."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Literal

from worldbench.core.errors import InputError, nearest
from worldbench.core.options import EXECUTION, LATER

FREE = ("accumulate", "threads", "device", "checkpoints", "curve_documents")
"""Training options that do not change what is trained: settings that were tuned stay tuned under other values of
these."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What training draws from the world."""

    documents: int = 0
    """Size of the fixed training set, gone through in a new order each epoch (the `scarce` arm); 0: every document is
    new (`stream`)."""

    def __post_init__(self) -> None:
        if self.documents < 0:
            raise InputError(f"data.documents must be 0 (unlimited) or more, not {self.documents}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How any objective is trained."""

    steps: int = 3000
    """Optimizer steps."""
    batch: int = 128
    """Rows a step."""
    row_tokens: int = 0
    """Tokens of a row that documents are packed into (restarted positions, block-diagonal attention); 0: one document a
    row."""
    accumulate: int = 1
    """Parts that a batch is split into, one after the other: the same gradient in less memory."""
    optimizer: Literal["adamw", "sgd"] = field(default="adamw", metadata=LATER)
    """AdamW (betas .9, .95, eps 1e-8), or plain stochastic gradient descent without momentum."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """After the warm-up: constant, or falling to a hundredth of the peak at the last step."""
    warmup: int = 100
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """On every tensor of two or more dimensions; of AdamW beside the gradient, of sgd added to it."""
    clip: float = 1.0
    """Largest gradient norm; 0: none."""
    checkpoints: int = 12
    """Weights kept at this many log-spaced steps, each scored by held-out loss and exact excess loss (comparison at
    matched loss)."""
    curve_documents: int = 512
    """Held-out documents behind each point of the learning curve."""
    threads: int = 1
    """CPU threads: weights differ in their last bits between 1 and 2, so it is part of a run's identity."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes; `auto` is cuda where there is one."""
    log_every: int = field(default=10, metadata=EXECUTION)
    """Steps between training records in metrics.jsonl."""
    save_every: float = field(default=30.0, metadata=EXECUTION)
    """Seconds between saves of the whole training state, from which a killed run goes on."""

    def __post_init__(self) -> None:
        for name, low in {
            "steps": 1,
            "batch": 1,
            "accumulate": 1,
            "checkpoints": 1,
            "curve_documents": 1,
            "threads": 1,
            "log_every": 1,
            "row_tokens": 0,
            "warmup": 0,
            "weight_decay": 0,
            "clip": 0,
            "save_every": 0,
        }.items():
            if not getattr(self, name) >= low:
                raise InputError(f"train.{name} must be at least {low}, not {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise InputError(f"train.learning_rate must be above 0, not {self.learning_rate}")
        if self.accumulate > self.batch:
            raise InputError(f"train.accumulate ({self.accumulate}) cannot exceed train.batch ({self.batch})")
        if self.device == "mps":
            raise InputError("train.device 'mps' is refused: nobody has tested it yet; use cpu")
        for name in ("optimizer", "schedule", "device"):
            allowed = typing.get_args(typing.get_type_hints(TrainConfig)[name])
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"train.{name} must be one of {', '.join(allowed)}, not "
                    f"{getattr(self, name)!r}{nearest(getattr(self, name), allowed)}"
                )
