"""Exact states of a world, and how they are followed along tokens.

Shape letters: N rows, T tokens, P prompt tokens, M rows that read a token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np

from worldbench.core.documents import Documents

OPEN, ARRIVED, ILLEGAL, MISPLACED_END = 0, 1, 2, 3
"""Outcomes: still open; ended at the goal; took an illegal token; ended elsewhere."""


@dataclass
class States:
    """Exact states of N rows. Each field is an array of N rows, or other states of N rows. Worlds subclass it."""

    def take(self, rows: np.ndarray) -> Self:
        """The states of the chosen rows (indices or a mask)."""
        return self._each(lambda x: x.take(rows) if isinstance(x, States) else x[rows])

    def copy(self) -> Self:
        """The same states in new memory, so that rows can be overwritten."""
        return self._each(lambda x: x.copy())

    def put(self, rows: np.ndarray, states: Self) -> None:
        """Overwrites the chosen rows with the rows of `states`."""
        for f in dataclasses.fields(self):
            own, new = getattr(self, f.name), getattr(states, f.name)
            if isinstance(own, States):
                own.put(rows, new)
            else:
                own[rows] = new

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The rows of several states of the same class, in order."""

        def joined(values: list[Any]) -> Any:
            return type(values[0]).concat(values) if isinstance(values[0], States) else np.concatenate(values)

        return dataclasses.replace(
            parts[0], **{f.name: joined([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(parts[0])}
        )

    def _each(self, change: Callable[[Any], Any]) -> Self:
        return dataclasses.replace(self, **{f.name: change(getattr(self, f.name)) for f in dataclasses.fields(self)})

    def __len__(self) -> int:
        return len(getattr(self, dataclasses.fields(self)[0].name))


S = TypeVar("S", bound=States)


class Machine(Protocol):
    """Anything that steps from state to state: a world, or a model that keeps states."""

    def start(self, tokens: np.ndarray, lengths: np.ndarray, /) -> Any:
        """The states after prompts int [N, P]. Row n has a prompt of `lengths[n]` tokens; the rest of the row is
        ignored."""
        ...

    def step(self, states: Any, tokens: np.ndarray, /) -> Any:
        """The states after one more token in each row, int [N]."""
        ...


class Replay(Generic[S]):
    """Follows the states of N rows along tokens int [N, T]. Row n reads the tokens in columns `first[n]` to `last[n]
    - 1`.

        for t, rows, here in Replay(machine, states, tokens, first, last): ...

    t: the column of the next token. rows int [M]: the rows that read this token, ascending. here: their states
    before the token. A column that no row reads is skipped.

    ends: if true, the state after the last token of each row is yielded too, as if one more token followed.

    `states` holds the current state of every row. After the loop, these are the states after the last tokens. The
    states passed to the constructor are not changed.
    """

    def __init__(
        self,
        machine: Machine,
        states: S,
        tokens: np.ndarray,
        first: np.ndarray | int = 0,
        last: np.ndarray | int | None = None,
        *,
        ends: bool = False,
    ) -> None:
        n = len(states)
        self.machine, self.states, self.tokens, self.ends = machine, states.copy(), np.asarray(tokens), ends
        self.first = np.broadcast_to(np.asarray(first, np.int64), (n,))
        self.last = np.broadcast_to(np.asarray(self.tokens.shape[1] if last is None else last, np.int64), (n,)).copy()
        self._partly = ends  # True if some of the yielded rows may not read the next token

    def stop(self, rows: np.ndarray) -> None:
        """These rows read no further token, and not the next one either."""
        self.last[rows] = -1
        self._partly = True

    def __iter__(self) -> Iterator[tuple[int, np.ndarray, S]]:
        begun, until = int(self.first.max(initial=0)), int(self.last.max(initial=0)) + self.ends
        for t in range(int(self.first.min(initial=until)), until):
            reading = t - self.ends < self.last
            rows = np.flatnonzero(reading if t >= begun else reading & (t >= self.first))
            if not len(rows):
                continue
            self._partly = self.ends
            here = self.states.take(rows)
            yield t, rows, here
            if self._partly:
                on = t < self.last[rows]
                rows, here = (rows, here) if on.all() else (rows[on], here.take(on))
            if len(rows):
                self.states.put(rows, self.machine.step(here, self.tokens[rows, t]))

    def finish(self) -> S:
        """The states after the last token of each row."""
        for _ in self:
            pass
        return self.states


def replay(machine: Machine, documents: Documents, *, ends: bool = False) -> Replay:
    """Follows documents from the end of their prompts."""
    widest = int(documents.prompt_length.max(initial=1))
    states = machine.start(documents.tokens[:, :widest], documents.prompt_length)
    return Replay(machine, states, documents.tokens, documents.prompt_length, documents.length, ends=ends)


def after(machine: Machine, documents: Documents) -> Any:
    """The states after the last token of each document."""
    return replay(machine, documents).finish()
