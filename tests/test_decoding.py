"""Cached decoding is the full forward pass; the references are the world's law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldbench.baselines.attention import document_mask
from worldbench.baselines.backbone import rotary_table, rotate
from worldbench.baselines.cached import CachedDecoder
from worldbench.baselines.callable import CallableModel
from worldbench.baselines.gpt import GPT
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle, RandomLegal
from worldbench.baselines.trained import TrainedModel
from worldbench.core.model import SequenceModel
from worldbench.core.streams import generator
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.rollout import roll_out


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:24", min_moves=2, max_moves=9))


@pytest.fixture(scope="module")
def model(world: TaxiWorld) -> TrainedModel:
    """An untrained model with large weights, so that attention and predictions are far from uniform."""
    objective = GPT(GPTConfig(layers=3, heads=2, width=32), len(world.vocabulary), world.context, 0)
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(8)
    return TrainedModel(objective)


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_cached_is_uncached(even: bool, k: int, model: TrainedModel) -> None:
    rng = generator("test", "decoding")
    n, widest, more = 7, 5, 30  # beyond the first room of the cache
    tokens = rng.integers(2, 20, (n, widest + more))
    lengths = np.full(n, widest) if even else rng.integers(1, widest + 1, n)
    rows = [np.concatenate([tokens[r, : lengths[r]], tokens[r, widest:]]) for r in range(n)]
    decoder = model.decoder(tokens[:, :widest], lengths)
    order = np.arange(n)

    for done in range(0, more, k):
        for place, r in enumerate(order):
            full = model.logits(rows[r][None, : lengths[r] + done])[0]
            assert np.allclose(decoder.logits[place], full[-1], atol=2e-4), (done, r)
        if done == 12:
            order = np.array([3, 0, 0, 6, 2])
            decoder.select(order)
        out = decoder.extend(np.stack([tokens[r, widest + done : widest + done + k] for r in order]))
        assert out.shape == (len(order), k, len(decoder.logits[0]))
        for place, r in enumerate(order):
            full = model.logits(rows[r][None, : lengths[r] + done + k])[0][-k:]
            assert np.allclose(out[place], full, atol=2e-4)


def test_first_rows_are_kept_without_a_copy(model: TrainedModel) -> None:
    decoder = model.decoder(np.full((5, 4), 3), np.array([4, 2, 3, 1, 4]))
    assert isinstance(decoder, CachedDecoder)

    def places() -> list[int]:
        return [x.data_ptr() for cache in decoder._caches for x in (cache.k, cache.v)]

    before, logits = places(), decoder.logits
    decoder.select(np.arange(5))
    decoder.select(np.arange(3))
    assert places() == before
    assert np.array_equal(decoder.logits, logits[:3])
    assert [len(cache.k) for cache in decoder._caches] == [3] * len(decoder._caches)


@pytest.mark.parametrize("kind", ["cached", "plain"])
def test_rows_go_on_when_the_longest_is_dropped(kind: str, world: TaxiWorld, model: TrainedModel) -> None:
    tokens, lengths = generator("test", "dropped").integers(2, 20, (3, 9)), np.array([7, 2, 4])
    own: SequenceModel = model if kind == "cached" else CallableModel(model.logits, world.vocabulary)
    decoder = own.decoder(tokens, lengths)
    rows = [tokens[r, :n] for r, n in enumerate(lengths)]
    for k, chosen in ((1, [2, 1, 1]), (3, [1, 2]), (2, [0, 0, 1])):
        decoder.select(np.array(chosen))
        new = generator("test", k).integers(2, 20, (len(chosen), k))
        rows = [np.concatenate([rows[r], added]) for r, added in zip(chosen, new)]
        out = decoder.extend(new)
        for place, row in enumerate(rows):
            assert np.allclose(out[place], model.logits(row[None])[0, -k:], atol=2e-4)
            assert np.array_equal(decoder.logits[place], out[place, -1])


def test_decoding_past_the_first_rotary_table(model: TrainedModel) -> None:
    """The table is made for 128 positions and grown from there."""
    tokens = generator("test", "long").integers(2, 20, (2, 140))
    whole = model.logits(tokens)
    fresh = GPT(model.objective.config, model.objective.vocabulary, model.objective.context, 0)
    fresh.load_state_dict(model.objective.state_dict())
    decoder = TrainedModel(fresh).decoder(tokens[:, :120], np.full(2, 120))
    for t in range(120, 140, 2):
        assert np.allclose(decoder.extend(tokens[:, t : t + 2]), whole[:, t : t + 2], atol=2e-4)


def test_logits_in_chunks(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = generator("test").integers(2, 20, (9, 6))
    whole, hidden = model.logits(tokens), model.hidden(tokens)
    monkeypatch.setattr("worldbench.baselines.trained.LOGITS_AT_ONCE", 1)
    assert np.allclose(model.logits(tokens), whole, atol=1e-4)
    assert np.allclose(model.hidden(tokens), hidden, atol=1e-4)
    head = model.objective.trunk.head.weight.detach().numpy()
    assert np.allclose(hidden @ head.T, whole, atol=1e-4)
    assert "head input" in model.hidden_name


def test_rotary_depends_on_distance_alone() -> None:
    x = torch.randn(1, 1, 1, 8, generator=torch.Generator().manual_seed(0))
    y = torch.randn(1, 1, 1, 8, generator=torch.Generator().manual_seed(1))
    table = rotary_table(40, 8)
    dots = [
        float((rotate(x, table[a : a + 1, None]) * rotate(y, table[a + 5 : a + 6, None])).sum()) for a in (0, 3, 30)
    ]
    assert dots == pytest.approx([dots[0]] * 3, abs=1e-5)
    angle = 7 * 10_000.0 ** (-np.arange(0, 8, 2) / 8)
    pairs = x.numpy().reshape(4, 2)
    literal = np.stack(
        [
            pairs[:, 0] * np.cos(angle) - pairs[:, 1] * np.sin(angle),
            pairs[:, 0] * np.sin(angle) + pairs[:, 1] * np.cos(angle),
        ],
        axis=1,
    )
    assert np.allclose(rotate(x, table[7:8, None]).numpy().ravel(), literal.ravel(), atol=1e-6)


def test_document_mask() -> None:
    mask = document_mask(torch.tensor([[0, 0, 1, -1, -1]]))[0, 0]
    assert mask.int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]


@pytest.mark.parametrize("kind", [Oracle, RandomLegal])
def test_references_are_the_world(kind: type, world: TaxiWorld) -> None:
    reference = kind(world)
    d = world.sample(0, "test", 0, 40)
    teacher_forced = reference.logits(d.tokens)
    states = world.start(d.tokens[:, :2], d.prompt_length)
    decoder = reference.decoder(d.tokens[:, :2], d.prompt_length)
    actions = list(world.vocabulary.actions)
    others = [t for t in range(len(world.vocabulary)) if t not in actions]
    for t in range(2, d.tokens.shape[1]):
        running = t < d.length
        if kind is Oracle:
            law = world.law(states)
        else:
            legal = world.legal(states)
            law = legal / np.maximum(legal.sum(1, keepdims=True), 1)
        got = np.exp(decoder.logits.astype(np.float64))
        assert np.allclose(got[running][:, actions], law[running], atol=1e-6)
        assert (got[:, others] == 0).all()
        assert np.array_equal(decoder.logits[running], teacher_forced[running, t - 1])
        tokens = np.where(running, d.tokens[:, t], world.vocabulary.end)
        states = world.step(states, tokens)
        assert np.array_equal(decoder.extend(tokens[:, None])[:, 0], decoder.logits)
    decoder.select(np.array([3, 3, 1]))
    assert decoder.logits.shape == (3, len(world.vocabulary))


def test_a_function_drives_as_the_cached_model(world: TaxiWorld, model: TrainedModel) -> None:
    prompts, lengths = world.prompts(0, 15)
    own = CallableModel(model.logits, world.vocabulary)
    for choice in ("greedy", "sampled"):
        a = roll_out(world, model, prompts, lengths, 0, choice)  # type: ignore[arg-type]
        b = roll_out(world, own, prompts, lengths, 0, choice)  # type: ignore[arg-type]
        assert np.array_equal(a.tokens, b.tokens)
        assert np.array_equal(a.outcome, b.outcome)
