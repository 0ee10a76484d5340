"""What people see of the work: progress at a terminal, a plain line now and then elsewhere, and a result's scores."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worldbench.core import console, tables
from worldbench.core.text import counted, visible

if TYPE_CHECKING:
    from worldbench.records.runs import Result
    from worldbench.records.scores import Metric, Which

Reporter = Callable[[int, int, dict[str, float], int, float], None]
"""(steps done, steps, losses, tokens this session, seconds this session)."""

SELDOM, LONGEST_SILENCE, PARTS = 30.0, 600.0, 10
"""Without a terminal: a line of progress each tenth of the steps, but none within 30 s of the last, and one in 10
min."""


class Display:
    """Progress goes to standard error, results to standard output. `quiet` says nothing but results."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = console.on_terminal(sys.stderr)

    def quieter(self) -> Display:
        return Display(quiet=True)

    def say(self, *sentences: str) -> None:
        """Each on a line of its own."""
        if not self.quiet:
            print("\n".join(map(visible, sentences)), file=sys.stderr, flush=True)

    @contextmanager
    def task(self, what: str, *, lines: bool = True) -> Iterator[Callable[[str], None]]:
        """Announce parts of a task: one line that is replaced at a terminal, elsewhere a line for each (unless not
        `lines`)."""
        if self.quiet or not self.terminal:
            yield lambda part: self.say(f"{what}: {part}") if lines else None
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(visible(what))) as status:
            yield lambda part: status.update(Text(visible(f"{what}: {part}")))

    @contextmanager
    def training(self, steps: int) -> Iterator[Reporter | None]:
        """A reporter of training: a bar at a terminal, elsewhere a line now and then; None where nothing is to be
        said."""
        if self.quiet:
            yield None
            return
        if not self.terminal:
            yield Lines(self.say)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("training"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn(),
            TextColumn("{task.fields[told]}", markup=False),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
            task = progress.add_task("training", total=steps, told="")

            def report(done: int, total: int, losses: dict[str, float], tokens: int, seconds: float) -> None:
                told = "  ".join(f"{k} {v:.4f}" for k, v in losses.items())
                progress.update(task, completed=done, told=f"{tokens / max(seconds, 1e-9):,.0f} tokens/s  {told}")

            yield report


class Lines:
    """A reporter that says a line now and then, for a log file."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.first: tuple[int, float] | None = None
        self.last = (0, 0.0)

    def __call__(self, done: int, total: int, losses: dict[str, float], tokens: int, seconds: float) -> None:
        if self.first is None:
            self.first, self.last = (done, seconds), (done, 0.0)
        since = seconds - self.last[1]
        tenth = done - self.last[0] >= total / PARTS
        if done < total and not (since >= SELDOM and tenth) and since < LONGEST_SILENCE:
            return
        if done == total and seconds < SELDOM:  # what took no time needs no line
            return
        self.last = (done, seconds)
        left = ""
        if done > self.first[0] and done < total:
            left = f", about {_duration((total - done) * (seconds - self.first[1]) / (done - self.first[0]))} left"
        told = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        rate = f"{tokens / max(seconds, 1e-9):,.0f} tokens/s"
        self.say(f"step {done:,} of {total:,} ({done / total:.0%}): {told}; {rate}{left}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_result(record: Result) -> None:
    """The scores of one result: floor, score with its interval, ceiling."""
    title = f"{record.model.name} in {record.world_name}"
    if record.seed is not None:
        title += f", seed {record.seed}"
    if record.tuning is not None:
        title += f", tuned by {counted(record.tuning.trials, 'trial')} x {record.tuning.seeds}"
    arrow = {"higher": "up", "lower": "down", "none": "-"}
    body: list[list[str]] = []
    styles: list[str] = []
    for name, metric in record.scores.items():
        body.append([f"{name} ({arrow[metric.direction]})", *[""] * 5])
        styles.append("bold")
        for key in sorted(metric.scores, key=lambda k: k != metric.primary):
            s = metric.scores[key]
            interval = f"{number(s.interval[0])} .. {number(s.interval[1])}" if s.interval else ""
            both = bound(metric, "floor", key), bound(metric, "ceiling", key)
            body.append([f"  {key}", both[0], number(s.value), interval, both[1], str(s.n)])
            styles.append("bold" if key == metric.primary else "dim")
    head = ["metric (better)", "floor", "score", "95% over trials", "ceiling", "n"]
    used = [i for i in range(len(head)) if i in (0, 2) or any(row[i] for row in body)]
    body = [[row[i] for i in used] for row in body]
    print(tables.terminal([head[i] for i in used], body, 1, title=title, right=range(1, len(used)), styles=styles))
    notes = [f"{name}: {note}" for name, metric in record.scores.items() for note in metric.notes]
    notes += [f"{name}: not applicable: {reason}" for name, reason in record.not_applicable.items()]
    print_notes(notes)


def print_notes(notes: list[str]) -> None:
    """Sentences below a table, each on lines of its own."""
    for note in notes:
        print(tables.note(note))


def bound(metric: Metric, which: Which, key: str) -> str:
    value = metric.bound(which, key)
    return "" if value is None else number(value)


def number(value: float | None) -> str:
    """A score in a table; "-" where there is none. What is infinite, or not a number, says so."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
