"""Imports go down the ladder of docs/architecture.md, and in no circle."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
import rooms

TORCH_FREE = ("core", "settings", "records", "envs", "metrics", "figures")
"""Rooms that import torch neither at the top of a module nor inside a function."""


def test_imports_for_types_alone_are_seen() -> None:
    assert "matplotlib.figure.Figure" in set(rooms.imports(Path("figures/style.py")))


def test_no_import_goes_against_the_order() -> None:
    graph = rooms.module_graph()
    assert {rooms.room_of(module) for module in graph} - {""} == set(rooms.ALLOWED)
    assert rooms.against_the_order(graph) == []


def test_an_import_against_the_order_is_seen() -> None:
    graph = nx.DiGraph(
        [("worldbench.core.files", "worldbench.cli.run"), ("worldbench.cli.run", "worldbench.core.files")]
    )
    assert rooms.against_the_order(graph) == [("worldbench.core.files", "worldbench.cli.run")]
    assert rooms.circles(graph) == [["worldbench.cli.run", "worldbench.core.files"]]


def test_no_circles() -> None:
    assert rooms.circles(rooms.module_graph()) == []


@pytest.mark.parametrize("room", TORCH_FREE)
def test_rooms_without_torch(room: str) -> None:
    files = [path for path in rooms.sources() if rooms.room_of(rooms.module_of(path)) == room]
    assert files
    assert [path for path in files for name in rooms.imports(path) if name.split(".")[0] == "torch"] == []


def test_the_picture_of_the_rooms_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    rooms.main()
    printed = capsys.readouterr().out
    assert "circles: 0" in printed
    assert "arrows against the order: 0" in printed
    assert "runs       -> baselines" in printed
