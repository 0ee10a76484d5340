"""A variant of a model, such as `nextlat[horizon=4]`: the name of the model, and the training options that distinguish
the variant from others.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from worldbench.core.errors import InputError, nearest
from worldbench.core.registry import models
from worldbench.records import budget
from worldbench.records.differences import differing, plain
from worldbench.records.parts import Head
from worldbench.settings.renamed import hint

Run = TypeVar("Run", bound=Head)


@dataclass(frozen=True)
class Variant:
    """A model among results. label: the text that asked for it. options: (`group.field` or `field`, value as text),
    which a result must all have.
    """

    label: str
    model: str
    options: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Read `nextlat`, `nextlat[horizon=4,lambda_kl=0.1]`, or the name of a row on the leaderboard, such as `nextlat
        model.horizon=4 model.lambda_kl=0.1`. Raises InputError for other text.
        """
        name, options = re.fullmatch(r"([^\[\s]*)(.*)", text.strip(), re.DOTALL).groups()  # type: ignore[union-attr]
        inside = options[1:-1] if options.startswith("[") and options.endswith("]") else options
        parts = [part for part in re.split(r"[\s,]+(?=[\w.]+\s*=)", inside.strip()) if part]
        pairs = [re.fullmatch(r"([\w.]+)\s*=\s*([^\s\[\]=]+)", part) for part in parts]
        if not name or None in pairs or (options and not pairs):
            raise InputError(
                f"{text!r} names no model: write NAME, or NAME[option=value,..] such as 'nextlat[horizon=4]'"
            )
        return cls(text.strip(), name, tuple((p[1], p[2]) for p in pairs if p is not None))

    def of(self, records: list[Run]) -> list[Run]:
        """The results of this variant that were trained from a seed.

        Raises InputError for an option that the model does not have, and for one that two groups have.
        """
        mine = [(r, training_options(r)) for r in records if r.model.name == self.model and r.seed is not None]
        known = [options for _, options in mine]
        wanted = [(self._whole(option, known), value) for option, value in self.options] if mine else []
        return [r for r, o in mine if all(name in o and _same(o[name], value) for name, value in wanted)]

    def missing(self, records: list[Run]) -> str | None:
        """The reason why there is no result of the variant; None if there is one."""
        names = {r.model.name for r in records}
        if self.model not in names:
            return f"there is no result of {self.model!r}{nearest(self.model, names)}"
        mine = [training_options(r) for r in records if r.model.name == self.model and r.seed is not None]
        if not mine:
            return (
                f"{self.model!r} has no training seeds to pair on; `worldbench leaderboard` shows it beside the others"
            )
        if self.of(records):
            return None
        values = []
        for name in (self._whole(option, mine) for option, _ in self.options):
            values.append(f"{name} {' and '.join(sorted({plain(options.get(name)) for options in mine}))}")
        return f"there is no result of {self.label!r}; there is {self.model} with {', '.join(values)}"

    def _whole(self, option: str, known: list[dict[str, Any]]) -> str:
        names = list(dict.fromkeys(name for options in known for name in options))
        whole = [name for name in names if option in (name, name.partition(".")[2])]
        if not whole:
            close = hint(option, [*names, *(n.partition(".")[2] for n in names)])
            raise InputError(f"{self.model} has no training option {option!r}{close}")
        if len(whole) > 1:
            raise InputError(f"the option {option!r} can mean {' or '.join(whole)}; write its full name")
        return whole[0]


def training_options(record: Head) -> dict[str, Any]:
    """`group.field` -> value, for all training options of a record, and `tuning.tuned`: the trials x seeds of tuning
    ("-": not tuned).
    """
    groups = record.training_settings() | {"tuning": {"tuned": budget.cell(record)}}
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}


def rank_of(model: str) -> int:
    """The place of a model in the registry; models of plugins that are not loaded come last."""
    names = models.names()
    return names.index(model) if model in names else len(names)


def distinct_labels(records: Sequence[Head]) -> list[str]:
    """A label for each result, such as `nextlat[horizon=4]`: the model, and the training options that distinguish it
    from other results of the same model.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        alike[record.model.name].append(i)
    out = [record.model.name for record in records]
    for places in alike.values():
        options = [training_options(records[i]) for i in places]
        for i, mine, names in zip(places, options, differing(options, absent=True)):
            short = Counter(name.partition(".")[2] for name in mine)
            words = [
                f"{name.partition('.')[2] if short[name.partition('.')[2]] == 1 else name}={plain(mine[name])}"
                for name in names
            ]
            out[i] += f"[{','.join(words)}]" if words else ""
    return out


def _same(value: Any, text: str) -> bool:
    """Whether the value of an option equals the text. Numbers are compared as numbers: .1 equals 0.1."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return plain(value).lower() == text.lower()
