"""What ties the objectives together: one start, one trunk, and terms that reach only the weights they should.

The losses themselves are checked against their equations in test_nextlat.py, the layers in test_backbone.py.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.baselines.backbone import NORM_EPS, RMSNorm
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.bst import BST
from worldbench.baselines.gpt import GPT
from worldbench.baselines.jtp import JTP
from worldbench.baselines.mtp import MTP
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import BSTConfig, GPTConfig, JTPConfig, MTPConfig, NextLatConfig, RecurrentConfig
from worldbench.baselines.recurrent import GRU, LSTM
from worldbench.baselines.trained import TrainedModel
from worldbench.core.world import Documents

V, CONTEXT = 17, 200
SHAPE = GPTConfig(layers=2, heads=2, width=16)
CONFIG = NextLatConfig(layers=2, heads=2, width=16, horizon=3, lambda_h=0.7, lambda_kl=0.4)
KINDS = [
    (GPT, SHAPE),
    (NextLat, CONFIG),
    (BST, BSTConfig(layers=2, heads=2, width=16)),
    (MTP, MTPConfig(layers=2, heads=2, width=16)),
    (JTP, JTPConfig(layers=2, heads=2, width=16)),
    (GRU, RecurrentConfig(width=16)),
    (LSTM, RecurrentConfig(width=16)),
]


def documents(n: int, longest: int, seed: int = 0) -> Documents:
    rng = np.random.default_rng(seed)
    length = rng.integers(3, longest + 1, n).astype(np.int32)
    return Documents(rng.integers(0, V, (n, longest)).astype(np.int32), length, rng.integers(1, 3, n).astype(np.int32))


def gradients(objective: Objective, batch: Batch) -> dict[str, Tensor]:
    """Of the whole loss, in double precision with weights large enough for latents to differ."""
    objective.double()
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(10)
    objective.backward(batch, objective.counts(batch))
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in objective.named_parameters()}


# The start


@pytest.mark.parametrize(("kind", "config"), KINDS)
def test_building_neither_reads_nor_moves_the_global_generator(kind: type[Objective], config: GPTConfig) -> None:
    before = torch.get_rng_state()
    first = kind(config, V, CONTEXT, 0).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert not torch.equal(torch.get_rng_state(), before)
    second = kind(config, V, CONTEXT, 0).state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_dynamics_start_as_the_trunk_does() -> None:
    """Its last layer too: it is not zeroed."""
    for name, value in NextLat(NextLatConfig(), V, CONTEXT, 0).dynamics.state_dict().items():
        if value.ndim < 2:
            assert torch.equal(value, torch.ones_like(value))
        else:
            assert float(value.std()) == pytest.approx(0.02, rel=5 / (2 * value.numel()) ** 0.5), name


@pytest.mark.parametrize("scale", [1.0, 1e-3], ids=["ordinary", "near-eps"])
def test_norm_gradient_is_that_of_the_formula(scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x = (scale * torch.randn(4, 5, 12, dtype=torch.float64, generator=generator)).requires_grad_()
    g = torch.randn(4, 5, 12, dtype=torch.float64, generator=generator)
    norm = RMSNorm(12).double()
    with torch.no_grad():
        norm.weight.copy_(torch.randn(12, generator=generator))
    formula = x / torch.sqrt((x * x).mean(-1, keepdim=True) + NORM_EPS) * norm.weight
    torch.testing.assert_close(norm(x), formula, atol=0, rtol=1e-12)
    for got, expected in zip(
        torch.autograd.grad(norm(x), (x, norm.weight), g), torch.autograd.grad(formula, (x, norm.weight), g)
    ):
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-10)


# What the latent terms reach


@pytest.mark.parametrize("packed", [True, False])
def test_nextlat_without_its_terms_is_gpt(packed: bool) -> None:
    batch = pack(documents(6, 9), 2, 14) if packed else pack(documents(6, 9), 6, 8)
    plain = gradients(GPT(SHAPE, V, CONTEXT, 0), batch)
    latent = gradients(NextLat(dataclasses.replace(CONFIG, lambda_h=0.0, lambda_kl=0.0), V, CONTEXT, 0), batch)
    for name, value in latent.items():
        if name.startswith("dynamics."):
            assert not value.any()
        else:
            torch.testing.assert_close(value, plain[name], atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize(
    "change",
    [{"lambda_h": 0.0, "lambda_kl": 5.0}, {"lambda_h": 5.0, "lambda_kl": 0.0}, {"lambda_h": 5.0, "lambda_kl": 5.0}],
)
def test_latent_terms_move_all_but_the_head(change: dict[str, float]) -> None:
    batch = pack(documents(6, 9), 2, 14)
    plain = gradients(GPT(SHAPE, V, CONTEXT, 0), batch)
    latent = gradients(NextLat(dataclasses.replace(CONFIG, **change), V, CONTEXT, 0), batch)
    torch.testing.assert_close(latent["trunk.head.weight"], plain["trunk.head.weight"], atol=1e-12, rtol=1e-9)
    for name, value in latent.items():
        if name != "trunk.head.weight":
            assert (value - plain.get(name, 0)).abs().max() > 1e-5, name


def test_divergence_moves_the_head_when_it_is_let() -> None:
    batch = pack(documents(6, 9), 2, 14)
    stopped, moving = (
        gradients(NextLat(dataclasses.replace(CONFIG, stop_head=stop), V, CONTEXT, 0), batch) for stop in (True, False)
    )
    for name, value in moving.items():
        if name == "trunk.head.weight":
            assert (value - stopped[name]).abs().max() > 1e-4
        else:
            torch.testing.assert_close(value, stopped[name], atol=1e-12, rtol=1e-9)


# Predicting between steps


@pytest.mark.parametrize("longest", [9, 150], ids=["short", "past-the-first-rotary-table"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("kind", "config"), KINDS)
def test_prediction_leaves_training_as_it_was(
    kind: type[Objective], config: GPTConfig, packed: bool, longest: int
) -> None:
    """Also where prediction came first, or was of longer rows, and so made the rotary table."""
    batch = pack(documents(4, longest), 2, longest) if packed else pack(documents(4, longest), 4, longest - 1)
    untouched = gradients(kind(config, V, CONTEXT, 0), batch)
    objective = kind(config, V, CONTEXT, 0)
    TrainedModel(objective).logits(np.zeros((1, longest + 30), np.int64))
    for name, value in gradients(objective, batch).items():
        assert torch.equal(value, untouched[name])
