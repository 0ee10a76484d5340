"""Options, recipes and scores with new names: the old name is refused with the new one, and older records are read
with the new names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_records import without_bounds

from worldbench.cli.main import main
from worldbench.core.errors import nearest
from worldbench.records.reading import KINDS, read_any, text
from worldbench.settings import shipped
from worldbench.settings.renamed import OPTIONS, RECIPES, SCORES, hint
from worldbench.settings.resolve import group_types

OLDER = sorted((Path(__file__).parent / "schema_2").glob("*.json"))
"""A record of each kind, written by the last version with schema 2."""
OLD_NAMES = re.compile(rf"\b({'|'.join(['rides', 'sham', 'optimiser', *SCORES])})\b")


def test_every_new_name_is_there() -> None:
    known = {f"{group}.{name}" for name in ("gpt", "nextlat") for group, cls in group_types("taxi", name).items()
             for name in cls.__dataclass_fields__}  # fmt: skip
    assert set(OPTIONS.values()) <= known
    assert not set(OPTIONS) & known
    assert set(RECIPES.values()) <= set(shipped.names())
    assert all(old.partition(".")[0] == new.partition(".")[0] for old, new in OPTIONS.items())


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["run", "taxi", "--data.rides", "80"], "'--data.documents'"),
        (["run", "taxi", "--train.optimiser=sgd"], "'--train.optimizer'"),
        (["run", "taxi", "--model", "nextlat", "--model.sham", "cut"], "'--model.control'"),
        (["tune", "taxi", "--models", "gpt", "nextlat", "--model.sham", "cut"], "'--model.control'"),
        (["run", "taxi", "--config", "nextlat-sham-cut"], "'nextlat-control-cut'"),
    ],
)
def test_an_old_name_on_the_command_line(words: list[str], new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert f"; it is now called {new}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "new"),
    [
        ("[data]\nrides = 80", "documents"),
        ('[train]\noptimiser = "sgd"', "optimizer"),
        ('[model]\nname = "nextlat"\nsham = "cut"', "control"),
    ],
)
def test_an_old_name_in_a_recipe(recipe: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.toml").write_text(recipe)
    assert main(["run", "taxi", "--config", str(tmp_path / "recipe.toml")]) == 2
    assert f"; it is now called '{new}'\n" in capsys.readouterr().err


def test_hints() -> None:
    assert hint("sham", ["control", "model.control"]) == "; it is now called 'control'"
    assert hint("normalised", ["normalized"]) == "; it is now called 'normalized'"
    for name in ("data.rides", "normalised", "stepz"):  # the new name is not among those known, or there is none
        assert hint(name, ["steps"]) == nearest(name, ["steps"])


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_a_record_of_schema_2_is_read_with_the_new_names(path: Path) -> None:
    """With the old names of the file replaced, it says what the upgraded record says, apart from the bounds, severities
    and readings of other models, which schema 3 writes otherwise.
    """
    old, new = path.read_text(), text(read_any(path))
    assert json.loads(old)["schema_version"] == 2
    assert not OLD_NAMES.search(new)
    changed, upgraded = (without_bounds(json.loads(x)) for x in (OLD_NAMES.sub(_new_name, old), new))
    assert upgraded == changed | {"schema_version": upgraded["schema_version"]}


def _new_name(found: re.Match[str]) -> str:
    return {"rides": "documents", "sham": "control", "optimiser": "optimizer", **SCORES}[found[0]]


def test_there_is_a_file_of_schema_2_of_each_kind() -> None:
    """Of each kind that schema 2 had."""
    assert {read_any(path).kind for path in OLDER} == {kind.kind for kind in KINDS} - {
        "measurement",
        "faults",
        "doctor",
        "forecast",
        "data",
        "speedrun",
    }
