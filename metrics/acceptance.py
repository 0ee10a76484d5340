"""What sequence compression and sequence distinction share: pairs of prefixes, and the true boundary suffixes.

A token is *accepted* after a prefix if its probability is above eps (Vafa et al. 2024, arXiv 2406.03689). A suffix is
accepted if all its tokens are.

Shape letters: N trials, S suffixes of a trial, K tokens, A actions, V vocabulary, F nodes of a frontier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasDistance
from worldbench.core.metric import Report, Score
from worldbench.core.states import Replay
from worldbench.core.world import OPEN, Automaton, Documents, States, World

ATTEMPTS = 50
Accept = Callable[[States], np.ndarray]
"""bool [N, A]: which actions the truth accepts in each state."""


@dataclass(frozen=True)
class Pairs:
    """Two prefixes of equal length for each trial.

    redrawn: int [N], how often the pair of a trial was drawn anew. dropped: the number of trials without a usable pair.
    """

    first: Documents
    second: Documents
    redrawn: np.ndarray
    dropped: int

    def __len__(self) -> int:
        return len(self.redrawn)

    def dropped_notes(self, asked: int) -> list[str]:
        """A note on the trials that were dropped; no note where none was."""
        return (
            [f"{self.dropped} of {asked} trials were dropped: no pair of histories was found in {ATTEMPTS} draws"]
            if self.dropped
            else []
        )

    def empty_report(self, primary: str) -> Report:
        """The report where every trial was dropped."""
        return Report({primary: Score.missing(f"no pair of histories was found in {ATTEMPTS} draws")})

    def both(self, trials: np.ndarray) -> Documents:
        """The first prefixes of these trials, int [..], and below them the second ones."""
        return Documents.concat([d.take(trials) for d in (self.first, self.second)])


def most_moves(world: Automaton, states: States) -> np.ndarray:
    """The most tokens of a history such that the goal stays well within the budget: fewer than the longest walk minus
    the shortest way minus 3."""
    distance = world.distance(states) if isinstance(world, HasDistance) else np.zeros(len(states), np.int64)
    return world.longest - 5 - distance


def draw_pairs(world: Able, seed: int, count: int, name: str, *, same: bool) -> Pairs:
    """Pairs of histories, drawn from the stream `name`.

    A history has k moves, k uniform in 1 .. most_moves. same: two different histories of one drawn state; otherwise
    histories of two different states. A pair that cannot be used is drawn anew as a whole, with the next attempt.
    """
    most = max(world.longest - 1, 1)
    tokens = [np.zeros((count, world.context), np.int32) for _ in range(2)]
    length = np.zeros(count, np.int32)
    prompt = np.full(count, world.prompt_length, np.int32)
    redrawn = np.zeros(count, np.int64)
    rows = np.arange(count)
    for attempt in range(ATTEMPTS):
        u = streams.uniform_rows(rows, 12, "evaluation", seed, name, attempt)
        walks = streams.uniform_rows(rows, 2 * most, "evaluation", seed, f"{name} histories", attempt)
        a = world.draw_states(u[:, :4])
        b = a if same else world.draw_states(u[:, 4:8])
        room = np.minimum(most_moves(world, a), most_moves(world, b))
        k = np.where(room >= 1, 1 + (u[:, 8] * np.maximum(room, 1)).astype(np.int64), 1)
        left, right = world.histories(a, k, walks[:, :most]), world.histories(b, k, walks[:, most:])
        good = (room >= 1) & (left.length > 0) & (right.length > 0) & (left.length == right.length)
        if same:
            good &= (left.tokens != right.tokens).any(axis=1)
        else:
            good &= (world.key(a)[0] != world.key(b)[0]).any(axis=1)
        done = rows[good]
        for out, documents in zip(tokens, (left, right)):
            out[done, : documents.tokens.shape[1]] = documents.tokens[good]
        length[done], prompt[done] = left.length[good], left.prompt_length[good]
        rows = rows[~good]
        redrawn[rows] += 1
        if not len(rows):
            break
    kept = np.setdiff1d(np.arange(count), rows)
    both = [Documents(t[kept], length[kept], prompt[kept]) for t in tokens]
    return Pairs(both[0], both[1], redrawn[kept], len(rows))


def by_map(world: Automaton) -> Accept:
    """Truth by the map: the tokens that the rule of the world allows."""
    return world.legal


def by_law(world: Able, eps: float) -> Accept:
    """Truth by the law: the tokens with a probability above eps; none after the end, and none once the ride is lost."""

    def accept(states: States) -> np.ndarray:
        return (world.law(states) > eps) & (np.asarray(world.outcome(states)) == OPEN)[:, None]

    return accept


def accepted_by(world: Automaton, accept: Accept, states: States, tokens: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Does the truth accept each suffix after its state? bool [M, K], token by token; True beyond the length.

    tokens: int [M, K], of which the first `length` [M] count.
    """
    column = world.vocabulary.action_of_token
    out = np.ones(tokens.shape, bool)
    for t, rows, here in Replay(world, states, tokens, 0, length):
        token = tokens[rows, t]
        out[rows, t] = (column[token] >= 0) & accept(here)[np.arange(len(rows)), np.maximum(column[token], 0)]
    return out


@dataclass(frozen=True)
class Boundary:
    """Suffixes that the truth accepts after the first state and not after the second, while it accepts every shorter
    start of them after both. owner: int [M], the trial."""

    owner: np.ndarray
    tokens: np.ndarray
    length: np.ndarray


def true_boundary(world: Automaton, accept: Accept, first: States, second: States, depth: int | np.ndarray) -> Boundary:
    """All true boundary suffixes of up to `depth` tokens, level by level, for all trials at once. depth: one number, or
    one for each trial, int [N]."""
    actions = np.array(world.vocabulary.actions)
    longest = np.broadcast_to(depth, len(first))
    owner = np.flatnonzero(longest > 0)
    first, second = first.take(owner), second.take(owner)
    prefix = np.zeros((len(owner), 0), np.int64)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for level in range(int(longest.max(initial=0))):
        a, b = accept(first), accept(second)
        row, action = np.nonzero(a & ~b)
        found.append((owner[row], np.concatenate([prefix[row], actions[action][:, None]], axis=1)))
        row, action = np.nonzero(a & b)
        first, second = world.step(first.take(row), actions[action]), world.step(second.take(row), actions[action])
        owner, prefix = owner[row], np.concatenate([prefix[row], actions[action][:, None]], axis=1)
        going = (np.asarray(world.outcome(first)) == OPEN) & (np.asarray(world.outcome(second)) == OPEN)
        on = np.flatnonzero(going & (longest[owner] > level + 1))
        first, second, owner, prefix = first.take(on), second.take(on), owner[on], prefix[on]
        if not len(owner):
            break
    width = max((t.shape[1] for _, t in found), default=0)
    tokens = np.concatenate([np.pad(t, ((0, 0), (0, width - t.shape[1])), constant_values=0) for _, t in found])
    length = np.concatenate([np.full(len(o), t.shape[1]) for o, t in found])
    return Boundary(np.concatenate([o for o, _ in found]), tokens, length)


def room(world: World, first: Documents, second: Documents) -> np.ndarray:
    """How many tokens fit into the context after both prefixes of each pair: int [N]."""
    return world.context - np.maximum(first.length, second.length).astype(np.int64)
