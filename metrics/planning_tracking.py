"""Planning against tracking: is a ride lost because the model does not know the place, or because it aims wrongly?

Shape letters: N rides, W choices at the end of a ride.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasGoals, HasHistories, HasLaw
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import HasHidden, SequenceModel
from worldbench.core.options import LATER, require_at_least, small
from worldbench.core.proportions import proportion_interval
from worldbench.core.sampling import documents_by_law
from worldbench.core.statistics import bootstrap
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, Automaton
from worldbench.metrics.arrival_calibration import HOPS
from worldbench.metrics.evaluation import Evaluation, single_prompt
from worldbench.metrics.hidden_states import hidden_at, positions
from worldbench.metrics.linear_probe import fit_discriminant
from worldbench.metrics.ride_faults import Faults, doubts, faults_of, masses

NO_LOSS = "every ride arrives: there is no loss to split"
FEWEST = 10
"""Rides that must be left when those lost by tracking are taken away."""


@dataclass(frozen=True, kw_only=True)
class PlanningOptions:
    """Which rides are looked at, and how."""

    planning_prompts: int = field(default=300, metadata={**LATER, **small(150)})
    """Number of held-out prompts of planning_tracking; fewer if the world has fewer prompts."""
    planning_window: int = field(default=5, metadata=LATER)
    """Number of choices at the end of a ride from which planning_tracking estimates whether the model knew the
    place."""
    planning_moves: int = field(default=5, metadata=LATER)
    """Number of moves from a fresh prompt to the state in which a ride made its first fault. The model is asked again
    in this state (planning_tracking)."""
    planning_documents: int = field(default=300, metadata={**LATER, **small(150)})
    """Number of held-out documents on which planning_tracking fits its probes of place and goal."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "planning_window", "planning_moves", "planning_documents")
        require_at_least(self, "eval", 2, "planning_prompts")


def paired_gain(before: np.ndarray, after: np.ndarray) -> Score:
    """The share of prompts that arrive after a change minus the share before, bool [N] each. The interval joins those
    of the two shares of prompts that changed (Newcombe, Statistics in Medicine 1998): never of width 0."""
    n = len(before)
    won, lost = (Score.rate(x & ~y, "prompts") for x, y in ((after, before), (before, after)))
    assert won.interval is not None
    assert lost.interval is not None
    (won_low, won_high), (lost_low, lost_high) = won.interval, lost.interval
    value = won.value - lost.value
    low = value - math.hypot(won.value - won_low, lost_high - lost.value)
    high = value + math.hypot(won_high - won.value, lost.value - lost_low)
    return Score(value, n, (max(-1.0, low), min(1.0, high)), "prompts")


def crossed(means: np.ndarray) -> np.ndarray:
    """Arrivals of the model's and of exact drivers: [.., 3] -> [.., 4]: (model, model), (exact place, model's aim),
    (model's place, exact aim), and the share of planning in the losses.

    means: of rides that arrive, of rides lost by planning, and of rides by the exact law along which the model does not
    leave the map. With an exact place, only planning loses rides: arrivals / (arrivals + losses by planning). The share
    is the Shapley value: what an exact aim gains, averaged over the model's place and the exact place.
    """
    free, planning, aim = np.moveaxis(means, -1, 0)
    reached = free + planning
    place = np.where(reached > 0, free / np.where(reached > 0, reached, 1), 0.0)
    lost = 1 - free
    gained = ((1 - place) + (aim - free)) / 2
    return np.stack([free, place, aim, np.where(lost > 0, gained / np.where(lost > 0, lost, 1), 0.0)], axis=-1)


def by_distance(distance: np.ndarray, tracking: np.ndarray, planning: np.ndarray) -> dict[str, list]:
    """The shares of rides lost by tracking and by planning [N], by the distance of the prompt in hops [N]."""
    out: dict[str, list] = {"from": [], "below": [], "n": [], "lost_tracking": [], "lost_planning": []}
    for low, high in zip(HOPS, (*HOPS[1:], 1 << 30)):
        inside = (distance >= low) & (distance < high)
        if inside.any():
            row = (low, high if high < 1 << 30 else -1, int(inside.sum()))
            for column, value in zip(out.values(), (*row, *(float(x[inside].mean()) for x in (tracking, planning)))):
                column.append(value)
    return out


def restated(world: Able, model: Able, faults: Faults, rows: np.ndarray, moves: int, seed: int) -> np.ndarray:
    """The probability of an illegal token or a wrong `end` in the states of some faults, after a fresh prompt and a
    random walk of `moves` moves to the same place, with the same goal: [M]. NaN where there is no such walk."""
    states = faults.states.take(rows)
    uniform = streams.uniform_rows(rows, moves, "evaluation", seed, "restated")
    fresh = world.histories(states, np.full(len(rows), moves), uniform)
    out, found = np.full(len(rows), np.nan), np.flatnonzero(fresh.length > 0)
    if len(found):
        fresh = fresh.take(found)
        illegal, _, wrong_end = masses(world, world.after(fresh), model.decoder(fresh.tokens, fresh.length).logits)
        out[found] = illegal + wrong_end
    return out


def read_out(evaluation: Evaluation, faults: Faults) -> dict[str, np.ndarray]:
    """By "place" and "goal": does a linear probe of the hidden state before the last choice name the true one? bool
    [N]. Only what the world has. The probes are fitted on held-out documents."""
    world, model, c = evaluation.world, evaluation.model, evaluation.settings
    documents = world.sample(evaluation.seed, "test", 0, c.planning_documents)
    at, labels = positions(world, documents), {}
    for name, label in world.targets(at.states).items():
        if label.dtype.kind in "iu" and "place" not in labels:
            labels["place"] = label, world.targets(faults.states)[name], world.classes(name)
    if isinstance(world, HasGoals):
        fitted, asked = world.goals(at.states), world.goals(faults.states)
        labels["goal"] = fitted, asked, int(max(fitted.max(), asked.max())) + 1
    if not labels:
        return {}
    x = hidden_at(model, documents, at.row, at.prefix_length)
    here = hidden_at(model, faults.documents, np.arange(len(faults.seen)), faults.seen)
    return {
        name: fit_discriminant(x, label, classes)(here).argmax(axis=1) == true
        for name, (label, true, classes) in labels.items()
    }


class PlanningTracking(Metric):
    """Splits the loss of arrivals between not knowing the place (tracking) and aiming wrongly (planning).

    By ride, the first fault decides. A ride with an illegal token is lost by tracking: the model does not know where it
    is, or which moves exist there. A ride of legal moves that ends elsewhere, or not at all, is split by the *doubt* of
    its last 5 choices (option planning_window). Doubt is the probability that a driver who moves as the model says, and
    may not say `end`, would have left the map there: 1 - product of (1 - illegal / (illegal + legal)). The ride counts
    for tracking with its doubt, and for planning with the rest. `lost` = `lost_tracking` + `lost_planning`, as shares
    of all rides. `planning_share` (primary) = lost_planning / lost.

    If a model fails in both ways, most rides are lost by the fault that comes first. So a 2 x 2 of {model's, exact}
    place and {model's, exact} aim stands beside it, in worlds with a law:
    - `arrives_exact_place`: arrivals / (arrivals + losses by planning), as if nothing were lost by tracking. Missing
      where fewer than 10 rides are left.
    - `arrives_exact_aim`: the mean probability that a driver with the exact aim stays on the map, if illegal moves are
      made on rides of the exact law as often as the model makes them: 1 - doubt over the whole ride.
    - `planning_crossed`: the gain of arrivals by an exact aim, averaged over the model's and the exact place, divided
      by `lost` (the Shapley value).

    Further scores, each from another point of view:
    - `arrives_legal`: arrivals when illegal moves are never drawn. `legality_gain`: how many more arrive than with free
      sampling.
    - `doubt_lost`, `doubt_arrived`: the mean doubt of the lost rides of legal moves, and of those that arrive (the
      control).
    - `healed`: in the state where a ride was lost by an illegal token or a wrong `end`, the share of the probability
      of such a fault that goes away after a fresh prompt and 5 random moves to the same state (option planning_moves).
      Near 1: the fault comes from this history. Near 0: the model always errs in this state.
    - `place_read_lost`, `goal_read_lost`: the share of lost rides before whose last choice a linear probe of the hidden
      state names the true place, and the true goal; `.._arrived`: the same for rides that arrive. The series
      `read_out` crosses the two.

    Sees: a wrong place only by moves that are illegal there. Cannot see: a wrong place where the same moves are legal
    everywhere (a grid); it cannot tell a wrong place from a wrong map.
    """

    name, version, direction = "planning_tracking", 1, "none"
    primary = "planning_share"
    needs = (Automaton,)
    floor, ceiling = None, None
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("lost", 0, 0), Expectation("arrives_legal", 1, 1), Expectation("doubt_arrived", 0, 1e-9),
        ),
        "random-legal": (
            Expectation("planning_share", 1, 1), Expectation("planning_crossed", 1, 1),
            Expectation("lost_tracking", 0, 0), Expectation("lost", 0.1, 1),
        ),
        "uniform": (Expectation("planning_share", 0, 0.5), Expectation("arrives_exact_aim", 0, 0.5)),
    }  # fmt: skip
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("lost_planning", worse=("wrong_goal", "blind"), direction="lower"),
        Damage("lost_tracking", worse=("added", "rewired", "leak"), unchanged=("noise", "wrong_goal", "blind"),
               direction="lower", tolerance=0.01),
    )  # fmt: skip

    def applies(self, world: Automaton, model: SequenceModel) -> str | None:
        return single_prompt(world)

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, c = evaluation.world, evaluation.model, evaluation.settings
        rides = evaluation.rides("sampled", c.planning_prompts)
        faults = faults_of(world, model, rides, c.planning_window)
        arrived, illegal = rides.outcome == ARRIVED, rides.outcome == ILLEGAL
        tracking = np.where(arrived, 0.0, np.where(illegal, 1.0, faults.doubt))
        planning = np.where(arrived, 0.0, 1 - tracking)
        legal = evaluation.rides("legal", c.planning_prompts).outcome == ARRIVED
        report = Report({
            "planning_share": Score.share(planning, (~arrived).astype(float), "lost rides")
            if not arrived.all() else Score.missing(NO_LOSS, len(rides)),
            "lost": Score.rate(~arrived, "prompts"),
            "lost_tracking": Score.share(tracking, over="prompts"),
            "lost_planning": Score.share(planning, over="prompts"),
            "arrives_legal": Score.rate(legal, "prompts"),
            "legality_gain": paired_gain(arrived, legal),
            "doubt_arrived": Score.share(faults.doubt[arrived], over="rides"),
            "doubt_lost": Score.share(faults.doubt[~arrived & ~illegal], over="rides"),
        })  # fmt: skip
        if isinstance(world, HasLaw):
            report.scores |= self._crossed(evaluation, arrived, planning)
        if (rides.distance >= 0).all():
            report.series["by_hops"] = by_distance(rides.distance, tracking, planning)
        wrong = np.flatnonzero(illegal | (rides.outcome == MISPLACED_END))
        if isinstance(world, HasHistories):
            report.scores["healed"] = self._healed(evaluation, faults, wrong)
        report.arrays = {"outcome": rides.outcome, "distance": rides.distance, "doubt": faults.doubt,
                         "tracking": tracking, "legal_arrives": legal}  # fmt: skip
        if isinstance(model, HasHidden):
            self._read(report, read_out(evaluation, faults), arrived)
        report.notes.append(f"{counted(int((~arrived).sum()), 'lost ride')} of {len(rides)}")
        return report

    @staticmethod
    def _crossed(evaluation: Evaluation, arrived: np.ndarray, planning: np.ndarray) -> dict[str, Score]:
        """The scores of the 2 x 2 of places and aims, see `crossed`. arrived, planning: [N]."""
        world, seed, n = evaluation.world, evaluation.seed, len(arrived)
        uniform = streams.uniform(0, n, world.longest, "evaluation", seed, "exact aim")
        documents = documents_by_law(world, *evaluation.prompts(n), uniform)
        keeps = 1 - doubts(world, evaluation.model, documents, documents.length - 1, world.longest).doubt
        values = np.stack([arrived.astype(float), planning, keeps], axis=1)
        out = {"arrives_exact_aim": Score.share(keeps, over="prompts")}
        if (arrived + planning).sum() < FEWEST:
            few = Score.missing(f"fewer than {FEWEST} rides are not lost by tracking, so the aim is not seen", n)
            return out | {"arrives_exact_place": few, "planning_crossed": few}
        out["arrives_exact_place"] = Score.share(arrived, arrived + planning, "prompts")
        if arrived.all() or n < 2:
            return out | {"planning_crossed": Score.missing(NO_LOSS, n)}
        found = bootstrap(values, lambda means: crossed(means)[..., 3], "evaluation", seed, "planning crossed")
        assert found.interval is not None
        value, low, high = np.clip([found.value, *found.interval], 0, 1).tolist()
        if high - low < 1e-9:  # every prompt alike
            low, high = proportion_interval(value * n, n)
        return out | {"planning_crossed": Score(value, n, (low, high), "prompts")}

    @staticmethod
    def _healed(evaluation: Evaluation, faults: Faults, wrong: np.ndarray) -> Score:
        """wrong: int, the rides that were lost by an illegal token or a wrong `end`."""
        if not len(wrong):
            return Score.missing("no ride is lost by an illegal token or a wrong end")
        moves, seed = evaluation.settings.planning_moves, evaluation.seed
        again = restated(evaluation.world, evaluation.model, faults, wrong, moves, seed)
        found = np.isfinite(again)
        before = faults.wrong[wrong][found]
        gone = np.maximum(before - again[found], 0)
        return Score.share(gone, before, "lost rides") if len(before) else Score.missing("no state can be stated anew")

    @staticmethod
    def _read(report: Report, right: dict[str, np.ndarray], arrived: np.ndarray) -> None:
        """Adds what the probes read: right, by name, bool [N]."""
        for name, hit in right.items():
            report.scores[f"{name}_read_lost"] = Score.rate(hit[~arrived], "lost rides")
            report.scores[f"{name}_read_arrived"] = Score.rate(hit[arrived], "rides")
            report.arrays[f"{name}_read"] = hit
        if len(right) == 2 and not arrived.all():
            place, goal = (right[name][~arrived] for name in ("place", "goal"))
            cells = [(p, g, float(((place == p) & (goal == g)).mean())) for p in (True, False) for g in (True, False)]
            names = ("place", "goal", "share")
            report.series["read_out"] = {name: list(column) for name, column in zip(names, zip(*cells))}


METRIC = PlanningTracking()
