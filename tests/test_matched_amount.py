"""Comparison after equal steps, tokens and operations of training, over made-up traces."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sample_machines import foreseen
from sample_records import metric, result, trace

from worldbench.core.errors import InputError
from worldbench.records import reading
from worldbench.records.compare import compare
from worldbench.records.comparison import Comparison, render


def write(folder: Path, name: str, scores: dict[int, float], batch: int = 8, row_tokens: int = 0, **more: Any) -> None:
    """Three runs with these scores at these steps, a little apart by seed."""
    for seed in range(3):
        config = {"train": {"batch": batch, "row_tokens": row_tokens, "steps": max(scores)}}
        points = {step: {"m": metric({"x": x + 0.01 * seed})} for step, x in scores.items()}
        run = folder / f"{name}-{seed}"
        run.mkdir()
        last = points[max(points)]
        reading.write(run / "result.json", result(name, seed, last, config=config, **more))
        reading.write(run / "trace.json", trace(name, seed, points, config=config, **more))


def compared(folder: Path, what: str) -> Comparison:
    (row,) = compare("gpt", "nextlat", [folder], matched=what)
    return row


def test_steps_are_those_of_the_shorter_run(tmp_path: Path) -> None:
    write(tmp_path, "gpt", {0: 0.1, 10: 0.4, 100: 0.6, 1000: 0.8})
    write(tmp_path, "nextlat", {0: 0.1, 30: 0.5})
    row = compared(tmp_path, "steps")
    share = math.log(3) / math.log(10)
    assert row.levels == (30, 30, 30)
    assert row.steps_a == pytest.approx((10 + 90 * share,) * 3)
    assert (row.mean_a, row.mean_b) == pytest.approx((0.41 + 0.2 * share, 0.51))
    assert "matched at the most steps that both have: seed 0 30 (steps" in render([row], "markdown")


def test_tokens_count_the_rows_of_a_batch(tmp_path: Path) -> None:
    write(tmp_path, "gpt", {50: 0.4, 100: 0.6}, batch=8, row_tokens=64)
    write(tmp_path, "nextlat", {50: 0.5, 100: 0.7}, batch=16, row_tokens=64)
    row = compared(tmp_path, "tokens")
    assert (row.matched, row.levels) == ("tokens", (100 * 8 * 64,) * 3)
    assert (row.steps_a, row.steps_b) == ((100,) * 3, (50,) * 3)
    write(tmp_path, "jtp", {50: 0.5, 100: 0.7}, batch=16)
    with pytest.raises(InputError, match="cannot be matched on tokens"):
        compare("gpt", "jtp", [tmp_path], matched="tokens")


def test_rows_that_are_not_packed_are_called_rows(tmp_path: Path) -> None:
    """A record does not say how many tokens a document has. Rows of one world can be compared."""
    write(tmp_path, "gpt", {50: 0.4, 100: 0.6}, batch=8)
    write(tmp_path, "nextlat", {50: 0.5, 100: 0.7}, batch=16)
    row = compared(tmp_path, "tokens")
    assert (row.matched, row.levels) == ("rows", (800,) * 3)
    assert (row.steps_a, row.steps_b) == ((100,) * 3, (50,) * 3)
    printed = render([row], "markdown")
    assert "matched at the most rows (of one document each) that both have: seed 0 800 (steps" in printed
    assert "tokens" not in printed
    assert json.loads(render([row], "json"))[0]["matched"] == "rows"


def test_operations_come_from_the_forecasts_of_the_same_options(tmp_path: Path) -> None:
    write(tmp_path, "gpt", {50: 0.4, 100: 0.6, 200: 0.8})
    write(tmp_path, "nextlat", {50: 0.5, 100: 0.7, 200: 0.9})
    with pytest.raises(InputError, match="worldbench forecast taxi --model gpt --preset quick"):
        compared(tmp_path, "compute")
    for model, operations, options in (
        ("gpt", 1000, ""),
        ("nextlat", 9999, " --model.horizon 8"),
        ("nextlat", 2000, ""),
    ):
        forecast = foreseen()
        measured = msgspec.structs.replace(forecast.measured, operations=operations)
        of_the_runs = result(model)
        changes = {"world": of_the_runs.world, "model": model, "preset": "quick", "parameters": 10}
        changes |= {"measured": measured, "command": f"worldbench forecast taxi --model {model}{options}"}
        reading.write(tmp_path / f"forecast-{operations}.json", msgspec.structs.replace(forecast, **changes))
    row = compared(tmp_path, "compute")
    assert (row.levels, row.steps_a, row.steps_b) == ((200_000,) * 3, (200,) * 3, (100,) * 3)
    assert row.difference == pytest.approx(0.1)


def test_a_first_checkpoint_beyond_the_end_of_the_other_is_not_matched(tmp_path: Path) -> None:
    write(tmp_path, "gpt", {100: 0.6, 200: 0.7})
    write(tmp_path, "nextlat", {10: 0.5, 50: 0.6})
    row = compared(tmp_path, "steps")
    assert row.verdict == "missing: 0 of 3 shared seeds have it at the matched steps"
    assert "the first checkpoint of one of them is beyond the end of the other" in render([row], "markdown")
