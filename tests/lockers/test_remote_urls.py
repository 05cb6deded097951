"""The URLs of lockers on servers."""

from __future__ import annotations

import pytest

from aiosched.lockers import RedisLocker, RedlockLocker, locker_from_url
from aiosched.lockers._redis_wire import address_of


def pool(locker):
    return locker._make_wire.args[0]


def test_a_url_names_a_redis():
    locker = locker_from_url("redis://one:7/3")
    assert type(locker) is RedisLocker
    assert address_of(pool(locker)) == "one:7/3"
    assert locker.ttl == 30


def test_rediss_is_encrypted():
    locker = locker_from_url("rediss://one")
    assert "SSL" in pool(locker).connection_class.__name__


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("0.5", 0.5), ("90s", 90), ("1m", 60)])
def test_options_of_the_locker_are_parameters(text, seconds):
    url = f"redis://one?ttl={text}&prefix=x%20y&on_amnesia=run&timeout=2"
    locker = locker_from_url(url)
    assert locker.ttl == seconds
    assert locker._names.record("key") == b"x y:v1:{key:key}"
    assert (locker._on_amnesia, locker._timeout) == ("run", 2)


def test_the_driver_is_given_the_options_that_it_knows():
    locker = locker_from_url("redis://one?db=4&ttl=5&health_check_interval=3")
    assert pool(locker).connection_kwargs["db"] == 4
    assert pool(locker).connection_kwargs["health_check_interval"] == 3


@pytest.mark.parametrize(
    "url",
    [
        "redis://one?nonsense=1",
        "redis://one?ttl=soon",
        "redis://one?ttl=0.01",
        "redis://one?ttl=nan",
        "redis://one?on_amnesia=hope",
        "redlock:",
        "redlock:redis://one",
        "redlock:redis://one,redis://two,redis://three?nonsense=1",
        "redlock:redis://one,redis://two,redis://two",
        "redlock:redis://one,redis://two,http://three",
    ],
)
def test_what_nobody_knows_is_refused(url):
    with pytest.raises(ValueError, match=r"nonsense|ttl|on_amnesia|servers|or_clients|http"):
        locker_from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:secret@one?ttl=5&tll=3",
        "redlock:redis://me:secret@one,redis://two,redis://three?tll=3",
    ],
)
def test_a_misspelt_option_is_named_beside_those_there_are(url):
    with pytest.raises(ValueError, match="tll") as refusal:
        locker_from_url(url)
    assert str(refusal.value) == (
        "unknown parameter 'tll' in the URL of Redis, got 'redis://…@one?tll=3'; "
        "the locker's own are on_amnesia, prefix, timeout, ttl"
    )


def test_redlock_has_several_urls_and_shares_its_options():
    locker = locker_from_url("redlock:redis://one,rediss://two:7,redis://three/1?ttl=5&username=u")
    assert type(locker) is RedlockLocker
    assert [address_of(pool) for pool in locker._pools] == ["one:6379/0", "two:7/0", "three:6379/1"]
    assert {each.connection_kwargs["username"] for each in locker._pools} == {"u"}
    assert locker.ttl == 5
