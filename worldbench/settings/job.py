"""A job: a world, a model and all settings. A job makes one run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from worldbench.core.budget import Budget
from worldbench.core.eval_config import unused
from worldbench.core.options import named_files
from worldbench.core.plugins import Plugin
from worldbench.core.registry import models

PYTHON = "python"
"""Stands for the words of a model that is an object of a Python program, which no command line can name."""


@dataclass(frozen=True)
class Job:
    """A world, a model and all settings.

    groups: option group -> dataclass. given: `group.field` -> value, for settings that differ from the preset. tuned:
    the budget with which the settings were tuned; None if they were not tuned. own: for a model of the user, which is
    scored without training: the words after `worldbench score WORLD` that name the model, or (PYTHON,).
    """

    world: str
    model: str
    preset: str
    seed: int
    groups: dict[str, Any]
    given: dict[str, Any]
    plugins: tuple[Plugin, ...] = ()
    tuned: Budget | None = None
    own: tuple[str, ...] = ()

    def replace(self, group: str, **values: Any) -> Job:
        return dataclasses.replace(
            self, groups={**self.groups, group: dataclasses.replace(self.groups[group], **values)}
        )

    def value(self, option: str) -> Any:
        """The value of `group.field`."""
        group, _, name = option.partition(".")
        return getattr(self.groups[group], name)

    def changed(self, settings: dict[str, Any]) -> Job:
        """The job with other values of some `group.field`, as if the command line had set them."""
        job, new = self, {option: value for option, value in settings.items() if value != self.value(option)}
        for option, value in new.items():
            group, _, name = option.partition(".")
            job = job.replace(group, **{name: value})
        return dataclasses.replace(job, given={**self.given, **new})

    @property
    def trained(self) -> bool:
        return "train" in self.groups

    @property
    def threads(self) -> int:
        """Number of threads of torch."""
        return self.groups["train"].threads if self.trained else 1

    @property
    def seeded(self) -> bool:
        """Whether the model depends on the seed."""
        return self.trained or (not self.own and self.model in models.names() and models[self.model].seeded)

    def command(self) -> str:
        """The command that repeats this job (files by their names alone)."""
        if self.own == (PYTHON,):
            return self._call()
        processes = self.value("train.processes") if self.trained else 1
        words = [
            *(("torchrun", "--nproc-per-node", str(processes), "-m") if processes > 1 else ()),
            "worldbench",
            *(
                ("score", self.world, *map(_shell, self.own))
                if self.own
                else ("run", self.world, "--model", self.model)
            ),
            "--preset",
            self.preset,
        ]
        words += ["--seed", str(self.seed)] if self.seeded else []
        words += ["--tuned", _shell(self.tuned)] if self.tuned is not None else []
        return " ".join([*words, *self.options()])

    def _call(self) -> str:
        """The call from Python that repeats this job."""
        groups: dict[str, dict[str, Any]] = {}
        for key, value in sorted(self.given.items()):
            group, _, name = key.partition(".")
            files = named_files(self.groups[group])
            groups.setdefault(group, {})[name] = files[name].name if name in files else value
        settings = "".join(f", {group}={values!r}" for group, values in groups.items())
        plugins = f", plugins={[plugin.name for plugin in self.plugins]!r}" if self.plugins else ""
        return f"wb.score({self.world!r}, {self.model}, preset={self.preset!r}{settings}{plugins})"

    def options(self) -> list[str]:
        """The words that pass what differs from the preset (files by their names alone), without the options of metrics
        that are not scored."""
        words: list[str] = []
        for plugin in self.plugins:
            words += ["--plugin", _shell(plugin.name)]
        files = {
            f"{group}.{name}": path.name
            for group, config in self.groups.items()
            for name, path in named_files(config).items()
        }
        left_out = {f"eval.{name}" for name in unused(self.given.get("eval.metrics", ()))}
        left_out.add("train.processes")  # torchrun sets it
        for key, value in sorted((key, value) for key, value in self.given.items() if key not in left_out):
            value = files.get(key, value)
            words += [f"--{key}", *map(_shell, value if isinstance(value, (list, tuple)) else [value])]
        return words


def _shell(value: Any) -> str:
    import shlex

    return shlex.quote(str(value))
