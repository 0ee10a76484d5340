"""The world of groups: random elements, and after each the product of all so far.

Shape letters: N documents, T tokens, G elements of the group, P prompt tokens.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN, Automaton, Documents, States, Vocabulary
from worldbench.envs.group.config import GroupConfig
from worldbench.envs.group.tables import group

PAD, START, FIRST = 0, 1, 2


@dataclass
class ProductStates(States):
    """product: int64 [N], the product of the elements so far. said: int64 [N], their number. status: int64 [N], the
    outcome."""

    product: np.ndarray
    said: np.ndarray
    status: np.ndarray


class GroupWorld(Automaton[ProductStates]):
    """Running products in a finite group (Merrill, Petty & Sabharwal 2024, arXiv 2404.08819; Teoh et al. 2025, arXiv
    2511.05963).

    A document is `start`, then uniformly random elements. A model is asked for a label after each element: the product
    of all elements so far, in the order in which they are written. The next element is random and is never asked for.
    (Without a first token that differs from the elements, a transformer with rotary positions gives the same answer
    after x, x x, x x x ..: every value that it attends to is the same.)
    Training documents have `length` elements, held-out documents `test_length`.

    State: the product. Ground truth: the label, which is certain. Products in a group that is not solvable (A5, S5)
    cannot be computed by a network of constant depth at every length, unless TC0 = NC1; solvable groups (S3, Z60) are
    the controls.

    Two documents of Z5, with the labels after each element:
        start 3 4 1   labels 3 2 3
        start 0 2 2   labels 0 2 4
    """

    name = "group"
    version = 1
    labelled = True
    prompt_length = 1

    def __init__(self, config: GroupConfig | None = None) -> None:
        self.config = c = config or GroupConfig()
        self.group = group(c.group)
        self.size = len(self.group)
        elements = tuple(range(FIRST, FIRST + self.size))
        words = ("<pad>", "start", *self.group.words)
        self.vocabulary = Vocabulary(words, pad=PAD, end=None, actions=elements, labels=elements)
        self.longest, self.context = c.test_length, 1 + c.test_length
        self.trained_length = 1 + c.length
        self._product = self.group.product.astype(np.int64)
        self._flat = self._product.ravel()

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        c = self.config
        length = c.length if split == "train" else c.test_length
        u = streams.uniform(start, count, length, "group", self.group.name, seed, split)
        tokens, labels = (np.full((count, self.context), empty, np.int32) for empty in (PAD, -1))
        elements = (u * self.size).astype(np.int64)
        tokens[:, 0], inside = START, slice(1, 1 + length)
        tokens[:, inside], labels[:, inside] = FIRST + elements, FIRST + self.products(elements)
        return Documents(tokens, np.full(count, 1 + length, np.int32), np.ones(count, np.int32), labels)

    def products(self, elements: np.ndarray) -> np.ndarray:
        """The running products of elements int64 [N, T]: int64 [N, T]."""
        out = np.empty(elements.shape[::-1], np.int64)  # one row for each place, so that memory is read in order
        out[:1] = elements.T[:1]
        for t in range(1, elements.shape[1]):
            np.take(self._flat, out[t - 1] * self.size + elements[:, t], out=out[t])
        return out.T

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The one prompt, the start."""
        count = min(count, 1)
        return np.full((count, 1), START, np.int32), np.ones(count, np.int32)

    # States

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> ProductStates:
        zeros, begun = np.zeros(len(tokens), np.int64), (np.asarray(lengths) == 1) & (np.asarray(tokens)[:, 0] == START)
        return ProductStates(zeros, zeros.copy(), np.where(begun, OPEN, ILLEGAL))

    def step(self, states: ProductStates, tokens: np.ndarray) -> ProductStates:
        element, going = np.asarray(tokens).astype(np.int64) - FIRST, states.status == OPEN
        right = going & (element >= 0) & (element < self.size)
        after = self._product[states.product, np.where(right, element, 0)]
        said = states.said + right
        ended = np.where(said == self.longest, ARRIVED, OPEN)
        status = np.where(right, ended, np.where(going, ILLEGAL, states.status))
        return ProductStates(np.where(right, after, states.product), said, status)

    def legal(self, states: ProductStates) -> np.ndarray:
        return np.repeat((states.status == OPEN)[:, None], self.size, axis=1)

    def outcome(self, states: ProductStates) -> np.ndarray:
        return states.status

    def key(self, states: ProductStates) -> tuple[np.ndarray, np.ndarray]:
        """(product, outcome), for the rule and for the law. The number of elements does not matter."""
        both = np.stack([states.product, states.status], axis=1).astype(np.int64)
        return both, both

    def law(self, states: ProductStates) -> np.ndarray:
        """The label, which is certain: float64 [N, G]."""
        out = np.zeros((len(states), self.size))
        out[np.arange(len(states)), states.product] = 1
        out[states.status == ILLEGAL] = 1 / self.size
        return out

    def expected_entropies(self) -> np.ndarray:
        return np.zeros(self.longest + 1)

    def targets(self, states: ProductStates) -> dict[str, np.ndarray]:
        """product: the running product."""
        return {"product": states.product}

    def classes(self, target: str) -> int:
        return self.size if target == "product" else super().classes(target)

    # Histories

    def draw_states(self, uniform: np.ndarray) -> ProductStates:
        n = len(uniform)
        product = (uniform[:, 0] * self.size).astype(np.int64)
        return ProductStates(product, np.zeros(n, np.int64), np.full(n, OPEN))

    def histories(self, states: ProductStates, moves: np.ndarray, uniform: np.ndarray) -> Documents:
        """Uniformly random elements, of which the last makes the product that of the state."""
        n, most = len(states), int(moves.max(initial=0))
        inside = np.arange(most)[None, :] < moves[:, None]
        elements = np.where(inside, (uniform[:, :most] * self.size).astype(np.int64), 0)
        row, last = np.arange(n), np.maximum(moves - 1, 0)
        some = moves > 0
        if most:
            elements[row, last] = 0
            before = self.products(elements)[:, -1]  # later elements are the identity
            needed = self._product[self.group.inverse[before], states.product]
            elements[row, last] = np.where(some, needed, 0)
        tokens = np.concatenate([np.full((n, 1), START), np.where(inside, FIRST + elements, PAD)], axis=1)
        return Documents(tokens.astype(np.int32), np.where(some, 1 + moves, 0).astype(np.int32), np.ones(n, np.int32))

    # Identity, and texts for people

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version, **dataclasses.asdict(self.config)}

    def summary(self, documents: int) -> str:
        c = self.config
        text = f"running products in {self.group.name} ({counted(self.size, 'element')}); trained on documents of "
        text += f"{counted(c.length, 'element')}, tested on {c.test_length}"
        return text + (f"; {counted(documents, 'document')} for training" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        c = self.config
        commute = (self._product == self._product.T).mean()
        return {
            "group": self.group.name,
            "elements": self.size,
            "solvable": self.group.solvable,
            "commuting_pairs": float(commute),
            "trained_length": c.length,
            "test_length": c.test_length,
            "chance": 1 / self.size,
            "held_out": "new random documents; there are too many to be seen twice, unless they are very short",
            "documents": documents,
        }
