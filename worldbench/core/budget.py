"""How the settings of a run were tuned: the number of trials and the criterion. And the seeds reserved for tuning."""

from __future__ import annotations

import re

import msgspec

from worldbench.core.errors import InputError

TUNING_SEEDS = range(1_000_000, 1_001_000)
"""Seeds of training and evaluation that are reserved for tuning. No reported result may use one."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tuning behind a run's settings.

    trials: how many settings were tried, the preset included.
    seeds: training seeds of each trial.
    criterion: the score that chose the settings.
    record: the first 16 hex digits of the SHA-256 of the `tuning.json` that holds every trial.
    """

    trials: int
    seeds: int
    criterion: str
    record: str

    def __post_init__(self) -> None:
        if not (0 < self.trials < 1 << 63 and 0 < self.seeds < 1 << 63):
            raise ValueError(f"a budget has at least 1 trial and 1 seed, not {self.trials} and {self.seeds}")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads `16x2,excess_loss.kl,0123456789abcdef`: trials x seeds, criterion, record. Raises InputError for
        other text."""
        found = re.fullmatch(r"([1-9]\d{0,17})x([1-9]\d{0,17}),([^\s,]+),([0-9a-f]{16})", text)
        if found is None:
            example = "16x2,excess_loss.kl,0123456789abcdef"
            raise InputError(
                f"{text!r} is not a tuning budget; `worldbench tune` writes one as TRIALSxSEEDS,CRITERION,RECORD, "
                f"for example {example}"
            )
        return cls(int(found[1]), int(found[2]), found[3], found[4])

    def __str__(self) -> str:
        return f"{self.cell},{self.criterion},{self.record}"

    @property
    def cell(self) -> str:
        """The text for a table: trials x seeds."""
        return f"{self.trials}x{self.seeds}"


def refuse_seed(name: str, seed: int | None) -> None:
    """Raises InputError for a seed that is reserved for tuning."""
    if seed is not None and seed in TUNING_SEEDS:
        first, last = TUNING_SEEDS[0], TUNING_SEEDS[-1]
        kept = f"reserved for tuning ({first} .. {last}) and never reported"
        raise InputError(f"{name} {seed} is {kept}; choose another")
