"""Runs that take a fraction of a second, and what their folders hold."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sysconfig
from pathlib import Path
from typing import Any

import msgspec
import pytest

from worldbench.cli import main as cli
from worldbench.core.eval_config import CommonOptions
from worldbench.core.registry import metrics, models, worlds

RUN = ["run", "hmm", "--model", "gpt", "--preset", "small"]
OPTIONS = {
    "train": {"steps": 4, "batch": 4, "checkpoints": 3, "curve_documents": 8, "threads": 1},
    "model": {"layers": 1, "width": 8, "heads": 1},
    "eval": {"metrics": "next_token", "documents": 12, "trials": 12},
}
SETTINGS = [
    word
    for group, options in OPTIONS.items()
    for name, value in options.items()
    for word in (f"--{group}.{name}", str(value))
]
SIZES = {
    "trials": 20, "documents": 20, "structure_trials": 20, "shift_trials": 10, "suffixes": 5,
    "arrival_prompts": 20, "arrival_rides": 4, "planning_prompts": 20, "planning_documents": 20,
    "pairs": 20, "suffix_limit": 64,
    "probe_documents": 40, "dynamics_documents": 20, "dynamics_steps": 20, "horizon": 5, "swap_pairs": 10,
    "ahead_documents": 20, "reconstruction_rides": 20, "reconstruction_orders": 2, "rank_tokens": 40,
}  # fmt: skip
SMALL_EVAL = [word for name, value in SIZES.items() for word in (f"--eval.{name}", str(value))]
"""Sizes with which every metric answers, in a small part of the time of the defaults."""


def small_eval(*names: str) -> list[str]:
    """Some metrics as words of a command line, with those of the small sizes that are options of theirs."""
    options = [metrics[name].load_config() for name in names if metrics[name].config is not None]
    taken = {f.name for config in (CommonOptions, *options) for f in dataclasses.fields(config)}
    sizes = [word for name, value in SIZES.items() if name in taken for word in (f"--eval.{name}", str(value))]
    return [*sizes, "--eval.metrics", *names]


TINY_WORLDS: dict[str, dict[str, Any]] = {
    "taxi": {"map": "city:24", "region": "all", "min_moves": 2, "max_moves": 9},
    "hmm": {"process": "mess3", "length": 6},
    "maze": {"rows": 4, "columns": 4, "generator": "depth-first-percolation", "percolation": 0.2, "max_moves": 9},
    "maze-solve": {"rows": 3, "generator": "depth-first-percolation"},
    "countdown": {
        "numbers": 3, "largest": 9, "least_target": 5, "most_target": 30, "largest_result": 40, "pauses": 2,
    },
    "group": {"group": "S3", "length": 4, "test_length": 7},
    "othello": {"size": 4, "opening": 5},
    "text": {"files": str(Path(sysconfig.get_path("stdlib"), "email", "*.py")), "window": 24},
    "path-star": {"arms": 2, "length": 4, "labels": 12},
}  # fmt: skip
"""Options of each world, for a small one. A world that is not named here is tested with its own defaults."""
TINY_MODELS: dict[str, Any] = {"layers": 1, "heads": 1, "width": 16}
"""Options of models, where they have them."""
TIMES = ("manifest.json", ".lock")
"""Files that differ from one process to the next."""


def tiny_env(world: str) -> Any:
    """The options of a small world."""
    return worlds[world].load_config()(**TINY_WORLDS.get(world, {}))


def tiny_model(model: str) -> Any:
    """The options of a small model that is trained."""
    kind = models[model].load_config()
    return kind(**{f.name: TINY_MODELS[f.name] for f in dataclasses.fields(kind) if f.name in TINY_MODELS})


def tiny_words(world: str) -> list[str]:
    """A small world as words of a command line."""
    return [word for name, value in TINY_WORLDS.get(world, {}).items() for word in (f"--env.{name}", str(value))]


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Every file of every figure is written, with no picture in it: pictures take most of the time of a tiny run."""
    from worldbench.figures import style

    patch.setattr(style, "picture", no_picture)


def no_picture(figure: Any, kind: str, *, dpi: float | None = None) -> bytes:
    """What stands in a figure's file in place of a picture."""
    return f"a {kind} of {len(figure.axes)} axes, which this test did not ask for".encode()


def call(*argv: str | Path) -> tuple[int, str]:
    """The exit code of a command line, and what it said on standard error."""
    said, printed = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        code = cli.main([str(word) for word in argv])
    return code, said.buffer.getvalue().decode()  # type: ignore[attr-defined]


def run(out: Path, *more: str) -> tuple[int, str]:
    return call(*RUN, *SETTINGS, *more, "--out", out)


def folder(out: Path, model: str = "gpt") -> Path:
    return next(out.glob(f"hmm-{model}-*"))


def result(run: Path, *others: Path) -> Path:
    """The one result of a run's folder, beside the others that are named."""
    (path,) = set(run.glob("result-*.json")) - set(others)
    return path


def changed(record: Any, **values: Any) -> Any:
    """A record, or a part of one, with other values."""
    return msgspec.structs.replace(record, **values)


def tree(path: Path, without: tuple[str, ...] = TIMES) -> dict[str, Any]:
    """Every file below `path` and its bytes; None for a folder."""
    return {
        str(p.relative_to(path)): p.read_bytes() if p.is_file() else None
        for p in sorted(path.rglob("*"))
        if p.name not in without
    }
