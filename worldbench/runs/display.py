"""Progress of the work: a live display in a terminal, elsewhere a plain line from time to time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worldbench.core import console, tables
from worldbench.core.text import visible

Reporter = Callable[[int, int, dict[str, float], int, float], None]
"""Arguments: steps done, all steps, losses by name, tokens in this session, seconds in this session."""

SELDOM, LONGEST_SILENCE, PARTS = 30.0, 600.0, 10
"""Without a terminal: a line of progress after each tenth of the steps, but at least 30 s and at most 10 min after the
previous line."""


class Display:
    """Prints progress to standard error; results go to standard output. quiet: print no progress."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = console.on_terminal(sys.stderr)

    def quieter(self) -> Display:
        return Display(quiet=True)

    def say(self, *sentences: str) -> None:
        """Print each sentence on its own line."""
        if not self.quiet:
            print("\n".join(map(visible, sentences)), file=sys.stderr, flush=True)

    @contextmanager
    def task(self, what: str, *, lines: bool = True, forks: bool = False) -> Iterator[Callable[[str], None]]:
        """Announce the parts of a task: in a terminal in one line that changes, elsewhere in one line per part.

        lines: False: print nothing outside a terminal. forks: the process forks during the task, so the line is drawn
        in this thread, and nothing in it moves.
        """
        if self.quiet or not self.terminal:
            yield lambda part: self.say(f"{what}: {part}") if lines else None
            return
        from rich.console import Console
        from rich.text import Text

        if forks:
            from rich.live import Live

            with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
                yield lambda part: live.update(Text(visible(f"{what}: {part}")), refresh=True)
            return
        with Console(stderr=True).status(Text(visible(what))) as status:
            yield lambda part: status.update(Text(visible(f"{what}: {part}")))

    @contextmanager
    def training(self, steps: int) -> Iterator[Reporter | None]:
        """A reporter of training: a bar in a terminal, elsewhere a line from time to time; None for a quiet display."""
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
            TextColumn("{task.fields[losses]}", markup=False),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
            task = progress.add_task("training", total=steps, losses="")

            def report(done: int, total: int, losses: dict[str, float], tokens: int, seconds: float) -> None:
                terms = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
                progress.update(task, completed=done, losses=f"{tokens / max(seconds, 1e-9):,.0f} tokens/s  {terms}")

            yield report


class Lines:
    """A reporter that prints a line from time to time, for a log file."""

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
        if done == total and seconds < SELDOM:  # a short training needs no line
            return
        self.last = (done, seconds)
        left = ""
        if done > self.first[0] and done < total:
            left = f", about {_duration((total - done) * (seconds - self.first[1]) / (done - self.first[0]))} left"
        terms = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        rate = f"{tokens / max(seconds, 1e-9):,.0f} tokens/s"
        self.say(f"step {done:,} of {total:,} ({done / total:.0%}): {terms}; {rate}{left}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_notes(notes: list[str]) -> None:
    """Print notes below a table, each on a new line."""
    for note in notes:
        print(tables.note(note))


def number(value: float | None) -> str:
    """A score as text for a table: "-" for None, "inf" or "nan" for a number that is not finite."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
