"""Documents that ask for labels of their own: how they are laid into rows, and that the losses are those of the labels,
written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from literal_losses import by_hand

from worldbench.baselines.batch import pack
from worldbench.baselines.dynamics import neighbors
from worldbench.baselines.gpt import GPT
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.baselines.options import GPTConfig, NextLatConfig, RecurrentConfig
from worldbench.baselines.recurrent import GRU, LSTM
from worldbench.core.world import Documents

V, N, LONGEST = 11, 8, 6


def labelled(every: bool = True) -> Documents:
    """Random tokens, and after each of them a label of other words; `every`: also after the last."""
    rng = np.random.default_rng(1)
    length = rng.integers(2, LONGEST + 1, N).astype(np.int32)
    labels = rng.integers(5, V, (N, LONGEST)).astype(np.int32)
    last = length - (0 if every else 1)
    labels[np.arange(LONGEST)[None, :] >= last[:, None]] = -1
    labels[0, 1] = -1  # nothing is asked for there
    return Documents(rng.integers(1, 5, (N, LONGEST)).astype(np.int32), length, np.ones(N, np.int32), labels)


# Documents


@given(st.integers(0, 3), st.booleans())
def test_plain_documents_ask_for_the_next_token(prompt: int, packed: bool) -> None:
    rng = np.random.default_rng(prompt)
    length = rng.integers(1, LONGEST + 1, N).astype(np.int32)
    plain = Documents(
        rng.integers(1, V, (N, LONGEST)).astype(np.int32), length, np.minimum(prompt, length).astype(np.int32)
    )
    for n in range(N):
        for t in range(LONGEST):
            asked = plain.prompt_length[n] <= t + 1 < length[n]
            assert plain.targets[n, t] == (plain.tokens[n, t + 1] if asked else -1)
    assert plain.input_length.tolist() == (length - 1).tolist()
    assert plain.inputs.shape == (N, LONGEST - 1)
    spelled = Documents(plain.tokens, plain.length, plain.prompt_length, plain.targets)
    rows, width = (2, 9) if packed else (N, LONGEST)
    for a, b in zip(vars(pack(plain, rows, width)).values(), vars(pack(spelled, rows, width)).values()):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_the_last_token_is_read_where_something_is_asked_for_after_it() -> None:
    assert labelled().input_length.tolist() == labelled().length.tolist()
    assert labelled().inputs.shape == (N, LONGEST)
    assert labelled(every=False).input_length.tolist() == (labelled().length - 1).tolist()
    assert labelled(every=False).inputs.shape == (N, LONGEST - 1)


def test_taken_and_joined() -> None:
    d = labelled()
    parts = [d.take(slice(0, 3)), d.take(np.array([3, 4])), d.take(np.arange(N) >= 5)]
    again = Documents.concat(parts)
    assert all(
        np.array_equal(getattr(again, f), getattr(d, f)) for f in ("tokens", "length", "prompt_length", "labels")
    )
    plain = Documents(d.tokens, d.length, d.prompt_length)
    mixed = Documents.concat([plain, d])
    assert mixed.labels is not None
    assert np.array_equal(mixed.labels, np.concatenate([plain.targets, d.targets]))
    assert Documents.concat([plain, plain]).labels is None


# Rows


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize(("rows", "width"), [(8, 6), (2, 17), (4, 9), (1, 40)])
def test_rows_of_labels_as_the_loop_over_tokens(every: bool, rows: int, width: int) -> None:
    d = labelled(every)
    batch = pack(d, rows, width)
    share, inputs = N // rows, d.length - (not every)
    for r in range(rows):
        column = 0
        for j in range(share):
            n = r * share + j
            for t in range(int(inputs[n])):
                if column < width:
                    assert batch.tokens[r, column] == d.tokens[n, t]
                    assert batch.document[r, column] == j
                    assert batch.following[r, column] == (d.tokens[n, t + 1] if t + 1 < d.length[n] else -1)
                    assert batch.targets[r, column] == d.labels[n, t]
                    assert batch.closed[r, column] == (not every and t + 2 == d.length[n])
                column += 1
        for rest in range(column, width):
            assert (batch.document[r, rest], batch.following[r, rest], batch.targets[r, rest]) == (-1, -1, -1)


def test_neighbors_reach_the_last_token_that_is_read() -> None:
    d = labelled()
    row, t = neighbors(d)
    assert list(zip(row.tolist(), t.tolist())) == [(n, t) for n in range(N) for t in range(int(d.length[n]) - 1)]


# Losses


@pytest.mark.parametrize(("rows", "width"), [(8, 6), (2, 30)], ids=["single", "packed"])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (GPT, GPTConfig(layers=1, heads=2, width=16)), (GRU, RecurrentConfig(width=16)),
        (LSTM, RecurrentConfig(width=16)),
        (NextLat, NextLatConfig(layers=1, heads=2, width=16, horizon=2, lambda_h=1.0, lambda_kl=0.5)),
    ],
)  # fmt: skip
def test_losses_of_labels_by_hand(kind: type[Objective], config: GPTConfig, rows: int, width: int) -> None:
    objective = kind(config, V, LONGEST, 0).double()
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(5)
    documents = labelled()
    batch = pack(documents, rows, width)
    assert kind.serves_labels
    terms = objective.backward(batch, objective.counts(batch))
    expected = by_hand(objective, documents)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value.detach(), rtol=1e-9, atol=1e-12)
    gradient = {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}
    objective.zero_grad(set_to_none=True)
    expected["next_token"].backward(retain_graph=True)
    if kind is not NextLat:  # NextLat's other terms stop some gradients, which test_nextlat.py looks at
        for name, p in objective.named_parameters():
            torch.testing.assert_close(
                gradient[name], torch.zeros_like(p) if p.grad is None else p.grad, rtol=1e-8, atol=1e-12
            )
