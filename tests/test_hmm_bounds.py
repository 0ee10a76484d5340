"""Beliefs grow as V^L: what needs them stops at counted bounds, says so, and never ends a run."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from worldbench.cli.main import main
from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.envs.hmm import mixed_states, process, sampling
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.library import named
from worldbench.envs.hmm.process import Process
from worldbench.envs.hmm.sampling import Guide
from worldbench.envs.hmm.world import HMM


def random_process(tokens: int, states: int, seed: int = 0) -> Process:
    t = np.random.default_rng(seed).random((tokens, states, states))
    return Process(name="random", transition=t / t.sum((0, 2))[None, :, None])


OF_OTHER_SIZES = [pytest.param(*size, marks=pytest.mark.slow) for size in ((12, 2), (100, 2), (18, 5), (4, 1000))]


@pytest.mark.parametrize(("tokens", "states"), [(400, 5), (10, 70), (3000, 1), *OF_OTHER_SIZES])
def test_a_card_is_cheap_and_says_what_it_lacks(tokens: int, states: int) -> None:
    world = HMM(HMMConfig(length=16), random_process(tokens, states))
    tracemalloc.start()
    world.expected_entropies(), world.summary(0)
    card = world.card(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert card["myopic_entropies"]
    assert card["distinct_beliefs"][0] == 1
    if states > 1:
        assert {"bayes_loss", "typical_documents", "myopic_entropies", "distinct_beliefs"} <= set(card["left_out"])
        assert card["bayes_loss"] is None
        assert "too many to compute" in card["left_out"]["bayes_loss"]
        reached = len(card["myopic_entropies"]) - 1
        assert f"{tokens**reached:,} beliefs at depth {reached}" in card["left_out"]["bayes_loss"] or tokens < 20
        entropies = world.expected_entropies()
        assert np.isnan(entropies).tolist() == [k > reached for k in range(16)]
    else:
        assert "left_out" not in card
        assert card["bayes_loss"] == pytest.approx(card["entropy_rate"])
    json.dumps(card, allow_nan=False)


def test_bounds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A depth is unfolded where its numbers and those before it are within the bounds, and the last one is whole."""
    p = random_process(3, 2)
    whole = p.myopic_entropies(6)
    for name, value, depth in (("MOST_BELIEFS", 3**4, 4), ("MOST_NUMBERS", 3**3 * (2 + mixed_states.BESIDE), 3)):
        with monkeypatch.context() as patch:
            patch.setattr(mixed_states, name, value)
            fresh = random_process(3, 2)
            assert fresh.unfolding.entropies(20).tolist() == whole[: depth + 1].tolist()
            assert fresh.unfolding.depth == depth
            assert (
                f"{3**depth} beliefs at depth {depth} may lead to {3 ** (depth + 1)} more"
                in fresh.unfolding.shortfall()
            )
            assert len(mixed_states.distinct(fresh, 20)) == depth + 1
            with pytest.raises(InputError, match=f"ask for at most depth {depth}"):
                fresh.myopic_entropies(depth + 1)
            with pytest.raises(InputError, match=f"beyond depth {depth}"):
                fresh.distinct_beliefs(depth + 1)
    monkeypatch.setattr(mixed_states, "MOST_IN_ALL", 5 * mixed_states.successor_numbers(named("z1r"), 4))
    assert 0 < len(named("z1r").unfolding.entropies(1000)) < 40  # few beliefs, but many depths


def test_prefixes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_states, "MOST_PREFIXES", 40**3 * (2 + mixed_states.BESIDE + 3))
    assert len(random_process(40, 2).mixed_states(3)[3]) == 40**3
    with pytest.raises(InputError, match="2,560,000 prefixes of 4 tokens, too many for memory; ask for at most 3"):
        random_process(40, 2).mixed_states(4)


def test_documents_too_many_to_count() -> None:
    card = HMM(HMMConfig(length=1200), named("coin")).card(0)
    assert card["typical_documents"] is None
    assert card["left_out"] == {"typical_documents": "more than 1e308"}


@pytest.mark.parametrize(
    "spec", ["mess3", "rrxor", "mixture(mess3, mess3(a=0.6))", "bloch_walk", "product(rrxor, z1r)"]
)
def test_beliefs_are_the_same_whichever_way_they_are_multiplied(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = named(spec)
    tokens = p.sample(streams.uniform(0, 300, 9, "ways", spec)).astype(int)
    states = p.beliefs(tokens)
    after = p.update(states[:, 4], tokens[:, 4])
    every, probability = p.successors(states[:, 4])
    assert every[np.arange(300), tokens[:, 4]] == pytest.approx(after[0], abs=1e-14)
    assert probability == pytest.approx(p.law(states[:, 4]), abs=1e-14)
    monkeypatch.setattr(process, "AT_ONCE", 64)
    assert p.update(states[:, 4], tokens[:, 4])[0] == pytest.approx(after[0], abs=1e-14)
    monkeypatch.setattr(process, "WIDE", 1)
    assert p.update(states[:, 4], tokens[:, 4])[0] == pytest.approx(after[0], abs=1e-14)
    assert p.beliefs(tokens) == pytest.approx(states, abs=1e-12)


def test_a_search_draws_what_the_table_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is how many cuts of the state lie at or below the number: the same without a table, which may be
    large."""
    rng = np.random.default_rng(1)
    t = rng.random((4, 7, 7)) * (rng.random((4, 7, 7)) < 0.4) + 1e-3
    t /= t.sum((0, 2))[None, :, None]
    table = Guide.of(t)
    assert len(table.table)
    state, uniform = rng.integers(0, 7, 5000), rng.random(5000)
    uniform[:50] = np.minimum(table.cuts[rng.integers(0, len(table.cuts), 50)], 1 - 1e-9)
    monkeypatch.setattr(sampling, "MOST_IN_TABLE", 0)
    search = Guide.of(t)
    assert (search.bins, len(search.table)) == (table.bins, 0)
    assert np.array_equal(search.outcome(state, uniform), table.outcome(state, uniform))
    counted = [
        int((table.cuts[table.first[i] - i : table.first[i + 1] - i - 1] <= u).sum() + table.first[i])
        for i, u in zip(state, uniform)
    ]
    assert table.outcome(state, uniform).tolist() == counted


def test_a_run_over_many_tokens_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve tokens, which once trained, scored, and then asked for less depth."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"transition": random_process(12, 2).transition.tolist()}))
    command = ["run", "hmm", "--model", "oracle", "--env.process", str(path), "--out", str(tmp_path / "runs")]
    assert main([*command, "--eval.metrics", "next_token", "excess_loss", "--eval.documents", "200"]) == 0, (
        capsys.readouterr().err
    )
    result = json.loads(next((tmp_path / "runs").glob("hmm-oracle*/result*.json")).read_text())
    assert "too many to compute" in result["card"]["left_out"]["bayes_loss"]
