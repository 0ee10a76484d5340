"""A trace: the scores of a finished run at every checkpoint that it keeps, for comparison at matched loss and for
pictures of how knowledge comes about.

A trace is named by its evaluation identity: `trace-<identity>.json`, with the arrays of each metric in
`trace-evidence-<identity>/<step>/<metric>.npz`. A trace that is stopped goes on behind the last checkpoint that was
scored, and ends in the same bytes.
"""

from __future__ import annotations

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
from worldbench.runs.config_file import sorted_words
from worldbench.runs.display import Display, number
from worldbench.runs.prepared import Prepared, identify
from worldbench.runs.run import about, draw, reopen
from worldbench.runs.weights import at_step, gone, points, weights_folder
from worldbench.training.curve import named

AXIS = "excess_loss"
"""Always traced: comparison at matched loss needs it."""
TRACED = (AXIS, "next_token", "valid_trajectories", "split_merge", "state_probe", "belief_probe", "effective_rank")
"""Those that take seconds. The others (dynamics fitted afresh, swaps, detours, whole maps) take minutes at each
checkpoint: name them where they are wanted."""


@dataclass(frozen=True)
class Plan:
    """A run to be traced, and where to."""

    prepared: Prepared
    folder: Path
    path: Path


def trace_all(folders: list[Path], changes: list[str], display: Display, plugins: Sequence[Path] = ()) -> list[Path]:
    """Trace runs, one after the other; the paths of the traces. What is wrong with any of them is told before the first
    is scored.

    changes: evaluation options and the places of moved files, as on the command line. plugins: the files named there.
    Metrics: those named in `changes`, else those that the run was scored by if it names any, else TRACED.
    Raises InputError for a folder that is no run, or whose run is not finished; RunError where another process works in
    it.
    """
    plans = [_plan(folder, changes, display, plugins) for folder in folders]
    for plan in plans:
        with lock(plan.folder):
            if _done(plan):
                display.say(f"traced already: {plan.path}")
                remove(partial_of(plan.path))  # a process may have been killed just before it did so
            else:
                _score(plan, changes, display)
            draw(plan.folder, display)
    return [plan.path for plan in plans]


def _plan(folder: Path, changes: list[str], display: Display, plugins: Sequence[Path]) -> Plan:
    prepared = reopen(folder, changes, display, plugins)
    if not prepared.job.trained:
        raise InputError(f"{str(folder)!r} has no checkpoints to trace: {prepared.job.model} is not trained")
    if lost := gone(prepared, folder):
        where = str(weights_folder(prepared, folder))
        again = f"its command trains them again: {prepared.job.command()}"
        raise InputError(f"{where!r} lacks the weights of {named(lost)}; {again}")
    prepared = _settled(prepared)
    return Plan(prepared, folder, trace_path(folder, prepared.identity))


def _done(plan: Plan) -> bool:
    """Is the run traced already? Raises RunError where the file is the trace of another run."""
    if not plan.path.exists():
        return False
    record = read(plan.path, Trace)
    if (record.identity, record.tuning) != (plan.prepared.identity, plan.prepared.job.tuned):
        other = f"is the trace of another run ({record.command})"
        raise RunError(f"{str(plan.path)!r} {other}; move it to a folder of its own")
    return True


def _settled(prepared: Prepared) -> Prepared:
    """With the metrics that are traced: the loss that comparison is matched on among them."""
    settings = prepared.job.groups["eval"]
    names = settings.metrics or tuple(n for n in TRACED if n in metrics.names())
    return identify(prepared.job.replace("eval", metrics=names if AXIS in names else (AXIS, *names)), prepared.world)


def _score(plan: Plan, changes: list[str], display: Display) -> None:
    from worldbench.runs.scoring import score

    prepared, folder, path = plan.prepared, plan.folder, plan.path
    evidence = evidence_folder(path)
    partial, steps = partial_of(path), points(prepared)
    head = about(prepared, at_step(prepared, folder, prepared.job.groups["train"].steps))
    words = [folder.resolve().name, *sorted_words(changes)[0]]
    head["trace_command"] = " ".join(["worldbench", "trace", *map(shlex.quote, words)])
    done = _points_done(partial, plan, steps, display)
    make_folder(evidence)
    for step in steps[len(done) :]:
        model = at_step(prepared, folder, step)
        with display.task(f"step {step}", lines=False) as announce:
            scored = score(prepared.world, model, prepared.job.groups["eval"], evidence / f"{step:08d}", announce)
        done.append(Point(step=step, scores=scored.scores, not_applicable=scored.not_applicable))
        write(partial, Trace(**head, trace=done))
        told = (f"{name} {m.primary} {number(m.value(m.primary))}" for name, m in scored.scores.items())
        display.say(f"step {step}: " + ", ".join(told))
    write(path, Trace(**head, trace=done))
    remove(partial)


def _points_done(partial: Path, plan: Plan, steps: list[int], display: Display) -> list[Point]:
    """What an earlier process scored before it was stopped: the first of the steps, under the same identities."""
    if not partial.exists():
        return []
    try:
        record = read(partial, Trace)
    except InputError as error:
        display.say(f"the trace starts over: {error}")
        return []
    same = (record.identity, record.tuning) == (plan.prepared.identity, plan.prepared.job.tuned)
    return record.trace if same and [p.step for p in record.trace] == steps[: len(record.trace)] else []


def partial_of(path: Path) -> Path:
    """Where a trace is kept until its last checkpoint is scored."""
    return path.with_suffix(".partial")


def show(path: Path) -> None:
    """The primary scores of a trace by step."""
    record = read(path, Trace)
    columns = [(name, m.primary) for name, m in record.scores.items()]
    head = ["step", *(f"{name} {score}" for name, score in columns)]
    body = [[str(p.step), *(number(p.scores[n].value(s)) for n, s in columns)] for p in record.trace]
    print(tables.terminal(head, body, 1, right=range(len(head))))


def draw_together(folders: list[Path], out: Path) -> list[Path]:
    """One figure over the traces of several runs, R^2 of the probed belief against excess loss; the files written.

    out: the folder that the figure is put into.
    """
    from worldbench.figures import matched
    from worldbench.records.variant import distinct_labels

    found = {folder: sorted(folder.glob(PATTERNS["trace"])) for folder in folders}
    without = [str(folder) for folder, traces in found.items() if not traces]
    if without:
        first = f"first: worldbench trace {' '.join(without)}"
        raise InputError(f"there is no trace in {', '.join(without)}; {first}")
    records = list(_of_one_evaluation(found).values())
    world = records[0].world
    title = f"{records[0].world_name} {world.get('process', '')} {records[0].preset}".replace("  ", " ")
    return matched.draw(list(zip(distinct_labels(records), records)), make_folder(out) / "matched", title=title)


def _of_one_evaluation(found: dict[Path, list[Path]]) -> dict[Path, Trace]:
    """The trace of each folder under the evaluation that all folders have. Raises InputError where that is not one."""
    records = {folder: [read(path, Trace) for path in traces] for folder, traces in found.items()}
    named = {folder: {r.identity.evaluation: r for r in mine} for folder, mine in records.items()}
    common = set.intersection(*(set(mine) for mine in named.values()))
    if len(common) != 1:
        names = ", ".join(str(path) for traces in found.values() for path in traces)
        several = "more than one evaluation" if common else "no evaluation"
        raise InputError(f"the runs have traces under {several} in common ({names}); trace all under the same options")
    (evaluation,) = common
    return {folder: mine[evaluation] for folder, mine in named.items()}
