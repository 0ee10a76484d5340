"""The card of a published model: its README.md, with scores, intervals, command, commit and digests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from worldbench.core import tables
from worldbench.core.cells import markdown_line
from worldbench.core.text import counted
from worldbench.records.bounds import Bounds
from worldbench.records.runs import Result
from worldbench.runs.printing import SCORE_HEAD, facts_of, missing_notes, score_rows

OTHER = "other"
"""The license field where the author has named no license."""


@dataclass(frozen=True)
class Published:
    """What a card describes. files: path in the folder -> (bytes, SHA-256). figures: the paths of pictures. step: of
    the weights. license: as Hugging Face writes it, such as mit."""

    record: Result
    bounds: Bounds
    files: Mapping[str, tuple[int, str]]
    figures: Sequence[str]
    step: int
    license: str | None


def card(of: Published) -> str:
    """The text of README.md."""
    record = of.record
    rows = [cells for cells, _ in score_rows(record, of.bounds)]
    facts = {**facts_of(record), "weights": f"after step {of.step:,}"}
    if record.environment.commit is not None:
        facts["commit"] = record.environment.commit
    facts["tuning"] = "not tuned" if record.tuning is None else str(record.tuning)
    notes = [*of.bounds.messages(), *missing_notes(record)]
    if (count := len(record.not_applicable)) > 0:
        notes.append(f"{counted(count, 'metric')} did not apply; the reasons are in the result file")
    parameters = record.model.parameters
    size = "" if parameters is None else f" with {counted(parameters.inference, 'parameter')}"
    lines = [
        _front(of),
        f"# {markdown_line(f'{record.model.name} in {record.world_name}')}",
        "",
        f"A sequence model{size}, trained and scored by worldbench {markdown_line(record.environment.worldbench)}. "
        "worldbench measures whether a sequence model has learned the world behind its data, or only predicts well.",
        "",
        "## Scores",
        "",
        tables.markdown(SCORE_HEAD, rows, right=range(1, len(SCORE_HEAD))),
        "",
        "*up*: more is better; *down*: less is better. The interval is the 95% interval over n units of one training "
        "run, not over training seeds. Floor and ceiling are the scores of reference models.",
        *(f"\n{markdown_line(note)}" for note in notes),
        "",
        "## How it was made",
        "",
        tables.markdown(["what", "value"], facts.items()),
        "",
        "## Use",
        "",
        "```python",
        "import worldbench as wb",
        "",
        'run = wb.load("FOLDER")  # the folder with these files',
        "model, world = wb.model(run), wb.world(run)  # if the world needs a file, name it: env={..}",
        "```",
    ]
    if of.figures:
        lines += ["", "## Figures", "", *(f"![{markdown_line(Path(name).stem)}]({quote(name)})" for name in of.figures)]
    files = [[name, f"{size:,}", digest] for name, (size, digest) in sorted(of.files.items())]
    lines += ["", "## Files", "", tables.markdown(["file", "bytes", "SHA-256"], files, right=[1])]
    return "\n".join(lines) + "\n"


def _front(of: Published) -> str:
    """The fields that Hugging Face reads, in YAML. Their values are JSON, which YAML contains."""
    record = of.record
    measured = [
        {"type": f"{name}.{metric.primary}", "name": f"{name}.{metric.primary}", "value": value}
        for name, metric in record.scores.items()
        if isinstance(value := metric.scores[metric.primary].value, float) and abs(value) < float("inf")
    ]
    task = {"type": "other", "name": "learning a world from its sequences"}
    data = {"type": record.world_name, "name": f"worldbench {record.world_name}, preset {record.preset}"}
    fields: dict[str, Any] = {
        "license": of.license or OTHER,
        "library_name": "worldbench",
        "tags": ["worldbench", "world-model", record.world_name, record.model.name],
        "model-index": [{"name": record.model.name, "results": [{"task": task, "dataset": data, "metrics": measured}]}],
    }
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---", ""])
