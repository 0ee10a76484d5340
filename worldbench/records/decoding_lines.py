"""Records of `worldbench decode` as lines of a table or of a picture: one for each model and way of decoding, over its
seeds.

Records are compared if world, preset, training data and machine agree. The times of two machines never are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from worldbench.core.files import identity_hash
from worldbench.core.statistics import Mean, mean_interval
from worldbench.core.text import counted
from worldbench.records import budget, leaderboard
from worldbench.records.decoding import Arm, Decoding
from worldbench.records.differences import differing
from worldbench.records.variant import distinct_labels, rank_of


@dataclass(frozen=True, order=True)
class Way:
    """How prompts are continued. choice: "greedy" or "sampled". tokens: most new tokens for each prompt. prompt_seed:
    the seed of the prompts."""

    choice: str
    batch: int
    prompts: int
    tokens: int
    prompt_seed: int

    @classmethod
    def of(cls, record: Decoding) -> Way:
        asked = record.decode
        return cls(asked.choice, asked.batch, asked.prompts, asked.tokens, record.number("eval", "seed") or 0)

    def words(self, fields: Iterable[str]) -> str:
        """The choice and some other fields in words."""
        said = {
            "batch": f"batch {self.batch}",
            "prompts": counted(self.prompts, "prompt"),
            "tokens": f"at most {counted(self.tokens, 'token')}",
            "prompt_seed": f"prompts of seed {self.prompt_seed}",
        }
        return ", ".join([self.choice, *(text for name, text in said.items() if name in fields)])

    @property
    def whole(self) -> str:
        """All fields in words."""
        return self.words(asdict(self))


@dataclass(frozen=True)
class Point:
    """One number of drafts per round. Over seeds: tokens, new tokens per round; accepted, the share of drafted tokens
    that were accepted; speed_up, the median over repeats in wall-clock time, and processor, in processor time. repeats:
    the smallest and the largest speed-up of a repeat; None for several seeds."""

    drafts: int
    tokens: Mean
    accepted: Mean
    speed_up: Mean
    processor: Mean
    repeats: tuple[float, float] | None

    @property
    def bar(self) -> tuple[float, float] | None:
        """The ends of the bar: the t interval over seeds, or the range over the repeats of one seed."""
        return self.speed_up.interval or self.repeats


@dataclass(frozen=True)
class Share:
    """The drafts at one position of a round. share: of the tested drafts, those that were accepted, over seeds.
    accepted, tested: their numbers in all seeds and repeats. distinct: the number of tested drafts without the
    repeats, which draft the same tokens again."""

    position: int
    share: Mean
    accepted: int
    tested: int
    distinct: int


@dataclass(frozen=True)
class Line:
    """A model decoding in one way. label: of the model. short: the way, in the words that tell it from other ways of
    the picture. seeds: number of training seeds. steps: of the training; None if the record does not say."""

    label: str
    model: str
    way: Way
    short: str
    seeds: int
    steps: int | None
    points: tuple[Point, ...]
    shares: tuple[Share, ...]


def compared(records: Iterable[tuple[Path, Decoding]]) -> dict[str, list[tuple[Path, Decoding]]]:
    """(file, record) in groups that are compared, by a key."""
    by_key: dict[str, list[tuple[Path, Decoding]]] = defaultdict(list)
    for path, record in records:
        data = record.config.get("data")
        by_key[identity_hash([record.world, record.preset, data, *machine_of(record)])].append((path, record))
    return by_key


def machine_of(record: Decoding) -> list[str]:
    """What times depend on, in words: the processor with its instruction set, a graphics card, the number of
    threads."""
    used = record.environment
    processor = f"{used.processor} ({used.instructions})" if used.instructions else used.processor
    device = [] if record.device == "cpu" else [f"device {record.device}"]
    return [processor, *device, counted(record.decode.threads, "thread")]


def lines_of(runs: list[tuple[Path, Decoding]], who: str, say: Callable[[str], None]) -> tuple[Line, ...]:
    """The lines of records that are compared, in the order of the registry. who: what a sentence begins with that is
    handed to `say` for each measurement that is not used."""
    by_model: dict[str, list[tuple[Path, Decoding]]] = defaultdict(list)
    for path, record in runs:
        trained = leaderboard.training_key(record)
        by_model[identity_hash([record.model.name, trained, budget.spent(record)])].append((path, record))
    labels = distinct_labels([mine[0][1] for mine in by_model.values()])
    short = short_words({Way.of(record) for _, record in runs})
    out = []
    for label, mine in zip(labels, by_model.values()):
        name, steps = mine[0][1].model.name, mine[0][1].number("train", "steps")
        by_way: dict[Way, list[tuple[Path, Decoding]]] = defaultdict(list)
        for path, record in mine:
            by_way[Way.of(record)].append((path, record))
        for way, measured in sorted(by_way.items()):
            arms = _arms(measured, say)
            points = _points(arms)
            if lacking := sorted({n for theirs in arms for n in theirs} - {point.drafts for point in points}):
                numbers = ", ".join(map(str, lacking))
                say(f"{who}: {label}, {way.whole}: {numbers} drafts per round left out, because a seed lacks them")
            if points:
                out.append(Line(label, name, way, short[way], len(arms), steps, points, _shares(arms)))
    return tuple(sorted(out, key=lambda line: (rank_of(line.model), line.label, line.way)))


def short_words(ways: Iterable[Way]) -> dict[Way, str]:
    """For each way the choice, the batch if it is larger than 1, and what distinguishes ways that agree in both."""
    alike: dict[tuple[str, int], list[Way]] = defaultdict(list)
    for way in sorted(ways):
        alike[way.choice, way.batch].append(way)
    out = {}
    for (_, batch), mine in alike.items():
        usual = ["batch"] if batch > 1 else []
        for way, names in zip(mine, differing([asdict(way) for way in mine])):
            out[way] = way.words([*usual, *names])
    return out


def _arms(measured: list[tuple[Path, Decoding]], say: Callable[[str], None]) -> list[dict[int, Arm]]:
    """For each seed, the arms with a fixed number of drafts, by that number. The first file of two counts."""
    out: dict[int | None, dict[int, Arm]] = defaultdict(dict)
    of: dict[tuple[int | None, int], Path] = {}
    for path, record in measured:
        fixed = {arm.length: arm for arm in record.arms if not arm.threshold and arm.length}
        again = sorted(fixed.keys() & out[record.seed].keys())
        if again:
            numbers, first = ", ".join(map(str, again)), of[record.seed, again[0]]
            say(f"left out: {numbers} drafts per round of {str(path)!r}, because {str(first)!r} measures them too")
        if not fixed:
            say(f"left out: {str(path)!r} has no arm with a fixed number of drafts per round")
        for n in fixed.keys() - again:
            out[record.seed][n], of[record.seed, n] = fixed[n], path
    return [dict(sorted(arms.items())) for arms in out.values() if arms]


def _points(seeds: list[dict[int, Arm]]) -> tuple[Point, ...]:
    """The numbers of drafts that every seed has."""
    common = sorted(set.intersection(*map(set, seeds))) if seeds else []
    out = []
    for n in common:
        arms = [arms[n] for arms in seeds]
        tokens = mean_interval([arm.tokens_per_round for arm in arms])
        accepted = mean_interval([arm.accepted_per_round / (arm.drafted_per_round or 1) for arm in arms])
        speed_up = mean_interval([arm.speed_up.median for arm in arms])
        processor = mean_interval([arm.processor_speed_up.median for arm in arms])
        repeats = (arms[0].speed_up.low, arms[0].speed_up.high) if len(arms) == 1 else None
        out.append(Point(n, tokens, accepted, speed_up, processor, repeats))
    return tuple(out)


def _shares(seeds: list[dict[int, Arm]]) -> tuple[Share, ...]:
    """The positions that every seed tested, in its arm with the most drafts."""
    longest = [arms[max(arms)] for arms in seeds]
    out = []
    for i in range(min(len(arm.tested) for arm in longest)):
        counts = [(arm.accepted[i] if i < len(arm.accepted) else 0, arm.tested[i]) for arm in longest]
        if all(tested for _, tested in counts):
            share = mean_interval([accepted / tested for accepted, tested in counts])
            accepted, tested = map(sum, zip(*counts))
            distinct = sum(arm.tested[i] // max(1, len(arm.seconds)) for arm in longest)
            out.append(Share(i + 1, share, accepted, tested, distinct))
    return tuple(out)
