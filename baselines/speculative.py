"""Self-speculative decoding: a model drafts several of its own next tokens and verifies them in one forward pass.

Sources: Leviathan et al. 2023 (arXiv 2211.17192), algorithm 1; drafting by predicted latents: Teoh et al. 2025
(arXiv 2511.05963).

One round is one forward pass over [pending, draft 1, .., draft K]. The verified tokens stay in the cache.
    greedy   Draft i is accepted if it is the argmax of the model's distribution p_i. The first rejected draft is
             replaced by that argmax.
    sampled  Draft i, drawn from the drafter's distribution q_i, is accepted with probability min(1, p_i(x) / q_i(x)).
             The first rejected draft is drawn again from norm(max(p_i - q_i, 0)). If all drafts are accepted, one more
             token is drawn from the model's distribution.
The output equals that of plain decoding: the same tokens (greedy), the same distribution (sampled). The last token of a
round is the pending token of the next round: its hidden state is computed by the next forward pass, so a round needs
exactly one forward pass.

The rules of acceptance and their random numbers are in `acceptance.py`.

Shape letters: B rows, P prompt tokens, K drafts per round, L largest number of new tokens, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.acceptance import DRAFT, LAW, inverse, settle
from worldbench.baselines.drafters import Drafter, Reader

NEVER = -1
"""No token: stands for `end` where continuations have none."""
CROWDED = 0.75
"""Finished rows are removed from the batch when at most this share of its rows is unfinished."""
Choice = Literal["greedy", "sampled"]


@dataclass(frozen=True)
class Drafting:
    """How to decode.

    length: drafts per round; 0 is plain decoding. threshold: stop drafting when the drafter's estimate that all drafts
    of the round are accepted (the product of its highest probabilities) falls below this; 0: always draft `length`.
    """

    length: int
    threshold: float = 0.0


PLAIN = Drafting(0)


@dataclass
class Counts:
    """What happened while decoding.

    rounds: summed over unfinished rows. drafted: drafts that were verified. forwards: forward passes of the trunk,
    including the pass over the prompts. tested: int [K], how often all drafts before draft i were accepted.
    accepted: int [K], how often draft i was accepted as well. chances: for each adaptive round, the drafter's estimates
    (the products of its highest probabilities) and the number of accepted drafts. seconds: wall-clock time by part.
    """

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


class _Rows:
    """The continuations: which rows are still in the batch (`held`), and the tokens that each row has so far."""

    def __init__(self, rows: int, limit: int, end: int, spare: int, device: torch.device) -> None:
        self.out = torch.full((rows, limit + spare), -1, dtype=torch.int64, device=device)
        self.limit, self.end = limit, end
        self.length = np.zeros(rows, np.int64)
        self.held = np.arange(rows)
        self.done = np.zeros(rows, bool)

    def room(self) -> np.ndarray:
        """Number of tokens that each held row may still receive; 0 for a finished row."""
        return np.where(self.done, 0, self.limit - self.length[self.held])

    def put(self, tokens_BK: Tensor, kept: np.ndarray) -> np.ndarray:
        """Append to each unfinished row its first `kept` [B] tokens, up to `end`; return how many each row received."""
        if len(self.held) == 1 and tokens_BK.shape[1] == 1:  # plain decoding of one row, the fastest path
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
        new = torch.from_numpy(tokens[live][keep]).to(self.out.device)
        self.out[torch.from_numpy(rows[keep]), torch.from_numpy(cells[keep])] = new
        self.length[self.held] += got
        self.done |= (ended.any(1) & ~self.done) | (self.length[self.held] >= self.limit)
        return got

    def drop(self) -> np.ndarray | None:
        """Remove finished rows once enough rows are finished; return the indices kept, or None if all rows stay."""
        on = np.flatnonzero(~self.done)
        if not len(on) or len(on) > CROWDED * len(self.held):
            return None
        self.held, self.done = self.held[on], self.done[on]
        return on


@torch.inference_mode()
def generate(
    reader: Reader,
    prompts: np.ndarray,
    lengths: np.ndarray,
    *,
    limit: int,
    end: int | None,
    drafter: Drafter | None = None,
    plan: Drafting = PLAIN,
    u: Tensor | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[np.ndarray, np.ndarray, Counts]:
    """Continue prompts int [B, P] (the first `lengths` tokens of each row) up to `end` (None: there is no
    such token) or `limit` tokens.

    drafter: needed if plan.length > 0; it must use the same reader. u: `uniforms` of these rows for sampling, None for
    greedy decoding. Returns tokens int [B, L] (-1 after the last one), their number int [B], and counts.
    """
    started = clock()
    rows, device = len(prompts), reader.engine.device
    lengths = np.asarray(lengths, np.int64)
    counts = Counts(rows=rows, tested=np.zeros(plan.length, np.int64), accepted=np.zeros(plan.length, np.int64))
    state = _Rows(rows, limit, NEVER if end is None else end, plan.length + 1, device)
    room = int(lengths.max()) + limit + plan.length + 1
    reader.engine.start(rows, room)
    if not plan.length:
        drafter = None
    elif drafter is None or drafter.reader is not reader:
        raise ValueError("speculative decoding needs a drafter that uses the same reader")
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
        drafts, laws, drafted, sure = (
            _draft(drafter, pending, state, plan, u) if drafter is not None else (None, None, None, None)
        )
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
        draws = None if u is None else _positions(u, state, drafts.shape[1] + 1)
        kept_t, pending = settle(logits, drafts, torch.from_numpy(drafted).to(device), laws, draws)
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
    """The uniforms of the next `count` positions of every held row, [B, count, 3].

    Positions beyond the limit, whose tokens are never output, repeat the uniforms of the last position.
    """
    column = np.minimum(state.length[state.held][:, None] + np.arange(count), state.limit - 1)
    return u[torch.from_numpy(state.held)[:, None], torch.from_numpy(column)]


def _draft(
    drafter: Drafter, pending: Tensor, state: _Rows, plan: Drafting, u: Tensor | None
) -> tuple[Tensor, Tensor | None, np.ndarray, np.ndarray | None]:
    """Draft up to plan.length tokens for every held row.

    Returns drafts int [B, K]; their distributions [B, K, V] (sampled decoding only); the number of valid drafts [B] (no
    drafts after `end`, none that the row has no room for); and, with a threshold, the estimates [B, K] that were
    compared with the threshold.

    Whether a row drafts one more token is decided before that token is drawn. A rule that looked at the token first
    would change the distribution of the accepted tokens.
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
        empty = None if draws is None else torch.zeros(b, 0, words, dtype=torch.float64, device=pending.device)
        return none, empty, drafted, held
    return torch.stack(tokens, 1), torch.stack(laws, 1) if laws else None, drafted, held


def _tally(counts: Counts, kept: np.ndarray, drafted: np.ndarray, live: np.ndarray) -> None:
    """Add one round to the counts, for the unfinished rows (`live`), separately for each draft."""
    place = np.arange(len(counts.tested))
    counts.tested += ((place <= kept[live, None]) & (place < drafted[live, None])).sum(0)
    counts.accepted += (place < kept[live, None]).sum(0)
    counts.rounds += int(live.sum())
    counts.drafted += int(drafted[live].sum())
