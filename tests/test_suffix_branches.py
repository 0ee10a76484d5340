"""The trie of suffixes, decoded in branches: the digits of all rows together, and decoders that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from small_maps import small_map

from worldbench.baselines.trained import TrainedModel
from worldbench.core.registry import models
from worldbench.core.streams import generator
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.acceptance import draw_pairs
from worldbench.metrics.suffixes import score_suffixes


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    config = TaxiConfig(map="auto", min_moves=2, max_moves=12, held_out_share=0.2)
    return TaxiWorld(config, graph=small_map(12, 0))


@pytest.mark.parametrize("name", ["gpt", "bst"])
def test_branches_of_the_trie_have_the_same_digits(
    name: str, world: TaxiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = models[name]
    config = entry.load_config()(layers=2, heads=2, width=32)
    model = TrainedModel(entry.load()(config, len(world.vocabulary), world.context, 0, world.vocabulary.pad))
    pairs = draw_pairs(world, 0, 40, "x", same=False)
    rng = generator("test", "branches")
    owner = np.sort(rng.integers(0, len(pairs), 900))
    tokens, length = rng.integers(1, len(world.vocabulary), (900, 4)), rng.integers(1, 5, 900)
    whole = score_suffixes(model, pairs.first, owner, tokens, length)
    monkeypatch.setattr("worldbench.metrics.suffixes.BRANCH", 64)
    assert np.array_equal(score_suffixes(model, pairs.first, owner, tokens, length), whole)


def test_a_branch_leaves_its_decoder_as_it_is(world: TaxiWorld) -> None:
    entry = models["bst"]
    config = entry.load_config()(layers=2, heads=2, width=32)
    model = TrainedModel(entry.load()(config, len(world.vocabulary), world.context, 0, world.vocabulary.pad))
    prompts = draw_pairs(world, 0, 6, "x", same=False).first
    decoder, other = (model.decoder(prompts.tokens, prompts.length) for _ in range(2))
    n = len(prompts)
    branch = decoder.branch(np.arange(n))
    branch.advance(np.full(n, 3))
    decoder.advance(np.full(n, 2))
    branch.advance(np.full(n, 4))
    other.advance(np.full(n, 2))
    assert np.array_equal(decoder.logits, other.logits)
    third = model.decoder(prompts.tokens, prompts.length)
    third.extend(np.array([[3, 4]] * n))
    assert branch.logits == pytest.approx(third.logits, abs=1e-5)
