"""Mazes as text: what is written is read again, the literature's own lines are read, and malformed ones are refused,
saying where and why."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from sample_records import result_of

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.envs.maze import text_format
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import from_text, parse, read, to_text, write
from worldbench.records.reading import text

LINE = (
    "<ADJLIST_START> (1,1) <--> (1,0) ; (0,0) <--> (1,0) ; (0,1) <--> (1,1) ; <ADJLIST_END> "
    "<ORIGIN_START> (0,0) <ORIGIN_END> "
    "<TARGET_START> (0,1) <TARGET_END> <PATH_START> (0,0) (1,0) (1,1) (0,1) <PATH_END>"
)


@pytest.mark.parametrize("config", [SolveConfig(), SolveConfig(rows=3, columns=7, generator="depth-first-percolation")])
def test_written_and_read_again(config: SolveConfig, tmp_path: Path) -> None:
    world = SolveWorld(config)
    d = world.sample(0, "train", 0, 50)
    write(tmp_path / "mazes.txt", d, world.rows, world.columns)
    again = read(tmp_path / "mazes.txt", world.rows, world.columns)
    width = again.tokens.shape[1]
    assert np.array_equal(again.tokens, d.tokens[:, :width])
    assert np.array_equal(again.length, d.length)
    assert np.array_equal(again.prompt_length, d.prompt_length)
    assert (tmp_path / "mazes.txt").read_text().splitlines() == to_text(again, world.rows, world.columns)


def test_small_mazes_on_a_larger_grid_and_empty_lines() -> None:
    d = from_text(["", LINE, "  ", LINE], 5, 5)
    assert len(d) == 2
    said = parse(d.tokens, d.prompt_length, 5, 5)
    assert said.open.sum(axis=1).tolist() == [3, 3]
    assert said.origin.tolist() == [0, 0]
    assert said.target.tolist() == [1, 1]
    assert said.flip[0].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<ADJLIST_START> ", "", "must begin with '<ADJLIST_START>', not '(1,1)'"),
        ("(1,1) <-->", "(1,2) <-->", "'(1,2)' is not a cell of a maze of 2 x 2"),
        ("<--> (1,0) ;", "<-> (1,0) ;", "'<->' is not a word; did you mean '<-->'"),
        ("(1,1) <--> (1,0) ;", "(1,1) (1,0) ;", "word 3 must be '<-->', not '(1,0)'"),
        ("(1,0) ; (0,0)", "(1,0) (0,0)", "word 5 must be ';', not '(0,0)'"),
        ("(0,0) <--> (1,0)", "(0,0) <--> (1,1)", "(0,0) and (1,1) are not neighbors"),
        ("(0,0) <--> (1,0)", "(1,0) <--> (1,1)", "(1,0) and (1,1) is listed twice"),
        (" ; <ADJLIST_END>", " ;", "a cell, not '<ORIGIN_START>'"),
        ("<ORIGIN_START> (0,0)", "<ORIGIN_START>", "must be a cell, not '<ORIGIN_END>'"),
        (" <PATH_END>", "", "must end with '<PATH_END>', not '(0,1)'"),
        ("<PATH_START> (0,0)", "<PATH_START>", "must lead from (0,0) to (0,1)"),
        ("(1,1) (0,1) <PATH_END>", "(1,1) <PATH_END>", "must lead from (0,0) to (0,1)"),
        ("(0,0) (1,0) (1,1) (0,1) <", "(0,0) (0,1) <", "from (0,0) to (0,1), where there is no passage"),
        (
            "(0,0) (1,0) (1,1) (0,1) <",
            "(0,0) (1,0) (0,0) (1,0) (1,1) (0,1) <",
            "the path has 5 moves, but a shortest path has 3",
        ),
        ("(1,1) (0,1) <PATH_END>", "; (0,1) <PATH_END>", "only cells"),
    ],
)
def test_malformed_lines_are_refused(old: str, new: str, message: str) -> None:
    assert old in LINE
    with pytest.raises(InputError) as error:
        from_text(["", LINE, LINE.replace(old, new, 1)], 2, 2, "mine.txt")
    assert "mine.txt, line 3: " in str(error.value)
    assert message in str(error.value)


def pieces(line: str) -> str:
    return re.sub(r"\((\d),(\d)\)", r"( \1 , \2 )", line)


SPELLED = {
    "pieces": pieces(LINE),
    "a space after the comma": LINE.replace(",", ", "),
    "no spaces": LINE.replace(" ", ""),
    "tabs": LINE.replace(" ", "\t"),
    "small letters": LINE.lower(),
    "no last semicolon": LINE.replace(" ; <ADJLIST_END>", " <ADJLIST_END>"),
    "a comment": LINE + "  # the second",
    "a line of comment": "# mine\n" + LINE,
    "a byte order mark": "\ufeff" + LINE,
    "Windows' line ends": LINE + "\r\n",
    "a wall": LINE.replace(" <ADJLIST_END>", " (0,0) <XX> (0,1) ; <ADJLIST_END>"),
    "a wall at the end, without its semicolon": LINE.replace(" <ADJLIST_END>", " (0,0) <xx> (0,1) <ADJLIST_END>"),
    "a wall first": LINE.replace("<ADJLIST_START>", "<ADJLIST_START> (0,0) <XX> (0,1) ;"),
}


@pytest.mark.parametrize("spelling", SPELLED)
def test_however_a_line_is_written(spelling: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes((SPELLED[spelling] + "\n").encode())
    assert to_text(read(path, 2, 2), 2, 2) == [LINE]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("input,output", "'input,output' is not a word of a maze; a line reads '<ADJLIST_START> (0,0) <--> (0,1) ; .."),
        (f'["{LINE}"]', "'[\"' is not a word of a maze"),
        (LINE.replace("<-->", "<\u2013>"), "is not a word; did you mean '<-->'?"),
        (LINE.replace("(1,1) <-->", "(1,1) <XX>"), "the path goes from (1,0) to (1,1), where there is no passage"),
        (
            LINE.replace(" <ADJLIST_END>", " (1,0) <XX> (1,1) ; <ADJLIST_END>"),
            "(1,1) and (1,0) have both a passage '<-->' and a wall '<XX>'; leave one",
        ),
        (
            LINE.replace("<ORIGIN_START>", "<XX>"),
            "'<XX>' may occur only in the edge list, in an entry '(r,c) <XX> (r,c) ;'",
        ),
        (LINE.replace("(1,0) ;", "(1,0)", 1), "word 5 must be ';', not '(0,0)'"),
        (
            LINE[: LINE.index(" (0,0) (1,0) (1,1) (0,1)")],
            "after '<PATH_START>' write a shortest path from (0,0) to (0,1) and '<PATH_END>'",
        ),
        (
            LINE.replace("<PATH_START>", "<PATH_START>" + " (0,0) (1,0)" * 20),
            "more than a maze of 2 x 2 cells can need; write a shortest path",
        ),
        (LINE.replace("(1,1)", "(11,1)"), "'(11,1)' is not a cell of a maze of 2 x 2; set env.rows and env.columns"),
    ],
)
def test_other_lines_are_reported_what_to_do(line: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        from_text([LINE, "# a comment", line], 2, 2, "mine.txt")
    assert str(error.value).startswith("mine.txt, line 3: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_mazes_too_many_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is kept as long as the longest."""
    monkeypatch.setattr(text_format, "MOST_WORDS", 2 * len(LINE.split()))
    assert len(from_text([LINE] * 2, 2, 2)) == 2
    with pytest.raises(InputError, match="line 3: 3 mazes of up to 26 words are too many for memory; keep at most 2"):
        from_text([LINE] * 3, 2, 2)


def test_special_files_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a named pipe, not a regular file"):
        read(tmp_path / "pipe", 5, 5)
    (tmp_path / "latin").write_bytes(LINE.encode() + b"\xe9")
    with pytest.raises(InputError, match=r"is not UTF-8 text .*; save it as UTF-8"):
        read(tmp_path / "latin", 5, 5)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "nothing", 5, 5)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InputError, match="no mazes"):
        read(tmp_path / "empty", 5, 5)


def test_tested_on_the_mazes_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = SolveWorld(SolveConfig(rows=3)).sample(7, "train", 0, 12)
    write(tmp_path / "mine.txt", message, 3, 3)
    world = SolveWorld(SolveConfig(rows=3, file=str(tmp_path / "mine.txt")))
    d = world.sample(0, "test", 0, 30)
    assert to_text(d, 3, 3)[:12] == to_text(message, 3, 3)
    assert np.array_equal(world.sample(0, "test", 14, 9).tokens, d.tokens[14:23])
    keys = [world.key(world.after(x))[0] for x in (message, d)]
    assert np.array_equal(keys[1], keys[0][np.arange(30) % 12])
    assert (d.tokens[12:24] != d.tokens[:12]).any(axis=1).all()
    listed = {row.tobytes() for row in parse(message.tokens, message.prompt_length, 3, 3).open}
    trained = parse(*(getattr(world.sample(0, "train", 0, 3000), f) for f in ("tokens", "prompt_length")), 3, 3).open
    assert not listed & {row.tobytes() for row in trained}
    command = [
        *("run", "maze-solve", "--model", "oracle", "--env.rows", "3", "--env.file", str(tmp_path / "mine.txt")),
        *("--out", str(tmp_path / "runs")),
    ]
    assert main([*command, "--eval.metrics", "solved_paths", "excess_loss"]) == 0, capsys.readouterr().err
    result = result_of(next((tmp_path / "runs").glob("*")))
    exact = result.scores["solved_paths"].scores["exact_greedy"]
    assert (exact.value, exact.n) == (1, len(np.unique(keys[0], axis=0)))
    assert result.config["env"]["file"] == "mine.txt"
    assert str(tmp_path) not in text(result)
    (tmp_path / "mine.txt").write_text("nonsense\n")
    assert main([*command, "--eval.metrics", "solved_paths"]) == 2
    assert "mine.txt, line 1: 'nonsense' is not a word" in capsys.readouterr().err
