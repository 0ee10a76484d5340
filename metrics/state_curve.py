"""State curve: in which layer of the model can the state of the world first be read linearly?

Shape letters: M rows (positions, or distinct prefixes), O occurrences of rows in documents, D documents, L layers,
G groups of documents, B draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasBeliefs
from worldbench.core.errors import InputError
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import HasHidden, SequenceModel
from worldbench.core.options import LATER, require_at_least, small
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import layers_at, positions
from worldbench.metrics.linear_probe import fit_affine, fit_discriminant, left_out

DRAWS, FOLDS, GROUPS = 1000, 5, 10
"""FOLDS: parts of the rows that are predicted together. GROUPS: parts of the documents that are left out in turn."""
NOTHING = 0.01
"""If the best layer of an untrained network misses less than this of a perfect score, there is nothing to gain."""


@dataclass(frozen=True, kw_only=True)
class CurveOptions:
    """What the state is read from, and when a layer has it."""

    curve_documents: int = field(default=400, metadata={**LATER, **small(200)})
    """Number of held-out documents for the probes of state_curve, which are fitted in every layer."""
    curve_share: float = field(default=0.95, metadata=LATER)
    """A layer has the state if its score reaches this share of the score of the best layer."""

    curve_gain: float = field(default=0.5, metadata=LATER)
    """The best layer must gain at least this share of what an untrained network misses (1 minus its score). Otherwise
    no layer has the state."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 2 * GROUPS, "curve_documents")
        for name in ("curve_share", "curve_gain"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"eval.{name} must be above 0 and at most 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Question:
    """What is predicted from hidden states.

    name: of the target. row, length: int [M], the hidden state after `length` tokens of document `row` (ascending).
    y: classes int [M], or vectors float [M, K]. classes: their number; 0 for vectors. fold: int [M], the rows that are
    predicted together, without their documents; None: each row is predicted alone. document, at: int [O], the document
    and the row of each occurrence.
    """

    name: str
    row: np.ndarray
    length: np.ndarray
    y: np.ndarray
    classes: int
    fold: np.ndarray | None
    document: np.ndarray
    at: np.ndarray

    @classmethod
    def of(cls, world: Able, documents: Documents) -> Question | None:
        """The belief where the world has one (by distinct prefix, without the bare prompt); else the first class among
        the world's targets, else its first coordinates. None if the world names no state."""
        found = positions(world, documents)
        row, length = found.row, found.prefix_length
        if isinstance(world, HasBeliefs):
            kept = np.flatnonzero(length > documents.prompt_length[row])
            inside = np.arange(documents.tokens.shape[1])[None, :] < length[kept, None]
            prefixes = np.where(inside, documents.tokens[row[kept]], -1)
            _, first, at = np.unique(prefixes, axis=0, return_index=True, return_inverse=True)
            order = np.argsort(first)
            chosen, rank = kept[first[order]], np.argsort(order)
            belief = world.beliefs(found.states.take(chosen))
            return cls("belief", row[chosen], length[chosen], belief, 0, None, row[kept], rank[at.ravel()])
        targets = world.targets(found.states)
        names = sorted(targets, key=lambda name: targets[name].dtype.kind == "f")
        if not names:
            return None
        name, y = names[0], targets[names[0]]
        classes = world.classes(name) if y.dtype.kind in "iu" else 0
        return cls(name, row, length, y, classes, row % FOLDS, row, np.arange(len(row)))

    def without(self, group: int) -> Question:
        """The question without the documents of one of GROUPS groups."""
        kept = self.document % GROUPS != group
        return replace(self, document=self.document[kept], at=self.at[kept])

    def score(self, x: np.ndarray) -> float:
        """1 - sum of losses / sum of the largest losses that count, over occurrences: the accuracy, or R^2. Each row is
        predicted from x [M, ..] by the probe that is fitted on the other folds, or on all other rows. Classes that no
        other fold has are left out. NaN if nothing is left, or if the vectors do not vary."""
        w = np.bincount(self.at, minlength=len(x)).astype(float)
        kept = w > 0
        lost, total = np.zeros(len(x)), np.ones(len(x))
        if not self.classes:
            total = ((self.y - w @ self.y / w.sum()) ** 2).sum(axis=1)
        if self.fold is None:
            lost[kept] = ((left_out(x[kept], self.y[kept], w[kept]) - self.y[kept]) ** 2).sum(axis=1)
        for fold in range(FOLDS) if self.fold is not None else ():
            here, fit = (self.fold == fold) & kept, (self.fold != fold) & kept
            if not here.any():
                continue
            if self.classes:
                said = fit_discriminant(x[fit], self.y[fit], self.classes)(x[here]).argmax(axis=1)
                total[here] = np.isin(self.y[here], self.y[fit])
                lost[here] = (said != self.y[here]) * total[here]
            else:
                lost[here] = ((fit_affine(x[fit], self.y[fit], w[fit])(x[here]) - self.y[here]) ** 2).sum(axis=1)
        return 1 - float(w @ lost) / float(w @ total) if w @ total > 1e-15 * w.sum() else math.nan


def spread(scores: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """The scores of the layers, then draws from their sampling distribution: [1 + B, L].

    scores: by layer, over all documents and without each of G groups, [1 + G]. The distribution is Student's t with the
    covariance of the grouped jackknife, in which the probes are fitted again without each group (Shao and Tu, The
    Jackknife and Bootstrap, 1995, section 2.3). The same draws serve every model with the same seed. A score is at most
    1.
    """
    values = np.stack(list(scores.values()), axis=1)
    rng = streams.generator("evaluation", seed, "state curve spread")
    normal, scale = rng.normal(size=(DRAWS, GROUPS)), np.sqrt((GROUPS - 1) / rng.chisquare(GROUPS - 1, DRAWS))
    moved = (normal * scale[:, None]) @ (values[1:] - values[1:].mean(axis=0)) * ((GROUPS - 1) / GROUPS) ** 0.5
    return np.minimum(np.concatenate([values[:1], values[0] + moved]), 1)


def earliest(scores: np.ndarray, share: float) -> np.ndarray:
    """The first layer that reaches `share` of the best layer's score: scores [.., L] -> int [..]. Scores of which none
    is above 0 give 0."""
    return np.argmax(scores >= share * scores.max(axis=-1, keepdims=True), axis=-1)


class StateCurve(Metric):
    """The score of a linear probe of the state, layer by layer: R^2 of the exact belief where the world has one, else
    the accuracy for the class of the state (the intersection), else R^2 of its coordinates. A prefix is
    predicted by the probe of all other prefixes; classes and coordinates of each fifth of the documents, by the probe
    of the other documents.

    `earliest_layer` (primary): the number of the first layer whose score reaches 95% of the best layer's (option
    curve_share). Layer 0 is the embedding. `best`: the score of the best layer; `best_untrained`: the same for an
    untrained network. `threshold`: the score that a layer must reach. The series `by_layer` has every layer with its
    untrained control. `gain` = (best - best_untrained) / (1 - best_untrained); best_untrained counts as 0 where a model
    has no untrained twin. `earliest_layer` is missing if the gain is below 1/2 (option curve_gain): then no layer has
    the state, or an untrained network has the state too. (Two untrained networks differ by much less.)

    `worldbench trace` measures this at every kept checkpoint. The figure `state-steps` shows the scores by training
    step, and the earliest step: the first checkpoint from which on the best layer reaches the threshold of the last
    checkpoint.

    Sees: where the state can be read linearly. Cannot see: a state that is spread over several positions or is not
    linear; nor whether the model uses it.
    """

    name, version, direction = "state_curve", 1, "none"
    primary = "earliest_layer"
    needs, needs_of_model, serves_labels = (Automaton,), (HasHidden,), True
    floor, ceiling = None, None
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("best", 0.999, 1), Expectation("earliest_layer", 0, 0)),
    }
    damage: ClassVar[tuple[Damage, ...]] = (Damage("best", worse=("blur",), monotone=True),)

    def applies(self, world: Able, model: SequenceModel) -> str | None:
        question = Question.of(world, world.sample(0, "test", 0, 20)) if world.longest > 1 else None
        if question is None:
            return f"the world {world.name!r} names no state to be probed for"
        if question.name == "belief" and question.y.shape[1] < 2:
            return f"the belief of the world {world.name!r} is over a single state: there is nothing to know"
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, c, seed = evaluation.world, evaluation.model, evaluation.settings, evaluation.seed
        documents = world.sample(seed, "test", 0, c.curve_documents)
        question = Question.of(world, documents)
        assert question is not None
        parts = [question, *(question.without(group) for group in range(GROUPS))]

        def scores(of: Able) -> dict[str, np.ndarray]:
            """By layer: the score over all documents, then without each group, [1 + G]."""
            layers = layers_at(of, documents, question.row, question.length)
            return {name: np.array([part.score(x) for part in parts]) for name, x in layers.items()}

        own, untrained = scores(model), model.untrained(seed)
        if np.isnan(list(own.values())).any():
            reason = f"the {question.name} hardly varies over the {c.curve_documents} documents"
            return Report({name: Score.missing(reason) for name in ("earliest_layer", "best", "gain", "threshold")})
        plain = None if untrained is None else spread(scores(untrained), seed)
        return self._report(c, question, list(own), spread(own, seed), plain)

    @staticmethod
    def _report(
        c: CurveOptions, question: Question, layers: list[str], own: np.ndarray, plain: np.ndarray | None
    ) -> Report:
        """own, plain: scores [1 + B, L], see `spread`."""
        n = len(np.unique(question.document))

        def score(values: np.ndarray) -> Score:
            """A statistic [1 + B]: its value, and the interval of the draws."""
            value, (low, high) = float(values[0]), np.quantile(values[1:], [0.025, 0.975]).tolist()
            return Score(value, n, (min(low, value), max(high, value)), "documents")

        best, first = own.max(axis=1), earliest(own, c.curve_share)
        control = np.zeros(len(best)) if plain is None else plain.max(axis=1)
        missed = 1 - control
        if missed[0] < NOTHING:
            gain = Score.missing(
                f"an untrained network predicts the {question.name} as well: nothing is to be gained", n
            )
            reason = gain.reason
        else:
            gain = score((best - control) / np.maximum(missed, NOTHING))
            reason = f"no layer has the {question.name}: the best gains {gain.value:.2f} of what is missing without "
            reason += f"training, and {c.curve_gain:g} is asked for"
        there = gain.value >= c.curve_gain
        report = Report({
            "earliest_layer": score(first.astype(float)) if there else Score.missing(reason, n),
            "best": score(best),
            "gain": gain,
            "threshold": Score(c.curve_share * float(best[0]), n),
            "layers": Score(len(layers), 1),
        })  # fmt: skip
        if plain is not None:
            report.scores["best_untrained"] = score(control)
        low, high = np.quantile(own[1:], [0.025, 0.975], axis=0)
        series: dict[str, list] = {"layer": layers, "number": list(range(len(layers))), "score": own[0].tolist()}
        series |= {"low": np.minimum(low, own[0]).tolist(), "high": np.maximum(high, own[0]).tolist()}
        if plain is not None:
            series["untrained"] = plain[0].tolist()
        report.series["by_layer"] = series
        report.arrays = {f"by_{name}": np.asarray(values) for name, values in series.items() if name != "number"}
        report.arrays |= {
            "threshold": np.array([c.curve_share * best[0]]),
            "earliest": np.array([first[0] if there else -1]),
        }
        asked = f"{'accuracy' if question.classes else 'R^2'} of the {question.name}"
        report.arrays["asked"] = np.array([asked])
        name = layers[int(first[0])] if there else "none"
        report.notes.append(f"{asked}; the first layer that has it: {name}")
        return report


METRIC = StateCurve()
