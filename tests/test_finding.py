"""Which files are results, where they lie, and which of them readers of folders use."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sample_records import every_kind, identity, result

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.records.finding import PATTERNS, evidence_folder, find, own_result, result_path
from worldbench.records.reading import write
from worldbench.records.runs import Result

KIND = {record.kind: record for record in every_kind()}


def test_names_of_results(tmp_path: Path) -> None:
    """A result is named by its evaluation; one of a folder from before stays where it is."""
    ours, theirs = result(evaluation="ours"), result(evaluation="theirs")
    write(tmp_path / "result.json", theirs)
    assert result_path(tmp_path, theirs.identity) == tmp_path / "result.json"
    named = result_path(tmp_path, ours.identity)
    assert named.name == f"result-{ours.identity.evaluation[:10]}.json"
    assert evidence_folder(named).name == f"evidence-{ours.identity.evaluation[:10]}"
    assert evidence_folder(tmp_path / "result.json").name == "evidence"
    assert evidence_folder(tmp_path / "trace.json").name == "trace-evidence"
    assert evidence_folder(tmp_path / "trace-01.json").name == "trace-evidence-01"
    (tmp_path / "result.json").write_text("damaged")
    assert result_path(tmp_path, theirs.identity).name == f"result-{theirs.identity.evaluation[:10]}.json"


def test_the_own_result_is_the_one_that_the_config_names(tmp_path: Path) -> None:
    assert own_result(tmp_path) is None
    for name in ("first", "second"):
        write(result_path(tmp_path, identity(evaluation=name)), result(evaluation=name))
    assert own_result(tmp_path) == min(tmp_path.glob("result-*.json"))
    for name in ("second", "first"):
        write(tmp_path / "config.json", msgspec.structs.replace(KIND["config"], identity=identity(evaluation=name)))
        assert own_result(tmp_path) == tmp_path / f"result-{identity(evaluation=name).evaluation[:10]}.json"


def test_places_without_records_are_left_out_beside_one_that_has_some(tmp_path: Path) -> None:
    """As where the shell puts every folder and file in place of `results/*`."""
    runs, empty, page, other = (tmp_path / name for name in ("runs", "empty", "README.md", "other.json"))
    for folder in (runs, empty):
        folder.mkdir()
    write(runs / "result-1.json", result())
    page.write_text("# Results\n")
    found = find([empty, page, runs], Result)
    assert [path.name for path, _ in found.records] == ["result-1.json"]
    assert found.messages() == [f"left out: there is no result file in '{empty}', '{page}'"]
    assert find([runs, tmp_path], Result).messages() == [], "the second has the same file"
    for paths, message in (
        ([empty], "there is no result file below '.*empty'$"),
        ([empty, page], "there is no result file in '.*empty', '.*README.md'$"),
        ([page], "README.md' is not a result file: it is not JSON"),
        ([runs, tmp_path / "nonesuch"], "there is no file or folder '.*nonesuch'"),
        ([runs, other], "other.json' is not a result file"),
    ):
        other.write_text("{")
        with pytest.raises(InputError, match=message):
            find(paths, Result)


def test_a_file_that_was_not_named_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "result-1.json", result())
    foreign = tmp_path / "results_2026.json"
    foreign.write_text('{"results": {}}')
    found = find([tmp_path], Result)
    assert [path.name for path, _ in found.records] == ["result-1.json"]
    (line,) = found.messages()
    assert str(foreign) in line
    with pytest.raises(InputError, match="results_2026"):
        find([tmp_path / "result-1.json", foreign], Result)
    (tmp_path / "result-1.json").unlink()
    with pytest.raises(InputError, match="results_2026"):
        find([tmp_path], Result)


def test_validate_goes_over_all_that_is_or_claims_to_be_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, record in KIND.items():
        write(tmp_path / (f"{kind}-1.json" if "*" in PATTERNS[kind] else PATTERNS[kind]), record)
    write(tmp_path / "named-otherwise.json", result())
    (tmp_path / "settings.json").write_text('{"indent": 4}')
    assert main(["validate", str(tmp_path)]) == 0
    message = capsys.readouterr().out.splitlines()
    assert len(message) == len(KIND) + 1
    (tmp_path / "trial-2.json").write_text("{}")
    assert main(["validate", str(tmp_path)]) == 2
    both = capsys.readouterr()
    assert f"{str(tmp_path / 'trial-2.json')!r} is not a record" in both.out
    assert both.err == f"worldbench: 1 of {len(KIND) + 2} files cannot be read; the reasons are above\n"


def test_validate_says_what_holds_no_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`worldbench validate results/*`, where results/ also holds pictures and a README."""
    write(tmp_path / "result-1.json", result())
    (tmp_path / "pictures").mkdir()
    (tmp_path / "README.md").write_text("what lies here")
    assert main(["validate", *map(str, sorted(tmp_path.iterdir()))]) == 0
    both = capsys.readouterr()
    assert len(both.out.splitlines()) == 1
    (line,) = [line for line in both.err.splitlines() if line.startswith("left out: there is no record in")]
    assert "README.md" in line
    assert "pictures" in line
    for alone in ("pictures", "README.md"):
        assert main(["validate", str(tmp_path / alone)]) == 2
    capsys.readouterr()
    write(tmp_path / "record.txt", result())
    assert main(["validate", str(tmp_path / "record.txt"), str(tmp_path / "README.md")]) == 0
    assert "record.txt: " in capsys.readouterr().out, "a record by its content"
