"""Belief probe (Shai et al. 2024, arXiv 2405.15943): is the exact belief an affine function of the hidden state? With every control that the claim needs.

Shape letters: M prefixes, S entries of the belief, D width, A actions.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.world import Documents, World
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import Positions, layers_at, positions
from worldbench.metrics.linear_probe import fit_affine, mean_by_group, r_squared, top_components

LEAST = 1e-6


def distinct_prefixes(documents: Documents, at: Positions) -> tuple[np.ndarray, np.ndarray]:
    """One position of each distinct prefix (index [M]), and how often the prefix occurs [M]."""
    inside = np.arange(documents.tokens.shape[1])[None, :] < at.prefix_length[:, None]
    rows = np.where(inside, documents.tokens[at.row], -1)
    _, first, count = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    return first[order], count[order].astype(float)


def table_groups(documents: Documents, row: np.ndarray, prefix_length: np.ndarray, k: int) -> np.ndarray:
    """A label of the last k tokens of each prefix (fewer where the prefix is shorter): int [M]."""
    column = prefix_length[:, None] - k + np.arange(k)[None, :]
    last = np.where(column >= 0, documents.tokens[row[:, None], np.maximum(column, 0)], -1)
    return np.unique(last, axis=0, return_inverse=True)[1].ravel()


def kl_of_beliefs(belief: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> float:
    """Weighted mean of KL(belief || prediction clipped to [1e-6, 1] and normalised)."""
    q = np.clip(predicted, LEAST, 1)
    q /= q.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(belief > 0, belief * np.log(belief / q), 0.0).sum(axis=1)
    return float(w @ kl / w.sum())


class BeliefProbe(Metric):
    """R^2 of an affine map from the hidden state to the exact belief, on prefixes that the map was not fitted on, weighted by how often they occur.

    Controls, always printed: an untrained network; shuffled labels; the exact next-token law as regressor (where it reaches 1, as on Mess3, the belief is an
    affine function of the law and no claim about belief can be made); tables of the last k tokens, as a frontier of R^2 against excess loss (`lookup`): what
    a model without state would reach at that loss. `top_components_r2`: from the top S - 1 principal components alone: is the belief what the representation
    mostly is? Sees: linear presence. Cannot see: use; nor, alone, more than a memory of the last tokens.
    """

    name, version, direction = "belief_probe", 1, "higher"
    line = "is the exact belief an affine function of the hidden state"
    primary = "r2"
    floor = None
    ceiling = "oracle"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("r2", 0.9999, 1), Expectation("kl", 0, 1e-2), Expectation("r2_shuffled", -1, 0.2)),
        "untrained": (Expectation("r2", -np.inf, 0.99),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (Damage("r2", "any", "any", "any", "any", blur="worse", monotone=True),)

    def applies(self, world: World, model: SequenceModel) -> str | None:
        if not model.hidden_name:
            return f"the model {model.name!r} has no hidden states"
        if "belief" not in world.targets(positions(world, world.sample(0, "test", 0, 1)).states):
            return f"the world {world.name!r} has no belief: its state is known after every prefix"
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, seed = evaluation.world, evaluation.model, evaluation.seed
        documents = world.sample(seed, "test", 0, evaluation.settings.probe_documents)
        at = positions(world, documents)
        chosen, w = distinct_prefixes(documents, at)
        row, length = at.row[chosen], at.prefix_length[chosen]
        states = at.states.take(chosen)
        belief, law = world.targets(states)["belief"], world.law(states)
        rng = streams.generator("evaluation", seed, "belief probe")
        fit = np.zeros(len(chosen), bool)
        fit[rng.permutation(len(chosen))[: len(chosen) // 2]] = True
        test = ~fit

        def predict(x: np.ndarray, y: np.ndarray = belief) -> np.ndarray:
            return fit_affine(x[fit], y[fit], w[fit])(x[test])

        def score(predicted: np.ndarray) -> Score:
            return Score(r_squared(belief[test], predicted, w[test]), int(test.sum()))

        layers = layers_at(model, documents, row, length)
        h = layers[model.hidden_name]
        predicted = predict(h)
        shuffled = belief.copy()
        shuffled[fit] = belief[fit][rng.permutation(int(fit.sum()))]
        report = Report(
            {
                "r2": score(predicted),
                "mse": Score(float(w[test] @ ((predicted - belief[test]) ** 2).mean(axis=1) / w[test].sum()), int(test.sum())),
                "kl": Score(kl_of_beliefs(belief[test], predicted, w[test]), int(test.sum())),
                "r2_all_layers": score(predict(np.concatenate(list(layers.values()), axis=1))),
                "r2_shuffled": score(predict(h, shuffled)),
            }
        )
        s = belief.shape[1]
        if s > 1:
            report.scores["top_components_r2"] = score(predict(h @ top_components(h[fit], s - 1, w[fit])))
        if law is not None:
            report.scores["law_r2"] = score(predict(law))
        untrained = model.untrained(seed)
        if untrained is not None:
            plain = layers_at(untrained, documents, row, length)
            report.scores["r2_untrained"] = score(predict(plain[untrained.hidden_name]))
            report.scores["r2_all_layers_untrained"] = score(predict(np.concatenate(list(plain.values()), axis=1)))
        else:
            report.notes.append(f"no untrained control: {model.name!r} has no untrained twin")
        report.series["by_layer"] = {"layer": list(layers), "r2": [score(predict(x)).value for x in layers.values()]}
        report.series["lookup"] = self._lookup(world, documents, row, length, belief, law, w, test)
        report.notes.append(f"hidden state: {model.hidden_name}; {int(fit.sum())} distinct prefixes fitted, {int(test.sum())} scored, none in both")
        report.arrays = {"belief": belief[test], "predicted": predicted, "weight": w[test], "prefix_length": length[test]}
        return report

    @staticmethod
    def _lookup(
        world: World, documents: Documents, row: np.ndarray, length: np.ndarray, belief: np.ndarray, law: np.ndarray | None, w: np.ndarray, test: np.ndarray
    ) -> dict[str, list]:
        """By k: R^2 of the mean belief given the last k tokens, and the excess loss of the mean law given them: the best that a memory of k tokens can do, so
        the means are over all prefixes; a prefix of at most k tokens is known whole."""
        out: dict[str, list] = {"k": [], "r2": [], "excess": []}
        for k in range(1, world.context - 1):
            group = table_groups(documents, row, length, k)
            n = int(group.max()) + 1
            mean, _ = mean_by_group(group, belief, w, n)
            out["k"].append(k)
            out["r2"].append(r_squared(belief[test], mean[group[test]], w[test]))
            if law is not None:
                mean, _ = mean_by_group(group, law, w, n)
                with np.errstate(divide="ignore", invalid="ignore"):
                    kl = np.where(law > 0, law * np.log(law / mean[group]), 0.0).sum(axis=1)
                out["excess"].append(float(w[test] @ kl[test] / w[test].sum()))
        return out if law is not None else {k: v for k, v in out.items() if k != "excess"}


METRIC = BeliefProbe()
