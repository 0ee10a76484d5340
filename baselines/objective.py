"""What an objective is: a loss on packed rows whose gradient does not depend on how the rows are split.

Shape letters: B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from worldbench.baselines.backbone import Backbone, document_mask, initialise
from worldbench.baselines.batch import Batch
from worldbench.baselines.cached import CachedDecoder, SwappableDecoder
from worldbench.core.abilities import asks_for_labels
from worldbench.core.model import refuse_condition
from worldbench.core.registry import models
from worldbench.core.world import World

Count = int | float | Tensor


class Objective(nn.Module, abc.ABC):
    """A model and the loss it is trained on.

    The loss is a weighted sum of terms, each a mean over its own positions. `counts` says how many positions a batch
    has of each; `backward` divides by
    *totals* that may span several batches, so that one batch, two accumulated halves and two processes give the same
    gradient.
    """

    name: ClassVar[str]
    hidden_name: ClassVar[str] = "final norm (head input)"
    serves_labels: ClassVar[bool] = False
    """Can it be trained on documents that ask for labels of their own? One that learns from the tokens ahead cannot: a
    label says nothing of those."""
    trunk: Backbone

    def __init__(self, config: Any, vocabulary: int, context: int, seed: int, pad: int = 0) -> None:
        """context: the longest document in tokens. pad: the token that stands in no document."""
        super().__init__()
        self.config, self.vocabulary, self.context, self.seed, self.pad = config, vocabulary, context, seed, pad
        self.width: int = config.width
        with torch.random.fork_rng(
            devices=[]
        ):  # torch's modules draw a first guess from the global generator, which is not ours to advance
            self.add_trunk()
            self.add_parts()
        self.initialise()

    @classmethod
    def impossible(cls, world: World) -> str | None:
        """None, or the reason why it cannot be trained in that world."""
        if not world.labelled or cls.serves_labels:
            return None
        can = [e.name for e in models if e.trained and getattr(e.load(), "serves_labels", False)]
        others = f"; {', '.join(can)} can be trained there" if can else ""
        return f"it learns from the tokens that follow, and {asks_for_labels(world)}{others}"

    def add_trunk(self) -> None:
        c = self.config
        self.trunk = Backbone(self.vocabulary, c.width, c.layers, c.heads, c.head_width, c.mlp_width)

    def add_parts(self) -> None:
        """Modules beyond the trunk; initialised with it."""

    def initialise(self) -> None:
        initialise(self, self.seed)

    @abc.abstractmethod
    def counts(self, batch: Batch) -> dict[str, Count]:
        """How many positions of each term the batch has."""

    @abc.abstractmethod
    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """Add to the gradients those of the weighted terms, each its sum over the batch divided by its total; the
        terms, detached and unweighted."""

    def embed(self, tokens: Tensor) -> Tensor:
        return self.trunk.embedding(tokens)

    def encode(self, tokens: Tensor, document: Tensor | None = None, position: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, D]. document None: one document a row."""
        return self.trunk(self.embed(tokens), position, None if document is None else document_mask(document))

    def layers(self, tokens: Tensor) -> dict[str, Tensor]:
        """Hidden states [B, T, D] by layer: the embeddings, the output of every block, and what the head reads
        (`hidden_name`). One document a row."""
        x = self.embed(tokens)
        out = {"embedding": x}
        turn = self.trunk.turn_at(x.shape[1], None, x.device)
        for i, block in enumerate(self.trunk.blocks, start=1):
            x = block(x, turn, None)
            out[f"block {i}"] = x
        return out | {self.hidden_name: self.trunk.norm(x)}

    def encode_batch(self, batch: Batch) -> Tensor:
        if batch.single:
            return self.encode(batch.tokens)
        return self.encode(batch.tokens, batch.document, batch.position)

    def head(self, h: Tensor, tokens: Tensor | None = None) -> Tensor:
        """The next-token logits [.., V] read off hidden states [.., D]. tokens [..]: the last that each state has read,
        for heads that read them too."""
        return self.trunk.head(h)

    def decoder(
        self, prompts: np.ndarray, lengths: np.ndarray, device: str, condition: np.ndarray | None = None
    ) -> SwappableDecoder:
        """See `SequenceModel.decoder`; on `device`, where the parameters are."""
        refuse_condition(self.name, condition)
        return CachedDecoder(self, device, prompts, lengths)

    def next_token_sum(self, h_BTD: Tensor, targets: Tensor) -> Tensor:
        """Sum over scored positions of -log p(target): only their logits are computed."""
        scored = targets >= 0
        return nn.functional.cross_entropy(self.head(h_BTD[scored]), targets[scored], reduction="sum")

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """The parameters, in groups whose gradients are clipped each by its own norm."""
        return [list(self.parameters())]

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def inference_parameters(self) -> int:
        """Parameters that prediction uses."""
        return sum(p.numel() for p in self.trunk.parameters())


class NextToken(Objective):
    """Trained on what is asked for alone, as a rule the next token: L = mean over scored positions of -log p(x_{t+1} |
    h_t)."""

    serves_labels = True

    def counts(self, batch: Batch) -> dict[str, Count]:
        return {"next_token": batch.scored.sum()}

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        loss = self.next_token_sum(self.encode_batch(batch), batch.targets) / safe(totals["next_token"])
        loss.backward()
        return {"next_token": loss.detach()}


def safe(total: Count) -> Count:
    """A total to divide by: a term without positions is 0, not 0 / 0."""
    return torch.clamp(total, min=1) if isinstance(total, Tensor) else max(total, 1)
