"""The cells of a sweep: the runs of its jobs and of their references, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from worldbench.core.budget import TUNING_SEEDS
from worldbench.core.errors import InputError
from worldbench.core.files import clean
from worldbench.records.finding import result_path
from worldbench.runs.config_file import saved_config
from worldbench.runs.display import Display
from worldbench.runs.one_run import nothing_left
from worldbench.runs.prepared import Prepared, identify, prepare, prepare_beside
from worldbench.runs.references import references
from worldbench.runs.weights import finished
from worldbench.settings.sweep_jobs import SweepJob


@dataclass(frozen=True)
class SweepCell:
    """One run of a sweep. name: unique in the sweep. after: the cell that trains the weights, where this cell scores
    them under another evaluation. reference: a run that a metric names as floor or ceiling, and no grid. parts: the
    files of the sweep whose tables show it. undecided: in a plan that is only printed, the job with its automatic
    `train.accumulate`; None elsewhere."""

    name: str
    prepared: Prepared
    out: Path
    after: str | None = None
    reference: bool = False
    parts: set[str] = field(default_factory=set)
    undecided: Prepared | None = None

    @property
    def folder(self) -> Path:
        return self.prepared.folder(self.out)

    @property
    def result(self) -> Path:
        return result_path(self.folder, self.prepared.identity)

    def done(self) -> bool:
        """Whether nothing is left to do: the result is there. Raises RunError if the result file belongs to another
        run, and InputError if it cannot be read."""
        return nothing_left(self.prepared, self.folder)

    def without_weights(self) -> bool:
        """Whether the folder lacks the weights of a trained model. A cell that is done is then a record only."""
        return self.prepared.job.trained and not finished(self.prepared, self.folder)


def done_in_words(cells: Sequence[SweepCell]) -> str:
    """What to say behind "done" about cells that are done: how many of them are records without weights."""
    count = sum(cell.without_weights() for cell in cells)
    if count == 0:
        return ""
    what = "a record without weights" if count == 1 else "records without weights"
    return f" as {what}" if count == len(cells) else f" ({count} as {what})"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """Seeds in words: "seed 0", "seeds 0 to 4", "seeds 0, 3"."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"


def with_other_seeds(cells: Sequence[SweepCell], out: Path) -> list[SweepCell]:
    """The cells, and the cells that differ from one of them in the seed alone and have a result below `out`."""
    known = {(cell.folder.name, cell.prepared.identity.file_key): cell for cell in cells}
    settings: dict[str, tuple[SweepCell, set[str]]] = {}
    for cell in cells:
        if cell.prepared.job.seeded:
            settings.setdefault(repr(replace(cell.prepared.job, seed=0)), (cell, set()))[1].update(cell.parts)
    for cell, parts in settings.values():
        job, world = cell.prepared.job, cell.prepared.world
        for seed in _seeds_below(out, f"{job.world}-{job.model}-{job.preset}"):
            other = identify(replace(job, seed=seed), world)
            folder, key = other.folder(out).name, other.identity.file_key
            new = SweepCell(f"{folder} {key}", other, out, reference=cell.reference, parts=parts)
            if (folder, key) not in known and new.result.exists():
                known[folder, key] = new
    return list(known.values())


def _seeds_below(out: Path, start: str) -> list[int]:
    """The seeds of the run folders below `out` whose names begin with `start`. Seeds of tuning are left out."""
    found = (re.match(r"-s(\d{1,18})-", path.name.removeprefix(start)) for path in out.glob(f"{start}-s*"))
    return sorted({seed for match in found if match and (seed := int(match[1])) not in TUNING_SEEDS})


def cells_of(jobs: Iterable[SweepJob], out: Path, display: Display, *, count_parts: bool = True) -> list[SweepCell]:
    """The cells of jobs, in their order; the references of a job come before the first job that names them. Jobs with
    the same identities are one cell. Each world is loaded once.

    count_parts: False: build no network to decide an automatic `train.accumulate`. Such a cell has the number of the
    run folder that holds its training otherwise, and 0 if there is none. This is for a plan that is only printed.
    Raises InputError for a job that cannot be run, before anything is run.
    """
    loaded: dict[str, Prepared] = {}
    cells: dict[tuple[str, str], SweepCell] = {}
    first_in: dict[str, str] = {}
    said: set[str] = set()

    def add(prepared: Prepared, reference: bool, part: str, undecided: Prepared | None = None) -> None:
        folder, key = prepared.folder(out).name, prepared.identity.file_key
        known = cells.get((folder, key))
        if known is None:
            name = folder if folder not in first_in else f"{folder} {key}"
            known = cells[folder, key] = SweepCell(
                name, prepared, out, first_in.get(folder), reference, undecided=undecided
            )
            first_in.setdefault(folder, name)
        known.parts.add(part)

    for one in jobs:
        job = one.job
        where = repr((job.world, job.groups.get("env"), sorted(plugin.sha256 for plugin in job.plugins)))
        try:
            if where in loaded:
                prepared = prepare_beside(loaded[where], job, display, count_parts=count_parts)
            else:
                loaded[where] = prepared = prepare(job, display, count_parts=count_parts)
        except InputError as error:
            raise InputError(f"the sweep cannot run {job.model} in {job.world}: {error}") from error
        beside = references(prepared)
        for name, reason in beside.impossible.items():
            if (line := f"no {name} beside the scores in {job.world}: {reason}") not in said:
                said.add(line)
                display.say(line)
        for run in beside.runs.values():
            add(run, True, one.part)
        if count_parts:
            add(prepared, False, one.part)
        else:
            add(_in_parts_as_there(prepared, out), False, one.part, prepared)
    return list(cells.values())


def _in_parts_as_there(prepared: Prepared, out: Path) -> Prepared:
    """A prepared job whose number of parts was not decided, with the number of the run folder below `out` that holds
    its training. As it is, if there is no such folder."""
    job = prepared.job
    if not job.trained or job.groups["train"].accumulate:
        return prepared
    content = clean(prepared.content)
    for folder in sorted(out.glob(f"{job.world}-{job.model}-{job.preset}-s{job.seed}-*")):
        try:
            there = saved_config(folder).training or {}
        except InputError:
            continue
        train = there.get("train")
        if not isinstance(train, dict) or not isinstance(parts := train.get("accumulate"), int):
            continue
        if content == {**there, "train": {**train, "accumulate": 0}}:
            return identify(job.replace("train", accumulate=parts), prepared.world)
    return prepared
