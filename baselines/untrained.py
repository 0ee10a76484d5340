"""A freshly initialised transformer, as a model: what the architecture has for nothing."""

from __future__ import annotations

from worldbench.baselines.gpt import GPT, GPTConfig
from worldbench.baselines.trained import TrainedModel
from worldbench.core.world import World


def make_untrained(world: World, config: GPTConfig | None = None, seed: int = 0) -> TrainedModel:
    """The network that a GPT run with these options and this seed starts from."""
    model = TrainedModel(GPT(config or GPTConfig(), len(world.vocabulary), world.context, seed, world.vocabulary.pad))
    model.name = "untrained"
    return model
