"""MTP and JTP against their losses written out position by position."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.baselines import jtp
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.gpt import GPT
from worldbench.baselines.jtp import JTP
from worldbench.baselines.mtp import MTP
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import GPTConfig, JTPConfig, MTPConfig
from worldbench.baselines.trained import TrainedModel
from worldbench.core.errors import InputError
from worldbench.core.world import Documents

V, CONTEXT = 19, 30
SHAPE = {"layers": 2, "heads": 2, "width": 16}
MTP_CONFIG, JTP_CONFIG = MTPConfig(**SHAPE, horizon=3, lambda_mtp=0.7), JTPConfig(**SHAPE, horizon=3, lambda_jtp=0.7)


def make(config: GPTConfig) -> MTP | JTP:
    """In double precision, with weights that make what is ahead differ."""
    kind: Any = MTP if isinstance(config, MTPConfig) else JTP
    objective = kind(config, V, CONTEXT, 0).double()
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(10)
        if isinstance(objective, JTP):
            generator = torch.Generator().manual_seed(1)
            objective.planning.combine_norm.bias.normal_(generator=generator)
            objective.planning.combine_norm.weight.normal_(generator=generator)
    return objective


def packed(rows: int, share: int, width: int, seed: int = 0) -> Batch:
    """Documents of 2 to 8 tokens, prompts of 1 to 3; some rows cut, some padded."""
    rng = np.random.default_rng(seed)
    n = rows * share
    length = rng.integers(2, 9, n).astype(np.int32)
    return pack(
        Documents(rng.integers(0, V, (n, 8)).astype(np.int32), length, rng.integers(1, 4, n).astype(np.int32)),
        rows,
        width,
    )


BATCHES = [
    pytest.param(packed(4, 3, 14), id="packed"),
    pytest.param(packed(5, 1, 7), id="single"),
    pytest.param(packed(3, 1, 2), id="narrow"),
]


def documents_of(batch: Batch) -> list[tuple[int, list[int]]]:
    """(row, cells) of every document."""
    out = []
    for r in range(len(batch.tokens)):
        for j in range(int(batch.document[r].max()) + 1):
            out.append((r, [i for i in range(batch.tokens.shape[1]) if batch.document[r, i] == j]))
    return out


def mtp_slots(objective: MTP, x: Tensor) -> list[list[Tensor]]:
    """By position of one document int [T], the logits of each head."""
    turn = objective.trunk.rotation_at(len(x), None, x.device)
    state = objective.embed(x)[None]
    for block in objective.trunk.blocks[:-1]:
        state = block(state, turn, None)
    heads = [objective.trunk.norm(objective.trunk.blocks[-1](state, turn, None))] + [
        h.norm(h.block(state, turn, None)) for h in objective.heads
    ]
    return [[objective.trunk.head.weight @ h[0, t] for h in heads] for t in range(len(x))]


def jtp_slots(objective: JTP, x: Tensor) -> list[list[Tensor]]:
    """By position of one document int [T], the logits of each slot, head by head, slot by slot."""
    p, c = objective.planning, objective.config
    state = objective.encode(x[None])[0]
    size = p.head_size
    out = []
    for t in range(len(x)):
        combined = []
        for i in range(min(c.horizon, len(x) - 1 - t) + 1):
            z = objective.embed(x[t + i]) + p.gamma * state[t]
            z = (z - z.mean()) / torch.sqrt(((z - z.mean()) ** 2).mean() + 1e-5)
            combined.append(p.qkv.weight @ (z * p.combine_norm.weight + p.combine_norm.bias))
        logits = []
        for i in range(len(combined)):
            attended = []
            for h in range(c.heads):
                q, k, v = (slice(n * c.heads * size + h * size, n * c.heads * size + (h + 1) * size) for n in range(3))
                scores = torch.stack(
                    [combined[i][q] @ combined[j][k] / size**0.5 + p.bias[h, i - j] for j in range(i + 1)]
                )
                attended.append(sum(w * combined[j][v] for j, w in enumerate(scores.softmax(0))))
            y = p.out.weight @ torch.cat(attended) + (state[t] if i else 0)  # type: ignore[arg-type]
            logits.append(objective.trunk.head.weight @ (y / torch.sqrt((y * y).mean() + 1e-5) * objective.norm.weight))
        out.append(logits)
    return out


def literal_terms(objective: MTP | JTP, batch: Batch) -> dict[str, Tensor]:
    losses: list[list[Tensor]] = [[] for _ in range(objective.config.horizon + 1)]
    for r, cells in documents_of(batch):
        slots_of: Any = mtp_slots if isinstance(objective, MTP) else jtp_slots
        slots = slots_of(objective, batch.tokens[r, cells])
        for t in range(len(cells)):
            for i in range(objective.config.horizon + 1):
                if t + i < len(cells) and batch.targets[r, cells[t + i]] >= 0:
                    losses[i].append(-torch.log_softmax(slots[t][i], 0)[batch.targets[r, cells[t + i]]])
    means = [torch.stack(x).mean() if x else torch.zeros((), dtype=torch.float64) for x in losses]
    return {"next_token": means[0], "ahead": torch.stack(means[1:]).sum() / objective.config.horizon}


def gradients(objective: Objective) -> dict[str, Tensor]:
    out = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in objective.named_parameters()}
    objective.zero_grad(set_to_none=True)
    return out


@pytest.mark.parametrize("chunk", [jtp.FLOATS_AT_ONCE, 1 << 12], ids=["whole", "chunked"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    "config", [MTP_CONFIG, JTP_CONFIG, dataclasses.replace(JTP_CONFIG, horizon=1)], ids=["mtp", "jtp", "jtp-1"]
)
def test_loss_and_gradients_are_the_literal_ones(
    config: MTPConfig | JTPConfig, batch: Batch, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jtp, "FLOATS_AT_ONCE", chunk)
    objective = make(config)
    expected = literal_terms(objective, batch)
    (expected["next_token"] + 0.7 * expected["ahead"]).backward()
    wanted = gradients(objective)
    terms = objective.backward(batch, objective.counts(batch))
    assert {k: float(v) for k, v in terms.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-9
    )
    got = gradients(objective)
    assert max(float(g.abs().max()) for g in wanted.values()) > 1e-3
    for name, g in wanted.items():
        torch.testing.assert_close(got[name], g, atol=1e-10, rtol=1e-8, msg=name)


@pytest.mark.parametrize("kind", [MTP, JTP])
def test_a_weight_of_nothing_leaves_the_next_token_alone(kind: type[MTP] | type[JTP]) -> None:
    batch, config = (
        packed(4, 3, 14),
        {MTP: dataclasses.replace(MTP_CONFIG, lambda_mtp=0.0), JTP: dataclasses.replace(JTP_CONFIG, lambda_jtp=0.0)}[
            kind
        ],
    )
    objective = make(config)
    literal_terms(objective, batch)["next_token"].backward()
    wanted = gradients(objective)
    objective.backward(batch, objective.counts(batch))
    for name, g in gradients(objective).items():
        torch.testing.assert_close(g, wanted[name], atol=1e-10, rtol=1e-8, msg=name)


def test_mtp_predicts_as_the_gpt_of_its_depth() -> None:
    """Head 0 is the last block and the norm of a GPT of as many layers."""
    mtp, gpt = MTP(MTP_CONFIG, V, CONTEXT, 0), GPT(GPTConfig(**SHAPE), V, CONTEXT, 0)
    gpt.load_state_dict({k: v for k, v in mtp.state_dict().items() if k.startswith("trunk.")})
    tokens = np.random.default_rng(0).integers(0, V, (3, 9))
    assert np.array_equal(TrainedModel(mtp).logits(tokens), TrainedModel(gpt).logits(tokens))
    assert mtp.inference_parameters() == gpt.parameter_count()


def test_jtp_predicts_from_slot_0() -> None:
    """In full, cached, and off hidden states; every layer's name leads to its state."""
    objective = make(JTP_CONFIG)
    tokens = np.random.default_rng(0).integers(0, V, (3, 9))
    expected = np.stack(
        [
            torch.stack([slot[0] for slot in jtp_slots(objective, torch.from_numpy(row))]).detach().numpy()
            for row in tokens
        ]
    )
    model = TrainedModel(objective.float())
    np.testing.assert_allclose(model.logits(tokens), expected, atol=2e-4)
    decoder = model.decoder(tokens[:, :4], np.full(3, 4))
    np.testing.assert_allclose(decoder.extend(tokens[:, 4:]), expected[:, 4:], atol=2e-4)
    h = model.hidden(tokens)
    np.testing.assert_allclose(model.head(h[:, 5], tokens[:, 5]), expected[:, 5], atol=2e-4)
    layers = model.layers(tokens)
    assert np.array_equal(layers[model.hidden_name], layers["block 2"])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: MTPConfig(horizon=0), "model.horizon"),
        (lambda: JTPConfig(horizon=0), "model.horizon"),
        (lambda: MTPConfig(lambda_mtp=-1.0), "model.lambda_mtp"),
        (lambda: JTPConfig(lambda_jtp=float("nan")), "model.lambda_jtp"),
    ],
)
def test_settings_that_cannot_be(make: object, field: str) -> None:
    with pytest.raises(InputError, match=field):
        make()  # type: ignore[operator]
