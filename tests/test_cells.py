"""What a cell of each format is, for every string that somebody else may have put into a file."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hostile import STRINGS, acting, check_csv, check_markdown

from worldbench.core import cells, tables
from worldbench.core.text import counted, encodable, visible

ALL = pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS.keys())


@ALL
def test_nothing_acts_and_nothing_is_lost(text: str) -> None:
    shown = visible(text)
    assert acting(shown) == []
    assert "\n" not in shown
    assert len(shown) >= len(text)
    assert visible(shown) == shown
    assert len(cells.terminal(text)) <= 2 * cells.LONGEST + 30
    encodable(text).encode("utf-8")


@ALL
def test_markdown_keeps_its_columns_and_reads_nothing_into_a_cell(text: str) -> None:
    check_markdown(tables.markdown(["name", text], [[text, "1"], ["x", text]]), columns=2)
    line = cells.markdown_line(text)
    assert "\n" not in line
    assert not line.startswith(("#", "- ", "=", ">"))


@ALL
def test_csv_keeps_its_columns_and_runs_nothing(text: str) -> None:
    rows = check_csv(tables.csv(["name", text], [[text, -1.5], [None, 3]]))
    assert rows[1][0].removeprefix("'") == visible(text)
    assert rows[1:][0][1] == "-1.5"
    assert rows[2] == ["", "3"]


@ALL
def test_latex_prints_every_character_and_runs_none(text: str) -> None:
    table = tables.latex(["name", text], [[text, "[x]"]], 1, title=f"x{text}")
    lines = table.splitlines()
    assert len(lines) == 8
    for line in (lines[0].removeprefix("% "), lines[3].removesuffix(r" \\"), lines[5].removesuffix(r" \\")):
        plain = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}|\$\\pm\$|\{[\[\]]\}", "", line)
        assert not re.search(r"[\\%$#_{}~^]", plain), plain[:200]
        assert plain.count("&") == (line != lines[0].removeprefix("% "))


@ALL
def test_json_is_the_same_value(text: str) -> None:
    message = cells.json({"name": [text, 1.5, None]})
    assert message.isascii()
    assert acting(message) == []
    assert json.loads(message) == {"name": [encodable(text), 1.5, None]}


def test_ordinary_cells_stay_as_they_are() -> None:
    for text in (
        "valid_trajectories.arrives_p0.5",
        "0.933 ±0.012",
        "taxi 37423b72 small",
        "model.horizon=4",
        "-",
        "R²",
        "-0.5",
        "12,345.0",
        "5e-05",
    ):
        assert cells.terminal(text) == cells.markdown(text) == cells.csv(text) == text
    assert cells.csv(-0.5) == -0.5
    assert cells.csv(True) == "True"
    assert cells.markdown("nextlat[horizon=4]") == "`nextlat[horizon=4]`"
    assert cells.terminal("x" * 500) == "x" * 200 + ".. (500 characters)"


def test_columns_of_a_csv_agree() -> None:
    with pytest.raises(AssertionError):
        tables.csv(["a", "b"], [["1"]])
    assert list(csv.reader(io.StringIO(tables.csv(["a", "b"], [["1,2", 'x"y']])))) == [["a", "b"], ["1,2", 'x"y']]


def test_counts_have_their_noun() -> None:
    assert [counted(n, "node") for n in (0, 1, 2, 1000)] == ["0 nodes", "1 node", "2 nodes", "1,000 nodes"]
    assert [counted(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]
