"""References made from a world, and users' functions as models, on a ring of three places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from worldbench.baselines.callable import CallableModel, load_callable
from worldbench.baselines.from_states import FromStates
from worldbench.baselines.references import Oracle, RandomLegal
from worldbench.core.errors import InputError
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN, Documents, States, Vocabulary, World

PAD, END, A, B, C, LEFT, RIGHT = range(7)


@dataclass
class RingStates(States):
    at: np.ndarray
    goal: np.ndarray
    outcome: np.ndarray


class Ring(World[RingStates]):
    """Prompt: origin, destination. Right is taken three times out of four until the goal, then the end. No left turn from C. Columns: left, right, end."""

    name, version, context, prompt_length, longest = "ring", 1, 8, 2, 6
    vocabulary = Vocabulary(("pad", "end", "A", "B", "C", "left", "right"), PAD, END, (LEFT, RIGHT, END))

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        raise NotImplementedError

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> RingStates:
        return RingStates(tokens[:, 0] - A, tokens[:, 1] - A, np.full(len(tokens), OPEN))

    def step(self, states: RingStates, tokens: np.ndarray) -> RingStates:
        column = self.vocabulary.action_of_token[tokens]
        allowed = (column >= 0) & self.legal(states)[np.arange(len(tokens)), column]
        move = np.where(tokens == LEFT, -1, np.where(tokens == RIGHT, 1, 0))
        outcome = np.where(states.outcome != OPEN, states.outcome, np.where(~allowed, ILLEGAL, np.where(tokens == END, ARRIVED, OPEN)))
        return RingStates(np.where(allowed, (states.at + move) % 3, states.at), states.goal, outcome)

    def legal(self, states: RingStates) -> np.ndarray:
        there = states.at == states.goal
        return np.stack([states.at != 2, np.ones_like(there), there], axis=1) & (states.outcome == OPEN)[:, None]

    def law(self, states: RingStates) -> np.ndarray | None:
        out = np.where((states.at == 2)[:, None], [0.0, 1.0, 0.0], [0.25, 0.75, 0.0])
        out[states.at == states.goal] = [0, 0, 1]
        out[states.outcome != OPEN] = 1 / 3
        return out

    def outcome(self, states: RingStates) -> np.ndarray:
        return states.outcome

    def identity(self) -> dict[str, Any]:
        return {}

    def card(self, documents: int) -> dict[str, Any]:
        return {}


class Lawless(Ring):
    name = "lawless"
    law = World.law  # type: ignore[assignment]


# From A to C: right to B, left to A, left to C, and the end; what comes after it is one token too many.
ROW = [A, C, RIGHT, LEFT, LEFT, END, RIGHT]
ORACLE = [None, [1 / 4, 3 / 4, 0], [1 / 4, 3 / 4, 0], [1 / 4, 3 / 4, 0], [0, 0, 1], [1 / 3] * 3, [1 / 3] * 3]
LEGAL = [None, [1 / 2, 1 / 2, 0], [1 / 2, 1 / 2, 0], [1 / 2, 1 / 2, 0], [0, 1 / 2, 1 / 2], [1 / 3] * 3, [1 / 3] * 3]
# From C: no left turn, so the first move is illegal and what follows is lost.
WRONG = [C, A, LEFT, RIGHT, RIGHT, END, PAD]
WRONG_ORACLE = [None, [0, 1, 0], *[[1 / 3] * 3] * 5]
WRONG_LEGAL = [None, [0, 1, 0], *[[1 / 3] * 3] * 5]


def probabilities(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits.astype(np.float64))
    return p / p.sum(-1, keepdims=True)


def over_vocabulary(law: list[float] | None) -> list[float]:
    return [1 / 7] * 7 if law is None else [0, law[2], 0, 0, 0, law[0], law[1]]


@pytest.mark.parametrize(("kind", "expected"), [(Oracle, (ORACLE, WRONG_ORACLE)), (RandomLegal, (LEGAL, WRONG_LEGAL))])
def test_laws_after_every_prefix(kind: type[FromStates], expected: tuple[list, list]) -> None:
    logits = kind(Ring()).logits(np.array([ROW, WRONG]))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(probabilities(logits), [[over_vocabulary(law) for law in laws] for laws in expected], atol=1e-6)
    np.testing.assert_allclose(np.exp(logits[:, 1:].astype(np.float64)).sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", [Oracle, RandomLegal])
@pytest.mark.parametrize("steps", [(1, 1, 1, 1, 1), (3, 2), (2, 3), (5,)])
def test_decoder_is_the_whole_forward(kind: type[FromStates], steps: tuple[int, ...]) -> None:
    model, tokens = kind(Ring()), np.array([ROW, WRONG, [B, C, RIGHT, END, RIGHT, LEFT, LEFT]])
    decoder, done = model.decoder(tokens[:, :2], np.full(3, 2)), 2
    whole = model.logits(tokens)
    np.testing.assert_array_equal(decoder.logits, whole[:, 1])
    for k in steps:
        np.testing.assert_array_equal(decoder.extend(tokens[:, done : done + k]), whole[:, done : done + k])
        done += k
        np.testing.assert_array_equal(decoder.logits, whole[:, done - 1])


def test_selected_rows_go_on() -> None:
    model, tokens = Oracle(Ring()), np.array([ROW, WRONG])
    decoder = model.decoder(tokens[:, :2], np.full(2, 2))
    decoder.extend(tokens[:, 2:3])
    chosen = np.array([1, 0, 0, 1])
    decoder.select(chosen)
    whole = model.logits(tokens)[chosen]
    np.testing.assert_array_equal(decoder.logits, whole[:, 2])
    np.testing.assert_array_equal(decoder.extend(tokens[chosen, 3:6]), whole[:, 3:6])


def test_prefixes_shorter_than_the_prompt_are_uniform() -> None:
    np.testing.assert_allclose(probabilities(Oracle(Ring()).logits(np.array([[A], [B]]))), 1 / 7)


def test_a_world_without_a_law() -> None:
    with pytest.raises(InputError, match="law of the world 'lawless' is not known"):
        Oracle(Lawless())
    assert Oracle.impossible(Ring()) is None
    assert RandomLegal.impossible(Lawless()) is None
    np.testing.assert_array_equal(RandomLegal(Lawless()).logits(np.array([ROW])), RandomLegal(Ring()).logits(np.array([ROW])))


# Users' functions

WORDS = Ring.vocabulary


def shifted(tokens: np.ndarray) -> np.ndarray:
    """A running sum decides: any change of an earlier token is seen."""
    return np.cos(np.cumsum(tokens, axis=1)[:, :, None] * np.arange(1, 8)).astype(np.float32)


def test_a_function_decodes_as_it_predicts() -> None:
    model, tokens, lengths = CallableModel(shifted, WORDS), np.array([[A, B, C], [B, 0, 0], [C, A, 0]]), np.array([3, 1, 2])
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
    assert model.hidden(np.array([[A]])) is None
    assert model.hidden_name == ""


def test_hidden_states_come_second() -> None:
    model = CallableModel(lambda tokens: (shifted(tokens), np.zeros((*tokens.shape, 4))), WORDS)
    hidden = model.hidden(np.array([[A, B]]))
    assert hidden is not None
    assert hidden.shape == (1, 2, 4)
    assert model.hidden_name == "the function's second value"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t: np.zeros((*t.shape, 6)), r"logits of shape \(1, 1, 6\).*must be \(1, 1, 7\)"),
        (lambda t: np.zeros((len(t), 7)), r"logits of shape \(1, 7\)"),
        (lambda t: [[0.0] * 7], "logits of type list"),
        (lambda t: np.full((*t.shape, 7), "a"), "logits of type ndarray"),
        (lambda t: np.zeros((*t.shape, 7), bool), "logits of type ndarray"),
        (lambda t: torch.zeros(*t.shape, 7, dtype=torch.bool), "logits of type ndarray"),
        (lambda t: np.full((*t.shape, 7), np.nan), "logits that are not numbers"),
        (lambda t: np.full((*t.shape, 7), -np.inf), "logits that are not numbers"),
        (lambda t: (np.zeros((*t.shape, 7)), np.zeros((9, 9, 2))), r"hidden states of shape \(9, 9, 2\)"),
        (lambda t: (np.zeros((*t.shape, 7)), "h"), "hidden states of type str"),
        (lambda t: None, "logits of type NoneType"),
    ],
)
def test_mistakes_are_told_at_once(function: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CallableModel(function, WORDS)


def test_load_callable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    (tmp_path / "users_model.py").write_text("def predict(tokens):\n    return 5\nsize = 3\n")
    (tmp_path / "users_broken.py").write_text("import a_module_that_is_not_there\n")
    (tmp_path / "users_failing.py").write_text("1 / 0\n")
    assert load_callable("users_model:predict")(None) == 5
    for spec, message in {
        "users_model": "MODULE:FUNCTION, not 'users_model'",
        ":predict": "MODULE:FUNCTION",
        "users_model:": "MODULE:FUNCTION",
        "users_absent:predict": "no module 'users_absent'",
        "users_broken:predict": "no module 'a_module_that_is_not_there'",
        "users_failing:predict": "ZeroDivisionError: division by zero",
        "users_model:forecast": "has no 'forecast'",
        "users_model:size": "'size' is a int, not a function",
    }.items():
        with pytest.raises(InputError, match=message):
            load_callable(spec)
