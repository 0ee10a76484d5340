"""The records of a run folder: `config.json` with all settings, `manifest.json` with the processes that worked there,
and `checkpoint/arithmetic.json` with the arithmetic of its training.
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
    """A plugin of a run. path: where the file was. sha256: digest of the file; None in files of schema 1. registers:
    (kind, name) of each part that the plugin defines.
    """

    path: str
    sha256: Digest | None
    registers: list[tuple[str, str]]


class Config(Record, frozen=True, kw_only=True):
    """All settings of a run.

    world, model: names. given: `group.field` -> value, for settings that differ from the preset. groups: option group
    -> option -> value. identity: the identities of the run's own evaluation, which its last `worldbench run` asked for.
    training: the content from which the training identity is computed; None in files of schema 1.
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
    """A process that worked in the folder. outcome: "done", "killed", or the error. seconds: how long it worked; None
    while it works, and if it was killed.
    """

    argv: list[str]
    pid: Count
    started: str
    environment: Environment
    outcome: str
    seconds: Real | None = None


class Manifest(Record, frozen=True, kw_only=True):
    """The processes that worked in the folder. This file is for people, and no result depends on it."""

    kind: ClassVar[str] = "manifest"
    marks: ClassVar[tuple[str, ...]] = ("sessions",)
    remedy: ClassVar[str] = "delete the file: no result depends on it"

    sessions: list[Session]


class Arithmetic(Record, frozen=True, kw_only=True):
    """The arithmetic at the start of a training, on which the last digits of its weights depend.

    device: name of the processor or the graphics card. instructions: instruction set of torch's kernels; None on a
    graphics card. fingerprint: digest of a small fixed computation (`training.arithmetic.fingerprint`).
    """

    kind: ClassVar[str] = "arithmetic"
    marks: ClassVar[tuple[str, ...]] = ("instructions", "fingerprint")
    remedy: ClassVar[str] = "delete the file if the training goes on where it began, else the folder that it lies in"

    device: str
    instructions: str | None
    fingerprint: Key
