"""A check of one thing, and what it found. A check that fails is one finding with its reason; the others go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from worldbench.core.errors import WorldbenchError
from worldbench.core.text import visible
from worldbench.records.doctor import Finding, State

Device = Literal["cpu", "cuda"]
Where = Literal["machine", "cpu", "cuda"]
LIMIT = 60.0
"""Seconds after which a check counts as hanging."""
LONGEST = 300
"""Most characters of the reason of a failure."""
REPORT = "the reason is an error of the check itself: please report it with this line"


@dataclass(frozen=True)
class Outcome:
    """What a check found. The fields are those of `records.doctor.Finding`."""

    text: str
    state: State = "good"
    remedy: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One check. work: returns what it found, and may raise anything. remedy: what to do if it raises. optional: what
    it checks is not needed, so that a failure counts as absent. limit: seconds after which it counts as hanging."""

    where: Where
    name: str
    work: Callable[[], Outcome]
    remedy: str = REPORT
    optional: bool = False
    limit: float = LIMIT


def made(check: Check) -> Finding:
    """The finding of a check. Whatever it raises becomes the reason of a failure."""
    started = time.monotonic()
    try:
        found = check.work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a broken library raises, SystemExit included
        return failure(check, reason_of(error), time.monotonic() - started)
    return finding(check, found, time.monotonic() - started)


def failure(check: Check, text: str, seconds: float) -> Finding:
    """The finding of a check that failed. text: the reason."""
    return finding(check, Outcome(text, "absent" if check.optional else "failed", check.remedy), seconds)


def finding(check: Check, found: Outcome, seconds: float) -> Finding:
    return Finding(
        where=check.where, name=check.name, state=found.state, text=visible(found.text, LONGEST),
        remedy=visible(found.remedy, LONGEST), seconds=round(seconds, 3), values=found.values,
    )  # fmt: skip


def reason_of(error: BaseException) -> str:
    """The first line of an error that says something, after the type of the error; a sentence of worldbench as it
    is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = type(error).__name__
    if isinstance(error, WorldbenchError):
        return str(error)
    return f"{kind}: {lines[0]}" if lines else kind
