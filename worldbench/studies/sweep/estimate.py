"""The plan of a sweep: its runs in groups, and how long the missing ones may take.

The time of a run comes from finished runs that differ only in the seed; else from its first training steps, if these
take a few seconds; else from the operations of its training and the speed of this machine.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import mean

from worldbench.core.errors import InputError, WorldbenchError
from worldbench.core.files import identity_hash
from worldbench.core.text import counted, visible
from worldbench.records.differences import differing, plain
from worldbench.records.folder import Manifest
from worldbench.records.reading import read
from worldbench.records.world_words import words_of
from worldbench.runs.display import Display
from worldbench.studies.forecast import duration, forecast_prepared
from worldbench.studies.sweep.plan import SweepCell, done_in_words, seeds_in_words

SHORT = 3.0
"""Seconds beside `--seconds` that the timing of one configuration may be expected to take."""
TOGETHER = 30.0
"""Seconds after which no further configuration is timed."""


class Source(Enum):
    """Where an estimate comes from."""

    FINISHED = "like its finished runs"
    TIMED = "first steps timed"
    COUNTED = "from its operations"


@dataclass(frozen=True)
class Estimate:
    """Seconds that a run may take, and where the number comes from; or why there is none."""

    seconds: float | None
    source: Source | None = None
    reason: str = ""

    def line(self) -> str:
        if self.seconds is None:
            return self.reason
        return f"about {duration(self.seconds)} each, {self.source.value if self.source else ''}"


@dataclass(frozen=True)
class Configuration:
    """The runs of a sweep that differ only in the seed, or all references of a world. label: the model, with the
    options in which it differs from others of the same world and preset; or the names of the references."""

    label: str
    cells: list[SweepCell]
    missing: list[SweepCell]

    def line(self, known: Estimate | None) -> str:
        """One line. known: the estimate of each missing run; None if none is missing."""
        trained = [cell.prepared.job for cell in self.cells if cell.prepared.job.trained]
        seeds = f" ({seeds_in_words([job.seed for job in trained])})" if trained else ""
        runs = f"{self.label}: {counted(len(self.cells), 'run')}{seeds}"
        if known is None:
            return f"{runs}, done{done_in_words(self.cells)}"
        left = {cell.name for cell in self.missing}
        done = [cell for cell in self.cells if cell.name not in left]
        return f"{runs}{f', {len(done)} done{done_in_words(done)}' if done else ''}; {known.line()}"


def show(cells: Sequence[SweepCell], workers: int, seconds: float, display: Display) -> None:
    """Print the runs in groups, each line as soon as its time is known, and the sum."""
    estimator, heading = Estimator(seconds, display), ""
    found: list[tuple[Configuration, Estimate]] = []
    for words, one in configurations(cells):
        if words != heading:
            print(visible(words), flush=True)
            heading = words
        known = estimator.of(one) if one.missing else None
        print(f"  {visible(one.line(known))}", flush=True)
        if known is not None:
            found.append((one, known))
    left = sum(len(one.missing) for one, _ in found)
    print(f"{counted(len(cells), 'cell')}, {left} of them missing")
    if not left:
        return
    unknown = sum(len(one.missing) for one, known in found if known.seconds is None)
    if unknown == left:
        print("no time is known")
        return
    total = sum(known.seconds * len(one.missing) for one, known in found if known.seconds is not None)
    besides = f"; {counted(unknown, 'cell')} not estimated" if unknown else ""
    print(
        f"about {duration(total)} of work on this machine ({estimator.machine(cells)}), or {duration(total / workers)} "
        f"with {counted(workers, 'worker')}, if each has a processor core to itself{besides}"
    )
    sources = {known.source for _, known in found}
    if sources & {Source.TIMED, Source.COUNTED}:
        print("scoring is not included, except in times like those of finished runs")
    if Source.COUNTED in sources:
        print(
            "from its operations: a rough guess, the operations of the whole training, divided by the operations per "
            "second that this machine reaches with another network, the most similar one that was timed"
        )


def configurations(cells: Sequence[SweepCell]) -> Iterator[tuple[str, Configuration]]:
    """Every configuration, with the words of its world and preset, world by world in the order of the cells."""
    done = {cell.name: _done(cell) for cell in cells}
    places: dict[str, dict[str, list[SweepCell]]] = defaultdict(dict)
    for cell in cells:
        prepared = cell.prepared
        place = identity_hash([prepared.world_identity, prepared.job.preset])
        places[place].setdefault("references" if cell.reference else configuration(cell), []).append(cell)
    for groups in places.values():
        first = next(iter(groups.values()))[0].prepared
        words = words_of(first.job.world, first.world_identity, first.world.card(0))
        for label, group in zip(_labels([group[0] for group in groups.values()]), groups.values()):
            missing = [cell for cell in group if not done[cell.name]]
            if group[0].reference:
                names = dict.fromkeys(cell.prepared.job.model for cell in group)
                label = f"{'reference' if len(names) == 1 else 'references'} {', '.join(names)}"
            yield f"{words}, preset {first.job.preset}", Configuration(label, group, missing)


class Estimator:
    """Estimates the time of configurations, one after another. seconds: how long to time the first steps of one; 0:
    time nothing, and build no network."""

    def __init__(self, seconds: float, display: Display) -> None:
        self.seconds, self.display, self.spent = seconds, display, 0.0
        self._speeds = None

    def of(self, one: Configuration) -> Estimate:
        """The estimate of each missing run of a configuration."""
        job = one.missing[0].prepared.job
        if one.cells[0].reference:
            return Estimate(None, reason="not trained, and not estimated")
        missing = {cell.name for cell in one.missing}
        took = [s for cell in one.cells if cell.name not in missing and (s := worked(cell)) is not None]
        if took:
            return Estimate(mean(took), Source.FINISHED)
        if not job.trained:
            return Estimate(None, reason="not trained, and not estimated")
        if self.seconds == 0:
            return Estimate(None, reason="not timed")
        try:
            with self.display.task(f"estimating {job.model} in {job.world}", lines=False):
                return self._trained(one.missing[0])
        except WorldbenchError as error:
            return Estimate(None, reason=f"its first steps fail: {error}")

    def machine(self, cells: Sequence[SweepCell]) -> str:
        """The devices on which the cells train here."""
        trainings = [cell.prepared.job for cell in cells if cell.prepared.job.trained]
        devices = dict.fromkeys(job.groups["train"].device for job in trainings)
        threads = max((job.threads for job in trainings), default=1)
        return f"{' and '.join(devices)}, {counted(threads, 'thread')} for each run"

    def _trained(self, cell: SweepCell) -> Estimate:
        from worldbench.studies.sweep.cost import Speeds, cost

        self._speeds = self._speeds or Speeds()
        train = cell.prepared.job.groups["train"]
        known = cost(cell.prepared)
        expected = self._speeds.seconds(train, known, min(self.seconds, 1.0))
        share = (4 * known.step + known.curve / max(train.checkpoints, 1)) / known.total
        if self.spent > TOGETHER or expected * share + known.first > self.seconds + SHORT:
            return Estimate(expected, Source.COUNTED)
        started = time.monotonic()
        timed = forecast_prepared(cell.prepared, self.seconds, self.display.quieter())
        self.spent += time.monotonic() - started
        self._speeds.add(train, known.step, timed.measured.step)
        return Estimate(timed.seconds, Source.TIMED)


def configuration(cell: SweepCell) -> str:
    """A key that is equal for cells that differ only in the seed."""
    planned = cell.undecided or cell.prepared
    content = {name: value for name, value in planned.content.items() if name != "seed"}
    return identity_hash([content, planned.evaluation])


def worked(cell: SweepCell) -> float | None:
    """The seconds of all processes that worked in the folder of a finished cell; None if it is not recorded."""
    try:
        sessions = read(cell.folder / "manifest.json", Manifest).sessions
    except InputError:
        return None
    return sum(session.seconds or 0.0 for session in sessions) or None


def _labels(firsts: Sequence[SweepCell]) -> list[str]:
    """The model of each configuration, with the options in which it differs from others of the same model."""
    alike: dict[str, list[int]] = defaultdict(list)
    for i, cell in enumerate(firsts):
        if not cell.reference:
            alike[cell.prepared.job.model].append(i)
    out = [cell.prepared.job.model for cell in firsts]
    for places in alike.values():
        jobs = [(firsts[i].undecided or firsts[i].prepared).job for i in places]
        given = dict.fromkeys(name for job in jobs for name in job.given)
        options = [{name: job.value(name) for name in given} for job in jobs]
        for i, mine, names in zip(places, options, differing(options)):
            out[i] += f"[{','.join(f'{name}={plain(mine[name])}' for name in names)}]" if names else ""
    return out


def _done(cell: SweepCell) -> bool:
    try:
        return cell.done()
    except WorldbenchError:
        return False
