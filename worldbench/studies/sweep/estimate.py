"""How long the missing cells of a sweep may take: from the times of finished cells, else from the first training
steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from worldbench.core.errors import InputError, WorldbenchError
from worldbench.core.files import identity_hash
from worldbench.core.text import counted, visible
from worldbench.records.folder import Manifest
from worldbench.records.reading import read
from worldbench.runs.display import Display
from worldbench.studies.forecast import duration, forecast
from worldbench.studies.sweep.plan import SweepCell


@dataclass(frozen=True)
class Estimate:
    """Seconds that a cell may take. source: where the number comes from. seconds: None if nothing is known."""

    seconds: float | None
    source: str


def show(cells: Sequence[SweepCell], workers: int, seconds: float, display: Display) -> None:
    """Print every cell, in the order in which they are run, and how long the missing ones may take."""
    done = {cell.name: _done(cell) for cell in cells}
    left = [cell for cell in cells if not done[cell.name]]
    found = estimates(cells, done, seconds, display)
    for cell in cells:
        known = found.get(cell.name)
        what = "done" if known is None else known.source if known.seconds is None else duration(known.seconds)
        kind = " (reference)" if cell.reference else ""
        print(visible(f"{cell.name}{kind}: {what}{f', {known.source}' if known and known.seconds else ''}"))
    total = sum(known.seconds or 0.0 for known in found.values())
    print(f"{counted(len(cells), 'cell')}, {len(left)} of them missing")
    if left:
        unknown = sum(known.seconds is None for known in found.values())
        besides = f"; the time of {counted(unknown, 'cell')} is not known" if unknown else ""
        if unknown == len(left):
            print("no time is known")
            return
        print(
            f"about {duration(total)} of work: about {duration(total / workers)} with "
            f"{counted(workers, 'worker')}, if each has a processor core to itself{besides}"
        )


def estimates(
    cells: Sequence[SweepCell], done: dict[str, bool], seconds: float, display: Display
) -> dict[str, Estimate]:
    """The estimate of each missing cell: the mean time of finished cells that differ only in the seed, else the first
    training steps, timed for `seconds`, else nothing. Each configuration is timed once."""
    took: dict[str, list[float]] = defaultdict(list)
    for cell in cells:
        if done[cell.name] and (time := worked(cell)) is not None:
            took[configuration(cell)].append(time)
    found: dict[str, Estimate] = {}
    timed: dict[str, Estimate] = {}
    for cell in cells:
        if done[cell.name]:
            continue
        key = configuration(cell)
        if key in took:
            how = f"the mean of {counted(len(took[key]), 'finished cell')} with other seeds"
            found[cell.name] = Estimate(mean(took[key]), how)
        else:
            if key not in timed:
                timed[key] = _timed(cell, seconds, display)
            found[cell.name] = timed[key]
    return found


def configuration(cell: SweepCell) -> str:
    """A key that is equal for cells that differ only in the seed."""
    content = {name: value for name, value in cell.prepared.content.items() if name != "seed"}
    return identity_hash([content, cell.prepared.evaluation])


def worked(cell: SweepCell) -> float | None:
    """The seconds of all processes that worked in the folder of a finished cell; None if it is not recorded."""
    try:
        sessions = read(cell.folder / "manifest.json", Manifest).sessions
    except InputError:
        return None
    return sum(session.seconds or 0.0 for session in sessions) or None


def _timed(cell: SweepCell, seconds: float, display: Display) -> Estimate:
    job = cell.prepared.job
    if not job.trained:
        return Estimate(None, "not trained; no cell like it is finished")
    if seconds == 0:
        return Estimate(None, "not timed")
    try:
        with display.task(f"timing {job.model} in {job.world}", lines=False):
            known = forecast(job, seconds, display.quieter())
    except WorldbenchError as error:
        return Estimate(None, f"its first steps fail: {error}")
    return Estimate(known.seconds, f"training alone, from its first {counted(known.measured.steps, 'step')}")


def _done(cell: SweepCell) -> bool:
    try:
        return cell.done()
    except WorldbenchError:
        return False
