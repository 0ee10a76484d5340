"""`bench.json`: the cost of training each objective at one shape, in time and memory of one machine."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec

from worldbench.records.parts import Count, Environment, Part, Real, Record


class Seconds(Part, frozen=True, kw_only=True):
    """Seconds of each round, in wall-clock time and in processor time."""

    wall: list[float]
    processor: list[float]


class Shape(Part, frozen=True, kw_only=True):
    """The shape of the models and of the random documents that they train on."""

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
    """The rows of a batch. of: description of the rows. tokens: tokens that are not padding. scored: tokens that are
    scored."""

    of: str
    rows: Count
    width: Count
    tokens: Count
    scored: Count


class Product(Part, frozen=True, kw_only=True):
    """A matrix product [n, k] x [k, m] that occurs at this shape."""

    name: str
    size: tuple[Count, Count, Count]
    operations_per_second: Real
    seconds: Seconds


class Ceiling(Part, frozen=True, kw_only=True):
    """The speed of the fastest matrix product, an upper bound for training."""

    operations_per_second: Real
    product: str
    products: list[Product]


class Parts(Part, frozen=True, kw_only=True):
    forward_backward: Seconds
    optimizer: Seconds


class Memory(Part, frozen=True, kw_only=True):
    """Largest memory in use. what: how it was measured, or why it is not known."""

    bytes: int | None
    what: str


class OtherWay(Part, frozen=True, kw_only=True):
    """The same model trained in another way. products, precision, compiled: options of training. step: seconds, median
    over rounds. to_first, ratio, to_plain: relative, in the same round, to the model's step in the first way, to the
    reference model in this way, and to the plain GPT in the first way."""

    name: str
    products: str
    precision: str
    compiled: bool = False
    seconds: Parts
    step: float
    to_first: Real
    ratio: Real
    to_plain: Real


class Cost(Part, frozen=True, kw_only=True):
    """The cost of a model. step, quartiles: seconds of a step over the rounds. operations: floating-point operations of
    a step. ratio..: relative to the reference model in the same round. way: what computes products, or the precision.
    to_plain: relative to the plain GPT. Older files have neither, and no other ways.
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
    way: str = "torch"
    to_plain: Real | None = None
    others: list[OtherWay] = msgspec.field(default_factory=list)


class Bench(Record, frozen=True, kw_only=True):
    """The costs of all models. shape: None if the rows are documents of a world."""

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
