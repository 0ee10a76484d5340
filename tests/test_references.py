"""References made from a world, and users' functions as models, on a ring of three places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from worldbench.baselines.from_states import FromStates
from worldbench.baselines.references import Oracle, RandomLegal
from worldbench.core.errors import InputError
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN, Automaton, Documents, States, Vocabulary

PAD, END, A, B, C, LEFT, RIGHT = range(7)


@dataclass
class RingStates(States):
    at: np.ndarray
    goal: np.ndarray
    outcome: np.ndarray


class Lawless(Automaton[RingStates]):
    """Prompt: origin, destination. Right is taken three times out of four until the goal, then the end. No left turn
    from C. Columns: left, right, end."""

    name, version, context, prompt_length, longest = "lawless", 1, 8, 2, 6
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
        outcome = np.where(
            states.outcome != OPEN, states.outcome, np.where(~allowed, ILLEGAL, np.where(tokens == END, ARRIVED, OPEN))
        )
        return RingStates(np.where(allowed, (states.at + move) % 3, states.at), states.goal, outcome)

    def legal(self, states: RingStates) -> np.ndarray:
        there = states.at == states.goal
        return np.stack([states.at != 2, np.ones_like(there), there], axis=1) & (states.outcome == OPEN)[:, None]

    def outcome(self, states: RingStates) -> np.ndarray:
        return states.outcome

    def identity(self) -> dict[str, Any]:
        return {}

    def card(self, documents: int) -> dict[str, Any]:
        return {}


class Ring(Lawless):
    name = "ring"

    def law(self, states: RingStates) -> np.ndarray:
        out = np.where((states.at == 2)[:, None], [0.0, 1.0, 0.0], [0.25, 0.75, 0.0])
        out[states.at == states.goal] = [0, 0, 1]
        out[states.outcome != OPEN] = 1 / 3
        return out


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
    np.testing.assert_allclose(
        probabilities(logits), [[over_vocabulary(law) for law in laws] for laws in expected], atol=1e-6
    )
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
    np.testing.assert_array_equal(
        RandomLegal(Lawless()).logits(np.array([ROW])), RandomLegal(Ring()).logits(np.array([ROW]))
    )
