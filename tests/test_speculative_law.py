"""Sampled speculative decoding draws from the law of the model."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from drafting import END, KINDS, continue_, objective
from scipy.stats import chi2
from torch import Tensor

from worldbench.baselines import speculative
from worldbench.baselines.acceptance import settle, uniforms
from worldbench.baselines.drafters import drafter_of, reader_of
from worldbench.baselines.objective import Objective
from worldbench.baselines.speculative import Drafting, generate
from worldbench.core.streams import generator


def frequencies(made: Objective, plan: Drafting, rows: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each continuation came out, and its exact probability: those that end early and those that do not."""
    v = made.vocabulary
    prompt = np.full((1, 2), 2)
    reader = reader_of(made)
    drafter = drafter_of(made, reader) if plan.length else None
    tokens, _, _ = generate(
        reader,
        prompt.repeat(rows, 0),
        np.full(rows, 2),
        limit=limit,
        end=END,
        drafter=drafter,
        plan=plan,
        u=uniforms(0, rows, limit, 5),
    )
    key = ((tokens + 1) @ (v + 1) ** np.arange(limit)).astype(int)
    every = np.array(list(itertools.product(range(v), repeat=limit)))
    with torch.inference_mode():
        whole = torch.from_numpy(np.concatenate([prompt.repeat(len(every), 0), every], axis=1))
        law = torch.softmax(made.head(made.encode(whole), whole).double(), -1)[:, 1:-1]
        step = law.gather(2, torch.from_numpy(every)[..., None])[..., 0].numpy()
    before = np.cumsum(every == END, axis=1) - (every == END) > 0
    chance = np.where(before, 1 / v, step).prod(1)  # what follows an end is no matter
    own = ((np.where(before, -1, every) + 1) @ (v + 1) ** np.arange(limit)).astype(int)
    names, place = np.unique(own, return_inverse=True)
    exact = np.bincount(place, chance)
    assert exact.sum() == pytest.approx(1)
    got = np.bincount(np.searchsorted(names, key), minlength=len(names))
    assert (names[np.searchsorted(names, key)] == key).all()
    return got, exact


def p_value(got: np.ndarray, exact: np.ndarray) -> float:
    """Of the chi-square test; continuations expected fewer than five times are taken together."""
    expected = exact * got.sum()
    rare = expected < 5
    g, e = np.append(got[~rare], got[rare].sum()), np.append(expected[~rare], expected[rare].sum())
    g, e = g[e > 0], e[e > 0]
    return float(chi2.sf(((g - e) ** 2 / e).sum(), len(g) - 1))


LAW = {"vocabulary": 4, "scale": 9, "layers": 1, "width": 16}
ROWS = 12_000
READ = [("jtp", Drafting(0)), ("nextlat", Drafting(0))]  # MTP reads as NextLat does


@pytest.mark.parametrize(
    ("name", "plan"), [*READ, *itertools.product(KINDS, (Drafting(3), Drafting(3, 0.45)))], ids=str
)
def test_sampled_law_is_the_models(name: str, plan: Drafting) -> None:
    assert p_value(*frequencies(objective(name, **LAW), plan, ROWS, 4)) > 0.01


def always(logits: Tensor, drafts: Tensor, drafted: Tensor, laws: Tensor | None, u: Tensor) -> tuple[Tensor, Tensor]:
    """Wrong: a rejected token is drawn again from the model's whole law."""
    kept, _ = settle(logits, drafts, drafted, laws, u)
    at = torch.softmax(logits.double(), -1)[torch.arange(len(kept)), kept]
    return kept, speculative.inverse(at, u[torch.arange(len(kept)), kept, speculative.LAW])


def by_model(logits: Tensor, drafts: Tensor, drafted: Tensor, laws: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Wrong: accepted with the model's probability, whatever the drafter's."""
    return settle(logits, drafts, drafted, laws.clamp(min=1), u)


@pytest.mark.parametrize("rule", [always, by_model])
def test_a_wrong_rule_is_found_out(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speculative, "settle", rule)
    assert p_value(*frequencies(objective("nextlat", **LAW), Drafting(3), ROWS, 4)) < 1e-6


def test_one_position_exactly() -> None:
    """P(out = x) integrated over a fine grid of the uniforms is p(x), for drafts drawn from q; also where q leaves out
    tokens that p has."""
    rng = generator("test", "exact")
    grid = (np.arange(400) + 0.5) / 400
    for sharp in (0.5, 2.0):
        logits = rng.normal(0, sharp, (2, 5))
        q = np.exp(rng.normal(0, sharp, 5)) * [1, 1, 0, 1, 1]
        q /= q.sum()
        p = np.exp(logits[0]) / np.exp(logits[0]).sum()
        out = np.zeros(5)
        cells = np.stack([np.zeros(160_000), *(x.ravel() for x in np.meshgrid(grid, grid))], axis=1)
        u = torch.from_numpy(np.repeat(cells[:, None], 2, axis=1))
        n = len(cells)
        for x in np.flatnonzero(q):
            kept, after = settle(
                torch.from_numpy(logits)[None].expand(n, 2, 5),
                torch.full((n, 1), int(x)),
                torch.ones(n, dtype=torch.int64),
                torch.from_numpy(q)[None, None].expand(n, 1, 5),
                u,
            )
            assert kept.double().mean() == pytest.approx(min(1, p[x] / q[x]), abs=0.01)
            first = torch.where(kept > 0, int(x), after).numpy()
            out += q[x] * np.bincount(first, minlength=5) / n
        assert out == pytest.approx(p, abs=0.005)


def test_sampled_rows_draw_their_own_numbers() -> None:
    """What a row becomes does not depend on the rows beside it, nor on how many there are."""
    made = objective("nextlat")
    u = uniforms(0, 9, 20, 1)
    together = continue_(made, Drafting(3), u=u)
    assert np.array_equal(together[0], continue_(made, Drafting(3), batch=1, u=u)[0])
    assert np.array_equal(together[0], continue_(made, Drafting(3), batch=4, u=u)[0])
    assert torch.equal(uniforms(4, 2, 20, 1), u[4:6])
    assert not np.array_equal(together[0], continue_(made, Drafting(3), u=uniforms(0, 9, 20, 2))[0])
