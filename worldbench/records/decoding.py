"""`decode.json`: the speed of self-speculative decoding with the model of a run, measured on one machine. No result
depends on it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from worldbench.records.parts import Count, Head, Part, Real, Record


class Asked(Part, frozen=True, kw_only=True):
    """What was decoded, and how. adaptive: the threshold that was asked for; None: the threshold that the measured
    costs suggest."""

    prompts: Count
    batch: Count
    lengths: list[Count]
    adaptive: float | None
    choice: Literal["greedy", "sampled"]
    tokens: Count
    repeats: Count
    threads: Count


class Plain(Part, frozen=True, kw_only=True):
    """Decoding token by token. seconds, processor_seconds: of each repeat. round_ms: milliseconds of a forward pass of
    the whole batch. prompt_ms: milliseconds of the forward pass over the prompts.
    """

    tokens: Count
    seconds: list[float]
    processor_seconds: list[float]
    tokens_per_second: Real
    round_ms: Real
    prompt_ms: Real
    forwards_per_token: Real


class Spread(Part, frozen=True, kw_only=True):
    """Median and range of a ratio over the repeats."""

    median: Real
    low: Real
    high: Real
    repeats: list[Real]


class Arm(Part, frozen=True, kw_only=True):
    """Decoding with at most `length` drafts per round. threshold: drafting stops below this probability; 0: never.
    tested, accepted: number of drafts, by position in the round.
    """

    length: Count
    threshold: float
    tokens: Count
    seconds: list[float]
    processor_seconds: list[float]
    tokens_per_second: Real
    round_ms: Real
    prompt_ms: Real
    drafted_per_round: Real
    accepted_per_round: Real
    tokens_per_round: Real
    forwards_per_token: Real
    tested: list[Count]
    accepted: list[Count]
    draft_ms: Real
    verify_ms: Real
    speed_up: Spread
    processor_speed_up: Spread


class Costs(Part, frozen=True, kw_only=True):
    """Milliseconds of a round without drafts, and of each draft in a round."""

    round_without_drafts: Real
    each_draft: Real


class BestLength(Part, frozen=True, kw_only=True):
    """length: the fastest length that was tried. predicted_length: the fastest length according to the shares of
    accepted drafts and the costs."""

    length: Count
    predicted_length: Count
    predicted_speed_up: Real
    suggested_threshold: float | None


class Identical(Part, frozen=True, kw_only=True):
    """Number of continuations that were compared with plain decoding, and of those that differ."""

    rows: Count
    different: Count
    all: bool


class Decoding(Record, Head, frozen=True, kw_only=True):
    """The speed of all arms. identical: None for sampled continuations, which need not be identical."""

    kind: ClassVar[str] = "decode"
    marks: ClassVar[tuple[str, ...]] = ("decode", "arms")
    versioned: ClassVar[bool] = True
    remedy: ClassVar[str] = "delete the file and decode again"

    decode_command: str
    decode: Asked
    device: str
    plain: Plain
    arms: Annotated[list[Arm], msgspec.Meta(min_length=1)]
    costs_ms: Costs
    acceptance_by_position: list[Real]
    best: BestLength
    identical: Identical | None
