"""Sweep recipes: TOML files that describe many runs, as one or several grids over worlds, presets, models, recipes,
seeds and options. `sweep_jobs.py` makes the jobs. docs/sweeps.md describes the format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldbench.core.content import quoted
from worldbench.core.errors import InputError, nearest
from worldbench.settings import shipped
from worldbench.settings.recipe import TABLES, read_toml

NAMES = ("worlds", "presets", "models", "configs")
GRID_KEYS = (*NAMES, "seeds", "vary", *TABLES)
"""What a grid may hold. The same keys at the top of the file apply to every grid."""
TOP_KEYS = (*GRID_KEYS, "plugin", "include", "grid", "table")
TABLE_KEYS = ("file", "columns", "worlds", "models")
FORMATS = {".md": "markdown", ".csv": "csv", ".json": "json"}
"""Ending of a table's file -> format of the leaderboard."""


@dataclass(frozen=True)
class Grid:
    """All combinations of some values. Empty worlds, presets and models: those of the recipes in `configs`, or the
    defaults. options: option group -> option -> value. vary: `group.option` -> values. own: the options, as
    `group.option`, that this grid names, and not the top of the file."""

    worlds: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    def named(self) -> list[str]:
        """Every option that the grid sets, as `group.option`."""
        return [*(f"{group}.{name}" for group, values in self.options.items() for name in values), *self.vary]


@dataclass(frozen=True)
class Table:
    """A leaderboard that the sweep writes. columns, worlds, models: empty: all."""

    file: str
    columns: tuple[str, ...] = ()
    worlds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def format(self) -> str:
        return FORMATS[Path(self.file).suffix]


@dataclass(frozen=True)
class Part:
    """The content of one file. plugins: the plugin files that it needs."""

    path: Path
    grids: tuple[Grid, ...]
    tables: tuple[Table, ...]
    plugins: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Sweep:
    """A sweep recipe: its own content, or that of the sweep recipes that it includes."""

    path: Path
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return self.path.stem


def load_sweep(path: Path) -> Sweep:
    """Read a sweep recipe and those that it includes, and check their keys and the types of their values. Raises
    InputError with the key and the value."""
    content = read_toml(path)
    _require_keys(str(path), content, TOP_KEYS)
    if "include" not in content:
        return Sweep(path, (_part(path, content),))
    if beside := [key for key in content if key != "include"]:
        raise InputError(f"{path}: a sweep that includes others holds nothing else; take {beside[0]} out of it")
    parts = []
    for name in _texts(str(path), "include", content["include"]):
        file = shipped.find(Path(name) if not Path(name).suffix else path.parent / name, "sweep")
        inside = read_toml(file)
        if "include" in inside:
            raise InputError(
                f"{path}: include names {name}, which itself includes other sweeps; name these sweeps instead"
            )
        parts.append(_part(file, inside))
    if twice := _written_twice(parts):
        raise InputError(f"{path}: two of the included sweeps write the table {twice}; rename one of the tables")
    return Sweep(path, tuple(parts))


def _written_twice(parts: Sequence[Part]) -> str | None:
    """The first file that two tables write; None if there is none."""
    counts = Counter(table.file for part in parts for table in part.tables)
    return next((file for file, count in counts.items() if count > 1), None)


def _part(path: Path, content: dict[str, Any]) -> Part:
    _require_keys(str(path), content, TOP_KEYS)
    common = {key: value for key, value in content.items() if key in GRID_KEYS}
    blocks = _blocks(path, content, "grid")
    grids = [_grid(f"{path}: {name}", common, block) for name, block in blocks] or [_grid(str(path), common, {})]
    tables = [_table(f"{path}: {name}", block) for name, block in _blocks(path, content, "table")]
    part = Part(path, tuple(grids), tuple(tables), _texts(str(path), "plugin", content.get("plugin", [])))
    if twice := _written_twice([part]):
        raise InputError(f"{path}: two tables have the file {twice}; give each table a file of its own")
    return part


def _blocks(path: Path, content: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = content.get(key, [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise InputError(f"{path}: {key} must be one or more blocks that begin with [[{key}]], not {quoted(blocks)}")
    return [(f"[[{key}]] number {i}", block) for i, block in enumerate(blocks, 1)]


def _require_keys(where: str, content: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in content:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}{nearest(key, known)}")


def _grid(where: str, common: dict[str, Any], block: dict[str, Any]) -> Grid:
    """A grid: its own values, and for the others the values at the top of the file. Tables are joined key by key."""
    _require_keys(where, block, GRID_KEYS)
    values = {**common, **block}
    for key in ("vary", *TABLES):
        both = [part[key] for part in (common, block) if key in part]
        if wrong := [table for table in both if not isinstance(table, dict)]:
            raise InputError(f"{where}: {key} must be a table, not {quoted(wrong[0])}")
        values[key] = {name: value for table in both for name, value in table.items()}
    for name, several in values["vary"].items():
        group, _, option = name.partition(".")
        if group not in TABLES or not option:
            raise InputError(
                f'{where}: vary.{name!r} must name an option such as "train.learning_rate" (with quotes), whose '
                f"group is one of {', '.join(TABLES)}"
            )
        if not isinstance(several, list) or not several:
            raise InputError(f"{where}: vary.{name!r} must be a list of values, not {quoted(several)}")
        if option in values[group]:
            raise InputError(f"{where}: {name} is both in [{group}] and in [vary]; leave one of them out")
    return Grid(
        **{key: _texts(where, key, values.get(key, [])) for key in NAMES},
        seeds=_seeds(where, values.get("seeds", [0])),
        options={group: values[group] for group in TABLES if values[group]},
        vary={name: tuple(several) for name, several in values["vary"].items()},
        own=frozenset([*block.get("vary", {}), *(f"{group}.{n}" for group in TABLES for n in block.get(group, {}))]),
    )


def _texts(where: str, key: str, value: Any) -> tuple[str, ...]:
    several = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one for one in several):
        raise InputError(f"{where}: {key} must be a name or a list of names, not {quoted(value)}")
    return tuple(dict.fromkeys(several))


def _seeds(where: str, value: Any) -> tuple[int, ...]:
    several = value if isinstance(value, list) else [value]
    if not several or not all(type(one) is int and one >= 0 for one in several):
        raise InputError(f"{where}: seeds must be a list of whole numbers from 0, such as [0, 1], not {quoted(value)}")
    return tuple(dict.fromkeys(several))


def _table(where: str, block: dict[str, Any]) -> Table:
    _require_keys(where, block, TABLE_KEYS)
    file = block.get("file")
    if not isinstance(file, str) or Path(file).name != file or Path(file).suffix not in FORMATS:
        raise InputError(
            f"{where}: file must be the name of a file without a folder, which ends in {', '.join(FORMATS)}, not "
            f"{quoted(file)}"
        )
    return Table(file, **{key: _texts(where, key, block.get(key, [])) for key in ("columns", "worlds", "models")})
