"""The cells of a sweep: the runs of its jobs and of their references, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.records.finding import result_path
from worldbench.runs.display import Display
from worldbench.runs.one_run import nothing_left
from worldbench.runs.prepared import Prepared, prepare, prepare_beside
from worldbench.runs.references import references
from worldbench.settings.sweep_jobs import SweepJob


@dataclass(frozen=True)
class SweepCell:
    """One run of a sweep. name: unique in the sweep. after: the cell that trains the weights, where this cell scores
    them under another evaluation. reference: a run that a metric names as floor or ceiling, and no grid. parts: the
    files of the sweep whose tables show it."""

    name: str
    prepared: Prepared
    out: Path
    after: str | None = None
    reference: bool = False
    parts: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        return self.prepared.folder(self.out)

    @property
    def result(self) -> Path:
        return result_path(self.folder, self.prepared.identity)

    def done(self) -> bool:
        """Whether nothing is left to do. Raises RunError if the result file belongs to another run."""
        return nothing_left(self.prepared, self.folder)


def cells_of(jobs: Iterable[SweepJob], out: Path, display: Display) -> list[SweepCell]:
    """The cells of jobs, in their order; the references of a job come before the first job that names them. Jobs with
    the same identities are one cell. Each world is loaded once.

    Raises InputError for a job that cannot be run, before anything is run.
    """
    loaded: dict[str, Prepared] = {}
    cells: dict[tuple[str, str], SweepCell] = {}
    first_in: dict[str, str] = {}
    said: set[str] = set()

    def add(prepared: Prepared, reference: bool, part: str) -> None:
        folder, key = prepared.folder(out).name, prepared.identity.file_key
        known = cells.get((folder, key))
        if known is None:
            name = folder if folder not in first_in else f"{folder} {key}"
            known = cells[folder, key] = SweepCell(name, prepared, out, first_in.get(folder), reference)
            first_in.setdefault(folder, name)
        known.parts.add(part)

    for one in jobs:
        job = one.job
        where = repr((job.world, job.groups.get("env"), sorted(plugin.sha256 for plugin in job.plugins)))
        try:
            if where in loaded:
                prepared = prepare_beside(loaded[where], job, display)
            else:
                loaded[where] = prepared = prepare(job, display)
        except InputError as error:
            raise InputError(f"the sweep cannot run {job.model} in {job.world}: {error}") from error
        beside = references(prepared)
        for name, reason in beside.impossible.items():
            if (line := f"no {name} beside the scores in {job.world}: {reason}") not in said:
                said.add(line)
                display.say(line)
        for run in beside.runs.values():
            add(run, True, one.part)
        add(prepared, False, one.part)
    return list(cells.values())
