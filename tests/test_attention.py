"""Attention within documents: the pieces of packed rows are the documents of the dense mask, for every objective."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_runs import tiny_model
from torch import Tensor

from worldbench.baselines import attention
from worldbench.baselines.attention import Pieces, attend, document_mask, own_documents, pieces, takes_pieces
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.objective import Objective
from worldbench.baselines.pairs import suffix_rows
from worldbench.baselines.static_shapes import check_static_shapes
from worldbench.core.registry import models
from worldbench.core.world import Documents

V, CONTEXT = 19, 40
TRANSFORMERS = [n for n in models.names() if models[n].trained and n not in ("gru", "lstm")]


def packed(seed: int, rows: int = 3, each: int = 4, width: int = 20) -> Batch:
    rng = np.random.default_rng(seed)
    n, longest = rows * each, 9
    length = rng.integers(2, longest + 1, n).astype(np.int32)
    tokens = rng.integers(0, V - 1, (n, longest)).astype(np.int32)
    return pack(Documents(tokens, length, rng.integers(1, 4, n).astype(np.int32)), rows, width)


def kernel(
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor, other: Tensor, longest: int, _: int, **more: object
) -> Tensor:
    """`varlen_attn` as its documentation says, one piece at a time."""
    assert more == {"window_size": (-1, 0)}
    assert starts is other
    assert starts.dtype == torch.int32
    cuts = starts.tolist()
    assert cuts[-1] == len(q)
    parts = []
    for low, high in itertools.pairwise(cuts):
        assert 0 < high - low <= longest
        query, key, value = (x[low:high].transpose(0, 1)[None] for x in (q, k, v))
        parts.append(F.scaled_dot_product_attention(query, key, value, is_causal=True)[0].transpose(0, 1))
    return torch.cat(parts)


def as_if_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("attention", "objective"):
        for name in ("takes_pieces", "card_takes_pieces"):
            monkeypatch.setattr(sys.modules[f"worldbench.baselines.{module}"], name, lambda *_: True)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and documents are attended to in pieces."""

    def call() -> None:
        as_if_on_a_card(monkeypatch)
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)

    return call


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_the_documents(seed: int) -> None:
    """Two tokens are in one piece if and only if they are in one document of one row, also in rows of suffixes."""
    batch = packed(seed)
    for document, got in (
        (batch.document, pieces(batch)),
        (suffix_rows(batch, V - 1)[1], pieces(batch, suffix_rows, V - 1)),
    ):
        b, t = document.shape
        which = torch.searchsorted(got.starts, torch.arange(b * t, dtype=torch.int32), right=True)
        same = which[:, None] == which[None, :]
        wanted = torch.zeros(b, t, b, t, dtype=torch.bool)
        for r in range(b):
            wanted[r, :, r] = document[r][:, None] == document[r][None, :]
        assert torch.equal(same, wanted.view(b * t, b * t))
        assert got.longest == t


def test_attention_in_pieces_is_that_of_the_mask(cut: Callable[[], None]) -> None:
    batch = packed(0)
    q, k, v = torch.randn(3, *batch.tokens.shape, 2, 8, generator=torch.Generator().manual_seed(0)).unbind()
    dense = attend(q, k, v, document_mask(batch.document))
    cut()
    mask = own_documents(batch, 8)
    assert isinstance(mask, Pieces)
    torch.testing.assert_close(attend(q, k, v, mask), dense, atol=1e-6, rtol=1e-6)


def gradients(objective: Objective, batch: Batch) -> list[Tensor]:
    terms = objective.backward(batch, objective.counts(batch))
    out = [p.grad for p in objective.parameters() if p.grad is not None]
    objective.zero_grad(set_to_none=True)
    return [*terms.values(), *out]


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_an_objective_has_the_same_loss_and_gradients(name: str, cut: Callable[[], None]) -> None:
    objective = models[name].load()(tiny_model(name), V, CONTEXT, 0, V - 1)
    dense = gradients(objective, packed(1))
    seen = []
    real = attention._attend_in_pieces
    cut()
    attention._attend_in_pieces = lambda *x: (seen.append(len(x)), real(*x))[1]
    try:
        got = gradients(objective, packed(1))
    finally:
        attention._attend_in_pieces = real
    assert seen, "no piece was attended to"
    assert len(got) == len(dense)
    for a, b in zip(got, dense):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_step_in_pieces_never_reads_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's own operator, on the device `meta`."""
    as_if_on_a_card(monkeypatch)
    objective = models[name].load()(tiny_model(name), V, CONTEXT, 0, V - 1)
    check_static_shapes(objective, packed(2))


def test_the_cpu_and_fp32_take_the_mask() -> None:
    batch = packed(3)
    assert not takes_pieces(torch.device("cpu"), 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_pieces(torch.device("cpu"), 16)
    mask = own_documents(batch, 16)
    assert isinstance(mask, Tensor)
    assert torch.equal(mask, document_mask(batch.document))
    assert (
        own_documents(
            pack(Documents(np.ones((2, 4), np.int32), np.full(2, 4, np.int32), np.ones(2, np.int32)), 2, 3), 16
        )
        is None
    )
