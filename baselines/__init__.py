"""Models and objectives, and the references that every score is read against."""

from worldbench.core.registry import models

models.add("gpt", "transformer trained on the next token", "worldbench.baselines.gpt:GPT", config="worldbench.baselines.gpt:GPTConfig")
models.add(
    "nextlat",
    "the same transformer, trained also to predict its next hidden states",
    "worldbench.baselines.nextlat:NextLat",
    config="worldbench.baselines.nextlat:NextLatConfig",
)
models.add("oracle", "the world's exact next-token law: the ceiling", "worldbench.baselines.references:Oracle", trained=False)
models.add("random-legal", "uniform over what the world's rule allows: the floor", "worldbench.baselines.references:RandomLegal", trained=False)
