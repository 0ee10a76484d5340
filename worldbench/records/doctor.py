"""`doctor.json`: what `worldbench doctor` found on one machine."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from worldbench.records.parts import Environment, Part, Record

State = Literal["good", "absent", "failed"]
"""good: it works. absent: something that is not needed is not there. failed: something that is needed does not work."""


class Finding(Part, frozen=True, kw_only=True):
    """What one check found.

    where: what was checked: the machine, or one device. text: the finding in a sentence, or the reason of a failure.
    remedy: what to do; empty where nothing is to do. values: numbers and names, for programs; their keys depend on the
    check.
    """

    where: Literal["machine", "cpu", "cuda"]
    name: str
    state: State
    text: str
    remedy: str = ""
    seconds: float
    values: dict[str, Any] = msgspec.field(default_factory=dict)


class Doctor(Record, frozen=True, kw_only=True):
    """All findings, in the order of the checks.

    environment: None where torch or numpy cannot be loaded. needed: the device that was asked for; None: whatever is
    there. ready: no check failed.
    """

    kind: ClassVar[str] = "doctor"
    marks: ClassVar[tuple[str, ...]] = ("doctor", "findings")
    remedy: ClassVar[str] = "delete the file and run worldbench doctor again"

    environment: Environment | None
    needed: Literal["cpu", "cuda"] | None = None
    findings: list[Finding]
    seconds: float
    ready: bool

    def of(self, name: str, where: str = "machine") -> Finding | None:
        """The finding of a check; None if the check was not made."""
        return next((f for f in self.findings if (f.where, f.name) == (where, name)), None)
