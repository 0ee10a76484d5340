"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldbench.core.errors import InputError
from worldbench.core.registry import metrics as registered


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How a trained model is scored. None of it touches training."""

    metrics: tuple[str, ...] = ()
    """Which metrics, by name; all of them where none is named."""
    trials: int = 1000
    """Rides asked for per decoding, each from its own held-out prompt (or as many as there are)."""
    documents: int = 1000
    """Held-out documents for the teacher-forced metrics."""
    detours: tuple[float, ...] = (0.1, 0.5, 0.75)
    """Probabilities of a forced turn."""
    reconstruction_rides: int = 6400
    """Rides that the map is reconstructed from (or as many as there are prompts)."""
    reconstruction_decoding: Literal["greedy", "sampled"] = "greedy"
    """How these rides are decoded."""
    reconstruction_degree: int = 4
    """Most outgoing streets that reconstruction gives an intersection beyond the true map's own (Vafa 4, NextLat 8)."""
    reconstruction_distance: float = 804.672
    """Longest street that reconstruction may invent, in metres (half a mile)."""
    reconstruction_orders: int = 5
    """Orders of the rides that reconstruction is repeated in."""
    rank_tokens: int = 5000
    """Hidden states that the effective rank is taken over: the same number for every model."""
    seed: int = 0
    """Of the evaluation's own streams: which prompts, which draws. The same prompts for every model and training seed."""

    def __post_init__(self) -> None:
        for name in self.metrics:
            _ = registered[name]
        for name in ("trials", "documents", "reconstruction_rides", "reconstruction_degree", "reconstruction_orders", "rank_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"eval.{name} must be at least 1, not {getattr(self, name)}")
        for p in self.detours:
            if not 0 <= p <= 1:
                raise InputError(f"eval.detours are probabilities between 0 and 1, not {p}")
        if self.reconstruction_distance <= 0:
            raise InputError(f"eval.reconstruction_distance must be above 0 metres, not {self.reconstruction_distance}")
        if self.reconstruction_decoding not in ("greedy", "sampled"):
            raise InputError(f"eval.reconstruction_decoding must be 'greedy' or 'sampled', not {self.reconstruction_decoding!r}")
        if self.seed < 0:
            raise InputError(f"eval.seed must be 0 or more, not {self.seed}")
