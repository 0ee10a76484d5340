"""BST against its loss written out pair by pair, its suffixes, its draws, and decoding towards a suffix.

Shape letters: B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.baselines import bst
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.bst import BST
from worldbench.baselines.gpt import GPT
from worldbench.baselines.options import BSTConfig, GPTConfig
from worldbench.baselines.pairs import pairs_of, suffix_rows
from worldbench.baselines.trained import TrainedModel
from worldbench.core.errors import InputError
from worldbench.core.world import Documents

V, CONTEXT, PAD = 19, 30, 0
CONFIG = BSTConfig(layers=2, heads=2, width=16)


def make(config: BSTConfig = CONFIG) -> BST:
    objective = BST(config, V, CONTEXT, 0, PAD).double()
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(10)
    return objective


def some_documents(n: int = 12, seed: int = 0, longest: int = 8) -> Documents:
    rng = np.random.default_rng(seed)
    length = rng.integers(2, longest + 1, n).astype(np.int32)
    return Documents(rng.integers(1, V, (n, longest)).astype(np.int32), length, rng.integers(1, 4, n).astype(np.int32))


def hand_made() -> Batch:
    """Two rows of seven cells: documents 5 6 7 8 | 9 3 2 and, cut off after its second input, 4 1 ..; a padded row with
    one of 5 6 2, its prompt 5 6."""
    rows = torch.tensor
    return Batch(
        tokens=rows([[5, 6, 7, 9, 3, 4, 1], [5, 6, 0, 0, 0, 0, 0]]),
        document=rows([[0, 0, 0, 1, 1, 2, 2], [0, 0, -1, -1, -1, -1, -1]]),
        position=rows([[0, 1, 2, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0, 0]]),
        following=rows([[6, 7, 8, 3, 2, 1, 7], [6, 2, -1, -1, -1, -1, -1]]),
        targets=rows([[6, 7, 8, 3, 2, 1, 7], [-1, 2, -1, -1, -1, -1, -1]]),
        closed=rows([[0, 0, 1, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0, 0]]),
        row=rows([4, 5]),
        single=False,
    )


def test_suffix_rows_by_hand() -> None:
    tokens, document, position = suffix_rows(hand_made(), PAD)
    assert tokens.tolist() == [[0, 8, 7, 6, 0, 2, 3, 7, 1, 0], [0, 2, 6, 0, 0, 0, 0, 0, 0, 0]]
    assert document.tolist() == [[0, 0, 0, 0, 1, 1, 1, 2, 2, -1], [0, 0, 0, -1, -1, -1, -1, -1, -1, -1]]
    assert position.tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1, 0], [0, 1, 2, 0, 0, 0, 0, 0, 0, 0]]


def test_pairs_by_hand() -> None:
    """(cell of t, cell of s, next token, token before the suffix): 7 cells of inputs a row, 10 of suffixes."""
    p = pairs_of(hand_made(), 2, 1.0, PAD, 0)
    got = list(zip(*(x.tolist() for x in (p.prefix, p.suffix, p.next, p.previous))))
    assert got == [
        (0, 2, 6, 6),
        (0, 1, 6, 7),
        (0, 0, 6, 8),
        (1, 1, 7, 7),
        (1, 0, 7, 8),
        (2, 0, 8, 8),  # 5 6 7 8: s = 2, 3, nothing
        (3, 5, 3, 3),
        (3, 4, 3, 2),
        (4, 4, 2, 2),
        (5, 7, 1, 1),  # cut off: no empty suffix
        (8, 10, 2, 2),  # the prompt's last token is where it starts
    ]


# The loss, pair by pair


def literal_terms(objective: BST, batch: Batch) -> tuple[dict[str, Tensor], int]:
    """All in one graph, each prefix and each suffix encoded by itself."""
    c = objective.config
    gate_up, down, norm = (
        objective.text_head.gate_up.weight,
        objective.text_head.down.weight,
        objective.text_head.norm.weight,
    )
    head = objective.trunk.head.weight
    next_token, previous = [], []
    for r in range(len(batch.tokens)):
        for j in range(int(batch.document[r].max()) + 1):
            cells = [i for i in range(batch.tokens.shape[1]) if batch.document[r, i] == j]
            last = cells[-1]
            x = [*(int(batch.tokens[r, i]) for i in cells), int(batch.targets[r, last])]
            whole = int(batch.closed[r, last])
            for t in range(len(cells)):
                if batch.targets[r, cells[t]] < 0:
                    continue
                f = objective.encode(torch.tensor([x[: t + 1]]))[0, -1]
                for s in range(t + c.min_gap, len(x) + whole):
                    read = ([PAD] if whole else []) + x[s:][::-1]
                    b = objective.suffix(objective.embed(torch.tensor([read])), None, None)[0, -1]
                    z = torch.cat([f, b])
                    gate, up = (gate_up @ z).chunk(2)
                    y = z + down @ (gate * torch.sigmoid(gate) * up)
                    y = y / torch.sqrt((y * y).mean() + 1e-5) * norm
                    near = s - t == 1
                    next_token.append(-torch.log_softmax(head @ y[: c.width], 0)[PAD if near else x[t + 1]])
                    previous.append(-torch.log_softmax(head @ y[c.width :], 0)[PAD if near else x[s - 1]])
    return {"next_token": torch.stack(next_token).mean(), "previous_token": torch.stack(previous).mean()}, len(
        next_token
    )


def gradients(objective: BST) -> dict[str, Tensor]:
    out = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in objective.named_parameters()}
    objective.zero_grad(set_to_none=True)
    return out


BATCHES = [
    pytest.param(hand_made(), id="by-hand"),
    pytest.param(pack(some_documents(), 4, 14), id="packed"),
    pytest.param(pack(some_documents(6), 6, 7), id="single"),
]


@pytest.mark.parametrize("chunk", [bst.FLOATS_AT_ONCE, 1 << 11], ids=["whole", "chunked"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("min_gap", [1, 2, 3])
def test_loss_and_gradients_are_the_literal_ones(
    min_gap: int, batch: Batch, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bst, "FLOATS_AT_ONCE", chunk)
    objective = make(dataclasses.replace(CONFIG, min_gap=min_gap))
    expected, count = literal_terms(objective, batch)
    ((expected["next_token"] + expected["previous_token"]) / 2).backward()
    wanted = gradients(objective)
    totals = objective.counts(batch)
    assert totals == {"pairs": count}
    terms = objective.backward(batch, totals)
    assert {k: float(v) for k, v in terms.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-10
    )
    got = gradients(objective)
    for name, g in wanted.items():
        assert g.abs().max() > 1e-6, name
        torch.testing.assert_close(got[name], g, atol=1e-10, rtol=1e-8, msg=name)


def test_the_head_never_sees_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pairs there are, as many go through the head at a time."""
    objective, seen = make(), []
    forward = objective.text_head.forward
    monkeypatch.setattr(
        objective.text_head, "forward", lambda f, b, first: (seen.append(len(f)), forward(f, b, first))[1]
    )
    monkeypatch.setattr(bst, "FLOATS_AT_ONCE", 40 * (2 * V + 8 * 16 + 4 * objective.text_head.down.in_features))
    for n in (12, 48):
        seen.clear()
        batch = pack(some_documents(n), 4, 200)
        objective.backward(batch, objective.counts(batch))
        assert max(seen) == 40
    assert len(seen) > 4


# Sub-sampling


def test_sub_sampling_keeps_its_share_and_every_empty_suffix() -> None:
    batch = pack(some_documents(400, longest=12), 100, 60, 700)
    every, kept = (pairs_of(batch, 2, share, PAD, 3) for share in (1.0, 0.3))
    tokens, _, position = suffix_rows(batch, PAD)

    def empty(p: object) -> Tensor:
        return (tokens.flatten() == PAD)[p.suffix] & (position.flatten() == 0)[p.suffix]  # type: ignore[attr-defined]

    whole = {(int(a), int(b)) for a, b in zip(every.prefix, every.suffix)}
    part = {(int(a), int(b)) for a, b in zip(kept.prefix, kept.suffix)}
    assert part < whole
    assert int(empty(kept).sum()) == int(empty(every).sum()) > 0
    n, k = int((~empty(every)).sum()), int((~empty(kept)).sum())
    assert abs(k - 0.3 * n) < 4 * (0.21 * n) ** 0.5


def test_draws_belong_to_the_row_of_the_training() -> None:
    """The same when the batch is split; others in another step or under another seed."""
    documents = some_documents(40)

    def drawn(first_row: int, seed: int) -> list[tuple[int, int]]:
        p = pairs_of(pack(documents, 10, 30, first_row), 2, 0.5, PAD, seed)
        return list(zip(p.prefix.tolist(), p.suffix.tolist()))

    base = drawn(0, 0)
    assert base == drawn(0, 0)
    assert base != drawn(10, 0)
    assert base != drawn(0, 1)
    batch = pack(documents, 10, 30)
    t, objective = 30, make(dataclasses.replace(CONFIG, pairs=0.5))
    halves = [objective.pairs(batch.rows(0, 5)), objective.pairs(batch.rows(5, 10))]
    assert [*halves[0].prefix.tolist(), *(halves[1].prefix + 5 * t).tolist()] == [a for a, _ in base]


# Prediction


def test_prediction_is_made_from_the_empty_suffix() -> None:
    objective = BST(CONFIG, V, CONTEXT, 0, PAD)
    with torch.no_grad():
        for p in objective.parameters():
            p.mul_(8 if p.ndim >= 2 else 1)
    tokens = np.random.default_rng(0).integers(1, V, (3, 6))
    model = TrainedModel(objective)
    with torch.no_grad():
        f = objective.encode(torch.from_numpy(tokens))
        b = objective.suffix(objective.embed(torch.tensor([[PAD]])), None, None)[0, 0].expand_as(f)
        z = torch.cat([f, b], -1)
        gate, up = objective.text_head.gate_up(z).chunk(2, -1)
        y = objective.text_head.norm(z + objective.text_head.down(torch.nn.functional.silu(gate) * up))
        expected = objective.trunk.head(y[..., :16]).numpy()
    np.testing.assert_allclose(model.logits(tokens), expected, atol=1e-4)
    h = model.hidden(tokens)
    np.testing.assert_allclose(h, f.numpy(), atol=1e-5)
    np.testing.assert_allclose(model.head(h[:, 3], tokens[:, 3]), expected[:, 3], atol=1e-4)
    decoder = model.decoder(tokens[:, :2], np.full(3, 2))
    np.testing.assert_allclose(decoder.extend(tokens[:, 2:]), expected[:, 2:], atol=1e-4)


def test_decoding_towards_a_suffix() -> None:
    """Each row towards its own, of its own length; scores are the log probabilities under that condition; rows can be
    chosen and repeated."""
    objective = BST(CONFIG, V, CONTEXT, 0, PAD)
    with torch.no_grad():
        for p in objective.parameters():
            p.mul_(8 if p.ndim >= 2 else 1)
    rng = np.random.default_rng(1)
    tokens, suffix = rng.integers(1, V, (3, 7)), np.array([[4, 5, 6], [7, -1, -1], [-1, -1, -1]])
    model = TrainedModel(objective)
    with torch.no_grad():
        f = objective.encode(torch.from_numpy(tokens))
        b = torch.stack(
            [
                objective.suffix(objective.embed(torch.tensor([[PAD, *row]])), None, None)[0, -1]
                for row in ([6, 5, 4], [7], [])
            ]
        )
        expected = objective.conditioned(f, b[:, None]).numpy()
    decoder = model.decoder(tokens[:, :3], np.full(3, 3), condition=suffix)
    np.testing.assert_allclose(decoder.logits, expected[:, 2], atol=1e-4)
    law = expected[:, 2:4] - np.log(np.exp(expected[:, 2:4]).sum(-1, keepdims=True))
    scores = decoder.score(tokens[:, 3:5])
    np.testing.assert_allclose(scores, np.take_along_axis(law, tokens[:, 3:5, None], 2)[..., 0], atol=1e-4)
    decoder.select(np.array([1, 0, 1]))
    np.testing.assert_allclose(decoder.extend(tokens[[1, 0, 1], 5:6])[:, 0], expected[[1, 0, 1], 5], atol=1e-4)
    plain = model.decoder(tokens[2:, :3], np.full(1, 3))
    np.testing.assert_allclose(plain.logits[0], expected[2, 2], atol=1e-4)


def test_conditions_that_cannot_be() -> None:
    tokens, lengths = np.ones((2, 3), np.int64), np.full(2, 3)
    with pytest.raises(InputError, match=r"one suffix a row, \[2, S\]; not shape \[1, 2\]"):
        TrainedModel(BST(CONFIG, V, CONTEXT, 0, PAD)).decoder(tokens, lengths, condition=np.ones((1, 2), np.int64))
    with pytest.raises(InputError, match="gpt cannot be conditioned on how a document ends"):
        TrainedModel(GPT(GPTConfig(layers=1, heads=1, width=8), V, CONTEXT, 0)).decoder(
            tokens, lengths, condition=np.ones((2, 2), np.int64)
        )


@pytest.mark.parametrize(
    ("values", "field"),
    [({"pairs": 1.2}, "model.pairs"), ({"pairs": -0.1}, "model.pairs"), ({"min_gap": 0}, "model.min_gap")],
)
def test_settings_that_cannot_be(values: dict[str, float], field: str) -> None:
    with pytest.raises(InputError, match=field):
        BSTConfig(**values)  # type: ignore[arg-type]
