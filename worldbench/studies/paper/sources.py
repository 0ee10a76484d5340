"""The papers behind worlds, objectives, references and metrics, as BibTeX entries.

A field is here only if the documentation of worldbench states it. So some entries have no title, and authors beyond
the first ones are "others".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worldbench.records.runs import Result
from worldbench.studies.paper.tex import text


@dataclass(frozen=True)
class Source:
    """A paper. arxiv: its identifier; "" without one."""

    authors: str
    year: int
    title: str = ""
    arxiv: str = ""
    where: str = ""

    def bibtex(self, key: str) -> str:
        """The entry, with every field escaped."""
        fields = {"author": self.authors, "title": self.title, "year": str(self.year), "howpublished": self.where}
        lines = [f"  {name} = {{{text(value)}}}," for name, value in fields.items() if value]
        if self.arxiv:
            lines += [
                f"  eprint = {{{self.arxiv}}},",
                "  archiveprefix = {arXiv},",
                f"  note = {{arXiv:{self.arxiv}}},",
            ]
        return "\n".join([f"@misc{{{key},", *lines, "}"])


SOURCES = {
    "vafa2024": Source(
        "Vafa and others", 2024, "Evaluating the World Model Implicit in a Generative Model", "2406.03689", "NeurIPS"
    ),
    "teoh2025": Source(
        "Teoh and others", 2025, "Next-Latent Prediction Transformers Learn Compact World Models", "2511.05963"
    ),
    "hu2024": Source("Hu and others", 2024, "The Belief State Transformer", "2410.23506"),
    "gloeckle2024": Source("Gloeckle and others", 2024, arxiv="2404.19737"),
    "ahn2025": Source("Ahn and others", 2025, arxiv="2503.21801"),
    "shai2024": Source(
        "Shai and others", 2024, "Transformers Represent Belief State Geometry in their Residual Stream", "2405.15943"
    ),
    "nolte2024": Source("Nolte and others", 2024, arxiv="2412.05117"),
    "ivanitskiy2023": Source("Ivanitskiy and others", 2023, arxiv="2309.10498"),
    "bachmann2024": Source("Bachmann and Nagarajan", 2024, arxiv="2403.06963"),
    "gandhi2024": Source("Gandhi and others", 2024, arxiv="2404.03683"),
    "merrill2024": Source("Merrill and Petty and Sabharwal", 2024, arxiv="2404.08819"),
    "li2023": Source("Li and others", 2023, arxiv="2210.13382"),
    "nanda2023": Source("Nanda and others", 2023, arxiv="2309.00941"),
    "roy2007": Source("Roy and Vetterli", 2007),
}
"""Key of an entry -> the paper."""
OF_WORLDS = {
    "taxi": ("vafa2024",), "hmm": ("shai2024",), "maze-solve": ("ivanitskiy2023", "nolte2024"),
    "path-star": ("bachmann2024",), "countdown": ("gandhi2024", "teoh2025"), "group": ("merrill2024", "teoh2025"),
    "othello": ("li2023", "vafa2024"),
}  # fmt: skip
OF_MODELS = {
    "nextlat": ("teoh2025",), "nextlat-rnn": ("teoh2025",), "bst": ("hu2024",), "mtp": ("gloeckle2024",),
    "jtp": ("ahn2025",),
}  # fmt: skip
OF_METRICS = {
    **dict.fromkeys(
        (
            "next_token", "valid_trajectories", "detours", "lookahead", "sequence_compression", "sequence_distinction",
            "label_structure", "state_probe", "map_reconstruction",
        ),
        ("vafa2024",),
    ),
    "belief_probe": ("shai2024",), "effective_rank": ("roy2007", "teoh2025"), "transition_consistency": ("teoh2025",),
    "board_probe": ("li2023", "nanda2023"), "decisions": ("bachmann2024",), "solved_paths": ("nolte2024",),
    "label_accuracy": ("teoh2025",), "ahead_probe": ("teoh2025",),
}  # fmt: skip
"""Name -> keys. What is not here comes from worldbench itself, or its sources are in its own documentation."""


def used(records: Sequence[Result]) -> list[str]:
    """The keys of the sources of everything in some results, in the order of SOURCES."""
    found: set[str] = set()
    for record in records:
        found |= {*OF_WORLDS.get(record.world_name, ()), *OF_MODELS.get(record.model.name, ())}
        found |= {key for metric in record.scores for key in OF_METRICS.get(metric, ())}
    return [key for key in SOURCES if key in found]


def cited(names: Iterable[str], table: dict[str, tuple[str, ...]]) -> str:
    r"""The command ~\cite{..} for names of a table above; "" if none of them has a source."""
    keys = dict.fromkeys(key for name in names for key in table.get(name, ()))
    return f"~\\cite{{{','.join(keys)}}}" if keys else ""


def bibliography(keys: Iterable[str]) -> str:
    """The entries as a file for BibTeX."""
    return "\n\n".join(SOURCES[key].bibtex(key) for key in keys) + "\n"
