"""Worlds that lack what the built-in ones have: no states, no law, labels instead of next tokens. For tests of the
contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.world import (
    ARRIVED,
    ILLEGAL,
    MISPLACED_END,
    OPEN,
    Automaton,
    Documents,
    States,
    Vocabulary,
    World,
)


class Plain:
    """What people read, of no interest here."""

    name: str
    version = 1

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version}

    def card(self, documents: int) -> dict[str, Any]:
        return {"documents": documents}


class Letters(Plain, World):
    """As text is: a World and nothing more. Documents are windows of twelve letters, each likely to be followed by the
    next one of the alphabet; no end token, no states, and prompts longer than what is given of a document."""

    name, context, prompt_length, longest = "letters", 12, 3, 9
    vocabulary = Vocabulary(("<pad>", *"abcdef"), pad=0, end=None, actions=tuple(range(1, 7)))

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        u = streams.uniform(start, count, self.context, "letters", seed, split)
        steps = np.where(u[:, 1:] < 0.8, 1, (u[:, 1:] * 60).astype(int) % 6)
        first = (u[:, :1] * 6).astype(int)
        tokens = 1 + np.concatenate([first, first + np.cumsum(steps, axis=1)], axis=1) % 6
        return Documents(tokens.astype(np.int32), np.full(count, self.context, np.int32), np.ones(count, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = self.sample(seed, "test", 0, 4 * count).tokens[:, :3]
        _, first = np.unique(tokens, axis=0, return_index=True)
        tokens = tokens[np.sort(first)][:count]
        return tokens, np.full(len(tokens), 3, np.int32)


@dataclass
class RiddleStates(States):
    """allowed: bool [N, 4], the letters that the prompt names; said: int64 [N], letters so far; status: int64 [N]."""

    allowed: np.ndarray
    said: np.ndarray
    status: np.ndarray


class Riddles(Plain, Automaton[RiddleStates]):
    """Tellings and no law: a prompt names `size` of four letters, in any order; three of these letters follow, and the
    end. Which of them, no law says."""

    name, context, prompt_length, longest = "riddles", 8, 4, 4
    vocabulary = Vocabulary(("<pad>", "end", "?", *"abcd"), pad=0, end=1, actions=(3, 4, 5, 6, 1))

    def __init__(self, size: int = 2) -> None:
        self.size = size

    def _told(self, allowed: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ranked = np.argsort(np.where(allowed, order, np.inf), axis=1)[:, : self.size]
        tokens = np.zeros((len(allowed), 4), np.int32)
        tokens[:, : self.size], tokens[:, self.size] = 3 + ranked, 2
        return tokens, np.full(len(allowed), self.size + 1, np.int32)

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        u = streams.uniform(start, count, 11, "riddles", seed, split)
        allowed = np.argsort(np.argsort(u[:, :4], axis=1), axis=1) < self.size
        prompts, lengths = self._told(allowed, u[:, 4:8])
        tokens = np.zeros((count, self.context), np.int32)
        tokens[:, :4] = prompts
        letters = np.nonzero(allowed)[1].reshape(count, self.size)
        at, row = lengths[0], np.arange(count)
        for k in range(3):
            tokens[:, at + k] = 3 + letters[row, (u[:, 8 + k] ** 2 * self.size).astype(int)]
        tokens[:, at + 3] = 1
        return Documents(tokens, lengths + 4, lengths)

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        documents = self.sample(seed, "test", 0, 200)
        _, first = np.unique(documents.tokens[:, :4] * (np.arange(4) < self.size + 1), axis=0, return_index=True)
        chosen = documents.take(np.sort(first)[:count])
        return chosen.tokens[:, : self.size + 1], chosen.prompt_length

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        marked = tokens == 2
        return np.where(marked.any(axis=1), marked.argmax(axis=1) + 1, tokens.shape[1] + 1)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> RiddleStates:
        named = np.arange(tokens.shape[1])[None, :] < np.asarray(lengths)[:, None] - 1
        allowed = np.stack([((tokens == 3 + k) & named).any(axis=1) for k in range(4)], axis=1)
        return RiddleStates(allowed, np.zeros(len(tokens), np.int64), np.full(len(tokens), OPEN))

    def step(self, states: RiddleStates, tokens: np.ndarray) -> RiddleStates:
        going, ends = states.status == OPEN, tokens == 1
        letter = np.clip(tokens - 3, 0, 3)
        right = (tokens >= 3) & states.allowed[np.arange(len(tokens)), letter] & (states.said < 3)
        closed = np.where(states.said == 3, ARRIVED, MISPLACED_END)
        status = np.where(going & ends, closed, np.where(going & ~right, ILLEGAL, states.status))
        return RiddleStates(states.allowed, states.said + (going & right), status)

    def legal(self, states: RiddleStates) -> np.ndarray:
        going = (states.status == OPEN)[:, None]
        done = (states.said == 3)[:, None]
        return np.concatenate([states.allowed & ~done, done], axis=1) & going

    def outcome(self, states: RiddleStates) -> np.ndarray:
        return states.status

    def distance(self, states: RiddleStates) -> np.ndarray:
        return 3 - states.said

    def retold(self, documents: Documents, seed: int) -> Documents:
        order = streams.uniform(0, len(documents), 4, "riddles retold", seed)
        allowed = self.start(documents.tokens, documents.prompt_length).allowed
        tokens = documents.tokens.copy()
        tokens[:, : self.size] = self._told(allowed, order)[0][:, : self.size]
        return Documents(tokens, documents.length, documents.prompt_length)

    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        changed = prompts.copy()
        missing = (~self.start(prompts, lengths).allowed).argmax(axis=1)
        changed[:, 0] = 3 + missing
        return changed, lengths

    def shifted(self) -> dict[str, World]:
        return {"three": Riddles(3)}


@dataclass
class SumStates(States):
    """total: int64 [N], the running sum; said: int64 [N], tokens so far; status: int64 [N]."""

    total: np.ndarray
    said: np.ndarray
    status: np.ndarray


class Sums(Plain, Automaton[SumStates]):
    """Labels that are not the next token: after each number the running sum of all of them, modulo `size`.

    own_words: the labels have words of their own; else they are the numbers. given: 0, or 1 first number as a prompt.
    """

    context, longest, labelled = 9, 9, True

    def __init__(self, size: int = 3, own_words: bool = True, given: int = 0) -> None:
        self.size, self.own_words, self.prompt_length = size, own_words, given
        self.name = f"sums-{size}-{'own' if own_words else 'shared'}-{given}"
        numbers = tuple(range(1, 1 + size))
        labels = tuple(range(1 + size, 1 + 2 * size)) if own_words else numbers
        words = ("<pad>", *(str(k) for k in range(size)), *(f"sum {k}" for k in range(size) if own_words))
        self.vocabulary = Vocabulary(words, pad=0, end=None, actions=numbers, labels=labels)

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        u = streams.uniform(start, count, 1 + self.context, "sums", seed, split)
        length = (4 + u[:, 0] * (self.context - 3)).astype(np.int32)
        numbers = (u[:, 1:] * self.size).astype(np.int64)
        inside = np.arange(self.context)[None, :] < length[:, None]
        labels = np.cumsum(numbers, axis=1) % self.size + self.vocabulary.labels[0]
        return Documents(
            np.where(inside, 1 + numbers, 0).astype(np.int32), length, np.full(count, self.prompt_length, np.int32),
            np.where(inside, labels, -1).astype(np.int32),
        )  # fmt: skip

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        count = min(count, self.size if self.prompt_length else 1)
        tokens = 1 + np.arange(count, dtype=np.int32)[:, None]
        return tokens[:, : self.prompt_length], np.full(count, self.prompt_length, np.int32)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> SumStates:
        n, given = len(tokens), np.asarray(lengths) > 0
        first = tokens[:, 0].astype(np.int64) - 1 if tokens.shape[1] else np.zeros(n, np.int64)
        return SumStates(np.where(given, first, 0), given.astype(np.int64), np.full(n, OPEN))

    def step(self, states: SumStates, tokens: np.ndarray) -> SumStates:
        right = (tokens >= 1) & (tokens <= self.size) & (states.status == OPEN)
        total = np.where(right, (states.total + tokens - 1) % self.size, states.total)
        said = states.said + right
        full = np.where(said >= self.context, ARRIVED, states.status)
        return SumStates(total, said, np.where(right, full, np.where(states.status == OPEN, ILLEGAL, states.status)))

    def legal(self, states: SumStates) -> np.ndarray:
        return np.repeat((states.status == OPEN)[:, None], self.size, axis=1)

    def outcome(self, states: SumStates) -> np.ndarray:
        return states.status

    def law(self, states: SumStates) -> np.ndarray:
        lost = (states.status == ILLEGAL)[:, None]
        return np.where(lost, 1 / self.size, np.eye(self.size)[states.total])

    def targets(self, states: SumStates) -> dict[str, np.ndarray]:
        return {"total": states.total}

    def classes(self, target: str) -> int:
        return self.size

    def beliefs(self, states: SumStates) -> np.ndarray:
        return np.eye(self.size)[states.total]

    def draw_states(self, uniform: np.ndarray) -> SumStates:
        n = len(uniform)
        total = (uniform[:, 0] * self.size).astype(np.int64)
        return SumStates(total, np.zeros(n, np.int64), np.full(n, OPEN))

    def histories(self, states: SumStates, moves: np.ndarray, uniform: np.ndarray) -> Documents:
        most = self.prompt_length + int(moves.max(initial=0))
        length = self.prompt_length + moves
        numbers = (uniform[:, :most] * self.size).astype(np.int64)
        inside = np.arange(most)[None, :] < length[:, None]
        numbers = np.where(inside, numbers, 0)
        row = np.arange(len(states))
        numbers[row, length - 1] = (states.total - (numbers.sum(axis=1) - numbers[row, length - 1])) % self.size
        tokens = np.where(inside, 1 + numbers, 0).astype(np.int32)
        return Documents(tokens, length.astype(np.int32), np.full(len(row), self.prompt_length, np.int32))


TOYS = {w.name: w for w in (Letters(), Riddles(), Sums(3, True, 0), Sums(4, False, 1))}
