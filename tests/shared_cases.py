"""Inputs that once failed, in a folder beside the checkout (../shared/cases). Tests over them are skipped where it is
absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("WORLDBENCH_TEST_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
"""The folder beside the checkout. With another name in the environment, tests run as in a clone without the folder."""
CASES = SHARED / "cases"


def files(*patterns: str) -> list[Path]:
    """The files of CASES that match one of the patterns, in order."""
    return sorted({path for pattern in patterns for path in CASES.glob(pattern) if path.is_file()})


def each(*patterns: str, without: tuple[str, ...] = ()) -> Any:
    """Parametrizes `case` over the files that match; one test that is skipped, where there are none.

    without: names of files that are left to other tests.
    """
    found = [path for path in files(*patterns) if path.name not in without]
    if not found:
        absent = f"the reduced inputs are not beside this checkout (../shared/cases/{patterns[0]})"
        return pytest.mark.parametrize(
            "case", [pytest.param(CASES, marks=pytest.mark.skip(reason=absent))], ids=["absent"]
        )
    return pytest.mark.parametrize("case", found, ids=lambda path: f"{path.parent.name}/{path.name}")


def folder(name: str) -> Path:
    """One folder of CASES; the test is skipped where it is absent."""
    if not (CASES / name).is_dir():
        pytest.skip(f"the reduced inputs are not beside this checkout (../shared/cases/{name})")
    return CASES / name
