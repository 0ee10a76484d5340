"""How the settings of a run were tuned: the number of trials and the criterion. And the seeds reserved for tuning."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from worldbench.core.errors import InputError

TUNING_SEEDS = range(1_000_000, 1_001_000)
"""Seeds of training and evaluation that are reserved for tuning. No reported result may use one."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The tuning behind a run's settings.

    trials: how many settings the first search tried, the preset included.
    seeds: training seeds of each trial that was trained in full.
    criterion: the score that chose the settings.
    record: the first 16 hex digits of the SHA-256 of the `tuning.json` that holds every trial.
    halving: 1 if every trial was trained in full. Else all trials were first trained with 1 / halving of the steps, and
        only 1 / halving of them in full.
    further: how many trials near the best of them followed, trained in full.
    """

    trials: int
    seeds: int
    criterion: str
    record: str
    halving: int = 1
    further: int = 0

    def __post_init__(self) -> None:
        if not all(0 < n < 1 << 63 for n in (self.trials, self.seeds, self.halving, self.further + 1)):
            raise ValueError(
                f"a budget has at least 1 trial, 1 seed, a halving of 1 and 0 further trials, not {self.trials}, "
                f"{self.seeds}, {self.halving} and {self.further}"
            )

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads `16x2,excess_loss.kl,0123456789abcdef`: trials x seeds, criterion, record. With halving, `24/6x2,..`;
        with further trials, `24/6x2+4,..`. Raises InputError for other text."""
        number = r"([1-9]\d{0,17})"
        found = re.fullmatch(rf"{number}(?:/{number})?x{number}(?:\+{number})?,([^\s,]+),([0-9a-f]{{16}})", text)
        if found is None:
            example = "16x2,excess_loss.kl,0123456789abcdef"
            raise InputError(
                f"{text!r} is not a tuning budget; `worldbench tune` writes one as TRIALSxSEEDS,CRITERION,RECORD, "
                f"for example {example}, or 24/6x2+4,.. for a search with --halving 6 and --further 4"
            )
        return cls(int(found[1]), int(found[3]), found[5], found[6], int(found[2] or 1), int(found[4] or 0))

    def __str__(self) -> str:
        return f"{self.cell},{self.criterion},{self.record}"

    @property
    def parts(self) -> dict[str, Any]:
        """The fields, for the name of a run folder. `further` is left out where it is 0: folders from before it existed
        keep their names."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if name != "further" or value}

    @property
    def settings(self) -> int:
        """How many settings were tried in all."""
        return self.trials + self.further

    @property
    def cell(self) -> str:
        """The text for a table: trials x seeds; with halving, trials / halving x seeds; + further trials."""
        halving = f"/{self.halving}" if self.halving > 1 else ""
        return f"{self.trials}{halving}x{self.seeds}{f'+{self.further}' if self.further else ''}"

    @property
    def words(self) -> str:
        """The number of trials and seeds, for a sentence."""
        said = f"{self.trials} trial{'s' * (self.trials != 1)} of {self.seeds} seed{'s' * (self.seeds != 1)}"
        how = []
        if self.halving > 1:
            part = f"1/{self.halving}"
            how.append(f"all of them with {part} of the steps on one seed, and the best {part} in full")
        if self.further:
            how.append(f"and {self.further} further near the best one, in full")
        return f"{said} ({', '.join(how)})" if how else said


def refuse_seed(name: str, seed: int | None) -> None:
    """Raises InputError for a seed that is reserved for tuning."""
    if seed is not None and seed in TUNING_SEEDS:
        first, last = TUNING_SEEDS[0], TUNING_SEEDS[-1]
        kept = f"reserved for tuning ({first} .. {last}) and never reported"
        raise InputError(f"{name} {seed} is {kept}; choose another")
