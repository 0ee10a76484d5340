"""Records of `worldbench decode` in groups, one for each picture of speculative decoding."""

from __future__ import annotations

from dataclasses import dataclass

from worldbench.figures.paper.groups import Material, caption_of, distinct_names, slug_of, words_of_group
from worldbench.records.decoding_lines import Line, compared, lines_of, machine_of


@dataclass(frozen=True)
class Decodings:
    """Lines that may share a picture. slug: for names of files. world, machine: in words, for captions."""

    slug: str
    world: str
    machine: str
    lines: tuple[Line, ...]


def decodings_of(material: Material) -> list[Decodings]:
    """The records in groups. A sentence for each measurement that is not used is added to `material.left_out`."""
    groups = compared(material.decodings)
    firsts = {key: runs[0][1] for key, runs in groups.items()}
    names = distinct_names([[*words_of_group(r), *machine_of(r), key[:6]] for key, r in firsts.items()])
    out = {}
    for name, (key, runs) in zip(names, groups.items()):
        lines = lines_of(runs, f"decoding: {name}", material.left_out.append)
        if lines:
            world = caption_of(firsts[key], material.cards)
            out[name] = Decodings(slug_of(f"decoding-{name}"), world, ", ".join(machine_of(firsts[key])), lines)
    return [out[name] for name in sorted(out)]
