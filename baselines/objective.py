"""What an objective is: a loss on packed rows whose gradient does not depend on how the rows are split.

Shape letters: B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from worldbench.baselines.attention import Pieces, card_takes_pieces, document_mask, pieces, takes_pieces
from worldbench.baselines.backbone import Backbone, initialize
from worldbench.baselines.batch import Batch, places
from worldbench.baselines.cached import CachedDecoder, SwappableDecoder
from worldbench.baselines.products import unrounded
from worldbench.core.abilities import asks_for_labels
from worldbench.core.model import refuse_condition
from worldbench.core.registry import models
from worldbench.core.world import World

Count = int | float | Tensor


class Objective(nn.Module, abc.ABC):
    """A model and the loss it is trained on.

    The loss is a weighted sum of terms, and each term is a mean over its own positions. `counts` returns the number of
    positions of each term in a batch. `backward` divides by *totals* that may include several batches, so that one
    batch, two accumulated halves and two processes give the same gradient.
    """

    name: ClassVar[str]
    hidden_name: ClassVar[str] = "final norm (head input)"
    serves_labels: ClassVar[bool] = False
    """True if it can be trained on documents with labels of their own. An objective that learns from the tokens ahead
    cannot, because a label does not say which tokens follow."""
    trunk: Backbone

    def __init__(self, config: Any, vocabulary: int, context: int, seed: int, pad: int = 0) -> None:
        """vocabulary: number of tokens. context: length of the longest document, in tokens. pad: a token that occurs in
        no document."""
        super().__init__()
        self.config, self.vocabulary, self.context, self.seed, self.pad = config, vocabulary, context, seed, pad
        self.width: int = config.width
        # torch's modules draw their first weights from the global generator, whose state is restored afterwards.
        with torch.random.fork_rng(devices=[]):
            self.add_trunk()
            self.add_parts()
        self.initialize()

    @classmethod
    def impossible(cls, world: World) -> str | None:
        """The reason why it cannot be trained in this world; None if it can."""
        if not world.labelled or cls.serves_labels:
            return None
        can = [e.name for e in models if e.trained and getattr(e.load(), "serves_labels", False)]
        others = f"; {', '.join(can)} can be trained there" if can else ""
        return f"it learns from the tokens that follow, and {asks_for_labels(world)}{others}"

    def add_trunk(self) -> None:
        c = self.config
        self.trunk = Backbone(self.vocabulary, c.width, c.layers, c.heads, c.head_width, c.mlp_width)

    def add_parts(self) -> None:
        """Make the modules beside the trunk, which are initialized with it."""

    def initialize(self) -> None:
        initialize(self, self.seed)

    @abc.abstractmethod
    def counts(self, batch: Batch) -> dict[str, Count]:
        """Number of positions of each term in the batch.

        The trainer calls this with a batch in the memory of the CPU; on a graphics card, in a thread beside the step
        before. Whatever `backward` must know of the rows to choose the shape of a tensor is derived here
        (`Batch.derived`), so that `backward` never reads the device.
        """

    def prepare(self, batch: Batch) -> dict[str, Count]:
        """`counts` of a batch in the memory of the CPU, and what attention must know of its rows. The trainer calls
        this."""
        trunk = getattr(self, "trunk", None)
        if trunk is not None and not batch.single and card_takes_pieces(trunk.embedding.weight.device, trunk.head_size):
            self.cut(batch)
        return self.counts(batch)

    def cut(self, batch: Batch) -> None:
        """Derive where the documents of the rows begin, for attention without a mask (`attention.pieces`)."""
        batch.derived(pieces)

    def stated_activations(self, batch: Batch) -> int | None:
        """Bytes of activations of a step, for an objective whose operators do not show them. None: they are counted as
        operators create them (`training/memory.py`)."""
        return None

    @abc.abstractmethod
    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """Add the gradient of the loss to the parameters, where each term is its sum over the batch divided by its
        total. Returns the terms, detached and without their weights.

        With `train.precision bf16` this runs under `torch.autocast`: logits are in bf16, and losses are computed from
        `unrounded(logits)` (products.py).
        """

    def embed(self, tokens: Tensor) -> Tensor:
        return self.trunk.embedding(tokens)

    def encode(self, tokens: Tensor, document: Tensor | Pieces | None = None, position: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, D] of tokens int64 [B, T].

        document: int64 [B, T], or the documents as `attend` takes them; None: one document per row.
        """
        mask = document_mask(document) if isinstance(document, Tensor) else document
        return self.trunk(self.embed(tokens), position, mask)

    def layers(self, tokens: Tensor) -> dict[str, Tensor]:
        """Hidden states [B, T, D] of each layer: the embeddings, the output of each block, and the input of the head
        (`hidden_name`). One document per row."""
        x = self.embed(tokens)
        out = {"embedding": x}
        rotation = self.trunk.rotation_at(x.shape[1], None, x.device)
        for i, block in enumerate(self.trunk.blocks, start=1):
            x = block(x, rotation, None)
            out[f"block {i}"] = x
        return out | {self.hidden_name: self.trunk.norm(x)}

    def encode_batch(self, batch: Batch) -> Tensor:
        """Hidden states [B, T, D] of a batch."""
        if batch.single:
            return self.encode(batch.tokens)
        trunk = getattr(self, "trunk", None)
        cut = trunk is not None and takes_pieces(batch.tokens.device, trunk.head_size)
        document = batch.derived(pieces) if cut else batch.document
        return self.encode(batch.tokens, document, batch.position)

    def head(self, h: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Next-token logits [.., V] from hidden states [.., D]. tokens: int64 [..], the last token before each state,
        for heads that read this token as well."""
        return self.trunk.head(h)

    def decoder(
        self, prompts: np.ndarray, lengths: np.ndarray, device: str, condition: np.ndarray | None = None
    ) -> SwappableDecoder:
        """As `SequenceModel.decoder`. device: the device of the parameters."""
        refuse_condition(self.name, condition)
        return CachedDecoder(self, device, prompts, lengths)

    def next_token_sum(self, h_BTD: Tensor, asked: Batch | Tensor) -> Tensor:
        """Sum of -log p(target) over the scored positions, in nats. Other positions get no logits, to save time.

        asked: the batch, whose scored positions are known before the step. Or the targets, int64 [B, T], -1 where
        nothing is asked for: the scored positions are then read from the device, for which a step has to wait.
        """
        if isinstance(asked, Batch):
            scored, targets = asked.scored_places, asked.targets
        else:
            scored, targets = places(asked >= 0), asked
        logits = unrounded(self.head(at(h_BTD, scored)))
        return nn.functional.cross_entropy(logits, targets.flatten()[scored], reduction="sum")

    def inner_matrices(self) -> list[nn.Parameter]:
        """The matrices that Muon trains (`train.optimizer muon`): those which map hidden states to hidden states.
        Embeddings, the head, norms, and tables of biases do not belong here.

        By default the matrices of the blocks of the trunk; none where there is no trunk. An objective with matrices of
        its own adds them (`matrices`), or they are trained by AdamW.
        """
        trunk = getattr(self, "trunk", None)
        return [] if trunk is None else matrices(trunk.blocks)

    def compiled_parts(self) -> list[tuple[nn.Module, bool]]:
        """The modules whose `forward` is compiled for training (`train.compile`), and whether the sizes of their inputs
        vary from step to step.

        By default the blocks of the trunk, which get all rows in every step; nothing where there is no trunk. No module
        may have hooks, and `forward` must not depend on numbers in its tensors.
        """
        trunk = getattr(self, "trunk", None)
        return [] if trunk is None else [(block, False) for block in trunk.blocks]

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """Groups of parameters. The gradient of each group is clipped by its own norm."""
        return [list(self.parameters())]

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def inference_parameters(self) -> int:
        """Number of parameters that prediction needs."""
        return sum(p.numel() for p in self.trunk.parameters())


class NextToken(Objective):
    """Trained on the targets alone: L = mean of -log p(target_t | h_t) over the scored positions. The target is the
    next token x_{t+1}, except in worlds with labels of their own."""

    serves_labels = True

    def counts(self, batch: Batch) -> dict[str, Count]:
        return {"next_token": len(batch.scored_places)}

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        loss = self.next_token_sum(self.encode_batch(batch), batch) / safe(totals["next_token"])
        loss.backward()
        return {"next_token": loss.detach()}


def matrices(*modules: nn.Module) -> list[nn.Parameter]:
    """Every parameter of the modules that has two dimensions."""
    return [p for module in modules for p in module.parameters() if p.ndim == 2]


def at(x_BT: Tensor, places: Tensor) -> Tensor:
    """The elements [M, ..] of x [B, T, ..] at the flat places int64 [M]."""
    return x_BT.flatten(0, 1).index_select(0, places)


def safe(total: Count) -> Count:
    """The total, at least 1: a term without positions is then 0, and not 0 / 0."""
    return torch.clamp(total, min=1) if isinstance(total, Tensor) else max(total, 1)
