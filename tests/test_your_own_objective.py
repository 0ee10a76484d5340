"""The example of docs/your-own-objective.md: examples/label_smoothing.py, trained as a user trains it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sample_records import result_of
from tiny_runs import SETTINGS, call

from worldbench.baselines.batch import pack
from worldbench.baselines.static_shapes import check_static_shapes
from worldbench.core.plugins import load_plugin
from worldbench.core.registry import models
from worldbench.core.world import Documents

FILE = Path(__file__).resolve().parent.parent / "examples" / "label_smoothing.py"


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    load_plugin(FILE)
    yield
    models.remove({"smoothed"})


def gradients(smoothing: float, name: str = "smoothed", parts: int = 1) -> dict[str, torch.Tensor]:
    """The gradients of one batch of random documents, split into parts of rows."""
    entry = models[name]
    options = {"layers": 1, "heads": 1, "width": 8} | ({"smoothing": smoothing} if name == "smoothed" else {})
    objective = entry.load()(entry.load_config()(**options), vocabulary=7, context=6, seed=0)
    draw = np.random.default_rng(1)
    length = draw.integers(3, 7, 8)
    documents = Documents(draw.integers(1, 7, (8, 6)).astype(np.int32), length, np.ones(8, np.int64))
    batch = pack(documents, 8, 6)
    totals = objective.counts(batch)
    rows = len(batch.tokens) // parts
    for low in range(0, len(batch.tokens), rows):
        objective.backward(batch.rows(low, low + rows), totals)
    return {name: p.grad for name, p in objective.named_parameters() if p.grad is not None}


def test_without_smoothing_it_is_gpt() -> None:
    ours, theirs = gradients(0.0), gradients(0.0, "gpt")
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-6)


def test_smoothing_changes_the_gradient() -> None:
    plain, smoothed = gradients(0.0), gradients(0.3)
    assert any(not torch.allclose(plain[name], smoothed[name], atol=1e-4) for name in plain)


def test_parts_have_the_gradient_of_the_whole() -> None:
    whole, parts = gradients(0.3), gradients(0.3, parts=4)
    for name, gradient in whole.items():
        torch.testing.assert_close(gradient, parts[name], rtol=1e-4, atol=1e-6)


def test_a_run_is_trained_scored_and_continued(tmp_path: Path) -> None:
    words = ["run", "hmm", "--model", "smoothed", "--preset", "small", "--plugin", FILE, "--out", tmp_path, *SETTINGS]
    code, said = call(*words, "--model.smoothing", "0.2")
    assert code == 0, said
    folder = next(tmp_path.glob("hmm-smoothed-*"))
    assert result_of(folder).config["model"]["smoothing"] == 0.2
    code, said = call(*words, "--model.smoothing", "0.2")
    assert (code, "done already" in said) == (0, True)
    code, said = call(*words, "--model.smoothing", "1.5")
    assert code == 2
    assert "model.smoothing must be at least 0 and below 1, not 1.5" in said


def test_a_step_does_not_read_the_device() -> None:
    objective = models["smoothed"].load()(
        models["smoothed"].load_config()(layers=1, heads=1, width=8), vocabulary=7, context=6, seed=0
    )
    documents = Documents(np.ones((8, 6), np.int32), np.full(8, 6, np.int32), np.ones(8, np.int32))
    assert check_static_shapes(objective, pack(documents, 4, 12)).keys() == {"next_token", "uniform"}
