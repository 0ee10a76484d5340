"""Training on a graphics card: every objective gives the same bits again, and every world is trained in and scored.
Skipped where torch sees no CUDA device."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import pytest
import torch
from test_attention import V as VOCABULARY
from test_attention import gradients, packed
from tiny_jobs import job
from tiny_runs import OPTIONS, TINY_MODELS, TINY_WORLDS, call, tiny_model, tiny_words

from worldbench.baselines import attention
from worldbench.baselines import objective as objective_module
from worldbench.core.registry import models
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.records.finding import own_result
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.training.arithmetic import set_up
from worldbench.training.trainer import Trainer

if not torch.cuda.is_available():
    pytest.skip("torch sees no CUDA device", allow_module_level=True)
TRAINED = [name for name in models.names() if models[name].trained]


def trained(out: Path, world: str, model: str, *more: str) -> Path:
    """The folder of a tiny run on the graphics card."""
    shape = dataclasses.asdict(tiny_model(model))
    options = OPTIONS | {"model": {name: shape[name] for name in TINY_MODELS if name in shape}}
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


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("model", TRAINED)
def test_an_objective_trains_to_the_same_bits(tmp_path: Path, model: str, optimizer: str) -> None:
    with warnings.catch_warnings(record=True) as said:
        folders = [trained(tmp_path / name, "taxi", model, "--train.optimizer", optimizer) for name in "ab"]
    assert [str(w.message) for w in said] == []
    files = [{p.name: p.read_bytes() for p in f.rglob("*.safetensors")} for f in folders]
    assert files[0]
    assert files[0] == files[1]
    assert (folders[0] / "metrics.jsonl").read_bytes() == (folders[1] / "metrics.jsonl").read_bytes()


def test_muon_on_a_graphics_card_is_muon_on_the_processor() -> None:
    """To the rounding of fp32: matrix products on the card use fp32 too."""
    from worldbench.training.muon import orthogonalized

    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 64, 64), (2, 64, 256)):
        x = torch.randn(shape, generator=generator)
        torch.testing.assert_close(orthogonalized(x.cuda()).cpu(), orthogonalized(x), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("world", sorted(TINY_WORLDS))
def test_a_world_is_trained_and_scored(tmp_path: Path, world: str) -> None:
    folder = trained(tmp_path, world, "nextlat")
    path = own_result(folder)
    assert path is not None
    assert read(path, Result).scores["next_token"].scores["top1_legal"].value is not None


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("model", TRAINED)
def test_a_step_never_waits_for_the_card(tmp_path: Path, model: str, optimizer: str) -> None:
    """The second step and the making of the third batch: torch raises an error at any operation that would wait."""
    j = job(model, changes={"train": {"steps": 4, "accumulate": 2, "device": "cuda", "optimizer": optimizer}})
    world = TaxiWorld(j.groups["env"])
    objective = build(identify(j, world))
    if optimizer == "muon" and not objective.inner_matrices():
        pytest.skip(f"{model} has no matrix for Muon")
    trainer = Trainer(world, objective, j.groups["data"], j.groups["train"], 0, tmp_path)
    trainer.step(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = trainer.step(1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(bool(torch.isfinite(x)) for x in losses.values())


TRANSFORMERS = [name for name in TRAINED if name not in ("gru", "lstm")]


@pytest.mark.skipif(torch.cuda.get_device_capability() < (8, 0), reason="flash kernels need compute capability 8")
@pytest.mark.parametrize("model", TRANSFORMERS)
def test_attention_without_a_mask(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With bf16 the documents of packed rows are attended to in pieces: the same bits in two runs, and the losses and
    gradients of the dense mask up to rounding."""
    set_up(1)
    batch = packed(0, rows=8, width=40).to("cuda")
    shape = dataclasses.replace(tiny_model(model), width=32, heads=2)
    objective = models[model].load()(shape, VOCABULARY, 40, 0, VOCABULARY - 1).to("cuda")
    used: list[int] = []
    whole = attention._attend_in_pieces
    monkeypatch.setattr(attention, "_attend_in_pieces", lambda *x: (used.append(len(x)), whole(*x))[1])

    def step() -> list[torch.Tensor]:
        with torch.autocast("cuda", torch.bfloat16):
            return gradients(objective, batch)

    first, second = step(), step()
    assert used
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for module in (attention, objective_module):
        monkeypatch.setattr(module, "takes_pieces", lambda *_: False)
    used.clear()
    for a, b in zip(first, step(), strict=True):
        assert float((a - b).norm()) <= 0.03 * float(b.norm()) + 1e-5
    assert not used
