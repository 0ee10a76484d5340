"""Progress over all cells of a sweep: one bar in a terminal, elsewhere one line each half minute."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from worldbench.core.text import counted
from worldbench.runs.display import Display
from worldbench.studies.forecast import duration
from worldbench.studies.sweep.plan import SweepCell

SECONDS = 30.0
"""Without a terminal: seconds between two lines."""
TAIL = 4096
"""Bytes at the end of metrics.jsonl in which the last whole line is looked for."""


class Progress:
    """Counts cells that ended. `watch` is given to a pool, and shows what runs."""

    def __init__(self, cells: Sequence[SweepCell], display: Display) -> None:
        self.cells = {cell.name: cell for cell in cells}
        self.display, self.ended, self.failed, self.trained = display, 0, 0, 0
        self.trainings = sum(cell.prepared.job.trained for cell in cells)
        self.started = self.said = time.monotonic()
        self.show: Callable[[str], None] | None = None

    def end(self, name: str, failed: bool) -> None:
        """A cell has ended."""
        self.ended += 1
        self.failed += failed
        self.trained += self.cells[name].prepared.job.trained

    def watch(self, names: Sequence[str]) -> None:
        """Show what runs, if it is time to."""
        now = time.monotonic()
        if now - self.said < (0.5 if self.show else SECONDS):
            return
        self.said = now
        if self.show:
            self.show(self.line(names))
        else:
            self.display.say(self.line(names))

    def line(self, names: Sequence[str]) -> str:
        """How many cells ended, which ones run and how far they are, and how long the trainings may still take."""
        running = ", ".join(f"{name} {self._share(name)}".rstrip() for name in names)
        failed = f", {self.failed} failed" if self.failed else ""
        done = self.trained + sum(self._part(name) for name in names)
        seconds, left = time.monotonic() - self.started, self.trainings - done
        rest = f"; about {duration(seconds / done * left)} left" if done >= 0.2 and left > 0 else ""
        return f"{self.ended} of {counted(len(self.cells), 'cell')} ended{failed}{rest}; now: {running or '-'}"

    def _share(self, name: str) -> str:
        part = self._part(name)
        return "scoring" if part == 1.0 else f"{part:.0%}" if part else ""

    def _part(self, name: str) -> float:
        """The share of the training steps that a running cell has done; 0 if it is not known."""
        cell = self.cells.get(name)
        if cell is None or not cell.prepared.job.trained:
            return 0.0
        return min(1.0, last_step(cell.folder / "metrics.jsonl") / cell.prepared.job.groups["train"].steps)


def last_step(path: Path) -> int:
    """The step of the last whole line of a training log that another process writes; 0 if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return 0
    with contextlib.suppress(msgspec.DecodeError, IndexError, AttributeError):
        step = msgspec.json.decode(lines[-1]).get("step", 0)
        return step if isinstance(step, int) else 0
    return 0


@contextmanager
def progress(cells: Sequence[SweepCell], display: Display) -> Iterator[Progress]:
    """Progress over cells. In a terminal one line changes; it is drawn in this thread, because a pool forks."""
    shown = Progress(cells, display)
    if display.quiet or not display.terminal or not cells:
        yield shown
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(bar_width=20), TextColumn("{task.description}", markup=False))
    with Bar(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task("", total=len(cells))

        def show(line: str) -> None:
            bar.update(task, completed=shown.ended, description=line)
            bar.refresh()

        shown.show = show
        yield shown
