"""Where NextLat's rollouts run: which steps are supervised, through which tokens, and (for an ablation control) towards
the latents of which other places.

Shape letters: B rows, T input tokens, S columns of a rollout (T, and the last tokens of documents where rollouts go
through them).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldbench.baselines.batch import Batch
from worldbench.core import streams


@dataclass(frozen=True)
class Columns:
    """The columns [B, S] that the rollouts of a batch run along.

    document int: -1 for padding and last tokens. scored bool: something is asked for there. inputs: T.
    source int: which of its row's T inputs a column is or, from T on, which last token: T + t is the one that follows
    input t; None: the columns are the inputs.
    """

    document: Tensor
    scored: Tensor
    source: Tensor | None
    inputs: int

    @classmethod
    def of(cls, batch: Batch, through_ends: bool) -> Columns:
        """through_ends: rollouts go through the last token of a document (never an input, so it has no latent) into the
        row's next document."""
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
        """For each step i, bool [B, S - i]: columns s and s + i have latents, of one document unless rollouts go
        through ends."""
        d = self.document
        landed = [(d[:, :-i], d[:, i:]) for i in range(1, min(horizon, self.inputs - 1) + 1)]
        return [(a == b) & (b >= 0) if self.source is None else (a >= 0) & (b >= 0) for a, b in landed]

    def latents(self, x: Tensor) -> Tensor:
        """[B, S, ..] from what each input has [B, T, ..]; columns of last tokens hold anything."""
        return x if self.source is None else pick(x, self.source % self.inputs)

    def tokens(self, x: Tensor) -> Tensor:
        """[B, S, ..] from what each input has and, behind those, each last token [B, 2T, ..]; where the columns are the
        inputs, from [B, T, ..]."""
        return x if self.source is None else pick(x, self.source)


def pick(x: Tensor, index_BS: Tensor) -> Tensor:
    """[B, S, ..]: of every row of x [B, T, ..] the places that `index` names."""
    return x[torch.arange(len(x), device=x.device)[:, None], index_BS]


def other_places(batch: Batch, *name: streams.Name) -> Tensor:
    """int [B, T]: for every input another one of its row, each input once: a permutation without fixed points, but
    where a row has a single place to give.

    Scored inputs get scored ones, the others others. They are those of other documents, except for as many as a
    document has beyond half of the row.
    Draws: the named stream, counted by the row's number in training, so that a split of the batch changes nothing.
    """
    rows, t = batch.tokens.shape
    by_place, by_document = (
        torch.from_numpy(streams.uniform(int(batch.row[0]), rows, 2 * t, *name)).to(batch.tokens.device).split(t, dim=1)
    )
    out = torch.arange(t, device=batch.tokens.device).expand(rows, t)
    for members in (batch.scored, batch.valid & ~batch.scored):
        out = torch.where(members, _turned(members, batch.document, by_place, by_document), out)
    return out


def _turned(member_BT: Tensor, document_BT: Tensor, by_place_BT: Tensor, by_document_BT: Tensor) -> Tensor:
    """The members of each row laid out document by document, documents and their places in random order, and turned
    round by the longest document's share."""
    n, document = member_BT.sum(1, keepdim=True), document_BT.clamp(min=0)
    longest = torch.zeros_like(document).scatter_add_(1, document, member_BT.long()).amax(1, keepdim=True)
    order = by_place_BT.argsort(1)
    group = torch.where(member_BT, by_document_BT.gather(1, document), 2.0)
    order = order.gather(1, group.gather(1, order).argsort(dim=1, stable=True))
    rank = torch.arange(document.shape[1], device=document.device)
    to = (rank + torch.where(longest < n, longest, 1)) % n.clamp(min=1)
    return torch.zeros_like(document).scatter_(1, order, order.gather(1, to))
