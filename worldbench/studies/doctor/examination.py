"""The examination of a machine: the checks of the machine itself, then those of each device."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from worldbench.records.doctor import Doctor, Finding
from worldbench.records.parts import Environment
from worldbench.studies.doctor.apart import findings
from worldbench.studies.doctor.checks import Check, Device
from worldbench.studies.doctor.plan import checks_of


def examine(needed: Device | None = None, report: Callable[[Finding], None] = lambda found: None) -> Doctor:
    """Make all checks, those of the machine first.

    needed: the device that must be there: without a CUDA device, "cuda" is a failure; with "cpu", no CUDA device is
    checked. None: every device that is there is checked. report: called with each finding at once.
    """
    started = time.monotonic()
    record = Doctor(environment=None, needed=needed, findings=[], seconds=0.0, ready=False)

    def make(plan: list[Check]) -> None:
        for found in findings(plan):
            if needed == "cuda" and (found.where, found.name, found.state) == ("machine", "cuda", "absent"):
                found = msgspec.structs.replace(found, state="failed")
            record.findings.append(found)
            report(found)

    make([*checks_of("machine"), *checks_of("cpu")])
    cuda, versions = record.of("cuda"), record.of("versions")
    if needed != "cpu" and cuda is not None and cuda.values.get("available"):
        make(checks_of("cuda"))
    here = {} if versions is None else versions.values
    return msgspec.structs.replace(
        record,
        environment=msgspec.convert(here["environment"], Environment) if "environment" in here else None,
        seconds=round(time.monotonic() - started, 2),
        ready=all(found.state != "failed" for found in record.findings),
    )
