"""References decode over the first tokens of the vocabulary, and draw what they would draw over all tokens."""

from __future__ import annotations

import numpy as np
import pytest

from worldbench.baselines.references import Oracle
from worldbench.core.sampling import leading_width
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics import evaluation, excess_loss
from worldbench.metrics.evaluation import chunks
from worldbench.metrics.excess_loss import divergences
from worldbench.metrics.rollout import probabilities, roll_out, sample


def test_width() -> None:
    assert leading_width((2, 3, 9, 1), 500) == 16
    assert leading_width((7,), 500) == 8
    assert leading_width((63,), 65) == 64
    assert leading_width((63,), 64) == 64
    assert leading_width((64,), 500) == 500
    assert leading_width((2, 3), 11) == 11


@pytest.mark.parametrize("size", [65, 66, 100, 127, 128, 129, 200, 255, 257, 1000, 4593, 46_920])
def test_the_same_bits_as_the_whole_vocabulary(size: int) -> None:
    rng = np.random.default_rng(size)
    for last in (3, 9, 15, 40, 63):
        logits = np.full((20, size), -np.inf, np.float32)
        logits[:, 1 : last + 1] = np.where(rng.random((20, last)) < 0.6, rng.normal(0, 3, (20, last)), -np.inf)
        logits[:, last] = 0.3
        width = leading_width((1, last), size)
        assert width <= 64
        law = probabilities(logits)
        assert np.array_equal(probabilities(logits[:, :width]), law[:, :width])
        assert not law[:, width:].any()
        uniform = rng.random(20)
        assert np.array_equal(sample(logits[:, :width], uniform), sample(logits, uniform))


def test_a_roll_out_of_the_oracle_never_makes_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    w = TaxiWorld(TaxiConfig(map="city:300", min_moves=2, max_moves=20))
    prompts, lengths = w.prompts(0, 30)

    class Whole(Oracle):
        """Decodes over the whole vocabulary."""

        @property
        def _width(self) -> int:
            return len(self.world.vocabulary)

    oracle, whole = Oracle(w), Whole(w)
    decoder, same = oracle.decoder(prompts, lengths), whole.decoder(prompts, lengths)
    assert decoder.leading().shape[1] == 16
    assert np.array_equal(decoder.logits, same.logits)
    tokens = decoder.leading().argmax(1)[:, None]
    assert np.array_equal(decoder.extend(tokens), same.extend(tokens))
    expected = [roll_out(w, whole, prompts, lengths, 0, c, 0.3) for c in ("greedy", "sampled", "legal")]
    monkeypatch.setattr(Oracle, "all_tokens", None)
    for choice, rides in zip(("greedy", "sampled", "legal"), expected):
        got = roll_out(w, oracle, prompts, lengths, 0, choice, 0.3)
        assert np.array_equal(got.tokens, rides.tokens)
        assert np.array_equal(got.detours, rides.detours)
        assert got.detours.sum() > 0


def test_chunks_hold_a_bounded_number_of_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    w = TaxiWorld(TaxiConfig(map="city:300", min_moves=2, max_moves=20))
    documents, words = w.sample(0, "test", 0, 50), len(w.vocabulary)
    expected = divergences(w, Oracle(w), documents)
    assert [len(part) for part in chunks(documents, words)] == [50]
    monkeypatch.setattr(evaluation, "MOST_LOGITS", 7 * documents.tokens.shape[1] * words + 1)
    monkeypatch.setattr(excess_loss, "CELLS", 5 * words)
    assert [len(part) for part in chunks(documents, words)] == [7] * 7 + [1]
    assert [len(part) for part in chunks(documents)] == [50]
    for got, value in zip(divergences(w, Oracle(w), documents), expected):
        assert np.array_equal(got, value)
    monkeypatch.setattr(evaluation, "MOST_LOGITS", 1)
    assert [len(part) for part in chunks(documents, words)] == [1] * 50
