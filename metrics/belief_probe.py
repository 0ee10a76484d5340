"""Belief probe (Shai et al. 2024, arXiv 2405.15943): is the exact belief an affine function of the hidden state?

Shape letters: M prefixes, S entries of the belief, D width, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasBeliefs, HasComponents, exact_law
from worldbench.core.errors import InputError
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import HasHidden, SequenceModel
from worldbench.core.options import small
from worldbench.core.world import Automaton, Documents, World
from worldbench.metrics.belief_geometry import correlation, distances, draw_pairs
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import Positions, layers_at, positions
from worldbench.metrics.linear_probe import fit_affine, fourier_features, mean_by_group, r_squared, top_components
from worldbench.metrics.options import ProbeOptions

LEAST = 1e-6


def distinct_prefixes(documents: Documents, at: Positions) -> tuple[np.ndarray, np.ndarray]:
    """One position of each distinct prefix (index [M]), and how often the prefix occurs [M].

    The bare prompt is left out. It is a single prefix that weighs as much as all prefixes of another length together.
    It would fall into one half, and dominate the score of the other.
    """
    inside = np.arange(documents.tokens.shape[1])[None, :] < at.prefix_length[:, None]
    rows = np.where(inside, documents.tokens[at.row], -1)
    _, first, count = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    order = order[at.prefix_length[first[order]] > documents.prompt_length[at.row[first[order]]]]
    return first[order], count[order].astype(float)


def halves(prefix_length: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool [M]: a random half of the prefixes of each length. Short prefixes are few and weigh much, so both halves get
    some of them."""
    shuffled = rng.permutation(len(prefix_length))
    ordered = shuffled[np.argsort(prefix_length[shuffled], kind="stable")]
    fit = np.zeros(len(prefix_length), bool)
    fit[ordered[::2]] = True
    return fit


def table_groups(documents: Documents, row: np.ndarray, prefix_length: np.ndarray, k: int) -> np.ndarray:
    """A number for the last k tokens of each prefix (all tokens of a shorter prefix): int [M]. Equal tokens have equal
    numbers."""
    column = prefix_length[:, None] - k + np.arange(k)[None, :]
    last = np.where(column >= 0, documents.tokens[row[:, None], np.maximum(column, 0)], -1)
    return np.unique(last, axis=0, return_inverse=True)[1].ravel()


def kl_of_beliefs(belief: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> float:
    """Weighted mean of KL(belief || prediction clipped to [1e-6, 1] and normalized)."""
    q = np.clip(predicted, LEAST, 1)
    q /= q.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(belief > 0, belief * np.log(belief / q), 0.0).sum(axis=1)
    return float(w @ kl / w.sum())


def components_of(world: World, belief: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """The function from beliefs [M, S] to the probabilities of components [M, C]; None if they are always the same."""
    if not isinstance(world, HasComponents) or world.components(belief).std(axis=0).max() <= LEAST:
        return None
    return world.components


@dataclass(frozen=True, kw_only=True)
class BeliefOptions(ProbeOptions):
    """The probes of the belief."""

    probe_features: int = field(default=0, metadata=small(100))
    """Number of random Fourier features of a second belief probe, which is nonlinear and has the same controls. 0: only
    the affine probe."""

    def __post_init__(self) -> None:
        if self.probe_features < 0:
            raise InputError(f"eval.probe_features must be 0 (no nonlinear probe) or more, not {self.probe_features}")


class BeliefProbe(Metric):
    """R^2 of an affine map from the hidden state to the exact belief.

    The distinct prefixes are split into halves. The belief of each prefix is predicted by the map that is fitted on the
    other half. A prefix is weighted by how often it occurs.

    Controls, always reported:
    - an untrained network (`_untrained`), and shuffled beliefs (`_shuffled`);
    - the exact next-token law as regressor (`law_r2`). Where this R^2 is 1, as on Mess3, the belief is an affine
      function of the law, and no claim about beliefs can be made;
    - tables of the last k tokens, as a frontier of R^2 against excess loss (`lookup`): what a model without state
      reaches at the same loss.
    `top_components_r2`: R^2 from the first S - 1 principal components alone. Is the belief most of what the hidden
    state represents?
    `distance_corr`: the correlation between distances of exact beliefs and distances of probed beliefs, over pairs of
    prefixes; also with the hidden states as they are, with the exact laws, and with the probe of an untrained network.
    `r2_nonlinear` (with the option probe_features): R^2 from random Fourier features of the hidden state, with the same
    controls. A flexible map may find what the network did not represent.

    `component_r2`: where the belief is also about a component, a hidden choice that no token changes (HasComponents),
    R^2 of its probability alone, with the controls `_untrained`, `_shuffled` and `component_law_r2`. The component of a
    mixture may be a small part of the variance of the belief, so that `r2` is high without it.

    Sees: that the belief is present. Cannot see: that the belief is used; nor, alone, more than a memory of the last
    tokens.
    """

    name, version, direction = "belief_probe", 2, "higher"
    primary = "r2"
    needs, needs_of_model, serves_labels = (Automaton, HasBeliefs), (HasHidden,), True
    floor = None
    ceiling = "oracle"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("r2", 0.9999, 1),
            Expectation("r2_all_layers", 0.9999, 1),
            Expectation("mse", 0, 1e-5),
            Expectation("kl", 0, 1e-2),
            Expectation("component_r2", 0.9999, 1),
            Expectation("distance_corr", 0.9999, 1),
            Expectation("r2_nonlinear", 0.999, 1),
            Expectation("r2_shuffled", -1, 0.2),
        ),
        "untrained": (
            Expectation("r2_shuffled", -np.inf, 0.2),
        ),  # its r2 may be anything: on golden mean the last token is the belief
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        *(
            Damage(name, worse=("blur",), unchanged=("drift",), monotone=True)
            for name in ("r2", "component_r2", "distance_corr", "r2_nonlinear")
        ),
        *(Damage(name, worse=("blur",), unchanged=("drift",), direction="lower") for name in ("mse", "kl")),
    )

    def applies(self, world: Able, model: SequenceModel) -> str | None:
        belief = world.beliefs(positions(world, world.sample(0, "test", 0, 1)).states)
        if belief.shape[1] < 2:
            return f"the belief of the world {world.name!r} is over a single state: there is nothing to know"
        if world.longest < 2:
            return f"documents of the world {world.name!r} have one token: no prediction follows any"
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, seed = evaluation.world, evaluation.model, evaluation.seed
        documents = world.sample(seed, "test", 0, evaluation.settings.probe_documents)
        at = positions(world, documents)
        chosen, w = distinct_prefixes(documents, at)
        row, length = at.row[chosen], at.prefix_length[chosen]
        states = at.states.take(chosen)
        belief, law = world.beliefs(states), exact_law(world, states)
        rng = streams.generator("evaluation", seed, "belief probe")
        half = halves(length, rng)

        def predict(
            x: np.ndarray, y: np.ndarray = belief, made: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
        ) -> np.ndarray:
            """Each half by the map fitted on the other. made: regressors from x and the rows that are fitted on."""
            out = np.empty(belief.shape)
            for fit in (half, ~half):
                z = x if made is None else made(x, fit)
                out[~fit] = fit_affine(z[fit], y[fit], w[fit])(z[~fit])
            return out

        def score(predicted: np.ndarray) -> Score:
            value = r_squared(belief, predicted, w)
            reason = "the belief is the same after every prefix: there is nothing to predict"
            return Score.missing(reason, len(w)) if np.isnan(value) else Score(value, len(w))

        def alike(code: np.ndarray) -> Score:
            """The correlation of distances of beliefs with distances of codes."""
            value = correlation(true, code)
            reason = (
                "all distances between beliefs, or between the codes of prefixes, are equal: no correlation is defined"
            )
            return Score.missing(reason, len(code)) if np.isnan(value) else Score(value, len(code))

        layers = layers_at(model, documents, row, length)
        h = layers[model.hidden_name]
        predicted = predict(h)
        shuffled = belief.copy()
        for part in (half, ~half):
            shuffled[part] = belief[part][rng.permutation(int(part.sum()))]
        report = Report({"r2": score(predicted)})
        scores = report.scores
        scores["mse"] = Score(float(w @ ((predicted - belief) ** 2).mean(axis=1) / w.sum()), len(w))
        if (belief >= 0).all():
            scores["kl"] = Score(kl_of_beliefs(belief, predicted, w), len(w))
        else:
            report.notes.append("no kl: beliefs of a generalized process are no probabilities")
        scores["r2_all_layers"] = score(predict(np.concatenate(list(layers.values()), axis=1)))
        scores["r2_shuffled"] = score(predict(h, shuffled))
        s = belief.shape[1]
        scores["top_components_r2"] = score(predict(h, made=lambda x, fit: x @ top_components(x[fit], s - 1, w[fit])))
        codes = {"": predicted, "_hidden": h}
        regressors = {"": h}
        if law is not None:
            scores["law_r2"] = score(predict(law))
            codes["_law"] = law
            regressors["_law"] = law
        untrained = model.untrained(seed)
        if untrained is not None:
            plain = layers_at(untrained, documents, row, length)
            regressors["_untrained"] = plain[untrained.hidden_name]
            codes["_untrained"] = predict(plain[untrained.hidden_name])
            scores["r2_untrained"] = score(codes["_untrained"])
            scores["r2_all_layers_untrained"] = score(predict(np.concatenate(list(plain.values()), axis=1)))
        else:
            report.notes.append(f"no untrained control: {model.name!r} has no untrained twin")
        component = components_of(world, belief)
        if component is not None:
            parts = {"component_r2": predicted, "component_r2_shuffled": predict(h, shuffled)}
            if law is not None:
                parts["component_law_r2"] = predict(law)
            if untrained is not None:
                parts["component_r2_untrained"] = codes["_untrained"]
            for name, of_belief in parts.items():
                scores[name] = Score(r_squared(component(belief), component(of_belief), w), len(w))
        pairs = draw_pairs(w, streams.generator("evaluation", seed, "belief distances"))
        apart = {name: distances(code, pairs) for name, code in codes.items()}
        true = distances(belief, pairs)
        scores |= {f"distance_corr{name}": alike(d) for name, d in apart.items()}
        if (features := evaluation.settings.probe_features) > 0:

            def wider(x: np.ndarray, fit: np.ndarray) -> np.ndarray:
                return fourier_features(x, fit, features, streams.generator("evaluation", seed, "belief features"))

            for name, x in regressors.items():
                scores[f"r2_nonlinear{name}"] = score(predict(x, made=wider))
            scores["r2_nonlinear_shuffled"] = score(predict(h, shuffled, wider))
        report.series["by_layer"] = {"layer": list(layers), "r2": [score(predict(x)).value for x in layers.values()]}
        report.series["lookup"] = self._lookup(world, documents, row, length, belief, law, w, component)
        report.notes.append(
            f"hidden state: {model.hidden_name}; {len(w)} distinct prefixes, each predicted by a "
            "map fitted on the other half of them"
        )
        report.arrays = {"belief": belief, "predicted": predicted, "weight": w, "prefix_length": length}
        report.arrays |= {"distance_belief": true.astype(np.float32)}
        report.arrays |= {f"distance{name or '_probed'}": d.astype(np.float32) for name, d in apart.items()}
        return report

    @staticmethod
    def _lookup(
        world: World,
        documents: Documents,
        row: np.ndarray,
        length: np.ndarray,
        belief: np.ndarray,
        law: np.ndarray | None,
        w: np.ndarray,
        component: Callable[[np.ndarray], np.ndarray] | None,
    ) -> dict[str, list]:
        """By k: R^2 of the mean belief given the last k tokens, and the excess loss of the mean law given them.

        A memory of k tokens can do no better, so the means are over all prefixes; a prefix of at most k tokens is known
        whole. `component_r2` is the R^2 of the probability of the component, if there is one.
        """
        out: dict[str, list] = {"k": [], "r2": [], "excess": []}
        for k in range(1, world.input_length):
            group = table_groups(documents, row, length, k)
            n = int(group.max()) + 1
            mean, _ = mean_by_group(group, belief, w, n)
            out["k"].append(k)
            out["r2"].append(r_squared(belief, mean[group], w))
            if component is not None:
                out.setdefault("component_r2", []).append(r_squared(component(belief), component(mean[group]), w))
            if law is not None:
                mean, _ = mean_by_group(group, law, w, n)
                with np.errstate(divide="ignore", invalid="ignore"):
                    kl = np.where(law > 0, law * np.log(law / mean[group]), 0.0).sum(axis=1)
                out["excess"].append(float(w @ kl / w.sum()))
        return out if law is not None else {k: v for k, v in out.items() if k != "excess"}


METRIC = BeliefProbe()
