"""Settings that a Python program passes, as a job. They have the names and the checks of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldbench.core import registry
from worldbench.core.errors import InputError
from worldbench.settings.choice import choose
from worldbench.settings.job import Job

Settings = Mapping[str, Any]
"""Options of one group by name, such as `{"steps": 200}`. Values: numbers, strings, paths, or lists of these."""
PathLike = str | Path


def job_of(
    world: str | None, model: str | None, groups: Mapping[str, Settings | None], *, preset: str | None = None,
    seed: int | None = None, config: PathLike | None = None, tuned: str | None = None,
    plugins: Sequence[PathLike] = (),
) -> Job:  # fmt: skip
    """The job for some settings. Raises InputError for a world, model or metric whose code is in no file: a record
    could not name the code."""
    file = None if config is None else Path(config)
    words = [word for group, settings in groups.items() for word in words_of(group, settings)]
    choice = choose(world, preset=preset, config=file, plugins=paths_of(plugins), options=words)
    job = choice.job(choice.model(model), words, seed=seed, tuned=tuned)
    chosen = job.groups["eval"].metrics or registry.metrics.names()
    parts = [registry.worlds[job.world], registry.models[job.model], *(registry.metrics[name] for name in chosen)]
    for entry in parts:
        if not entry.plugin and not isinstance(entry.target, str):
            what = f"{entry.name} was registered by code that is in no plugin file, so a record could not name the code"
            raise InputError(f"{what}; put the code into a file and name the file: plugins=['FILE.py']")
    return job


def model_of(model: str | Settings | None) -> tuple[str | None, Settings]:
    if model is None or isinstance(model, str):
        return model, {}
    return model.get("name"), {name: value for name, value in model.items() if name != "name"}


def words_of(group: str, settings: Settings | None) -> list[str]:
    """Settings as words of a command line, because the command line checks them."""
    words: list[str] = []
    for name, value in (settings or {}).items():
        if isinstance(value, (list, tuple)):
            words += [f"--{group}.{name}", *map(str, value)]
        else:
            words.append(f"--{group}.{name}={value}")
    return words


def paths_of(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
