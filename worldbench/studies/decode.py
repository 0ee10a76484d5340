"""How much faster a finished run's model decodes when it guesses several of its own next tokens: `decode.json`.

Every arm (plain, each number of drafts a round, adaptive) continues the same held-out prompts with the same engine and
cache, by turns, prompt by prompt, so that a machine that is busy for a while is busy for all of them. A speed-up is the
ratio of the times of one repeat; reported is the median over repeats, beside the lowest and the highest. Time is the
wall clock's, the reading of the prompt included; the ratio of this process' processor time stands beside it. No result
of the run is touched.
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
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import identity_hash, lock
from worldbench.core.text import counted
from worldbench.records.decoding import Asked, Decoding, Identical
from worldbench.records.reading import read, write
from worldbench.runs.display import Display, print_notes
from worldbench.runs.run import about, reopen
from worldbench.runs.weights import at_step
from worldbench.studies.decode_arms import Arm, suggested_threshold, summary

LENGTHS = (1, 2, 4, 8, 12)
NO_LIMIT = 1e-30
"""A threshold that stops no draft, and has chances counted."""
ROUNDING = 1e-3
"""A difference between two logits up to which either may be the highest: passes over one token and over several add in
another order.
"""


@dataclass(frozen=True)
class Settings:
    """What to decode, and how.

    lengths None: LENGTHS, up to what the model can. adaptive None: by the measured costs; 0: left out. tokens None: the
    world's decode limit. threads None: as in training.
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
            raise InputError(f"--adaptive takes a chance between 0 and 1, not {self.adaptive}")

    def words(self) -> list[str]:
        """The options that differ from the defaults, as on the command line."""
        out = []
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                values = value if isinstance(value, tuple) else (value,)
                out += ["--sampled"] if f.name == "choice" else [f"--{f.name}", *map(str, values)]
        return out


def decode(
    folder: Path, settings: Settings, display: Display, places: Sequence[str] = (), plugins: Sequence[Path] = ()
) -> Path:
    """Measure a finished run; the path of the record.

    places: options that say where the files of the run lie now. plugins: the files named on the command line.
    Raises InputError where the run's model brings no drafter along.
    """
    import torch

    from worldbench.baselines.drafters import drafter_of, refusal
    from worldbench.baselines.speculative import PLAIN, Plan
    from worldbench.training.arithmetic import set_up

    prepared = reopen(folder, list(places), display, plugins)
    if not prepared.job.trained:
        raise refusal(prepared.job.model)
    train, world = prepared.job.groups["train"], prepared.world
    if world.labelled:
        labels = f"the world {world.name!r} asks for labels of its own, not for the next token"
        raise InputError(f"{labels}: its models do not continue prompts")
    words = settings.words()
    path = folder / (f"decode-{identity_hash(words)[:10]}.json" if words else "decode.json")
    with lock(folder):
        model: Any = at_step(prepared, folder, train.steps)
        drafter = drafter_of(model.objective)
        lengths = _lengths(settings, drafter.longest, prepared.job.model)
        set_up(settings.threads or train.threads)
        bench = Bench(world, drafter, settings, prepared.job.groups["eval"].seed)
        arms = [Arm(PLAIN), *(Arm(Plan(n)) for n in lengths)]
        with display.task("decoding") as announce:
            announce("a first time, not counted")
            for arm in arms:
                bench.pass_over([arm])
            if not arms[0].counts.rounds:
                every = f"every continuation by the model of {str(folder)!r} ends with its first token"
                raise InputError(f"{every}: there is nothing to decode faster")
            pilot = Arm(Plan(max(lengths), NO_LIMIT))
            if settings.adaptive is None:
                bench.pass_over([pilot])
            threshold = settings.adaptive if settings.adaptive is not None else suggested_threshold(arms, pilot)
            arms = [Arm(arm.plan) for arm in arms] + ([Arm(Plan(max(lengths), threshold))] if threshold else [])
            bench.pass_over(arms[-1:])
            arms[-1] = Arm(arms[-1].plan)
            for repeat in range(settings.repeats):
                announce(f"repeat {repeat + 1} of {settings.repeats}")
                bench.pass_over(arms[repeat % len(arms) :] + arms[: repeat % len(arms)])
        asked = dataclasses.asdict(settings) | {
            "lengths": lengths, **bench.resolved(), "threads": torch.get_num_threads()
        }  # fmt: skip
        record = Decoding(
            **about(prepared, model),
            decode_command=" ".join(["worldbench", "decode", shlex.quote(folder.resolve().name), *words]),
            decode=Asked(**asked),
            device=train.device,
            **summary(arms, threshold if settings.adaptive is None else None),
            identical=compare_greedy(arms, bench, model) if settings.choice == "greedy" else None,
        )
        write(path, record)
    return path


def _lengths(settings: Settings, longest: int | None, model: str) -> list[int]:
    if settings.lengths is None:
        usual = [n for n in LENGTHS if longest is None or n <= longest]
        return usual if longest is None or longest in usual or longest > LENGTHS[-1] else [*usual, longest]
    if longest is not None and max(settings.lengths) > longest:
        most = f"at most {longest} tokens a round (its model.horizon)"
        raise InputError(f"this {model} drafts {most}, not {max(settings.lengths)}")
    return sorted(settings.lengths)


class Bench:
    """The prompts, and one pass of arms over them."""

    def __init__(self, world: Any, drafter: Any, settings: Settings, seed: int) -> None:
        from worldbench.baselines.speculative import uniforms

        self.drafter, self.batch, self.end = drafter, settings.batch, world.vocabulary.end
        self.prompts, self.lengths = world.prompts(seed, settings.prompts)
        if settings.choice == "sampled":  # of fewer distinct prompts than asked for: several continuations of each
            again = np.arange(settings.prompts) % len(self.prompts)
            self.prompts, self.lengths = self.prompts[again], self.lengths[again]
        self.limit = settings.tokens or world.longest
        self.u = uniforms(0, len(self.prompts), self.limit, seed) if settings.choice == "sampled" else None

    def resolved(self) -> dict[str, int]:
        return {"tokens": self.limit, "prompts": len(self.prompts)}

    def pass_over(self, arms: list[Arm]) -> None:
        """Every arm continues every prompt once, by turns."""
        from worldbench.baselines.speculative import generate

        tokens: list[list[np.ndarray]] = [[] for _ in arms]
        wall, processor = np.zeros(len(arms)), np.zeros(len(arms))
        for low in range(0, len(self.prompts), self.batch):
            at = slice(low, low + self.batch)
            u = None if self.u is None else self.u[at]
            for i, arm in enumerate(arms):
                then, busy = time.perf_counter(), time.process_time()
                got, _, counts = generate(
                    self.drafter.reader, self.prompts[at], self.lengths[at], limit=self.limit, end=self.end,
                    drafter=self.drafter, plan=arm.plan, u=u
                )  # fmt: skip
                wall[i] += time.perf_counter() - then
                processor[i] += time.process_time() - busy
                arm.counts += counts
                arm.batches += 1
                tokens[i].append(got)
        for i, arm in enumerate(arms):
            arm.wall.append(float(wall[i]))
            arm.processor.append(float(processor[i]))
            arm.tokens = tokens[i]


def compare_greedy(arms: list[Arm], bench: Bench, model: Any) -> Identical:
    """Are all arms' continuations the plain ones, token by token? Raises RunError where they differ by more than
    rounding can explain.
    """
    plain = np.concatenate(arms[0].tokens)
    rows = 0
    for arm in arms[1:]:
        other = np.concatenate(arm.tokens)
        for r in np.flatnonzero((other != plain).any(1)):
            rows += 1
            at = int((other[r] != plain[r]).argmax())
            prefix = np.concatenate([bench.prompts[r, : bench.lengths[r]], plain[r, :at]])[None]
            top = np.sort(model.logits(prefix)[0, -1])[-2:]
            if top[1] - top[0] > ROUNDING:
                raise RunError(
                    f"decoding with {arm.plan} went wrong at token {at} of prompt {r}: it differs from plain decoding "
                    "where the best two logits are "
                    f"{top[1] - top[0]:.2g} apart; please report this"
                )
    return Identical(rows=len(plain) * (len(arms) - 1), different=rows, all=rows == 0)


def show(path: Path) -> None:
    """The record as a table."""
    r = read(path, Decoding)
    s, plain = r.decode, r.plain
    where = f"{r.environment.processor}, {counted(s.threads, 'thread')}" if r.device == "cpu" else r.device
    who = f"{r.model.name} in {r.world_name}, {s.choice}, {counted(s.prompts, 'prompt')}"
    rate = f"{plain.round_ms:.2f} ms a token, {plain.tokens_per_second:.0f} tokens/s"
    print_notes([f"{who}, batch {s.batch}, {where}", f"plain: {rate}, {counted(plain.tokens, 'token')}"])
    head = ["drafts", "tokens a round", "forwards a token", "draft ms", "verify ms", "speed-up"]
    head += ["lowest .. highest", "of processor time"]
    body = [
        [
            str(a.length) if not a.threshold else f"to {a.length}, chance {a.threshold:g}",
            f"{a.tokens_per_round:.2f}", f"{a.forwards_per_token:.3f}", f"{a.draft_ms:.2f}", f"{a.verify_ms:.2f}",
            f"{a.speed_up.median:.2f}", f"{a.speed_up.low:.2f} .. {a.speed_up.high:.2f}",
            f"{a.processor_speed_up.median:.2f}",
        ]
        for a in r.arms
    ]  # fmt: skip
    print(tables.terminal(head, body, 1))
    notes = ["acceptance by draft: " + " ".join(f"{x:.2f}" for x in r.acceptance_by_position)]
    predicted = f"{r.best.predicted_length} (speed-up {r.best.predicted_speed_up:.2f})"
    notes.append(f"best length: {r.best.length} of those tried; by acceptance and costs {predicted}")
    if (same := r.identical) is not None:
        told = "identical to plain decoding, token by token"
        if not same.all:
            told = f"{same.different} differ from plain decoding, each where two logits tie"
        notes.append(f"{counted(same.rows, 'continuation')}: {told}")
    print_notes(notes)
