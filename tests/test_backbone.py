"""The backbone against its formulas written out, and cached decoding against the whole forward pass.

Shape letters: B rows, T tokens, D width, H heads, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.baselines import trained
from worldbench.baselines.backbone import Backbone, _RMSNorm, swiglu_width
from worldbench.baselines.batch import pack
from worldbench.baselines.bst import BST
from worldbench.baselines.callable import CallableModel
from worldbench.baselines.gpt import GPT
from worldbench.baselines.jtp import JTP
from worldbench.baselines.mtp import MTP
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.options import BSTConfig, GPTConfig, JTPConfig, MTPConfig, NextLatConfig
from worldbench.baselines.trained import TrainedModel
from worldbench.core.errors import InputError
from worldbench.core.world import Documents, Vocabulary

V, CONTEXT = 23, 20
SHAPE = GPTConfig(layers=3, heads=2, width=24)


def lively(objective: GPT) -> GPT:
    """Weights large enough for attention to differ from a plain mean."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in objective.parameters():
            p.copy_(p * 8 if p.ndim >= 2 else 1 + 0.3 * torch.randn(p.shape, generator=generator))
    return objective


def tokens_of(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, V, (rows, width))


# The formulas


def literal_hidden(trunk: Backbone, tokens: list[int]) -> Tensor:
    """One document, float64, position by position and head by head."""
    w = {name: p.detach().double() for name, p in trunk.named_parameters()}
    joined, heads = w["blocks.0.out.weight"].shape[1], trunk.heads
    c = joined // heads

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return x / torch.sqrt((x * x).mean() + 1e-5) * weight

    def turned(x: Tensor, position: int) -> Tensor:
        out = x.clone()
        for k in range(c // 2):
            angle = position / 10_000 ** (2 * k / c)
            a, b = x[2 * k], x[2 * k + 1]
            out[2 * k] = a * math.cos(angle) - b * math.sin(angle)
            out[2 * k + 1] = a * math.sin(angle) + b * math.cos(angle)
        return out

    xs = [w["embedding.weight"][token] for token in tokens]
    for layer in range(trunk.layers):
        here = {
            name.removeprefix(f"blocks.{layer}."): p for name, p in w.items() if name.startswith(f"blocks.{layer}.")
        }
        qkv = [here["qkv.weight"] @ norm(x, here["norm_attention.weight"]) for x in xs]
        attended = []
        for t in range(len(xs)):
            parts = []
            for head in range(heads):
                at = slice(head * c, (head + 1) * c)
                q = turned(qkv[t][:joined][at], t)
                scores = torch.stack(
                    [q @ turned(qkv[s][joined : 2 * joined][at], s) / math.sqrt(c) for s in range(t + 1)]
                )
                weights = torch.softmax(scores, 0)
                parts.append(sum(weights[s] * qkv[s][2 * joined :][at] for s in range(t + 1)))
            attended.append(here["out.weight"] @ torch.cat(parts))  # type: ignore[arg-type]
        xs = [x + a for x, a in zip(xs, attended)]
        gate_up = [here["gate_up.weight"] @ norm(x, here["norm_mlp.weight"]) for x in xs]
        f = here["down.weight"].shape[1]
        xs = [x + here["down.weight"] @ (g[:f] / (1 + torch.exp(-g[:f])) * g[f:]) for x, g in zip(xs, gate_up)]
    return torch.stack([norm(x, w["norm.weight"]) for x in xs])


@pytest.mark.parametrize(
    "shape",
    [SHAPE, dataclasses.replace(SHAPE, head_width=6, mlp_width=24), dataclasses.replace(SHAPE, heads=1, head_width=2)],
)
def test_forward_is_the_formulas(shape: GPTConfig) -> None:
    objective = lively(GPT(shape, V, CONTEXT, 0))
    tokens = tokens_of(1, 11)
    expected = literal_hidden(objective.trunk, tokens[0].tolist())
    block = objective.trunk.blocks[0]
    assert block.out.weight.shape == (24, shape.heads * (shape.head_width or 12))  # type: ignore[union-attr]
    assert block.down.weight.shape == (24, shape.mlp_width or 128)  # type: ignore[union-attr]
    got = objective.encode(torch.from_numpy(tokens))[0]
    torch.testing.assert_close(got.double(), expected, atol=2e-5, rtol=1e-5)
    logits = TrainedModel(objective).logits(tokens)[0]
    np.testing.assert_allclose(
        logits, (expected @ objective.trunk.head.weight.detach().double().T).numpy(), atol=5e-5, rtol=1e-5
    )


def test_packed_documents_do_not_see_each_other() -> None:
    objective = lively(GPT(SHAPE, V, CONTEXT, 0))
    lengths = np.array([5, 9, 4, 7, 2, 6])
    documents = Documents(tokens_of(6, 9).astype(np.int32), lengths.astype(np.int32), np.full(6, 1, np.int32))
    batch = pack(documents, 2, 17)
    h = objective.encode_batch(batch)
    for r in range(2):
        for j in range(3):
            mine = batch.document[r] == j
            alone = objective.encode(
                torch.from_numpy(documents.tokens[r * 3 + j : r * 3 + j + 1, : int(mine.sum())].astype(np.int64))
            )
            torch.testing.assert_close(h[r, mine], alone[0], atol=2e-5, rtol=1e-5)
    assert torch.isfinite(h).all()


def test_causal() -> None:
    objective = lively(GPT(SHAPE, V, CONTEXT, 0))
    tokens = torch.from_numpy(tokens_of(2, 12))
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % V
    before, after = objective.encode(tokens), objective.encode(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7], atol=1e-6, rtol=0)
    assert ((before[:, 7:] - after[:, 7:]).abs().amax(dim=(0, 2)) > 1e-3).all()


def test_norm_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(6, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(_RMSNorm.apply, (x, weight))


# Sizes and initial weights


@pytest.mark.parametrize(
    ("objective", "config", "vocabulary", "expected"),
    [
        (GPT, GPTConfig(layers=12, heads=6, width=384), 106, 21_324_672),
        (NextLat, NextLatConfig(layers=12, heads=6, width=384, dynamics_factor=0.5), 106, 21_915_264),
        (BST, BSTConfig(layers=12, heads=6, width=384), 106, 47_287_296),
        (GPT, GPTConfig(layers=48, heads=8, width=384), 4590, 88.5e6),
        (MTP, MTPConfig(layers=48, heads=8, width=384, horizon=8), 4590, 102.7e6),
        (JTP, JTPConfig(layers=48, heads=8, width=384, horizon=8), 4590, 89.1e6),
        (BST, BSTConfig(layers=48, heads=8, width=384), 4590, 178.2e6),
        (NextLat, NextLatConfig(layers=48, heads=8, width=384, dynamics_factor=2.0), 4590, 92.6e6),
    ],
)
def test_parameter_counts_of_the_paper(
    objective: type[GPT], config: GPTConfig, vocabulary: int, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldbench.baselines.objective.initialize", lambda module, seed: None)
    with torch.device("meta"):
        model = objective(config, vocabulary, 100, 0)  # type: ignore[arg-type]
    assert model.parameter_count() == (expected if isinstance(expected, int) else pytest.approx(expected, abs=0.05e6))
    beyond = {"BST": "text_head", "JTP": "planning"}.get(objective.__name__)
    parts = [
        model.trunk,
        *([getattr(model, beyond)] if beyond else []),
        *([model.norm] if isinstance(model, JTP) else []),
    ]
    assert model.inference_parameters() == sum(p.numel() for part in parts for p in part.parameters()) + (
        384 if isinstance(model, BST) else 0
    )


@pytest.mark.parametrize(("width", "hidden"), [(16, 128), (64, 128), (80, 256), (384, 1024), (512, 1408), (2048, 5504)])
def test_swiglu_width(width: int, hidden: int) -> None:
    assert swiglu_width(width) == hidden


def test_initial_weights() -> None:
    """Of the seed alone: the global generator stands elsewhere for the second model."""
    first, same, other = (GPT(GPTConfig(), V, CONTEXT, seed).state_dict() for seed in (3, 3, 4))
    for name, value in first.items():
        assert torch.equal(value, same[name])
        if value.ndim < 2:
            assert torch.equal(value, torch.ones_like(value))
        else:
            assert not torch.equal(value, other[name])
            assert abs(float(value.mean())) < 5 * 0.02 / value.numel() ** 0.5
            assert float(value.std()) == pytest.approx(0.02, rel=5 / (2 * value.numel()) ** 0.5)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"width": 30, "heads": 4}, "model.width"),
        ({"width": 12, "heads": 4}, "model.width"),
        ({"layers": 0}, "model.layers"),
        ({"heads": 0}, "model.heads"),
        ({"width": 0}, "model.width"),
    ],
)
def test_shapes_that_cannot_be(values: dict[str, int], field: str) -> None:
    with pytest.raises(InputError, match=field):
        GPTConfig(**values)


# Decoding

PROMPTS = [pytest.param(np.full(5, 4), id="equal"), pytest.param(np.array([1, 4, 2, 4, 3]), id="unequal")]


def full(model: TrainedModel, rows: list[list[int]], k: int) -> np.ndarray:
    """Logits after each of the last k tokens of every row, one row at a time."""
    return np.stack([model.logits(np.array([row]))[0, -k:] for row in rows])


@pytest.mark.parametrize("lengths", PROMPTS)
@pytest.mark.parametrize("steps", [(1,) * 6, (3, 3), (1, 3, 1, 2), (3, 1) * 8])
def test_cached_decoding_is_the_whole_forward(lengths: np.ndarray, steps: tuple[int, ...]) -> None:
    """The last case passes the room that decoding starts with, and the context."""
    model = TrainedModel(lively(GPT(dataclasses.replace(SHAPE, head_width=6), V, CONTEXT, 0)))
    prompts = tokens_of(5, 4, seed=1)
    rows = [prompts[i, :n].tolist() for i, n in enumerate(lengths)]
    decoder = model.decoder(prompts, lengths)
    np.testing.assert_allclose(decoder.logits, full(model, rows, 1)[:, 0], atol=1e-5, rtol=1e-5)
    for i, k in enumerate(steps):
        new = tokens_of(5, k, seed=10 + i)
        rows = [row + added.tolist() for row, added in zip(rows, new)]
        out = decoder.extend(new)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, full(model, rows, k), atol=1e-5, rtol=1e-5)
        np.testing.assert_array_equal(decoder.logits, out[:, -1])


@pytest.mark.parametrize("lengths", PROMPTS)
def test_selected_rows_go_on(lengths: np.ndarray) -> None:
    model = TrainedModel(lively(GPT(SHAPE, V, CONTEXT, 0)))
    prompts = tokens_of(5, 4, seed=1)
    rows = [prompts[i, :n].tolist() for i, n in enumerate(lengths)]
    decoder = model.decoder(prompts, lengths)
    first = tokens_of(5, 2, seed=2)
    decoder.extend(first)
    rows = [row + added.tolist() for row, added in zip(rows, first)]
    for k, chosen in ((1, [3, 0, 0, 4, 3, 1]), (3, [5, 2, 2])):
        decoder.select(np.array(chosen))
        rows = [rows[i] for i in chosen]
        np.testing.assert_allclose(decoder.logits, full(model, rows, 1)[:, 0], atol=1e-5, rtol=1e-5)
        new = tokens_of(len(chosen), k, seed=20 + k)
        rows = [row + added.tolist() for row, added in zip(rows, new)]
        np.testing.assert_allclose(decoder.extend(new), full(model, rows, k), atol=1e-5, rtol=1e-5)


def test_both_decoders_agree() -> None:
    """The cached one, and the one that reads each prefix again."""
    model = TrainedModel(lively(GPT(SHAPE, V, CONTEXT, 0)))
    vocabulary = Vocabulary(tuple(str(i) for i in range(V)), 0, 1, tuple(range(2, V)))
    prompts, lengths = tokens_of(4, 5), np.array([5, 2, 3, 5])
    cached, plain = model.decoder(prompts, lengths), CallableModel(model.logits, vocabulary).decoder(prompts, lengths)
    for chosen, k in (([0, 1, 2, 3], 2), ([1, 1, 3], 1), ([2, 0], 3)):
        for decoder in (cached, plain):
            decoder.select(np.array(chosen))
        np.testing.assert_allclose(cached.logits, plain.logits, atol=1e-5, rtol=1e-5)
        new = tokens_of(len(chosen), k, seed=k)
        np.testing.assert_allclose(cached.extend(new), plain.extend(new), atol=1e-5, rtol=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TrainedModel(lively(GPT(SHAPE, V, CONTEXT, 0)))
    tokens = tokens_of(7, 9)
    logits, hidden = model.logits(tokens), model.hidden(tokens)
    assert model.hidden_name == "final norm (head input)"
    np.testing.assert_allclose(hidden @ model.objective.trunk.head.weight.detach().numpy().T, logits, atol=1e-5)
    monkeypatch.setattr(trained, "LOGITS_AT_ONCE", 1)
    np.testing.assert_allclose(model.logits(tokens), logits, atol=1e-5)
    np.testing.assert_allclose(model.hidden(tokens), hidden, atol=1e-5)
