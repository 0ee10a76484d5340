"""Current-state probe (Vafa et al. 2024): can a linear map read the state off the hidden state?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import HasHidden, SequenceModel
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import Positions, hidden_at, layers_at, positions
from worldbench.metrics.linear_probe import fit_affine, fit_discriminant, r_squared


def _targets(world: Automaton, at: Positions) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The classes and the coordinates of states, by name."""
    found = world.targets(at.states)
    classes = {k: v for k, v in found.items() if v.dtype.kind in "iu"}
    return classes, {k: v for k, v in found.items() if v.dtype.kind == "f"}


class StateProbe(Metric):
    """Accuracy of a linear classifier from the hidden state to the class of the state (the intersection), and R^2 of an
    affine map to its coordinates.

    The probe is fitted on one half of the held-out documents and scored on the other. (The released probe splits the
    tokens of the same rides, and leaks.) Controls, always reported: an untrained network, and shuffled labels.
    Positions of a class that no fitted position has are left out.

    Sees: whether the state can be read linearly. Cannot see: whether the model uses it.
    """

    name, version, direction = "state_probe", 1, "higher"
    primary = "node"
    needs, needs_of_model, serves_labels = (Automaton,), (HasHidden,), True
    floor = None
    ceiling = "oracle"
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
        fit = at.row < n // 2
        report = Report(
            {},
            notes=[
                (
                    f"hidden state: {model.hidden_name}; fitted on {int(fit.sum())} positions of {n // 2} "
                    "documents, scored on the others'"
                )
            ],
        )
        h = hidden_at(model, documents, at.row, at.prefix_length)
        untrained = model.untrained(seed)
        plain = None if untrained is None else hidden_at(untrained, documents, at.row, at.prefix_length)
        if plain is None:
            report.notes.append(f"no untrained control: {model.name!r} has no untrained twin")

        def accuracy(x: np.ndarray, label: np.ndarray, name: str, shuffled: bool = False) -> np.ndarray:
            order = (
                streams.generator("evaluation", seed, "probe shuffle").permutation(int(fit.sum()))
                if shuffled
                else slice(None)
            )
            probe = fit_discriminant(x[fit], label[fit][order], world.classes(name))
            return probe(x[~fit]).argmax(axis=1) == label[~fit]

        seen = {
            name: np.bincount(label[fit], minlength=world.classes(name))[label[~fit]] > 0
            for name, label in classes.items()
        }

        def by_document(hit: np.ndarray, name: str) -> Score:
            row = at.row[~fit][seen[name]] - n // 2
            return Score.ratio(
                np.bincount(row, hit[seen[name]], minlength=n - n // 2),
                np.bincount(row, minlength=n - n // 2).astype(float),
            )

        for name, label in classes.items():
            report.scores[name] = by_document(accuracy(h, label, name), name)
            if plain is not None:
                report.scores[f"{name}_untrained"] = by_document(accuracy(plain, label, name), name)
            report.scores[f"{name}_shuffled"] = by_document(accuracy(h, label, name, shuffled=True), name)
            if (unseen := float((~seen[name]).mean())) > 0:
                report.notes.append(
                    f"{unseen:.1%} of the scored positions are left out: no fitted one has their {name}"
                )
        for name, y in coordinates.items():
            for suffix, x in (("", h), ("_untrained", plain)):
                if x is None:
                    continue
                predicted = fit_affine(x[fit], y[fit])(x[~fit])
                gap = np.linalg.norm(predicted - y[~fit], axis=1)
                r2 = r_squared(y[~fit], predicted)
                reason = f"{name} is the same at every position: there is nothing to predict"
                report.scores[f"{name}_r2{suffix}"] = (
                    Score.missing(reason, len(gap)) if np.isnan(r2) else Score(r2, len(gap))
                )
                report.scores[f"{name}_median_error{suffix}"] = Score(float(np.median(gap)), len(gap))
        layers = layers_at(model, documents, at.row, at.prefix_length)
        report.series["by_layer"] = {"layer": list(layers)} | {
            k: [float(accuracy(x, v, k)[seen[k]].mean()) for x in layers.values()] for k, v in classes.items()
        }
        return report


METRIC = StateProbe()
