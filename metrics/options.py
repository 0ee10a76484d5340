"""Options that several metrics share."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldbench.core.errors import InputError
from worldbench.core.options import require_at_least, small


@dataclass(frozen=True, kw_only=True)
class StructureOptions:
    """How many pairs or prompts the metrics of structure take."""

    structure_trials: int = field(default=1000, metadata=small(200))
    """Number of trials of four metrics. A trial is a pair of prefixes (sequence_compression, sequence_distinction), a
    maze in two tellings (retelling), or a pair of mazes (minimal_pairs)."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "structure_trials")


@dataclass(frozen=True, kw_only=True)
class SuffixOptions(StructureOptions):
    """How suffixes are sampled, and when a model accepts one."""

    suffixes: int = 30
    """Number of suffixes that are sampled after the first prefix of a pair."""
    eps: float = 0.01
    """Acceptance threshold: the model accepts a token if it gives the token a probability above this value."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "suffixes")
        if not 0 < self.eps < 1:
            raise InputError(f"eval.eps must be above 0 and below 1, not {self.eps}")


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """What linear probes are fitted and scored on."""

    probe_documents: int = field(default=2000, metadata=small(600))
    """Number of held-out documents for the probes. Each probe is scored on data that it was not fitted on: the other
    half of the documents, or (belief_probe) the one prefix that was left out."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "probe_documents")
        if self.probe_documents < 2:
            raise InputError(
                "eval.probe_documents must be at least 2 (a probe is scored on documents that its fit leaves out), not "
                f"{self.probe_documents}"
            )
