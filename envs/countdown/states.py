"""The automaton of Countdown: which numbers are left, and which tokens may follow. No law is known: the rule says what
is legal, not what a solution looks like.

Shape letters: N rows, K numbers of a problem, V numbers that have a word, P prompt tokens.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton, States, Vocabulary
from worldbench.envs.countdown.arithmetic import NONE, OPERATIONS, results
from worldbench.envs.countdown.config import CountdownConfig

PAD, END, BAR, COMMA, EQUALS, FIRST_OPERATION = 0, 1, 2, 3, 4, 5
FIRST_NUMBER = FIRST_OPERATION + len(OPERATIONS)
WORDS = ("<pad>", "end", "|", ",", "=", *OPERATIONS)
FIRST, OPERATION, SECOND, EQUALS_SIGN, RESULT, SEPARATOR = range(6)
"""The places of an equation `a operation b = c ,`."""


@dataclass
class CountdownStates(States):
    """left: int64 [N, K], the numbers that may still be used, -1 where there is none. target: int64 [N]. a, operation,
    b: int64 [N], the present equation, -1 where not yet written. said: int64 [N], tokens after the prompt. status:
    int64 [N], the outcome."""

    left: np.ndarray
    target: np.ndarray
    a: np.ndarray
    operation: np.ndarray
    b: np.ndarray
    said: np.ndarray
    status: np.ndarray


class Equations(Automaton[CountdownStates]):
    """The automaton for problems of one size. (`world.py` draws documents.)"""

    def __init__(self, config: CountdownConfig) -> None:
        self.config = c = config
        self.words = c.highest + 1
        numbers = tuple(range(FIRST_NUMBER, FIRST_NUMBER + self.words))
        signs = (COMMA, EQUALS, *range(FIRST_OPERATION, FIRST_NUMBER), END)
        words = (*WORDS, *(str(k) for k in range(self.words)))
        self.vocabulary = Vocabulary(words, pad=PAD, end=END, actions=(*numbers, *signs))
        self._sign = {token: self.words + i for i, token in enumerate(signs)}
        self._column = np.full(len(words), -1)  # of each token in `legal`; -1: the token is no answer
        self._column[[*numbers, *signs]] = np.arange(self.words + len(signs))
        self.prompt_length = c.numbers + 1 + c.pauses
        self.longest = 6 * c.equations
        self.context = self.prompt_length + self.longest

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> CountdownStates:
        c, n = self.config, len(tokens)
        whole = np.zeros((n, self.prompt_length), np.int64)
        shown = min(self.prompt_length, tokens.shape[1])
        whole[:, :shown] = tokens[:, :shown]
        asked = whole[:, : c.numbers + 1] - FIRST_NUMBER
        good = (np.asarray(lengths) == self.prompt_length) & (whole[:, c.numbers + 1 :] == BAR).all(axis=1)
        good &= ((asked >= 0) & (asked < self.words)).all(axis=1)
        asked = np.where(good[:, None], asked, 0)
        none = np.full(n, NONE)
        return CountdownStates(
            asked[:, :-1], asked[:, -1], none, none.copy(), none.copy(), np.zeros(n, np.int64),
            np.where(good, OPEN, ILLEGAL),
        )  # fmt: skip

    def step(self, states: CountdownStates, tokens: np.ndarray) -> CountdownStates:
        tokens, s = np.asarray(tokens).astype(np.int64), states
        going, number, place = s.status == OPEN, tokens - FIRST_NUMBER, s.said % 6
        operation = tokens - FIRST_OPERATION
        known = (tokens >= 0) & (tokens < len(self._column))
        column = np.where(known, self._column[np.where(known, tokens, 0)], -1)
        allowed = self.legal(s)[np.arange(len(s)), np.maximum(column, 0)] & (column >= 0)
        right = allowed & (tokens != END)
        ending = allowed & (tokens == END)
        reached = (s.left == s.target[:, None]).any(axis=1)
        status = np.where(
            ending, np.where(reached, ARRIVED, MISPLACED_END), np.where(going & ~right, ILLEGAL, s.status)
        )
        closing = right & (place == RESULT)
        left = np.where(closing[:, None], self._after(s), s.left)
        at = {FIRST: "a", OPERATION: "operation", SECOND: "b"}
        written = {FIRST: number, OPERATION: operation, SECOND: number}
        changed = {name: np.where(right & (place == k), written[k], getattr(s, name)) for k, name in at.items()}
        changed = {name: np.where(closing, NONE, value) for name, value in changed.items()}
        return dataclasses.replace(s, left=left, said=s.said + right, status=status, **changed)

    @staticmethod
    def _without(left: np.ndarray, value: np.ndarray) -> np.ndarray:
        """The numbers int64 [N, K] without one occurrence of a value [N]."""
        at = (left == value[:, None]).argmax(axis=1)
        out = left.copy()
        rows = np.flatnonzero((left == value[:, None]).any(axis=1))
        out[rows, at[rows]] = NONE
        return out

    def _result(self, s: CountdownStates) -> np.ndarray:
        """The result of the present equation, int64 [N]; -1 where it is not complete or not allowed."""
        return results(s.a, s.operation, s.b, self.config.largest_result)

    def _after(self, s: CountdownStates) -> np.ndarray:
        """The numbers that are left once the present equation is complete, int64 [N, K]."""
        out = self._without(self._without(s.left, s.a), s.b)
        free = (out == NONE).argmax(axis=1)
        out[np.arange(len(out)), free] = self._result(s)
        return out

    def legal(self, states: CountdownStates) -> np.ndarray:
        """Numbers that are left, each as often as it is there; operations and numbers that can still have an allowed
        result; the result itself. At the end of the last equation, the end, whether or not the target is reached."""
        s, n = states, len(states)
        out = np.zeros((n, self.words + len(self._sign)), bool)
        rows, place = np.arange(n), s.said % 6
        possible = self._possible(s)  # [N, K, 4, K]

        def mark(where: np.ndarray, values: np.ndarray, allowed: np.ndarray) -> None:
            row, k = np.nonzero(allowed & where[:, None])
            out[row, values[row, k]] = True

        mark(place == FIRST, s.left, np.asarray(possible.any(axis=(2, 3))))
        for k in range(len(OPERATIONS)):
            fits = (possible[:, :, k].any(axis=2) & (s.left == s.a[:, None])).any(axis=1)
            out[:, self._sign[FIRST_OPERATION + k]] = (place == OPERATION) & fits
        i = (s.left == s.a[:, None]).argmax(axis=1)
        mark(place == SECOND, s.left, possible[rows, i, np.clip(s.operation, 0, 3)])
        out[:, self._sign[EQUALS]] = place == EQUALS_SIGN
        result = self._result(s)
        known = (place == RESULT) & (result != NONE)
        out[rows[known], result[known]] = True
        last = s.said == self.longest - 1
        out[:, self._sign[COMMA]] = (place == SEPARATOR) & ~last
        out[:, self._sign[END]] = (place == SEPARATOR) & last
        return out & (s.status == OPEN)[:, None]

    def _possible(self, s: CountdownStates) -> np.ndarray:
        """bool [N, K, 4, K]: has the equation of two numbers that are left an allowed result?"""
        k = s.left.shape[1]
        a, b, op = s.left[:, :, None, None], s.left[:, None, None, :], np.arange(4)[None, None, :, None]
        found = results(a, op, b, self.config.largest_result) != NONE
        return found & ~np.eye(k, dtype=bool)[None, :, None, :]

    def outcome(self, states: CountdownStates) -> np.ndarray:
        return states.status

    def key(self, states: CountdownStates) -> tuple[np.ndarray, np.ndarray]:
        """(numbers that are left in order, target, present equation, number of tokens, outcome)."""
        s = states
        rest = np.stack([s.target, s.a, s.operation, s.b, s.said, s.status], axis=1)
        both = np.concatenate([np.sort(s.left, axis=1), rest], axis=1)
        return both, both

    def targets(self, states: CountdownStates) -> dict[str, np.ndarray]:
        """numbers_left: how many numbers may still be used. result: the result of the present equation, the target
        where it has none. reached: is the target among the numbers that are left, int 0 or 1?"""
        s = states
        result = self._result(s)
        return {
            "numbers_left": (s.left != NONE).sum(axis=1),
            "result": np.where(result == NONE, s.target, result),
            "reached": (s.left == s.target[:, None]).any(axis=1).astype(np.int64),
        }

    def classes(self, target: str) -> int:
        sizes = {"numbers_left": self.config.numbers + 1, "result": self.words, "reached": 2}
        return sizes[target] if target in sizes else super().classes(target)
