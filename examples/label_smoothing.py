"""An objective of your own: GPT trained with label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7).

worldbench run hmm --model smoothed --plugin examples/label_smoothing.py --model.smoothing 0.2
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from worldbench.baselines.batch import Batch
from worldbench.baselines.objective import Count, Objective, at, safe
from worldbench.baselines.options import GPTConfig
from worldbench.core.errors import InputError
from worldbench.core.registry import models


@dataclass(frozen=True, kw_only=True)
class SmoothedConfig(GPTConfig):
    """The options of GPT, and the share of the uniform distribution in the target."""

    smoothing: float = 0.1
    """Share of the target that is spread evenly over the vocabulary, at least 0 and below 1. 0: the loss of GPT."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.smoothing < 1:
            raise InputError(f"model.smoothing must be at least 0 and below 1, not {self.smoothing}")


class Smoothed(Objective):
    """L = mean over scored positions of -(1 - s) log p(x_{t+1} | h_t) - s mean over tokens v of log p(v | h_t)."""

    name = "smoothed"
    serves_labels = True  # learns what is asked for at a position (here `batch.targets`), and reads no later token
    config: SmoothedConfig

    def counts(self, batch: Batch) -> dict[str, Count]:
        """How many positions each term of the loss has in this batch."""
        return {"next_token": len(batch.scored_places), "uniform": len(batch.scored_places)}

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """Adds the gradients. A step may have several batches: each term is the sum over this batch, divided by the
        total of the step."""
        h_BTD, s, scored = self.encode_batch(batch), self.config.smoothing, batch.scored_places
        log_p_NV = self.head(at(h_BTD, scored)).log_softmax(-1)
        targets_N1 = batch.targets.flatten()[scored].unsqueeze(1)
        terms = {
            "next_token": -log_p_NV.gather(1, targets_N1).sum() / safe(totals["next_token"]),
            "uniform": -log_p_NV.mean(1).sum() / safe(totals["uniform"]),
        }
        ((1 - s) * terms["next_token"] + s * terms["uniform"]).backward()
        return {name: term.detach() for name, term in terms.items()}


models.add("smoothed", "GPT with label smoothing", Smoothed, config=SmoothedConfig)
