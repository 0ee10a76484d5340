"""The speedrun board: entries that count, ranked by processor seconds on each processor; below, the others with the
reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from worldbench.core import cells, tables
from worldbench.core.text import visible
from worldbench.records.speedrun import SIGNIFICANT, Speedrun, Target, reasons

HEAD = ("rank", "seconds", "95% interval", "processor", "n", "score", "p", "command", "commit")
OTHERS = ("seconds", "processor", "n", "score", "p", "does not count because", "command", "commit")
Format = Literal["table", "markdown"]


def goal(target: Target) -> str:
    """The target in words."""
    return f"mean {target.score} {'at least' if target.direction == 'higher' else 'at most'} {target.value:g}"


def commit(record: Speedrun) -> str:
    """The commit of the checkout; for an installed package its version."""
    environment = record.environment
    return environment.commit[:10] if environment.commit else f"worldbench {environment.worldbench}"


def verdict(record: Speedrun) -> str:
    """An entry in one line."""
    why, outcome = reasons(record), record.outcome
    found = "no outcome yet"
    if outcome is not None:
        low, high = outcome.seconds_interval
        found = (
            f"{outcome.seconds:.2f} processor seconds ({low:.2f} .. {high:.2f}), {record.target.score} "
            f"{outcome.score:.4f}, n {outcome.n}, p {outcome.p:.2g}"
        )
    return f"{record.recipe}: {found}; {'counts' if not why else 'does not count: ' + '; '.join(why)}"


def board(records: Iterable[Speedrun], form: Format = "table") -> str:
    """The board as text, a part for each task. Ranks begin anew on each processor."""
    tasks: dict[str, list[Speedrun]] = {}
    for record in sorted(records, key=_order):
        tasks.setdefault(record.task, []).append(record)
    return "\n\n".join(_task(of_task, form) for of_task in tasks.values())


def _order(record: Speedrun) -> tuple[str, str, str, float, str]:
    seconds = float("inf") if record.outcome is None else record.outcome.seconds
    return record.recipe, record.task, record.environment.processor, seconds, record.command


def _task(records: list[Speedrun], form: Format) -> str:
    first = records[0]
    title = f"{first.recipe}: {goal(first.target)} (p < {SIGNIFICANT:g}), task {first.task[:8]}"
    ranked, others, ranks = [], [], dict[str, int]()
    for record in records:
        processor, outcome, why = record.environment.processor, record.outcome, reasons(record)
        ends = [record.command, commit(record)]
        numbers = ["-", "-", "-", "-"]
        if outcome is not None:
            low, high = outcome.seconds_interval
            numbers = [f"{outcome.seconds:.2f}", f"{low:.2f} .. {high:.2f}", f"{outcome.score:.4f}", f"{outcome.p:.2g}"]
        seconds, interval, score, p = numbers
        n = str(len(record.runs))
        if why or outcome is None:
            others.append([seconds, processor, n, score, p, "; ".join(why), *ends])
        else:
            ranks[processor] = ranks.get(processor, 0) + 1
            ranked.append([str(ranks[processor]), seconds, interval, processor, n, score, p, *ends])
    parts = [visible(title) if form == "table" else cells.markdown_line(title)]
    for head, body in ((HEAD, ranked), (OTHERS, others)):
        if body:
            parts.append(tables.terminal(head, body, 1) if form == "table" else tables.markdown(head, body))
    if not ranked:
        parts.insert(1, "no entry counts yet")
    elif len(ranks) > 1:
        parts.append("ranks begin anew on each processor: times on different processors are not compared")
    return "\n\n".join(parts) if form == "markdown" else "\n".join(parts)


def show(record: Speedrun) -> None:
    """Print an entry: each run, and the verdict."""
    print(visible(f"{record.model} in {record.world['world']}, preset {record.preset}: {goal(record.target)}"))
    print(visible(f"command: {record.command}"))
    print(visible(f"processor: {record.environment.processor}; commit: {commit(record)}"))
    body = [
        [
            str(run.seed),
            "-" if run.seconds is None else f"{run.seconds:.2f}",
            str(len(run.parts)),
            run.failed or ("-" if run.score is None else f"{run.score:.4f}"),
        ]
        for run in record.runs
    ]
    print(tables.terminal(["seed", "processor seconds", "parts", record.target.score], body, 1))
    print(visible(verdict(record), None))
