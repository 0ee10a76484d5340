"""Hidden states beside the exact states they were made in, at every predicted position of some documents.

Shape letters: M positions, D width, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core.model import HasHidden
from worldbench.core.world import Automaton, Documents, States
from worldbench.metrics.evaluation import chunks, walk


@dataclass(frozen=True)
class Positions:
    """Places of documents where something is asked for, in order. row: int [M], the document; prefix_length: int [M],
    tokens seen there; states [M]."""

    row: np.ndarray
    prefix_length: np.ndarray
    states: States


def positions(world: Automaton, documents: Documents) -> Positions:
    """Every place where something is asked for, with the state there."""
    rows, lengths, states = [], [], []
    for t, row, here in walk(world, documents):
        rows.append(row)
        lengths.append(np.full(len(row), t))
        states.append(here)
    row, length = np.concatenate(rows), np.concatenate(lengths)
    order = np.lexsort((length, row))
    return Positions(row[order], length[order], States.concat(states).take(order))


def hidden_at(model: HasHidden, documents: Documents, row: np.ndarray, prefix_length: np.ndarray) -> np.ndarray:
    """The hidden state after the first `prefix_length` [M] tokens of document `row` [M] (ascending): float64 [M, D]."""
    return layers_at(model, documents, row, prefix_length, last_only=True)[model.hidden_name]


def layers_at(
    model: HasHidden, documents: Documents, row: np.ndarray, prefix_length: np.ndarray, last_only: bool = False
) -> dict[str, np.ndarray]:
    """The same by layer."""
    out: dict[str, list[np.ndarray]] = {}
    done = 0
    for part in chunks(documents):
        inside = np.flatnonzero((row >= done) & (row < done + len(part)))
        if last_only:
            found = {model.hidden_name: model.hidden(part.inputs)}
        else:
            found = model.layers(part.inputs)
        for name, h in found.items():
            out.setdefault(name, []).append(h[row[inside] - done, prefix_length[inside] - 1].astype(np.float64))
        done += len(part)
    return {name: np.concatenate(parts) for name, parts in out.items()}
