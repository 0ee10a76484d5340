"""Loss by position, beside the loss of the exact law: h_L, the expected entropy of the next token after L tokens. No
model can have a loss below h_L.

Reads `excess_loss.npz` of an evidence folder alone. Losses are in nats per token.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, mark_infinite, paper_style, save, write_csv

LOSS = Array("float", ("L+",), finite=False)
"""Infinite if a model gives probability 0 to a token that the law allows."""
NEEDED: Named = {
    "by_position": Array("int", ("L+",)),
    "by_n": Array("int", ("L+",)),
    **dict.fromkeys(("by_loss", "by_bayes", "by_kl"), LOSS),
}
OPTIONAL: Named = {"by_exact_bayes": LOSS}


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with the numbers in `stem`.csv: left the losses, right the excess KL(law || model).
    Errors: InputError without them."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    position, loss, bayes, kl = (arrays[n] for n in ("by_position", "by_loss", "by_bayes", "by_kl"))
    exact = arrays.get("by_exact_bayes")
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 2.5), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
        least, name = (bayes, "exact law") if exact is None else (exact, "exact law, $h_L$")
        left.plot(position, loss, color=BLUE, linewidth=0.6, alpha=0.6, label="model, on the documents drawn")
        # Drawn as h_L + KL: the mean KL hardly depends on the tokens that were drawn, while the loss itself does.
        left.plot(
            position,
            least + kl,
            color=RED,
            linewidth=1.0,
            marker="o",
            markersize=2.4,
            label="model, exact law and excess",
        )
        left.plot(position, least, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label=name)
        if infinite := position[~np.isfinite(kl)].tolist():
            mark_infinite(left, infinite, RED).set_label("infinite")
            mark_infinite(right, infinite, RED)
        left.set_ylabel("loss (nats per token)")
        left.legend(loc="best")
        positive = (kl > 0) & np.isfinite(kl)
        right.plot(position[positive], kl[positive], color=RED, linewidth=1.0, marker="o", markersize=2.4)
        if positive.any() and kl[positive].max() > 10 * kl[positive].min():
            right.set_yscale("log")
        right.set_ylabel("excess loss (nats per token)")
        for axis in (left, right):
            axis.set_xlabel("tokens seen after the prompt")
            axis.grid(True, which="major", color=GRAY, linewidth=0.3, alpha=0.4)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    columns = ["position", "n", "loss", "bayes", "excess"] + (["exact_bayes"] if exact is not None else [])
    values = [arrays[n] for n in ("by_position", "by_n", "by_loss", "by_bayes", "by_kl")] + (
        [exact] if exact is not None else []
    )
    return [
        *paths,
        write_csv(stem.with_name(f"{stem.name}.csv"), columns, zip(*(np.asarray(v).tolist() for v in values))),
    ]
