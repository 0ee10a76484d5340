"""How the settings of a run were tuned: the number of trials and the criterion. And the seeds reserved for tuning."""

from __future__ import annotations

import re

import msgspec

from worldbench.core.errors import InputError

TUNING_SEEDS = range(1_000_000, 1_001_000)
"""Seeds of training and evaluation that are reserved for tuning. No reported result may use one."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The tuning behind a run's settings.

    trials: how many settings were tried, the preset included.
    seeds: training seeds of each trial that was trained in full.
    criterion: the score that chose the settings.
    record: the first 16 hex digits of the SHA-256 of the `tuning.json` that holds every trial.
    halving: 1 if every trial was trained in full. Else all trials were first trained with 1 / halving of the steps, and
        only 1 / halving of them in full.
    """

    trials: int
    seeds: int
    criterion: str
    record: str
    halving: int = 1

    def __post_init__(self) -> None:
        if not all(0 < n < 1 << 63 for n in (self.trials, self.seeds, self.halving)):
            raise ValueError(
                f"a budget has at least 1 trial, 1 seed and a halving of 1, not {self.trials}, {self.seeds} and "
                f"{self.halving}"
            )

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads `16x2,excess_loss.kl,0123456789abcdef`: trials x seeds, criterion, record. With halving, `24/6x2,..`.
        Raises InputError for other text."""
        number = r"([1-9]\d{0,17})"
        found = re.fullmatch(rf"{number}(?:/{number})?x{number},([^\s,]+),([0-9a-f]{{16}})", text)
        if found is None:
            example = "16x2,excess_loss.kl,0123456789abcdef"
            raise InputError(
                f"{text!r} is not a tuning budget; `worldbench tune` writes one as TRIALSxSEEDS,CRITERION,RECORD, "
                f"for example {example}"
            )
        return cls(int(found[1]), int(found[3]), found[4], found[5], int(found[2] or 1))

    def __str__(self) -> str:
        return f"{self.cell},{self.criterion},{self.record}"

    @property
    def cell(self) -> str:
        """The text for a table: trials x seeds; with halving, trials / halving x seeds."""
        return f"{self.trials}{f'/{self.halving}' if self.halving > 1 else ''}x{self.seeds}"

    @property
    def words(self) -> str:
        """The number of trials and seeds, for a sentence."""
        said = f"{self.trials} trial{'s' * (self.trials != 1)} of {self.seeds} seed{'s' * (self.seeds != 1)}"
        if self.halving == 1:
            return said
        part = f"1/{self.halving}"
        return f"{said} (all of them with {part} of the steps on one seed, and the best {part} in full)"


def refuse_seed(name: str, seed: int | None) -> None:
    """Raises InputError for a seed that is reserved for tuning."""
    if seed is not None and seed in TUNING_SEEDS:
        first, last = TUNING_SEEDS[0], TUNING_SEEDS[-1]
        kept = f"reserved for tuning ({first} .. {last}) and never reported"
        raise InputError(f"{name} {seed} is {kept}; choose another")
