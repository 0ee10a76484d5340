"""What a run folder says of itself: `config.json`, from which its job is read again, and `manifest.json`, the processes that worked in it."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.budget import told
from worldbench.configuration import Job, group_types, parse_options
from worldbench.core.budget import Budget
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import read_json, to_json, write_atomic
from worldbench.core.registry import load_plugin
from worldbench.result import environment

if TYPE_CHECKING:
    from worldbench.run import Prepared

FILES = ("map", "file")
"""Options of a world that may name a file: its path stays out of results."""


def write_config(folder: Path, prepared: Prepared) -> None:
    """`config.json`: what `load_job` reads."""
    job = prepared.job
    groups = {g: dataclasses.asdict(v) for g, v in job.groups.items()}
    for name in FILES:
        if Path(groups.get("env", {}).get(name) or "-").exists():
            groups["env"][name] = str(Path(groups["env"][name]).resolve())
    write_atomic(
        folder / "config.json",
        to_json(
            {
                "world": job.world, "model": job.model, "preset": job.preset, "seed": job.seed, "given": job.given,
                "plugins": [str(Path(p).resolve()) for p in job.plugins], "groups": groups,
                "identity": {"training": prepared.training, "evaluation": prepared.evaluation}, **told(job.tuned),
            }
        ) + "\n",
    )  # fmt: skip


def load_job(folder: Path, changes: list[str]) -> Job:
    """The job of a run folder, with evaluation options changed."""
    saved = read_json(folder / "config.json")
    for plugin in saved["plugins"]:
        load_plugin(Path(plugin))
    types_ = group_types(saved["world"], saved["model"])
    tuples = {g: {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()} for g, values in saved["groups"].items()}
    groups = {g: types_[g](**tuples[g]) for g in types_}
    wrong = [c for c in changes if c.startswith("--") and not c.startswith("--eval.")]
    if wrong:
        raise InputError(f"option {wrong[0]} cannot be changed after training; eval takes --eval options")
    groups["eval"] = parse_options({"eval": types_["eval"]}, {"eval": groups["eval"]}, changes, "worldbench eval RUN")["eval"]
    tuned = Budget(**saved["tuning"]) if "tuning" in saved else None
    return Job(saved["world"], saved["model"], saved["preset"], saved["seed"], groups, saved["given"], tuple(saved["plugins"]), tuned)


@contextmanager
def manifest(folder: Path) -> Iterator[None]:
    """Times and the command line of each process that worked here: for people, never part of a result."""
    path = folder / "manifest.json"
    sessions = read_json(path)["sessions"] if path.exists() else []
    started = time.time()
    entry = {"argv": sys.argv, "pid": os.getpid(), "started": _clock(started), "environment": environment(), "outcome": "killed"}
    write_atomic(path, to_json({"sessions": [*sessions, entry]}) + "\n")
    try:
        yield
        entry["outcome"] = "done"
    except BaseException as error:
        entry["outcome"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        entry["seconds"] = round(time.time() - started, 2)
        try:
            write_atomic(path, to_json({"sessions": [*sessions, entry]}) + "\n")
        except RunError:
            if entry["outcome"] == "done":
                raise


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
