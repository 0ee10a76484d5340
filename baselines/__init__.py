"""Registers the models: objectives that are trained, and references that every score is compared with."""

from worldbench.core.registry import models

for _name, _line, _target, _options in (
    ("gpt", "transformer trained on the next token", "gpt:GPT", "gpt:GPTConfig"),
    (
        "nextlat",
        "the same transformer, trained also to predict its next hidden states",
        "nextlat:NextLat",
        "nextlat:NextLatConfig",
    ),
    (
        "bst",
        "belief state transformer: a forward and a backward encoder, trained on pairs of prefix and suffix",
        "bst:BST",
        "bst:BSTConfig",
    ),
    ("mtp", "the same transformer with heads for several tokens ahead, in parallel", "mtp:MTP", "mtp:MTPConfig"),
    (
        "jtp",
        "the same transformer, trained to predict several tokens ahead, each from the tokens before it",
        "jtp:JTP",
        "jtp:JTPConfig",
    ),
    ("gru", "recurrent reference: gated recurrent units", "recurrent:GRU", "recurrent:RecurrentConfig"),
    ("lstm", "recurrent reference: long short-term memory", "recurrent:LSTM", "recurrent:RecurrentConfig"),
):
    models.add(_name, _line, f"worldbench.baselines.{_target}", config=f"worldbench.baselines.{_options}")
models.add(
    "nextlat-rnn",
    "nextlat's latent dynamics alone, as a recurrent network: eval a nextlat run --as nextlat-rnn",
    "worldbench.baselines.latent_rnn:LatentRNN",
    reads="nextlat",
)
for _name, _line, _target, _options in (
    ("oracle", "the exact next-token law of the world: the ceiling", "references:Oracle", None),
    ("random-legal", "uniform over the legal tokens: the floor", "references:RandomLegal", None),
    ("uniform", "uniform over the whole vocabulary", "references:Uniform", None),
    ("ngram", "counts of the last few tokens in training documents", "ngram:NGram", "ngram:NGramConfig"),
    (
        "untrained",
        "a transformer with its initial weights",
        "untrained:make_untrained",
        "gpt:GPTConfig",
    ),
    (
        "corrupted",
        "the oracle with a damaged map or noise, which metrics must detect",
        "corrupted:Corrupted",
        "corrupted:CorruptedConfig",
    ),
):
    models.add(
        _name,
        _line,
        f"worldbench.baselines.{_target}",
        config=_options and f"worldbench.baselines.{_options}",
        trained=False,
        seeded=_options is not None,
    )
