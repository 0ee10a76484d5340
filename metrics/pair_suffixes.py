"""The suffixes that two prefixes are compared on, with the exact law of each suffix after either prefix.

Shape letters: N pairs, M suffixes, K tokens, F suffixes in the making, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able
from worldbench.core.sampling import draw
from worldbench.core.world import OPEN, Automaton, States

LAWS_AT_ONCE = 1 << 21
"""Probabilities of next tokens held together while suffixes are made: bounds memory, changes no result."""


@dataclass(frozen=True)
class Suffixes:
    """Suffixes of pairs of prefixes.

    owner: int [M], the pair. tokens: int [M, K]. length: int [M]. weight: float64 [M], summing to 1 over a pair.
    log_law: float64 [2, M], the log probability after each of the two prefixes.
    """

    owner: np.ndarray
    tokens: np.ndarray
    length: np.ndarray
    weight: np.ndarray
    log_law: np.ndarray


@dataclass
class _Nodes:
    """Suffixes in the making: their pair, the tokens so far, the two states, the two log probabilities."""

    owner: np.ndarray
    tokens: np.ndarray
    states: list[States]
    log_law: np.ndarray

    def step(self, world: Automaton, row: np.ndarray, tokens: np.ndarray, log_p: np.ndarray) -> _Nodes:
        states = [world.step(s.take(row), tokens) for s in self.states]
        longer = np.concatenate([self.tokens[row], tokens[:, None]], axis=1)
        return _Nodes(self.owner[row], longer, states, self.log_law[:, row] + log_p)

    def take(self, rows: np.ndarray) -> _Nodes:
        return _Nodes(self.owner[rows], self.tokens[rows], [s.take(rows) for s in self.states], self.log_law[:, rows])

    def open(self, world: Automaton) -> np.ndarray:
        """bool: does the suffix go on after every prefix after which it is possible?"""
        going = np.stack([np.asarray(world.outcome(s)) == OPEN for s in self.states])
        return np.asarray((going | ~np.isfinite(self.log_law)).all(axis=0))


def _log_laws(world: Able, nodes: _Nodes) -> np.ndarray:
    """log of both laws, float64 [2, F, A]; -inf everywhere once a suffix is impossible."""
    out = []
    with np.errstate(divide="ignore"):
        for states, log_law in zip(nodes.states, nodes.log_law):
            out.append(np.where(np.isfinite(log_law)[:, None], np.log(world.law(states)), -np.inf))
    return np.stack(out)


def suffixes_of(
    world: Able, first: States, second: States, longest: np.ndarray, limit: int, seed: int, name: str
) -> Suffixes:
    """All suffixes that are possible after either prefix, of at most `longest` [N] tokens, 1 or more for each pair. A
    pair with more than `limit` of them gets `limit` suffixes instead, half drawn from the law after each prefix."""
    n, most = len(first), int(longest.max(initial=0))
    start = _Nodes(np.arange(n), np.zeros((n, 0), np.int64), [first, second], np.zeros((2, n)))
    block = max(1, LAWS_AT_ONCE // (limit * len(world.vocabulary.actions)))
    blocks = [start.take(np.arange(low, min(low + block, n))) for low in range(0, n, block)]
    parts = [part for nodes in blocks for part in _parts(world, nodes, longest, most, limit, seed, name)]
    width = max((d.tokens.shape[1] for d, _ in parts), default=0)
    return Suffixes(
        np.concatenate([d.owner for d, _ in parts]),
        np.concatenate([np.pad(d.tokens, ((0, 0), (0, width - d.tokens.shape[1]))) for d, _ in parts]),
        np.concatenate([np.full(len(d.owner), d.tokens.shape[1]) for d, _ in parts]),
        np.concatenate([w for _, w in parts]),
        np.concatenate([d.log_law for d, _ in parts], axis=1),
    )


def _parts(
    world: Able, start: _Nodes, longest: np.ndarray, most: int, limit: int, seed: int, name: str
) -> list[tuple[_Nodes, np.ndarray]]:
    """The suffixes of some pairs, in parts, with their weights. longest: of all pairs, int [N]; most: the largest."""
    actions, n = np.array(world.vocabulary.actions), len(longest)
    nodes, done, crowded = start, list[_Nodes](), np.zeros(n, bool)
    ended = np.zeros(n, np.int64)
    for level in range(most):
        log_law = _log_laws(world, nodes)
        row, action = np.nonzero(np.isfinite(log_law).any(axis=0))
        crowded |= ended + np.bincount(nodes.owner[row], minlength=n) > limit
        kept = ~crowded[nodes.owner[row]]  # before the step, which would make up to A times as many states
        row, action = row[kept], action[kept]
        nodes = nodes.step(world, row, actions[action], log_law[:, row, action])
        going = nodes.open(world) & (longest[nodes.owner] > level + 1)
        done.append(nodes.take(np.flatnonzero(~going)))
        ended += np.bincount(done[-1].owner, minlength=n)
        nodes = nodes.take(np.flatnonzero(going))
    done = [d.take(np.flatnonzero(~crowded[d.owner])) for d in done]
    parts = [(d, 0.5 * np.exp(d.log_law).sum(axis=0)) for d in done if len(d.owner)]
    many = np.flatnonzero(crowded[start.owner])
    if len(many):
        drawn = _drawn(world, start.take(many), longest[start.owner[many]], most, limit, seed, name)
        parts += [(d, np.full(len(d.owner), 1 / limit)) for d in drawn]
    return parts


def _drawn(
    world: Able, start: _Nodes, longest: np.ndarray, most: int, limit: int, seed: int, name: str
) -> list[_Nodes]:
    """`limit` suffixes of at most `longest` [N] tokens for each pair, and never more than `most`: the even ones drawn
    from the law after the first prefix, the odd ones from the other."""
    actions = np.array(world.vocabulary.actions)
    uniform = streams.uniform_rows(start.owner, limit * most, "evaluation", seed, f"{name} drawn").reshape(-1, most)
    nodes = start.take(np.repeat(np.arange(len(start.owner)), limit))
    until = np.repeat(longest, limit)
    place, side = np.arange(len(nodes.owner)), np.arange(len(nodes.owner)) % limit % 2
    done = []
    for t in range(most):
        log_law = _log_laws(world, nodes)
        rows = np.arange(len(nodes.owner))
        action = draw(np.exp(log_law[side, rows]), uniform[place, t])
        nodes = nodes.step(world, rows, actions[action], log_law[:, rows, action])
        going = nodes.open(world) & (until[place] > t + 1)
        done.append(nodes.take(np.flatnonzero(~going)))
        on = np.flatnonzero(going)
        nodes, place, side = nodes.take(on), place[on], side[on]
    return [d for d in done if len(d.owner)]
