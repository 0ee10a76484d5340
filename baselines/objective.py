"""What an objective is: a loss on packed rows whose gradient does not depend on how the rows are split.

Shape letters: B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from worldbench.baselines.backbone import Backbone, document_mask, initialise
from worldbench.baselines.batch import Batch

Count = int | float | Tensor


class Objective(nn.Module, abc.ABC):
    """A model and the loss it is trained on.

    The loss is a weighted sum of terms, each a mean over its own positions. `counts` says how many positions a batch has of each; `backward` divides by
    *totals* that may span several batches, so that one batch, two accumulated halves and two processes give the same gradient.
    """

    name: ClassVar[str]
    hidden_name: ClassVar[str] = "final norm (head input)"

    def __init__(self, config: Any, vocabulary: int, context: int, seed: int) -> None:
        super().__init__()
        self.config, self.vocabulary, self.context = config, vocabulary, context
        with torch.random.fork_rng(devices=[]):  # torch's modules draw a first guess from the global generator, which is not ours to advance
            self.trunk = Backbone(vocabulary, config.width, config.layers, config.heads, config.head_width, config.mlp_width)
            self.add_parts()
        initialise(self, seed)

    def add_parts(self) -> None:
        """Modules beyond the trunk; initialised with it."""

    @abc.abstractmethod
    def counts(self, batch: Batch) -> dict[str, Count]:
        """How many positions of each term the batch has."""

    @abc.abstractmethod
    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """Add to the gradients those of the weighted terms, each its sum over the batch divided by its total; the terms, detached and unweighted."""

    def embed(self, tokens: Tensor) -> Tensor:
        return self.trunk.embedding(tokens)

    def encode(self, tokens: Tensor, document: Tensor | None = None, position: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, D]. document None: one document a row."""
        return self.trunk(self.embed(tokens), position, None if document is None else document_mask(document))

    def layers(self, tokens: Tensor) -> dict[str, Tensor]:
        """Hidden states [B, T, D] by layer: the embeddings, the output of every block, and the final norm's (`hidden_name`). One document a row."""
        x = self.embed(tokens)
        out = {"embedding": x}
        turn = self.trunk.turn(x.shape[1], x.device)[: x.shape[1], None]
        for i, block in enumerate(self.trunk.blocks, start=1):
            x = block(x, turn, None)
            out[f"block {i}"] = x
        return out | {self.hidden_name: self.trunk.norm(x)}

    def encode_batch(self, batch: Batch) -> Tensor:
        if batch.single:
            return self.encode(batch.tokens)
        return self.encode(batch.tokens, batch.document, batch.position)

    def head(self, h_BTD: Tensor) -> Tensor:
        return self.trunk.head(h_BTD)

    def next_token_sum(self, h_BTD: Tensor, targets: Tensor) -> Tensor:
        """Sum over scored positions of -log p(target): only their logits are computed."""
        scored = targets >= 0
        return nn.functional.cross_entropy(self.head(h_BTD[scored]), targets[scored], reduction="sum")

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def inference_parameters(self) -> int:
        """Parameters that prediction uses."""
        return sum(p.numel() for p in self.trunk.parameters())


def safe(total: Count) -> Count:
    """A total to divide by: a term without positions is 0, not 0 / 0."""
    return torch.clamp(total, min=1) if isinstance(total, Tensor) else max(total, 1)
