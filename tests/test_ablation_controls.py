"""The controls of NextLat, the same work with nothing to learn from it: a cut run is a GPT run to the bit; shuffled
targets are the same latents elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from some_cases import others_slow
from tiny_jobs import BASE_ENV, job

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.gpt import GPT
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import GPTConfig, NextLatConfig
from worldbench.baselines.rollout import Columns, other_places
from worldbench.core.errors import Interrupted
from worldbench.core.world import Documents
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.training.trainer import Trainer

V, CONTEXT = 19, 30
SHAPE = {"layers": 2, "heads": 2, "width": 16}


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(BASE_ENV)


def trained(world: TaxiWorld, model: str, folder: Path, changes: dict[str, dict[str, object]]) -> Objective:
    j = job(model, changes=changes)
    objective = build(identify(j, world))
    folder.mkdir()
    Trainer(world, objective, j.groups["data"], j.groups["train"], j.seed, folder).train()
    return objective


def documents(n: int, longest: int, seed: int = 0, prompt: int = 3) -> Documents:
    rng = np.random.default_rng(seed)
    length = rng.integers(3, longest + 1, n).astype(np.int32)
    return Documents(
        rng.integers(0, V, (n, longest)).astype(np.int32), length, rng.integers(1, prompt + 1, n).astype(np.int32)
    )


# Cut

TRAINING = {
    "clipped": {"clip": 0.05},
    "packed": {"clip": 0.05, "row_tokens": 30, "accumulate": 2},
    "unclipped": {"clip": 0.0},
    "sgd": {"optimizer": "sgd", "clip": 0.5},
    "muon": {"optimizer": "muon", "clip": 0.05},
}


CUT = others_slow(
    [(mask, name) for mask in ("cumulative", "landing") for name in TRAINING],
    *(("cumulative", "packed"), ("cumulative", "muon"), ("landing", "clipped"), ("landing", "sgd")),
)


@pytest.mark.parametrize(("mask", "name"), CUT)
def test_a_cut_run_is_a_gpt_run(mask: str, name: str, world: TaxiWorld, tmp_path: Path) -> None:
    """Every bit of the trunk, and of the curve; only the dynamics learn."""
    options = TRAINING[name]
    changes: dict[str, dict[str, object]] = {"train": {"steps": 8, "learning_rate": 3e-3, **options}}
    gpt = trained(world, "gpt", tmp_path / "gpt", changes)
    cut = trained(
        world, "nextlat", tmp_path / "cut", changes | {"model": {"control": "cut", "lambda_kl": 1.0, "mask": mask}}
    )
    start = build(identify(job("nextlat", changes={"model": {"control": "cut"}}), world))
    for name, p in gpt.named_parameters():
        assert torch.equal(p, dict(cut.named_parameters())[name]), name
        assert not torch.equal(p, dict(start.named_parameters())[name]) or "norm" in name
    for name, p in start.named_parameters():
        if name.startswith("dynamics.mlp"):
            assert not torch.equal(p, dict(cut.named_parameters())[name]), name
    curves = [
        [line for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines() if '"eval"' in line]
        for n in ("gpt", "cut")
    ]
    assert curves[0] == curves[1] != []


def test_clipped_together_a_cut_run_would_differ(
    world: TaxiWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dynamics' gradients would shorten the trunk's step: so the two are clipped apart, and the others' clipping
    stays one group."""
    changes: dict[str, dict[str, object]] = {"train": {"steps": 3, "clip": 0.05}}
    gpt = trained(world, "gpt", tmp_path / "gpt", changes)
    for kind in (GPT(GPTConfig(**SHAPE), V, CONTEXT, 0), NextLat(NextLatConfig(**SHAPE), V, CONTEXT, 0)):
        assert [list(map(id, group)) for group in kind.clip_groups()] == [[id(p) for p in kind.parameters()]]
    monkeypatch.setattr(NextLat, "clip_groups", Objective.clip_groups)
    cut = trained(world, "nextlat", tmp_path / "cut", changes | {"model": {"control": "cut"}})
    assert not torch.equal(cut.trunk.blocks[0].qkv.weight, gpt.trunk.blocks[0].qkv.weight)


@pytest.mark.parametrize("state", ["normed", "residual"])
def test_cut_off_the_dynamics_learn_what_they_otherwise_would(state: str) -> None:
    """The gradient of the dynamics is NextLat's own, that of all else GPT's."""
    batch, seen = pack(documents(9, 8), 3, 16), []
    for config in (
        GPTConfig(**SHAPE),
        NextLatConfig(**SHAPE, state=state),
        NextLatConfig(**SHAPE, state=state, control="cut"),
    ):  # type: ignore[arg-type]
        kind: Any = NextLat if isinstance(config, NextLatConfig) else GPT
        objective = kind(config, V, CONTEXT, 0).double()
        objective.backward(batch, objective.counts(batch))
        seen.append(
            {
                n.replace("head.linear", "head").replace("head.norm", "norm"): p.grad
                for n, p in objective.named_parameters()
            }
        )
    gpt, plain, cut = seen
    for name, g in cut.items():
        torch.testing.assert_close(g, plain[name] if name.startswith("dynamics") else gpt[name], atol=1e-14, rtol=1e-10)
    assert (plain["trunk.embedding.weight"] - gpt["trunk.embedding.weight"]).abs().max() > 1e-8


def test_a_cut_run_goes_on_to_the_bit(world: TaxiWorld, tmp_path: Path) -> None:
    """Saved and loaded again, with the moments of both groups."""
    j = job("nextlat", changes={"train": {"steps": 6, "clip": 0.05}, "model": {"control": "cut"}})
    whole = trained(
        world, "nextlat", tmp_path / "whole", {"train": {"steps": 6, "clip": 0.05}, "model": {"control": "cut"}}
    )
    (tmp_path / "parts").mkdir()
    first = Trainer(world, build(identify(j, world)), j.groups["data"], j.groups["train"], 0, tmp_path / "parts")
    real = first.step

    def stopping(step: int) -> dict[str, torch.Tensor]:
        first.interrupted = step == 2
        return real(step)

    first.step = stopping  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        first.train()
    second = Trainer(world, build(identify(j, world)), j.groups["data"], j.groups["train"], 0, tmp_path / "parts")
    second.train()
    assert all(torch.equal(p, dict(whole.named_parameters())[name]) for name, p in second.objective.named_parameters())


# Shuffled


@pytest.mark.parametrize(
    "batch",
    [pack(documents(40, 8), 8, 24), pack(documents(16, 8, prompt=1), 8, 9), pack(documents(6, 12), 6, 11)],
    ids=["packed", "two-documents", "single"],
)
def test_targets_come_from_other_places(batch: Batch) -> None:
    """Each input of a row is given once, scored ones to scored ones, none to itself, and as few as can be to its own
    document."""
    places = other_places(batch, "control", 0)
    valid, scored, document = (x.numpy() for x in (batch.valid, batch.scored, batch.document))
    for r in range(len(valid)):
        for members in (scored[r], valid[r] & ~scored[r]):
            at = np.flatnonzero(members)
            given = places[r].numpy()[at]
            assert sorted(given) == list(at)
            assert len(at) == 1 or not (given == at).any()
            longest = np.bincount(document[r, at]).max() if len(at) else 0
            at_home = (document[r, given] == document[r, at]).sum()
            assert at_home == max(2 * longest - len(at), 0) or len(set(document[r, at])) == 1
        assert (places[r].numpy()[~valid[r]] == np.flatnonzero(~valid[r])).all()


def test_places_are_drawn_by_row_and_seed() -> None:
    whole = pack(documents(40, 8), 8, 24, first_row=80)
    places = other_places(whole, "control", 0)
    assert torch.equal(
        places, torch.cat([other_places(whole.rows(0, 3), "control", 0), other_places(whole.rows(3, 8), "control", 0)])
    )
    again = pack(documents(40, 8), 8, 24, first_row=88)
    for other in (other_places(whole, "control", 1), other_places(again, "control", 0)):
        assert (other == places)[whole.valid].float().mean() < 0.3
    same = pack(
        Documents(np.tile(documents(5, 8).tokens, (400, 1)), np.full(2000, 7, np.int32), np.full(2000, 1, np.int32)),
        400,
        24,
    )
    first = other_places(same, "control", 0)[:, 0]
    counts = np.bincount(first.numpy(), minlength=24)[
        6:
    ]  # any of the eighteen places in the other documents, each as likely
    assert counts.sum() == 400
    assert (np.abs(counts - 400 / 18) < 5 * (400 / 18) ** 0.5).all()


@pytest.mark.parametrize("mask", ["cumulative", "landing"])
def test_shuffled_targets_are_the_same_latents_elsewhere(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the identity for a permutation the ablation control is NextLat, so nothing but the places is changed."""
    batch = pack(documents(9, 8), 3, 16)
    config = NextLatConfig(**SHAPE, mask=mask, lambda_kl=0.5)  # type: ignore[arg-type]

    def terms(config: NextLatConfig) -> dict[str, torch.Tensor]:
        objective = NextLat(config, V, CONTEXT, 0)
        return objective.backward(batch, objective.counts(batch)) | {
            n: p.grad for n, p in objective.named_parameters() if p.grad is not None
        }

    plain, control = terms(config), terms(dataclasses.replace(config, control="shuffled"))
    assert torch.equal(plain["next_token"], control["next_token"])
    assert plain["next_h"] != control["next_h"]
    assert plain["kl"] != control["kl"]
    monkeypatch.setattr(
        "worldbench.baselines.nextlat.other_places",
        lambda batch, *name: torch.arange(batch.tokens.shape[1]).expand_as(batch.tokens),
    )
    for name, value in terms(dataclasses.replace(config, control="shuffled")).items():
        assert torch.equal(value, plain[name]), name


# The columns that rollouts run along


def test_rollouts_through_the_end_of_a_document_by_hand() -> None:
    """Documents a b c d [9] | e f [9] | g h (cut off): last tokens stand between, and are never landed on."""
    tokens = np.array([[1, 2, 3, 4, 9], [5, 6, 9, 0, 0], [7, 8, 1, 2, 9]], np.int32)
    batch = pack(Documents(tokens, np.array([5, 3, 5], np.int32), np.array([2, 2, 2], np.int32)), 1, 8)
    columns = Columns.of(batch, through_ends=True)
    assert columns.source is not None
    assert columns.source.tolist() == [[0, 1, 2, 3, 8 + 3, 4, 5, 8 + 5, 6, 7]]
    assert columns.document.tolist() == [[0, 0, 0, 0, -1, 1, 1, -1, 2, 2]]
    one, two = columns.steps(2)
    assert [(s, s + 1) for s in torch.nonzero(one[0]).ravel().tolist()] == [(0, 1), (1, 2), (2, 3), (5, 6), (8, 9)]
    assert [(s, s + 2) for s in torch.nonzero(two[0]).ravel().tolist()] == [(0, 2), (1, 3), (3, 5), (6, 8)]
    counts = NextLat(NextLatConfig(**SHAPE, horizon=2, mask="landing"), V, CONTEXT, 0).counts(batch)
    assert {name: int(n) for name, n in counts.items()} == {
        "next_token": 5,
        "next_h_1": 5,
        "kl_1": 5,
        "next_h_2": 4,
        "kl_2": 2,
    }
    for single in (Columns.of(pack(documents(3, 8), 3, 7), through_ends=True), Columns.of(batch, through_ends=False)):
        assert single.source is None
