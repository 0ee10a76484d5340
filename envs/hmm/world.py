"""The world of a hidden Markov process: a start token, then tokens of the process; the state is the exact belief.

Shape letters: N rows, S states, V tokens of the process.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN, Automaton, Documents, States, Vocabulary
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.library import named
from worldbench.envs.hmm.mixed_states import label, myopic_entropies
from worldbench.envs.hmm.process import Process

PAD, START, FIRST = 0, 1, 2
POSSIBLE = 1e-12
"""A token of less probability cannot occur."""
SAME = 6
"""Beliefs that agree to so many decimals are one state (metrics.md, section 3: total variation below 1e-6)."""


@dataclass
class HMMStates(States):
    """belief: float64 [N, S] (zeros once lost); emitted: int64 [N], tokens so far; status: int8 [N]."""

    belief: np.ndarray
    emitted: np.ndarray
    status: np.ndarray


class HMM(Automaton[HMMStates]):
    """A hidden Markov process, or a generalised one, with exact beliefs (Shai et al. 2024, arXiv 2405.15943).

    State: the belief over the process's hidden states after the tokens so far, and how many they are. Words: padding, the start token, the process's tokens.
    A document is the start token and `length` tokens, without an end; the belief after the start token is the stationary law. Ground truth: beliefs, the
    exact law, which tokens can occur. Nothing is held out: short documents recur, and probes split by prefix instead.

    RRXOR (two random bits, then their exclusive or), from a random phase:
        <start> 0 1 1 0 0 0        <start> 1 1 0 1 0 1
    """

    name = "hmm"
    version = 1

    def __init__(self, config: HMMConfig | None = None, process: Process | None = None) -> None:
        """process: None builds the one that the options name."""
        self.config = config or HMMConfig()
        self.process = process or named(self.config.process)
        v = self.process.n_tokens
        self.vocabulary = Vocabulary(("<pad>", "<start>", *self.process.words), pad=PAD, end=None, actions=tuple(range(FIRST, FIRST + v)))
        self.prompt_length, self.longest = 1, self.config.length
        self.context = 1 + self.longest

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        uniform = streams.uniform(start, count, 1 + self.longest, "hmm", seed, split)
        tokens = np.empty((count, self.context), np.int32)
        tokens[:, 0] = START
        tokens[:, 1:] = self.process.sample(uniform)
        tokens[:, 1:] += FIRST
        return Documents(tokens, np.full(count, self.context, np.int32), np.ones(count, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """There is one prompt: the start token."""
        return np.full((min(count, 1), 1), START, np.int32), np.ones(min(count, 1), np.int32)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> HMMStates:
        n = len(tokens)
        good = (tokens[:, 0] == START) & (lengths == 1)
        belief = np.where(good[:, None], self.process.start[None], 0.0)
        return HMMStates(belief, np.zeros(n, np.int64), np.where(good, OPEN, ILLEGAL).astype(np.int8))

    def step(self, states: HMMStates, tokens: np.ndarray) -> HMMStates:
        column = np.asarray(tokens, np.int64) - FIRST
        going = states.status == OPEN
        proper = going & (column >= 0) & (column < self.process.n_tokens)
        after, p = self.process.update(states.belief, np.where(proper, column, 0))
        possible = proper & (p > POSSIBLE)
        emitted = states.emitted + possible
        status = np.where(going & ~possible, ILLEGAL, np.where(possible & (emitted == self.longest), ARRIVED, states.status)).astype(np.int8)
        belief = np.where(possible[:, None], after, np.where(going[:, None], 0.0, states.belief))
        return HMMStates(belief, emitted, status)

    def legal(self, states: HMMStates) -> np.ndarray:
        return (self.process.law(states.belief) > POSSIBLE) & (states.status == OPEN)[:, None]

    def outcome(self, states: HMMStates) -> np.ndarray:
        """ARRIVED: all tokens of a document, each of them possible."""
        return states.status

    def law(self, states: HMMStates) -> np.ndarray:
        law = np.maximum(self.process.law(states.belief), 0)
        law[law.sum(1) <= POSSIBLE] = 1
        return law / law.sum(1, keepdims=True)

    def key(self, states: HMMStates) -> tuple[np.ndarray, np.ndarray]:
        """The belief, to a millionth, and the outcome."""
        both = np.concatenate([label(states.belief, SAME), states.status[:, None].astype(np.int64)], axis=1)
        return both, both

    def beliefs(self, states: HMMStates) -> np.ndarray:
        return states.belief

    def expected_entropies(self) -> np.ndarray:
        """The myopic entropies h_L of the process (L = 0: after the start token); NaN from where that would take over
        200,000 beliefs."""
        h = self._myopic
        return np.concatenate([h, np.full(self.longest - len(h), np.nan)])

    @cached_property
    def _myopic(self) -> np.ndarray:
        return myopic_entropies(self.process, self.longest - 1, most=200_000)

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for array in (self.process.transition, self.process.start):
            digest.update(np.ascontiguousarray(np.round(array, 12) + 0.0, dtype="<f8").tobytes())
        return {"world": self.name, "version": self.version, "process": self.process.name, "matrices": digest.hexdigest(), "length": self.longest}

    def summary(self, documents: int) -> str:
        p = self.process
        told = f"{p.name}: {counted(p.n_tokens, 'token')}, {counted(p.n_states, 'state')}, "
        told += f"entropy rate {p.entropy_rate():.4f} nats, documents of {counted(self.longest, 'token')}"
        return told + (f"; {counted(documents, 'document')}" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        p, depth = self.process, min(self.longest, 6)
        h = self._myopic
        return {
            "process": p.name,
            "tokens": list(p.words),
            "states": p.n_states,
            "hidden_markov": p.hidden_markov,
            "length": self.longest,
            "entropy_rate": p.entropy_rate(),
            "myopic_entropies": h.tolist(),
            "bayes_loss": float(h.mean()) if len(h) == self.longest else None,
            "distinct_beliefs": p.distinct_beliefs(depth).tolist(),
            "held_out": "nothing: short documents recur; probes are fitted and scored on disjoint prefixes",
            "documents": documents,
            "typical_documents": float(np.exp(h.sum())) if len(h) == self.longest else None,
        }
