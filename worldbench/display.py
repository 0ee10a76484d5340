"""What people see: progress on a terminal, a few plain lines elsewhere, and tables."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Display:
    """Progress goes to standard error, results to standard output. `quiet` says nothing but results."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()

    def quieter(self) -> Display:
        return Display(quiet=True)

    def say(self, sentence: str) -> None:
        if not self.quiet:
            print(sentence, file=sys.stderr, flush=True)

    @contextmanager
    def task(self, what: str) -> Iterator[Callable[[str], None]]:
        """Announce parts of a task, one line that is replaced on a terminal; silent elsewhere."""
        if self.quiet or not self.terminal:
            yield lambda part: None
            return
        from rich.console import Console

        with Console(stderr=True).status(what) as status:
            yield lambda part: status.update(f"{what}: {part}")

    @contextmanager
    def training(self, steps: int) -> Iterator[Callable[[int, int, dict[str, float], int, float], None] | None]:
        """A reporter (done, steps, losses, tokens this session, seconds this session)."""
        if self.quiet or not self.terminal:
            yield None
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn(), TextColumn("{task.fields[told]}"))
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
            task = progress.add_task("training", total=steps, told="")

            def report(done: int, total: int, losses: dict[str, float], tokens: int, seconds: float) -> None:
                told = "  ".join(f"{k} {v:.4f}" for k, v in losses.items())
                progress.update(task, completed=done, told=f"{tokens / max(seconds, 1e-9):,.0f} tokens/s  {told}")

            yield report


def print_result(record: dict[str, Any]) -> None:
    """The scores of one result: floor, score with its interval, ceiling."""
    from rich.console import Console
    from rich.table import Table

    title = f"{record['model']['name']} in {record['world']['world']}" + (f", seed {record['seed']}" if record["seed"] is not None else "")
    table = Table(title=title + (f", tuned by {tuning['trials']} trials x {tuning['seeds']}" if (tuning := record.get("tuning")) else ""))
    for column, justify in (
        ("metric", "left"),
        ("better", "left"),
        ("floor", "right"),
        ("score", "right"),
        ("95% over trials", "right"),
        ("ceiling", "right"),
        ("n", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    arrow = {"higher": "up", "lower": "down", "none": "-"}
    for name, metric in record["scores"].items():
        for key in sorted(metric["scores"], key=lambda k: (k != metric["primary"], list(metric["scores"]).index(k))):
            s, primary = metric["scores"][key], key == metric["primary"]
            interval = f"{number(s['interval'][0])} .. {number(s['interval'][1])}" if s["interval"] else ""
            title = f"[bold]{name}[/] {key}" if primary else f"[dim]  {key}[/]"
            table.add_row(
                title, arrow[metric["direction"]] if primary else "", bound(metric, "floor", key), number(s["value"]), interval,
                bound(metric, "ceiling", key), str(s["n"]),
            )  # fmt: skip
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for name, metric in record["scores"].items():
        for note in metric["notes"]:
            console.print(f"{name}: {note}", style="dim", highlight=False)
    for name, reason in record["not_applicable"].items():
        console.print(f"{name}: not applicable: {reason}", style="dim", highlight=False)


def bound(metric: dict[str, Any], which: str, key: str) -> str:
    value = metric.get(which, {}).get(key)
    return "" if value is None else number(value)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


WIDTH = 180
"""Characters that a table in the terminal may take across, where a single column does not need more."""


def tables(head: list[str], body: list[list[str]], fixed: int) -> str:
    """As many tables as the columns need, one under the other, the first `fixed` columns in each: no name and no number is ever cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    wide = [max(len(h), *(len(row[i]) for row in body)) + 3 for i, h in enumerate(head)]
    blocks: list[list[int]] = [[]]
    for i in range(fixed, len(head)):
        if blocks[-1] and sum(wide[:fixed]) + sum(wide[j] for j in blocks[-1]) + wide[i] + 1 > WIDTH:
            blocks.append([])
        blocks[-1].append(i)
    out = io.StringIO()
    for block in blocks:
        shown = [*range(fixed), *block]
        table = Table()
        for i in shown:
            table.add_column(head[i], no_wrap=True)
        for row in body:
            table.add_row(*(Text(row[i]) for i in shown))
        Console(file=out, width=max(WIDTH, sum(wide[i] for i in shown) + 1)).print(table)
    return out.getvalue().rstrip("\n")
