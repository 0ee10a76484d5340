"""GRU and LSTM: their equations, packed rows, decoding from states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.baselines.options import RecurrentConfig
from worldbench.baselines.recurrent import GRU, LSTM, Recurrent
from worldbench.baselines.trained import TrainedModel
from worldbench.core.errors import InputError
from worldbench.core.model import ALL_LAYERS
from worldbench.core.world import Documents

V, CONTEXT = 19, 30
CONFIG = RecurrentConfig(layers=2, width=12)
KINDS = pytest.mark.parametrize("kind", [GRU, LSTM])


def literal(objective: Recurrent, tokens: list[int]) -> Tensor:
    """Logits after each token, from the equations."""
    x = [objective.embedding.weight[t] for t in tokens]
    for layer in objective.recurrent:
        w_i, w_h, b_i, b_h = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0
        h = c = torch.zeros(12)
        out = []
        for e in x:
            i, r = w_i @ e + b_i, w_h @ h + b_h
            if isinstance(objective, GRU):
                reset, update = torch.sigmoid(i[:12] + r[:12]), torch.sigmoid(i[12:24] + r[12:24])
                h = (1 - update) * torch.tanh(i[24:] + reset * r[24:]) + update * h
            else:
                enter, forget, gate, leave = (i + r).chunk(4)
                c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(gate)
                h = torch.sigmoid(leave) * torch.tanh(c)
            out.append(h)
        x = out
    return torch.stack([objective.out.weight @ h for h in x])


def tokens_of(n: int, t: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, V, (n, t))


@KINDS
def test_logits_are_those_of_the_equations(kind: type[Recurrent]) -> None:
    objective, tokens = kind(CONFIG, V, CONTEXT, 0), tokens_of(2, 7)
    expected = np.stack([literal(objective, row.tolist()).detach().numpy() for row in tokens])
    model = TrainedModel(objective)
    np.testing.assert_allclose(model.logits(tokens), expected, atol=1e-5)
    np.testing.assert_allclose(model.head(model.hidden(tokens)[:, 4], tokens[:, 4]), expected[:, 4], atol=1e-5)
    assert list(model.layers(tokens)) == ["embedding", "layer 1", "top layer (head input)"]


@KINDS
@pytest.mark.parametrize("k", [1, 3])
def test_decoding_goes_on_from_the_states(kind: type[Recurrent], k: int) -> None:
    model, tokens, lengths = TrainedModel(kind(CONFIG, V, CONTEXT, 0)), tokens_of(4, 13), np.array([4, 1, 2, 4])
    decoder = model.decoder(tokens[:, :4], lengths)
    rows = [row[:n].tolist() for row, n in zip(tokens, lengths)]
    order = [0, 1, 2, 3]
    for start in range(4, 13, k):
        for place, r in enumerate(order):
            np.testing.assert_allclose(decoder.logits[place], model.logits(np.array([rows[r]]))[0, -1], atol=1e-5)
        if start == 7:
            order = [3, 1, 1]
            decoder.select(np.array(order))
        new = tokens[0, start : start + k]
        out = decoder.extend(np.stack([new] * len(order)))
        for r in set(order):
            rows[r] += new.tolist()
        np.testing.assert_allclose(out[1], model.logits(np.array([rows[order[1]]]))[0, -len(new) :], atol=1e-5)


@KINDS
@pytest.mark.parametrize("shortest", [1, 2])
def test_swapped_states_lead_the_donors_lives(kind: type[Recurrent], shortest: int) -> None:
    """All layers: every future is the donor's. Its own state put back: nothing changes. The top layer's h: the head
    reads the donor's."""
    model = TrainedModel(kind(CONFIG, V, CONTEXT, 0))
    tokens, others = tokens_of(3, 5), np.random.default_rng(1).integers(0, V, (3, 5))
    lengths = np.array([5, shortest, 4])
    documents, donors = (Documents(x, lengths, np.ones(3, np.int32)) for x in (tokens, others))
    after, new = model.swapped(documents, donors, ALL_LAYERS), np.array([[3, 4], [5, 6], [7, 8]])
    expected = model.decoder(others, lengths)
    np.testing.assert_allclose(after.logits, expected.logits, atol=1e-6)
    np.testing.assert_allclose(after.extend(new), expected.extend(new), atol=1e-6)
    for layer in model.layers(tokens):
        same, plain = model.swapped(documents, documents, layer), model.decoder(tokens, lengths)
        np.testing.assert_allclose(same.logits, plain.logits, atol=1e-5)
        np.testing.assert_allclose(same.extend(new), plain.extend(new), atol=1e-5)
        moved = model.swapped(documents, donors, layer)
        assert np.abs(moved.extend(new) - plain.extend(new)).max() > 1e-4
    top = model.swapped(documents, donors, model.hidden_name)
    np.testing.assert_allclose(top.logits, model.decoder(others, lengths).logits, atol=1e-5)


@KINDS
def test_weights_start_as_torchs_do_from_the_seed_alone(kind: type[Recurrent]) -> None:
    config = RecurrentConfig(layers=2, width=64)
    before = torch.get_rng_state()
    first, same, other = (kind(config, V, CONTEXT, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.items():
        assert torch.equal(value, same[name])
        assert not torch.equal(value, other[name])
        expected = 1 if name == "embedding.weight" else (1 / 3 / 64) ** 0.5
        assert float(value.std()) == pytest.approx(expected, rel=0.15), name


@pytest.mark.parametrize("field", ["layers", "width"])
def test_shapes_that_cannot_be(field: str) -> None:
    with pytest.raises(InputError, match=f"model.{field}"):
        RecurrentConfig(**{field: 0})
