"""What the practice charges for: procedures with place of service, modifier, fee, work RVU and weight.

Telehealth is seen from the place of service (02, 10) or from the modifier (95, 93, GT, GQ), or from both.
"""

from dataclasses import dataclass

TELEHEALTH_PLACES = ("02", "10")
TELEHEALTH_MODIFIERS = ("95", "93", "GT", "GQ")


@dataclass(frozen=True)
class Procedure:
    """A charge of the price list: fee in cents and work RVU in hundredths per unit."""

    code: str
    place: str
    modifier: str | None
    fee: int
    work_rvu: int
    weight: int
    max_units: int = 1


PROCEDURES = (
    Procedure("99213", "11", None, 14875, 130, 6),
    Procedure("99214", "11", None, 21340, 192, 6),
    Procedure("99214", "11", "25", 21340, 192, 2),
    Procedure("99203", "11", None, 19820, 160, 3),
    Procedure("99212", "11", None, 9235, 70, 2),
    Procedure("99213", "02", None, 13950, 130, 1),
    Procedure("99213", "10", None, 13950, 130, 2),
    Procedure("99214", "10", "95", 20115, 192, 2),
    Procedure("99213", "02", "GT", 13950, 130, 1),
    Procedure("99212", "11", "93", 8890, 70, 1),
    Procedure("99213", "11", "GQ", 13410, 130, 1),
    Procedure("99213", "11", "95", 13950, 130, 1),
    Procedure("20610", "11", None, 16125, 79, 2),
    Procedure("12001", "11", None, 24390, 84, 1),
    Procedure("11042", "11", None, 23165, 101, 1),
    Procedure("71046", "11", None, 7845, 22, 2),
    Procedure("80053", "81", None, 4210, 0, 2),
    Procedure("36415", "11", None, 1785, 0, 2),
    Procedure("93000", "11", None, 6395, 17, 1),
    Procedure("J1885", "11", None, 1215, 0, 1, 4),
    Procedure("J3301", "11", None, 1860, 0, 1, 4),
    Procedure("90686", "11", None, 4575, 0, 2),
)
