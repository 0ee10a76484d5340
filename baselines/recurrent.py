"""Recurrent references: GRU (Cho et al. 2014) and LSTM (Hochreiter & Schmidhuber 1997), torch's own, trained on the
next token.

Token embedding, `layers` recurrent layers of one width, a head on the top layer's output: a state of fixed size, which
attention has not. Weights start as torch's modules start them: embeddings from N(0, 1), all else uniform within 1 /
sqrt(D).

Shape letters: B rows, T tokens, P prompt tokens, K new tokens, N documents, V vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from worldbench.baselines.cached import SwappableDecoder
from worldbench.baselines.objective import NextToken
from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.model import refuse_condition


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """The shape of a recurrent network."""

    layers: int = 2
    """Recurrent layers."""
    width: int = 64
    """Width D of embeddings and states."""

    def __post_init__(self) -> None:
        for name in ("layers", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} must be at least 1, not {getattr(self, name)}")


class Recurrent(NextToken):
    """A stack of recurrent layers. The hidden state is the top layer's output."""

    hidden_name = "top layer (head input)"
    config: RecurrentConfig
    kind: type[nn.GRU] | type[nn.LSTM]

    def add_trunk(self) -> None:
        c = self.config
        self.embedding = nn.Embedding(self.vocabulary, c.width)
        self.recurrent = nn.ModuleList(self.kind(c.width, c.width, batch_first=True) for _ in range(c.layers))
        self.out = nn.Linear(c.width, self.vocabulary, bias=False)

    def initialise(self) -> None:
        generator = torch.Generator().manual_seed(streams.integer("init", self.seed))
        bound = self.width**-0.5
        for name, parameter in self.named_parameters():
            if name == "embedding.weight":
                nn.init.normal_(parameter, generator=generator)
            else:
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens)

    def encode(self, tokens: Tensor, document: Tensor | None = None, position: Tensor | None = None) -> Tensor:
        if document is None:
            return list(self.layers(tokens).values())[-1]
        assert position is not None
        # Every document of the packed rows in a row of its own, so that its state starts afresh; then back to where it
        # was.
        row, column = torch.nonzero(document >= 0, as_tuple=True)
        _, which = torch.unique(row * (int(document.max()) + 1) + document[row, column], return_inverse=True)
        place = position[row, column]
        own = tokens.new_zeros(int(which.max()) + 1, int(place.max()) + 1)
        own[which, place] = tokens[row, column]
        h_NTD = self.encode(own)
        out = h_NTD.new_zeros(*tokens.shape, self.width)
        return out.index_put((row, column), h_NTD[which, place])

    def layers(self, tokens: Tensor) -> dict[str, Tensor]:
        x = self.embed(tokens)
        out = {"embedding": x}
        for i, layer in enumerate(self.recurrent, start=1):
            x, _ = layer(x)
            out[self.hidden_name if i == self.config.layers else f"layer {i}"] = x
        return out

    def head(self, h: Tensor, tokens: Tensor | None = None) -> Tensor:
        return self.out(h)

    def inference_parameters(self) -> int:
        return self.parameter_count()

    def decoder(
        self, prompts: np.ndarray, lengths: np.ndarray, device: str, condition: np.ndarray | None = None
    ) -> RecurrentDecoder:
        refuse_condition(self.name, condition)
        return RecurrentDecoder(self, device, prompts, lengths)


class GRU(Recurrent):
    """Gated recurrent units."""

    name = "gru"
    kind = nn.GRU


class LSTM(Recurrent):
    """Long short-term memory. Its state is h and a cell c; the hidden state that metrics see is h."""

    name = "lstm"
    kind = nn.LSTM


State = tuple[Tensor, ...]
"""Of one layer: h [1, B, D], and for an LSTM c [1, B, D]."""


class RecurrentDecoder(SwappableDecoder):
    """Continues rows from their states."""

    def __init__(self, objective: Recurrent, device: str, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.objective, self.device = objective, torch.device(device)
        self._read(np.asarray(prompts), np.asarray(lengths, np.int64))

    @torch.inference_mode()
    def _read(self, prompts: np.ndarray, lengths: np.ndarray) -> None:
        x = self.objective.embed(self._tokens(prompts[:, : max(1, int(lengths.max()))]))
        read = torch.from_numpy(lengths)
        index = torch.arange(len(prompts), device=self.device), (read.to(self.device) - 1).clamp(min=0)
        self.states: list[State] = []
        for layer in self.objective.recurrent:
            _, state = layer(pack_padded_sequence(x, read.clamp(min=1), batch_first=True, enforce_sorted=False))
            state = state if isinstance(state, tuple) else (state,)
            self.states.append(tuple(s * (read > 0).to(self.device)[None, :, None] for s in state))
            x, _ = layer(x)
        self.logits = self.objective.head(x[index]).cpu().numpy()

    def _tokens(self, tokens: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(self.device)

    @torch.inference_mode()
    def _forward(self, tokens: np.ndarray, replace: tuple[int, Tensor] | None = None) -> np.ndarray:
        swap, other = replace if replace is not None else (-1, torch.empty(0))
        x = other if swap == 0 else self.objective.embed(self._tokens(tokens))
        for i, layer in enumerate(self.objective.recurrent):
            state = self.states[i]
            x, after = layer(x, state if len(state) == 2 else state[0])
            after = after if isinstance(after, tuple) else (after,)
            if swap == i + 1:
                x, after = other, (other.transpose(0, 1).contiguous(), *after[1:])
            self.states[i] = after
        out = self.objective.head(x).cpu().numpy()
        self.logits = out[:, -1]
        return out

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        return self._forward(tokens)

    def replace_next(self, layer: int, hidden: np.ndarray, tokens: np.ndarray) -> None:
        """Append one token a row [B], with a layer's output and recurrent h (an LSTM's cell stays its own) replaced by
        `hidden` [B, D]; 0: the embedding."""
        self._forward(
            np.asarray(tokens)[:, None],
            (layer, torch.from_numpy(np.ascontiguousarray(hidden))[:, None].to(self.device)),
        )

    def adopt_last(self, other: RecurrentDecoder) -> None:
        """Take another decoder's states and logits."""
        self.states, self.logits = list(other.states), other.logits

    @torch.inference_mode()
    def select(self, rows: np.ndarray) -> None:
        index = self._tokens(np.asarray(rows))
        self.states = [tuple(s[:, index] for s in state) for state in self.states]
        self.logits = self.logits[rows]
