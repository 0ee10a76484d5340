"""What the records of a run share: numbers, versions, identities, and the head that says what was run, on what, and
how.

A field that may be absent has a default, and is left out of the file where it is at that default. Unknown fields are
refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from worldbench.core.budget import Budget
from worldbench.core.files import INFINITE

if TYPE_CHECKING:
    Real = float
else:

    class Real(float):
        """A number that may be infinite. JSON has no infinity: the file says "inf" or "-inf"."""


Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A SHA-256."""
Key = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
"""Of `core.files.identity_hash`."""
Values = Mapping[str, Real | None]
"""Numbers by name; None where a number is not defined (NaN)."""
Settings = dict[str, dict[str, Any]]
"""Option group -> option -> any JSON value: which options there are depends on the world and the model."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A piece of a record."""


class Record(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole file.

    kind: what the file says that it is. marks: keys by which a file of schema 1, which does not say so, is recognized.
    versioned: did a file of schema 1 name its schema? remedy: what to do where the file cannot be read.
    """

    kind: ClassVar[str] = ""
    marks: ClassVar[tuple[str, ...]] = ()
    versioned: ClassVar[bool] = False
    remedy: ClassVar[str] = ""


class Identity(Part, frozen=True, kw_only=True):
    """training: of everything that changes the weights. evaluation: of everything else that changes a score. reading:
    the model that reads the weights of another model's run; None where the run's own model is scored.
    """

    training: Key
    evaluation: Key
    reading: str | None = None

    @property
    def file_key(self) -> str:
        """What names the files of an evaluation in the folder of a run."""
        return self.evaluation[:10] + (f"-{self.reading}" if self.reading else "")


class Parameters(Part, frozen=True, kw_only=True):
    """Numbers that training adjusts; those that prediction needs."""

    training: Count
    inference: Count


class Model(Part, frozen=True, kw_only=True):
    """hidden: which hidden states the probes read; None where the model has none. parameters: None for a model that is
    not trained. reads: the model whose run trained the weights; None for the run's own model.
    """

    name: str
    hidden: str | None = None
    parameters: Parameters | None = None
    reads: str | None = None


class Environment(Part, frozen=True, kw_only=True):
    """Versions and hardware that the last digits of a score depend on.

    instructions: the instruction set that torch computes with; None before it was noted. commit, dirty: of a checkout;
    None for an installed package.
    """

    worldbench: str
    python: str
    torch: str
    numpy: str
    processor: str
    instructions: str | None = None
    commit: str | None = None
    dirty: bool | None = None


class Head(Part, frozen=True, kw_only=True):
    """What was run, on what, and how.

    world: the identity of the world, whose keys are its own. command: repeats the run. config: every setting that has
    an effect. tuning: how the settings were chosen, where they were tuned.
    """

    world: dict[str, Any]
    model: Model
    preset: str
    seed: Count | None
    command: str
    config: Settings
    identity: Identity
    environment: Environment
    tuning: Budget | None = None

    def __post_init__(self) -> None:
        check_world(self.world)
        check_numbers("config", self.config)

    @property
    def world_name(self) -> str:
        return self.world["world"]

    def number(self, group: str, name: str) -> int | None:
        """A whole number among NUMBERS; None where the run has no such option."""
        return self.config.get(group, {}).get(name)

    def training_settings(self) -> Settings:
        """The options that training depends on."""
        return {group: values for group, values in self.config.items() if group in ("data", "model", "train")}


NUMBERS = (("data", "documents"), ("train", "steps"), ("eval", "seed"))
"""Options that records are read by."""


def check_numbers(field: str, settings: Settings) -> None:
    """Raises ValueError where an option of NUMBERS is not a whole number, or below 0."""
    for group, name in NUMBERS:
        value = settings.get(group, {}).get(name)
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"`{field}.{group}.{name}` must be a whole number of at least 0")


def check_world(world: dict[str, Any]) -> None:
    """The identity of a world has keys of the world's own; these are read. Raises ValueError."""
    if not isinstance(world.get("world"), str):
        raise ValueError("`world.world` must be the name of the world")
    for name in ("map_digest", "process"):
        if not isinstance(world.get(name, ""), str):
            raise ValueError(f"`world.{name}` must be a string")


def marked(value: Any) -> Any:
    """JSON for any record: infinite numbers as "inf" and "-inf", None for NaN."""
    if isinstance(value, dict):
        return {str(name): marked(child) for name, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [marked(child) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def decoded(kind: type, value: Any) -> Any:
    """For msgspec's `dec_hook`: numbers that may be infinite, which it has no type for."""
    if kind is Real:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return Real(value)
        if isinstance(value, str) and value in INFINITE:
            return Real(INFINITE[value])
        raise ValueError('Expected a number, "inf" or "-inf"')
    raise NotImplementedError(kind)
