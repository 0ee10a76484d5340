"""Rides decoded from prompts, with an optional referee who forces detours. Batched over prompts, cached in the decoder.

Decoding goes on until the model says `end` or the decode limit of the world is reached, also after an illegal token:
the outcome of a ride judges it, and a map is drawn from whole rides. In a world without an `end` token a ride is over
when it arrives.

Shape letters: N prompts, P prompt tokens, L continuation tokens, V vocabulary, A actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import HasBudget, HasDistance, require
from worldbench.core.model import SequenceModel
from worldbench.core.sampling import draw
from worldbench.core.world import ARRIVED, ILLEGAL, Automaton, World

Choice = Literal["greedy", "sampled", "legal"]
"""How tokens are chosen. legal: sampled, with the probability of illegal moves set to 0; `end` stays possible."""
Kind = Literal["random", "adversarial", "second"]
CHUNK = 256
"""Prompts decoded together: bounds the memory of caches and of the exact law."""
SAMPLED_CELLS = 1 << 17
"""Probabilities drawn from together: a few rows at a time stay in the processor's cache."""
MOST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Rides:
    """Decoded rides.

    prompts: int [N, P]. prompt_lengths: [N]. tokens: int32 [N, L], after the prompt, padded. length: int [N]. outcome:
    int8 [N] (OPEN: the budget was spent). legal_tokens: int [N], tokens before the first illegal one. distance: int
    [N], from the prompt to the goal; -1 unknown. detours: int [N], forced moves.
    """

    prompts: np.ndarray
    prompt_lengths: np.ndarray
    tokens: np.ndarray
    length: np.ndarray
    outcome: np.ndarray
    legal_tokens: np.ndarray
    distance: np.ndarray
    detours: np.ndarray

    def __len__(self) -> int:
        return len(self.prompts)

    def first(self, count: int) -> Rides:
        return Rides(*(getattr(self, f)[:count] for f in self.__dataclass_fields__))

    @staticmethod
    def concat(parts: Sequence[Rides]) -> Rides:
        return Rides(*(np.concatenate([getattr(p, f) for p in parts]) for f in Rides.__dataclass_fields__))


def moves_of(world: World, rides: Rides) -> np.ndarray:
    """Tokens of each ride without its `end`, int [N]; of use for rides that have one, or where the world has none."""
    return rides.length - (world.vocabulary.end is not None)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis in float64; -inf gives 0."""
    z = logits.astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=-1, keepdims=True)
    return z


def sample(logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One token a row from logits [N, V] at uniform [N]: `draw(probabilities(logits), uniform)`, made in parts."""
    out, rows = np.empty(len(logits), np.int64), max(1, SAMPLED_CELLS // logits.shape[1])
    for i in range(0, len(logits), rows):
        out[i : i + rows] = draw(probabilities(logits[i : i + rows]), uniform[i : i + rows])
    return out


def without_illegal_moves(logits: np.ndarray, legal: np.ndarray, world: Automaton) -> np.ndarray:
    """The logits [N, V] with -inf for every token but the legal actions (bool [N, A]) and `end`. Where no token is left
    with a finite logit, the allowed tokens are equally likely; where none is allowed, all tokens are."""
    allowed = np.zeros(logits.shape, bool)
    allowed[:, list(world.vocabulary.actions)] = legal
    if world.vocabulary.end is not None:
        allowed[:, world.vocabulary.end] = True
    allowed |= ~allowed.any(axis=1, keepdims=True)
    none = ~(np.isfinite(logits) & allowed).any(axis=1, keepdims=True)
    return np.where(allowed, np.where(none, np.float32(0), logits), -np.inf)


def forced_move(logits: np.ndarray, allowed: np.ndarray, uniform: np.ndarray, kind: Kind) -> np.ndarray:
    """The move that the referee forces, a column for each row.

    allowed: bool [N, A], some in each row. logits: [N, A], of the model. uniform: [N] in [0, 1), for `random` alone.
    kind: a random allowed move, the least likely or the most likely one; of equally likely ones the first.
    """
    if kind == "random":
        return draw(allowed, uniform)
    finite = np.clip(
        logits, -MOST, MOST
    )  # an allowed move may have probability 0, and must not tie with what is not allowed
    if kind == "adversarial":
        return np.where(allowed, finite, np.inf).argmin(axis=1)
    return np.where(allowed, finite, -np.inf).argmax(axis=1)


def roll_out(
    world: Automaton,
    model: SequenceModel,
    prompts: np.ndarray,
    lengths: np.ndarray,
    seed: int,
    choice: Choice,
    detour: float = 0.0,
    start: int = 0,
    kind: Kind = "random",
    stream: str = "sampling",
) -> Rides:
    """Decode one ride per prompt. Prompt i of the evaluation draws from its own block of the streams, for every model
    and in every chunk.

    stream: the name of the stream from which tokens are sampled.

    detour: the probability that a choice is replaced by another legal move after which the goal is still within the
    budget. Where there is no such move the choice stands. kind: which move, see `forced_move`. Which steps are forced
    does not depend on the kind.
    """
    require((Automaton, HasBudget) if detour else (Automaton,), world)
    chunks = [
        _roll_out_chunk(
            world, model, prompts[i : i + CHUNK], lengths[i : i + CHUNK], seed, choice, detour, start + i, kind, stream
        )
        for i in range(0, len(prompts), CHUNK)
    ]
    return Rides.concat(chunks)


def _roll_out_chunk(
    world: Automaton,
    model: SequenceModel,
    prompts: np.ndarray,
    lengths: np.ndarray,
    seed: int,
    choice: Choice,
    detour: float,
    start: int,
    kind: Kind,
    stream: str,
) -> Rides:
    n, limit, vocabulary = len(prompts), world.longest, world.vocabulary
    action_token, column = np.array(vocabulary.actions), vocabulary.action_of_token
    sampling = streams.uniform(start, n, limit, "evaluation", seed, stream) if choice != "greedy" else None
    forcing = streams.uniform(start, n, 2 * limit, "evaluation", seed, "detours") if detour else None
    tokens = np.full((n, limit), vocabulary.pad, np.int32)
    length, legal_tokens, forced = (np.zeros(n, np.int64) for _ in range(3))
    states = world.start(prompts, lengths).copy()
    distance = world.distance(states) if isinstance(world, HasDistance) else np.full(n, -1)
    within_budget = world.within_budget if isinstance(world, HasBudget) else None
    decoder = model.decoder(prompts, lengths)
    decoding = np.arange(n)  # the rows that the decoder holds; finished ones are dropped when they are many
    running = np.ones(n, bool)
    for t in range(limit):
        if sampling is None:
            chosen = decoder.leading().argmax(axis=1)
        else:
            logits = decoder.leading()
            if choice == "legal":
                logits = without_illegal_moves(logits, world.legal(states.take(decoding)), world)
            chosen = sample(logits, sampling[decoding, t])
        if forcing is not None and within_budget is not None:
            allowed = within_budget(states.take(decoding))
            own = column[chosen]
            other = allowed & (np.arange(len(action_token))[None, :] != own[:, None])
            replace = (forcing[decoding, 2 * t] < detour) & other.any(axis=1) & running[decoding]
            rows = np.flatnonzero(replace)
            move = forced_move(
                decoder.leading()[rows[:, None], action_token], other[rows], forcing[decoding[rows], 2 * t + 1], kind
            )
            chosen[rows] = action_token[move]
            forced[decoding] += replace
        active = running[decoding]
        rows, taken = decoding[active], chosen[active]
        tokens[rows, t] = taken
        length[rows] += 1
        full = np.full(n, vocabulary.pad, np.int64)
        full[rows] = taken
        stepped = world.step(states.take(rows), taken)
        states.put(rows, stepped)
        legal_tokens[rows] += world.outcome(stepped) != ILLEGAL
        over = vocabulary.closes(taken) if vocabulary.end is not None else np.asarray(world.outcome(stepped)) == ARRIVED
        running[rows[over]] = False
        if t + 1 == limit or not running.any():
            break
        active = running[decoding]
        if active.mean() < 0.75:
            decoder.select(np.flatnonzero(active))
            decoding = decoding[active]
        decoder.advance(full[decoding])
    return Rides(
        prompts, lengths, tokens, length, np.asarray(world.outcome(states), np.int8), legal_tokens,
        distance, forced,
    )  # fmt: skip
