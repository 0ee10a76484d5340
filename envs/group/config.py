"""The options of the world of groups."""

from __future__ import annotations

from dataclasses import dataclass

from worldbench.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """Running products in a finite group."""

    group: str = "A5"
    """The group: S<n> (all permutations of n things), A<n> (the even ones), Z<n> (addition modulo n), D<n> (the
    symmetries of a polygon with n corners), or a product such as Z2xA4. At most 1,024 elements."""
    length: int = 12
    """Number of elements in a training document."""
    test_length: int = 36
    """Number of elements in a held-out document, at least `length`."""

    def __post_init__(self) -> None:
        from worldbench.envs.group.tables import order_of

        order_of(self.group)
        if self.length < 2:
            raise InputError(f"env.length must be at least 2, not {self.length}")
        if not self.length <= self.test_length <= 4096:
            raise InputError(
                f"env.test_length must lie between env.length ({self.length}) and 4096, not {self.test_length}"
            )
