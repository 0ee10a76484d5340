"""Drafters: the parts of a model that predict several of its next tokens more cheaply than its trunk does.

Every drafter starts from the hidden state at the last verified token and from the `pending` token, which the model
itself has chosen to follow that token. Draft i = 1, 2, .. is the i-th token after the pending one.
    NextLat  h' <- p_psi(h', e(token)), logits head(h'). Any number of drafts, whatever horizon was trained
             (arXiv 2511.05963, section 3.4).
    MTP      Heads 1 .. d at the last verified position. At most d drafts, which ignore the tokens in between
             (arXiv 2404.19737).
    JTP      Slots 1 .. d of the last verified position; each slot reads the token before the one that it predicts.
             At most d drafts (arXiv 2503.21801).
The model's own next-token distribution is computed here as well (`Reader`), because JTP needs its slot 0 for it.

Shape letters: B rows, K tokens, D width, H heads, C head size, V vocabulary.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.backbone import NORM_EPS
from worldbench.baselines.engine import Engine, Place, QuickBlock, QuickNorm, product
from worldbench.baselines.jtp import JTP
from worldbench.baselines.mtp import MTP
from worldbench.baselines.nextlat import NextLat, NormedHead
from worldbench.baselines.objective import Objective
from worldbench.core.errors import InputError


def unembedding(head: nn.Module) -> Callable[[Tensor], Tensor]:
    """The function from hidden states [N, D] to logits [N, V] of a trunk's head; a head with a norm applies the norm
    first."""
    if not isinstance(head, NormedHead):
        return product(head.weight)  # type: ignore[arg-type]
    scaled = product(head.linear.weight, head.norm.weight)  # type: ignore[arg-type]
    return lambda h: scaled(F.rms_norm(h, (h.shape[-1],), None, NORM_EPS))


class Reader:
    """What decoding needs of a model: the engine of its trunk, and its own next-token distribution."""

    def __init__(self, objective: Any) -> None:
        self.embedding: Tensor = objective.trunk.embedding.weight.detach()
        self.engine = Engine(objective.trunk)
        self.unembed = unembedding(objective.trunk.head)

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.embedding)

    def forward(self, tokens_BK: Tensor) -> Tensor:
        """Append K tokens to every row, in one forward pass of the trunk, and return their hidden states [B, K, D]."""
        return self.engine.forward(self.embed(tokens_BK))

    def law(self, h_BKD: Tensor, tokens_BK: Tensor) -> Tensor:
        """The model's next-token logits [B, K, V], from hidden states and the last token that each state has read."""
        return self.unembed(h_BKD.reshape(-1, h_BKD.shape[-1])).view(*h_BKD.shape[:-1], -1)


class JTPReader(Reader):
    """JTP's next-token distribution is that of slot 0, which attends to itself alone: its attention is its value."""

    def __init__(self, objective: JTP) -> None:
        super().__init__(objective)
        planning = objective.planning
        self.value = product(planning.qkv.weight[2 * planning.heads * planning.head_size :])
        self.out = product(planning.out.weight)
        self.gamma = float(planning.gamma.detach())
        self.layer_norm, self.norm = planning.combine_norm, QuickNorm(objective.norm)

    def combine(self, h_ND: Tensor, tokens_N: Tensor) -> Tensor:
        return self.layer_norm(torch.add(self.embed(tokens_N), h_ND, alpha=self.gamma))

    def law(self, h_BKD: Tensor, tokens_BK: Tensor) -> Tensor:
        h = h_BKD.reshape(-1, h_BKD.shape[-1])
        slot = self.out(self.value(self.combine(h, tokens_BK.reshape(-1))))
        return self.unembed(self.norm(slot)).view(*h_BKD.shape[:-1], -1)


class Drafter(abc.ABC):
    """Drafts tokens for a reader. In each round: the reader's forward pass, `verified`, then `draft` once per draft."""

    longest: int | None
    """Largest number of drafts per round; None: no limit."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.engine, self.embed, self.unembed = reader, reader.engine, reader.embed, reader.unembed

    def start(self, rows: int, room: int) -> None:  # noqa: B027 most drafters keep only `h`
        """Clear all state. room: the largest number of tokens that a row will hold."""

    def verified(self, h_BKD: Tensor, tokens_BK: Tensor, last: np.ndarray) -> None:
        """Take note of a forward pass. last: int [B], the index among the K tokens of the last accepted one.

        The engine has already been truncated to that token.
        """
        self.h = _at(h_BKD, last)

    @abc.abstractmethod
    def draft(self, i: int, token: Tensor) -> Tensor:
        """The logits [B, V] of draft i. Called for i = 1, 2, .. in order.

        token: int [B], the token before the draft: the pending token for i = 1, else draft i - 1.
        """

    def select(self, index: Tensor) -> None:
        """Keep only the chosen rows, in the given order. Called between rounds."""
        self.h = self.h[index]


def _at(x_BKD: Tensor, last: np.ndarray) -> Tensor:
    """Entry last[b] of row b, [B, D]."""
    if len(last) == 1:
        return x_BKD[:, int(last[0])]
    return x_BKD[torch.arange(len(last), device=x_BKD.device), torch.from_numpy(last).to(x_BKD.device)]


class NextLatDrafter(Drafter):
    longest = None

    def __init__(self, reader: Reader, objective: NextLat) -> None:
        super().__init__(reader)
        dynamics = objective.dynamics
        first, second, third = (layer.weight for layer in dynamics.mlp if isinstance(layer, nn.Linear))
        self.first = product(first, dynamics.norm.weight, "gelu")
        self.second, self.third = product(second, None, "gelu"), product(third)
        self.residual = dynamics.residual

    def draft(self, i: int, token: Tensor) -> Tensor:
        h = self.h if i == 1 else self.ahead
        both = torch.cat([self.embed(token), h], dim=1)
        normed = F.rms_norm(both, (both.shape[1],), None, NORM_EPS)
        self.ahead = self.third(self.second(self.first(normed)), h if self.residual else None)
        return self.unembed(self.ahead)


class MTPDrafter(Drafter):
    """Each head caches the keys and values of its own block; it reads new states only when it is asked for a draft."""

    def __init__(self, reader: Reader, objective: MTP) -> None:
        super().__init__(reader)
        heads: Any = objective.heads
        self.heads = [(QuickBlock(head.block), QuickNorm(head.norm)) for head in heads]
        self.longest = len(self.heads)

    def start(self, rows: int, room: int) -> None:
        for block, _ in self.heads:
            block.start(rows, room)
        self.states = torch.zeros(rows, room, self.engine.width, device=self.engine.device)
        self.read = [np.zeros(rows, np.int64) for _ in self.heads]
        self.filled = np.zeros(rows, np.int64)

    def verified(self, h_BKD: Tensor, tokens_BK: Tensor, last: np.ndarray) -> None:
        """Store the states that the heads read.

        The states of rejected tokens are stored too; the next round overwrites them.
        """
        below, low = self.engine.below, self.filled
        assert below is not None
        k = below.shape[1]
        if (low == low[0]).all():
            self.states[:, int(low[0]) : int(low[0]) + k] = below
        else:
            row = torch.arange(len(low), device=below.device)[:, None]
            column = torch.from_numpy(low).to(below.device)[:, None] + torch.arange(k, device=below.device)
            self.states[row, column] = below
        self.filled = self.engine.lengths.copy()

    def draft(self, i: int, token: Tensor) -> Tensor:
        block, norm = self.heads[i - 1]
        low = self.read[i - 1]
        new = int((self.filled - low).max())
        # All rows read the same number of states. A row with fewer new states reads some old ones again, which writes
        # the same keys and values to the same columns.
        low = np.maximum(np.minimum(low, self.filled - new), 0)
        place = Place(low, new, self.engine.room, self.engine.table)
        b = len(low)
        if place.flat is None:
            x = self.states[:, place.start : place.stop].reshape(b * new, -1)
        else:
            x = self.states.view(-1, self.engine.width)[place.flat]
        out = block(x, place).view(b, new, -1)
        self.read[i - 1] = self.filled
        return self.unembed(norm(_at(out, self.filled - low - 1)))

    def select(self, index: Tensor) -> None:
        self.states = self.states[index]
        for block, _ in self.heads:
            block.select(index)
        rows = index.cpu().numpy()
        self.read = [read[rows] for read in self.read]
        self.filled = self.filled[rows]


class JTPDrafter(Drafter):
    reader: JTPReader

    def __init__(self, reader: Reader, objective: JTP) -> None:
        super().__init__(reader)
        planning = objective.planning
        self.longest = objective.config.horizon
        self.heads, self.head_size = planning.heads, planning.head_size
        self.qkv, self.bias = product(planning.qkv.weight), planning.bias.detach()

    def verified(self, h_BKD: Tensor, tokens_BK: Tensor, last: np.ndarray) -> None:
        super().verified(h_BKD, tokens_BK, last)
        self.token = _at(tokens_BK[..., None], last)[:, 0]

    def draft(self, i: int, token: Tensor) -> Tensor:
        b = len(token)
        if i == 1:  # slot 0 too: later slots attend to its key and value
            h, tokens = self.h.repeat(2, 1), torch.cat([self.token, token])
        else:
            h, tokens = self.h, token
        qkv = self.qkv(self.reader.combine(h, tokens)).view(-1, b, 3, self.heads, self.head_size).permute(2, 1, 3, 0, 4)
        k, v = qkv[1], qkv[2]
        if i > 1:
            k, v = torch.cat([self.k, k], dim=2), torch.cat([self.v, v], dim=2)
        self.k, self.v = k, v
        bias = self.bias[:, : i + 1].flip(1)[None, :, None]
        attended = F.scaled_dot_product_attention(qkv[0][:, :, -1:], k, v, attn_mask=bias)
        return self.unembed(self.reader.norm(self.reader.out(attended.reshape(b, -1), self.h)))

    def select(self, index: Tensor) -> None:
        super().select(index)
        self.token = self.token[index]


READERS: dict[type[Objective], type[Reader]] = {JTP: JTPReader}
DRAFTERS: dict[type[Objective], type[Drafter]] = {NextLat: NextLatDrafter, MTP: MTPDrafter, JTP: JTPDrafter}


def reader_of(objective: Objective) -> Reader:
    """The reader for plain decoding of a transformer."""
    make = next((reader for kind, reader in READERS.items() if isinstance(objective, kind)), Reader)
    return make(objective)


def drafter_of(objective: Objective, reader: Reader | None = None) -> Drafter:
    """The drafter of a trained model, which uses a reader of that model. Raises InputError for a model without one."""
    for kind, drafter in DRAFTERS.items():
        # A subclass that decodes in its own way (nextlat-rnn) has no use for the drafts of its base class.
        if isinstance(objective, kind) and type(objective).decoder is kind.decoder:
            return drafter(reader or reader_of(objective), objective)  # type: ignore[call-arg]
    raise refusal(objective.name)


def refusal(name: str) -> InputError:
    """The error for a model without a drafter."""
    can = ", ".join(kind.name for kind in DRAFTERS)
    return InputError(f"{name} cannot draft tokens: it predicts the next token only; models that can draft: {can}")
