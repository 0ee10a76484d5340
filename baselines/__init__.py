"""Registers the models: objectives that are trained, and references that every score is compared with."""

from worldbench.core.registry import models

for _name, _line, _target, _options in (
    ("gpt", "a transformer that is trained to predict the next token", "gpt:GPT", "options:GPTConfig"),
    (
        "nextlat",
        "gpt that is also trained to predict its own next hidden states",
        "nextlat:NextLat",
        "options:NextLatConfig",
    ),
    (
        "bst",
        "the belief state transformer: a forward and a backward encoder, trained on pairs of a prefix and a suffix",
        "bst:BST",
        "options:BSTConfig",
    ),
    (
        "mtp",
        "gpt with several heads, which predict several tokens ahead independently of each other",
        "mtp:MTP",
        "options:MTPConfig",
    ),
    (
        "jtp",
        "gpt that is also trained to predict several tokens ahead, each from the true tokens before it",
        "jtp:JTP",
        "options:JTPConfig",
    ),
    ("gru", "a recurrent network of gated recurrent units", "recurrent:GRU", "options:RecurrentConfig"),
    ("lstm", "a recurrent network of long short-term memory cells", "recurrent:LSTM", "options:RecurrentConfig"),
):
    models.add(_name, _line, f"worldbench.baselines.{_target}", config=f"worldbench.baselines.{_options}")
models.add(
    "nextlat-rnn",
    "the latent dynamics of a nextlat run, used as a recurrent network: worldbench eval RUN --as nextlat-rnn",
    "worldbench.baselines.latent_rnn:LatentRNN",
    reads="nextlat",
)
for _name, _line, _target, _options in (
    (
        "oracle",
        "the exact probability of each next token in the world (the ceiling of most metrics)",
        "references:Oracle",
        None,
    ),
    (
        "random-legal",
        "the same probability for every legal token (the floor of many metrics)",
        "references:RandomLegal",
        None,
    ),
    ("uniform", "the same probability for every token of the vocabulary", "references:Uniform", None),
    (
        "ngram",
        "next-token frequencies after the last four tokens (a 5-gram; model.order), counted in training documents",
        "ngram:NGram",
        "ngram:NGramConfig",
    ),
    (
        "untrained",
        "a transformer with random initial weights",
        "untrained:make_untrained",
        "options:GPTConfig",
    ),
    (
        "corrupted",
        "the oracle with a damaged map or with noise; metrics must detect the damage",
        "corrupted:Corrupted",
        "corrupted_config:CorruptedConfig",
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
