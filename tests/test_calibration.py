"""Every metric against every reference, and against damage: a perfect world scores its ceiling, chance its floor, and
damage shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from tiny_runs import tiny_env

from worldbench.baselines.from_states import FromStates
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle, RandomLegal, Uniform
from worldbench.baselines.untrained import make_untrained
from worldbench.core.abilities import HasLaw
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import Metric, Score
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics, worlds
from worldbench.core.streams import generator, uniform
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, States, World
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.effective_rank import effective_rank, participation_ratio
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.excess_loss import divergences
from worldbench.metrics.rollout import Rides, draw, probabilities, roll_out
from worldbench.metrics.valid_trajectories import by_distance

CITY = TaxiConfig(map="city:40", min_moves=3, max_moves=16)


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(CITY)


class OnStates(FromStates):
    """A model made of a function from states to a law."""

    def __init__(self, world: World, law: Callable[[World, States], np.ndarray], name: str = "made") -> None:
        super().__init__(world)
        self.function, self.name = law, name

    def answer_law(self, states: States) -> np.ndarray:
        return self.function(self.world, states)


def noisy(world: World, states: States) -> np.ndarray:
    law = world.law(states)
    assert law is not None
    return 0.8 * law + 0.2 / law.shape[1]


SETTINGS = eval_config(
    trials=150, documents=150, detours=(0.01, 0.1, 0.5, 0.75), reconstruction_rides=150, reconstruction_orders=2
)


FEW = eval_config(
    trials=20,
    documents=30,
    arrival_prompts=10,
    arrival_rides=3,
    planning_prompts=20,
    planning_documents=20,
    structure_trials=20,
    shift_trials=10,
    suffixes=3,
    recall_depth=2,
    pairs=60,
    suffix_tokens=3,
    suffix_limit=20,
    probe_documents=60,
    curve_documents=40,
    probe_features=5,
    dynamics_documents=20,
    dynamics_steps=2,
    horizon=3,
    swap_pairs=30,
    swap_tokens=2,
    reconstruction_rides=30,
    reconstruction_orders=2,
    rank_tokens=100,
)


@pytest.mark.parametrize("metric_name", metrics.names())
@pytest.mark.parametrize("reference", [Oracle, RandomLegal])
def test_metrics_say_what_references_score(metric_name: str, reference: type[FromStates], world: TaxiWorld) -> None:
    """Whether they do is for `check` (test_check.py); here: every metric says so, or says why it does not apply."""
    metric: Metric = metrics[metric_name].load()
    assert metric.name == metric_name
    assert metric.direction in ("higher", "lower", "none")
    assert metric.version >= 1
    model = reference(world)
    reason = metric.not_applicable(world, model)
    if reason is not None:
        assert len(reason.split()) > 3
        return
    report = metric.measure(Evaluation(world, model, FEW))
    assert metric.primary in report.scores
    if metric.direction != "none":
        assert model.name in metric.expects, f"{metric_name} must say what {model.name} scores"
        assert any(e.score in report.scores for e in metric.expects[model.name])


@pytest.mark.slow
def test_every_score_that_a_metric_speaks_of_is_one_that_it_gives() -> None:
    """Over every registered world: a misspelt expectation would never be judged."""
    given: dict[str, set[str]] = {}
    configs = {name: tiny_env(name) for name in worlds.names()}
    configs |= {"taxi": CITY, "maze-solve": SolveConfig(rows=3)}  # mazes without loops, which have loops as a shift
    configs |= {"hmm": HMMConfig(process="mixture(rrxor, z1r)")}  # a process with components
    for name, config in configs.items():
        world = worlds[name].load()(config)
        exact = Oracle(world) if isinstance(world, HasLaw) else Uniform(world)
        for model in (exact, make_untrained(world, GPTConfig(layers=1, heads=2, width=16))):
            for entry in metrics:
                metric: Metric = entry.load()
                if metric.not_applicable(world, model) is None:
                    scores = metric.measure(Evaluation(world, model, FEW)).scores
                    given.setdefault(metric.name, set()).update(scores)
                    mute = [k for k, score in scores.items() if np.isnan(score.value) and not score.reason]
                    assert not mute, f"{metric.name} has no value and no reason for {mute}: {model.name} in {name}"
    for entry in metrics:
        metric = entry.load()
        spoken = {e.score for expectations in metric.expects.values() for e in expectations} | {
            d.score for d in metric.damage
        }
        assert spoken <= given[metric.name], f"{metric.name} never gives {spoken - given[metric.name]}"


def test_behaviour_of_broken_drivers(world: TaxiWorld) -> None:
    """Each failure is counted as itself, and only as itself."""
    end = len(world.vocabulary.actions) - 1

    def early(w: World, s: States) -> np.ndarray:
        law = np.zeros((len(s), end + 1))
        law[:, end] = 1
        return law

    def never(w: World, s: States) -> np.ndarray:
        law = w.legal(s).astype(float)
        law[:, end] = 0
        return np.where(law.any(1, keepdims=True), law, np.eye(end + 1)[0])

    def through_walls(w: World, s: States) -> np.ndarray:
        law = (~w.legal(s)).astype(float)
        law[:, end] = 0.2
        return law

    for function, key in ((early, "wrong_end"), (never, "budget_spent"), (through_walls, "illegal_token")):
        report = (
            metrics["valid_trajectories"]
            .load()
            .measure(
                Evaluation(
                    world, OnStates(world, lambda w, s, f=function: f(w, s) / f(w, s).sum(1, keepdims=True)), SETTINGS
                )
            )
        )
        shares = {
            k: report.scores[f"{k}_sampled"].value for k in ("arrives", "wrong_end", "budget_spent", "illegal_token")
        }
        assert sum(shares.values()) == pytest.approx(1)
        assert shares[key] > (0.55 if function is through_walls else 0.99), (function.__name__, shares)


def test_uniform_over_the_vocabulary_never_arrives(world: TaxiWorld) -> None:
    class Flat(OnStates):
        def leading_logits(self, states: States) -> np.ndarray:
            return np.zeros((len(states), len(self.world.vocabulary)), np.float32)

    report = metrics["valid_trajectories"].load().measure(Evaluation(world, Flat(world, noisy), SETTINGS))
    assert report.scores["arrives_sampled"].value < 0.02
    assert report.scores["illegal_token_sampled"].value > 0.9


def literal_ride(
    w: TaxiWorld, model: SequenceModel, prompt: np.ndarray, i: int, choice: str, p: float
) -> tuple[list[int], int, int]:
    """One ride, one token at a time, from the same uniforms: tokens, outcome, forced turns."""
    g, voc, limit = w.graph(), w.vocabulary, w.longest
    sampling = uniform(i, 1, limit, "evaluation", 0, "sampling")[0]
    forcing = uniform(i, 1, 2 * limit, "evaluation", 0, "detours")[0]
    hops = g.hops_to(np.arange(g.n_places))
    at, goal = int(prompt[0]) - w.first_place, int(prompt[1]) - w.first_place
    tokens: list[int] = []
    status, moves, forced = OPEN, 0, 0
    for t in range(limit):
        logits = model.logits(np.array([[*prompt, *tokens]]))[0, -1]
        law = probabilities(logits[None])[0]
        token = (
            int(np.argmax(logits))
            if choice == "greedy"
            else int(np.searchsorted(np.cumsum(law), sampling[t] * np.cumsum(law)[-1], side="right"))
        )
        if p and status == OPEN:
            own = voc.action_of_token[token]
            others = [
                a
                for a in range(8)
                if a != own
                and g.successor[at, a] >= 0
                and hops[goal, g.successor[at, a]] <= w.config.max_moves - (moves + 1)
            ]
            if others and forcing[2 * t] < p:
                token = voc.actions[others[int(forcing[2 * t + 1] * len(others))]]
                forced += 1
        tokens.append(token)
        if status == OPEN:
            a = voc.action_of_token[token]
            if token == voc.end:
                status = ARRIVED if at == goal else MISPLACED_END
            elif a >= 0 and g.successor[at, a] >= 0:
                at, moves = int(g.successor[at, a]), moves + 1
            else:
                status = ILLEGAL
        if token == voc.end:
            break
    return tokens, status, forced


@pytest.mark.parametrize(("choice", "p"), [("greedy", 0.0), ("sampled", 0.0), ("greedy", 0.5), ("sampled", 0.75)])
def test_rollout_is_one_ride_at_a_time(
    choice: str, p: float, world: TaxiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OnStates(world, noisy)
    prompts, lengths = world.prompts(0, 25)
    rides = roll_out(world, model, prompts, lengths, 0, choice, p)  # type: ignore[arg-type]
    for i in range(len(prompts)):
        tokens, status, forced = literal_ride(world, model, prompts[i], i, choice, p)
        assert rides.tokens[i, : rides.length[i]].tolist() == tokens
        assert (rides.tokens[i, rides.length[i] :] == world.vocabulary.pad).all()
        assert (rides.outcome[i], rides.detours[i]) == (status, forced)
    monkeypatch.setattr("worldbench.metrics.rollout.CHUNK", 4)
    again = roll_out(world, model, prompts, lengths, 0, choice, p)  # type: ignore[arg-type]
    assert all(np.array_equal(getattr(rides, f), getattr(again, f)) for f in Rides.__dataclass_fields__)


def test_asking_for_more_rides_keeps_the_first(world: TaxiWorld) -> None:
    evaluation = Evaluation(world, OnStates(world, noisy), SETTINGS)
    few = evaluation.rides("sampled", 10)
    many = evaluation.rides("sampled", 40)
    fresh = Evaluation(world, OnStates(world, noisy), SETTINGS).rides("sampled", 40)
    assert np.array_equal(many.tokens[:10], few.tokens)
    assert np.array_equal(many.tokens, fresh.tokens)
    assert len(evaluation.rides("sampled", 7)) == 7


def test_draw_follows_the_weights() -> None:
    from scipy.stats import chisquare

    weights = np.array([0.0, 0.2, 0.0, 0.5, 0.3, 0.0])
    u = generator("test", "draw").random(20_000)
    counts = np.bincount(draw(np.tile(weights, (20_000, 1)), u), minlength=6)
    assert (counts[weights == 0] == 0).all()
    assert chisquare(counts[weights > 0], 20_000 * weights[weights > 0]).pvalue > 1e-3
    edges = draw(np.tile(weights, (2, 1)), np.array([0.0, np.nextafter(1.0, 0.0)]))
    assert edges.tolist() == [1, 4]


def test_excess_loss_is_the_divergence(world: TaxiWorld) -> None:
    model = OnStates(world, noisy)
    d = world.sample(0, "test", 0, 20)
    row, t, kl, entropy, loss = divergences(world, model, d)
    count = 0
    for i in range(len(d)):
        states = world.start(d.tokens[i : i + 1, :2], np.array([2]))
        for place in range(2, int(d.length[i])):
            law, mine = world.law(states)[0], noisy(world, states)[0]
            at = count
            assert (row[at], t[at]) == (i, place)
            support = law > 0
            assert kl[at] == pytest.approx(float((law[support] * np.log(law[support] / mine[support])).sum()), abs=1e-5)
            assert entropy[at] == pytest.approx(float(-(law[support] * np.log(law[support])).sum()), abs=1e-9)
            assert loss[at] == pytest.approx(
                -np.log(mine[world.vocabulary.action_of_token[d.tokens[i, place]]]), abs=1e-5
            )
            states = world.step(states, d.tokens[i, place : place + 1])
            count += 1
    assert count == len(kl)
    big = world.sample(0, "test", 0, 3000)
    _, _, kl, entropy, loss = divergences(world, model, big)
    assert loss.mean() == pytest.approx(kl.mean() + entropy.mean(), abs=0.02)


def test_ratio_interval_covers() -> None:
    rng = generator("test", "ratio")
    hits = 0
    for _ in range(400):
        n = rng.integers(5, 28, 200).astype(float)
        total = n * 0.3 + rng.normal(0, 1, 200) * np.sqrt(n)
        interval = Score.ratio(total, n).interval
        assert interval is not None
        hits += interval[0] <= 0.3 <= interval[1]
    assert 0.91 < hits / 400 < 0.985


def test_effective_rank_of_known_matrices() -> None:
    assert effective_rank(np.ones(12)) == pytest.approx(12)
    assert effective_rank(np.array([3.0, 0, 0])) == pytest.approx(1)
    assert participation_ratio(np.ones(7)) == pytest.approx(7)
    assert np.isnan(effective_rank(np.zeros(3)))
    from scipy.stats import entropy

    s = generator("test").random(20)
    assert effective_rank(s) == pytest.approx(float(np.exp(entropy(s / s.sum()))))


def test_hop_bins() -> None:
    n = 6
    zero = np.zeros(n, np.int64)
    outcome = np.array([ARRIVED, ARRIVED, OPEN, ILLEGAL, ARRIVED, OPEN], np.int8)
    rides = Rides(zero[:, None], zero, zero[:, None], zero, outcome, zero, np.array([0, 4, 5, 9, 150, 99]), zero)
    assert by_distance(rides) == {
        "from": [0, 5, 80, 100],
        "below": [5, 10, 100, -1],
        "n": [2, 2, 1, 1],
        "arrives": [1.0, 0.0, 0.0, 1.0],
    }


def test_scores_of_nothing() -> None:
    assert Score.rate(np.empty(0, bool)).interval is None
    assert np.isnan(Score.mean(np.empty(0)).value)
    assert Score.mean(np.ones(1)).interval is None
    assert Score.rate(np.array([True, False, True, True])).value == 0.75


@pytest.mark.slow
def test_floors_of_detours_rise_with_the_referees_help(world: TaxiWorld) -> None:
    report = (
        metrics["detours"]
        .load()
        .measure(Evaluation(world, RandomLegal(world), dataclasses.replace(SETTINGS, trials=1000)))
    )
    arrives = [report.scores[f"arrives_p{p:g}"].value for p in (0.1, 0.5, 0.75)]
    assert arrives == sorted(arrives)
    assert Oracle(world).impossible(world) is None
