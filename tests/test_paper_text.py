"""`worldbench paper`: LaTeX that compiles, numbers and settings that are those of the records, sources that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hostile import STRINGS
from paper_records import write_all, write_run
from rooms import ROOT
from sample_records import result
from tiny_runs import call

from worldbench.core.budget import Budget
from worldbench.core.registry import metrics, models, worlds
from worldbench.core.statistics import mean_interval
from worldbench.core.text import encodable
from worldbench.records.finding import find
from worldbench.records.runs import Result
from worldbench.studies.paper import sources
from worldbench.studies.paper.protocol import paragraphs
from worldbench.studies.paper.writing import write_paper

NAMES = {"protocol.tex", "tables.tex", "references.bib", "paper.tex"}


def check_latex(text: str) -> None:
    """Groups and environments are closed, rows have as many cells as columns, and nothing but ours is a command."""
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}")
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert bare.count("$") % 2 == 0
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    assert "#" not in bare
    assert all(ord(c) < 0x100 and (c.isprintable() or c == "\n") for c in text)
    for spec, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [row for row in re.sub(r"\\[\\&%$#_{}]", "", body).split("\n") if "&" in row]
        assert {row.count("&") + 1 for row in rows} == {len(spec)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def written(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    said: list[str] = []
    out = tmp_path_factory.mktemp("paper")
    paths = list(write_paper([runs], out, figures=False, say=said.append))
    assert said == []
    assert {path.name for path in paths} == NAMES
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def test_the_files_compile(written: dict[str, str]) -> None:
    for name in ("protocol.tex", "tables.tex"):
        check_latex(written[name])
    inputs = re.findall(r"\\input\{(\w+)\}", written["paper.tex"])
    assert inputs == ["protocol", "tables"]
    keys = {key for keys in re.findall(r"\\cite\{([^}]*)\}", written["protocol.tex"]) for key in keys.split(",")}
    assert keys == set(re.findall(r"@misc\{(\w+),", written["references.bib"]))
    assert keys == {"vafa2024", "teoh2025", "shai2024", "roy2007"}


def test_numbers_are_those_of_the_records(runs: Path, written: dict[str, str]) -> None:
    records = [record for _, record in find([runs], Result).records]
    for model in ("gpt", "nextlat"):
        values = [r.scores["sequence_compression"].value("compression") for r in records if r.model.name == model]
        mean = mean_interval([value for value in values if value is not None])
        assert mean.interval is not None
        assert f"${mean.value:.3f} \\pm {mean.interval[1] - mean.value:.3f}$" in written["tables.tex"]
    assert r"oracle & - & $" in written["tables.tex"]
    said = written["protocol.tex"]
    assert "trained on a fixed set of 8,000 documents" in said
    assert "Every model was trained for 10 steps, with peak learning rate 0.001." in said
    assert "Training seeds: 0, 1 ($n = 2$ for each model)." in said
    assert "No setting was tuned." in said
    assert r"\texttt{belief\_probe} 1~\cite{shai2024}" in said


def test_tuning_and_new_documents_are_in_the_protocol() -> None:
    budget = Budget(16, 2, "excess_loss.kl", "0123456789abcdef")
    stream = {"data": {"documents": 0}}
    records = [result("gpt", 0, config=stream, tuning=budget), result("nextlat", 1, config=stream)]
    text = paragraphs("a world", records)
    check_latex(text)
    assert "Models were trained on new documents at every step." in text
    assert r"The settings of \texttt{gpt} were tuned in 16 trials of 2 seeds by \texttt{excess\_loss.kl}" in text
    assert r"The settings of \texttt{nextlat} were not tuned." in text
    assert r"Training seeds: \texttt{gpt} 0; \texttt{nextlat} 1." in text


@pytest.mark.parametrize("name", STRINGS)
def test_names_from_records_never_act(name: str, tmp_path: Path) -> None:
    name_in_record = encodable(STRINGS[name])[:60]
    config = {"env": {"min_moves": name_in_record}, "train": {"optimizer": name_in_record}}
    text = paragraphs(name_in_record, [result(name_in_record, 0, config=config), result("oracle", None)])
    check_latex(text)
    assert not set(re.findall(r"\\([a-z]+)", text)) - {
        *("paragraph", "texttt", "pm", "cite", "textbackslash", "textasciitilde", "textasciicircum", "textless"),
        *("textgreater", "textbar", "textquotedbl", "ldots"),
    }


def test_sources_are_those_of_the_documentation() -> None:
    """Every number of arXiv and every title stands in the documentation or in a docstring elsewhere."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    code = [p for room in ("worldbench", "envs", "baselines", "metrics") for p in (ROOT / room).rglob("*.py")]
    known = "\n".join(p.read_text(encoding="utf-8") for p in (*pages, *code) if p.name != "sources.py")
    for key, source in sources.SOURCES.items():
        assert source.arxiv in known, key
        assert source.title in known, key
        assert re.search(rf"{re.split(' and ', source.authors)[0]}.{{0,40}}", known), key
    for table, registry in (
        (sources.OF_WORLDS, worlds), (sources.OF_MODELS, models), (sources.OF_METRICS, metrics),
    ):  # fmt: skip
        assert set(table) <= set(registry.names())
        assert {key for keys in table.values() for key in keys} <= set(sources.SOURCES)


def test_the_command_line_draws_figures_too(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "gpt", 0, 0.3)
    code, said = call("paper", tmp_path / "runs", "--out", tmp_path / "out", "--columns", "detours")
    assert code == 0
    assert "matched: not drawn" in said
    text = (tmp_path / "out" / "figures.tex").read_text(encoding="utf-8")
    check_latex(text)
    drawn = re.findall(r"\\includegraphics\[width=\\linewidth\]\{([^}]*)\}", text)
    assert len(drawn) >= 5
    assert all((tmp_path / "out" / name).is_file() for name in drawn)
    assert r"\input{figures}" in (tmp_path / "out" / "paper.tex").read_text(encoding="utf-8")
    code, said = call("paper", tmp_path / "runs", "--out", tmp_path / "out", "--no-figures", "--columns", "detour")
    assert code == 2
    assert "did you mean 'detours'" in said


@pytest.mark.slow
def test_pdflatex_takes_the_files(runs: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no pdflatex here")
    list(write_paper([runs], tmp_path, figures=True))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
