"""Models and objectives, and the references that every score is read against."""

from worldbench.core.registry import models

models.add("gpt", "transformer trained on the next token", "worldbench.baselines.gpt:GPT", config="worldbench.baselines.gpt:GPTConfig")
models.add(
    "nextlat",
    "the same transformer, trained also to predict its next hidden states",
    "worldbench.baselines.nextlat:NextLat",
    config="worldbench.baselines.nextlat:NextLatConfig",
)
for _name, _line, _target, _options in (
    ("oracle", "the world's exact next-token law: the ceiling", "references:Oracle", None),
    ("random-legal", "uniform over what the world's rule allows: the floor", "references:RandomLegal", None),
    ("uniform", "uniform over the whole vocabulary: knows nothing", "references:Uniform", None),
    ("ngram", "the last few tokens, counted in training documents: knows no state", "ngram:NGram", "ngram:NGramConfig"),
    ("untrained", "a freshly initialised transformer: what the architecture has for nothing", "untrained:make_untrained", "gpt:GPTConfig"),
    ("corrupted", "the oracle with a damaged map, or noise: what a metric must notice", "corrupted:Corrupted", "corrupted:CorruptedConfig"),
):
    models.add(
        _name,
        _line,
        f"worldbench.baselines.{_target}",
        config=_options and f"worldbench.baselines.{_options}",
        trained=False,
        seeded=_options is not None,
    )
