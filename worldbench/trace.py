"""A trace: the scores of a finished run at every checkpoint that it keeps, for comparison at matched loss and for pictures of how knowledge comes about.

`trace.json` holds them under the run's own evaluation options and the metrics of `TRACED`; other options make `trace-<identity>.json` beside it. The arrays of
each metric go to `trace-evidence/<step>/<metric>.npz`. A trace that is stopped goes on behind the last checkpoint that was scored, and ends in the same bytes.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench import tables
from worldbench.core.errors import InputError
from worldbench.core.files import lock, make_folder, read_json, remove, to_json, write_atomic
from worldbench.core.registry import metrics
from worldbench.curve import named
from worldbench.display import Display, number
from worldbench.result import TRACE_VERSION, load_trace
from worldbench.run import Prepared, about, at_step, draw, gone, identify, points, reopen, weights_folder
from worldbench.run_config import load_job, sorted_words

AXIS = "excess_loss"
"""Always traced: comparison at matched loss needs it."""
TRACED = (AXIS, "next_token", "valid_trajectories", "split_merge", "state_probe", "belief_probe", "effective_rank")
"""Those that take seconds. The others (dynamics fitted afresh, swaps, detours, whole maps) take minutes at each checkpoint: name them where they are wanted."""


@dataclass(frozen=True)
class Plan:
    """A run to be traced, and where to."""

    prepared: Prepared
    folder: Path
    path: Path


def trace_all(folders: list[Path], changes: list[str], display: Display, plugins: Sequence[Path] = ()) -> list[Path]:
    """Trace runs, one after the other; the paths of the traces. What is wrong with any of them is told before the first is scored.

    changes: evaluation options and the places of moved files, as on the command line. plugins: the files named there.
    Metrics: those named in `changes`, else those that the run was scored by if it names any, else TRACED.
    Raises InputError for a folder that is no run, or whose run is not finished; RunError where another process works in it.
    """
    plans = [_plan(folder, changes, display, plugins) for folder in folders]
    for plan in plans:
        with lock(plan.folder):
            identity = {"training": plan.prepared.training, "evaluation": plan.prepared.evaluation}
            if plan.path.exists() and read_json(plan.path).get("identity") == identity:
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
        raise InputError(f"{where!r} lacks the weights of {named(lost)}; its command trains them again: {prepared.job.command()}")
    prepared, usual = _settled(prepared), _settled(identify(load_job(folder, sorted_words(changes)[1], plugins), prepared.world))
    name = "trace" if prepared.evaluation == usual.evaluation else f"trace-{prepared.evaluation[:10]}"
    return Plan(prepared, folder, folder / f"{name}.json")


def _settled(prepared: Prepared) -> Prepared:
    """With the metrics that are traced: the loss that comparison is matched on among them."""
    settings = prepared.job.groups["eval"]
    names = settings.metrics or tuple(n for n in TRACED if n in metrics.names())
    return identify(prepared.job.replace("eval", metrics=names if AXIS in names else (AXIS, *names)), prepared.world)


def _score(plan: Plan, changes: list[str], display: Display) -> None:
    from worldbench.scoring import score

    prepared, folder, path = plan.prepared, plan.folder, plan.path
    evidence = evidence_folder(path)
    partial = partial_of(path)
    head: dict[str, Any] = {"schema_version": TRACE_VERSION, **about(prepared, at_step(prepared, folder, prepared.job.groups["train"].steps))}
    head["trace_command"] = " ".join(["worldbench", "trace", shlex.quote(folder.resolve().name), *map(shlex.quote, sorted_words(changes)[0])])
    done = _points_done(partial, head["identity"], points(prepared))
    make_folder(evidence)
    for step in points(prepared)[len(done) :]:
        model = at_step(prepared, folder, step)
        with display.task(f"step {step}", lines=False) as announce:
            scored = score(prepared.world, model, prepared.job.groups["eval"], evidence / f"{step:08d}", announce)
        done.append({"step": step, **scored})
        write_atomic(partial, to_json(head | {"trace": done}) + "\n")
        display.say(f"step {step}: " + ", ".join(f"{name} {m['primary']} {number(m['scores'][m['primary']]['value'])}" for name, m in scored["scores"].items()))
    write_atomic(path, to_json(head | {"trace": done}) + "\n")
    remove(partial)


def _points_done(partial: Path, identity: dict[str, str], steps: list[int]) -> list[dict[str, Any]]:
    """What an earlier process scored before it was stopped, under the same identities: the first of `steps`."""
    if not partial.exists():
        return []
    record = read_json(partial)
    done = record["trace"] if record["identity"] == identity else []
    return done if [p["step"] for p in done] == steps[: len(done)] else []


def partial_of(path: Path) -> Path:
    """Where a trace is kept until its last checkpoint is scored."""
    return path.with_suffix(".partial")


def evidence_folder(path: Path) -> Path:
    """Of a trace file: trace.json has trace-evidence, trace-0123456789.json has trace-evidence-0123456789."""
    return path.with_name(path.stem.replace("trace", "trace-evidence", 1))


def show(path: Path) -> None:
    """The primary scores of a trace by step."""
    record = load_trace(path)
    columns = [(name, m["primary"]) for name, m in record["scores"].items()]
    head = ["step", *(f"{name} {score}" for name, score in columns)]
    body = [[str(p["step"]), *(number(p["scores"][n]["scores"][s]["value"]) for n, s in columns)] for p in record["trace"]]
    print(tables.terminal(head, body, 1, right=range(len(head))))


def draw_together(folders: list[Path], out: Path) -> list[Path]:
    """One figure over the traces of several runs, R^2 of the probed belief against excess loss, into `out`; the files written."""
    from worldbench.figures import matched
    from worldbench.variant import told_apart

    found = {folder: [folder / "trace.json"] if (folder / "trace.json").exists() else sorted(folder.glob("trace-*.json")) for folder in folders}
    without = [str(folder) for folder, traces in found.items() if not traces]
    if without:
        raise InputError(f"there is no trace.json in {', '.join(without)}; first: worldbench trace {' '.join(without)}")
    for folder, traces in found.items():
        if len(traces) > 1:
            raise InputError(f"{str(folder)!r} has traces under several options ({', '.join(t.name for t in traces)}) and none under its own; keep one of them")
    records = [load_trace(traces[0]) for traces in found.values()]
    title = f"{records[0]['world']['world']} {records[0]['world'].get('process', '')} {records[0]['preset']}".replace("  ", " ")
    return matched.draw(list(zip(told_apart(records), records)), make_folder(out) / "matched", title=title)
