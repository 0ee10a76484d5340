"""A trace: the scores of a finished run at every checkpoint that it keeps. Used to compare models at the same loss,
and to draw scores over training.

The evaluation identity names a trace: `trace-<identity>.json`, with the arrays of each metric in
`trace-evidence-<identity>/<step>/<metric>.npz`. A stopped trace continues after the last checkpoint that was scored,
and ends in the same bytes.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldbench.core import tables
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import lock, make_folder, remove
from worldbench.core.registry import metrics
from worldbench.records.finding import PATTERNS, evidence_folder, trace_path
from worldbench.records.reading import read, write
from worldbench.records.runs import Point, Trace
from worldbench.records.scores import NO_REASON
from worldbench.runs.config_file import sorted_words
from worldbench.runs.display import Display, number, print_notes
from worldbench.runs.one_run import about, draw, reopen
from worldbench.runs.pool import Cell
from worldbench.runs.prepared import Prepared, identify
from worldbench.runs.processes import pool_of
from worldbench.runs.weights import at_step, gone, points
from worldbench.training.curve import named

AXIS = "excess_loss"
"""This metric is always traced, because comparison at the same loss needs it."""
TRACED = (
    AXIS, "next_token", "valid_trajectories", "split_merge", "state_probe", "belief_probe", "state_curve",
    "effective_rank",
)  # fmt: skip
"""Metrics that take seconds, traced by default. The others (fitted dynamics, swaps, detours, whole maps) take
minutes at each checkpoint."""


@dataclass(frozen=True)
class Tracing:
    """A run to be traced, and the path of its trace."""

    prepared: Prepared
    folder: Path
    path: Path


def trace_all(
    folders: list[Path],
    changes: list[str],
    display: Display,
    plugins: Sequence[Path] = (),
    reading: str | None = None,
    workers: int = 1,
) -> list[Path]:
    """Traces runs. Returns the paths of the traces. All runs are checked before the first one is scored.

    changes: evaluation options and paths of moved files, as on the command line. plugins: plugin files named there.
    reading: another model that is scored with the weights of the runs. workers: how many runs are traced at the same
    time. The traces do not depend on it.

    The metrics are those named in `changes`, else those named by the run, else TRACED. Raises InputError for a
    folder that is not a run or whose run is not finished, and RunError if another process works in the folder.
    """
    tracings = [_tracing(folder, changes, display, plugins, reading) for folder in dict.fromkeys(folders)]
    shown = display if workers == 1 else display.quieter()
    cells = [Cell(str(tracing.folder), _trace, (tracing, changes, shown)) for tracing in tracings]
    for _, path in pool_of(workers, plugins).finished(cells):
        if workers > 1:
            display.say(f"traced: {path}")
    return [tracing.path for tracing in tracings]


def _trace(tracing: Tracing, changes: list[str], display: Display) -> Path:
    """Traces what is missing of one run. Returns the path of its trace."""
    with lock(tracing.folder):
        if _done(tracing):
            display.say(f"traced already: {tracing.path}")
            remove(partial_of(tracing.path))  # left if a process was killed just before this line
        else:
            display.say(f"folder: {tracing.folder}")
            _score(tracing, changes, display)
        draw(tracing.folder, display)
    return tracing.path


def _tracing(
    folder: Path, changes: list[str], display: Display, plugins: Sequence[Path], reading: str | None
) -> Tracing:
    prepared = reopen(folder, changes, display, plugins, reading)
    if not prepared.job.trained:
        raise InputError(f"{str(folder)!r} has no checkpoints to trace: {prepared.job.model} is not trained")
    if lost := gone(prepared, folder):
        again = f"to train them again: {prepared.job.command()}"
        raise InputError(f"{str(folder)!r} lacks the weights of {named(lost)}; {again}")
    prepared = _settled(prepared)
    return Tracing(prepared, folder, trace_path(folder, prepared.identity))


def _done(tracing: Tracing) -> bool:
    """True if the trace of the run exists. Raises RunError if the file is the trace of another run."""
    if not tracing.path.exists():
        return False
    record = read(tracing.path, Trace)
    if (record.identity, record.tuning) != (tracing.prepared.identity, tracing.prepared.job.tuned):
        other = f"is the trace of another run ({record.command})"
        raise RunError(f"{str(tracing.path)!r} {other}; move it to a folder of its own")
    return True


def _settled(prepared: Prepared) -> Prepared:
    """With the metrics that are traced, AXIS included."""
    settings = prepared.job.groups["eval"]
    names = settings.metrics or tuple(n for n in TRACED if n in metrics.names())
    job = prepared.job.replace("eval", metrics=names if AXIS in names else (AXIS, *names))
    return identify(job, prepared.world, prepared.reading)


def _score(tracing: Tracing, changes: list[str], display: Display) -> None:
    from worldbench.runs.scoring import score

    prepared, folder, path = tracing.prepared, tracing.folder, tracing.path
    evidence = evidence_folder(path)
    partial, steps = partial_of(path), points(prepared)
    head = about(prepared, at_step(prepared, folder, prepared.job.groups["train"].steps))
    reading = [] if prepared.reading is None else ["--as", prepared.reading]
    words = [folder.resolve().name, *reading, *sorted_words(changes)[0]]
    head["trace_command"] = " ".join(["worldbench", "trace", *map(shlex.quote, words)])
    done = _points_done(partial, tracing, steps, display)
    make_folder(evidence)
    for step in steps[len(done) :]:
        model = at_step(prepared, folder, step)
        with display.task(f"step {step}", lines=False) as announce:
            scored = score(prepared.world, model, prepared.job.groups["eval"], evidence / f"{step:08d}", announce)
        done.append(Point(step=step, scores=scored.scores, not_applicable=scored.not_applicable))
        write(partial, Trace(**head, trace=done))
        primary = (f"{name} {m.primary} {number(m.value(m.primary))}" for name, m in scored.scores.items())
        display.say(f"step {step}: " + ", ".join(primary))
    write(path, Trace(**head, trace=done))
    remove(partial)
    if any(word.partition("=")[0] == "--eval.metrics" for word in changes):
        for name, reason in done[-1].not_applicable.items():
            display.say(f"{name} does not apply: {reason}")


def _points_done(partial: Path, tracing: Tracing, steps: list[int], display: Display) -> list[Point]:
    """The points that an earlier, stopped process scored under the same identities."""
    if not partial.exists():
        return []
    try:
        record = read(partial, Trace)
    except InputError as error:
        display.say(f"the trace starts over: {error}")
        return []
    same = (record.identity, record.tuning) == (tracing.prepared.identity, tracing.prepared.job.tuned)
    return record.trace if same and [p.step for p in record.trace] == steps[: len(record.trace)] else []


def partial_of(path: Path) -> Path:
    """The path of an unfinished trace."""
    return path.with_suffix(".partial")


def show(path: Path) -> None:
    """Prints the primary scores of a trace, and those beside them, by step, and why scores are missing."""
    record = read(path, Trace)
    columns = [(name, score) for name, m in record.scores.items() for score in m.shown]
    head = ["step", *(f"{name} {score}" for name, score in columns)]
    body = [[str(p.step), *(number(p.scores[n].value(s)) for n, s in columns)] for p in record.trace]
    print(tables.terminal(head, body, 1, right=range(len(head))))
    missing: dict[tuple[str, str, str], list[int]] = {}
    for p in record.trace:
        for n, s in columns:
            if s in p.scores[n].scores and (score := p.scores[n].scores[s]).value is None:
                missing.setdefault((n, s, score.reason or NO_REASON), []).append(p.step)
    print_notes([f"missing: {n}.{s} at {named(steps)}: {reason}" for (n, s, reason), steps in missing.items()])


def draw_together(folders: list[Path], out: Path) -> list[Path]:
    """Draws the traces of several runs in one figure: R^2 of the probed belief against excess loss. Returns the
    files written.

    out: the folder of the figure.
    """
    from worldbench.figures import matched
    from worldbench.records.variant import distinct_labels

    found = {folder: sorted(folder.glob(PATTERNS["trace"])) for folder in folders}
    without = [str(folder) for folder, traces in found.items() if not traces]
    if without:
        first = f"first: worldbench trace {' '.join(without)}"
        if none := [path for path in without if not os.path.exists(Path(path) / "config.json")]:
            first = f"{none[0]!r} is not a run folder: name run folders, such as those inside"
        raise InputError(f"there is no trace in {', '.join(without)}; {first}")
    records = _of_one_evaluation(found)
    world = records[0].world
    title = f"{records[0].world_name} {world.get('process', '')} {records[0].preset}".replace("  ", " ")
    return matched.draw(
        list(zip(distinct_labels(records), records)),
        make_folder(out, "choose another with --together") / "matched",
        title=title,
    )


def _of_one_evaluation(found: dict[Path, list[Path]]) -> list[Trace]:
    """The traces of the evaluation that all folders have in common. Raises InputError unless there is exactly one."""
    records = {folder: [read(path, Trace) for path in traces] for folder, traces in found.items()}
    common = set.intersection(*({record.identity.evaluation for record in mine} for mine in records.values()))
    if len(common) != 1:
        names = ", ".join(str(path) for traces in found.values() for path in traces)
        several = "several evaluations" if common else "no evaluation"
        raise InputError(f"the traces have {several} in common ({names}); trace all runs under the same options")
    (evaluation,) = common
    return [record for mine in records.values() for record in mine if record.identity.evaluation == evaluation]
