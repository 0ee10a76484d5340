"""Where decoded rides go wrong, and what the model predicts there: teacher-forced along the rides, beside the exact
states.

Shape letters: N rides, V vocabulary, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core.abilities import Able
from worldbench.core.states import Replay, States
from worldbench.core.world import ILLEGAL, Automaton, Documents
from worldbench.metrics.evaluation import chunks
from worldbench.metrics.rollout import Rides, probabilities

LEAST_MOVES = 0.01
"""Where the model gives all moves together less than this probability (it says `end`), its moves say nothing about the
place."""


@dataclass(frozen=True)
class Faults:
    """The last choice of each ride: its first illegal token, or else its last token.

    documents: prompt and tokens of each ride. seen: int [N], tokens before the choice. states: of the world there.
    doubt: float [N], see `doubts`. wrong: float [N], the probability of an illegal token or a wrong `end` there.
    """

    documents: Documents
    seen: np.ndarray
    states: States
    doubt: np.ndarray
    wrong: np.ndarray


def documents_of(world: Automaton, rides: Rides) -> Documents:
    """The prompt of each ride, followed by its tokens."""
    n, most = rides.tokens.shape
    out = np.full((n, rides.prompts.shape[1] + most), world.vocabulary.pad, np.int32)
    given = np.arange(rides.prompts.shape[1])[None, :] < rides.prompt_lengths[:, None]
    out[:, : rides.prompts.shape[1]] = np.where(given, rides.prompts, world.vocabulary.pad)
    out[np.arange(n)[:, None], rides.prompt_lengths[:, None] + np.arange(most)[None, :]] = rides.tokens
    length = (rides.prompt_lengths + rides.length).astype(np.int32)
    return Documents(out, length, rides.prompt_lengths.astype(np.int32))


def masses(world: Automaton, states: States, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From logits [N, V] in these states: the probabilities of illegal moves, of legal moves, and of a wrong `end`,
    each float64 [N]. A token that is neither a move nor `end` counts as an illegal move."""
    p, end = probabilities(logits), world.vocabulary.end
    actions, legal = np.array(world.vocabulary.actions), world.legal(states)
    wrong_end = np.zeros(len(p))
    if end is not None:
        column = world.vocabulary.action_of_token[end]
        wrong_end = np.where(legal[:, column], 0.0, p[:, end])
        p[:, end] = 0
    legal_moves = np.where(legal, p[:, actions], 0.0).sum(axis=1)
    p[:, actions] = np.where(legal, 0.0, p[:, actions])
    return p.sum(axis=1), legal_moves, wrong_end


def faults_of(world: Able, model: Able, rides: Rides, window: int) -> Faults:
    """The last choice of each ride, with the doubt of its last `window` choices (see `doubts`)."""
    last = rides.prompt_lengths + np.where(rides.outcome == ILLEGAL, rides.legal_tokens, rides.length - 1)
    return doubts(world, model, documents_of(world, rides), last, window)


def doubts(world: Able, model: Able, documents: Documents, last: np.ndarray, window: int) -> Faults:
    """What the model predicts along documents whose last choice comes after `last` [N] tokens, and how far its own
    moves contradict the place.

    doubt: 1 - product of (1 - illegal / (illegal + legal)) over the last `window` choices, the last one included: the
    probability that a driver who must move, and moves as the model says, would have left the map there. A model that
    knows its place and the map has 0.
    """
    widest = int(documents.prompt_length.max())
    known, wrong, ends, done = np.zeros(len(documents)), np.zeros(len(documents)), [], 0
    for part in chunks(documents, len(world.vocabulary)):
        here = slice(done, done + len(part))
        logits = model.logits(part.tokens[:, : int(last[here].max())])
        states = world.start(part.tokens[:, :widest], part.prompt_length)
        kept = states.copy()
        for t, rows, at in Replay(world, states, part.tokens, part.prompt_length, last[here] + 1):
            inside = t > last[here][rows] - window
            if not inside.any():
                continue
            rows, at = rows[inside], at.take(inside)
            illegal, legal, wrong_end = masses(world, at, logits[rows, t - 1])
            moves = illegal + legal
            share = np.where(moves >= LEAST_MOVES, illegal / np.where(moves > 0, moves, 1), 0.0)
            with np.errstate(divide="ignore"):
                known[here][rows] += np.log1p(-share)
            final = t == last[here][rows]
            kept.put(rows[final], at.take(final))
            wrong[here][rows[final]] = (illegal + wrong_end)[final]
        ends.append(kept)
        done += len(part)
    return Faults(documents, last, type(ends[0]).concat(ends), -np.expm1(known), wrong)
