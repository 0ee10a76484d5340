"""The references that have options: counted, damaged, untrained; and the exact state as a hidden state."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from worldbench.baselines import prefixes
from worldbench.baselines.blurred import Blurred
from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.from_states import FromStates
from worldbench.baselines.ngram import NGram, NGramConfig
from worldbench.baselines.references import Oracle, RandomLegal, Uniform
from worldbench.baselines.untrained import make_untrained
from worldbench.core.errors import InputError
from worldbench.core.hashing import extended
from worldbench.core.model import log_softmax
from worldbench.core.registry import models
from worldbench.core.world import Documents
from worldbench.envs.rides.damage import damaged_map
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld

CITY = TaxiConfig(map="city:40", min_moves=3, max_moves=16)


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(CITY)


@pytest.fixture(scope="module")
def rides(world: TaxiWorld) -> Documents:
    return world.sample(5, "test", 0, 40)


def literal_witten_bell(world: TaxiWorld, order: int, count: int, seed: int, prefix: list[int]) -> np.ndarray:
    actions = list(world.vocabulary.actions)
    d = world.sample(seed, "train", 0, count)
    p = {a: 1 / len(actions) for a in actions}
    for k in range(order):
        if k > len(prefix):
            break
        context = prefix[len(prefix) - k :]
        c: Counter[int] = Counter()
        for i in range(len(d)):
            row = d.tokens[i, : d.length[i]].tolist()
            for t in range(2, len(row)):
                if t >= k and row[t - k : t] == context:
                    c[row[t]] += 1
        if c:
            p = {a: (c[a] + len(c) * p[a]) / (sum(c.values()) + len(c)) for a in actions}
    return np.array([p[a] for a in actions])


def test_ngram_is_witten_bell(world: TaxiWorld, rides: Documents) -> None:
    model = NGram(world, NGramConfig(order=4, documents=60), seed=2)
    logits = model.logits(rides.tokens[:, :-1])
    law = np.exp(log_softmax(logits))[..., list(world.vocabulary.actions)]
    assert np.allclose(law.sum(-1), 1)
    for i in range(6):
        for t in range(2, int(rides.length[i])):
            assert law[i, t - 1] == pytest.approx(
                literal_witten_bell(world, 4, 60, 2, rides.tokens[i, :t].tolist()), abs=1e-6
            )


@pytest.mark.parametrize("order", [1, 2, 5, 30])
def test_ngram_decodes_as_it_scores(order: int, world: TaxiWorld, rides: Documents) -> None:
    model = NGram(world, NGramConfig(order=order, documents=200))
    whole = model.logits(rides.tokens[:, :8])
    decoder = model.decoder(rides.tokens[:, :3], np.full(len(rides), 3))
    assert np.array_equal(decoder.logits, whole[:, 2])
    assert np.array_equal(decoder.extend(rides.tokens[:, 3:6]), whole[:, 3:6])
    decoder.select(np.array([4, 4, 1]))
    assert np.array_equal(decoder.extend(rides.tokens[[4, 4, 1], 6:7])[:, 0], whole[[4, 4, 1], 6])


def test_uniform_and_untrained(world: TaxiWorld, rides: Documents) -> None:
    assert np.ptp(Uniform(world).logits(rides.tokens)) == 0
    a, b, c = make_untrained(world, None, 0), make_untrained(world, None, 0), make_untrained(world, None, 1)
    assert np.array_equal(a.logits(rides.tokens), b.logits(rides.tokens))
    assert not np.array_equal(a.logits(rides.tokens), c.logits(rides.tokens))
    assert a.name == "untrained"


def clean(k: int = 0, **changes: float) -> CorruptedConfig:
    return CorruptedConfig(**{"rewired": k, **changes})  # type: ignore[arg-type]


def test_an_undamaged_corrupted_oracle_is_the_oracle(world: TaxiWorld, rides: Documents) -> None:
    mine, exact = Corrupted(world, clean(floor=0.0)), Oracle(world)
    for i in range(len(rides)):
        row = rides.tokens[i : i + 1, : int(rides.length[i]) - 1]
        assert np.array_equal(mine.logits(row), exact.logits(row))


def test_noise_belongs_to_the_prefix(world: TaxiWorld, rides: Documents) -> None:
    model = Corrupted(world, clean(noise=0.5), seed=3)
    assert np.array_equal(model.logits(rides.tokens), Corrupted(world, clean(noise=0.5), seed=3).logits(rides.tokens))
    assert not np.array_equal(
        model.logits(rides.tokens), Corrupted(world, clean(noise=0.5), seed=4).logits(rides.tokens)
    )
    decoder = model.decoder(rides.tokens[:, :2], np.full(len(rides), 2))
    assert np.array_equal(decoder.extend(rides.tokens[:, 2:5]), model.logits(rides.tokens[:, :5])[:, 2:])
    shift = []
    for i in range(len(rides)):
        row = rides.tokens[i : i + 1, : int(rides.length[i]) - 1]
        mine, law = model.logits(row)[0, 1:], Oracle(world).logits(row)[0, 1:]
        keep = np.isfinite(law) & (law > -3)
        shift.append(mine[keep] - law[keep])
    assert 0.3 < np.concatenate(shift).std() < 0.6


def test_normals_are_normal() -> None:
    from scipy.stats import kstest

    x = prefixes.normals(extended(np.arange(4000, dtype=np.uint64), np.arange(4000)), 5)
    assert kstest(x.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(x.T) - np.eye(5)).max() < 0.06


def test_ladders_are_nested(world: TaxiWorld) -> None:
    g = world.graph()
    for kind in ("deleted", "added", "rewired"):
        before = np.zeros_like(g.successor, bool)
        for k in (1, 3, 9):
            successor = damaged_map(
                g, *(k if kind == x else 0 for x in ("deleted", "added", "rewired")), seed=1
            ).successor
            changed = successor != g.successor
            assert changed.sum() == k
            assert (changed & before).sum() == before.sum()
            assert (successor[changed] >= 0).all() == (kind != "deleted")
            assert (g.successor[changed] >= 0).all() == (kind != "added")
            assert (successor >= 0).any(1).all()
            assert not (successor == np.arange(g.n_places)[:, None]).any()
            before = changed
    both = damaged_map(g, 2, 2, 2, seed=1).successor
    assert 4 <= (both != g.successor).sum() <= 6
    with pytest.raises(InputError, match="can be rewired"):
        damaged_map(g, 0, 0, 1000, seed=1)
    with pytest.raises(InputError, match="can be deleted"):
        damaged_map(g, 1000, 0, 0, seed=1)
    with pytest.raises(InputError, match="can be added"):
        damaged_map(g, 0, 100_000, 0, seed=1)


def test_damage_keeps_what_is_held_out(world: TaxiWorld) -> None:
    other = world.damaged(0, 0, 3, seed=0)
    assert other.held_out == world.held_out
    assert other.graph().digest != world.graph().digest


def test_a_lost_oracle_is_uniform_over_its_own_legal_moves(world: TaxiWorld, rides: Documents) -> None:
    model = Corrupted(world, clean(8, floor=0.0), seed=0)
    own = model.own
    found = 0
    for i in range(len(rides)):
        row = rides.tokens[i, : int(rides.length[i])]
        states, lost = own.start(row[None, :2], np.array([2])), False
        law = np.exp(log_softmax(model.logits(row[None, :-1])))[0][:, list(world.vocabulary.actions)]
        for t in range(2, len(row)):
            if not lost:
                wanted = own.law(states)[0]
                after = own.step(states, row[t : t + 1])
            else:
                legal = own.legal(states)[0]
                wanted = legal / legal.sum()
                found += 1
            assert law[t - 1] == pytest.approx(wanted, abs=1e-6)
            if not lost and own.outcome(after)[0] == 2:
                lost = True  # stays where it was
            elif not lost:
                states = after
    assert found > 20


def test_floor_keeps_losses_finite(world: TaxiWorld, rides: Documents) -> None:
    logits = Corrupted(world, clean(8), seed=0).logits(rides.tokens[:, :-1])[:, 1:]
    assert np.isfinite(logits[..., list(world.vocabulary.actions)]).all()


def test_impossible_damage_is_refused(world: TaxiWorld) -> None:
    for name in ("deleted", "added", "rewired", "noise", "floor"):
        with pytest.raises(InputError, match=name):
            CorruptedConfig(**{name: -1})
    for name in ("order", "documents"):
        with pytest.raises(InputError, match=name):
            NGramConfig(**{name: 0})


def test_the_exact_state_is_a_hidden_state(world: TaxiWorld, rides: Documents) -> None:
    model = Oracle(world)
    tokens = rides.tokens[:, :5]
    h = model.hidden(tokens)
    assert np.array_equal(model.head(h[:, 4], tokens[:, 4]), model.logits(tokens)[:, 4])
    stepped = model.dynamics().step(h[:, 3], tokens[:, 4])
    assert np.array_equal(stepped, h[:, 4])
    place = world.after(Documents(tokens, np.full(len(rides), 5), np.full(len(rides), 2))).place
    assert np.array_equal(h[:, 4, 4 : 4 + world.graph().n_places].argmax(1), place)
    donors = Documents(rides.tokens[::-1, :5], np.full(len(rides), 5), np.full(len(rides), 2))
    swapped = model.swapped(
        Documents(tokens, np.full(len(rides), 5), np.full(len(rides), 2)), donors, model.hidden_name
    )
    assert np.array_equal(swapped.logits, model.logits(donors.tokens)[:, 4])


def test_blur_is_in_the_hidden_state_alone(world: TaxiWorld, rides: Documents) -> None:
    blurred, exact = Blurred(world, 0.5), Oracle(world)
    gap = blurred.hidden(rides.tokens[:, :6]) - exact.hidden(rides.tokens[:, :6])
    seen = world.sample(0, "train", 0, 200)
    h = exact.hidden(seen.tokens[:, :-1])
    scale = h[np.arange(h.shape[1])[None, :] < seen.length[:, None] - 1].std(axis=0)
    varies = scale > 0
    assert 0.45 < (gap[..., varies] / scale[varies]).std() < 0.55
    assert not gap[..., ~varies].any()
    assert np.array_equal(blurred.logits(rides.tokens[:, :6]), exact.logits(rides.tokens[:, :6]))


@pytest.mark.parametrize("kind", [Oracle, RandomLegal, Corrupted])
def test_decoding_goes_on_from_longer_prefixes(kind: type[FromStates], world: TaxiWorld, rides: Documents) -> None:
    """Prefixes of different lengths, beyond the prompt: the metrics of structure start there."""
    model = kind(world)
    lengths = np.minimum(2 + np.arange(len(rides)) % 4, rides.length - 1)
    decoder = model.decoder(rides.tokens, lengths)
    whole = model.logits(rides.tokens[:, :-1])
    assert np.array_equal(decoder.logits, whole[np.arange(len(rides)), lengths - 1])


SEEDED = [e for e in models if e.seeded and not e.trained]


@pytest.mark.parametrize("entry", SEEDED, ids=lambda e: e.name)
def test_every_option_of_a_reference_has_an_effect(entry, world: TaxiWorld, rides: Documents) -> None:
    config = entry.load_config()
    base = {"corrupted": config(noise=0.1)} if entry.name == "corrupted" else {}
    start = base.get(entry.name, config())
    tokens = rides.tokens[:, :-1]
    before = entry.load()(world, start, 0).logits(tokens)
    assert np.array_equal(entry.load()(world, start, 0).logits(tokens), before)
    assert not np.array_equal(entry.load()(world, start, 1).logits(tokens), before)
    for f in dataclasses.fields(config):
        value = getattr(start, f.name)
        other = {"heads": 2, "width": 32, "head_width": 8, "wrong_goal": 0.5, "late": 0.5, "forgets": 0.5}.get(
            f.name, value * 2 + (1 if isinstance(value, int) else 0.01)
        )
        assert not np.array_equal(
            entry.load()(world, dataclasses.replace(start, **{f.name: other}), 0).logits(tokens), before
        ), f.name
