"""Training on a graphics card: every objective gives the same bits again, in every precision, and every world is
trained in and scored. (Decoding, metrics and compiled training: `test_cuda_models.py`; two
cards: `test_torchrun.py`.)"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_resume import stop_and_go_on, trainer
from tiny_runs import OPTIONS, TINY_MODELS, TINY_WORLDS, call, tiny_model, tiny_words

from worldbench.core.registry import models
from worldbench.records.finding import own_result
from worldbench.records.lines import EvalLine, read_lines
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.settings import shipped

pytestmark = pytest.mark.gpu
TRAINED = [name for name in models.names() if models[name].trained]
STEPS = 12
METRICS = {"group": "label_accuracy", "text": "bits_per_byte"}
"""The metric of worlds to which next_token does not apply."""
OPTIMIZERS, PRECISIONS = ("adamw", "muon"), ("fp32", "tf32", "bf16")
NEAR = {"tf32": 2e-2, "bf16": 2e-2}
"""Largest relative difference of a loss of the first steps from the one in fp32. The divergence of NextLat is a small
difference of logarithms: on an H200 it differed by .011 in tf32."""


def trained(out: Path, world: str, model: str, *more: str) -> Path:
    """The folder of a tiny run on the graphics card."""
    shape = dataclasses.asdict(tiny_model(model))
    options = OPTIONS | {
        "model": {name: shape[name] for name in TINY_MODELS if name in shape},
        "eval": OPTIONS["eval"] | {"metrics": METRICS.get(world, "next_token")},
    }
    words = [
        word
        for group in ("train", "model", "eval")
        for name, value in options[group].items()
        for word in (f"--{group}.{name}", str(value))
    ]
    code, said = call(
        *("run", world, "--model", model, "--preset", "small", *tiny_words(world), *words),
        *("--train.device", "cuda", "--out", out, "--quiet", *more),
    )
    assert code == 0, said
    return next(out.glob(f"{world}-{model}-*"))


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """torch raises an error at any operation that would wait for the card."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", TRAINED)
def test_an_objective_trains_to_the_same_bits(tmp_path: Path, model: str, optimizer: str) -> None:
    with warnings.catch_warnings(record=True) as said:
        folders = [trained(tmp_path / name, "taxi", model, "--train.optimizer", optimizer) for name in "ab"]
    assert [str(w.message) for w in said] == []
    files = [{p.name: p.read_bytes() for p in f.rglob("*.safetensors")} for f in folders]
    assert files[0]
    assert files[0] == files[1]
    assert (folders[0] / "metrics.jsonl").read_bytes() == (folders[1] / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("model", TRAINED)
def test_the_first_losses_are_those_of_the_processor(tmp_path: Path, model: str) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        t = trainer(tmp_path / device, model, device=device, row_tokens=25)
        losses.append([{name: float(x) for name, x in t.step(step).items()} for step in range(3)])
    for here, there in zip(*losses):
        assert there == pytest.approx(here, rel=2e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", TRAINED)
def test_a_stopped_training_goes_on_with_the_same_bits(tmp_path: Path, model: str, optimizer: str) -> None:
    stop_and_go_on(tmp_path, model, 5, {}, optimizer=optimizer, device="cuda")


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("model", TRAINED)
def test_a_precision_repeats_its_bits_and_is_near_fp32(tmp_path: Path, model: str, precision: str) -> None:
    """Heads of 16, so that packed rows are attended to without a mask in bf16; the same bits after a stop as well."""
    more: dict[str, dict[str, object]] = {}
    stop_and_go_on(tmp_path, model, 5, more, precision=precision, device="cuda")
    losses = []
    for name in ("fp32", precision):
        t = trainer(tmp_path / name, model, device="cuda", row_tokens=25, steps=STEPS, precision=name)
        losses.append([{term: float(x) for term, x in t.step(step).items()} for step in range(STEPS)])
        assert all(p.dtype == torch.float32 for p in t.objective.parameters())
    for exact, found in zip(*losses):
        assert found == pytest.approx(exact, rel=NEAR[precision])
    assert precision == "tf32" or losses[0] != losses[1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_training_goes_on_with_the_same_bits(tmp_path: Path, precision: str) -> None:
    stop_and_go_on(tmp_path, "gpt", 5, {}, device="cuda", compile=True, precision=precision)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 64, 256)])
def test_muon_on_a_graphics_card_is_muon_on_the_processor(shape: tuple[int, ...]) -> None:
    """To the rounding of fp32, which five iterations make a few hundred times larger. In bf16, the singular values are
    those that the iterations aim at."""
    from worldbench.training.muon import orthogonalized

    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalized(x.cuda()).cpu(), orthogonalized(x), rtol=2e-3, atol=2e-3)
    rounded = torch.linalg.svdvals(orthogonalized(x.cuda(), rounds=True).cpu())
    exact = torch.linalg.svdvals(orthogonalized(x))
    assert float((rounded - exact).abs().mean()) < 0.05


@pytest.mark.parametrize("world", sorted(TINY_WORLDS))
def test_a_world_is_trained_and_scored(tmp_path: Path, world: str) -> None:
    folder = trained(tmp_path, world, "nextlat")
    path = own_result(folder)
    assert path is not None
    result = read(path, Result)
    assert set(result.scores) == {METRICS.get(world, "next_token")}
    assert all(score.value is not None for metric in result.scores.values() for score in metric.scores.values())
    curve = [line for line in read_lines(folder / "metrics.jsonl") if isinstance(line, EvalLine)]
    assert len(curve) == 3
    assert all(line.loss is not None and math.isfinite(line.loss) for line in curve)


@pytest.mark.parametrize(
    ("optimizer", "precision"), [("adamw", "fp32"), ("muon", "fp32"), ("adamw", "bf16"), ("muon", "bf16")]
)
@pytest.mark.parametrize("model", TRAINED)
def test_a_step_never_waits_for_the_card(tmp_path: Path, model: str, optimizer: str, precision: str) -> None:
    """The second step and the making of the third batch."""
    t = trainer(
        tmp_path, model, steps=4, accumulate=2, row_tokens=25, device="cuda", optimizer=optimizer, precision=precision
    )
    t.step(0)
    with no_waiting():
        losses = t.step(1)
    assert all(bool(torch.isfinite(x)) for x in losses.values())


def test_a_sweep_uses_the_card_in_several_processes(tmp_path: Path) -> None:
    """The references are scored in processes too, and the device of every cell is found by the program itself."""
    recipe = tmp_path / "two.toml"
    recipe.write_text(shipped.find(Path("ci"), "sweep").read_text(encoding="utf-8"), encoding="utf-8")
    words = ["sweep", str(recipe), "--workers", "2", "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-m", "worldbench", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    configs = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "out").glob("*-s0-*/config.json")]
    assert configs
    assert all(config["groups"]["train"]["device"] == "cuda" for config in configs)
