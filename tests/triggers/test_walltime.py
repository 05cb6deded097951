"""Zones: by name from the wheel, as objects of any make, each of the tz database."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from importlib.resources import files
from itertools import islice, takewhile
from operator import lt

import pytest
from dateutil import tz as dateutil_tz
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import Cron, Daily, Monthly
from aiosched.triggers.walltime import FIXED, Timeline, timeline, zone
from tests.effort import examples
from tests.triggers import oracle

pytestmark = pytest.mark.unmeasured

HOUR_US = 3_600_000_000
NEW_YORK = "America/New_York"
UTC_ZONE = oracle.zone_of("Etc/UTC")
DST = st.sampled_from(["vixie", "skip", "both"])


def test_a_zone_by_name_comes_from_the_wheel_even_without_the_systems():
    code = (
        "from aiosched import Cron; from datetime import *;"
        "print(Cron('0 9 * * *', tz='Europe/Berlin').next_after(datetime(2026,7,1,tzinfo=UTC)))"
    )
    environment = {"PYTHONTZPATH": "/nowhere", "PYTHONPATH": ".", "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "2026-07-01T09:00:00+02:00".replace("T", " "), ran.stderr


def test_a_zone_by_name_is_read_once():
    assert zone("Asia/Tokyo") is zone("Asia/Tokyo")
    assert timeline(zone("Asia/Tokyo")) is timeline(zone("Asia/Tokyo"))


def test_utc_by_name_is_utc():
    assert zone("UTC") is UTC


def test_a_zone_by_name_can_be_pickled_with_its_datetimes():
    found = Cron("0 9 * * *", tz="Asia/Tokyo").next_after(datetime(2026, 1, 1, tzinfo=UTC))
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert again.tzinfo is found.tzinfo


def test_a_zone_is_shown_as_what_it_is():
    assert repr(zone("Asia/Tokyo")) == "zoneinfo.ZoneInfo(key='Asia/Tokyo')"


def test_a_tzinfo_is_used_as_given():
    Daily(tz=timezone(timedelta(hours=5, minutes=45)))  # equal to it, and not it
    own = timezone(timedelta(hours=5, minutes=45), "own")
    found = Daily(at="06:00", tz=own).next_after(datetime(2026, 1, 1, tzinfo=UTC))
    assert found.tzinfo is own
    assert found.astimezone(UTC) == datetime(2026, 1, 1, 0, 15, tzinfo=UTC)


class Timeless(tzinfo):
    """A zone that cannot tell its offset."""

    def utcoffset(self, when):
        return None

    def dst(self, when):
        return None


class Broken(Timeless):
    def utcoffset(self, when):
        raise RuntimeError("no idea")


@pytest.mark.parametrize("own", [Timeless(), Broken()])
def test_a_zone_that_cannot_tell_its_offset_is_refused(own):
    with pytest.raises(InvalidTrigger, match="tz must give an offset, got "):
        Cron("0 9 * * *", tz=own)


def test_another_makers_zone_gives_the_same_moments():
    theirs = dateutil_tz.gettz(NEW_YORK)  # cannot be hashed, and has no fold of its own making
    for expr in ["30 1 * * *", "30 2 * * *", "*/20 * * * *", "0 0-23 * * *"]:
        for begin in [datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)]:
            ours = islice(Cron(expr, tz=NEW_YORK).upcoming(to_us(begin)), 150)
            other = islice(Cron(expr, tz=theirs).upcoming(to_us(begin)), 150)
            assert list(ours) == list(other)


def test_another_makers_zone_is_compared_and_hashed():
    theirs = dateutil_tz.gettz(NEW_YORK)
    assert Daily(tz=theirs) == Daily(tz=theirs)
    assert hash(Daily(tz=theirs)) == hash(Daily(tz=theirs))


class Steps(tzinfo):
    """A zone made for a test: offsets in hours that begin at instants in hours from the epoch."""

    def __init__(self, *steps: tuple[float, float], first: float = 0) -> None:
        self.starts = [from_us(round(start * HOUR_US)) for start, _ in steps]
        self.offsets = [timedelta(hours=each) for each in (first, *(offset for _, offset in steps))]

    def at(self, instant: datetime) -> timedelta:
        return self.offsets[bisect_right(self.starts, instant)]

    def fromutc(self, when):
        instant = when.replace(tzinfo=UTC)
        local = when + self.at(instant)
        return local.replace(fold=int(instant != self._instants(local)[0]))

    def utcoffset(self, when):
        instants = self._instants(when)
        return self.at(instants[-1 if when.fold else 0]) if instants else self.offsets[0]

    def dst(self, when):
        return None

    def _instants(self, local: datetime) -> list[datetime]:
        """Return the instants at which the wall shows *local*."""
        shown = local.replace(tzinfo=UTC)
        instants = sorted({shown - offset for offset in self.offsets})
        return [each for each in instants if each + self.at(each) == shown]


@st.composite
def odd_zones(draw) -> Steps:
    """Changes as wild as they come, some hours apart: gaps within folds, folds of a day."""
    starts = draw(st.lists(st.integers(-60, 60), min_size=1, max_size=5, unique=True))
    offsets = draw(
        st.lists(
            st.sampled_from([-23, -12, -1, -0.5, 0, 0.25, 1, 2, 3, 11, 23]),
            min_size=len(starts) + 1,
            max_size=len(starts) + 1,
        )
    )
    instants = [start * 2 for start in sorted(starts)]
    return Steps(*zip(instants, offsets[1:], strict=True), first=offsets[0])


def test_the_first_and_the_last_moments_hold():
    new_york = timeline(zone(NEW_YORK))
    first, last = to_us(datetime.min.replace(tzinfo=UTC)), to_us(datetime.max.replace(tzinfo=UTC))
    assert new_york.segment(first)[0] <= first
    assert new_york.next_us(last, lambda wall: wall, FIXED["vixie"]) is None
    assert new_york.segment(last)[1] == last + 1


def test_the_chunks_kept_are_bounded():
    line = Timeline(UTC_ZONE)
    line._chunks.update({chunk: [] for chunk in range(10_000, 15_000)})
    assert line.segment(to_us(datetime(2200, 1, 1, tzinfo=UTC)))[2] == 0
    assert len(line._chunks) == 1


QUARTER = timedelta(minutes=15)
SHOWS = {
    "*/30 * * * *": lambda shown: shown.minute in (0, 30),
    "30 2 * * *": lambda shown: (shown.hour, shown.minute) == (2, 30),
    "0,45 0-23/2 * * *": lambda shown: shown.minute in (0, 45) and shown.hour % 2 == 0,
    "0 0 1 * *": lambda shown: (shown.day, shown.hour, shown.minute) == (1, 0, 0),
}


@settings(max_examples=examples(300), deadline=None)
@given(own=odd_zones(), expr=st.sampled_from(list(SHOWS)), dst=DST)
def test_any_zone_whatsoever_agrees_with_the_oracle(own, expr, dst):
    begin, end = from_us(-200 * HOUR_US), from_us(200 * HOUR_US)
    watched = oracle.watch(
        lambda instant: (instant + own.at(instant)).replace(tzinfo=None), begin, end, QUARTER
    )
    expected = oracle.occurrences(watched, SHOWS[expr], wildcard=expr.startswith("*"), dst=dst)
    found = takewhile(
        lambda us: us <= to_us(end), Cron(expr, tz=own, dst=dst).upcoming(to_us(begin))
    )
    assert [from_us(us) for us in found] == expected


def zone_files() -> dict[bytes, str]:
    """Return the different files of the tz database, each with one of its names."""
    folder = files("tzdata") / "zoneinfo"
    return {folder.joinpath(*key.split("/")).read_bytes(): key for key in oracle.zone_keys()}


def transitions(data: bytes) -> list[datetime]:
    """Return every change of offset that a zone's file lists (RFC 8536, version 2 data)."""
    start = data.index(b"TZif", 1)
    times, types = struct.unpack(">2L", data[start + 32 : start + 40])
    body = data[start + 44 :]
    instants = struct.unpack(f">{times}q", body[: 8 * times])
    kinds = [offset for offset, _, _ in struct.iter_unpack(">lBB", body[9 * times :][: 6 * types])]
    offsets = [kinds[0], *(kinds[index] for index in body[8 * times : 9 * times])]
    changed = zip(instants, offsets[:-1], offsets[1:], strict=True)
    return [from_us(each * 1_000_000) for each, before, after in changed if before != after]


def test_every_change_in_the_files_is_found():
    """Probing every few days misses nothing, in any zone, from the end of local mean time on."""
    for data, key in zone_files().items():
        line = Timeline(oracle.zone_of(key))
        starts = [line.segment(to_us(each))[0] for each in transitions(data)]
        assert starts == [to_us(each) for each in transitions(data)], key


def test_results_increase_in_every_zone_of_the_tz_database():
    """Around every change, for a wildcard, for times all over the day, for dates, by each rule."""
    all_day = [f"{hour}:{minute}" for hour in range(24) for minute in (15, 45)]
    for data, key in zone_files().items():
        triggers = [
            Cron("*/20 * * * *", tz=key),
            Daily(at=all_day, tz=key),
            Daily(at=all_day, tz=key, dst="both"),
            Monthly(on=[1, 15, -1], at="00:30", tz=key, dst="skip"),
        ]
        for change in transitions(data):
            begin = to_us(change) - 2 * HOUR_US
            for trigger in triggers:
                found = list(islice(trigger.upcoming(begin), 9))
                assert len(found) == 9
                assert all(map(lt, [begin, *found], found)), (key, trigger, change)
