"""The world of a hidden Markov process. A document is a start token, then tokens of the process.

The state after a prefix is the exact belief over the states of the process.
Shape letters: N rows, S states of the process, V tokens of the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN, Automaton, Documents, States, Vocabulary
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.library import named
from worldbench.envs.hmm.mixed_states import distinct, rounded
from worldbench.envs.hmm.process import Process

PAD, START, FIRST = 0, 1, 2
POSSIBLE = 1e-12
"""A token with at most this probability counts as impossible."""
SAME = 6
"""Beliefs that agree when rounded to this many decimals count as one state."""
DISTINCT_DEPTH = 6
"""The card counts the distinct beliefs after at most this many tokens."""


@dataclass
class HMMStates(States):
    """belief: float64 [N, S], zeros after an impossible token; emitted: int64 [N], number of tokens so far; status (the
    outcome): int8 [N]."""

    belief: np.ndarray
    emitted: np.ndarray
    status: np.ndarray


class HMM(Automaton[HMMStates]):
    """A hidden Markov process, or a generalized one, with exact beliefs (Shai et al. 2024, arXiv 2405.15943).

    A document is the start token and `length` tokens of the process, without an end token. Words: padding, the start
    token, the tokens of the process. State: the belief over the states of the process, and the number of tokens so
    far. The belief after the start token is the start of the process; by default, its stationary distribution. Ground
    truth: beliefs, the exact law, the tokens that can occur. Nothing is held out, because short documents recur by
    chance; probes are fitted and scored on different prefixes instead.

    Two documents of RRXOR (two random bits, then their exclusive or), which begin at a random phase:
        <start> 0 1 1 0 0 0        <start> 1 1 0 1 0 1
    """

    name = "hmm"
    version = 1

    def __init__(self, config: HMMConfig | None = None, process: Process | None = None) -> None:
        """process: None takes the process that the options name."""
        self.config = config or HMMConfig()
        self.process = process or named(self.config.process)
        v = self.process.n_tokens
        self.vocabulary = Vocabulary(
            ("<pad>", "<start>", *self.process.words), pad=PAD, end=None, actions=tuple(range(FIRST, FIRST + v))
        )
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
        """The only prompt is the start token."""
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
        status = np.where(
            going & ~possible, ILLEGAL, np.where(possible & (emitted == self.longest), ARRIVED, states.status)
        ).astype(np.int8)
        belief = np.where(possible[:, None], after, np.where(going[:, None], 0.0, states.belief))
        return HMMStates(belief, emitted, status)

    def legal(self, states: HMMStates) -> np.ndarray:
        return (self.process.law(states.belief) > POSSIBLE) & (states.status == OPEN)[:, None]

    def outcome(self, states: HMMStates) -> np.ndarray:
        """The status. ARRIVED means that all tokens of the document have occurred, and each was possible."""
        return states.status

    def law(self, states: HMMStates) -> np.ndarray:
        law = np.maximum(self.process.law(states.belief), 0)
        law[law.sum(1) <= POSSIBLE] = 1
        return law / law.sum(1, keepdims=True)

    def key(self, states: HMMStates) -> tuple[np.ndarray, np.ndarray]:
        """The belief, rounded to a millionth, and the outcome."""
        both = np.concatenate([rounded(states.belief, SAME), states.status[:, None].astype(np.int64)], axis=1)
        return both, both

    def beliefs(self, states: HMMStates) -> np.ndarray:
        return states.belief

    def component_of_entry(self) -> np.ndarray:
        return self.process.component

    def components(self, beliefs: np.ndarray) -> np.ndarray:
        number = self.process.component
        return beliefs @ ((number[:, None] == np.arange(number.max() + 1)) * self.process.phi[:, None])

    def expected_entropies(self) -> np.ndarray:
        """The myopic entropies h_L of the process, in nats; L = 0 is after the start token.

        NaN for every L at which there would be too many beliefs to compute h_L.
        """
        h = self._myopic
        return np.concatenate([h, np.full(self.longest - len(h), np.nan)])

    @property
    def _myopic(self) -> np.ndarray:
        return self.process.unfolding.entropies(self.longest - 1)

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        p = self.process
        for array in (p.transition, p.start, *([p.phi] if p.own_phi else [])):
            digest.update(np.ascontiguousarray(np.round(array, 12) + 0.0, dtype="<f8").tobytes())
        return {
            "world": self.name,
            "version": self.version,
            "process": self.process.name,
            "matrices": digest.hexdigest(),
            "length": self.longest,
        }

    @classmethod
    def in_words(cls, identity: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """The process, and the length of its documents."""
        return f"{identity.get('process')}, documents of {identity.get('length')} tokens"

    def summary(self, documents: int) -> str:
        p = self.process
        parts = [
            f"{p.name}: {counted(p.n_tokens, 'token')}, {counted(p.n_states, 'state')}, "
            f"{p.rate()}, documents of {counted(self.longest, 'token')}"
        ]
        if remark := self._unvisited():
            parts.append(remark)
        if documents:
            parts.append(counted(documents, "document"))
        return "; ".join(parts)

    def _unvisited(self) -> str:
        """A remark on states and tokens that cannot occur; "" if all can."""
        p = self.process
        if not p.hidden_markov:
            return ""
        emitted = np.asarray((p.emission[p.visited] > 0).any(axis=0))
        each = ((p.visited, "state"), (emitted, "token"))
        parts = [f"{int((~seen).sum())} of its {counted(len(seen), noun)}" for seen, noun in each if not seen.all()]
        return f"{' and '.join(parts)} never occur from its start" if parts else ""

    def card(self, documents: int) -> dict[str, Any]:
        p, depth = self.process, min(self.longest, DISTINCT_DEPTH)
        h, rate, counts = self._myopic, self.process.rate(), distinct(self.process, depth)
        whole = len(h) == self.longest
        with np.errstate(over="ignore"):
            typical = float(np.exp(h.sum())) if whole else None
        card = {
            "process": p.name,
            "tokens": list(p.words),
            "states": p.n_states,
            "hidden_markov": p.hidden_markov,
            "length": self.longest,
            "entropy_rate": rate.value,
            "entropy_rate_bounds": [rate.lower, rate.upper],
            "entropy_rate_exact": rate.exact,
            "myopic_entropies": h.tolist(),
            "bayes_loss": float(h.mean()) if whole else None,
            "distinct_beliefs": counts.tolist(),
            "held_out": "nothing: short documents recur; probes are fitted and scored on disjoint prefixes",
            "documents": documents,
            "typical_documents": typical if typical != np.inf else None,
        }
        left_out = {}
        if rate.value is None:
            left_out["entropy_rate"] = f"only known to lie between {rate.lower:.6g} and {rate.upper:.6g} nats"
        if not whole:
            for key in ("myopic_entropies", "bayes_loss", "typical_documents"):
                left_out[key] = f"after depth {len(h) - 1}: {p.unfolding.shortfall()}"
        if typical == np.inf:
            left_out["typical_documents"] = "more than 1e308"
        if len(counts) <= depth:
            left_out["distinct_beliefs"] = (
                f"after depth {len(counts) - 1}: {counted(int(counts[-1]), 'belief')} so far, and too many more to "
                "count"
            )
        if left_out:
            card["left_out"] = left_out
        if remark := self._unvisited():
            card["remark"] = remark
        return card
