"""Many cases of one test: a few run by default, the others are slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def others_slow(cases: Iterable[Any], *default: Any) -> list[Any]:
    """The cases of `pytest.mark.parametrize`; those that are not in `default` are marked slow. A tuple is a case of
    several parameters.

    Raises ValueError if `default` names no case: otherwise a renamed case would run by default no more, and nobody
    would see it.
    """
    listed = list(cases)
    if missing := [case for case in default if case not in listed]:
        raise ValueError(f"no case {missing}; the cases are {listed}")
    return [
        case
        if case in default
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in listed
    ]
