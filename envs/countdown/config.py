"""The options of the world of Countdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldbench.core.errors import InputError

MOST_NUMBERS = 6
"""Most numbers of a problem."""
MOST_RESULT = 100_000
"""Largest result of an equation that can be allowed: every number up to it is a word."""

MOST_PAUSES = 4096
"""Most bars between a problem and its solution."""


@dataclass(frozen=True, kw_only=True)
class CountdownConfig:
    """Problems of Countdown: numbers, a target, and equations."""

    numbers: int = 4
    """How many numbers a problem gives. Its solution has one equation fewer."""
    largest: int = 99
    """Largest number that is given; the smallest is 1."""
    least_target: int = 10
    """Smallest target."""
    most_target: int = 100
    """Largest target."""
    largest_result: int = 100
    """Largest result of an equation. The words are the whole numbers up to `largest_result` or `largest`, whichever is
    larger."""
    pauses: int = 8
    """Number of bars between a problem and its solution. A model can compute while it reads them."""
    held_out: Literal["targets", "problems"] = "targets"
    """What evaluation uses, and training never does. targets: some targets, as published; a model must reach numbers
    that no training document ends with. problems: some problems, each with its numbers in every order; training reaches
    every target with other numbers."""
    held_out_share: float = 0.1
    """Share of the targets, or of the problems, that is held out."""

    def __post_init__(self) -> None:
        if not 2 <= self.numbers <= MOST_NUMBERS:
            raise InputError(f"env.numbers must lie between 2 and {MOST_NUMBERS}, not {self.numbers}")
        if not 1 <= self.largest <= MOST_RESULT:
            raise InputError(f"env.largest must lie between 1 and {MOST_RESULT}, not {self.largest}")
        if not 0 <= self.least_target < self.most_target:
            raise InputError(
                f"env.least_target ({self.least_target}) must be at least 0 and below env.most_target "
                f"({self.most_target})"
            )
        if not self.most_target <= self.largest_result <= MOST_RESULT:
            raise InputError(
                f"env.largest_result must lie between env.most_target ({self.most_target}) and {MOST_RESULT}, not "
                f"{self.largest_result}"
            )
        if not 1 <= self.pauses <= MOST_PAUSES:
            raise InputError(f"env.pauses must lie between 1 and {MOST_PAUSES}, not {self.pauses}")
        if self.held_out not in ("targets", "problems"):
            raise InputError(f"env.held_out must be 'targets' or 'problems', not {self.held_out!r}")
        if not 0 < self.held_out_share < 1:
            raise InputError(f"env.held_out_share must be above 0 and below 1, not {self.held_out_share}")

    @property
    def highest(self) -> int:
        """The largest number that has a word."""
        return max(self.largest, self.largest_result)

    @property
    def equations(self) -> int:
        """Number of equations of a solution."""
        return self.numbers - 1
