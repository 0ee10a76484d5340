"""What linear probes of the hidden state say about the tokens ahead, by distance: the share of tokens that they
predict, and the bits that they read. Controls are drawn beside both.

Reads `ahead_probe.npz` of an evidence folder alone. Evidence from before 2026-11-27 has no bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

SHARE = Array("float", ("K+",))
END = Array("float", ("K+",), finite=False)
NEEDED: Named = {
    "by_distance": Array("int", ("K+",)),
    "by_accuracy": SHARE,
    "by_low": END,
    "by_high": END,
    "by_constant": SHARE,
}
BITS: Named = {
    "bits_distance": Array("int", ("B+",)),
    "bits_bits": Array("float", ("B+",)),
    "bits_low": Array("float", ("B+",), finite=False),
    "bits_high": Array("float", ("B+",), finite=False),
}
OPTIONAL: Named = {"by_untrained": SHARE, "bits_untrained": Array("float", ("B+",)), **BITS}


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with the numbers in `stem`.csv. Errors: InputError without the arrays."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    distance, accuracy, low, high, constant = (arrays[name] for name in NEEDED)
    untrained = arrays.get("by_untrained", np.full(len(distance), np.nan))
    with_bits = all(name in arrays for name in BITS)
    at, bits, bits_low, bits_high = (arrays.get(name, np.zeros(0)) for name in BITS)
    control = arrays.get("bits_untrained", np.full(len(at), np.nan))
    with paper_style():
        from matplotlib.figure import Figure

        width = 5.6 if with_bits else 3.4
        figure = Figure(figsize=(width, 2.4), layout="constrained", facecolor="white")
        panels = figure.subplots(1, 2 if with_bits else 1, squeeze=False)[0]
        _lines(panels[0], distance, accuracy, (low, high), untrained)
        panels[0].plot(distance, constant, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label="most frequent token")
        panels[0].set_ylim(bottom=0)
        panels[0].set_ylabel("accuracy of a linear probe")
        panels[0].legend(loc="upper right", fontsize=6)
        if with_bits:
            _lines(panels[1], at, bits, (bits_low, bits_high), control)
            panels[1].axhline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
            # Next to nothing far ahead, and much of the next token: both are visible on this scale.
            panels[1].set_yscale("symlog", linthresh=0.01)
            lowest = np.nanmin([bits, bits_low, control]) if np.isfinite(bits).any() else 0.0
            panels[1].set_ylim(min(-0.005, 1.5 * float(lowest)), 1.5 * max(0.01, float(np.nanmax([bits, bits_high]))))
            panels[1].set_ylabel("bits that a linear probe reads")
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    head = ["distance", "accuracy", "low", "high", "constant", "untrained"]
    columns = [distance, accuracy, low, high, constant, untrained]
    if with_bits:
        head += ["bits", "bits_low", "bits_high", "bits_untrained"]
        columns += [_at(distance, at, x) for x in (bits, bits_low, bits_high, control)]
    rows = zip(*(np.asarray(x).tolist() for x in columns))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), head, rows)]


def _lines(
    axis: Any, distance: np.ndarray, value: np.ndarray, ends: tuple[np.ndarray, np.ndarray], untrained: np.ndarray
) -> None:
    """The model with its interval, and the untrained network."""
    from matplotlib.ticker import MaxNLocator

    axis.fill_between(distance, *ends, color=RED, alpha=0.15, linewidth=0)
    axis.plot(distance, value, color=RED, linewidth=1.0, marker="o", markersize=2.4, label="hidden state")
    if np.isfinite(untrained).any():
        axis.plot(distance, untrained, color=BLUE, linewidth=0.9, label="untrained network")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("tokens ahead")
    axis.grid(True, color=GRAY, linewidth=0.3, alpha=0.4)


def _at(distance: np.ndarray, at: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The values of some distances among all distances, NaN elsewhere."""
    out = np.full(len(distance), np.nan)
    out[np.isin(distance, at)] = value[np.isin(at, distance)]
    return out
