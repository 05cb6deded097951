"""The parts of a recurrence rule, read and checked: dateutil would search for ever for some."""

from __future__ import annotations

import re
from datetime import MAXYEAR, datetime, timedelta
from functools import lru_cache
from math import prod

from aiosched.errors import InvalidTrigger
from aiosched.triggers.checks import refuse
from aiosched.triggers.rrulesteps import WEEKDAYS, Steps
from aiosched.triggers.rrulewalk import Counted, Limited, Times, Walk

_FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_WITHIN_A_DAY = _FREQUENCIES[:3]
_MOST = 100_000  # times that COUNT may ask for
_NUMBERS = {
    "INTERVAL": range(1, MAXYEAR * 366),
    "COUNT": range(1, _MOST + 1),
    "BYMONTH": range(1, 13),
    "BYMONTHDAY": range(-31, 32),
    "BYYEARDAY": range(-366, 367),
    "BYWEEKNO": range(-53, 54),
    "BYSETPOS": range(-366, 367),
    "BYEASTER": range(-80, 251),  # dateutil's: days from Easter, within its year
    "BYHOUR": range(24),
    "BYMINUTE": range(60),
    "BYSECOND": range(60),
}
_WITHOUT_ZERO = ("BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS")
_NOT_WITH = {  # RFC 5545, section 3.3.10
    "BYMONTHDAY": ("WEEKLY",),
    "BYYEARDAY": ("DAILY", "WEEKLY", "MONTHLY"),
    "BYWEEKNO": _FREQUENCIES[:-1],
    "BYEASTER": _FREQUENCIES[:-1],
}
_CLOCK = ("BYHOUR", "BYMINUTE", "BYSECOND")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ALL = ",".join(map(str, range(1, 13)))
_RULE = re.compile(r"(?:[A-Z]+=[-+,\w]+;)+", re.ASCII)
_NUMBER = re.compile(r"[-+]?\d{1,9}", re.ASCII)
_DAY = re.compile(r"([-+]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_UNTIL = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)


def read(rule: str) -> dict[str, str]:
    """Return the parts of a rule by name.

    Raises:
        InvalidTrigger: It cannot be read, or breaks RFC 5545.
    """
    text = rule.strip().upper() if isinstance(rule, str) else ""
    text = text.removeprefix("RRULE:").rstrip(";") + ";"
    if not _RULE.fullmatch(text):
        refuse("rule", "look like 'FREQ=MONTHLY;BYDAY=-1FR' (DTSTART is start=)", rule)
    pairs = [part.split("=") for part in text.rstrip(";").split(";")]
    parts = dict(pairs)
    if len(parts) < len(pairs) or {"COUNT", "UNTIL"} <= parts.keys():
        refuse("rule", "have no part twice, and not both COUNT and UNTIL", rule)
    if parts.get("FREQ") not in _FREQUENCIES:
        refuse("rule", "have a FREQ from SECONDLY to YEARLY", rule)
    for name, value in parts.items():
        _check(rule, parts["FREQ"], name, value)
    _check_dates(rule, parts)
    _check_positions(rule, parts)
    return parts


def written(parts: dict[str, str]) -> str:
    """Return a rule as text."""
    return ";".join(f"{name}={value}" for name, value in parts.items())


def is_wildcard(parts: dict[str, str]) -> bool:
    """Whether the rule leaves the hour or the minute open, as a ``*`` does."""
    freq = parts["FREQ"]
    any_minute = freq in _WITHIN_A_DAY[:2] and "BYMINUTE" not in parts
    return any_minute or (freq in _WITHIN_A_DAY and "BYHOUR" not in parts)


def until(parts: dict[str, str]) -> tuple[datetime | None, bool]:
    """Return the last time of a rule, and whether it is one of UTC rather than of the wall."""
    if "UNTIL" not in parts:
        return None, False
    match = _UNTIL.fullmatch(parts["UNTIL"])
    if match is None:
        refuse("rule", "have an UNTIL such as 20261231 or 20261231T235959Z", parts["UNTIL"])
    try:
        last = datetime.strptime(match[1] + (match[2] or "000000"), "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError as error:
        raise InvalidTrigger(f"rule must have an UNTIL that exists, got {match[0]!r}") from error
    return last, bool(match[3])


@lru_cache(maxsize=256)
def times_of(rule: str, start: datetime) -> Times:
    """Return the wall times of a rule, shared by all who use the same."""
    parts = read(rule)
    last, is_utc = until(parts)
    parts.pop("UNTIL", None)
    count = parts.pop("COUNT", None)
    walked = parts["FREQ"] in _FREQUENCIES[4:]
    times: Times = Walk(parts, start) if walked else Steps(parts, start)
    if count is not None:
        return Counted(times, start, int(count))
    # An end of UTC is the trigger's business; here it only ends the search.
    return Limited(times, start, last + timedelta(days=1) if last and is_utc else last)


def _check(rule: str, freq: str, name: str, value: str) -> None:
    if freq in _NOT_WITH.get(name, ()):
        refuse("rule", f"have no {name} with FREQ={freq}", rule)
    if name in _NUMBERS:
        for number in value.split(","):
            _check_number(rule, name, number)
    elif name == "BYDAY":
        _check_weekdays(rule, freq, value)
    elif name == "WKST" and value not in WEEKDAYS:
        refuse("rule", "have a weekday for WKST", rule)
    elif name not in {"FREQ", "WKST", "UNTIL"}:
        refuse("rule", f"have no {name}", rule)


def _check_number(rule: str, name: str, text: str) -> None:
    number = int(text) if _NUMBER.fullmatch(text) else None
    if number not in _NUMBERS[name] or (number == 0 and name in _WITHOUT_ZERO):
        low, high = _NUMBERS[name][0], _NUMBERS[name][-1]
        refuse("rule", f"have {name} between {low} and {high}", rule)


def _check_weekdays(rule: str, freq: str, value: str) -> None:
    most = 53 if freq == "YEARLY" else 5
    for each in value.split(","):
        match = _DAY.fullmatch(each)
        if match is None or (match[1] is not None and not 1 <= abs(int(match[1])) <= most):
            refuse("rule", "have weekdays such as MO or -1FR", rule)
        if match[1] is not None and freq not in {"MONTHLY", "YEARLY"}:
            refuse("rule", f"not count weekdays with FREQ={freq}", rule)
    counted = [each for each in value.split(",") if each not in WEEKDAYS]
    if counted and len(counted) < len(value.split(",")):
        # RFC 5545 adds them up; dateutil takes only the days that are both.
        refuse("rule", "not have weekdays with and without a number in one BYDAY", rule)


def _check_dates(rule: str, parts: dict[str, str]) -> None:
    if "BYMONTHDAY" not in parts:
        return
    months = parts.get("BYMONTH", _ALL).split(",")
    longest = max(_LONGEST[int(month) - 1] for month in months)
    if all(abs(int(day)) > longest for day in parts["BYMONTHDAY"].split(",")):
        refuse("rule", "name a date that exists", rule)


def _check_positions(rule: str, parts: dict[str, str]) -> None:
    """Refuse positions that no period can have."""
    freq = parts["FREQ"]
    if "BYSETPOS" not in parts or freq == "YEARLY":
        return
    finer = _CLOCK[max(3 - _FREQUENCIES.index(freq), 0) :]
    size = _days_at_most(parts) * prod(
        len(parts[name].split(",")) for name in finer if name in parts
    )
    if all(abs(int(position)) > size for position in parts["BYSETPOS"].split(",")):
        refuse("rule", f"have a BYSETPOS within the {size} times of a period", rule)


def _days_at_most(parts: dict[str, str]) -> int:
    sizes = [len(parts["BYMONTHDAY"].split(","))] if "BYMONTHDAY" in parts else []
    if "BYDAY" in parts and parts["FREQ"] in {"WEEKLY", "MONTHLY"}:
        monthly = parts["FREQ"] == "MONTHLY"
        weekdays = parts["BYDAY"].split(",")
        sizes.append(sum(5 if monthly and each in WEEKDAYS else 1 for each in weekdays))
    return min(sizes, default=1)
