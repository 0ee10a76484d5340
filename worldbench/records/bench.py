"""`bench.json`: what each objective costs to train, at one shape. Times of one machine."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec

from worldbench.records.parts import Count, Environment, Part, Real, Record


class Seconds(Part, frozen=True, kw_only=True):
    """Of every round: by the clock on the wall, and of the processor."""

    wall: list[float]
    processor: list[float]


class Shape(Part, frozen=True, kw_only=True):
    """Of the models and of the random documents that they train on."""

    name: str
    preset: str
    layers: Count
    heads: Count
    width: Count
    vocabulary: Count
    tokens: Count
    batch: Count
    shortest: Count
    longest: Count


class RowFacts(Part, frozen=True, kw_only=True):
    """of: in words, what the rows hold. tokens: those that are not padding; scored: those that a loss is taken on."""

    of: str
    rows: Count
    width: Count
    tokens: Count
    scored: Count


class Product(Part, frozen=True, kw_only=True):
    """A matrix product [n, k] x [k, m] of the shape."""

    name: str
    size: tuple[Count, Count, Count]
    operations_per_second: Real
    seconds: Seconds


class Ceiling(Part, frozen=True, kw_only=True):
    """The fastest of the products."""

    operations_per_second: Real
    product: str
    products: list[Product]


class Parts(Part, frozen=True, kw_only=True):
    forward_backward: Seconds
    optimizer: Seconds


class Memory(Part, frozen=True, kw_only=True):
    """what: how the bytes were measured, or why they are not known."""

    bytes: int | None
    what: str


class Cost(Part, frozen=True, kw_only=True):
    """A model's: seconds of a step and its quartiles over the rounds; ratios to the reference in the same round;
    operations of a step.
    """

    label: str
    model: str
    options: dict[str, Any]
    parameters: Count
    inference_parameters: Count
    operations: Count
    operations_by_kind: dict[str, Count]
    largest_tensor: Count
    seconds: Parts
    step: float
    quartiles: tuple[float, float]
    tokens_per_second: Real
    ratio: Real
    ratio_forward_backward: Real
    ratio_by_operations: Real
    share_of_ceiling: Real
    memory: Memory


class Bench(Record, frozen=True, kw_only=True):
    """shape: None where the rows are a world's own."""

    kind: ClassVar[str] = "bench"
    marks: ClassVar[tuple[str, ...]] = ("ceiling", "models")
    versioned: ClassVar[bool] = True
    remedy: ClassVar[str] = "delete the file and run worldbench bench again"

    environment: Environment
    device: str
    threads: Count
    clock: Literal["processor", "wall"]
    repeats: Count
    shape: Shape | None
    rows: RowFacts
    vocabulary: Count
    ceiling: Ceiling
    models: Annotated[list[Cost], msgspec.Meta(min_length=1)]
