"""Causal state swap: the hidden state of one prefix (the donor) replaces the hidden state of another prefix. Does the
model then predict the future of the donor?

Shape letters: N pairs, K tokens, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasHistories, HasLaw
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import ALL_LAYERS, Decoder, HasHidden, HasSwap, log_softmax
from worldbench.core.options import require_at_least, small
from worldbench.core.sampling import draw
from worldbench.core.world import OPEN, Automaton, Documents
from worldbench.metrics.acceptance import draw_pairs
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.gain import Gain, single_law_kl
from worldbench.metrics.suffixes import take
from worldbench.metrics.transition_consistency import FLOOR, law_kl


def futures(
    world: Able, donors: Documents, count: int, uniform: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens drawn from the exact law after each donor [N, K], the law before each token [N, K + 1, A], and bool [N, K
    + 1]: is the place before the end?"""
    actions = np.array(world.vocabulary.actions)
    states = world.after(donors)
    tokens = np.full((len(donors), count), world.vocabulary.actions[0], np.int64)
    laws, open_ = [], []
    for k in range(count + 1):
        law = world.law(states)
        laws.append(law)
        open_.append(np.asarray(world.outcome(states)) == OPEN)
        if k < count:
            tokens[:, k] = actions[draw(law, uniform[:, k])]
            states = world.step(states, tokens[:, k])
    return tokens, np.stack(laws, axis=1), np.stack(open_, axis=1)


def continued(decoder: Decoder, tokens: np.ndarray) -> np.ndarray:
    """Logits before each token and after the last: float32 [N, K + 1, V]."""
    first = decoder.logits[:, None]
    return np.concatenate([first, decoder.extend(tokens)], axis=1)


def change(before: np.ndarray, after: np.ndarray, open_: np.ndarray) -> np.ndarray:
    """KL(before || after) of laws from logits [N, K + 1, V], summed over the places that count: [N]."""
    p, q = np.maximum(log_softmax(before), FLOOR), np.maximum(log_softmax(after), FLOOR)
    return ((np.exp(p) * (p - q)).sum(axis=2) * open_).sum(axis=1)


def of_equal_length(documents: Documents) -> np.ndarray:
    """For each document the next document of the same length, and for the last of them the first: int [N]. A document
    that is alone gets itself."""
    order = np.argsort(documents.length, kind="stable")
    first = np.searchsorted(documents.length[order], documents.length[order])
    rank, size = np.arange(len(order)) - first, np.bincount(documents.length)[documents.length[order]]
    out = np.empty(len(order), np.int64)
    out[order] = order[first + (rank + 1) % size]
    return out


@dataclass(frozen=True, kw_only=True)
class SwapOptions:
    """How many hidden states are swapped, and how far the model continues."""

    swap_pairs: int = field(default=300, metadata=small(100))
    """Number of pairs of prefixes whose hidden states are swapped."""
    swap_tokens: int = 5
    """Number of tokens after a swap on which the model is scored."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "swap_pairs", "swap_tokens")


class StateSwap(Metric):
    """Two prefixes a and b of equal length. The hidden states of the last token of a are replaced by those of b, at
    every layer or at a single one (the layers above follow from it); earlier positions stay. Both prefixes then
    continue along tokens drawn from the exact law after b.

    `donor_law` = (KL_a - KL_swapped) / (KL_a - KL_b), where KL is taken from the exact law after b to the model's
    distribution after a, after the swap, and after b. 1: the future of b has appeared. 0: nothing has changed. The
    score is taken at all layers, over this and the next 5 tokens; single layers are in the series. Missing, with the
    reason, where the model predicts the future of b after b no better than after a, or than one law for all prefixes
    does (`kl_single_law`): no future of b could appear. This is the case for untrained networks.

    Controls: a random donor of the same length instead of b, still compared with the law after b (`donor_law_random`);
    the embedding alone, which is the token and the wrong layer; two histories of one state, where nothing may change
    (`same_state_change`, a KL, beside `other_state_change`); a swap with itself (`self_change`, 0 by construction).

    Sees: whether the state that can be read is the state in use. Cannot see: states that are kept over several
    positions, which attention still reaches. A model without a compact state scores low, as it should.
    """

    name, version, direction = "state_swap", 2, "higher"
    primary = "donor_law"
    needs, needs_of_model = (Automaton, HasLaw, HasHistories), (HasHidden, HasSwap)
    floor = None
    ceiling = "oracle"
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("donor_law", 1 - 1e-6, 1 + 1e-6), Expectation("donor_law_random", -1, 0.5),
            Expectation("same_state_change", -1e-6, 1e-6), Expectation("self_change", -1e-6, 1e-6),
        ),
    }  # fmt: skip

    damage: ClassVar[tuple[Damage, ...]] = (
        # A swap puts in exact states, also where those that probes read are blurred.
        Damage("donor_law", worse=("drift",), unchanged=("blur",), monotone=True),
        Damage("same_state_change", worse=("drift",), unchanged=("blur",), direction="lower"),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, c, seed = evaluation.world, evaluation.model, evaluation.settings, evaluation.seed
        actions = np.array(world.vocabulary.actions)
        other = draw_pairs(world, seed, c.swap_pairs, "swap", same=False)
        same = draw_pairs(world, seed, c.swap_pairs, "swap same", same=True)
        if not len(other) or not len(same):
            return (same if len(other) else other).empty_report(self.primary)
        layers = [*model.layers(other.first.tokens[:1]), ALL_LAYERS]
        usual = ALL_LAYERS
        uniform = streams.uniform(0, c.swap_pairs, c.swap_tokens, "evaluation", seed, "swap futures")

        def plain(documents: Documents, tokens: np.ndarray, model: Able = model) -> np.ndarray:
            return continued(model.decoder(documents.tokens, documents.length), tokens)

        def swapped(
            documents: Documents, donors: Documents, layer: str, tokens: np.ndarray, model: Able = model
        ) -> np.ndarray:
            return continued(model.swapped(documents, donors, layer), tokens)

        tokens, laws, open_ = futures(world, other.second, c.swap_tokens, uniform[: len(other)])
        width = laws.shape[2]

        def cost(logits: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
            kl = law_kl(laws[rows].reshape(-1, width), logits.reshape(-1, logits.shape[2]), actions).reshape(
                open_[rows].shape
            )
            return (kl * open_[rows]).sum(axis=1)

        after_a, after_b = plain(other.first, tokens), plain(other.second, tokens)
        cost_a, cost_b = cost(after_a), cost(after_b)
        by_layer = {layer: swapped(other.first, other.second, layer, tokens) for layer in layers}
        single = np.zeros(open_.shape)
        single[open_] = single_law_kl(laws[open_])
        gain = Gain(cost_b, cost_a, single.sum(axis=1), "pairs")
        share = {layer: gain.share(cost(logits)) for layer, logits in by_layer.items()}
        count = open_.sum(axis=1).astype(float)
        random = of_equal_length(other.second)
        met = np.flatnonzero(random != np.arange(len(other)))
        report = Report(
            {"donor_law": share[usual]},
            {"by_layer": {"layer": layers, "donor_law": [share[layer].value for layer in layers]}},
        )
        report.scores[f"donor_law_{layers[0]}" if len(layers) > 2 else "donor_law_hidden"] = share[layers[0]]
        report.scores["other_state_change"] = Score.ratio(change(after_a, by_layer[usual], open_), count, "pairs")
        report.scores["self_change"] = Score.ratio(
            change(after_a, swapped(other.first, other.first, usual, tokens), open_), count, "pairs"
        )
        if len(met):
            moved = swapped(take(other.first, met), take(other.second, random[met]), usual, tokens[met])
            report.scores["donor_law_random"] = gain.take(met).share(cost(moved, met))
        untrained = model.untrained(seed)
        if untrained is not None:
            costs = [cost(plain(documents, tokens, untrained)) for documents in (other.second, other.first)]
            without = Gain(costs[0], costs[1], gain.single, "pairs")
            moved = swapped(other.first, other.second, usual, tokens, untrained)
            report.scores["donor_law_untrained"] = without.share(cost(moved))
            report.scores["kl_donor_untrained"] = Score.mean(costs[0] / count, "pairs")
        tokens, _, same_open = futures(world, same.second, c.swap_tokens, uniform[: len(same)])
        gap = change(plain(same.first, tokens), swapped(same.first, same.second, usual, tokens), same_open)
        report.scores["same_state_change"] = Score.ratio(gap, same_open.sum(axis=1).astype(float), "pairs")
        costs = {"before": cost_a, "after": cost(by_layer[usual]), "donor": cost_b, "single_law": gain.single}
        for name, kl in costs.items():
            report.scores[f"kl_{name}"] = Score.mean(kl / count, "pairs")
        report.scores["redrawn"] = Score.mean(other.redrawn, "pairs")
        report.notes += other.dropped_notes(c.swap_pairs)
        report.notes.append("changes and kl are nats a token, log probabilities cut off at log 1e-9")
        return report


METRIC = StateSwap()
