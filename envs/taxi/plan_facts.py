"""Public facts about the streets of Manhattan, from which `street_plan.py` draws a map without a network.

Sources: the Commissioners' Plan of 1811 (200 feet between streets; streets 60 feet wide, 15 of them and the avenues
100 feet; blocks between avenues of 650 feet from First to Second, 610 to Third, 920 from Third to Sixth, 800 west of
Sixth); Lexington and Madison Avenue, put between them later; the one-way directions that signs show today. Only the
grid north of Houston Street is here: the older streets below, and those of the West Village, follow no plan.

Units: feet along an avenue or across the island; a direction is "up" (to higher street numbers), "down", or "both".
"""

from __future__ import annotations

from typing import NamedTuple

FEET = 0.3048
"""Meters in a foot."""
TILT = 28.9
"""Degrees by which avenues point east of north."""
ANCHOR = (40.75353, -73.98083)
"""Latitude and longitude of Fifth Avenue and 42nd Street."""
STREET_WIDTH, WIDE_STREET, BLOCK = 60, 100, 200
"""Feet: the width of a street, of a wide street, and the length of a block between two streets."""
LAST_STREET = 155
"""The last street of the plan of 1811."""
TWO_WAY = (14, 23, 34, 42, 57, 72, 79, 86, 96, 106, 110, 116, 125, 135, 145, 155)
"""The wide streets, and those with traffic in both directions. Other even streets run east, odd streets west."""


class Avenue(NamedTuple):
    """name; feet east of Fifth Avenue (west: below 0); stretches (first street, last street, direction)."""

    name: str
    across: float
    stretches: tuple[tuple[int, int, str], ...]


AVENUES = (
    Avenue("12Av", -6040, ((23, 57, "both"),)),
    Avenue("11Av", -5140, ((22, 44, "down"), (44, 59, "both"))),
    Avenue("WestEndAv", -5140, ((59, 107, "both"),)),
    Avenue("10Av", -4240, ((14, 59, "up"),)),
    Avenue("AmsterdamAv", -4240, ((59, 110, "up"), (110, 155, "both"))),
    Avenue("9Av", -3340, ((14, 59, "down"),)),
    Avenue("ColumbusAv", -3340, ((59, 110, "down"),)),
    Avenue("MorningsideAv", -3340, ((113, 127, "both"),)),
    Avenue("8Av", -2440, ((14, 59, "up"),)),
    Avenue("CentralPkW", -2440, ((59, 110, "both"),)),
    Avenue("FredDouglassBlvd", -2440, ((110, 155, "both"),)),
    Avenue("7Av", -1720, ((14, 59, "down"),)),
    Avenue("ACPowellBlvd", -1720, ((110, 155, "both"),)),
    Avenue("6Av", -920, ((14, 59, "up"),)),
    Avenue("LenoxAv", -920, ((110, 147, "both"),)),
    Avenue("5Av", 0, ((8, 135, "down"), (135, 143, "both"))),
    Avenue("MadisonAv", 420, ((23, 135, "up"),)),
    Avenue("ParkAv", 920, ((17, 132, "both"),)),
    Avenue("LexingtonAv", 1345, ((21, 131, "down"),)),
    Avenue("3Av", 1840, ((7, 24, "both"), (24, 128, "up"))),
    Avenue("2Av", 2550, ((1, 128, "down"),)),
    Avenue("1Av", 3300, ((1, 127, "up"),)),
    Avenue("YorkAv", 4000, ((59, 92, "both"),)),
    Avenue("AvA", 4000, ((1, 14, "both"),)),
    Avenue("AvB", 4720, ((2, 14, "both"),)),
    Avenue("AvC", 5440, ((2, 14, "both"), (14, 18, "both"))),
    Avenue("AvD", 6150, ((2, 12, "both"),)),
)
"""Avenues from west to east. Across the island, centers of avenues: block length and half the widths on both sides."""
BROADWAY = (
    (10, 560), (14, 560), (17, 420), (23, 0), (34, -920), (45, -1720), (59, -2440), (65, -3340), (72, -4240),
    (78, -4800), (107, -4900), (155, -4900),
)  # fmt: skip
"""Where Broadway crosses: (street, feet east of Fifth Avenue). Straight between them. South of 59th Street it runs
down, north of it both ways."""
BROADWAY_BOTH_FROM = 59


class Closed(NamedTuple):
    """A superblock: between two streets and two positions across the island (feet east of Fifth Avenue), with nothing
    inside. why: its name."""

    south: float
    north: float
    west: float
    east: float
    why: str


CLOSED = (
    Closed(59, 110, -2440, 0, "Central Park"),
    Closed(14, 17, 420, 920, "Union Square"),
    Closed(23, 26, 0, 420, "Madison Square"),
    Closed(40, 42, -920, 0, "Bryant Park and the Public Library"),
    Closed(31, 33, -2440, -1720, "Pennsylvania Station"),
    Closed(40, 42, -3340, -2440, "Port Authority Bus Terminal"),
    Closed(42, 45, 420, 1345, "Grand Central Terminal"),
    Closed(42, 47, 3300, 4000, "United Nations"),
    Closed(14, 20, 3300, 5440, "Stuyvesant Town"),
    Closed(62, 65, -4240, -3340, "Lincoln Center"),
    Closed(77, 81, -3340, -2440, "Museum of Natural History"),
    Closed(114, 120, -4900, -4240, "Columbia University"),
    Closed(110, 123, -4240, -3340, "Morningside Park"),
    Closed(120, 124, -420, 420, "Marcus Garvey Park"),
    Closed(130, 141, -3800, -2440, "St. Nicholas Park"),
    Closed(7, 10, 4000, 4720, "Tompkins Square"),
    Closed(15, 17, 1840, 2550, "Stuyvesant Square"),
)
"""Streets that would run through a superblock end at its edge; avenues too, where they lie inside."""
TRANSVERSES = ((65, 66), (79, 81), (85, 86), (96, 97))
"""Roads through Central Park, both ways: the street on the east side, and that on the west side."""
