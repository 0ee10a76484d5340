"""The tables of a sweep: what is refused before the first run, and what is said as soon as a result shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_sweep import TINY, printed, recipe
from tiny_runs import draw_nothing

from worldbench.core.errors import InputError
from worldbench.settings.sweep import load_sweep

ONE = TINY.replace('["gpt", "nextlat"]', '"gpt"').replace("[0, 1]", "0")


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ('models = ["gppt"]', "shows models 'gppt', but no run of the sweep has it; did you mean 'gpt'"),
        ('models = ["nextlat"]', "shows models 'nextlat', but no run of the sweep has it"),
        ('worlds = ["taxi"]', "shows worlds 'taxi', but no run of the sweep has it; there are hmm"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_table_of_no_run_is_refused_before_the_first_run(
    block: str, said: str, more: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, errors = printed("sweep", recipe(tmp_path, f"{ONE}{block}\n"), "--out", out, *more)
    assert (code, said in errors) == (2, True), errors
    assert not out.exists()


def test_two_tables_with_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two tables have the file ci\.md"):
        load_sweep(recipe(tmp_path, f'{ONE}\n[[table]]\nfile = "ci.md"\n'))


@pytest.mark.slow
def test_a_column_that_does_not_exist_is_named_after_the_first_run(tmp_path: Path) -> None:
    """The oracle alone lacks `belief_probe.r2_untrained`: this is no mistake."""
    text = ONE.replace("seeds = 0", "seeds = [0, 1]").replace('"excess_loss"]', '"excess_loss", "belief_probe"]')
    text += 'columns = ["excess_loss.kll", "belief_probe.r2_untrained"]\n'
    code, _, errors = printed("sweep", recipe(tmp_path, text), "--out", tmp_path / "out")
    assert code == 1
    assert errors.count("the table ci.md has the column excess_loss.kll, but hmm-gpt-small-") == 1
    assert errors.count("has the column") == 1
    assert errors.index("did you mean 'kl'") < errors.index("done (4 of 4)")


@pytest.mark.slow
def test_the_tables_of_a_part_of_the_cells_show_those_that_the_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second command runs another seed, and one of two values. A third, with a value of its own, is on its own."""
    draw_nothing(monkeypatch)
    out, table = tmp_path / "out", tmp_path / "out" / "tables" / "ci.md"
    text = ONE.replace("batch = 4\n", "").replace("[[table]]", '[vary]\n"train.batch" = [2, 4]\n[[table]]')
    path = recipe(tmp_path, text)

    def rows(*words: str) -> tuple[list[list[str]], str]:
        code, said, errors = printed("sweep", path, "--out", out, "--workers", "1", *words)
        assert code == 0, errors
        lines = [line.split(" | ") for line in table.read_text(encoding="utf-8").splitlines()]
        return [line[1:3] for line in lines if line[0].startswith("| stream")], said

    found, said = rows()
    assert found == [["gpt train.batch=2", "1"], ["gpt train.batch=4", "1"]]
    assert "the tables" not in said
    found, said = rows("--seeds", "5", "--train.batch", "2")
    assert found == [["gpt train.batch=2", "2"], ["gpt train.batch=4", "1"]]
    held = f"with 2 results of other cells of the recipe, which {str(out)!r} holds"
    assert "do not show" not in said
    assert said.splitlines()[-2] == f"the tables show seeds 0, 5 (2 seeds), {held}"
    assert said.splitlines()[-1] == "3 cells: 2 done already, 1 done now"
    found, said = rows("--train.batch", "3")
    assert found == [["gpt", "1"]]
    assert "the tables do not show 3 results of the recipe without --train.batch 3" in said
    found, said = rows("--train.steps", "3")
    assert found == [["gpt train.batch=2", "1"], ["gpt train.batch=4", "1"]]
    left = f"the tables do not show 3 results of the recipe without --train.steps 3, which {str(out)!r} holds"
    assert f"{left}; name another folder with --out to keep both tables" in said


def test_a_value_that_cannot_be_run_here_is_only_missing_from_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe varies the process, and the file of one process is missing; the command names the other process."""
    draw_nothing(monkeypatch)
    text = ONE.replace('process = "mess3"\n', "")
    text = text.replace("[[table]]", '[vary]\n"env.process" = ["mess3", "gone.json"]\n[[table]]')
    path, out = recipe(tmp_path, text), tmp_path / "out"
    code, said, errors = printed("sweep", path, "--out", out, "--workers", "1", "--env.process", "mess3")
    assert (code, said.splitlines()[-1]) == (0, "3 cells: 3 done now"), errors
    assert "the tables show no other values of [vary] than those of this command: " in errors
    assert "gone.json" in errors
    code, _, errors = printed("sweep", path, "--out", out, "--dry-run")
    assert (code, "gone.json" in errors) == (2, True)
