"""A user's own function or network: what works as it stands, and one sentence for every mistake."""

from __future__ import annotations

import sys
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.baselines.callable import CallableModel
from worldbench.core.errors import InputError
from worldbench.core.model import HasHidden
from worldbench.core.world import Vocabulary
from worldbench.envs.taxi.config import TaxiConfig

PAD, END, A, B, C, LEFT, RIGHT = range(7)
WORDS = Vocabulary(("pad", "end", "A", "B", "C", "left", "right"), PAD, END, (LEFT, RIGHT, END))
CITY = TaxiConfig(map="city:24", min_moves=2, max_moves=9)
TINY = [
    *("--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"),
    *("--eval.trials", "10"),
]
TINY += ["--eval.documents", "10", "--eval.metrics", "next_token", "valid_trajectories", "effective_rank", "--quiet"]


def shifted(tokens: np.ndarray) -> np.ndarray:
    """A running sum decides: any change of an earlier token is seen."""
    return np.cos(np.cumsum(tokens, axis=1)[:, :, None] * np.arange(1, 8)).astype(np.float32)


# What a function may return


def test_a_function_decodes_as_it_predicts() -> None:
    model, tokens, lengths = (
        CallableModel(shifted, WORDS),
        np.array([[A, B, C], [B, 0, 0], [C, A, 0]]),
        np.array([3, 1, 2]),
    )
    rows = [tokens[i, :n].tolist() for i, n in enumerate(lengths)]
    decoder = model.decoder(tokens, lengths)
    for k in (1, 3):
        decoder.select(np.array([0, 2, 1, 1]))
        rows = [rows[i] for i in (0, 2, 1, 1)]
        new = np.random.default_rng(k).integers(1, 7, (4, k))
        rows = [row + added.tolist() for row, added in zip(rows, new)]
        expected = np.stack([shifted(np.array([row]))[0, -k:] for row in rows])
        np.testing.assert_allclose(decoder.extend(new), expected)
        np.testing.assert_allclose(decoder.logits, expected[:, -1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_torch_tensors_of_any_precision(dtype: torch.dtype) -> None:
    value = torch.arange(7).to(dtype)
    value = value.requires_grad_() if dtype.is_floating_point else value
    model = CallableModel(lambda tokens: value.expand(*tokens.shape, 7), WORDS)
    out = model.logits(np.array([[A, B]]))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, np.broadcast_to(np.arange(7), (1, 2, 7)))
    assert not isinstance(model, HasHidden)
    assert model.hidden_name == ""


class Output(dict):
    """As of transformers: a mapping with attributes."""

    @property
    def logits(self) -> Any:
        return self["logits"]


class Plain:
    def __init__(self, logits: Any) -> None:
        self.logits = logits


class Foreign:
    """An array of another library."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: z,
        lambda z: (z,),
        lambda z: (z, None),
        lambda z: (z, torch.tensor(1.5)),
        lambda z: (z, 1.5),
        lambda z: (z, None, "cache"),
        lambda z: {"logits": z},
        lambda z: Output(logits=z, loss=None),
        Plain,
        Foreign,
        lambda z: torch.from_numpy(z).to_sparse(),
    ],
)
def test_the_logits_are_found(wrap: Any) -> None:
    model, tokens = CallableModel(lambda tokens: wrap(shifted(tokens)), WORDS), np.array([[A, LEFT, B]])
    np.testing.assert_array_equal(model.logits(tokens), shifted(tokens))
    assert not isinstance(model, HasHidden)


def test_hidden_states_come_second() -> None:
    model = CallableModel(lambda tokens: (shifted(tokens), np.zeros((*tokens.shape, 4))), WORDS)
    assert isinstance(model, HasHidden)
    assert model.hidden(np.array([[A, B]])).shape == (1, 2, 4)
    assert list(model.layers(np.array([[A, B]]))) == [model.hidden_name]
    assert model.hidden_name == "the function's second value"


def test_a_function_may_write_into_its_tokens() -> None:
    def greedy(tokens: np.ndarray) -> np.ndarray:
        tokens[:] = A
        return shifted(tokens)

    tokens = np.array([[B, C]])
    CallableModel(greedy, WORDS).logits(tokens)
    assert tokens.tolist() == [[B, C]]


def test_what_stands_at_padding_is_ignored() -> None:
    def nan_at_padding(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = np.where((tokens == PAD)[..., None], np.nan, shifted(tokens))
        return z, z[..., :3]

    model, tokens = CallableModel(nan_at_padding, WORDS), np.array([[A, B, PAD], [A, PAD, PAD]])
    inside = tokens != PAD
    np.testing.assert_array_equal(model.logits(tokens)[inside], shifted(tokens)[inside])
    assert np.isfinite(model.logits(tokens)).all()
    assert np.isfinite(model.hidden(tokens)).all()


@pytest.mark.parametrize("rows", [None, 1, 2, 5, 100])
def test_no_more_rows_than_the_limit_at_once(rows: int | None) -> None:
    seen: list[int] = []

    def counted(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(len(tokens))
        return shifted(tokens), shifted(tokens)

    model, tokens = CallableModel(counted, WORDS, rows=rows), np.random.default_rng(0).integers(1, 7, (11, 4))
    np.testing.assert_array_equal(model.logits(tokens), shifted(tokens))
    np.testing.assert_array_equal(model.hidden(tokens), shifted(tokens))
    assert max(seen) == min(rows or 11, 11)
    assert model.logits(tokens[:0]).shape == (0, 4, 7)


# What it may not


def zeros(tokens: np.ndarray) -> np.ndarray:
    return np.zeros((*tokens.shape, 7), np.float32)


def nan_at_three(tokens: np.ndarray) -> np.ndarray:
    out = zeros(tokens)
    out[:, 3:] = np.nan
    return out


def out_of_memory(tokens: np.ndarray) -> np.ndarray:
    if len(tokens) > 1:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return zeros(tokens)


def leaving(tokens: np.ndarray) -> np.ndarray:
    sys.exit("bye")


HERE = r"\(test_callables\.py, line \d+\)"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda t: np.zeros((*t.shape, 6)),
            r"logits of shape \(1, 1, 6\).*must be \(1, 1, 7\): .*vocabulary of 7 words",
        ),
        (lambda t: np.zeros((len(t), 7)), r"logits of shape \(1, 7\)"),
        (lambda t: [[0.0] * 7], "logits of type list"),
        (lambda t: np.full((*t.shape, 7), "a"), "logits of dtype <U1"),
        (lambda t: np.zeros((*t.shape, 7), bool), "logits of dtype bool"),
        (lambda t: np.zeros((*t.shape, 7), complex), "logits of dtype complex128"),
        (lambda t: torch.zeros(*t.shape, 7, dtype=torch.bool), "logits of dtype bool"),
        (lambda t: np.full((*t.shape, 7), np.nan), "returned NaN among its logits, first after token 0 of row 0"),
        (lambda t: np.full((*t.shape, 7), -np.inf), "logits that are all -inf"),
        (lambda t: np.full((*t.shape, 7), 1e300), "an infinite logit"),
        (lambda t: (zeros(t), np.zeros((9, 9, 2))), r"hidden states of shape \(9, 9, 2\)"),
        (lambda t: (zeros(t), "h"), "hidden states of type str"),
        (lambda t: (zeros(t), np.zeros(t.shape)), r"hidden states of shape \(1, 1\)"),
        (lambda t: (zeros(t), np.zeros((*t.shape, 2), bool)), "hidden states of dtype bool"),
        (lambda t: (zeros(t), np.zeros((*t.shape, 2), complex)), "hidden states of dtype complex128"),
        (lambda t: (zeros(t), np.full((*t.shape, 2), 1e300)), "hidden states with NaN or infinity"),
        (lambda t: (zeros(t), np.zeros((*t.shape, 0))), "hidden states of width 0 .*; leave the second value out"),
        (
            lambda t: (zeros(t), np.full((*t.shape, 2), np.nan)),
            "hidden states with NaN or infinity, first after token 0 of row 0",
        ),
        (lambda t: None, "logits of type NoneType"),
        (lambda t: (), "logits of type NoneType"),
        (lambda t: {}["tok_embeddings"], f"failed on tokens of shape .*KeyError: 'tok_embeddings' {HERE}"),
        (lambda t: torch.zeros(2) @ torch.zeros(3), f"RuntimeError: .*{HERE}"),
        (leaving, rf"the code ends the program \(SystemExit: bye\) {HERE}"),
    ],
)
def test_mistakes_are_reported_at_once(function: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        CallableModel(function, WORDS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (nan_at_three, r"NaN among its logits, first after token 3 of row 0 of tokens of shape \(3, 5\)"),
        (lambda t: zeros(t)[:, [-1]], r"shape \(3, 1, 7\).*after every token, not after the last one alone"),
        (lambda t: zeros(t)[:, -1] if t.shape[1] > 1 else zeros(t), "not after the last one alone"),
        (out_of_memory, "--batch-limit N calls it with N rows at once, not 3"),
        (
            lambda t: (zeros(t), zeros(t)) if len(t) == 1 else zeros(t),
            "returned hidden states of width 7 at first, and none for",
        ),
        (
            lambda t: (zeros(t), zeros(t)) if len(t) > 1 else zeros(t),
            "returned none at first, and hidden states of width 7 for",
        ),
        (
            lambda t: (zeros(t), zeros(t)[..., : t.shape[1]]),
            r"of width 1 at first, and hidden states of width 5 for tokens of shape \(3, 5\); return .* of one width",
        ),
    ],
)
def test_mistakes_that_come_later(function: Any, message: str) -> None:
    model, tokens = CallableModel(function, WORDS), np.full((3, 5), A)
    with pytest.raises(InputError, match=message):
        model.hidden(tokens) if model.hidden_name else model.logits(tokens)


ARRAYS = hnp.arrays(
    st.sampled_from(
        [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, bool, complex, "U2", "S3", object, "M8[s]"]
    ),
    st.sampled_from(
        [(), (7,), (3, 7), (3, 5), (3, 5, 7), (3, 5, 6), (3, 5, 2), (0,), (3, 5, 0), (1, 5, 7), (3, 1, 7), (3, 5, 7, 1)]
    ),
)
TENSORS = st.builds(
    lambda shape, dtype, layout: (
        torch.ones(shape).to(dtype).to_sparse() if layout and shape else torch.ones(shape).to(dtype)
    ),
    st.sampled_from([(), (3, 5, 7), (3, 5), (3, 5, 2)]),
    st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64]),
    st.booleans(),
)
ANYTHING = st.recursive(
    ARRAYS | TENSORS | st.none() | st.text(max_size=3) | st.floats() | st.integers() | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["logits", "x"]), inner)
        | st.builds(Plain, inner)
    ),
    max_leaves=4,
)


@settings(max_examples=150)
@given(value=ANYTHING)
def test_whatever_is_returned_is_read_or_refused(value: Any) -> None:
    """In one sentence, whatever it is; what is read are finite numbers of the right shape."""
    tokens, messages = np.full((3, 5), A), ""
    try:
        logits = CallableModel(lambda t: zeros(t) if t.shape == (1, 1) else value, WORDS).logits(tokens)
    except InputError as error:
        messages, logits = str(error), zeros(tokens)
    assert "\n" not in messages
    assert (logits.shape, logits.dtype) == ((3, 5, 7), np.float32)
    assert not np.isnan(logits).any()
