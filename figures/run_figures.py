"""The figures of a run folder, each drawn from the files in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, RunError
from worldbench.core.files import read_json

Figure = Callable[[], list[Path]]
"""Draws one figure; the files written."""


def draw_run(folder: Path) -> list[Path]:
    """Draw whatever the folder's files allow into `<folder>/figures`; the files written. Errors: see `drawn`."""
    return list(drawn(folder))


def drawable(folder: Path) -> bool:
    """Whether a folder has any file that figures are drawn from."""
    return any((folder / name).exists() for name in ("evidence", "metrics.jsonl")) or any(folder.glob("trace*.json"))


def drawn(folder: Path) -> Iterator[Path]:
    """Draw whatever the folder's files allow into `<folder>/figures`; each file as soon as it is written.

    A figure whose file is damaged does not keep the others from being drawn.
    Errors: InputError, after all the others are drawn, that says what is wrong with each damaged file; RunError where
    nothing can be written.
    """
    out = folder / "figures"
    problems: list[str] = []
    written = 0
    try:
        out.mkdir(exist_ok=True)
        title = _title(folder)
        for figure in (*_evidence_figures(folder / "evidence", out, title), *_training_figures(folder, out, title)):
            try:
                for path in figure():
                    written += 1
                    yield path
            except InputError as error:
                problems.append(str(error))
    except OSError as error:
        raise RunError(
            f"cannot draw into {str(out)!r} ({error.strerror or error}); the result is safe, worldbench figures {folder} draws again"
        ) from error
    if problems:
        others = f"; the other figures are in {str(out)!r}" if written else ""
        raise InputError("; ".join(dict.fromkeys(problems)) + others)


def _evidence_figures(evidence: Path, out: Path, title: str) -> Iterator[Figure]:
    """What the evidence of single metrics allows; evidence of an older version, without what a figure needs, is passed over."""
    from worldbench.figures import belief_distances, belief_simplex, interactive_map, maze_gallery, maze_map, position_loss, spectra, street_map
    from worldbench.figures.evidence import names

    for metric, needed, draw, stem in (
        ("map_reconstruction", "", street_map.draw, "map"),
        ("map_reconstruction", "", interactive_map.draw, "map"),
        ("map_reconstruction", "", maze_map.draw, "maze"),
        ("belief_probe", "predicted", belief_simplex.draw, "beliefs"),
        ("belief_probe", "distance_belief", belief_distances.draw, "belief-distances"),
        ("excess_loss", "by_exact_bayes", position_loss.draw, "position-loss"),
        ("effective_rank", "singular_values", spectra.draw, "spectra"),
        ("solved_paths", "", maze_gallery.draw, "gallery"),
    ):
        path = evidence / f"{metric}.npz"

        def figure(path: Path = path, needed: str = needed, draw: Any = draw, stem: str = stem) -> list[Path]:
            return draw(path, out / stem, title=title) if not needed or needed in names(path) else []

        if path.exists():
            yield figure


def _training_figures(folder: Path, out: Path, title: str) -> Iterator[Figure]:
    """The learning curve and what was traced."""
    from worldbench.figures import learning_curves

    if (folder / "metrics.jsonl").exists():
        yield lambda: learning_curves.draw(folder / "metrics.jsonl", out / "learning", title=title)
    for trace in sorted(folder.glob("trace*.json")):
        yield from (partial(draw, trace, out, title) for draw in (_filmstrip, _matched))


def _filmstrip(trace: Path, out: Path, title: str) -> list[Path]:
    from worldbench.figures import filmstrip

    ending = trace.stem.removeprefix("trace")
    if not trace.with_name(f"trace-evidence{ending}").is_dir():
        return []
    return filmstrip.draw(trace, out / f"filmstrip{ending}", title=title)


def _matched(trace: Path, out: Path, title: str) -> list[Path]:
    from worldbench.figures import matched

    record = read_json(trace)
    if not matched.applies(record):
        return []
    ending = trace.stem.removeprefix("trace")
    return matched.draw([(record["model"]["name"], record)], out / f"matched{ending}", title=title)


def _title(folder: Path) -> str:
    """Who drew it: model, preset and seed, from the folder's config."""
    path = folder / "config.json"
    if not path.exists():
        return folder.name
    config = read_json(path)
    seed = f", seed {config['seed']}" if "train" in config["groups"] else ""
    rides = config["groups"].get("data", {}).get("rides")
    arm = "" if rides is None else (f", {rides:,} documents" if rides else ", unlimited documents")
    return f"{config['model']} ({config['preset']}{arm}{seed})"
