"""The script decides as `decide` does, whatever it is asked, on whatever clock."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from aiosched.durations import SECOND
from aiosched.errors import LockError, UnfitStore
from aiosched.lockers import _redis_script as script
from aiosched.lockers._record import (
    BLANK,
    ExactSet,
    Grant,
    Question,
    decide,
    describe,
    is_forgotten,
    last_claimed,
    release,
)
from aiosched.lockers._redis_script import OneServer
from aiosched.lockers._redis_store import RedisStore
from aiosched.lockers._redis_wire import Wire, pool_of
from aiosched.lockers._requests import Ask, Look, Release
from aiosched.model import Claim
from aiosched.moments import from_us
from tests.effort import examples

TTL = 6 * SECOND
START = (int(time.time()) + 366 * 86_400) * SECOND  # keys expire by the real clock: not meanwhile
KEYS = st.sampled_from(["", "a", "b\0\ud800}{"])
SHAPES = st.fixed_dictionaries(
    {"late": st.sampled_from([3, 9, 20]), "keep": st.sampled_from([2, 10, 25])},
    optional={"exact": st.just(True)},
)
KINDS = st.sampled_from([{}, {"redeliver": True}, {"redeliver": True}, {"exclusive": False}])


class Model:
    """What the script must answer: `decide` on records, and leases."""

    def __init__(self):
        self.now = START
        self.records = {}
        self.sets = {}
        self.till = {}  # by key, of the owner
        self.last_owner = {}

    def record(self, key):
        return self.records.get(key, BLANK)

    def busy(self, key):
        return self.record(key).owner is not None and self.till[key] > self.now

    def ask(self, claim, attempt):
        key, busy = claim.key, self.busy(claim.key)
        remaining = (self.till[key] - self.now) / SECOND if busy else 0.0
        claimed = self.sets.setdefault(key, ExactSet())
        question = Question(claim, attempt, self.now, busy, claimed, remaining)
        answer = decide(self.record(key), question)
        if isinstance(answer, Grant):
            claimed.apply(answer)
            if claim.exclusive:
                self.till[key], self.last_owner[key] = self.now + TTL, attempt
            elif is_forgotten(self.record(key), self.now, busy=busy):
                self.last_owner.pop(key, None)
            self.records[key] = answer.record
        return answer

    def release(self, key, attempt, due, done):
        held, record = self.busy(key), self.record(key)
        after = release(record, attempt, due, done=done)
        if after is None:
            return record.owner is None and self.last_owner.get(key) == attempt
        self.records[key] = after
        return held

    def renew(self, key, attempt):
        is_held = self.busy(key) and self.record(key).owner == attempt
        if is_held:
            self.till[key] = self.now + TTL
        return is_held

    def shown(self):
        return [
            describe(key, record, busy=self.busy(key))
            for key, record in sorted(self.records.items())
            if not is_forgotten(record, self.now, busy=self.busy(key))
        ]


class Script:
    """The real one, on a clock of ours: in a key beside the records."""

    def __init__(self, server, prefix="tested"):
        self.server = server
        self.loop = asyncio.new_event_loop()
        wire = Wire(pool_of(server.url), 5.0)
        self.wire = wire
        self.store = RedisStore(wire, OneServer(prefix), TTL, "run")

    def set_clock(self, now):
        async def same():
            return now

        self.wire.now = same
        self.run_command("HSET", "clock", "s", now // SECOND, "us", now % SECOND)

    def run_command(self, *words):
        return self.loop.run_until_complete(self.wire._checked([words]))[0]

    def run(self, *operations):
        return self.loop.run_until_complete(self.store.run(operations))

    def records(self):
        return self.loop.run_until_complete(self.store.records())

    def close(self):
        self.loop.run_until_complete(self.store.close())
        self.loop.close()


class ScriptMachine(RuleBasedStateMachine):
    """Any order of requests by any attempts, on a clock that goes on and back."""

    asked = Bundle("asked")

    def __init__(self, real):
        super().__init__()
        self.real = real

    @initialize()
    def begin(self):
        self.model = Model()
        self.count = 0
        self.fences = {}
        self.real.run_command("FLUSHDB")
        self.real.set_clock(START)

    @rule(target=asked, key=KEYS, age=st.none() | st.integers(-1, 12), shape=SHAPES, kind=KINDS)
    def ask(self, key, age, shape, kind):
        due = None if age is None else from_us(self.model.now - age * SECOND)
        self.count += 1
        claim, attempt = Claim(key, due, **shape, **kind), f"attempt.{self.count}"
        is_new = self.compare(claim, attempt)
        if is_new and claim.exclusive:
            assert self.model.record(key).fence > self.fences.get(key, 0)
        self.fences[key] = self.model.record(key).fence
        return claim, attempt

    @rule(asked=asked)
    def ask_again_as_the_same_attempt(self, asked):
        self.compare(*asked)

    def compare(self, claim, attempt):
        expected = self.model.ask(claim, attempt)
        (real,) = self.real.run(script.ask(Ask(claim, attempt, None)))
        if isinstance(expected, LockError):
            assert (type(real), str(real)) == (type(expected), str(expected))
            assert vars(real) == vars(expected)
            return False
        assert real == (expected.due, expected.fence, expected.attempt)
        return True

    @rule(asked=asked, done=st.booleans())
    def release(self, asked, done):
        claim, attempt = asked
        due = self.model.record(claim.key).last_due
        expected = self.model.release(claim.key, attempt, due, done)
        assert self.real.run(script.release(Release(claim.key, attempt, due, done=done))) == [
            expected
        ]

    @rule(asked=asked)
    def renew(self, asked):
        claim, attempt = asked
        expected = self.model.renew(claim.key, attempt)
        assert self.real.run(script.renew(claim.key, attempt)) == [expected]

    @rule(key=KEYS)
    def look(self, key):
        expected = last_claimed(self.model.record(key), self.model.now, busy=self.model.busy(key))
        assert self.real.run(script.look(Look(key, None))) == [expected]

    @rule(seconds=st.sampled_from([0.000001, 0.5, 1, 4, 7, 30, -0.000001, -2, -40]))
    def step(self, seconds):
        self.model.now += round(seconds * SECOND)
        self.real.set_clock(self.model.now)

    @invariant()
    def shows_what_the_model_shows(self):
        assert self.real.records() == self.model.shown()


@pytest.fixture
def real(redis_server, monkeypatch):
    source = script.SCRIPT.replace(
        b"redis.call('TIME')", b"redis.call('HMGET', 'clock', 's', 'us')"
    )
    assert source != script.SCRIPT
    monkeypatch.setattr(script, "SCRIPT", source)
    monkeypatch.setattr(script, "SHA", script.sha_of(source))
    real = Script(redis_server)
    real.set_clock(START)
    yield real
    real.close()


def test_it_decides_as_the_model_does(real):
    run_machine(
        partial(ScriptMachine, real),
        settings=settings(
            max_examples=examples(120),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )


def test_a_batch_is_answered_in_order(real):
    due = from_us(START - SECOND)
    first, second = (Ask(Claim("key", due), name, None) for name in ("one", "two"))
    third = Ask(Claim("key"), "three", None)
    answers = real.run(
        script.ask(first),
        script.ask(second),
        script.release(Release("key", "one", None, done=True)),
        script.ask(third),
        script.renew("key", "three"),
        script.look(Look("key", None)),
    )
    assert [type(answer).__name__ for answer in answers] == [
        "Granted", "AlreadyRan", "bool", "Granted", "bool", "datetime",
    ]  # fmt: skip
    assert answers[2] is answers[4] is True
    assert answers[5] == due


def test_requests_beyond_a_chunk_are_answered_too(real):
    count = 2 * script.CHUNK + 1
    asks = [script.ask(Ask(Claim(str(n)), f"one.{n}", None)) for n in range(count)]
    assert all(type(answer) is script.Granted for answer in real.run(*asks))


def test_a_key_that_holds_something_else_harms_no_other(real):
    names = OneServer("tested")
    real.run_command("LPUSH", names.record("list"), "x")
    real.run_command("SET", names.record("text"), "x")
    real.run_command("SET", names.exact(names.record("set")), "x")
    due = from_us(START)
    claims = [Claim(key, due, exact=True) for key in ("fine", "list", "text", "set")]
    fine, *broken = real.run(*(script.ask(Ask(each, "one", None)) for each in claims))
    assert type(fine) is script.Granted
    assert [type(each) for each in broken] == [UnfitStore] * 3
    operations = (
        script.release(Release("list", "one", None)),
        script.renew("list", "one"),
        script.look(Look("list", None)),
        script.look(Look("fine", None)),
    )
    *broken, newest = real.run(*operations)
    assert [type(each) for each in broken] == [UnfitStore] * 3
    assert newest == due


def test_a_record_goes_when_it_is_over(redis_server):
    real = Script(redis_server, "expiring")
    due = from_us((int(time.time()) - 1) * SECOND)
    claim = Claim("key", due, late=2, keep=2, exact=True)
    assert type(real.run(script.ask(Ask(claim, "one", None)))[0]) is script.Granted
    names = OneServer("expiring")
    held_for = TTL / 1000 + 1000
    for name in (names.record("key"), names.exact(names.record("key"))):
        assert held_for - 500 < real.run_command("PTTL", name) <= held_for + 1
    real.close()


@pytest.mark.parametrize("prefix", ["aiosched", "", "a:b", "{one}", "b*?[x]\\", "\ud800"])
def test_a_name_tells_its_key(prefix):
    names = OneServer(prefix)
    keys = ["", "}", "{}", "a}:exact", "\0", "\ud800", "key", ":exact", "{key:a}"]
    records = [names.record(key) for key in keys]
    assert [names.key_of(record) for record in records] == keys
    exact = [names.exact(record) for record in records]
    ((epoch, _),) = names.shared_out([])
    assert len({*records, *exact, epoch}) == 2 * len(keys) + 1
    assert [names.key_of(name) for name in (*exact, epoch)] == [None] * (len(keys) + 1)


def test_the_pattern_of_a_prefix_finds_its_records_only(redis_server):
    real = Script(redis_server, "odd*[a]?\\")
    other = Script(redis_server, "oddx[a]?")
    for script_ in (real, other):
        script_.run(script.ask(Ask(Claim("key"), "one", None)))
    assert [record.key for record in real.records()] == ["key"]
    real.run_command("FLUSHDB")
    assert other.records() == []
    real.close()
    other.close()
