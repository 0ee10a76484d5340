"""`train.precision`: losses near those of fp32, exact resume, what stays in fp32, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from some_cases import others_slow
from test_resume import stop_and_go_on, trainer
from test_static_shapes import BATCHES, VARIANTS, V, made
from tiny_jobs import job

from worldbench.baselines import recurrent
from worldbench.baselines.objective import Objective
from worldbench.core.errors import InputError, RunError
from worldbench.core.options import identity_fields
from worldbench.core.registry import models
from worldbench.settings.resolve import resolve
from worldbench.settings.train import TrainConfig
from worldbench.training import arithmetic
from worldbench.training.muon import orthogonalized
from worldbench.training.optimizer import make_optimizer
from worldbench.training.precision import computing, refuse_precision

TRAINED = [e.name for e in models if e.trained]
MORE = {"bst": {"model": {"pairs": 0.5}}}
BF16 = 2.0**-8
"""Relative rounding of bf16."""


def gradients(objective: Objective, batch: str, precision: str) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    rows = BATCHES[batch]
    with computing(precision, "cpu"):
        terms = objective.backward(rows, objective.counts(rows))
    assert all(term.dtype == torch.float32 for term in terms.values())
    found = {name: p.grad for name, p in objective.named_parameters() if p.grad is not None}
    return {name: float(term) for name, term in terms.items()}, found


def assert_near(fp32: Objective, bf16: Objective, batch: str) -> None:
    """Terms within half the rounding of bf16; the gradient of each parameter within 12 times, and the same parameters
    have one."""
    losses, exact = gradients(fp32, batch, "fp32")
    rounded, found = gradients(bf16, batch, "bf16")
    assert rounded == pytest.approx(losses, rel=BF16 / 2)
    assert rounded != losses
    assert found.keys() == exact.keys()
    for name, g in exact.items():
        assert found[name].dtype == torch.float32
        assert torch.isfinite(found[name]).all()
        assert float((found[name] - g).norm()) <= 12 * BF16 * float(g.norm()) + 1e-9, name


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_in_bf16_is_near_the_step_in_fp32(name: str, batch: str) -> None:
    assert_near(made(name), made(name), batch)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_in_bf16_is_near_it_in_fp32(name: str, batch: str) -> None:
    kind, config = VARIANTS[name]
    assert_near(kind(config, V, 40, 0, V - 1), kind(config, V, 40, 0, V - 1), batch)


@pytest.mark.parametrize("model", others_slow(TRAINED, "jtp", "lstm"))
def test_training_in_bf16_follows_training_in_fp32(model: str, tmp_path: Path) -> None:
    """Over 12 steps, every loss within 1% of that in fp32; weights and the optimizer's state are in fp32."""
    losses = []
    for precision in ("fp32", "bf16"):
        t = trainer(tmp_path / precision, model, MORE.get(model), precision=precision)
        losses.append([{k: float(v) for k, v in t.step(step).items()} for step in range(12)])
        assert all(p.dtype == torch.float32 for p in t.objective.parameters())
        assert all(x.dtype == torch.float32 for state in t.optimizer.state.values() for x in state.values())
    for exact, found in zip(*losses):
        assert found == pytest.approx(exact, rel=1e-2)
    assert losses[0] != losses[1]


RESUMED = others_slow(
    [(model, optimizer) for optimizer in ("adamw", "muon") for model in TRAINED],
    *(("bst", "adamw"), ("lstm", "adamw"), ("gpt", "muon")),
)
"""Muon on fp32, for every model: test_muon.py."""


@pytest.mark.parametrize(("model", "optimizer"), RESUMED)
def test_a_resumed_run_has_the_same_bits(model: str, optimizer: str, tmp_path: Path) -> None:
    changes: dict[str, object] = {"precision": "bf16", "accumulate": 2, "optimizer": optimizer, "steps": 6}
    stop_and_go_on(tmp_path, model, 3, MORE.get(model, {}), **changes)


def test_a_weight_that_is_first_used_without_gradient_keeps_its_gradient() -> None:
    """As the head in NextLat, whose teacher reads it under no_grad."""
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    with computing("bf16", "cpu"):
        with torch.no_grad():
            layer(x)
        layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_the_learning_curve_and_the_logits_are_in_fp32(tmp_path: Path) -> None:
    """The weights after some steps in bf16 have the curve that they have in a trainer of fp32."""
    t = trainer(tmp_path / "bf16", "gpt", precision="bf16")
    t.step(0)
    other = trainer(tmp_path / "fp32", "gpt")
    other.objective.load_state_dict(t.objective.state_dict())
    assert t.evaluate(1) == other.evaluate(1)


# Muon


def test_muon_rounds_its_products_with_bf16_alone() -> None:
    x = torch.randn(3, 24, 48, generator=torch.Generator().manual_seed(1))
    exact, rounded = orthogonalized(x), orthogonalized(x, rounds=True)
    assert rounded.dtype == torch.float32
    assert BF16 / 4 < float((rounded - exact).norm() / exact.norm()) < 0.1
    for precision, rounds in (("fp32", False), ("bf16", True)):
        config = TrainConfig(optimizer="muon", precision=precision)  # type: ignore[arg-type]
        assert make_optimizer(made("gpt"), config).rounds == rounds  # type: ignore[attr-defined]


def test_a_rounded_update_is_that_of_torch() -> None:
    """torch's class divides by the norm in bf16 too, so it differs by the rounding of one product."""
    from torch.optim._muon import _zeropower_via_newtonschulz as published

    generator = torch.Generator().manual_seed(2)
    for shape in ((16, 16), (16, 24), (16, 48)):
        # Singular values of very different size: the powers of XX^T would not survive the rounding.
        x = torch.randn(shape, generator=generator) * torch.logspace(0, -3, 16)[:, None]
        theirs = published(x, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
        ours = orthogonalized(x[None], rounds=True)[0]
        assert float((ours - theirs).norm() / theirs.norm()) < 0.1


# Settings


def test_precision_is_part_of_the_identity_unless_it_is_fp32() -> None:
    base = job("gpt").groups["train"]
    assert "precision" not in identity_fields(base)
    assert identity_fields(dataclasses.replace(base, precision="bf16"))["precision"] == "bf16"


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"train\.precision tf32 is a format of CUDA devices, and training runs on cpu"
    ):
        trainer(tmp_path / "run", precision="tf32")
    with pytest.raises(InputError, match=r"train\.precision .*'bf61'.*bf16"):
        resolve("hmm", "gpt", preset="small", seed=0, options=["--train.precision", "bf61"])
    with pytest.raises(InputError, match=r"train\.products onednn is for train\.precision fp32, not bf16"):
        trainer(tmp_path / "run", precision="bf16", products="onednn")
    refuse_precision("tf32", "cuda")
    refuse_precision("bf16", "cpu")


def test_tf32_ends_with_its_block() -> None:
    arithmetic.set_up()
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    with computing("tf32", "cuda"):
        assert matmul.allow_tf32
        assert cudnn.allow_tf32
    assert not matmul.allow_tf32
    assert not cudnn.allow_tf32


def test_the_fingerprint_tells_precisions_apart(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    fp32, bf16 = (arithmetic.fingerprint("cpu", precision=precision) for precision in ("fp32", "bf16"))
    assert fp32 == arithmetic.fingerprint("cpu")
    assert fp32 != bf16
    arithmetic.guard(tmp_path, "cpu", goes_on=False, precision="bf16")
    arithmetic.guard(tmp_path, "cpu", goes_on=True, precision="bf16")
    with pytest.raises(RunError, match="whose results differ in the last digits"):
        arithmetic.guard(tmp_path, "cpu", goes_on=True)


def test_lstm_layers_are_in_fp32_where_the_processor_has_no_bf16_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "has_bf16_lstm", lambda: False)
    objective = made("lstm")
    h = {}
    for precision in ("fp32", "bf16"):
        with computing(precision, "cpu"), torch.no_grad():
            h[precision] = objective.encode(BATCHES["single"].tokens)
    assert torch.equal(h["fp32"], h["bf16"])
