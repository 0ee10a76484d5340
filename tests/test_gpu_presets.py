"""The presets for one graphics card: docs/one-gpu.md states their operations and their times, recomputed here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from worldbench.baselines.backbone import swiglu_width
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.options import NextLatConfig
from worldbench.baselines.static_shapes import without_numbers
from worldbench.core.registry import models
from worldbench.core.world import Documents
from worldbench.records.forecast import Forecast
from worldbench.records.reading import read
from worldbench.settings.presets import preset_values

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "one-gpu.md").read_text(encoding="utf-8")
RESULTS = Path(__file__).resolve().parent.parent / "results" / "gpu"
PEAK = 989e12
"""Operations per second of an H100 (SXM) in bf16, dense, as its data sheet states."""
V, T, ROWS = 4590, 256, 16
PRESETS = ("standard", "gpu-quick")
MODELS = ("gpt", "nextlat", "mtp", "jtp", "bst")


@cache
def rows() -> Batch:
    """Rows of random documents of 5 to 102 tokens, as in docs/benchmarks.md."""
    rng = np.random.default_rng(0)
    length = rng.integers(5, 103, ROWS * 7).astype(np.int32)
    tokens = rng.integers(0, V - 1, (ROWS * 7, 102)).astype(np.int32)
    return pack(Documents(tokens, length, np.full(ROWS * 7, 3, np.int32)), ROWS, T)


def by_formula(preset: str, model: str) -> float:
    """Operations of a step, by the formulas of docs/benchmarks.md. Those of `rows`, scaled to the batch."""
    values = preset_values("taxi", model, preset)
    layers, d = values["model"]["layers"], values["model"]["width"]
    n, s, f, d2 = ROWS * T, len(rows().scored_places), swiglu_width(d), d * d
    total = layers * (6 * n * (4 * d2 + 3 * d * f) + 14 * n * T * d) + 6 * s * d * V
    horizon = values["model"].get("horizon", 0)
    places = NextLat(NextLatConfig(layers=1, heads=1, width=2, horizon=max(1, horizon)), V, 102, 0, V - 1).counts(
        rows()
    )
    if model == "nextlat":
        h = NextLatConfig(layers=1, heads=1, width=d).dynamics_width
        for i in range(1, horizon + 1):
            total += 6 * places[f"next_h_{i}"] * (2 * d * h + h * h + h * d) + 4 * places[f"kl_{i}"] * d * V
        total += 2 * n * d * V
    if model == "mtp":
        total += horizon * (6 * n * (4 * d2 + 3 * d * f) + 14 * n * T * d)
        total += sum(6 * places[f"kl_{i}"] * d * V for i in range(1, horizon + 1))
    return total * values["train"]["batch"] / ROWS


def counted(preset: str, model: str) -> float:
    """Operations of a step, counted as they are dispatched, without computing them."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from worldbench.studies.bench.operations import count_operations

    values = preset_values("taxi", model, preset)
    kind = models[model].load_config()
    objective = models[model].load()(kind(**values["model"]), V, 102, 0, V - 1)
    mode = FakeTensorMode()

    def empty(x: torch.Tensor) -> torch.Tensor:
        return mode.from_tensor(x.detach())

    objective.prepare(rows())
    shadow, batch = without_numbers(objective, empty), rows().each(empty)
    with mode:
        return count_operations(shadow, batch).total * values["train"]["batch"] / ROWS


def stated(preset: str, model: str) -> list[float]:
    """The numbers of a row of the table of a preset: operations, milliseconds, minutes."""
    table = PAGE[PAGE.index(f"### `{preset}`") :]
    line = next(line for line in table.splitlines() if line.startswith(f"| {model}"))
    return [float(cell.strip().split()[0].replace(",", "")) for cell in line.split("|")[2:-1]]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", MODELS)
def test_the_stated_times_follow_from_the_operations(preset: str, model: str) -> None:
    operations, step_35, minutes_35, minutes_20 = stated(preset, model)
    steps = preset_values("taxi", model, preset)["train"]["steps"]
    assert step_35 == pytest.approx(operations * 1e12 / (0.35 * PEAK) * 1e3, rel=0.01)
    assert minutes_35 == pytest.approx(steps * operations * 1e12 / (0.35 * PEAK) / 60, rel=0.02)
    assert minutes_20 == pytest.approx(minutes_35 * 35 / 20, rel=0.02)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", ["gpt", "nextlat", "mtp"])
def test_the_operations_follow_from_the_preset(preset: str, model: str) -> None:
    assert stated(preset, model)[0] * 1e12 == pytest.approx(by_formula(preset, model), rel=0.02)


@pytest.mark.long
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", MODELS)
def test_the_operations_are_those_that_are_dispatched(preset: str, model: str) -> None:
    assert stated(preset, model)[0] * 1e12 == pytest.approx(counted(preset, model), rel=0.02)


def test_an_hour_and_eight_minutes() -> None:
    """NextLat at horizon 8 trains for an hour in `standard`, as measured; in `gpu-quick` for half of eight minutes."""
    values = preset_values("taxi", "nextlat", "standard")
    record = read(RESULTS / "forecast-nextlat-compiled.json", Forecast)
    assert values["model"]["horizon"] == 8
    assert (record.preset, record.model) == ("standard", "nextlat")
    assert 54 <= record.measured.step * values["train"]["steps"] / 60 <= 66
    assert stated("gpu-quick", "nextlat")[3] <= 4


@pytest.mark.parametrize("name", ["gpt", "nextlat", "gpt-compiled", "nextlat-compiled"])
def test_the_measured_times_are_those_of_the_records(name: str) -> None:
    record = read(RESULTS / f"forecast-{name}.json", Forecast)
    model, how = [*name.split("-"), "plain"][:2]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {model}, {how}"))
    step, rate, share, memory, minutes = (float(cell.split()[0].rstrip("%")) for cell in row.split("|")[2:-1])
    measured, steps = record.measured, preset_values("taxi", model, "standard")["train"]["steps"]
    assert record.memory.bytes is not None
    assert step == pytest.approx(measured.step * 1e3, rel=0.005)
    assert rate == pytest.approx(measured.tokens_per_second / 1e3, rel=0.005)
    assert share == pytest.approx(100 * measured.operations_per_second / PEAK, abs=0.5)
    assert memory == pytest.approx(record.memory.bytes / 2**30, abs=0.1)
    assert minutes == pytest.approx(measured.step * steps / 60, abs=1)
