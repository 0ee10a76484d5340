"""Split fidelity and merge: does the model's law over next few tokens differ between two prefixes as the world's does,
and agree where the world's agrees?

For prefixes p, q and suffixes x of a few tokens, weighted half by law(x | p), half by law(x | q):
    D_W(x) = clip(log law(x | p) - log law(x | q), -3, 3),   D_M(x) likewise for the model
    split = 1 - E (D_M - D_W)^2 / E D_W^2      over pairs in different states: the exact law 1, a model that ignores its
    context 0 merge = 1 - E_same D_M^2 / E_different D_W^2     over pairs in one state whose last three tokens differ:
    both of these score 1, so never without split
(metrics.md, section 3.) Shape letters: N pairs, M suffixes, K tokens, A actions.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasHistories, HasLaw
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.options import require_at_least, small
from worldbench.core.sampling import draw
from worldbench.core.statistics import Z95
from worldbench.core.text import counted
from worldbench.core.world import OPEN, Automaton, Documents, States, World
from worldbench.metrics.acceptance import draw_pairs
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.excess_loss import ratio
from worldbench.metrics.suffixes import score_suffixes, take

CLIP = 3.0
POOL = 20_000
"""Prefixes among which aliased pairs, and pairs in one state, are looked for."""
FEWEST = 20
LAWS_AT_ONCE = 1 << 23
"""Probabilities of next tokens held together while suffixes are drawn: bounds memory, changes no result."""


@dataclass(frozen=True)
class Suffixes:
    """owner: int [M], the pair; tokens: int [M, K], length [M]; weight: [M], summing to 1 over a pair; log_law: [2, M],
    after each of the two prefixes."""

    owner: np.ndarray
    tokens: np.ndarray
    length: np.ndarray
    weight: np.ndarray
    log_law: np.ndarray


@dataclass
class _Nodes:
    """Starts of suffixes: the pair, the tokens so far, both states, both log laws."""

    owner: np.ndarray
    tokens: np.ndarray
    states: list[States]
    log_law: np.ndarray

    def step(self, world: Automaton, row: np.ndarray, tokens: np.ndarray, log_p: np.ndarray) -> _Nodes:
        states = [world.step(s.take(row), tokens) for s in self.states]
        longer = np.concatenate([self.tokens[row], tokens[:, None]], axis=1)
        return _Nodes(self.owner[row], longer, states, self.log_law[:, row] + log_p)

    def take(self, rows: np.ndarray) -> _Nodes:
        return _Nodes(self.owner[rows], self.tokens[rows], [s.take(rows) for s in self.states], self.log_law[:, rows])

    def open(self, world: Automaton) -> np.ndarray:
        """bool: does it go on after every prefix after which it is possible?"""
        going = np.stack([np.asarray(world.outcome(s)) == OPEN for s in self.states])
        return np.asarray((going | ~np.isfinite(self.log_law)).all(axis=0))


def _log_laws(world: Able, nodes: _Nodes) -> np.ndarray:
    """log of both laws, float64 [2, F, A]; -inf everywhere once a suffix is impossible."""
    out = []
    with np.errstate(divide="ignore"):
        for states, log_law in zip(nodes.states, nodes.log_law):
            out.append(np.where(np.isfinite(log_law)[:, None], np.log(world.law(states)), -np.inf))
    return np.stack(out)


def suffixes_of(world: Able, first: States, second: States, longest: int, limit: int, seed: int, name: str) -> Suffixes:
    """All suffixes of at most `longest` tokens that either law makes possible; where a pair has more than `limit`, that
    many, half drawn from each law."""
    actions = np.array(world.vocabulary.actions)
    n = len(first)
    start = _Nodes(np.arange(n), np.zeros((n, 0), np.int64), [first, second], np.zeros((2, n)))
    nodes, done, crowded = start, [], np.zeros(n, bool)
    ended = np.zeros(n, np.int64)
    for _ in range(longest):
        log_law = _log_laws(world, nodes)
        row, action = np.nonzero(np.isfinite(log_law).any(axis=0))
        crowded |= ended + np.bincount(nodes.owner[row], minlength=n) > limit
        kept = ~crowded[nodes.owner[row]]  # before the step, which would make up to A times as many states
        row, action = row[kept], action[kept]
        nodes = nodes.step(world, row, actions[action], log_law[:, row, action])
        going = nodes.open(world)
        done.append(nodes.take(np.flatnonzero(~going)))
        ended += np.bincount(done[-1].owner, minlength=n)
        nodes = nodes.take(np.flatnonzero(going))
    done.append(nodes)
    done = [d.take(np.flatnonzero(~crowded[d.owner])) for d in done]
    parts = [(d, 0.5 * np.exp(d.log_law).sum(axis=0)) for d in done if len(d.owner)]
    many = np.flatnonzero(crowded)
    block = max(1, LAWS_AT_ONCE // (limit * len(actions)))
    for low in range(0, len(many), block):
        drawn = _drawn(world, start.take(many[low : low + block]), longest, limit, seed, name)
        parts += [(d, np.full(len(d.owner), 1 / limit)) for d in drawn]
    width = max((d.tokens.shape[1] for d, _ in parts), default=0)
    return Suffixes(
        np.concatenate([d.owner for d, _ in parts]),
        np.concatenate([np.pad(d.tokens, ((0, 0), (0, width - d.tokens.shape[1]))) for d, _ in parts]),
        np.concatenate([np.full(len(d.owner), d.tokens.shape[1]) for d, _ in parts]),
        np.concatenate([w for _, w in parts]),
        np.concatenate([d.log_law for d, _ in parts], axis=1),
    )


def _drawn(world: Able, start: _Nodes, longest: int, limit: int, seed: int, name: str) -> list[_Nodes]:
    """`limit` suffixes a pair, the even ones drawn from the first law, the odd ones from the second."""
    actions = np.array(world.vocabulary.actions)
    uniform = np.concatenate(
        [
            streams.uniform(int(i), 1, limit * longest, "evaluation", seed, f"{name} drawn").reshape(limit, longest)
            for i in start.owner
        ]
    )
    nodes = start.take(np.repeat(np.arange(len(start.owner)), limit))
    place, side = np.arange(len(nodes.owner)), np.arange(len(nodes.owner)) % limit % 2
    done = []
    for t in range(longest):
        log_law = _log_laws(world, nodes)
        rows = np.arange(len(nodes.owner))
        action = draw(np.exp(log_law[side, rows]), uniform[place, t])
        nodes = nodes.step(world, rows, actions[action], log_law[:, rows, action])
        going = nodes.open(world)
        done.append(nodes.take(np.flatnonzero(~going)))
        on = np.flatnonzero(going)
        nodes, place, side = nodes.take(on), place[on], side[on]
    return [d for d in (*done, nodes) if len(d.owner)]


def _difference(log_p: np.ndarray) -> np.ndarray:
    """clip(log p - log q) from float64 [2, M]; 0 where both are impossible."""
    with np.errstate(invalid="ignore"):
        d = log_p[0] - log_p[1]
    return np.clip(np.where(np.isnan(d), 0.0, d), -CLIP, CLIP)


def errors(
    world: Able,
    model: SequenceModel,
    first: Documents,
    second: Documents,
    longest: int,
    limit: int,
    seed: int,
    name: str,
) -> np.ndarray:
    """By pair: E (D_M - D_W)^2, E D_W^2, E D_M^2, and how many suffixes: float64 [4, N]."""
    n = len(first)
    s = suffixes_of(world, world.after(first), world.after(second), longest, limit, seed, name)
    d_world = _difference(s.log_law)
    d_model = _difference(
        np.stack([score_suffixes(model, d, s.owner, s.tokens, s.length).sum(axis=1) for d in (first, second)])
    )
    squares = ((d_model - d_world) ** 2, d_world**2, d_model**2)
    return np.stack(
        [*(np.bincount(s.owner, s.weight * x, minlength=n) for x in squares), np.bincount(s.owner, minlength=n)]
    )


def cut(world: World, documents: Documents, uniform: np.ndarray) -> Documents:
    """Each document up to before one of its predicted tokens, chosen evenly by uniform [N]."""
    predicted = documents.length - documents.prompt_length
    length = documents.prompt_length + (uniform * predicted).astype(np.int32)
    inside = np.arange(documents.tokens.shape[1])[None, :] < length[:, None]
    return Documents(
        np.where(inside, documents.tokens, world.vocabulary.pad), length.astype(np.int32), documents.prompt_length
    )


def _last(documents: Documents, count: int) -> np.ndarray:
    """The last tokens of each document, int [N, count]; -1 before its start."""
    column = documents.length[:, None] - count + np.arange(count)[None, :]
    return np.where(column >= 0, np.take_along_axis(documents.tokens, np.maximum(column, 0), axis=1), -1)


def within(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pairs of rows that agree in `groups` int [N, k], each row in one pair at most, in random order: int [P, 2]."""
    if not len(groups):
        return np.empty((0, 2), np.int64)
    _, label = np.unique(groups, axis=0, return_inverse=True)
    shuffled = rng.permutation(len(groups))
    order = shuffled[np.argsort(label.ravel()[shuffled], kind="stable")]
    sorted_label = label.ravel()[order]
    start = np.r_[True, np.diff(sorted_label) != 0]
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(start, np.arange(len(order)), 0))
    head = np.flatnonzero((rank[:-1] % 2 == 0) & (sorted_label[:-1] == sorted_label[1:]))
    pairs = np.stack([order[head], order[head + 1]], axis=1)
    return pairs[rng.permutation(len(pairs))]


_pools: weakref.WeakKeyDictionary[World, tuple[int, tuple[Documents, np.ndarray, np.ndarray]]] = (
    weakref.WeakKeyDictionary()
)
"""The last pool of each world: the same for every model, and the dearest part where mazes are drawn."""


def prefix_pool(world: Able, seed: int) -> tuple[Documents, np.ndarray, np.ndarray]:
    """Prefixes of held-out documents, the predictive key of the state after each [N, k], and all aliased pairs among
    them [P, 2] in random order."""
    kept = _pools.get(world)
    if kept is None or kept[0] != seed:
        pool = cut(
            world,
            world.sample(seed, "test", 0, POOL),
            streams.uniform(0, POOL, 1, "evaluation", seed, "split pool")[:, 0],
        )
        states = world.after(pool)
        law, key = world.law(states), world.key(states)[1]
        rng = streams.generator("evaluation", seed, "split aliased")
        alike = within(np.concatenate([_last(pool, 2), np.rint(law * 1e9).astype(np.int64)], axis=1), rng)
        kept = _pools[world] = seed, (pool, key, alike[(key[alike[:, 0]] != key[alike[:, 1]]).any(axis=1)])
    return kept[1]


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Pairs of prefixes, and the suffixes that they are compared on."""

    pairs: int = field(default=500, metadata=small(100))
    """Pairs of prefixes in each stratum of split fidelity and merge."""
    suffix_tokens: int = 5
    """Longest suffix of split fidelity and merge."""
    suffix_limit: int = 1024
    """A pair's suffixes are enumerated up to this many, else this many are sampled."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "pairs", "suffix_tokens", "suffix_limit")


class SplitMerge(Metric):
    """Split fidelity and merge (see the module). Strata of split: random pairs of prefixes of held-out documents, and
    *aliased* pairs, which have the same next-token law and last two tokens but another state (`split_aliased`): only a
    state can tell these apart.

    Sees: whether differences between states show in the law of what follows, with support full or not. Cannot see: what
    prefixes do to anything beyond the next five tokens. Pairs in one state come from backward walks, or where the world
    has none, from prefixes that lead to one state.
    """

    name, version, direction = "split_merge", 1, "higher"
    primary = "split"
    needs = (Automaton, HasLaw)
    floor = "uniform"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("split", 1 - 1e-6, 1),
            Expectation("merge", 1 - 1e-6, 1),
            Expectation("split_aliased", 1 - 1e-6, 1),
        ),
        "uniform": (Expectation("split", 0, 0), Expectation("merge", 1, 1), Expectation("split_aliased", 0, 0)),
        "random-legal": (Expectation("split", -10, 0.999),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("split", "worse", "worse", "worse", "worse", monotone=True),
        Damage("merge", "any", "any", "any", "worse"),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, c, seed = evaluation.world, evaluation.settings, evaluation.seed
        report = Report({})

        def errors_of(pairs: tuple[Documents, Documents], name: str) -> np.ndarray:
            return errors(world, evaluation.model, *pairs, c.suffix_tokens, c.suffix_limit, seed, name)

        random = self._random(world, seed, c.pairs)
        if not len(random[0]):
            return Report(
                {"split": Score(float("nan"), 0)},
                notes=[f"all of {c.pairs} pairs of prefixes lead to one state each: nothing to tell apart"],
            )
        split = errors_of(random, "split random")
        report.scores["split"] = _one_minus(split[0], split[1])
        report.arrays |= {"split_error": split[0], "split_truth": split[1], "suffixes": split[3]}
        pool, key, alike = prefix_pool(world, seed)
        found, alike = len(alike), alike[: c.pairs]
        if found >= FEWEST:
            aliased = errors_of((take(pool, alike[:, 0]), take(pool, alike[:, 1])), "split aliased")
            report.scores["split_aliased"] = _one_minus(aliased[0], aliased[1])
            report.arrays |= {"aliased_error": aliased[0], "aliased_truth": aliased[1]}
        else:
            report.notes.append(
                f"no split_aliased: only {counted(found, 'aliased pair', commas=False)} among {POOL:,} prefixes"
            )
        same = self._same(world, seed, c.pairs, pool, key)
        if len(same[0]) >= min(FEWEST, c.pairs):
            if len(same[0]) < c.pairs:
                report.notes.append(
                    f"merge over {len(same[0])} pairs: of {c.pairs} the others lead nowhere twice, or end "
                    "in the same three tokens"
                )
            merged = errors_of(same, "merge")[2]
            value, truth = float(merged.mean()), float(split[1].mean())
            half = Z95 * float(np.std(merged, ddof=1)) / len(merged) ** 0.5 / truth
            report.scores["merge"] = Score(
                1 - value / truth, len(merged), (1 - value / truth - half, 1 - value / truth + half)
            )
            report.arrays["merge_error"] = merged
        else:
            pairs = counted(len(same[0]), "pair of prefixes leads", "pairs of prefixes lead", commas=False)
            report.notes.append(f"no merge: only {pairs} to one state with different last tokens")
        return report

    @staticmethod
    def _random(world: Able, seed: int, count: int) -> tuple[Documents, Documents]:
        """Prefixes of held-out documents, two by two, in different states."""
        uniform = streams.uniform(0, 2 * count, 1, "evaluation", seed, "split random")[:, 0]
        prefixes = cut(world, world.sample(seed, "test", 0, 2 * count), uniform)
        key = world.key(world.after(prefixes))[1]
        apart = np.flatnonzero((key[0::2] != key[1::2]).any(axis=1))
        return take(prefixes, 2 * apart), take(prefixes, 2 * apart + 1)

    @staticmethod
    def _same(world: Able, seed: int, count: int, pool: Documents, key: np.ndarray) -> tuple[Documents, Documents]:
        """Prefixes two by two in one state, whose last three tokens differ."""
        if isinstance(world, HasHistories):
            pairs = draw_pairs(world, seed, count, "merge", same=True)
            first, second = pairs.first, pairs.second
            keep = np.flatnonzero((_last(first, 3) != _last(second, 3)).any(axis=1))
            return take(first, keep), take(second, keep)
        chosen = within(key, streams.generator("evaluation", seed, "merge"))
        last = _last(pool, 3)
        chosen = chosen[(last[chosen[:, 0]] != last[chosen[:, 1]]).any(axis=1)][:count]
        return take(pool, chosen[:, 0]), take(pool, chosen[:, 1])


def _one_minus(error: np.ndarray, truth: np.ndarray) -> Score:
    """1 - mean error / mean truth, with the linearised interval of the ratio."""
    r = ratio(error, truth)
    return Score(1 - r.value, r.n, None if r.interval is None else (1 - r.interval[1], 1 - r.interval[0]))


METRIC = SplitMerge()
