"""Transition consistency (the second condition of NextLat's theorem, arXiv 2511.05963): do the hidden state and the
next token determine the next hidden state?

Shape letters: M start positions, D width, A actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasLaw
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import Dynamics, FitsDynamics, HasHead, HasHidden, SequenceModel, log_softmax
from worldbench.core.options import require_at_least, small
from worldbench.core.world import Automaton, Documents, World
from worldbench.metrics.evaluation import Evaluation, Truth, truth
from worldbench.metrics.gain import Gain, single_law_kl
from worldbench.metrics.hidden_states import Positions, hidden_at, positions
from worldbench.metrics.linear_probe import Affine, fit_affine

STARTS = 4
"""Start positions a document."""
SUMMED = 8
"""Steps that the scores are taken over."""
FLOOR = np.log(1e-9)
"""Log probabilities are cut off here, so that a state that excludes the truth costs much, but not everything."""


class Copy:
    """The state stays as it is."""

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return hidden


class Linear:
    """The best affine map of the state and the token, an action."""

    def __init__(self, fitted: Affine, world: World) -> None:
        self.fitted, self.one_hot = fitted, np.eye(len(world.vocabulary.actions))[world.vocabulary.action_of_token]

    @classmethod
    def fit(cls, world: Automaton, model: HasHidden, documents: Documents) -> Linear:
        at = positions(world, documents)
        h = hidden_at(model, documents, at.row, at.prefix_length)
        follows = np.flatnonzero((np.diff(at.row) == 0) & (np.diff(at.prefix_length) == 1))
        tokens = documents.tokens[at.row[follows], at.prefix_length[follows]]
        one_hot = np.eye(len(world.vocabulary.actions))[world.vocabulary.action_of_token[tokens]]
        return cls(fit_affine(np.concatenate([h[follows], one_hot], axis=1), h[follows + 1]), world)

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        return self.fitted(np.concatenate([hidden, self.one_hot[tokens]], axis=1)).astype(np.float32)


def law_kl(law: np.ndarray, logits: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """KL(law || softmax(logits)) of each row, float64 [M]; log probabilities are cut off at log 1e-9."""
    log_model = np.fmax(log_softmax(logits)[:, answers], FLOOR)  # also where there is no law at all
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(law > 0, law * (np.log(law) - log_model), 0.0).sum(axis=1)


@dataclass
class Rolled:
    """KL from the exact law to the laws read off hidden states.

    total: by kind of hidden state, the sum over the first SUMMED steps, by document: float [n] each. `direct`: the true
    hidden state, `other_document`, `single_law`, and the transitions. count: how many places each sum has, [n]. curves:
    means by step.
    """

    total: dict[str, np.ndarray]
    count: np.ndarray
    curves: dict[str, list[float]]

    @property
    def gain(self) -> Gain:
        """Over the documents that have places."""
        own, other, single = (self.total[x][self.count > 0] for x in ("direct", "other_document", "single_law"))
        return Gain(own, other, single, "documents")

    def shares(self, name: str, key: str) -> dict[str, Score]:
        """The scores `key` ("normalized..") and "kept.." of a transition. It may be absent where no score is defined
        for any transition."""
        kl = self.total.get(name, self.total["direct"])[self.count > 0]
        return {key: self.gain.share(kl), key.replace("normalized", "kept"): self.gain.kept(kl)}

    def mean(self, total: np.ndarray) -> Score:
        """The mean over places of sums by document [n]."""
        return Score.ratio(total, self.count, "documents")


def roll(evaluation: Evaluation, model: Able, known: Truth, at: Positions, transitions: dict[str, Dynamics]) -> Rolled:
    """Rolls transitions out from random places (STARTS a document) of the documents of the evaluation.

    known, at: what the world says of these documents. The places are the same for every model."""
    world, documents, seed = evaluation.world, evaluation.documents, evaluation.seed
    exact = known.law
    assert exact is not None
    n, width = known.scored.shape
    h = hidden_at(model, documents, at.row, at.prefix_length).astype(np.float32)
    index = np.full((n, width), -1, np.int64)
    index[at.row, at.prefix_length] = np.arange(len(at.row))
    uniform = streams.uniform(0, n, STARTS, "evaluation", seed, "transition starts")
    places = np.bincount(at.row, minlength=n)
    chosen = (np.cumsum(places) - places)[:, None] + (uniform * places[:, None]).astype(np.int64)
    chosen = np.unique(chosen[places > 0])
    row, t = at.row[chosen], at.prefix_length[chosen]
    answers = np.array(world.vocabulary.answers)
    first: np.ndarray = h[chosen]
    state = dict.fromkeys(transitions, first)
    rng = streams.generator("evaluation", seed, "transition strangers")  # an old name: a new one draws other numbers
    names = ("direct", "other_document", *transitions)
    curves: dict[str, list[float]] = {name: [] for name in ("step", "n", *names)}
    total, count = {name: np.zeros(n) for name in (*names, "single_law")}, np.zeros(n)
    summed: list[tuple[np.ndarray, np.ndarray]] = []
    for step in range(1, evaluation.settings.horizon + 1):
        ahead = t + step
        on = np.flatnonzero((ahead < width) & (index[row, np.minimum(ahead, width - 1)] >= 0))
        if not len(on):
            break
        row, t = row[on], t[on]
        last = documents.tokens[row, t + step - 1]
        state = {name: transitions[name].step(s[on], last) for name, s in state.items()}
        law = exact[row, t + step]
        curves["step"].append(step)
        curves["n"].append(len(row))
        true = h[index[row, t + step]]
        order, at_step = rng.permutation(len(true)), np.bincount(row, minlength=n)
        for name, hidden in {"direct": true, "other_document": true[order], **state}.items():
            kl = law_kl(law, model.head(hidden, last), answers)
            curves[name].append(float(kl.mean()))
            if step <= SUMMED:
                total[name] += np.bincount(row, kl, minlength=n)
                if name == "other_document":  # a document changes this sum as a prefix, and as the other document
                    total[name] += np.bincount(row[order], kl, minlength=n) - kl.mean() * at_step
        if step <= SUMMED:
            count += at_step
            summed.append((row, law))
    if summed:
        rows, laws = (np.concatenate(parts) for parts in zip(*summed))
        total["single_law"] += np.bincount(rows, single_law_kl(laws), minlength=n)
    return Rolled(total, count, curves)


@dataclass(frozen=True, kw_only=True)
class DynamicsOptions:
    """The transition that is fitted afterwards, and how far transitions are rolled out."""

    dynamics_documents: int = field(default=2000, metadata=small(200))
    """Number of held-out documents whose hidden states train the dynamics probe."""
    dynamics_steps: int = field(default=1000, metadata=small(200))
    """Number of optimizer steps that train the dynamics probe."""
    horizon: int = 20
    """Number of steps for which transition_consistency applies fitted dynamics to their own output, without the true
    hidden states. It is not the horizon of an objective (model.horizon)."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "dynamics_documents", "dynamics_steps", "horizon")


class TransitionConsistency(Metric):
    """From the hidden state at a position, a transition is rolled out along the true next tokens, without looking at
    the model's later hidden states. Next-token distributions are read off the states that it predicts, and compared
    with the exact law there: KL by number of steps.

    Transitions: a network fitted afterwards to the frozen model, the same for every model (`posthoc`); the best affine
    map (`linear`); and the model's `own`, where it was trained with one. For comparison: the true hidden states of the
    model (`direct`), the last state copied, and the true hidden state of a random other document (`other_document`).

    `normalized` = 1 - (KL - KL_direct) / (KL_other - KL_direct), over the first 8 steps. 1: the transition predicts
    as well as the model does by looking, or better. 0: no better than a random other state. (The copied state does not
    suit as zero: its sharp distribution is often worse than the distribution of a random state.) `kept` has another
    zero, one law for all prefixes (`single_law_kl`): 1 - (KL - KL_direct) / (KL_single - KL_direct). Below 0, the
    transition misleads more than knowing nothing; `normalized` may then still be high, if the model is sure of itself
    after every prefix.

    Both are missing, with the reason, where the true hidden states predict no better than those of other documents, or
    than one law for all prefixes: there is no gain to normalize by. This is the case for untrained networks.

    Sees: whether the hidden state is sufficient for its own future. Cannot see: whether it is the state of the world;
    where `direct_kl` is high, it is not.
    """

    name, version, direction = "transition_consistency", 2, "higher"
    primary, beside = "normalized", ("kept",)
    needs, needs_of_model, serves_labels = (Automaton, HasLaw), (HasHidden, HasHead, FitsDynamics), True
    floor = None
    ceiling = "oracle"
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("normalized", 1 - 1e-6, 1 + 1e-6),
            Expectation("normalized_own", 1 - 1e-6, 1 + 1e-6),
            Expectation("kept", 1 - 1e-6, 1 + 1e-6),
            Expectation("kept_own", 1 - 1e-6, 1 + 1e-6),
            Expectation("direct_kl", -1e-6, 1e-5),
        ),
    }

    damage: ClassVar[tuple[Damage, ...]] = (
        # Not severity by severity: states blurred or drifted beyond recognition all read as some wrong state, however
        # much the noise. Under much blur, `normalized` is missing, which is worse: the states predict nothing.
        *(Damage(name, worse=("blur", "drift")) for name in ("normalized", "normalized_own", "kept", "kept_own")),
        Damage("posthoc_excess", worse=("drift",), direction="lower"),
        Damage("direct_kl", worse=("blur",), unchanged=("drift",), direction="lower"),
        Damage("single_law_kl", unchanged=("blur", "drift"), direction="lower"),
    )

    def applies(self, world: World, model: SequenceModel) -> str | None:
        if world.longest < 2:
            return f"documents of the world {world.name!r} have one predicted token: there is no transition"
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, c, seed = evaluation.world, evaluation.model, evaluation.settings, evaluation.seed
        documents = evaluation.documents
        spare = world.sample(seed, "test", len(documents), c.dynamics_documents)
        rolled: dict[str, Dynamics] = {"copy": Copy(), "linear": Linear.fit(world, model, spare)}
        fitted, own = model.fit_dynamics(spare, c.dynamics_steps, seed), model.dynamics()
        rolled |= {"posthoc": fitted} | ({"own": own} if own is not None else {})
        known, at = truth(world, documents), positions(world, documents)
        found = roll(evaluation, model, known, at, rolled)
        report = Report(
            {},
            {"by_step": dict(found.curves)},
            notes=[f"hidden state: {model.hidden_name}; {len(spare)} other documents fitted"],
        )
        for name in ("posthoc", "own", "linear"):
            if name in rolled:
                key = "normalized" if name == "posthoc" else f"normalized_{name}"
                report.scores |= found.shares(name, key)
        for name in ("posthoc", "own", "linear", "copy", "other_document"):
            if name in found.total:
                report.scores[f"{name}_excess"] = found.mean(found.total[name] - found.total["direct"])
        for name in ("direct", "single_law"):
            report.scores[f"{name}_kl"] = found.mean(found.total[name])
        untrained = model.untrained(seed)
        if untrained is not None:
            plain = roll(evaluation, untrained, known, at, {})
            if plain.gain.absent is None:  # a dynamics is fitted only where there is something to predict
                rolled = {"posthoc": untrained.fit_dynamics(spare, c.dynamics_steps, seed)}
                plain = roll(evaluation, untrained, known, at, rolled)
            report.scores |= {f"{key}_untrained": score for key, score in plain.shares("posthoc", "normalized").items()}
            report.scores["direct_kl_untrained"] = plain.mean(plain.total["direct"])
        return report


METRIC = TransitionConsistency()
