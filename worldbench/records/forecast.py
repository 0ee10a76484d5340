"""`forecast.json`: how long the training of a run will take on one machine, from the time of its first steps."""

from __future__ import annotations

from typing import Any, ClassVar

from worldbench.records.bench import Memory
from worldbench.records.parts import Count, Environment, Part, Record, check_world


class Measured(Part, frozen=True, kw_only=True):
    """The steps that were timed. step, quartiles: seconds of a step. tokens: of a step. operations: floating-point
    operations of a step, without those of the optimizer. point: seconds of a point of the learning curve."""

    steps: Count
    step: float
    quartiles: tuple[float, float]
    tokens: Count
    tokens_per_second: float
    operations: Count
    operations_per_second: float
    point: float


class Forecast(Record, frozen=True, kw_only=True):
    """The forecast of a run. steps, points: of the whole training. seconds: of the whole training and its learning
    curve; scoring, references and figures are not included."""

    kind: ClassVar[str] = "forecast"
    marks: ClassVar[tuple[str, ...]] = ("forecast", "measured")
    remedy: ClassVar[str] = "delete the file and run worldbench forecast again"

    environment: Environment
    command: str
    world: dict[str, Any]
    model: str
    preset: str
    device: str
    threads: Count
    parameters: Count
    steps: Count
    points: Count
    measured: Measured
    memory: Memory
    seconds: float

    def __post_init__(self) -> None:
        check_world(self.world)
