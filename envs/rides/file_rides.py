"""Rides of a text file as documents, in the format of `docs/routes.md`.

The rides whose pair (origin, destination) is held out are the test split. Epoch e of a split holds all its rides once,
in an order that depends on (seed, split, e).

Shape letters: F rides of the file, n rides, L largest number of moves, N places.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.files import read_regular
from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.route_reader import FORM, NO_END, PLACE, SHOWN, RouteReader
from worldbench.envs.rides.route_text import joined


class FileRides:
    """The rides of a file on a map.

    origin, destination, moves: int64 [F]. sha256: digest of the file. past_end: how many lines have words after `end`.
    Raises InputError for a file with a line that is not a ride of the map: unknown words, a missing street, no `end`,
    an end elsewhere than at the destination, or a number of moves outside min_moves .. max_moves.
    """

    def __init__(self, path: Path, graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> None:
        self.path, self.graph, self.held_out = path, graph, held_out
        self.min_moves, self.max_moves = min_moves, max_moves
        raw = read_regular(path)
        reader = RouteReader(graph)
        reader.read(raw)
        self.sha256, self.past_end = hashlib.sha256(raw).hexdigest(), reader.past_end
        self._words, self._start = np.array(reader.words, np.int16), np.array(reader.start, np.int64)
        self.origin, self.destination = (np.array(x, np.int64) for x in (reader.origin, reader.destination))
        self.moves = np.diff(self._start)
        problems, wrong = list(reader.problems), reader.skipped
        if len(self.origin):
            found = self._problems()
            rows = np.flatnonzero(found != "")
            wrong += len(rows)
            problems += [f"line {reader.line[row]:,}: {found[row]}" for row in rows[:SHOWN].tolist()]
        if wrong:
            raise InputError(
                f"the rides {str(path)!r} cannot be used: {joined(tuple(problems[:SHOWN]), wrong)}. {FORM}, along "
                f"streets of the map {graph.name!r}; name the map of the rides with --env.map, or remove such lines"
            )
        if not len(self.origin):
            raise InputError(f"the rides {str(path)!r} contain no ride. {FORM}")
        held = held_out.holds(self.origin, self.destination)
        if held_out.kind == "states":
            raise InputError(
                "env.held_out 'states' does not apply to rides of a file, which visit any state; leave it at 'pairs'"
            )
        self._rows = {"train": np.flatnonzero(~held), "test": np.flatnonzero(held)}

    def __len__(self) -> int:
        return len(self.origin)

    def _problems(self) -> np.ndarray:
        """What is wrong with each ride, object [F]; "" if nothing is."""
        out = np.full(len(self), "", object)
        last = self._words[self._start[1:] - 1] if len(self._words) else np.zeros(len(self), np.int16)
        unended = (self.moves > 0) & (last == NO_END)
        out[unended] = "the ride has no 'end'"
        wrong = (self.moves < self.min_moves) | (self.moves > self.max_moves)
        for row in np.flatnonzero(wrong & ~unended).tolist():
            out[row] = (
                f"the ride has {counted(int(self.moves[row]), 'move')}, and env.min_moves and env.max_moves allow "
                f"{self.min_moves} to {self.max_moves}"
            )
        at, going = self.origin.copy(), out == ""
        for t in range(int(self.moves[going].max(initial=0))):
            rows = np.flatnonzero(going & (self.moves > t))
            word = self._words[self._start[rows] + t]
            after = np.where(word >= 0, self.graph.successor[at[rows], np.maximum(word, 0)], -1)
            for row, code in zip(rows[after < 0].tolist(), word[after < 0].tolist()):
                here = self.graph.places[at[row]]
                out[row] = (
                    f"a place is among the directions, after {here!r}"
                    if code == PLACE
                    else f"no street leads {self.graph.directions[code]} from {here!r}"
                    if code >= 0
                    else "padding is among the directions"
                )
                going[row] = False
            at[rows] = np.maximum(after, 0)
        for row in np.flatnonzero(going & (at != self.destination)).tolist():
            out[row] = f"the ride ends at {self.graph.places[at[row]]!r}, not at its destination"
        return out

    def rides(
        self, seed: int, split: str, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rides start .. start + count - 1 of the split, as `of` returns them."""
        return self.of(seed, split, np.arange(start, start + count))

    def of(self, seed: int, split: str, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The rides `items`, int [n], ascending, as `RideSource.of` returns them."""
        if split not in self._rows:
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        of_split = self._rows[split]
        row = np.empty(len(items), np.int64)
        epoch = items // len(of_split)
        for e in np.unique(epoch).tolist():
            order = streams.generator("rides of a file", seed, split, e).permutation(len(of_split))
            row[epoch == e] = of_split[order[items[epoch == e] % len(of_split)]]
        directions = np.zeros((len(items), self.max_moves), np.uint8)
        inside = np.arange(self.max_moves)[None, :] < self.moves[row, None]
        at = self._start[row, None] + np.arange(self.max_moves)[None, :]
        directions[inside] = self._words[at[inside]]
        return self.origin[row], self.destination[row], self.moves[row], directions

    def drawable(self, split: str) -> np.ndarray:
        """bool [N, N]: is there a ride of the split from this origin (row) to this destination (column)?"""
        out = np.zeros((self.graph.n_places, self.graph.n_places), bool)
        rows = self._rows[split]
        out[self.origin[rows], self.destination[rows]] = True
        return out

    def check(self) -> None:
        """Raises InputError if a split has no ride."""
        for split, rows in self._rows.items():
            if not len(rows):
                which = "a held-out pair" if split == "test" else "any other pair"
                raise InputError(
                    f"none of the {counted(len(self), 'ride')} of {str(self.path)!r} is between {which} of places, "
                    f"with env.held_out_share {self.held_out.share:g}; change env.held_out_share, or add rides"
                )

    def count(self, split: str) -> int:
        """How many rides a split has."""
        return len(self._rows[split])

    def summary(self) -> str:
        """A clause for people on what was read."""
        text = f"{counted(self.count('train'), 'ride')} to train on and {self.count('test'):,} held out, of "
        text += self.path.name
        return text + (
            f" ({counted(self.past_end, 'line has', 'lines have')} words after 'end')" if self.past_end else ""
        )
