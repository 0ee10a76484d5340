"""Self-speculative decoding: a model guesses several of its own next tokens cheaply, and checks them with one forward pass (Leviathan et al. 2023,
arXiv 2211.17192, algorithm 1; drafting by next latents: Teoh et al. 2025, arXiv 2511.05963).

A round is one forward pass over [pending, draft 1 .. draft K], all but the drafts' rejected end kept in the cache:
    greedy   draft i stays if it is the argmax of the model's law p_i; the first that is not is replaced by that argmax
    sampled  draft i, drawn from the drafter's law q_i, stays with probability min(1, p_i(x) / q_i(x)); the first that does not is drawn again from
             norm(max(p_i - q_i, 0)); if all stay, one more token is drawn from the model's law
What comes out is what plain decoding gives: the same tokens (greedy), the same law (sampled). The token that ends a round is the next round's pending one: its
hidden state comes out of the next forward pass, so that there are never two a round.

Random numbers: three uniforms for each row and position of its continuation, those of a draft, of its acceptance, and of a token drawn from the model's law or
from what is left of it. A position is settled once, whatever was guessed before, so that none of them is used twice for what comes out.

Shape letters: B rows, P prompt tokens, K drafts of a round, L tokens of a continuation at most, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.drafters import Drafter, Reader
from worldbench.core import streams

DRAFT, ACCEPT, LAW = 0, 1, 2
"""Which of a position's three uniforms."""
CROWDED = 0.75
"""Finished rows are dropped when the others are at most this share of those held."""
Choice = Literal["greedy", "sampled"]


@dataclass(frozen=True)
class Plan:
    """How to decode. length: drafts a round, 0: plain. threshold: draft no further than a chance of this that all drafts so far stay, as the drafter sees it
    (the product of the highest probabilities of its laws); 0: always `length`."""

    length: int
    threshold: float = 0.0


PLAIN = Plan(0)


@dataclass
class Counts:
    """What happened. rounds: of all rows together, those that were finished left out; drafted: drafts that were checked in them. forwards: passes of the trunk,
    one for the prompts among them. tested and accepted int [K]: of draft i, how often all drafts before it stayed, and how often it did too. chances: of every
    adaptive round, what its drafts' products of highest probabilities were, and how many stayed."""

    rows: int = 0
    tokens: int = 0
    forwards: int = 0
    rounds: int = 0
    drafted: int = 0
    tested: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    accepted: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    chances: list[tuple[np.ndarray, int]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"prompt": 0.0, "draft": 0.0, "forward": 0.0, "all": 0.0})

    def __iadd__(self, other: Counts) -> Counts:
        for name in ("rows", "tokens", "forwards", "rounds", "drafted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("tested", "accepted"):
            a, b = getattr(self, name), getattr(other, name)
            setattr(self, name, np.array([*a, *[0] * (len(b) - len(a))]) + np.array([*b, *[0] * (len(a) - len(b))]))
        self.chances = self.chances + other.chances
        self.seconds = {k: v + other.seconds[k] for k, v in self.seconds.items()}
        return self


def uniforms(first: int, rows: int, limit: int, seed: int) -> Tensor:
    """Those of continuations first .. first + rows - 1: float64 [B, L, 3], above 0 and below 1."""
    u = streams.uniform(first, rows, 3 * limit, "decoding", seed).reshape(rows, limit, 3)
    return torch.from_numpy(u.clip(1e-12, 1 - 1e-12))


def inverse(weights: Tensor, u: Tensor) -> Tensor:
    """Draw from laws proportional to weights [.., V] by uniforms [..]."""
    total = weights.double().cumsum(-1)
    return torch.searchsorted(total, (u * total[..., -1])[..., None], right=True)[..., 0]


def settle(logits: Tensor, drafts: Tensor, drafted: Tensor, laws: Tensor | None, u: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which drafts stay, and the token after them: how many [B], and int [B].

    logits [B, K + 1, V]: the model's, before and after each draft. drafts int [B, K], of which the first `drafted` [B] of each row count. Sampled: the laws
    [B, K, V] that they were drawn from, and the uniforms [B, K + 1, 3] of the positions of the K + 1 tokens; greedy: None.
    """
    k = drafts.shape[1]
    counted = torch.arange(k, device=drafts.device) < drafted[:, None]
    if laws is None or u is None:
        best = logits.argmax(-1)
        stay = (best[:, :k] == drafts) & counted
        kept = stay.long().cumprod(1).sum(1)
        return kept, best.gather(1, kept[:, None])[:, 0]
    p = torch.softmax(logits.double(), -1)
    own, theirs = p[:, :k].gather(2, drafts[..., None])[..., 0], laws.gather(2, drafts[..., None])[..., 0]
    stay = (u[:, :k, ACCEPT] * theirs < own) & counted
    kept = stay.long().cumprod(1).sum(1)
    row = torch.arange(len(drafts), device=drafts.device)
    at = p[row, kept]
    if k:
        rejected = (kept < drafted)[:, None]
        left = (at - laws[row, kept.clamp(max=k - 1)] * rejected).clamp(min=0)
        at = torch.where(left.sum(1, keepdim=True) > 0, left, at)
    return kept, inverse(at, u[row, kept, LAW])


class _Rows:
    """Continuations under way: rows that are held, and what each has so far."""

    def __init__(self, rows: int, limit: int, end: int, spare: int, device: torch.device) -> None:
        self.out = torch.full((rows, limit + spare), -1, dtype=torch.int64, device=device)
        self.limit, self.end = limit, end
        self.length = np.zeros(rows, np.int64)
        self.held = np.arange(rows)
        self.done = np.zeros(rows, bool)

    def room(self) -> np.ndarray:
        """Tokens that each held row may still get; 0 where it is finished."""
        return np.where(self.done, 0, self.limit - self.length[self.held])

    def put(self, tokens_BK: Tensor, kept: np.ndarray) -> np.ndarray:
        """Append to each held row that is not finished its first `kept` [B] tokens, up to `end`; how many each got."""
        if len(self.held) == 1 and tokens_BK.shape[1] == 1:  # plain decoding of one row: nothing to look up
            row, at = int(self.held[0]), int(self.length[self.held[0]])
            self.out[row, at] = tokens_BK[0, 0]
            self.length[row] = at + 1
            self.done[0] = int(tokens_BK[0, 0]) == self.end or at + 1 == self.limit
            return np.ones(1, np.int64)
        tokens = tokens_BK.cpu().numpy()
        column = np.arange(tokens.shape[1])
        ended = (tokens == self.end) & (column < kept[:, None])
        got = np.where(self.done, 0, np.where(ended.any(1), ended.argmax(1) + 1, kept))
        live = np.flatnonzero(~self.done)
        cells = self.length[self.held[live], None] + column
        keep = column < got[live, None]
        rows = np.broadcast_to(self.held[live, None], cells.shape)
        self.out[torch.from_numpy(rows[keep]), torch.from_numpy(cells[keep])] = torch.from_numpy(tokens[live][keep]).to(self.out.device)
        self.length[self.held] += got
        self.done |= (ended.any(1) & ~self.done) | (self.length[self.held] >= self.limit)
        return got

    def drop(self) -> np.ndarray | None:
        """The held rows to go on with, once so many are finished that it pays; None: all."""
        on = np.flatnonzero(~self.done)
        if not len(on) or len(on) > CROWDED * len(self.held):
            return None
        self.held, self.done = self.held[on], self.done[on]
        return on


@torch.inference_mode()
def generate(
    reader: Reader, prompts: np.ndarray, lengths: np.ndarray, *, limit: int, end: int, drafter: Drafter | None = None, plan: Plan = PLAIN,
    u: Tensor | None = None, clock: Callable[[], float] = time.perf_counter,
) -> tuple[np.ndarray, np.ndarray, Counts]:  # fmt: skip
    """Continue prompts int [B, P] (the first `lengths` of each row) up to `end` or `limit` tokens: tokens [B, L] (-1 after the last), how many [B], and counts.

    drafter: over that reader, where plan.length > 0. u: `uniforms` of these rows to sample, None for greedy decoding.
    """
    started = clock()
    rows, device = len(prompts), reader.engine.device
    lengths = np.asarray(lengths, np.int64)
    counts = Counts(rows=rows, tested=np.zeros(plan.length, np.int64), accepted=np.zeros(plan.length, np.int64))
    state = _Rows(rows, limit, end, plan.length + 1, device)
    room = int(lengths.max()) + limit + plan.length + 1
    reader.engine.start(rows, room)
    if not plan.length:
        drafter = None
    elif drafter is None or drafter.reader is not reader:
        raise ValueError("to draft takes a drafter over the same reader")
    else:
        drafter.start(rows, room)
    before = reader.engine.forwards
    u = None if u is None else u.to(device)

    widest = int(lengths.max())
    tokens = torch.from_numpy(np.ascontiguousarray(prompts[:, :widest], dtype=np.int64)).to(device)
    tokens = torch.where(torch.arange(widest, device=device) < torch.from_numpy(lengths).to(device)[:, None], tokens, 0)
    h = reader.forward(tokens)
    reader.engine.truncate(lengths)
    if drafter is not None:
        drafter.verified(h, tokens, lengths - 1)
    last = torch.from_numpy(lengths - 1).to(device)
    row = torch.arange(rows, device=device)
    logits = reader.law(h[row, last][:, None], tokens[row, last][:, None])[:, 0]
    pending = logits.argmax(-1) if u is None else inverse(torch.softmax(logits.double(), -1), u[:, 0, LAW])
    state.put(pending[:, None], np.ones(rows, np.int64))
    counts.seconds["prompt"] = clock() - started

    while not state.done.all():
        on = state.drop()
        if on is not None:
            index = torch.from_numpy(on).to(device)
            pending = pending[index]
            reader.engine.select(index)
            if drafter is not None:
                drafter.select(index)
        now = clock()
        drafts, laws, drafted, sure = _draft(drafter, pending, state, plan, u) if drafter is not None else (None, None, None, None)
        then = clock()
        tokens = pending[:, None] if drafts is None else torch.cat([pending[:, None], drafts], dim=1)
        start = reader.engine.lengths
        h = reader.forward(tokens)
        logits = reader.law(h, tokens)
        if drafts is None:
            if u is None:
                pending = logits[:, 0].argmax(-1)
            else:
                held = torch.from_numpy(state.held).to(device)
                at = torch.from_numpy(np.minimum(state.length[state.held], limit - 1)).to(device)
                pending = inverse(torch.softmax(logits[:, 0].double(), -1), u[held, at, LAW])
            counts.seconds["forward"] += clock() - then
            counts.rounds += int((~state.done).sum())
            state.put(pending[:, None], np.ones(len(start), np.int64))
            continue
        assert drafter is not None
        assert drafted is not None
        kept_t, pending = settle(logits, drafts, torch.from_numpy(drafted).to(device), laws, None if u is None else _positions(u, state, drafts.shape[1] + 1))
        kept = kept_t.cpu().numpy()
        counts.seconds["draft"] += then - now
        counts.seconds["forward"] += clock() - then
        _tally(counts, kept, drafted, ~state.done)
        if sure is not None:
            counts.chances += [(sure[r, : drafted[r]], int(kept[r])) for r in np.flatnonzero(~state.done)]
        reader.engine.truncate(np.where(state.done, start, start + 1 + kept))
        drafter.verified(h, tokens, kept)
        emitted = torch.cat([drafts, pending[:, None]], dim=1)
        emitted[torch.arange(len(kept), device=device), kept_t] = pending
        state.put(emitted, kept + 1)
    counts.forwards = reader.engine.forwards - before
    counts.tokens = int(state.length.sum())
    counts.seconds["all"] = clock() - started
    return state.out[:, :limit].cpu().numpy(), state.length, counts


def _positions(u: Tensor, state: _Rows, count: int) -> Tensor:
    """The uniforms of the next `count` positions of every held row [B, count, 3]; beyond the limit, where nothing comes out, those of the last."""
    column = np.minimum(state.length[state.held][:, None] + np.arange(count), state.limit - 1)
    return u[torch.from_numpy(state.held)[:, None], torch.from_numpy(column)]


def _draft(drafter: Drafter, pending: Tensor, state: _Rows, plan: Plan, u: Tensor | None) -> tuple[Tensor, Tensor | None, np.ndarray, np.ndarray | None]:
    """Drafts int [B, K], their laws [B, K, V] (sampled), how many of them count [B] (none after `end`, none that a row has no room to keep), and where a
    threshold is set the chances [B, K] that it was held against.

    Whether a row drafts on is known before that draft is drawn: a rule that looked at the token would change the law of what stays.
    """
    b = len(pending)
    most = np.minimum(plan.length, np.maximum(state.room() - 1, 0))  # the token that ends the round needs room too
    drafted = np.zeros(b, np.int64)
    going = most > 0
    sure = torch.ones(b, dtype=torch.float32, device=pending.device)
    chances: list[np.ndarray] = []
    tokens: list[Tensor] = []
    laws: list[Tensor] = []
    token = pending
    draws = _positions(u, state, plan.length) if u is not None else None
    for i in range(1, int(most.max(initial=0)) + 1):
        logits = drafter.draft(i, token)
        law = torch.softmax(logits, -1) if plan.threshold or draws is not None else logits
        if plan.threshold:
            sure = sure * law.amax(-1)
            chances.append(sure.cpu().numpy())
            going &= chances[-1] >= plan.threshold
            if not going.any():
                break
        if draws is None:
            token = logits.argmax(-1)
        else:
            law = law.double()
            token = inverse(law, draws[:, i - 1, DRAFT])
            laws.append(law)
        tokens.append(token)
        drafted += going
        going &= (i < most) & (token != state.end).cpu().numpy()
        if not going.any():
            break
    held = np.stack(chances, axis=1) if chances else None
    if not tokens:
        none = pending.new_zeros(b, 0)
        words = len(drafter.reader.embedding)
        return none, None if draws is None else torch.zeros(b, 0, words, dtype=torch.float64, device=pending.device), drafted, held
    return torch.stack(tokens, 1), torch.stack(laws, 1) if laws else None, drafted, held


def _tally(counts: Counts, kept: np.ndarray, drafted: np.ndarray, live: np.ndarray) -> None:
    """Of rows that are not finished, count draft by draft."""
    place = np.arange(len(counts.tested))
    counts.tested += ((place <= kept[live, None]) & (place < drafted[live, None])).sum(0)
    counts.accepted += (place < kept[live, None]).sum(0)
    counts.rounds += int(live.sum())
    counts.drafted += int(drafted[live].sum())
