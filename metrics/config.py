"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldbench.core.errors import InputError, nearest
from worldbench.core.registry import metrics as registered

KINDS = ("random", "adversarial", "second")


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """How a trained model is scored. None of it touches training."""

    metrics: tuple[str, ...] = ()
    """Which metrics, by name; all of them where none is named."""
    trials: int = 1000
    """Rides asked for per decoding, each from its own held-out prompt (or as many as there are)."""
    documents: int = 1000
    """Held-out documents for the teacher-forced metrics."""
    detours: tuple[float, ...] = (0.01, 0.1, 0.5, 0.75)
    """Probabilities of a forced turn."""
    detour_kinds: tuple[str, ...] = ("random", "adversarial", "second")
    """Which turn the referee forces: a random other legal one, the model's least likely legal one, or its most likely
    other legal one."""
    structure_trials: int = 1000
    """Pairs of prefixes for sequence compression, and for sequence distinction; prompts told again, and minimal
    pairs."""
    shift_trials: int = 300
    """Prompts of each shift out of distribution."""
    suffixes: int = 30
    """Suffixes sampled after the first prefix of a pair."""
    eps: float = 0.01
    """A token is accepted if its probability is above this."""
    recall_depth: int = 5
    """Longest boundary suffix whose recall is asked for, in tokens."""
    pairs: int = 500
    """Pairs of prefixes in each stratum of split fidelity and merge."""
    suffix_tokens: int = 5
    """Longest suffix of split fidelity and merge."""
    suffix_limit: int = 1024
    """A pair's suffixes are enumerated up to this many, else this many are sampled."""
    probe_documents: int = 2000
    """Held-out documents that the probes are fitted (first half) and scored (second half) on."""
    probe_features: int = 0
    """Random Fourier features of a second, nonlinear belief probe, its controls beside it; 0: the affine one alone."""
    dynamics_documents: int = 2000
    """Held-out documents whose hidden states the post-hoc dynamics probe is trained on."""
    dynamics_steps: int = 1000
    """Optimizer steps of the post-hoc dynamics probe."""
    horizon: int = 20
    """Steps that a dynamics is rolled out without looking."""
    swap_pairs: int = 300
    """Pairs of prefixes whose hidden states are swapped."""
    swap_tokens: int = 5
    """Tokens continued after a swap."""
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
    reconstruction_roll_back: bool = True
    """A ride that cannot be explained leaves no street behind; the released code of Vafa et al. keeps what it had
    drawn."""
    rank_tokens: int = 5000
    """Hidden states that the effective rank is taken over: the same number for every model."""
    seed: int = 0
    """Of the evaluation's own streams: which prompts, which draws. The same prompts for every model and training
    seed."""

    def __post_init__(self) -> None:
        for name in self.metrics:
            _ = registered[name]
        for name in (
            "trials",
            "documents",
            "structure_trials",
            "shift_trials",
            "suffixes",
            "recall_depth",
            "pairs",
            "suffix_tokens",
            "suffix_limit",
            "probe_documents",
            "dynamics_documents",
            "dynamics_steps",
            "horizon",
            "swap_pairs",
            "swap_tokens",
            "reconstruction_rides",
            "reconstruction_degree",
            "reconstruction_orders",
            "rank_tokens",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"eval.{name} must be at least 1, not {getattr(self, name)}")
        if self.probe_documents < 2:
            raise InputError(
                f"eval.probe_documents must be at least 2, one to fit on and one to score, not {self.probe_documents}"
            )
        if self.probe_features < 0:
            raise InputError(f"eval.probe_features must be 0 (no nonlinear probe) or more, not {self.probe_features}")
        if not 0 < self.eps < 1:
            raise InputError(f"eval.eps is a probability between 0 and 1, not {self.eps}")
        for kind in self.detour_kinds:
            if kind not in KINDS:
                raise InputError(f"eval.detour_kinds are of {', '.join(KINDS)}, not {kind!r}{nearest(kind, KINDS)}")
        for p in self.detours:
            if not 0 <= p <= 1:
                raise InputError(f"eval.detours are probabilities between 0 and 1, not {p}")
        if self.reconstruction_distance <= 0:
            raise InputError(f"eval.reconstruction_distance must be above 0 metres, not {self.reconstruction_distance}")
        if self.reconstruction_decoding not in ("greedy", "sampled"):
            raise InputError(
                f"eval.reconstruction_decoding must be 'greedy' or 'sampled', not {self.reconstruction_decoding!r}"
            )
        if self.seed < 0:
            raise InputError(f"eval.seed must be 0 or more, not {self.seed}")
