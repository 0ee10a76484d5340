"""Current-state probe (Vafa et al. 2024): can a linear map read the state off the hidden state?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.model import HasHidden, SequenceModel
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import Positions, hidden_at, layers_at, positions
from worldbench.metrics.linear_probe import fit_affine, fit_discriminant, r_squared
from worldbench.metrics.probe_scores import UNITS, Part, refitted, single, wider


def _targets(world: Automaton, at: Positions) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The classes and the coordinates of states, by name."""
    found = world.targets(at.states)
    classes = {k: v for k, v in found.items() if v.dtype.kind in "iu"}
    return classes, {k: v for k, v in found.items() if v.dtype.kind == "f"}


class StateProbe(Metric):
    """Accuracy of a linear classifier from the hidden state to the class of the state (the intersection), and R^2 of an
    affine map to its coordinates.

    Each half of the held-out documents is scored by the probe that is fitted on the other half. (The released probe
    splits the tokens of the same rides, and leaks.) The intervals are over documents, with new fits (`probe_scores`).
    Controls, always reported: an untrained network, and shuffled labels. The controls have no interval: each evaluation
    draws another network and another order. Positions of a class that no fitted position has are left out.

    Sees: whether the state can be read linearly. Cannot see: whether the model uses it.
    """

    name, version, direction = "state_probe", 2, "higher"
    primary, beside = "node", ("node_untrained",)
    directions: ClassVar[dict[str, Direction]] = {"*_untrained": "none", "*_r2": "higher", "*_median_error": "lower"}
    needs, needs_of_model, serves_labels = (Automaton,), (HasHidden,), True
    floor = None
    ceiling = "oracle"
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("node", 0.999, 1),
            Expectation("metres_r2", 0.999, 1),
            Expectation("node_shuffled", 0, 0.2),
            Expectation("moves_to_go_r2", 0.999, 1),
            Expectation("ways_r2", 0.999, 1),
        ),
        "untrained": (
            Expectation("node", 0, 0.9),
            Expectation("moves_to_go_r2", -np.inf, 0.9),
            Expectation("ways_r2", -np.inf, 0.9),
        ),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("node", worse=("blur",), unchanged=("drift",), monotone=True),
        *(Damage(f"{name}_r2", worse=("blur",), unchanged=("drift",)) for name in ("metres", "moves_to_go", "ways")),
    )

    def applies(self, world: Automaton, model: SequenceModel) -> str | None:
        one = world.sample(0, "test", 0, 1)
        classes, coordinates = _targets(world, positions(world, one))
        return None if classes or coordinates else f"the world {world.name!r} names no state to be probed for"

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, seed = evaluation.world, evaluation.model, evaluation.seed
        n = evaluation.settings.probe_documents
        documents = world.sample(seed, "test", 0, n)
        at = positions(world, documents)
        classes, coordinates = _targets(world, at)
        half = at.row % 2 == 0
        report = Report(
            {},
            notes=[
                f"hidden state: {model.hidden_name}; {len(at.row)} positions of {n} documents, each predicted by a "
                "probe that is fitted on the other half of the documents"
            ],
        )

        def values(x: np.ndarray, part: Part) -> dict[str, float]:
            kept = part.kept(n, 2)[at.row]
            out = {}
            for name, label in classes.items():
                hit, seen = classified(x, label, world.classes(name), half, kept)
                out[name] = float(hit.sum() / seen.sum()) if seen.any() else np.nan
            for name, y in coordinates.items():
                predicted = np.zeros(y.shape)
                for fit in (half & kept, ~half & kept):
                    predicted[kept & ~fit] = fit_affine(x[fit], y[fit])(x[kept & ~fit])
                out[f"{name}_r2"] = r_squared(y[kept], predicted[kept])
                out[f"{name}_median_error"] = float(np.median(np.linalg.norm(predicted[kept] - y[kept], axis=1)))
            return out

        h = hidden_at(model, documents, at.row, at.prefix_length)
        scores = refitted(lambda part: values(h, part), n, _bounds)
        untrained = model.untrained(seed)
        plain = None if untrained is None else hidden_at(untrained, documents, at.row, at.prefix_length)
        if plain is None:
            report.notes.append(f"no untrained control: {model.name!r} has no untrained twin")
        else:
            scores |= {f"{k}_untrained": single(v, n) for k, v in values(plain, Part()).items()}
        everything = np.ones(len(at.row), bool)
        for name, label in classes.items():
            hit, seen = classified(h, label, world.classes(name), half, everything)
            share = Score.share(np.bincount(at.row, hit, n), np.bincount(at.row, seen, n), UNITS)
            scores[name] = wider(scores[name], share)
            mixed = label.copy()
            rng = streams.generator("evaluation", seed, "probe shuffle")
            for part in (half, ~half):
                mixed[part] = label[part][rng.permutation(int(part.sum()))]
            hit, known = classified(h, label, world.classes(name), half, everything, mixed)
            scores[f"{name}_shuffled"] = single(float(hit.sum() / known.sum()) if known.any() else np.nan, n)
            if (unseen := float((~seen).mean())) > 0:
                report.notes.append(f"{unseen:.1%} of the positions are left out: no fitted one has their {name}")
        report.scores = scores
        layers = layers_at(model, documents, at.row, at.prefix_length)
        report.series["by_layer"] = {"layer": list(layers)} | {
            name: [
                float(hit.sum() / max(int(seen.sum()), 1))
                for hit, seen in (classified(x, label, world.classes(name), half, everything) for x in layers.values())
            ]
            for name, label in classes.items()
        }
        return report


def classified(
    x: np.ndarray, label: np.ndarray, classes: int, half: np.ndarray, kept: np.ndarray, fitted: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Each half of the rows is classified by the discriminant that is fitted on the other half. bool [M] each: is the
    class right? Does a fitted row have this class? Both are False where `kept` is False.

    fitted: other labels to fit on; None: `label`.
    """
    fitted = label if fitted is None else fitted
    hit, seen = np.zeros(len(label), bool), np.zeros(len(label), bool)
    for fit in (half & kept, ~half & kept):
        scored = kept & ~fit
        probe = fit_discriminant(x[fit], fitted[fit], classes)
        seen[scored] = np.bincount(fitted[fit], minlength=classes)[label[scored]] > 0
        hit[scored] = seen[scored] & (probe(x[scored]).argmax(axis=1) == label[scored])
    return hit, seen


def _bounds(name: str) -> tuple[float, float]:
    """The least and the greatest possible value of a score."""
    return (0.0, np.inf) if name.endswith("_median_error") else (-np.inf if name.endswith("_r2") else 0.0, 1.0)


METRIC = StateProbe()
