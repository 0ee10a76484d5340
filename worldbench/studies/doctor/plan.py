"""Which checks there are, in the order in which they are made."""

from __future__ import annotations

from worldbench.studies.doctor import card, machine, numbers, training
from worldbench.studies.doctor.checks import Check, Device


def checks_of(where: str) -> list[Check]:
    """The checks of the machine or of a device. The compiler comes last, because it takes the longest."""
    if where == "machine":
        return [*machine.checks(), *card.checks()]
    device: Device = "cuda" if where == "cuda" else "cpu"
    return [*numbers.checks(device), *training.checks(device), numbers.compiler(device)]
