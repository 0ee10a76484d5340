"""What a run folder says of itself: `config.json`, from which its job is read again, `manifest.json`, the processes
that worked in it, and `checkpoint/arithmetic.json`, what its training computes with.
"""

from __future__ import annotations

from typing import Any, ClassVar

from worldbench.core.budget import Budget
from worldbench.records.parts import (
    Count,
    Digest,
    Environment,
    Identity,
    Key,
    Part,
    Real,
    Record,
    Settings,
    check_numbers,
)


class PluginFile(Part, frozen=True, kw_only=True):
    """A plugin of a run. path: where it lay. sha256: of what was run; None in files of schema 1. registers: (kind,
    name) of each part that it defines.
    """

    path: str
    sha256: Digest | None
    registers: list[tuple[str, str]]


class Config(Record, frozen=True, kw_only=True):
    """Every setting of a run, resolved.

    world, model: by name. given: what differs from the preset, as `group.field`. plugins: the files that define parts
    of the run. groups: the options, by group. identity: of the run's own evaluation, the one that its last `worldbench
    run` asked for. training: what the training identity is made of; None in files of schema 1.
    """

    kind: ClassVar[str] = "config"
    marks: ClassVar[tuple[str, ...]] = ("groups", "given")
    remedy: ClassVar[str] = "repeat the command of the run, which writes the file again"

    world: str
    model: str
    preset: str
    seed: Count
    given: dict[str, Any]
    plugins: list[PluginFile]
    groups: Settings
    identity: Identity
    training: dict[str, Any] | None = None
    tuning: Budget | None = None

    def __post_init__(self) -> None:
        check_numbers("groups", self.groups)

    def number(self, group: str, name: str) -> int | None:
        """A whole number among NUMBERS; None where the run has no such option."""
        return self.groups.get(group, {}).get(name)


class Session(Part, frozen=True, kw_only=True):
    """A process that worked in the folder. outcome: "done", "killed", or the error. seconds: None while it works, and
    where it was killed.
    """

    argv: list[str]
    pid: Count
    started: str
    environment: Environment
    outcome: str
    seconds: Real | None = None


class Manifest(Record, frozen=True, kw_only=True):
    """For people: nothing in it is part of a result."""

    kind: ClassVar[str] = "manifest"
    marks: ClassVar[tuple[str, ...]] = ("sessions",)
    remedy: ClassVar[str] = "delete the file: it is for people, and no part of a result"

    sessions: list[Session]


class Arithmetic(Record, frozen=True, kw_only=True):
    """What a training began with, which the last digits of its weights depend on.

    device: the name of the processor or the graphics card. instructions: the instruction set of torch's own kernels;
    None on a graphics card. fingerprint: of the digits of a fixed small computation.
    """

    kind: ClassVar[str] = "arithmetic"
    marks: ClassVar[tuple[str, ...]] = ("instructions", "fingerprint")
    remedy: ClassVar[str] = "delete the file if the training goes on where it began, else the folder that it lies in"

    device: str
    instructions: str | None
    fingerprint: Key
