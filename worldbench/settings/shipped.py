"""The TOML files that come with worldbench: recipes (`--config NAME`), sweeps (`worldbench sweep NAME`) and speedruns
(`worldbench speedrun NAME`). `worldbench ls` lists them. The first line of a file is a comment that describes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from worldbench.core.errors import InputError
from worldbench.settings.renamed import hint

Kind = Literal["recipe", "sweep", "speedrun"]
FOLDERS: dict[Kind, Path] = {
    "recipe": Path(__file__).parent / "recipes",
    "sweep": Path(__file__).parent / "sweeps",
    "speedrun": Path(__file__).parent / "speedruns",
}


TUNED = "tuned/"
"""Start of the names of recipes that `worldbench tune` found. They name a world, a model and every setting."""


def names(kind: Kind = "recipe") -> list[str]:
    """The names of the files of a kind. A file in a folder has the folder in its name, such as `tuned/NAME`."""
    found = (path.relative_to(FOLDERS[kind]).with_suffix("") for path in FOLDERS[kind].rglob("*.toml"))
    return sorted(path.as_posix() for path in found)


def line(name: str, kind: Kind = "recipe") -> str:
    """The description of a file, in one line."""
    return (FOLDERS[kind] / f"{name}.toml").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def find(config: Path, kind: Kind = "recipe") -> Path:
    """The file that a command names: one that comes with worldbench, else a file. Raises InputError where there is
    neither."""
    known = names(kind)
    if config.as_posix() in known:
        return FOLDERS[kind] / f"{config}.toml"
    like_a_name = config.parent == Path() or any(name.startswith(f"{config.parent.as_posix()}/") for name in known)
    if like_a_name and not config.suffix and not os.path.exists(config):
        close = hint(str(config), known)
        listed = close if close and not close.startswith("; there are") else f"; worldbench ls lists the {kind}s"
        raise InputError(f"there is neither a {kind} nor a file {str(config)!r}{listed}")
    if not os.path.exists(config):
        raise InputError(f"there is no {kind} file {str(config)!r}; worldbench ls lists the {kind}s by name")
    return config
