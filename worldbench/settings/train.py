"""Options of training: what it draws from the world, and how an objective is trained."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field, replace
from typing import Literal

from worldbench.core.errors import InputError, not_among
from worldbench.core.options import EXECUTION, LATER, later, types_of

FREE = ("accumulate", "threads", "processes", "device", "products", "checkpoints", "curve_documents")
"""Training options that may be changed after tuning: the other settings still count as tuned. (`checkpoints` and
`curve_documents` only where they do not decide which weights are scored.)"""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What training draws from the world."""

    documents: int = 0
    """Number of documents in a fixed training set (the arm `scarce`). Each epoch uses them in a new order. 0: every
    document is new (the arm `stream`)."""

    def __post_init__(self) -> None:
        if self.documents < 0:
            raise InputError(f"data.documents must be 0 (unlimited) or more, not {self.documents}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How an objective is trained."""

    steps: int = 3000
    """Number of optimizer steps."""
    batch: int = 128
    """Number of rows per step."""
    row_tokens: int = 0
    """Length in tokens of a row into which several documents are packed. Each document keeps its own positions, and
    attends only to itself. 0: one document per row."""
    accumulate: int = 1
    """Number of parts of a batch. The parts are computed one after another, which gives the same gradient in less
    memory. 0: the smallest number with which a step fits the memory of the device; a run records this number."""
    optimizer: Literal["adamw", "sgd", "muon"] = field(default="adamw", metadata=LATER)
    """adamw: AdamW with betas 0.9 and 0.95, eps 1e-8. sgd: stochastic gradient descent without momentum. muon: Muon for
    the matrices inside the network, AdamW for embeddings, the head, norms and biases."""
    learning_rate: float = 2e-3
    """Peak learning rate. With the optimizer muon: the peak rate of the tensors that AdamW trains."""
    muon_rate: float = field(default=0.02, metadata=LATER)
    """Peak learning rate of the matrices that Muon trains. Both rates follow one schedule. Only for the optimizer
    muon."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """The learning rate after the warm-up. constant: it stays at the peak. cosine, linear: it falls to a hundredth of
    the peak at the last step."""
    warmup: int = 100
    """Number of steps of linear warm-up."""
    weight_decay: float = 0.01
    """Weight decay of tensors with two or more dimensions: decoupled for adamw and muon, added to the gradient for
    sgd."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: no limit."""
    checkpoints: int = 12
    """Number of log-spaced steps whose weights are kept. At each of these steps, the held-out loss and the exact excess
    loss are measured, for comparison at equal loss."""
    curve_documents: int = 512
    """Number of held-out documents for each point of the learning curve."""
    threads: int = 1
    """Number of CPU threads. The number is part of the identity of a run, because the last bits of the weights depend
    on it."""
    processes: int = field(default=1, metadata=LATER)
    """Number of processes that train together, each on a part of every batch. torchrun sets this number (see
    docs/processes.md). The number is part of the identity of a run, because the last bits of the weights depend on
    it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device that computes; `auto` is cuda if torch has a CUDA device."""
    products: Literal["auto", "torch", "onednn"] = field(default="auto", metadata=later("torch"))
    """What computes the matrix products of the network's linear layers in training. torch: F.linear. onednn: oneDNN,
    only on the CPU. auto: onednn on the CPU of an AMD processor, else torch. The results of the two differ in the last
    digits. Scores and the learning curve are always computed with torch."""
    precision: Literal["fp32", "bf16", "tf32"] = field(default="fp32", metadata=LATER)
    """The precision of matrix products and attention in training. bf16: the inputs of these operations are rounded to
    bf16 (autocast); weights, losses and the optimizer's state stay in fp32. tf32: only for cuda. Scores and the
    learning curve are always computed in fp32."""
    compile: bool = field(default=False, metadata=LATER)
    """Compile the blocks of the network by torch.compile, for training alone. Compiling takes time before the first
    step, and needs a C++ compiler on the CPU, or Triton on cuda."""
    scored_step: Literal["auto", "last", "least_loss"] = field(default="auto", metadata=later("last"))
    """The step whose weights are scored. last: the last step. least_loss: of the steps whose weights are kept, the step
    with the least loss on held-out documents drawn for this choice alone. auto: least_loss if documents repeat
    (data.documents above 0), else last."""
    log_every: int = field(default=10, metadata=EXECUTION)
    """Number of steps between the training losses in metrics.jsonl."""
    log: Literal["none", "tensorboard", "wandb"] = field(default="none", metadata=EXECUTION)
    """Also send training losses, learning curve and final scores to TensorBoard or Weights & Biases, in the folder of
    the run. Each needs its package (extras `tensorboard`, `wandb`)."""
    save_every: float = field(default=30.0, metadata=EXECUTION)
    """Seconds between saves of the whole training state, from which a killed run continues."""

    def __post_init__(self) -> None:
        for name, low in {
            "steps": 1,
            "batch": 1,
            "checkpoints": 1,
            "curve_documents": 1,
            "threads": 1,
            "processes": 1,
            "log_every": 1,
            "accumulate": 0,
            "row_tokens": 0,
            "warmup": 0,
            "weight_decay": 0,
            "clip": 0,
            "save_every": 0,
        }.items():
            if not getattr(self, name) >= low:
                raise InputError(f"train.{name} must be at least {low}, not {getattr(self, name)}")
        for name in ("learning_rate", "muon_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"train.{name} must be above 0, not {getattr(self, name)}")
        if self.accumulate > self.batch:
            raise InputError(f"train.accumulate ({self.accumulate}) cannot exceed train.batch ({self.batch})")
        if (parts := max(self.accumulate, 1) * self.processes) > self.batch:
            raise InputError(
                f"train.batch {self.batch} has too few rows for {parts} parts (train.processes {self.processes}, each "
                f"with train.accumulate {self.accumulate}); set --train.batch to {parts} or more"
            )
        if self.device == "mps":
            raise InputError("train.device 'mps' is refused: nobody has tested it yet; use cpu")
        for name in ("optimizer", "schedule", "device", "products", "precision", "scored_step", "log"):
            allowed = typing.get_args(types_of(TrainConfig)[name])
            if getattr(self, name) not in allowed:
                raise not_among(f"train.{name}", getattr(self, name), allowed)
        if self.products == "onednn" and self.device == "cuda":
            raise InputError("train.products onednn is for the CPU, and train.device is cuda; use train.products torch")


def chosen_step(train: TrainConfig, data: DataConfig) -> TrainConfig:
    """The options of training with `scored_step` decided where it is `auto`."""
    if train.scored_step != "auto":
        return train
    return replace(train, scored_step="least_loss" if data.documents else "last")


def used_rates(train: TrainConfig, preset: TrainConfig) -> TrainConfig:
    """The options, with `muon_rate` at its default where no Muon trains. preset: the options before recipe and command
    line, which may set a rate for Muon although another optimizer is chosen afterwards.

    Raises InputError if a recipe or the command line sets a rate that nothing uses.
    """
    default = TrainConfig.muon_rate
    if train.optimizer == "muon":
        return train
    if train.muon_rate not in (preset.muon_rate, default):
        raise InputError(
            f"train.muon_rate {train.muon_rate:g} has no effect with train.optimizer {train.optimizer}; leave it at "
            f"{default:g}, or set train.optimizer muon"
        )
    return replace(train, muon_rate=default)
