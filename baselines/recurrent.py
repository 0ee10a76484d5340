"""Recurrent networks: the GRU (Cho et al. 2014) and the LSTM (Hochreiter & Schmidhuber 1997) of torch, trained on the
next token. Unlike attention, they have a state of fixed size.

A token embedding is followed by `layers` recurrent layers of the same width, and a head on the output of the top layer.
Initial weights have the distributions of torch's modules: embeddings from N(0, 1), all others uniform in +- 1 /
sqrt(D).

Shape letters: B rows, T tokens, P prompt tokens, K new tokens, N documents, V vocabulary, D width.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from worldbench.baselines.attention import Pieces
from worldbench.baselines.batch import Batch, on_device
from worldbench.baselines.cached import SwappableDecoder
from worldbench.baselines.objective import Count, NextToken, matrices
from worldbench.baselines.options import RecurrentConfig
from worldbench.baselines.products import Linear
from worldbench.core import streams
from worldbench.core.model import refuse_condition


class OwnRows(NamedTuple):
    """How the documents of packed rows are copied to rows of their own, so that the state of each starts from zero.

    The token at (row, column) of the packed rows goes to (which, place); each int64 [M]. documents, longest: the size
    of the rows of their own.
    """

    row: Tensor
    column: Tensor
    which: Tensor
    place: Tensor
    documents: int
    longest: int


def own_rows(rows: Batch) -> OwnRows:
    """For `Batch.derived`."""
    return _own_rows(rows.document, rows.position)


def _own_rows(document: Tensor, position: Tensor) -> OwnRows:
    row, column = torch.nonzero(document >= 0, as_tuple=True)
    _, which = torch.unique(row * (int(document.max()) + 1) + document[row, column], return_inverse=True)
    place = position[row, column]
    return OwnRows(row, column, which, place, int(which.max()) + 1, int(place.max()) + 1)


def has_bf16_lstm() -> bool:
    """Whether this processor can compute LSTM layers in bf16. oneDNN needs AVX-512 for them; without, it refuses."""
    return hasattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def outputs(layer: nn.Module, x: Tensor) -> Tensor:
    """The outputs of a recurrent layer (GRU or LSTM), [B, T, D].

    On CUDA, autocast computes recurrent layers in fp16, also where it was asked for bf16. So there they compute in
    fp32, or tf32, in every precision of training. On a processor without bf16 layers (`has_bf16_lstm`), LSTM layers
    compute in fp32. (torch's own operators for bf16 took seven times as long as fp32.)
    """
    device = "cuda" if x.is_cuda else "cpu"
    in_fp32 = x.is_cuda or (isinstance(layer, nn.LSTM) and not has_bf16_lstm())
    if in_fp32 and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return layer(x.float())[0]
    return layer(x)[0]


class Recurrent(NextToken):
    """A stack of recurrent layers. The hidden state is the output of the top layer."""

    hidden_name = "top layer (head input)"
    kept: ClassVar[int]
    """Upper bound on the numbers that a layer keeps for each token and unit of width: measured on the CPU, in fp32 and
    bf16."""
    config: RecurrentConfig
    kind: type[nn.GRU] | type[nn.LSTM]

    def add_trunk(self) -> None:
        c = self.config
        self.embedding = nn.Embedding(self.vocabulary, c.width)
        self.recurrent = nn.ModuleList(self.kind(c.width, c.width, batch_first=True) for _ in range(c.layers))
        self.out = Linear(c.width, self.vocabulary)

    def initialize(self) -> None:
        generator = torch.Generator().manual_seed(streams.integer("init", self.seed))
        bound = self.width**-0.5
        for name, parameter in self.named_parameters():
            if name == "embedding.weight":
                nn.init.normal_(parameter, generator=generator)
            else:
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def inner_matrices(self) -> list[nn.Parameter]:
        """Those of every layer. The matrices of the gates of a layer are one matrix here, as torch keeps them."""
        return matrices(self.recurrent)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens)

    def encode(self, tokens: Tensor, document: Tensor | Pieces | None = None, position: Tensor | None = None) -> Tensor:
        if document is None:
            return list(self.layers(tokens).values())[-1]
        assert isinstance(document, Tensor)
        assert position is not None
        return self._encode_documents(tokens, on_device(_own_rows(document.cpu(), position.cpu()), tokens.device))

    def counts(self, batch: Batch) -> dict[str, Count]:
        if not batch.single:
            batch.derived(own_rows)
        return super().counts(batch)

    def stated_activations(self, batch: Batch) -> int:
        """A layer is one operator of a library with buffers of its own, or thousands of small operators. So its memory
        is stated: `kept` numbers for each cell of the rows of documents, beside the embeddings and the logits."""
        to = None if batch.single else batch.derived(own_rows)
        cells = batch.tokens.numel() if to is None else to.documents * to.longest
        inside = cells * self.width * (self.kept * self.config.layers + 8)
        return 4 * (inside + 3 * len(batch.scored_places) * self.vocabulary)

    def encode_batch(self, batch: Batch) -> Tensor:
        if batch.single:
            return self.encode(batch.tokens)
        return self._encode_documents(batch.tokens, batch.derived(own_rows))

    def _encode_documents(self, tokens: Tensor, to: OwnRows) -> Tensor:
        """Hidden states [B, T, D] of packed rows, from those of the documents in rows of their own."""
        own = tokens.new_zeros(to.documents, to.longest)
        own[to.which, to.place] = tokens[to.row, to.column]
        h_NTD = self.encode(own)
        out = h_NTD.new_zeros(*tokens.shape, self.width)
        return out.index_put((to.row, to.column), h_NTD[to.which, to.place])

    def layers(self, tokens: Tensor) -> dict[str, Tensor]:
        x = self.embed(tokens)
        out = {"embedding": x}
        for i, layer in enumerate(self.recurrent, start=1):
            x = outputs(layer, x)
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
    """A network of gated recurrent units."""

    name = "gru"
    kept = 13
    kind = nn.GRU


class LSTM(Recurrent):
    """A network of long short-term memory cells. Its state is (h, c); metrics read h as the hidden state."""

    name = "lstm"
    kept = 17
    kind = nn.LSTM


State = tuple[Tensor, ...]
"""The state of one layer: h [1, B, D], and for an LSTM also c [1, B, D]."""


class RecurrentDecoder(SwappableDecoder):
    """Decodes rows from their recurrent states."""

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
        """Append one token per row, int [B], with the output and the recurrent h of a layer replaced by `hidden` [B,
        D]. The cell of an LSTM is not replaced. Layer 0 is the embedding."""
        self._forward(
            np.asarray(tokens)[:, None],
            (layer, torch.from_numpy(np.ascontiguousarray(hidden))[:, None].to(self.device)),
        )

    def adopt_last(self, other: RecurrentDecoder) -> None:
        """Copy the states and logits of another decoder."""
        self.states, self.logits = list(other.states), other.logits

    @torch.inference_mode()
    def select(self, rows: np.ndarray) -> None:
        index = self._tokens(np.asarray(rows))
        self.states = [tuple(s[:, index] for s in state) for state in self.states]
        self.logits = self.logits[rows]
