"""The contract of worlds and objectives: every registered objective trains in every kind of world, or says why not
before it does; where labels are asked for, it learns the labels."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from literal_losses import by_hand
from tiny_runs import tiny_model
from toy_worlds import TOYS, Letters, Sums

from worldbench.baselines.batch import pack
from worldbench.baselines.gpt import GPT
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import GPTConfig, NextLatConfig, RecurrentConfig
from worldbench.baselines.recurrent import GRU
from worldbench.core.abilities import HasLaw
from worldbench.core.errors import InputError, RunError
from worldbench.core.registry import models
from worldbench.core.world import Documents
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.training.stream import TrainingStream
from worldbench.training.trainer import Trainer

TRAINED = [e.name for e in models if e.trained]
LOOK_AHEAD = {name for name in TRAINED if not models[name].load().serves_labels}


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("row_tokens", [0, 20], ids=["single", "packed"])
@pytest.mark.parametrize("toy", TOYS)
def test_every_objective_trains_or_says_why_not(toy: str, row_tokens: int, name: str, tmp_path: Path) -> None:
    world, kind = TOYS[toy], models[name].load()
    objective = kind(tiny_model(name), len(world.vocabulary), world.context, 0, world.vocabulary.pad)
    config = TrainConfig(
        steps=3, batch=4, row_tokens=row_tokens, curve_documents=10, warmup=1, device="cpu", checkpoints=1
    )
    if world.labelled and name in LOOK_AHEAD:
        with pytest.raises(
            InputError,
            match=(
                f"no {name} for this world: it learns from the tokens that follow.*asks for labels, not"
                ".*gpt, nextlat, gru,"
            ),
        ):
            Trainer(world, objective, DataConfig(), config, 0, tmp_path)
        return
    trainer = Trainer(world, objective, DataConfig(), config, 0, tmp_path)
    before = {k: v.clone() for k, v in objective.state_dict().items()}
    trainer.train()
    assert any(not torch.equal(v, before[k]) for k, v in objective.state_dict().items())
    curve = {k: v for k, v in msgspec.to_builtins(trainer.evaluate(3)).items() if k not in ("kind", "step")}
    assert curve.keys() == ({"loss", "bayes", "excess"} if isinstance(world, HasLaw) else {"loss"})
    assert all(math.isfinite(v) for v in curve.values())
    if world.labelled:
        assert curve["bayes"] == pytest.approx(0, abs=1e-9)
        assert curve["excess"] == pytest.approx(curve["loss"])


def test_every_objective_says_whether_it_serves_labels() -> None:
    assert {"bst", "mtp", "jtp"} <= LOOK_AHEAD
    assert not LOOK_AHEAD & {"gpt", "nextlat", "gru", "lstm"}
    assert not Objective.serves_labels


@pytest.mark.parametrize("world", [Sums(3, True, 0), Sums(4, False, 1)], ids=lambda world: world.name)
@pytest.mark.parametrize("row_tokens", [0, 30])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (GPT, GPTConfig(layers=1, heads=2, width=16)), (GRU, RecurrentConfig(width=16)),
        (NextLat, NextLatConfig(layers=1, heads=2, width=16, horizon=2, lambda_kl=0.5)),
    ],
)  # fmt: skip
def test_what_is_learned_are_the_labels(kind: type[Objective], config: GPTConfig, row_tokens: int, world: Sums) -> None:
    """The batch of a first step asks for running sums, added up here one by one, and the loss is that of these."""
    train = TrainConfig(batch=3, row_tokens=row_tokens)
    stream = TrainingStream(world, DataConfig(), train, 0)
    documents = stream.documents(0)
    batch = pack(documents, 3, stream.width)
    assert documents.labels is not None
    first = world.vocabulary.answers[0]
    for tokens, length, labels in zip(documents.tokens, documents.length, documents.labels):
        total = 0
        for t in range(length):
            total += int(tokens[t]) - 1
            assert labels[t] == first + total % world.size
    assert stream.width == (row_tokens or world.context)
    objective = kind(config, len(world.vocabulary), world.context, 0).double()
    kept = []
    for r in range(3):  # of every row, the documents that are whole in it, or the start of the one that is cut off
        for j in range(int(batch.document[r].max()) + 1):
            n, size = r * len(documents) // 3 + j, int((batch.document[r] == j).sum())
            one = documents.take(slice(n, n + 1))
            assert one.labels is not None
            kept.append(
                Documents(
                    one.tokens,
                    np.minimum(one.length, size),
                    one.prompt_length,
                    np.where(np.arange(world.context) < size, one.labels, -1),
                )
            )
    expected = by_hand(objective, Documents.concat(kept))
    for name, value in objective.backward(batch, objective.counts(batch)).items():
        torch.testing.assert_close(value, expected[name].detach(), rtol=1e-9, atol=1e-12)


def test_a_world_that_hides_its_labels_is_refused(tmp_path: Path) -> None:
    class Hides(Sums):
        labelled = False

    class Boasts(Letters):
        labelled = True

    for world, said in ((Hides(), "does not say so"), (Boasts(), "its documents have none")):
        objective = GPT(GPTConfig(layers=1, heads=2, width=16), len(world.vocabulary), world.context, 0)
        with pytest.raises(RunError, match=said):
            Trainer(world, objective, DataConfig(), TrainConfig(steps=1, curve_documents=5, device="cpu"), 0, tmp_path)
