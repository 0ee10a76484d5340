"""A record in a few words, for `worldbench validate`."""

from __future__ import annotations

from worldbench.core.text import counted
from worldbench.records import versions
from worldbench.records.bench import Bench
from worldbench.records.check import Check, Measurement
from worldbench.records.data import Data
from worldbench.records.decoding import Decoding
from worldbench.records.doctor import Doctor
from worldbench.records.folder import Arithmetic, Config, Manifest
from worldbench.records.forecast import Forecast
from worldbench.records.parts import Head, Record
from worldbench.records.reconstruction import Reconstruction
from worldbench.records.runs import Result, Trace
from worldbench.records.speedrun import Speedrun
from worldbench.records.tuning import TrialRun, Tuning


def summary(record: Record) -> str:
    """The kind of a record, what it is about, and which metrics this worldbench has in other versions."""
    found = versions.other(versions.of(record))
    others = f"; metrics in other versions: {', '.join(found)}" if found else ""
    return f"{record.kind}, {_about(record)}{others}"


def _about(record: Record) -> str:
    who = f"{record.model.name} in {record.world_name}" if isinstance(record, Head) else ""
    match record:
        case Result():
            return f"{who}, {counted(len(record.scores), 'metric')}"
        case Trace():
            return f"{who}, {counted(len(record.trace), 'checkpoint')}, {counted(len(record.scores), 'metric')}"
        case Decoding():
            return f"{who}, {counted(len(record.arms), 'way')} of drafting"
        case Config():
            return f"{record.model} in {record.world}, preset {record.preset}"
        case Manifest():
            return counted(len(record.sessions), "process", "processes")
        case Arithmetic():
            return record.device
        case Tuning():
            trials = counted(record.budget.trials + record.budget.further, "trial")
            return f"{record.model.name} in {record.world['world']}, {trials}"
        case TrialRun():
            return f"of {record.folder}" + (f", failed: {record.failed}" if record.failed else "")
        case Check():
            return f"{record.world['world']}, {counted(len(record.verdicts), 'statement')}"
        case Measurement():
            return f"of {record.subject}, {counted(len(record.scores), 'metric')}"
        case Reconstruction():
            return f"{counted(record.routes.count, 'route')} on {record.map.name}"
        case Bench():
            return counted(len(record.models), "model")
        case Forecast():
            return f"{record.model} in {record.world['world']}, {counted(record.measured.steps, 'step')} timed"
        case Data():
            return f"{record.world['world']}, {counted(record.train.documents, 'training document')}"
        case Speedrun():
            return f"{record.model} in {record.world['world']}, {record.recipe}, {counted(len(record.runs), 'run')}"
        case Doctor():
            return f"{counted(len(record.findings), 'check')}, {'ready' if record.ready else 'not ready'}"
    return "read"
