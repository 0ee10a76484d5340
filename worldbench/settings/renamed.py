"""Options, recipes and scores that have another name than in earlier versions.

The old names are refused where a person writes them, with the new name. Records of older schemas are read with the new
names (`worldbench.records.new_names`). Entries are only ever added.
"""

from __future__ import annotations

from collections.abc import Iterable

from worldbench.core.errors import nearest

OPTIONS = {
    "data.rides": "data.documents",
    "train.optimiser": "train.optimizer",
    "model.sham": "model.control",
}
"""Old `group.field` -> new `group.field`, in the same group."""
FLAGS = {"--rungs": "--severities"}
"""Old plain option -> its new name."""
RECIPES = {
    "nextlat-sham-cut": "nextlat-control-cut",
    "nextlat-sham-shuffled": "nextlat-control-shuffled",
}
"""Old name of a recipe that comes with worldbench -> its new name."""
SCORES = {
    "normalised": "normalized",
    "normalised_linear": "normalized_linear",
    "normalised_own": "normalized_own",
    "sham_change": "self_change",
    "stranger_excess": "other_document_excess",
    "rank_centred": "rank_centered",
}
"""Old name of a score -> its new name. No two metrics share one of these names."""
COLUMNS = {"stranger": "other_document"}
"""Old column of a series -> its new name."""


def hint(name: str, known: Iterable[str], group: str = "") -> str:
    """What to say behind a name that is not among those `known`: its new name, where it was renamed to one of them,
    else what `nearest` says.

    name: of an option (dashes at its front may stay), a recipe or a score. group: the group of an option that is
    named without its group.
    """
    known = list(known)
    dashes = "-" * (len(name) - len(name.lstrip("-")))
    whole = (f"{group}." if group else "") + name.lstrip("-").replace("-", "_")
    new = RECIPES.get(name) or SCORES.get(name) or FLAGS.get(name)
    if whole in OPTIONS:
        new = dashes + OPTIONS[whole].removeprefix(f"{group}.")
    elif "." not in whole:
        new = new or next((_short(now) for old, now in OPTIONS.items() if _short(old) == whole), None)
    return f"; it is now called {new!r}" if new in known else nearest(name, known)


def _short(option: str) -> str:
    return option.partition(".")[2]
