"""NextLat in parts: gradients that add up, the memory of logits, prediction, sizes and options."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable

import pytest
import torch
from latent_batches import CONFIG, CONTEXT, EVERY, V, assert_same_gradients, gradients, make, packed
from torch import Tensor

from worldbench.baselines.gpt import GPT
from worldbench.baselines.nextlat import Dynamics, NextLat
from worldbench.baselines.options import GPTConfig, NextLatConfig
from worldbench.core.errors import InputError

# Accumulation and memory


@pytest.mark.parametrize(
    "config",
    [EVERY[name] for name in ("gpt", "nextlat", "plain-both-moving", "all-both-moving", "past-every-document-and-on")],
)
def test_accumulated_parts_have_the_gradient_of_the_whole(config: GPTConfig) -> None:
    objective, batch = make(config), packed(rows=6)
    totals = objective.counts(batch)
    whole_terms = objective.backward(batch, totals)
    whole = gradients(objective)
    parts = [batch.rows(0, 1), batch.rows(1, 4), batch.rows(4, 6)]
    for name, total in totals.items():
        assert sum(int(objective.counts(part)[name]) for part in parts) == int(total)
    summed = [objective.backward(part, totals) for part in parts]
    assert_same_gradients(gradients(objective), whole)
    for name, value in whole_terms.items():
        assert float(sum(s[name] for s in summed)) == pytest.approx(float(value), rel=1e-9)


def test_logits_of_one_step_at_a_time() -> None:
    """What autograd keeps of the vocabulary's size does not grow with the horizon."""

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def most_kept(horizon: int) -> int:
        objective, batch = make(dataclasses.replace(CONFIG, horizon=horizon)), packed(rows=6, share=1, width=8)
        alive: weakref.WeakSet[Kept] = weakref.WeakSet()
        most = 0

        def keep(tensor: Tensor) -> Kept:
            nonlocal most
            kept = Kept(tensor)
            if tensor.ndim == 2 and tensor.shape[-1] == V:
                alive.add(kept)
                most = max(most, len(alive))
            return kept

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
            objective.backward(batch, objective.counts(batch))
        return most

    assert 0 < most_kept(6) <= most_kept(2)


def test_a_term_of_weight_0_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called: the dynamics, the regression, the head (for next tokens, and for teachers and students)."""
    batch, calls = packed(), {"dynamics": 0, "regression": 0, "head": 0}

    def counted(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: object, **kwargs: object) -> Tensor:
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(Dynamics, "forward", counted("dynamics", Dynamics.forward))
    monkeypatch.setattr(
        torch.nn.functional, "smooth_l1_loss", counted("regression", torch.nn.functional.smooth_l1_loss)
    )
    seen = {}
    for name in ("nextlat", "no-kl", "no-regression", "no-latents"):
        objective = make(EVERY[name])
        objective.trunk.head.register_forward_hook(lambda *_: calls.__setitem__("head", calls["head"] + 1))
        calls.update(dynamics=0, regression=0, head=0)
        objective.backward(batch, objective.counts(batch))
        seen[name] = tuple(calls.values())
    assert seen == {"nextlat": (3, 3, 5), "no-kl": (3, 3, 1), "no-regression": (3, 0, 5), "no-latents": (0, 0, 1)}


# The rest of the interface


def test_prediction_is_the_trunk_alone() -> None:
    nextlat, gpt = NextLat(CONFIG, V, CONTEXT, 0), GPT(GPTConfig(layers=2, heads=2, width=16), V, CONTEXT, 0)
    assert nextlat.inference_parameters() == gpt.inference_parameters() == gpt.parameter_count()
    assert nextlat.parameter_count() - gpt.parameter_count() == 2 * 16 + 32 * 128 + 128 * 128 + 128 * 16
    for name, p in gpt.trunk.named_parameters():
        assert torch.equal(p, dict(nextlat.trunk.named_parameters())[name]), (
            "the same seed starts both from the same trunk"
        )


@pytest.mark.parametrize(
    ("factor", "width", "hidden"), [(1.0, 64, 128), (1.0, 384, 768), (0.5, 384, 384), (2.0, 384, 1536), (0.01, 64, 128)]
)
def test_dynamics_width(factor: float, width: int, hidden: int) -> None:
    assert NextLatConfig(width=width, heads=2, dynamics_factor=factor).dynamics_width == hidden


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"horizon": 0}, "model.horizon"),
        ({"lambda_h": -1.0}, "model.lambda_h"),
        ({"lambda_kl": -0.1}, "model.lambda_kl"),
        ({"dynamics_factor": 0.0}, "model.dynamics_factor"),
        ({"width": 31}, "model.width"),
        ({"mask": "landed"}, "model.mask .* did you mean 'landing'"),
        ({"state": "norm"}, "model.state .* did you mean 'normed'"),
        ({"control": "cutt"}, "model.control .* did you mean 'cut'"),
        ({"control": "cut", "stop_target": False}, "model.stop_target"),
        ({"lambda_h": 0.0, "stop_target": False}, "model.stop_target False has no effect with model.lambda_h 0"),
        ({"lambda_kl": 0.0, "stop_head": False}, "model.stop_head False has no effect with model.lambda_kl 0"),
        ({"control": "cut", "stop_head": False}, "model.stop_head"),
    ],
)
def test_options_that_cannot_be(values: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=field):
        NextLatConfig(**values)  # type: ignore[arg-type]
