"""Is a function a next-token model? What reads later tokens, draws at random or returns probabilities is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from worldbench.baselines.callable import CallableModel
from worldbench.baselines.causality import require_next_token_model
from worldbench.baselines.references import Oracle
from worldbench.core.errors import InputError
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld

CITY = TaxiConfig(map="city:24", min_moves=2, max_moves=9)
WORLD = HMM(HMMConfig(process="mess3", length=9))
V = len(WORLD.vocabulary)


def embedded(tokens: np.ndarray) -> np.ndarray:
    """A vector for each token, [B, T, V]."""
    return np.sin(np.asarray(tokens)[..., None] * np.arange(1.0, V + 1))


def causal(tokens: np.ndarray) -> np.ndarray:
    return np.cumsum(embedded(tokens), axis=1)


def with_hidden(hidden: Any) -> Any:
    return lambda tokens: (causal(tokens), hidden(tokens))


def bfloat16(tokens: np.ndarray) -> torch.Tensor:
    """Rounded to three digits, with an order of sums that depends on the shape."""
    z = torch.from_numpy(causal(tokens)).float()
    return (z * (1 + 1e-3 * (tokens.shape[1] % 2))).bfloat16()


@pytest.mark.parametrize(
    "function",
    [
        causal,
        lambda t: causal(t) + np.random.default_rng().normal(),
        with_hidden(causal),
        with_hidden(lambda t: bfloat16(t)),
        with_hidden(lambda t: 0 * causal(t)),
        with_hidden(lambda t: np.concatenate([causal(t), 0 * causal(t), 1e6 + 0 * causal(t)], axis=-1)),
        with_hidden(
            lambda t: np.concatenate([causal(t), 1e-7 * np.random.default_rng().normal(size=(*t.shape, 1))], -1)
        ),
        bfloat16,
        lambda t: 1e4 * causal(t),
        lambda t: np.zeros((*t.shape, V)),
    ],
)
def test_causal_functions_pass(function: Any) -> None:
    """One number added to every logit changes no probability."""
    require_next_token_model(CallableModel(function, WORLD.vocabulary), WORLD, 0)


def test_references_pass() -> None:
    require_next_token_model(Oracle(WORLD), WORLD, 0)
    city = TaxiWorld(CITY)
    require_next_token_model(Oracle(city), city, 3)


def looking(ahead: int) -> Any:
    """The logits of each place are those of the place `ahead` later."""
    return lambda t: np.concatenate([causal(t)[:, ahead:], causal(t)[:, -1:].repeat(min(ahead, t.shape[1]), 1)], axis=1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        *(
            (looking(ahead), "reads later tokens: where the rest of a document is replaced by other words")
            for ahead in (1, 2, 5)
        ),
        (lambda t: causal(t) + causal(t)[:, -1:], "reads later tokens"),
        (lambda t: causal(t) + 0.1 * embedded(t).mean(1, keepdims=True), "reads later tokens"),
        (lambda t: causal(t) * (1 + (t == 0).sum(1)[:, None, None]), "the rest of a document is replaced by"),
        (lambda t: causal(t) * t.shape[1], "the rest of a document is left out"),
        (lambda t: causal(t)[:, ::-1], "reads later tokens"),
        *(
            (with_hidden(lambda t, how=how: how(embedded(t))), "its hidden states move by up to .* before that place")
            for how in (
                lambda h: h + h[:, -1:],
                lambda h: h[:, ::-1],
                lambda h: np.concatenate([1e6 + 0 * h[..., :1], 0.1 * (h + h[:, -1:])], axis=-1),
                lambda h: 1e-9 * np.cumsum(h[:, ::-1], axis=1)[:, ::-1],
                lambda h: h * h.shape[1],
            )
        ),
        (lambda t: causal(t) + np.random.default_rng().normal(size=V), "it draws at random; switch dropout"),
        (
            with_hidden(lambda t: np.random.default_rng().normal(size=t.shape)[..., None]),
            "its hidden states move .*it draws at random",
        ),
        (lambda t: np.exp(causal(t)) / np.exp(causal(t)).sum(-1, keepdims=True), "returns probabilities"),
        (lambda t: np.eye(V)[np.zeros_like(t)], "returns probabilities"),
        (
            lambda t: torch.softmax(torch.from_numpy(causal(t)), -1).half(),
            "return logits, or the logarithms of the probabilities",
        ),
    ],
)
def test_others_do_not(function: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        require_next_token_model(CallableModel(function, WORLD.vocabulary), WORLD, 0)
