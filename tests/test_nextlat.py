"""NextLat's loss and gradients against the sums, written out with loops, of a slow implementation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from latent_batches import CONFIG, EVERY, assert_same_gradients, gradients, make, packed
from torch import Tensor

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.gpt import GPT
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.rollout import other_places
from worldbench.core.world import Documents


def literal_terms(objective: GPT | NextLat, batch: Batch) -> dict[str, Tensor]:
    """Everything in one graph: rows, positions and steps in plain loops. No mask: a rollout stops where its document
    does, or goes on through its end."""
    h = objective.encode_batch(batch)
    head = dict(objective.trunk.head.named_parameters())

    def log_law(x: Tensor, frozen: bool = False) -> Tensor:
        weights = {name: p.detach() if frozen else p for name, p in head.items()}
        if "norm.weight" in weights:
            x = x / torch.sqrt((x * x).mean() + 1e-5) * weights.pop("norm.weight")
        (weight,) = weights.values()
        z = weight @ x
        return z - torch.log(torch.exp(z).sum())

    rows, width = batch.tokens.shape
    next_token = [
        -log_law(h[r, t])[int(batch.targets[r, t])]
        for r in range(rows)
        for t in range(width)
        if batch.targets[r, t] != -1
    ]
    terms = {"next_token": torch.stack(next_token).mean()}
    if not isinstance(objective, NextLat):
        return terms
    c, p = objective.config, dict(objective.dynamics.named_parameters())
    places = (
        other_places(batch, "control", objective.seed)
        if c.control == "shuffled"
        else torch.arange(width).expand(rows, width)
    )
    smooth: list[list[Tensor]] = [[] for _ in range(c.horizon)]
    kl: list[list[Tensor]] = [[] for _ in range(c.horizon)]
    for r in range(rows):
        track: list[tuple[int | None, int]] = []
        for t in range(width):
            if batch.document[r, t] >= 0:
                track.append((t, int(batch.tokens[r, t])))
                if batch.closed[r, t]:
                    track.append((None, int(batch.following[r, t])))
        for s, (t, _) in enumerate(track):
            if t is None:
                continue
            state = h[r, t]
            for i in range(1, min(c.horizon, width - 1) + 1):
                if s + i >= len(track):
                    break
                at, token = track[s + i]
                if c.mask == "cumulative" and (at is None or batch.document[r, at] != batch.document[r, t]):
                    break
                x = torch.cat([objective.trunk.embedding.weight[token], state])
                x = x / torch.sqrt((x * x).mean() + 1e-5) * p["norm.weight"]
                for name in ("mlp.0.weight", "mlp.2.weight"):
                    x = p[name] @ x
                    x = 0.5 * x * (1 + torch.erf(x / 2**0.5))
                state = p["mlp.4.weight"] @ x + (state if c.residual else 0)
                if at is None:
                    continue
                true, scored = h[r, places[r, at]], batch.targets[r, at] != -1
                gap = (true.detach() if c.stop_target else true) - state
                if scored or not c.mask_prompts:
                    smooth[i - 1].append(torch.where(gap.abs() < 1, gap * gap / 2, gap.abs() - 0.5).mean())
                if scored:
                    teacher = log_law(true).detach()
                    student = log_law(state, c.stop_head)
                    kl[i - 1].append((teacher.exp() * (teacher - student)).sum())
    for name, steps in (("next_h", smooth), ("kl", kl)):
        terms[name] = sum((torch.stack(s).mean() for s in steps if s), torch.zeros(())) / c.horizon
    return terms


@pytest.mark.parametrize(
    "batch",
    [
        packed(),
        pack(
            Documents(
                packed(2, 4, 8).tokens[:, :7].numpy().astype(np.int32),
                np.array([7, 3], np.int32),
                np.array([2, 1], np.int32),
            ),
            2,
            6,
        ),
    ],
    ids=["packed", "single"],
)
@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY.keys())
def test_loss_and_gradient_as_written_out(config: GPTConfig, batch: Batch) -> None:
    objective = make(config)
    got = objective.backward(batch, objective.counts(batch))
    cheap = gradients(objective)
    expected = literal_terms(objective, batch)
    weights = {"next_token": 1.0, "next_h": getattr(config, "lambda_h", 0.0), "kl": getattr(config, "lambda_kl", 0.0)}
    assert list(got) == [name for name, weight in weights.items() if weight]
    for name, value in got.items():
        assert not value.requires_grad
        assert float(value) == pytest.approx(float(expected[name].detach()), rel=1e-6, abs=1e-12)
    sum((weights[name] * value for name, value in expected.items()), torch.zeros(())).backward()
    assert_same_gradients(cheap, gradients(objective))


def test_every_change_matters() -> None:
    """Each option changes what is trained, so the comparison above can see it."""
    batch, plain = packed(), make()
    plain.backward(batch, plain.counts(batch))
    before = gradients(plain)
    for name, config in EVERY.items():
        if name not in ("gpt", "nextlat", "plain"):
            objective = make(config)
            objective.backward(batch, objective.counts(batch))
            same = {
                name.replace("head.linear", "head").replace("head.norm", "norm"): g
                for name, g in gradients(objective).items()
            }
            assert max(float((g - before[n]).abs().max()) for n, g in same.items()) > 1e-5, name


def test_the_stops_matter() -> None:
    batch, seen = packed(), []
    for change in ({}, {"stop_target": False}, {"stop_head": False}):
        objective = make(dataclasses.replace(CONFIG, **change))
        objective.backward(batch, objective.counts(batch))
        seen.append(gradients(objective))
    plain, target, head = seen
    assert (plain["trunk.blocks.0.qkv.weight"] - target["trunk.blocks.0.qkv.weight"]).abs().max() > 1e-5
    assert (plain["trunk.head.weight"] - head["trunk.head.weight"]).abs().max() > 1e-5


# Masks


def test_terms_of_a_row_by_hand() -> None:
    """Documents a b c d | e f | g h i: prompts of 2 tokens, the last input of each cut off as a target only."""
    documents = Documents(
        np.array([[1, 2, 3, 4, 9], [5, 6, 9, 0, 0], [7, 8, 1, 9, 0]], np.int32),
        np.array([5, 3, 4], np.int32),
        np.array([2, 2, 2], np.int32),
    )
    batch = pack(documents, 1, 11)
    assert batch.document.tolist() == [[0, 0, 0, 0, 1, 1, 2, 2, 2, -1, -1]]
    objective = make()
    counts = {name: int(n) for name, n in objective.counts(batch).items()}
    # Inputs one step apart in one document: 3 + 1 + 2; two apart: 2 + 0 + 1; three apart: 1. Only first inputs are
    # unscored, and none is landed on.
    assert counts == {"next_token": 6, "next_h_1": 6, "kl_1": 6, "next_h_2": 3, "kl_2": 3, "next_h_3": 1, "kl_3": 1}
    longer = make(dataclasses.replace(CONFIG, horizon=2)).counts(
        pack(dataclasses.replace(documents, prompt_length=np.array([4, 2, 3], np.int32)), 1, 11)
    )
    # Longer prompts leave d, f and i scored. They take landings on b, c and h from the divergence, and nothing from the
    # regression.
    assert {name: int(n) for name, n in longer.items()} == {
        "next_token": 3,
        "next_h_1": 6,
        "kl_1": 3,
        "next_h_2": 3,
        "kl_2": 2,
    }


def test_the_end_token_and_other_documents_do_not_enter_the_latent_terms() -> None:
    """Another end token moves the next-token loss alone; another neighbour moves nothing of a document's own terms."""
    tokens = np.array([[1, 2, 3, 4, 9], [5, 6, 7, 8, 9]], np.int32)
    length, prompt = np.array([5, 5], np.int32), np.array([1, 1], np.int32)
    objective = make()

    def latent(changed: np.ndarray) -> list[float]:
        batch = pack(Documents(changed, length, prompt), 1, 8)
        terms = objective.backward(batch, objective.counts(batch))
        return [float(terms[name]) for name in ("next_token", "next_h", "kl")]

    other = tokens.copy()
    other[:, -1] = 11
    before, after = latent(tokens), latent(other)
    assert before[0] != pytest.approx(after[0], rel=1e-3)
    assert before[1:] == pytest.approx(after[1:], rel=1e-12)
    alone = []
    for row in range(2):
        batch = pack(Documents(tokens[row : row + 1], length[:1], prompt[:1]), 1, 8)
        alone.append(objective.backward(batch, objective.counts(batch)))
    assert before[1] == pytest.approx(np.mean([float(a["next_h"]) for a in alone]), rel=1e-9)
    assert before[2] == pytest.approx(np.mean([float(a["kl"]) for a in alone]), rel=1e-9)


def test_rows_without_a_term() -> None:
    """Documents of one input have nothing to roll out, and wholly given ones nothing to score: 0, and no gradient that
    is not a number."""
    tokens = np.array([[1, 9, 0], [2, 3, 9]], np.int32)
    for length, prompt in (([2, 2], [1, 1]), ([3, 3], [3, 3])):
        batch = pack(Documents(tokens, np.array(length, np.int32), np.array(prompt, np.int32)), 2, 4)
        objective = make()
        terms = objective.backward(batch, objective.counts(batch))
        assert float(terms["kl"]) == 0
        assert all(torch.isfinite(v) for v in terms.values())
        assert all(torch.isfinite(g).all() for g in gradients(objective).values())
