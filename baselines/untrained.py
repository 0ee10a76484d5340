"""A transformer with its initial weights, as a model: what an architecture gives without training."""

from __future__ import annotations

from worldbench.baselines.gpt import GPT
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.trained import TrainedModel
from worldbench.core.world import World


def make_untrained(world: World, config: GPTConfig | None = None, seed: int = 0) -> TrainedModel:
    """The network with which a GPT run of these options and this seed begins."""
    model = TrainedModel(GPT(config or GPTConfig(), len(world.vocabulary), world.context, seed, world.vocabulary.pad))
    model.name = "untrained"
    return model
