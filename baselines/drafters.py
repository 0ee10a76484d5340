"""Drafters: the parts of a model that guess several of its next tokens for less than its trunk costs.

All start from the state at the last verified token and from the token behind it, which the model itself has given (`pending`). Draft i = 1, 2, .. is the i-th
token after that one.
    NextLat  h' <- p_psi(h', e(token)), law head(h'): any number of drafts, whatever the horizon that was trained (arXiv 2511.05963, section 3.4)
    MTP      heads 1 .. d at the last verified position: at most d, whatever the tokens between (arXiv 2404.19737)
    JTP      slots 1 .. d of the last verified position, each of which reads the token before the one that it gives: at most d (arXiv 2503.21801)
The model's own law is read here too, since JTP's takes its first slot to read.

Shape letters: B rows, K tokens, D width, H heads, C head size, V vocabulary.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldbench.baselines.backbone import NORM_EPS
from worldbench.baselines.engine import Engine, Place, QuickBlock, QuickNorm, product
from worldbench.baselines.jtp import JTP
from worldbench.baselines.mtp import MTP
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.objective import Objective
from worldbench.core.errors import InputError


class Reader:
    """A model as decoding reads it: the engine of its trunk, and its own next-token law."""

    def __init__(self, objective: Any) -> None:
        self.embedding: Tensor = objective.trunk.embedding.weight.detach()
        self.engine = Engine(objective.trunk)
        self.unembed = product(objective.trunk.head.weight)

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.embedding)

    def forward(self, tokens_BK: Tensor) -> Tensor:
        """Append K tokens to every row: one forward pass of the trunk. Hidden states [B, K, D]."""
        return self.engine.forward(self.embed(tokens_BK))

    def law(self, h_BKD: Tensor, tokens_BK: Tensor) -> Tensor:
        """The model's next-token logits [B, K, V] from hidden states and the tokens that each has read last."""
        return self.unembed(h_BKD.reshape(-1, h_BKD.shape[-1])).view(*h_BKD.shape[:-1], -1)


class JTPReader(Reader):
    """Slot 0 of the planning attention sees itself alone."""

    def __init__(self, objective: JTP) -> None:
        super().__init__(objective)
        planning = objective.planning
        self.value, self.out = product(planning.qkv.weight[2 * planning.heads * planning.head_size :]), product(planning.out.weight)
        self.gamma, self.layer_norm, self.norm = float(planning.gamma.detach()), planning.combine_norm, QuickNorm(objective.norm)

    def combine(self, h_ND: Tensor, tokens_N: Tensor) -> Tensor:
        return self.layer_norm(torch.add(self.embed(tokens_N), h_ND, alpha=self.gamma))

    def law(self, h_BKD: Tensor, tokens_BK: Tensor) -> Tensor:
        h = h_BKD.reshape(-1, h_BKD.shape[-1])
        slot = self.out(self.value(self.combine(h, tokens_BK.reshape(-1))))
        return self.unembed(self.norm(slot)).view(*h_BKD.shape[:-1], -1)


class Drafter(abc.ABC):
    """Guesses for a reader. A round: the reader's forward pass, `verified`, then `draft` once per token."""

    longest: int | None
    """The most drafts a round; None: any number."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.engine, self.embed, self.unembed = reader, reader.engine, reader.embed, reader.unembed

    def start(self, rows: int, room: int) -> None:  # noqa: B027  most keep nothing from round to round but `h`
        """Forget everything; `room`: the most tokens that a row will hold."""

    def verified(self, h_BKD: Tensor, tokens_BK: Tensor, last: np.ndarray) -> None:
        """After a forward pass: token `last` [B] of the K is the last one that stays. Called after the engine was cut to it."""
        self.h = _at(h_BKD, last)

    @abc.abstractmethod
    def draft(self, i: int, token: Tensor) -> Tensor:
        """The logits [B, V] of draft i = 1, 2, .., in order, given the token [B] before it: `pending`, then draft i - 1."""

    def select(self, index: Tensor) -> None:
        """Keep only the chosen rows, in that order. Between rounds."""
        self.h = self.h[index]


def _at(x_BKD: Tensor, last: np.ndarray) -> Tensor:
    """Token last[b] of row b: [B, D]."""
    if len(last) == 1:
        return x_BKD[:, int(last[0])]
    return x_BKD[torch.arange(len(last), device=x_BKD.device), torch.from_numpy(last).to(x_BKD.device)]


class NextLatDrafter(Drafter):
    longest = None

    def __init__(self, reader: Reader, objective: NextLat) -> None:
        super().__init__(reader)
        dynamics = objective.dynamics
        first, second, third = (layer.weight for layer in dynamics.mlp if isinstance(layer, torch.nn.Linear))
        self.first, self.second, self.third = product(first, dynamics.norm.weight, "gelu"), product(second, None, "gelu"), product(third)

    def draft(self, i: int, token: Tensor) -> Tensor:
        h = self.h if i == 1 else self.ahead
        both = torch.cat([self.embed(token), h], dim=1)
        self.ahead = self.third(self.second(self.first(F.rms_norm(both, (both.shape[1],), None, NORM_EPS))), h)
        return self.unembed(self.ahead)


class MTPDrafter(Drafter):
    """Each head keeps the keys and values of its own block, and reads what it has not read yet when it is asked."""

    def __init__(self, reader: Reader, objective: MTP) -> None:
        super().__init__(reader)
        self.heads = [(QuickBlock(head.block), QuickNorm(head.norm)) for head in objective.heads]  # type: ignore[arg-type]
        self.longest = len(self.heads)

    def start(self, rows: int, room: int) -> None:
        for block, _ in self.heads:
            block.start(rows, room)
        self.states = torch.zeros(rows, room, self.engine.width, device=self.engine.device)
        self.read = [np.zeros(rows, np.int64) for _ in self.heads]
        self.filled = np.zeros(rows, np.int64)

    def verified(self, h_BKD: Tensor, tokens_BK: Tensor, last: np.ndarray) -> None:
        """Keep what the heads read. States behind the last one that stays are written too, and overwritten by the next round."""
        below, low = self.engine.below, self.filled
        assert below is not None
        k = below.shape[1]
        if (low == low[0]).all():
            self.states[:, int(low[0]) : int(low[0]) + k] = below
        else:
            row = torch.arange(len(low), device=below.device)[:, None]
            self.states[row, torch.from_numpy(low).to(below.device)[:, None] + torch.arange(k, device=below.device)] = below
        self.filled = self.engine.lengths.copy()

    def draft(self, i: int, token: Tensor) -> Tensor:
        block, norm = self.heads[i - 1]
        low = self.read[i - 1]
        new = int((self.filled - low).max())
        # Rows that are behind by less read some states again: the same keys and values, to the same place.
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
        if i == 1:  # slot 0, for its key and value
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
    """How plain decoding reads a transformer."""
    return next((reader for kind, reader in READERS.items() if isinstance(objective, kind)), Reader)(objective)


def drafter_of(objective: Objective, reader: Reader | None = None) -> Drafter:
    """The drafter that a trained model brings along, over a reader of that model. Raises InputError for models without one."""
    for kind, drafter in DRAFTERS.items():
        if isinstance(objective, kind) and type(objective).decoder is kind.decoder:  # one that decodes otherwise (nextlat-rnn) is not what is drafted for
            return drafter(reader or reader_of(objective), objective)  # type: ignore[call-arg]
    raise refusal(objective.name)


def refusal(name: str) -> InputError:
    """For models that bring no drafter along."""
    can = ", ".join(kind.name for kind in DRAFTERS)
    return InputError(f"{name} cannot draft its own next tokens: nothing in it predicts further than the next one; those that can: {can}")
