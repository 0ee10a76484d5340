"""How documents are laid into rows changes nothing that is learned from them. What `pack` lays where is in
test_pack.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.bst import BST
from worldbench.baselines.gpt import GPT
from worldbench.baselines.jtp import JTP
from worldbench.baselines.mtp import MTP
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import BSTConfig, GPTConfig, JTPConfig, MTPConfig, NextLatConfig, RecurrentConfig
from worldbench.baselines.recurrent import GRU, LSTM
from worldbench.core.world import Documents


class GRUConfig(RecurrentConfig):
    """So that the options show the kind."""


class LSTMConfig(RecurrentConfig):
    """The same."""


V, CONTEXT, N, LONGEST = 17, 40, 12, 9
CONFIGS = [
    pytest.param(GPTConfig(layers=2, heads=2, width=16), id="gpt"),
    pytest.param(NextLatConfig(layers=2, heads=2, width=16, horizon=3, lambda_kl=0.4), id="nextlat"),
    pytest.param(
        NextLatConfig(layers=2, heads=2, width=16, horizon=20, stop_target=False, stop_head=False), id="long-horizon"
    ),
    pytest.param(BSTConfig(layers=2, heads=2, width=16), id="bst"),
    pytest.param(BSTConfig(layers=2, heads=2, width=16, min_gap=1), id="bst-gap-1"),
    pytest.param(MTPConfig(layers=2, heads=2, width=16, horizon=3), id="mtp"),
    pytest.param(JTPConfig(layers=2, heads=2, width=16, horizon=3), id="jtp"),
    pytest.param(LSTMConfig(layers=2, width=16), id="lstm"),
    pytest.param(GRUConfig(layers=2, width=16), id="gru"),
]
KINDS = {
    GPTConfig: GPT,
    NextLatConfig: NextLat,
    BSTConfig: BST,
    MTPConfig: MTP,
    JTPConfig: JTP,
    LSTMConfig: LSTM,
    GRUConfig: GRU,
}


def make(config: GPTConfig | RecurrentConfig) -> Objective:
    """In double precision, with weights that make attention and latents differ from a mean."""
    objective: Objective = KINDS[type(config)](config, V, CONTEXT, 0)  # type: ignore[arg-type]
    objective.double()
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(10)
    return objective


def some_documents(shortest: int = 2) -> Documents:
    rng = np.random.default_rng(3)
    length = rng.integers(shortest, LONGEST + 1, N).astype(np.int32)
    return Documents(rng.integers(0, V, (N, LONGEST)).astype(np.int32), length, rng.integers(1, 4, N).astype(np.int32))


def only(documents: Documents, which: int) -> Documents:
    return documents.take(slice(which, which + 1))


def learned(objective: Objective, batches: list[Batch]) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Terms and gradients of several batches under their common totals."""
    counts = [objective.counts(batch) for batch in batches]
    totals = {name: sum(int(c.get(name, 0)) for c in counts) for name in {name for c in counts for name in c}}
    terms: dict[str, float] = {}
    for batch in batches:
        for name, value in objective.backward(batch, totals).items():  # type: ignore[arg-type]
            terms[name] = terms.get(name, 0.0) + float(value)
    out = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in objective.named_parameters()}
    objective.zero_grad(set_to_none=True)
    return terms, out


def assert_same(objective: Objective, a: list[Batch], b: list[Batch]) -> None:
    (terms, gradients), (expected_terms, expected) = learned(objective, a), learned(objective, b)
    assert all(value > 0 for value in expected_terms.values())
    assert terms == pytest.approx(expected_terms, rel=1e-9)
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    for name, value in expected.items():
        torch.testing.assert_close(gradients[name], value, atol=1e-9, rtol=1e-6, msg=name)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_packed_documents_have_the_hidden_states_of_their_own_rows(rows: int) -> None:
    documents, objective = some_documents(), make(GPTConfig(layers=2, heads=2, width=16))
    packed, apart = pack(documents, rows, LONGEST * N // rows), pack(documents, N, LONGEST)
    assert apart.single
    assert not packed.single
    assert packed.valid.sum() == apart.valid.sum()
    # Valid cells lie in the order of the documents in both.
    torch.testing.assert_close(
        objective.encode_batch(packed)[packed.valid], objective.encode_batch(apart)[apart.valid], atol=1e-10, rtol=1e-8
    )


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("rows", [1, 4])
def test_packed_documents_teach_what_they_teach_in_their_own_rows(
    config: GPTConfig | RecurrentConfig, rows: int
) -> None:
    documents = some_documents()
    assert_same(make(config), [pack(documents, rows, LONGEST * N // rows)], [pack(documents, N, LONGEST)])


@pytest.mark.parametrize("config", CONFIGS)
def test_a_cut_document_teaches_as_its_beginning_does(config: GPTConfig | RecurrentConfig) -> None:
    """One row, cut three inputs into its last document: the third still has its next token to predict, and no later
    latent."""
    documents = some_documents(shortest=6)
    inputs = documents.length.astype(int) - 1
    first = int(inputs[:4].sum())
    whole = Documents(documents.tokens[:5], documents.length[:5], np.ones(5, np.int32))
    cut = pack(whole, 1, first + 3)
    assert int(cut.targets[0, -1]) == documents.tokens[4, 3]
    apart = [pack(only(whole, i), 1, int(inputs[i]) if i < 4 else 3) for i in range(5)]
    assert_same(make(config), [cut], apart)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("rows", "width"), [(12, 8), (4, 14)], ids=["padded", "packed"])
def test_accumulated_halves_have_the_gradient_of_the_whole(
    config: GPTConfig | RecurrentConfig, rows: int, width: int
) -> None:
    batch = pack(some_documents(), rows, width)
    assert batch.single == (rows == N)
    assert_same(make(config), [batch.rows(0, rows // 2), batch.rows(rows // 2, rows)], [batch])


@pytest.mark.parametrize("config", CONFIGS)
def test_rows_packed_by_hand(config: GPTConfig | RecurrentConfig) -> None:
    """3 1 4 1 5 | 9 2 6 | 5 3 and 5 8 9 7 (its prompt 5 8), against the same documents alone."""
    of = torch.tensor
    batch = Batch(
        tokens=of([[3, 1, 4, 1, 9, 2, 5], [5, 8, 9, 0, 0, 0, 0]]),
        document=of([[0, 0, 0, 0, 1, 1, 2], [0, 0, 0, -1, -1, -1, -1]]),
        position=of([[0, 1, 2, 3, 0, 1, 0], [0, 1, 2, 0, 0, 0, 0]]),
        following=of([[1, 4, 1, 5, 2, 6, 3], [8, 9, 7, -1, -1, -1, -1]]),
        targets=of([[1, 4, 1, 5, 2, 6, 3], [-1, 9, 7, -1, -1, -1, -1]]),
        closed=of([[0, 0, 0, 1, 0, 1, 1], [0, 0, 1, 0, 0, 0, 0]]),
        row=of([0, 1]),
        single=False,
    )
    texts, prompts = [[3, 1, 4, 1, 5], [9, 2, 6], [5, 3], [5, 8, 9, 7]], [1, 1, 1, 2]
    apart = []
    for text, prompt in zip(texts, prompts):
        one = Documents(np.array([text], np.int32), np.array([len(text)], np.int32), np.array([prompt], np.int32))
        apart.append(pack(one, 1, len(text) - 1))
    assert_same(make(config), [batch], apart)
