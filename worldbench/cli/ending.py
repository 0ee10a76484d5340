"""What run, eval and score print at the end: the primary scores, and where to find everything else."""

from __future__ import annotations

import shlex
from pathlib import Path

from worldbench.core.text import counted
from worldbench.figures.run_figures import figures_beside
from worldbench.records.bounds import bounds_beside
from worldbench.records.finding import own_result
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.runs.display import Display
from worldbench.runs.printing import missing_notes, print_scores


def print_ending(path: Path, display: Display) -> None:
    """Print the primary scores of a result file, its path, its figures, and the command that shows the whole record."""
    record, folder = read(path, Result), path.parent
    bounds = bounds_beside(path, record)
    if record.scores:
        print_scores(record, bounds)
    for name in record.config.get("eval", {}).get("metrics") or []:  # the metrics that the user named
        if name in record.not_applicable:
            display.say(f"{name} does not apply: {record.not_applicable[name]}")
    for sentence in (*missing_notes(record), *bounds.messages()):
        display.say(sentence)
    own = own_result(folder) == path
    pictures = folder / "figures" if own else figures_beside(path)
    if drawn := sorted(picture.name for picture in pictures.glob("*.png")):
        display.say(f"figures: {pictures} ({', '.join(drawn)})")
    what = "every score"
    if (count := len(record.not_applicable)) > 0:
        what += f", and why {counted(count, 'metric')} {'does' if count == 1 else 'do'} not apply"
    name = folder if own else path
    display.say(f"result: {path}", f"{what}: worldbench show {shlex.quote(str(name))}")
