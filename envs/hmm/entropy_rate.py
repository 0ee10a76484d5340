"""The entropy rate of a process: its exact value, or a lower and an upper bound.

The first hidden state S_0 has an entropy of at most log S. So h = lim H(X_1 .. X_n) / n is also the mean, over S_0, of
the rates of the process that starts in a known state (Cover & Thomas 2006, Elements of Information Theory, section
4.5). Hence

- the rate of a mixture, or of a process that ends in one of several closed classes, is the mean of their rates;
- the rate of a product of independent processes is the sum of their rates;
- the rate is exact if finitely many beliefs follow from a known hidden state, also where infinitely many follow from
  the stationary distribution. It is then the mean entropy of the law in the Markov chain of these beliefs.

All other rates have the bounds of `entropy_bounds.py`.

Shape letters: S states, M beliefs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from worldbench.envs.hmm import chains
from worldbench.envs.hmm.dynamics import Dynamics
from worldbench.envs.hmm.entropy_bounds import bounds, work
from worldbench.envs.hmm.mixed_states import entropy, rounded

KNOWN = 1e-5
"""Bounds at most this far apart, in nats, give one value."""
RAREST = 1e-6
"""Smallest probability of a step between beliefs for which a finite set of beliefs is used."""
SAME = 1e-12
"""Beliefs count as equal if no entry differs by more. Beliefs that only converge to each other differ by more when they
are first rounded to the same numbers."""
MOST_SOLVED = 500
"""Most beliefs of a process for which the entropy rate is computed exactly."""
MOST_SEARCHED = 1_000_000
"""Most work of the search for a finite set of beliefs, counted by `entropy_bounds.work`."""
_RATES: dict[bytes, Rate] = {}
"""The rates that are known, by `_numbers`. Bounds take up to a second, and every run of a process has a world of its
own."""


@dataclass(frozen=True)
class Rate:
    """The entropy rate lies between `lower` and `upper`, in nats. It is exact if both are equal."""

    lower: float
    upper: float

    @property
    def exact(self) -> bool:
        return self.lower == self.upper

    @property
    def value(self) -> float | None:
        """The rate, with an error of at most 5e-6 nats; None if the bounds are more than 1e-5 nats apart."""
        return (self.lower + self.upper) / 2 if self.upper - self.lower <= KNOWN else None

    def __str__(self) -> str:
        """`entropy rate 0.4621 nats`, or `entropy rate between 1.3672 and 1.3678 nats`."""
        if self.value is not None:
            return f"entropy rate {self.value:.4f} nats"
        low, high = np.floor(self.lower * 1e4) / 1e4, np.ceil(self.upper * 1e4) / 1e4
        return f"entropy rate between {low:.4f} and {high:.4f} nats"


def entropy_rate(process: Dynamics, share: float = 1.0) -> Rate:
    """The entropy rate. share: the part of the work for bounds that may be used."""
    if process.factors:
        parts = [(1.0, factor) for factor in process.factors]
    else:
        parts = process.long_run()
        if len(parts) == 1 and parts[0][0] == 1:
            return _rate_of_part(parts[0][1], share)
    split = share / len(parts)
    rates = [(w, entropy_rate(p, split) if process.factors else _rate_of_part(p, split)) for w, p in parts]
    return Rate(sum(w * r.lower for w, r in rates), sum(w * r.upper for w, r in rates))


def _rate_of_part(process: Dynamics, share: float) -> Rate:
    """The rate of a process that starts in its stationary distribution, and, if it has hidden states, in one closed
    class of them. Every start then has the same rate. It is computed once for equal processes of this program."""
    if (numbers := _numbers(process, share)) not in _RATES:
        _RATES[numbers] = _found(process, share)
    return _RATES[numbers]


def _numbers(process: Dynamics, share: float) -> bytes:
    """A hash of all that the rate depends on."""
    digest = hashlib.blake2b(repr((process.transition.shape, share)).encode(), digest_size=16)
    for part in (process.transition, process.phi, process.start):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.digest()


def _found(process: Dynamics, share: float) -> Rate:
    if process.hidden_markov and bool(((process.transition > 0).sum(axis=2) <= 1).all()):
        exact = float(process.start @ entropy(process.law(np.eye(process.n_states))))  # unifilar: the state stays known
        return Rate(exact, exact)
    starts = [process.start]
    if process.hidden_markov:
        starts.append(np.eye(process.n_states)[int(np.argmax(process.start))])
    for start in starts:
        if (exact := _from_finitely_many(process, start)) is not None:
            return Rate(exact, exact)
    if not process.stationary:  # a generalized process whose mean distribution could not be found
        return Rate(0.0, float(np.log(process.n_tokens)))
    return Rate(*bounds(process, share))


def _from_finitely_many(process: Dynamics, start: np.ndarray) -> float | None:
    """The exact entropy rate from this start, from the Markov chain whose states are the beliefs of the process.

    Returns None if there are more than 500 beliefs in all, or if beliefs come close to each other without being equal:
    then there are infinitely many. Also if a step between two beliefs has a probability below 1e-6: such a step may
    decide where the chain is in the long run, and rounding errors may have made or removed it.
    """
    beliefs, fresh, spent = start[None], start[None], 0.0
    origin, target, weight = [], [], []
    while len(fresh):
        spent += work(process, len(fresh))
        if spent > MOST_SEARCHED:
            return None
        belief, p = process.successors(fresh)
        parent, token = np.nonzero(p > 1e-300)
        belief, probability = belief[parent, token], p[parent, token]
        if probability.min(initial=0 if not len(probability) else 1) < RAREST:
            return None
        known = len(beliefs)
        both = np.concatenate([beliefs, belief])
        _, first, inverse = np.unique(rounded(both), axis=0, return_index=True, return_inverse=True)
        number = np.argsort(np.argsort(first))[inverse.ravel()]  # numbered in order of first occurrence
        origin.append(known - len(fresh) + parent)
        target.append(number[known:])
        weight.append(probability)
        if np.abs(both[first[inverse.ravel()]] - both).max() > SAME:
            return None
        fresh = belief[np.sort(first)[known:] - known]
        if known + len(fresh) > MOST_SOLVED:
            return None
        beliefs = np.concatenate([beliefs, fresh])
    chain = np.zeros((len(beliefs), len(beliefs)))
    np.add.at(chain, (np.concatenate(origin), np.concatenate(target)), np.concatenate(weight))
    chain /= chain.sum(1, keepdims=True)
    from_start = np.eye(len(beliefs))[0]
    of_belief = entropy(process.law(beliefs))
    return float(sum(w * (chains.of_class(chain, c) @ of_belief[c]) for w, c in chains.long_run(chain, from_start)))
