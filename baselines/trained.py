"""A trained objective as a `SequenceModel`: its methods take and return numpy arrays, and bound the memory in use.

Shape letters: B rows, T tokens, P prompt tokens, V vocabulary, D width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.dynamics import LatentDynamics, fit_dynamics
from worldbench.baselines.objective import Objective
from worldbench.core import streams
from worldbench.core.model import ALL_LAYERS, Decoder, Dynamics, SequenceModel
from worldbench.core.world import Documents

LOGITS_AT_ONCE = 1 << 26
"""Largest number of logits that one forward pass computes."""


class TrainedModel(SequenceModel):
    """The predictions and hidden states of an objective, computed on its device.

    The objective is put into evaluation mode, in which its products are those of torch (products.py).
    """

    def __init__(self, objective: Objective, device: str = "cpu") -> None:
        self.objective, self.device, self.name = objective.eval(), device, objective.name
        self.hidden_name = objective.hidden_name
        self.parameters = {"training": objective.parameter_count(), "inference": objective.inference_parameters()}

    def _chunks(self, tokens: np.ndarray) -> list[Tensor]:
        rows = max(1, LOGITS_AT_ONCE // (tokens.shape[1] * max(self.objective.vocabulary, 8 * self.objective.width)))
        return [
            torch.from_numpy(np.ascontiguousarray(tokens[i : i + rows], dtype=np.int64)).to(self.device)
            for i in range(0, len(tokens), rows)
        ]

    @torch.inference_mode()
    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [self.objective.head(self.objective.encode(part), part).cpu().numpy() for part in self._chunks(tokens)]
        )

    @torch.inference_mode()
    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        return np.concatenate([self.objective.encode(part).cpu().numpy() for part in self._chunks(tokens)])

    @torch.inference_mode()
    def layers(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Hidden states [B, T, D] of each layer, see `Objective.layers`."""
        out: dict[str, list[np.ndarray]] = {}
        for part in self._chunks(tokens):
            for name, h in self.objective.layers(part).items():
                out.setdefault(name, []).append(h.cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in out.items()}

    @torch.inference_mode()
    def head(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        rows = max(1, LOGITS_AT_ONCE // self.objective.vocabulary)
        out = [np.empty((0, self.objective.vocabulary), np.float32)]
        for i in range(0, len(hidden), rows):
            h = torch.from_numpy(np.ascontiguousarray(hidden[i : i + rows], dtype=np.float32)).to(self.device)
            x = torch.from_numpy(np.ascontiguousarray(tokens[i : i + rows], dtype=np.int64)).to(self.device)
            out.append(self.objective.head(h, x).cpu().numpy())
        return np.concatenate(out)

    def untrained(self, seed: int) -> TrainedModel:
        o = self.objective
        fresh = type(o)(o.config, o.vocabulary, o.context, streams.integer("untrained", seed), o.pad)
        return TrainedModel(fresh.to(self.device), self.device)

    def dynamics(self) -> Dynamics | None:
        own = getattr(self.objective, "dynamics", None)
        return None if own is None else LatentDynamics(self.objective, own, self.device)

    def fit_dynamics(self, documents: Documents, steps: int, seed: int) -> Dynamics:
        hidden = self.hidden(documents.inputs)
        return LatentDynamics(
            self.objective, fit_dynamics(self.objective, hidden, documents, steps, seed, self.device), self.device
        )

    def swapped(self, documents: Documents, donors: Documents, layer: str) -> Decoder:
        if layer == ALL_LAYERS:
            decoder = self.objective.decoder(documents.tokens, documents.length, self.device)
            decoder.adopt_last(self.objective.decoder(donors.tokens, donors.length, self.device))
            return decoder
        n, last = len(documents), donors.length - 1
        of_donors = self.layers(donors.tokens)
        decoder = self.objective.decoder(documents.tokens, documents.length - 1, self.device)
        donated = of_donors[layer][np.arange(n), last]
        decoder.replace_next(
            list(of_donors).index(layer), donated, documents.tokens[np.arange(n), documents.length - 1]
        )
        return decoder

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> Decoder:
        return self.objective.decoder(prompts, lengths, self.device, condition)
