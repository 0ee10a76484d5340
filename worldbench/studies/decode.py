"""How much faster the model of a finished run decodes when it drafts several of its own next tokens: `decode.json`.

An arm is one way to decode: plain, a fixed number of drafts per round, or an adaptive number. Every arm continues
the same held-out prompts with the same engine and cache. The arms alternate after every batch of prompts, so that
other load on the machine slows all arms. A speed-up is the ratio of two times of one repeat. The record holds the
median, the lowest and the highest speed-up over repeats, in wall-clock time with the reading of the prompt included,
and in processor time of this process. The results of the run are not changed.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldbench.core import tables
from worldbench.core.abilities import asks_for_labels
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import identity_hash, lock
from worldbench.core.text import counted
from worldbench.records.decoding import Asked, Decoding, Identical
from worldbench.records.reading import read, write
from worldbench.runs.display import Display, print_notes
from worldbench.runs.one_run import about, reopen
from worldbench.runs.weights import at_step, scored_step
from worldbench.studies.decode_arms import Arm, suggested_threshold, summary

LENGTHS = (1, 2, 4, 8, 12)
"""Numbers of drafts per round that are tried by default."""
NO_LIMIT = 1e-30
"""A threshold that stops no draft. It makes `generate` record the probabilities of drafts."""
ROUNDING = 1e-3
"""Two logits that differ by less may change order: a forward pass over one token and a pass over several tokens add
in a different order."""


@dataclass(frozen=True)
class DecodeOptions:
    """What to decode, and how.

    prompts: how many held-out prompts are continued. batch: how many of them at once.
    lengths: numbers of drafts per round. None: LENGTHS, up to the limit of the model.
    adaptive: the threshold of the adaptive arm. Drafting stops where the drafter's estimate of the probability that
        all drafts are accepted falls below it. None: set from the measured costs. 0: no adaptive arm.
    choice: how a token is chosen.
    tokens: most new tokens per prompt. None: the decode limit of the world.
    repeats: how often every arm is timed. threads: None: as in training.
    """

    prompts: int = 32
    batch: int = 1
    lengths: tuple[int, ...] | None = None
    adaptive: float | None = None
    choice: Literal["greedy", "sampled"] = "greedy"
    tokens: int | None = None
    repeats: int = 5
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("prompts", "batch", "tokens", "repeats", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1, not {value}")
        if self.lengths is not None and (min(self.lengths) < 1 or len(set(self.lengths)) < len(self.lengths)):
            wanted = "different numbers of drafts, each at least 1"
            raise InputError(f"--lengths takes {wanted}, not {' '.join(map(str, self.lengths))}")
        if self.adaptive is not None and not 0 <= self.adaptive <= 1:
            raise InputError(f"--adaptive takes a probability between 0 and 1, not {self.adaptive}")

    def words(self) -> list[str]:
        """The options that differ from their defaults, as words of the command line."""
        out = []
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                values = value if isinstance(value, tuple) else (value,)
                out += ["--sampled"] if f.name == "choice" else [f"--{f.name}", *map(str, values)]
        return out


def decode(
    folder: Path, options: DecodeOptions, display: Display, places: Sequence[str] = (), plugins: Sequence[Path] = ()
) -> Path:
    """Measures a finished run. Returns the path of the record.

    places: options that say where the files of the run lie now. plugins: plugin files named on the command line.
    Raises InputError if the model of the run has no drafter, or if the world asks for labels.
    """
    import torch

    from worldbench.baselines.drafters import drafter_of, refusal
    from worldbench.baselines.speculative import PLAIN, Drafting
    from worldbench.training.arithmetic import set_up

    prepared = reopen(folder, list(places), display, plugins)
    if not prepared.job.trained:
        raise refusal(prepared.job.model)
    train, world = prepared.job.groups["train"], prepared.world
    if world.labelled:
        raise InputError(f"{asks_for_labels(world)}: its models do not continue prompts")
    words = options.words()
    path = folder / (f"decode-{identity_hash(words)[:10]}.json" if words else "decode.json")
    with lock(folder):
        model: Any = at_step(prepared, folder, scored_step(prepared, folder, display.say))
        drafter = drafter_of(model.objective)
        lengths = _lengths(options, drafter.longest, prepared.job.model)
        set_up(options.threads or train.threads)
        passes = TimedPasses(world, drafter, options, prepared.job.groups["eval"].seed)
        arms = [Arm(PLAIN), *(Arm(Drafting(n)) for n in lengths)]
        with display.task("decoding") as announce:
            announce("warm-up, not timed")
            for arm in arms:
                passes.run([arm])
            if not arms[0].counts.rounds:
                every = f"every continuation by the model of {str(folder)!r} ends with its first token"
                raise InputError(f"{every}, so there is nothing to decode faster")
            pilot = Arm(Drafting(max(lengths), NO_LIMIT))
            if options.adaptive is None:
                passes.run([pilot])
            threshold = options.adaptive if options.adaptive is not None else suggested_threshold(arms, pilot)
            arms = [Arm(arm.plan) for arm in arms] + ([Arm(Drafting(max(lengths), threshold))] if threshold else [])
            passes.run(arms[-1:])
            arms[-1] = Arm(arms[-1].plan)
            for repeat in range(options.repeats):
                announce(f"repeat {repeat + 1} of {options.repeats}")
                passes.run(arms[repeat % len(arms) :] + arms[: repeat % len(arms)])
        asked = dataclasses.asdict(options) | {
            "lengths": lengths, **passes.resolved(), "threads": torch.get_num_threads()
        }  # fmt: skip
        record = Decoding(
            **about(prepared, model),
            decode_command=" ".join(["worldbench", "decode", shlex.quote(folder.resolve().name), *words]),
            decode=Asked(**asked),
            device=train.device,
            **summary(arms, threshold if options.adaptive is None else None),
            identical=compare_greedy(arms, passes, model) if options.choice == "greedy" else None,
        )
        write(path, record)
    return path


def _lengths(options: DecodeOptions, longest: int | None, model: str) -> list[int]:
    if options.lengths is None:
        usual = [n for n in LENGTHS if longest is None or n <= longest]
        return usual if longest is None or longest in usual or longest > LENGTHS[-1] else [*usual, longest]
    if longest is not None and max(options.lengths) > longest:
        most = f"at most {longest} tokens per round (its model.horizon)"
        raise InputError(f"this {model} drafts {most}, not {max(options.lengths)}")
    return sorted(options.lengths)


class TimedPasses:
    """The prompts, and the timed passes of arms over them."""

    def __init__(self, world: Any, drafter: Any, options: DecodeOptions, seed: int) -> None:
        from worldbench.baselines.acceptance import uniforms

        self.drafter, self.batch, self.end = drafter, options.batch, world.vocabulary.end
        self.prompts, self.lengths = world.prompts(seed, options.prompts)
        if options.choice == "sampled":  # too few distinct prompts are continued several times each
            again = np.arange(options.prompts) % len(self.prompts)
            self.prompts, self.lengths = self.prompts[again], self.lengths[again]
        self.limit = options.tokens or world.longest
        self.u = uniforms(0, len(self.prompts), self.limit, seed) if options.choice == "sampled" else None

    def resolved(self) -> dict[str, int]:
        return {"tokens": self.limit, "prompts": len(self.prompts)}

    def run(self, arms: list[Arm]) -> None:
        """Every arm continues every prompt once. The arms alternate after each batch of prompts."""
        from worldbench.baselines.speculative import generate

        tokens: list[list[np.ndarray]] = [[] for _ in arms]
        wall, processor = np.zeros(len(arms)), np.zeros(len(arms))
        for low in range(0, len(self.prompts), self.batch):
            at = slice(low, low + self.batch)
            u = None if self.u is None else self.u[at]
            for i, arm in enumerate(arms):
                started, busy = time.perf_counter(), time.process_time()
                got, _, counts = generate(
                    self.drafter.reader, self.prompts[at], self.lengths[at], limit=self.limit, end=self.end,
                    drafter=self.drafter, plan=arm.plan, u=u
                )  # fmt: skip
                wall[i] += time.perf_counter() - started
                processor[i] += time.process_time() - busy
                arm.counts += counts
                arm.batches += 1
                tokens[i].append(got)
        for i, arm in enumerate(arms):
            arm.wall.append(float(wall[i]))
            arm.processor.append(float(processor[i]))
            arm.tokens = tokens[i]


def compare_greedy(arms: list[Arm], passes: TimedPasses, model: Any) -> Identical:
    """Compares the continuations of all arms with plain decoding, token by token. Raises RunError if a difference is
    larger than rounding can explain."""
    plain = np.concatenate(arms[0].tokens)
    rows = 0
    for arm in arms[1:]:
        other = np.concatenate(arm.tokens)
        for r in np.flatnonzero((other != plain).any(1)):
            rows += 1
            at = int((other[r] != plain[r]).argmax())
            prefix = np.concatenate([passes.prompts[r, : passes.lengths[r]], plain[r, :at]])[None]
            top = np.sort(model.logits(prefix)[0, -1])[-2:]
            if top[1] - top[0] > ROUNDING:
                raise RunError(
                    f"decoding with {arm.plan} went wrong at token {at} of prompt {r}: the token differs from plain "
                    f"decoding, and the two highest logits differ by {top[1] - top[0]:.2g}; please report this"
                )
    return Identical(rows=len(plain) * (len(arms) - 1), different=rows, all=rows == 0)


def show(path: Path) -> None:
    """Prints the record as a table."""
    r = read(path, Decoding)
    s, plain = r.decode, r.plain
    where = f"{r.environment.processor}, {counted(s.threads, 'thread')}" if r.device == "cpu" else r.device
    who = f"{r.model.name} in {r.world_name}, {s.choice}, {counted(s.prompts, 'prompt')}"
    rate = f"{plain.round_ms:.2f} ms per token, {plain.tokens_per_second:.0f} tokens/s"
    print_notes([f"{who}, batch {s.batch}, {where}", f"plain: {rate}, {counted(plain.tokens, 'token')}"])
    head = ["drafts", "tokens per round", "forwards per token", "draft ms", "verify ms", "speed-up"]
    head += ["lowest .. highest", "in processor time"]
    body = [
        [
            str(a.length) if not a.threshold else f"to {a.length}, threshold {a.threshold:g}",
            f"{a.tokens_per_round:.2f}", f"{a.forwards_per_token:.3f}", f"{a.draft_ms:.2f}", f"{a.verify_ms:.2f}",
            f"{a.speed_up.median:.2f}", f"{a.speed_up.low:.2f} .. {a.speed_up.high:.2f}",
            f"{a.processor_speed_up.median:.2f}",
        ]
        for a in r.arms
    ]  # fmt: skip
    print(tables.terminal(head, body, 1))
    notes = ["acceptance by draft: " + " ".join(f"{x:.2f}" for x in r.acceptance_by_position)]
    predicted = f"{r.best.predicted_length} (speed-up {r.best.predicted_speed_up:.2f})"
    notes.append(
        f"best number of drafts: {r.best.length} of those tried; predicted from acceptance and costs: {predicted}"
    )
    if (same := r.identical) is not None:
        finding = "identical to plain decoding, token by token"
        if not same.all:
            finding = f"{same.different} differ from plain decoding, each where two logits are equal within rounding"
        notes.append(f"{counted(same.rows, 'continuation')}: {finding}")
    print_notes(notes)
