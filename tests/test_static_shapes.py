"""A training step never reads the device: every objective, on packed rows and (slow) on rows of one document."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from latent_batches import EVERY
from some_cases import others_slow
from tiny_runs import tiny_model
from torch import Tensor

from worldbench.baselines import bst, jtp
from worldbench.baselines.batch import Batch, on_device, pack, places
from worldbench.baselines.bst import BST
from worldbench.baselines.gpt import GPT
from worldbench.baselines.jtp import JTP
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Count, Objective, safe
from worldbench.baselines.options import BSTConfig, GPTConfig, JTPConfig, NextLatConfig
from worldbench.baselines.static_shapes import check_static_shapes
from worldbench.core.errors import RunError
from worldbench.core.registry import models
from worldbench.core.world import Documents

V, CONTEXT = 19, 40
TRAINED = [name for name in models.names() if models[name].trained]
SHAPE = {"layers": 2, "heads": 2, "width": 16}


def documents(n: int, longest: int, seed: int = 0) -> Documents:
    rng = np.random.default_rng(seed)
    length = rng.integers(2, longest + 1, n).astype(np.int32)
    return Documents(rng.integers(0, V, (n, longest)).astype(np.int32), length, rng.integers(1, 4, n).astype(np.int32))


BATCHES = {"packed": pack(documents(12, 9), 4, 20), "single": pack(documents(4, 12), 4, 11)}


def made(name: str) -> Objective:
    entry = models[name]
    return entry.load()(tiny_model(name), V, CONTEXT, 0, V - 1)


STEPS = others_slow(
    [(name, batch) for name in TRAINED for batch in BATCHES],
    *((name, "packed") for name in TRAINED),
)


@pytest.mark.parametrize(("name", "batch"), STEPS)
def test_a_step_of_every_objective(name: str, batch: str) -> None:
    objective = made(name)
    terms = check_static_shapes(objective, BATCHES[batch])
    assert terms.keys() == objective.backward(BATCHES[batch], objective.counts(BATCHES[batch])).keys()
    # A second step gets a batch of other sizes.
    check_static_shapes(objective, pack(documents(6, 9, 1), 6 if batch == "single" else 2, 15))


VARIANTS: dict[str, tuple[type[Objective], Any]] = {
    f"nextlat-{name}": (NextLat, EVERY[name])
    for name in ("no-kl", "no-latents", "landing-both-moving", "prompts", "before-the-norm", "shuffled", "all")
} | {
    "bst-some-pairs": (BST, BSTConfig(**SHAPE, pairs=0.4, min_gap=1)),
    "jtp-next-token-alone": (JTP, JTPConfig(**SHAPE, lambda_jtp=0.0)),
}


@pytest.mark.parametrize("batch", ["packed", pytest.param("single", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_of_every_variant(name: str, batch: str) -> None:
    kind, config = VARIANTS[name]
    check_static_shapes(kind(config, V, CONTEXT, 0, V - 1), BATCHES[batch])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "config"), [(BST, BSTConfig(**SHAPE)), (JTP, JTPConfig(**SHAPE))])
def test_a_step_in_parts(kind: Any, config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bst, jtp):
        monkeypatch.setattr(module, "FLOATS_AT_ONCE", 1 << 12)
    check_static_shapes(kind(config, V, CONTEXT, 0, V - 1), BATCHES["packed"])


class Indexed(GPT):
    """Chooses the scored positions by a mask, as `x[mask]`."""

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        h, scored = self.encode_batch(batch), batch.scored
        logits = self.head(h[scored])
        loss = torch.nn.functional.cross_entropy(logits, batch.targets[scored], reduction="sum")
        return self.ended(loss, totals)

    def ended(self, loss: Tensor, totals: dict[str, Count]) -> dict[str, Tensor]:
        loss = loss / safe(totals["next_token"])
        loss.backward()
        return {"next_token": loss.detach()}


class Asks(Indexed):
    """Reads one number of the loss."""

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        loss = self.next_token_sum(self.encode_batch(batch), batch)
        return self.ended(loss if loss > 0 else 2 * loss, totals)


class Left(Indexed):
    """Uses a tensor that stays on the CPU."""

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        loss = self.next_token_sum(self.encode_batch(batch) + torch.ones(self.width), batch)
        return self.ended(loss, totals)


@pytest.mark.parametrize("kind", [Indexed, Asks, Left])
def test_a_step_that_reads_the_device_is_found(kind: type[GPT]) -> None:
    """The error names the line of the objective."""
    objective = kind(GPTConfig(**SHAPE), V, CONTEXT, 0)
    objective.backward(BATCHES["packed"], objective.counts(BATCHES["packed"]))  # possible on the CPU
    with pytest.raises(RunError, match=r"reads the device or mixes devices at .*test_static_shapes.py:\d+ \("):
        check_static_shapes(objective, BATCHES["packed"])


class Loud(GPT):
    """Returns one number for each position."""

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        loss = self.next_token_sum(self.encode_batch(batch), batch)
        loss.backward()
        return {"next_token": loss.detach() + torch.zeros_like(batch.targets)}


def test_a_term_is_one_number() -> None:
    with pytest.raises(RunError, match=r"'next_token' .* has shape \[4, 20\]"):
        check_static_shapes(Loud(GPTConfig(**SHAPE), V, CONTEXT, 0), BATCHES["packed"])


@pytest.mark.parametrize("name", TRAINED)
def test_counts_are_known_on_the_host(name: str) -> None:
    """Counts are whole numbers of the process, and no tensors, so that dividing by them moves nothing."""
    for batch in BATCHES.values():
        assert all(type(n) is int for n in made(name).counts(batch).values())


@pytest.mark.parametrize("name", TRAINED)
def test_a_part_without_positions_adds_nothing(name: str) -> None:
    """Rows whose prompts fill them: no term has a position, and the gradient is 0."""
    two = np.full(4, 2, np.int32)
    nothing = pack(Documents(np.ones((4, 2), np.int32), np.full(4, 3, np.int32), two), 2, 1)
    assert not nothing.scored.any()
    objective = made(name)
    totals = objective.counts(BATCHES["packed"])
    terms = objective.backward(nothing, totals)
    assert all(float(x) == 0 for x in terms.values())
    assert all(p.grad is None or not p.grad.any() for p in objective.parameters())


# What a batch derives


def double(rows: Batch, by: int) -> tuple[Tensor, list[Any]]:
    return rows.tokens * by, [rows.tokens.device.type, by, None]


def test_what_is_derived_is_kept_and_moved() -> None:
    batch = pack(documents(12, 9), 4, 20)
    first = batch.derived(double, 2)
    assert batch.derived(double, 2) is first
    assert not torch.equal(batch.derived(double, 3)[0], first[0])
    moved = batch.to("meta")
    assert moved.host is batch
    assert moved.tokens.is_meta
    assert moved.derived(double, 2)[0].is_meta
    later, said = moved.derived(double, 5)  # not yet known when the batch was moved
    assert later.is_meta
    assert said == ["cpu", 5, None]
    assert torch.equal(batch.derived(double, 5)[0], batch.tokens * 5)
    part = moved.rows(1, 3)
    assert part.host is not None
    assert torch.equal(part.host.tokens, batch.tokens[1:3])
    assert part.derived(double, 2)[0].shape == (2, 20)


def test_places_are_those_of_the_mask() -> None:
    batch = BATCHES["packed"]
    x = torch.randn(*batch.tokens.shape, 3)
    assert torch.equal(x.flatten(0, 1).index_select(0, batch.scored_places), x[batch.scored])
    assert torch.equal(places(batch.scored), batch.scored.flatten().nonzero()[:, 0])


def test_every_kind_of_value_is_moved() -> None:
    config = NextLatConfig(**SHAPE, mask="landing")  # type: ignore[arg-type]
    objective = NextLat(config, V, CONTEXT, 0)
    rollout = objective._rollout(BATCHES["packed"])
    moved = on_device(rollout, torch.device("meta"))
    assert type(moved) is type(rollout)
    assert moved.inputs == rollout.inputs
    assert all(x.is_meta for step in moved.steps for x in step)
