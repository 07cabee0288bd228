"""Where a question is asked and where a ground applies: EEA, ISO 3166-1 countries, ISO 3166-2 subdivisions."""

import re

EEA = frozenset("AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO".split())
COUNTRIES = frozenset(
    """AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO
    RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW""".split()
)
_SUBDIVISION = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}")


def is_jurisdiction(code: str) -> bool:
    """Whether the code is EEA, an ISO 3166-1 alpha-2 country, or has the form of an ISO 3166-2 subdivision of one."""
    if code == "EEA" or code in COUNTRIES:
        return True
    subdivision = _SUBDIVISION.fullmatch(code)
    return subdivision is not None and subdivision[1] in COUNTRIES


def lies_within(place: str, area: str) -> bool:
    """Whether a place is the area or a part of it: US-CA within US, DE within EEA."""
    country = place.partition("-")[0]
    return area in (place, country) or (area == "EEA" and country in EEA)


def closeness(areas: tuple[str, ...] | None, place: str) -> int:
    """How specifically a list of areas names a place: 0 everywhere (no list), rising to the place itself; -1 not at
    all."""
    if areas is None:
        return 0
    return max(
        (1 if area == "EEA" else 3 if "-" in area else 2 for area in areas if lies_within(place, area)), default=-1
    )
