"""NextLat's latent dynamics alone, as a recurrent network.

    h_1 = trunk(x_1), on the first token alone;   h_{t+1} = p_psi(h_t, x_{t+1});   logits = head(h)
Prompts go through the dynamics too. Such a network has no attention, so all that it knows is in the dynamics. Weights
and their names are those of NextLat.

Shape letters: B rows, T tokens, P prompt tokens, K new tokens, V vocabulary, D width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.attention import Pieces
from worldbench.baselines.cached import SwappableDecoder
from worldbench.baselines.nextlat import NextLat
from worldbench.core.model import refuse_condition


class LatentRNN(NextLat):
    """Trained as NextLat is; predicts by rolling the dynamics along the tokens."""

    name = "nextlat-rnn"

    def add_trunk(self) -> None:
        super().add_trunk()
        self.hidden_name = "recurrent state (head input)"  # type: ignore[misc]

    def first(self, embedded: Tensor) -> Tensor:
        """The states [.., D] of documents of one token each, from their embeddings [.., D]."""
        return self.trunk(embedded.flatten(0, -2)[:, None], None, None).view_as(embedded)

    def encode(self, tokens: Tensor, document: Tensor | Pieces | None = None, position: Tensor | None = None) -> Tensor:
        """States [B, T, D], one step after the other. document, position: of packed rows; a document starts afresh."""
        embedded = self.embed(tokens)
        afresh = self.first(embedded[:, :1] if position is None else embedded)
        h = [afresh[:, 0]]
        for t in range(1, tokens.shape[1]):
            after = self.dynamics(h[-1], embedded[:, t])
            h.append(after if position is None else torch.where(position[:, t, None] == 0, afresh[:, t], after))
        return torch.stack(h, dim=1)

    def layers(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"embedding": self.embed(tokens), self.hidden_name: self.encode(tokens)}

    def inference_parameters(self) -> int:
        return self.parameter_count()

    def decoder(
        self, prompts: np.ndarray, lengths: np.ndarray, device: str, condition: np.ndarray | None = None
    ) -> StateDecoder:
        refuse_condition(self.name, condition)
        return StateDecoder(self, device, prompts, lengths)


class StateDecoder(SwappableDecoder):
    """Continues rows from one state each [B, D], whatever they have read. A row that has read nothing has the logits of
    a state of zeros."""

    def __init__(self, objective: LatentRNN, device: str, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.objective, self.device = objective, torch.device(device)
        left = torch.as_tensor(np.asarray(lengths, np.int64), device=self.device)
        self.state = torch.zeros(len(prompts), objective.width, device=self.device)
        self.begun = left > 0
        self._prompt(np.asarray(prompts)[:, : int(lengths.max())], left)

    @torch.inference_mode()
    def _prompt(self, prompts: np.ndarray, left: Tensor) -> None:
        if prompts.shape[1]:
            h = self.objective.encode(self._tokens(prompts))
            last = h[torch.arange(len(h), device=self.device), (left - 1).clamp(min=0)]
            self.state = torch.where(self.begun[:, None], last, self.state)
        self.logits = self.objective.head(self.state).cpu().numpy()

    def _tokens(self, tokens: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(self.device)

    def _advance(self, embedded_BD: Tensor) -> None:
        after = self.objective.dynamics(self.state, embedded_BD)
        if not bool(self.begun.all()):
            after = torch.where(self.begun[:, None], after, self.objective.first(embedded_BD))
        self.state, self.begun = after, torch.ones_like(self.begun)

    @torch.inference_mode()
    def extend(self, tokens: np.ndarray) -> np.ndarray:
        states = []
        for embedded in self.objective.embed(self._tokens(tokens)).unbind(1):
            self._advance(embedded)
            states.append(self.state)
        out = self.objective.head(torch.stack(states, dim=1)).cpu().numpy()
        self.logits = out[:, -1]
        return out

    @torch.inference_mode()
    def replace_next(self, layer: int, hidden: np.ndarray, tokens: np.ndarray) -> None:
        """Append one token a row [B], with its embedding (layer 0) or the state after it (1) replaced by `hidden` [B,
        D]."""
        given = torch.from_numpy(np.ascontiguousarray(hidden)).to(self.device)
        self._advance(given if layer == 0 else self.objective.embed(self._tokens(tokens)))
        self.state = given if layer == 1 else self.state
        self.logits = self.objective.head(self.state).cpu().numpy()

    def adopt_last(self, other: StateDecoder) -> None:
        """Take another decoder's states and logits."""
        self.state, self.begun, self.logits = other.state, other.begun, other.logits

    @torch.inference_mode()
    def select(self, rows: np.ndarray) -> None:
        index = self._tokens(np.asarray(rows))
        self.state, self.begun, self.logits = self.state[index], self.begun[index], self.logits[rows]
