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
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report
from worldbench.core.model import HasHidden, SequenceModel
from worldbench.core.options import small
from worldbench.core.world import Automaton, Documents, World
from worldbench.metrics.belief_geometry import correlation, distances, draw_pairs
from worldbench.metrics.belief_lookup import frontier
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import Positions, layers_at, positions
from worldbench.metrics.linear_probe import fourier_features, left_out, r_squared, top_components
from worldbench.metrics.options import ProbeOptions
from worldbench.metrics.probe_scores import Occurrences, Part, refitted, single

LEAST = 1e-6


def distinct_prefixes(documents: Documents, at: Positions) -> tuple[np.ndarray, Occurrences]:
    """One position of each distinct prefix (index [M]), and the documents in which the prefixes occur.

    The bare prompt is left out. It is a single prefix that weighs as much as all prefixes of another length together,
    and would dominate the score.
    """
    inside = np.arange(documents.tokens.shape[1])[None, :] < at.prefix_length[:, None]
    rows = np.where(inside, documents.tokens[at.row], -1)
    _, first, number = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    order = order[at.prefix_length[first[order]] > documents.prompt_length[at.row[first[order]]]]
    place = np.full(len(first), -1)
    place[order] = np.arange(len(order))
    row = place[number.ravel()]
    return first[order], Occurrences(at.row[row >= 0], row[row >= 0], len(documents), len(order))


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

    The belief of each distinct prefix is predicted by the map that is fitted on all other prefixes. A prefix is
    weighted by how often it occurs. The intervals are over documents, with new fits (`probe_scores`). Scores of
    shuffled beliefs and of an untrained network have no interval: each evaluation draws another order and another
    network.

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

    name, version, direction = "belief_probe", 3, "higher"
    primary, beside = "r2", ("r2_untrained", "law_r2")
    directions: ClassVar[dict[str, Direction]] = {"r2_all_layers": "higher", "top_components_r2": "higher"}
    needs, needs_of_model, serves_labels = (Automaton, HasBeliefs), (HasHidden,), True
    floor = None
    ceiling = "oracle"
    apart = True
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
        n, at = len(documents), positions(world, documents)
        chosen, where = distinct_prefixes(documents, at)
        row, length, states = at.row[chosen], at.prefix_length[chosen], at.states.take(chosen)
        belief, law, w = world.beliefs(states), exact_law(world, states), where.weight()
        component, features = components_of(world, belief), evaluation.settings.probe_features
        pairs = draw_pairs(w, streams.generator("evaluation", seed, "belief distances"))
        layers = layers_at(model, documents, row, length)
        h, joined = layers[model.hidden_name], np.concatenate(list(layers.values()), axis=1)

        def wider(x: np.ndarray) -> np.ndarray:
            return fourier_features(x, features, streams.generator("evaluation", seed, "belief features"))

        def values(part: Part) -> dict[str, float]:
            """The scores by name, on the documents and the pairs that the part keeps."""
            weight = where.weight(part.kept(n))
            k = weight > 0
            y, v, x = belief[k], weight[k], h[k]
            code = np.zeros(belief.shape)
            code[k] = predicted = left_out(x, y, v)
            out = {"r2": r_squared(y, predicted, v)}
            out["mse"] = float(v @ ((predicted - y) ** 2).mean(axis=1) / v.sum())
            if (belief >= 0).all():
                out["kl"] = kl_of_beliefs(y, predicted, v)
            top = x @ top_components(x, belief.shape[1] - 1, v)
            regressors = {"r2_all_layers": joined[k], "top_components_r2": top}
            codes = {"": code, "_hidden": h}
            if features > 0:
                regressors["r2_nonlinear"] = wider(x)
            if law is not None:
                codes["_law"], regressors["law_r2"] = law, law[k]
                if features > 0:
                    regressors["r2_nonlinear_law"] = wider(law[k])
            found = {"": predicted} | {name: left_out(z, y, v) for name, z in regressors.items()}
            out |= {name: r_squared(y, found[name], v) for name in regressors}
            if component is not None:
                of = {"component_r2": "", "component_law_r2": "law_r2"}
                out |= {a: r_squared(component(y), component(found[b]), v) for a, b in of.items() if b in found}
            kept = part.kept(len(pairs[0]))
            again = (weight / w)[pairs[0]] * (weight / w)[pairs[1]] * kept
            true = distances(belief, pairs)
            return out | {f"distance_corr{a}": correlation(true, distances(b, pairs), again) for a, b in codes.items()}

        report = Report(refitted(values, n, _bounds))
        scores, predicted = report.scores, left_out(h, belief, w)
        if not (belief >= 0).all():
            report.notes.append("no kl: beliefs of a generalized process are no probabilities")
        codes = {"": predicted, "_hidden": h} | ({"_law": law} if law is not None else {})
        shuffled = belief[streams.generator("evaluation", seed, "belief probe").permutation(len(belief))]
        controls: dict[str, tuple[np.ndarray, np.ndarray | None, np.ndarray]] = {"shuffled": (h, None, shuffled)}
        untrained = model.untrained(seed)
        if untrained is None:
            report.notes.append(f"no untrained control: {model.name!r} has no untrained twin")
        else:
            plain = layers_at(untrained, documents, row, length)
            controls["untrained"] = (plain[untrained.hidden_name], np.concatenate(list(plain.values()), axis=1), belief)
        for name, (x, all_layers, y) in controls.items():
            code = left_out(x, y, w)
            scores[f"r2_{name}"] = single(r_squared(belief, code, w), n)
            if component is not None:
                scores[f"component_r2_{name}"] = single(r_squared(component(belief), component(code), w), n)
            if features > 0:
                scores[f"r2_nonlinear_{name}"] = single(r_squared(belief, left_out(wider(x), y, w), w), n)
            if all_layers is not None:
                codes[f"_{name}"] = code
                scores[f"r2_all_layers_{name}"] = single(r_squared(belief, left_out(all_layers, y, w), w), n)
                scores[f"distance_corr_{name}"] = single(
                    correlation(distances(belief, pairs), distances(code, pairs)), n
                )
        r2 = [r_squared(belief, left_out(x, belief, w), w) for x in layers.values()]
        report.series["by_layer"] = {"layer": list(layers), "r2": r2}
        report.series["lookup"] = frontier(
            world, documents, row, length, belief, law, w, float(w.sum()) / len(at.row), component
        )
        report.notes.append(
            f"hidden state: {model.hidden_name}; {len(w)} distinct prefixes, each predicted by a map that is fitted on "
            "the others"
        )
        report.arrays = {"belief": belief, "predicted": predicted, "weight": w, "prefix_length": length}
        report.arrays |= {
            f"distance{name or '_probed'}": distances(code, pairs).astype(np.float32)
            for name, code in {"_belief": belief, **codes}.items()
        }
        return report


def _bounds(name: str) -> tuple[float, float]:
    """The least and the greatest possible value of a score."""
    if name in ("mse", "kl"):
        return 0.0, np.inf
    return (-1.0 if name.startswith("distance_corr") else -np.inf), 1.0


METRIC = BeliefProbe()
