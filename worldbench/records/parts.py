"""Types that several records share: numbers, versions, identities, and the head that says which model was run in which
world with which settings.

A field with a default is left out of the file while it has its default. Unknown fields are refused.
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
        """A number that may be infinite. JSON has no infinity, so files hold "inf" or "-inf"."""


Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 digest."""
Key = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
"""An identity, as `core.files.identity_hash` computes it."""
Values = Mapping[str, Real | None]
"""Name -> number; None for a number that is not defined (NaN)."""
Settings = dict[str, dict[str, Any]]
"""Option group -> option -> JSON value. The options depend on the world and the model."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A piece of a record."""


class Record(Part, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole file.

    kind: the kind of record that the file names. marks: keys by which a file of schema 1, which does not name its kind,
    is recognized. versioned: whether files of schema 1 name their schema. remedy: what to do if the file cannot be
    read.
    """

    kind: ClassVar[str] = ""
    marks: ClassVar[tuple[str, ...]] = ()
    versioned: ClassVar[bool] = False
    remedy: ClassVar[str] = ""


class Identity(Part, frozen=True, kw_only=True):
    """The identities of a result. training: digest of everything that changes the weights. evaluation: digest of
    everything else that changes a score. reading: the model that reads the weights of another model's run; None if the
    run's own model is scored.
    """

    training: Key
    evaluation: Key
    reading: str | None = None

    @property
    def file_key(self) -> str:
        """The part of file names that names an evaluation in a run folder."""
        return self.evaluation[:10] + (f"-{self.reading}" if self.reading else "")


class Parameters(Part, frozen=True, kw_only=True):
    """Number of parameters that are trained, and number that predictions need."""

    training: Count
    inference: Count


class Model(Part, frozen=True, kw_only=True):
    """A model. hidden: the hidden states that probes read; None without hidden states. parameters: None for a model
    that is not trained. reads: the model whose run trained the weights; None for the run's own model.
    """

    name: str
    hidden: str | None = None
    parameters: Parameters | None = None
    reads: str | None = None


class Environment(Part, frozen=True, kw_only=True):
    """Versions and hardware that the last digits of a score depend on.

    instructions: instruction set of torch's kernels; None in older files. commit, dirty: of the git checkout; None for
    an installed package.
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
    """Which model was run in which world with which settings.

    world: the identity of the world, with keys of that world. command: the command that repeats the run. config: every
    setting that has an effect on the result. tuning: the budget of tuning; None if the settings were not tuned.
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
        """The value of an option among NUMBERS; None if the run has no such option."""
        return self.config.get(group, {}).get(name)

    def training_settings(self) -> Settings:
        """The options that training depends on."""
        return {group: values for group, values in self.config.items() if group in ("data", "model", "train")}


NUMBERS = (("data", "documents"), ("train", "steps"), ("eval", "seed"))
"""Options that code reads from records."""


def check_numbers(field: str, settings: Settings) -> None:
    """Raises ValueError if an option of NUMBERS is not a whole number, or is below 0."""
    for group, name in NUMBERS:
        value = settings.get(group, {}).get(name)
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"`{field}.{group}.{name}` must be a whole number of at least 0")


def check_world(world: dict[str, Any]) -> None:
    """Raises ValueError if a key that code reads from the identity of a world has the wrong type."""
    if not isinstance(world.get("world"), str):
        raise ValueError("`world.world` must be the name of the world")
    for name in ("map_digest", "process"):
        if not isinstance(world.get(name, ""), str):
            raise ValueError(f"`world.{name}` must be a string")


def marked(value: Any) -> Any:
    """A value as JSON: infinite numbers become "inf" and "-inf", NaN becomes None."""
    if isinstance(value, dict):
        return {str(name): marked(child) for name, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [marked(child) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def decoded(kind: type, value: Any) -> Any:
    """Decodes `Real` for msgspec (its `dec_hook`), which has no type for numbers that may be infinite."""
    if kind is Real:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return Real(value)
        if isinstance(value, str) and value in INFINITE:
            return Real(INFINITE[value])
        raise ValueError('Expected a number, "inf" or "-inf"')
    raise NotImplementedError(kind)
