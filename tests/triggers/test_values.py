"""Triggers are values: what makes them equal, how they are shown, that nothing changes them."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta

import pytest

from aiosched import triggers
from aiosched.moments import to_us
from aiosched.protocols import BindableTrigger, ElapsedTrigger, MicrosecondTrigger, Trigger
from aiosched.triggers import (
    After,
    BaseTrigger,
    Cron,
    Daily,
    Every,
    Monthly,
    Once,
    RandomEvery,
    Weekly,
)
from aiosched.triggers.base import Value

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

VALUES = [
    After(90),
    Cron("*/15 9-17 * * MON-FRI"),
    Cron("CRON_TZ=Asia/Tokyo 0 9 * * *", dst="skip"),
    Cron("H H * * *", tz=UTC),
    Cron("0 9 * * *", tz=BERLIN),
    Daily(),
    Daily(
        at=["10:30", time(6, 0, 0, 5)],
        every=2,
        tz="Europe/Berlin",
        dst="both",
        anchor=date(2026, 1, 1),
    ),
    Every(seconds=90),
    Every("1500us", anchor=NOON),
    Monthly(on=[1, -1], at="10:30:15", every=3, missing="clamp"),
    Monthly(on=31, anchor=date(2026, 1, 1)),
    Once(NOON, NOON + timedelta(days=1)),
    RandomEvery(5, 10),
    RandomEvery("1m", "2m", seed="x"),
    Weekly(on=["MON", "FRI"], every=2, week_start="SUN", tz="America/New_York"),
    Weekly(on="SUN"),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_its_repr_makes_an_equal_value(value):
    names = vars(triggers) | {"datetime": dt, "zoneinfo": zoneinfo}
    assert eval(repr(value), names) == value


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_a_copy_is_equal(value, again):
    assert again(value) == value
    assert hash(again(value)) == hash(value)


def test_a_copy_keeps_the_zone_it_was_bound_to():
    bound = Every(hours=1).bind(name="job", tz=BERLIN)
    assert pickle.loads(pickle.dumps(bound)).next_after(NOON).tzinfo is BERLIN


def test_different_values_differ():
    assert len(set(VALUES)) == len(VALUES)
    assert all(one != other for one in VALUES for other in VALUES if one is not other)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_it_cannot_be_changed(value):
    with pytest.raises(AttributeError, match="is immutable: zone cannot be set"):
        value.zone = BERLIN
    with pytest.raises(AttributeError, match="is immutable: zone cannot be deleted"):
        del value.zone


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_it_has_no_dict(value):
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_it_is_what_the_planner_asks_for(value):
    assert isinstance(value, (Trigger, BindableTrigger, MicrosecondTrigger))
    assert isinstance(value.bind(name="job", tz=BERLIN), Trigger)
    assert isinstance(value, ElapsedTrigger) == (type(value) in {After, Every, RandomEvery})


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_only_a_delay_or_an_interval_without_anchor_changes_when_anchored(value):
    assert (value.anchored(0) is value) != value.elapsed


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_naive_moment_is_named(value):
    with pytest.raises(ValueError, match="moment must be aware"):
        value.next_after(NOON.replace(tzinfo=None))
    with pytest.raises(TypeError, match="moment must be an aware datetime, got 5"):
        value.next_after(5)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_moments_and_microseconds_say_the_same(value):
    bound = value.bind(name="job", tz=BERLIN)
    found = bound.next_after(NOON)
    assert (found and to_us(found)) == bound.next_us(to_us(NOON))


def test_a_moment_past_the_zones_last_year_is_none():
    late = Once(datetime(9999, 12, 31, 23, 59, tzinfo=UTC)).bind(name="job", tz=BERLIN)
    assert late.next_after(NOON) is None


def test_a_new_kind_has_to_say_its_arguments_and_its_next():
    with pytest.raises(NotImplementedError):
        Value().arguments()
    with pytest.raises(NotImplementedError):
        BaseTrigger().next_us(0)


def test_a_trigger_by_itself_is_bound_in_utc():
    bare = BaseTrigger()
    assert bare.zone is UTC
    assert bare.bind(name="job", tz=BERLIN) is bare
