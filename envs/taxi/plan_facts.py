"""Public facts about the streets of Manhattan, from which `street_plan.py` draws a map without a network.

Sources: the Commissioners' Plan of 1811 (200 feet between streets; streets 60 feet wide, 15 of them and the avenues
100 feet; blocks between avenues of 650 feet from First to Second, 610 to Third, 920 from Third to Sixth, 800 west of
Sixth); Lexington and Madison Avenue, put between them later; the one-way directions that signs show today. Only the
grid north of Houston Street is here; `plan_village.py` and `plan_old_city.py` have the older streets.

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
LAST_STREET = 190
"""The last street here. The plan of 1811 ends at 155th Street; the next streets continue its spacing."""
TWO_WAY = (14, 23, 34, 42, 57, 72, 79, 86, 96, 106, 110, 116, 125, 135, 145, 155, 181)
"""The wide streets, and those with traffic in both directions. Other even streets run east, odd streets west."""
AGAINST = (60, 65, 66, 126, 182)
"""The streets that run the other way."""


class Avenue(NamedTuple):
    """name; feet east of Fifth Avenue (west: below 0); stretches (first street, last street, direction)."""

    name: str
    across: float
    stretches: tuple[tuple[int, int, str], ...]


ACROSS = {
    "12Av": -6420, "11Av": -5520, "10Av": -4620, "9Av": -3720, "8Av": -2820, "7Av": -1920, "6Av": -1020,
    "MtMorrisPkW": -500, "5Av": 0,
    "MadisonAv": 510, "ParkAv": 1020, "LexingtonAv": 1530, "3Av": 2040, "2Av": 2750,
    "1Av": 3500, "AvA": 4200, "AvB": 4930, "AvC": 5655, "AvD": 6380,
}  # fmt: skip
"""Feet east of Fifth Avenue (west: below 0) of the middle of each avenue: blocks, and half the widths on both sides."""

AVENUES = (
    Avenue("12Av", ACROSS["12Av"], ((23, 57, "both"),)),
    Avenue("11Av", ACROSS["11Av"], ((22, 44, "down"), (44, 59, "both"))),
    Avenue("WestEndAv", ACROSS["11Av"], ((59, 107, "both"),)),
    Avenue("10Av", ACROSS["10Av"], ((14, 59, "up"),)),
    Avenue("AmsterdamAv", ACROSS["10Av"], ((59, 110, "up"), (110, 190, "both"))),
    Avenue("9Av", ACROSS["9Av"], ((14, 59, "down"),)),
    Avenue("ColumbusAv", ACROSS["9Av"], ((59, 110, "down"),)),
    Avenue("MorningsideAv", ACROSS["9Av"], ((113, 127, "both"),)),
    Avenue("8Av", ACROSS["8Av"], ((14, 59, "up"),)),
    Avenue("CentralPkW", ACROSS["8Av"], ((59, 110, "both"),)),
    Avenue("FredDouglassBlvd", ACROSS["8Av"], ((110, 155, "both"),)),
    Avenue("7Av", ACROSS["7Av"], ((11, 59, "down"),)),
    Avenue("ACPowellBlvd", ACROSS["7Av"], ((110, 155, "both"),)),
    Avenue("MtMorrisPkW", ACROSS["MtMorrisPkW"], ((120, 124, "both"),)),
    Avenue("6Av", ACROSS["6Av"], ((8, 59, "up"),)),
    Avenue("LenoxAv", ACROSS["6Av"], ((110, 147, "both"),)),
    Avenue("5Av", ACROSS["5Av"], ((7, 135, "down"), (135, 143, "both"))),
    Avenue("MadisonAv", ACROSS["MadisonAv"], ((23, 135, "up"),)),
    Avenue("ParkAv", ACROSS["ParkAv"], ((17, 132, "both"),)),
    Avenue("LexingtonAv", ACROSS["LexingtonAv"], ((21, 131, "down"),)),
    Avenue("3Av", ACROSS["3Av"], ((7, 24, "both"), (24, 128, "up"))),
    Avenue("2Av", ACROSS["2Av"], ((0, 128, "down"),)),
    Avenue("1Av", ACROSS["1Av"], ((0, 127, "up"),)),
    Avenue("YorkAv", ACROSS["AvA"], ((59, 92, "both"),)),
    Avenue("AvA", ACROSS["AvA"], ((0, 14, "both"),)),
    Avenue("AvB", ACROSS["AvB"], ((0, 14, "both"),)),
    Avenue("AvC", ACROSS["AvC"], ((0, 18, "both"),)),
    Avenue("AvD", ACROSS["AvD"], ((0, 12, "both"),)),
)
"""Avenues from west to east."""
BROADWAY = (
    (8, 1250), (10, 1250), (14, 900), (17, 510), (23, 0), (34, -1020), (45, -1920), (59, -2820), (65, -3720),
    (72, -4620), (78, -5080), (104, -5200), (107, -5520), (155, -5520),
)  # fmt: skip
"""Where Broadway crosses: (street, feet east of Fifth Avenue). Straight between them. South of 59th Street it runs
down, north of it both ways."""
BROADWAY_BOTH_FROM = 59
WEST_END = {**dict.fromkeys(range(1, 8), 2040), **dict.fromkeys(range(8, 13), -1020), 13: -3720}
"""Feet east of Fifth Avenue where the streets below 14th Street end in the west, or leave the plan of 1811. The others
run from river to river."""
EAST_END = dict.fromkeys(range(156, 191), -4620)
"""The same in the east, above 155th Street."""


class Closed(NamedTuple):
    """A superblock: between two streets and two positions across the island (feet east of Fifth Avenue), with nothing
    inside. why: its name."""

    south: float
    north: float
    west: float
    east: float
    why: str


CLOSED = tuple(
    Closed(south, north, ACROSS[west], ACROSS[east], why)
    for south, north, west, east, why in (
        (59, 110, "8Av", "5Av", "Central Park"),
        (14, 17, "MadisonAv", "ParkAv", "Union Square"),
        (23, 26, "5Av", "MadisonAv", "Madison Square"),
        (20, 21, "ParkAv", "3Av", "Gramercy Park"),
        (40, 42, "6Av", "5Av", "Bryant Park and the Public Library"),
        (31, 33, "8Av", "7Av", "Pennsylvania Station"),
        (40, 42, "9Av", "8Av", "Port Authority Bus Terminal"),
        (42, 45, "MadisonAv", "LexingtonAv", "Grand Central Terminal"),
        (42, 47, "1Av", "AvA", "United Nations"),
        (14, 20, "1Av", "AvC", "Stuyvesant Town"),
        (62, 65, "10Av", "9Av", "Lincoln Center"),
        (77, 81, "9Av", "8Av", "Museum of Natural History"),
        (114, 120, "11Av", "10Av", "Columbia University"),
        (110, 123, "10Av", "9Av", "Morningside Park"),
        (130, 141, "9Av", "8Av", "St. Nicholas Park"),
        (7, 10, "AvA", "AvB", "Tompkins Square"),
        (15, 17, "3Av", "2Av", "Stuyvesant Square"),
        (120, 124, "MtMorrisPkW", "MadisonAv", "Marcus Garvey Park"),
    )
)
"""Streets that would run through a superblock end at its edge; avenues too, where they lie inside."""
TRANSVERSES = ((65, 66), (79, 81), (85, 86), (96, 97))
"""Roads through Central Park, both ways: the street on the east side, and that on the west side."""
