"""The positions of NextLat's rollouts: which steps are supervised, which tokens they read, and, for the ablation
control `shuffled`, which other places give the target latents.

Shape letters: B rows, T input tokens, S columns of a rollout. S is T, plus the last tokens of documents where rollouts
continue through them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from worldbench.baselines.batch import Batch, places
from worldbench.core import streams


@dataclass(frozen=True)
class Columns:
    """The columns [B, S] that the rollouts of a batch run along.

    document: int, the document of the column, -1 at padding and at last tokens. scored: bool, whether something is
    asked for there. inputs: T. source: int, where the column comes from: t < T is input t of the row, T + t is the last
    token of a document, which follows input t. None: the columns are the inputs.
    """

    document: Tensor
    scored: Tensor
    source: Tensor | None
    inputs: int

    @classmethod
    def of(cls, batch: Batch, through_ends: bool) -> Columns:
        """The columns of a batch. through_ends: rollouts continue through the last token of a document into the next
        document of the row. (The last token is no input, so it has no latent.)"""
        rows, t = batch.tokens.shape
        if batch.single or not through_ends:
            return cls(batch.document, batch.scored, None, t)
        s = t + int(batch.closed.sum(1).max())
        own = torch.arange(t, device=batch.tokens.device).expand(rows, t)
        place = own + batch.closed.cumsum(1) - batch.closed

        def laid(value: Tensor, empty: int | bool) -> Tensor:
            return torch.full((rows, s), empty, dtype=value.dtype, device=value.device).scatter_(1, place, value)

        source, (row, at) = laid(own, 0), batch.closed.nonzero(as_tuple=True)
        source[row, place[row, at] + 1] = t + at
        return cls(laid(batch.document, -1), laid(batch.scored, False), source, t)

    def steps(self, horizon: int) -> list[Tensor]:
        """For each step i = 1 .. horizon, bool [B, S - i]: columns s and s + i both have latents, and belong to one
        document unless rollouts continue through its end."""
        d = self.document
        landed = [(d[:, :-i], d[:, i:]) for i in range(1, min(horizon, self.inputs - 1) + 1)]
        return [(a == b) & (b >= 0) if self.source is None else (a >= 0) & (b >= 0) for a, b in landed]


class Step(NamedTuple):
    """The places of step i of the rollouts, each int64 [M] and row by row.

    inside, scored: the flat places s among the predictions [B, S - i] whose target is a latent, and those where
    something is asked for at this target. inside_target, scored_target: the flat places of these targets, s + i, among
    the columns [B, S].
    """

    inside: Tensor
    inside_target: Tensor
    scored: Tensor
    scored_target: Tensor


class Rollout(NamedTuple):
    """What a step must know of the rollouts of a batch. source, inputs: as in `Columns`. steps: i = 1 .. horizon."""

    source: Tensor | None
    inputs: int
    steps: list[Step]

    def latents(self, x: Tensor) -> Tensor:
        """Values of the inputs [B, T, ..], laid out by columns [B, S, ..]; at last tokens the values are arbitrary."""
        return x if self.source is None else pick(x, self.source % self.inputs)

    def tokens(self, x: Tensor) -> Tensor:
        """Values of the inputs and, after them, of the last tokens [B, 2T, ..], laid out by columns [B, S, ..]. Where
        the columns are the inputs, x is [B, T, ..]."""
        return x if self.source is None else pick(x, self.source)


def rollout(rows: Batch, horizon: int, through_ends: bool) -> Rollout:
    """For `Batch.derived`: the rollouts of `horizon` steps. through_ends: as in `Columns.of`."""
    columns = Columns.of(rows, through_ends)
    steps = []
    for i, inside in enumerate(columns.steps(horizon), start=1):
        at = [places(inside), places(inside & columns.scored[:, i:])]
        # A row of predictions is i shorter than a row of columns, and the target lies i columns further on.
        steps.append(Step(*(x for place in at for x in (place, place + (place // inside.shape[1] + 1) * i))))
    return Rollout(columns.source, columns.inputs, steps)


def pick(x: Tensor, index_BS: Tensor) -> Tensor:
    """The entries `index` int [B, S] of each row of x [B, T, ..]: [B, S, ..]."""
    return x[torch.arange(len(x), device=x.device)[:, None], index_BS]


def other_places(batch: Batch, *name: streams.Name) -> Tensor:
    """int [B, T]: for each row a random permutation of its inputs that moves every input.

    Scored inputs are permuted among themselves, and so are the inputs that are not scored. An input goes to the place
    of another document wherever possible; a document with more than half of the inputs must keep some of them. A row
    with a single input of its kind leaves it in place.
    The draws are named by `name` and the number of the row in training, so that they do not depend on how a batch is
    split.
    """
    rows, t = batch.tokens.shape
    by_place, by_document = (
        torch.from_numpy(streams.uniform(int(batch.row[0]), rows, 2 * t, *name)).to(batch.tokens.device).split(t, dim=1)
    )
    out = torch.arange(t, device=batch.tokens.device).expand(rows, t)
    for members in (batch.scored, batch.valid & ~batch.scored):
        out = torch.where(members, _rotated(members, batch.document, by_place, by_document), out)
    return out


def _rotated(member_BT: Tensor, document_BT: Tensor, by_place_BT: Tensor, by_document_BT: Tensor) -> Tensor:
    """For each member of a row, the place of the member that it gets.

    The members are sorted by document, with the documents, and the places within each, in random order. This sequence
    is rotated by the size of the largest document, which moves every member into another document where that is
    possible.
    """
    n, document = member_BT.sum(1, keepdim=True), document_BT.clamp(min=0)
    longest = torch.zeros_like(document).scatter_add_(1, document, member_BT.long()).amax(1, keepdim=True)
    order = by_place_BT.argsort(1)
    # All places of a document share one random number, and those that are no members sort behind all of them.
    group = torch.where(member_BT, by_document_BT.gather(1, document), 2.0)
    order = order.gather(1, group.gather(1, order).argsort(dim=1, stable=True))
    rank = torch.arange(document.shape[1], device=document.device)
    to = (rank + torch.where(longest < n, longest, 1)) % n.clamp(min=1)
    return torch.zeros_like(document).scatter_(1, order, order.gather(1, to))
