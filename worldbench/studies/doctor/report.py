"""The findings of an examination as lines for people."""

from __future__ import annotations

import textwrap

from worldbench.core import console
from worldbench.core.text import counted
from worldbench.records.doctor import Doctor, Finding

SIGNS = {"good": "good", "absent": "absent", "failed": "FAILED"}
INDENT = 34
"""Columns before the text of a finding."""


def line(found: Finding) -> str:
    """A finding, and below it what to do."""
    text = found.text + (f". To do: {found.remedy}" if found.remedy and found.state != "good" else "")
    head = f"{SIGNS[found.state]:8}{found.where:9}{found.name:{INDENT - 17}}"
    width = max(console.width(), INDENT + 40)
    indent = " " * INDENT
    return textwrap.fill(text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False)


def ending(record: Doctor) -> str:
    """The last line: "ready", or what is missing and what to do."""
    if record.ready:
        return "ready"
    failed = [f for f in record.findings if f.state == "failed"]
    reasons = [f"{f.name} ({f.where}): {f.text}" + (f"; {f.remedy}" if f.remedy else "") for f in failed]
    return "\n".join([f"not ready: {counted(len(failed), 'check')} failed", *reasons])


def show(record: Doctor) -> None:
    """Print all findings and the ending."""
    for found in record.findings:
        print(line(found))
    print(ending(record))
