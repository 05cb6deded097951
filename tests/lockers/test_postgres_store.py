"""The store decides as `decide` does, whatever it is asked, on whatever clock, in either mode."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from aiosched.durations import HOUR, SECOND
from aiosched.errors import LockError
from aiosched.lockers import _postgres_sql
from aiosched.lockers._lease import UNHELD, HeldLock
from aiosched.lockers._postgres_sql import COLUMNS, spelled, unspelled
from aiosched.lockers._record import (
    ASK_AGAIN,
    BLANK,
    ExactSet,
    Grant,
    Question,
    Record,
    decide,
    describe,
    is_forgotten,
    last_claimed,
    release,
)
from aiosched.lockers._renewal import Renew
from aiosched.lockers._requests import Ask, Look, Ping, Release
from aiosched.lockers.postgres import PostgresLocker
from aiosched.model import Claim
from aiosched.moments import from_us
from tests.effort import examples

TTL = 6 * SECOND
START = int(time.time()) * SECOND
KEYS = st.sampled_from(["", "a", "b\0\ud800}{", "long" * 200])
SHAPES = st.fixed_dictionaries(
    {"late": st.sampled_from([3, 9, 20]), "keep": st.sampled_from([2, 10, 25])},
    optional={"exact": st.just(True)},
)
KINDS = st.sampled_from([{}, {"redeliver": True}, {"redeliver": True}, {"exclusive": False}])
QUESTIONS = st.lists(
    st.tuples(KEYS, st.none() | st.integers(-1, 12), SHAPES, KINDS), min_size=1, max_size=3
)
SESSIONS = st.integers(0, 1)


class Model:
    """What must be answered: `decide` on records, and holders that live or leases that last."""

    def __init__(self, mode):
        self.mode = mode
        self.now = START
        self.records = {}
        self.sets = {}
        self.till = {}  # by key, of the owner
        self.session = {}  # by key, the owner's
        self.living = [object(), object()]

    def record(self, key):
        return self.records.get(key, BLANK)

    def busy(self, key):
        if self.record(key).owner is None:
            return False
        if self.mode == "advisory":
            return self.session[key] in self.living
        return self.till[key] > self.now

    def ask(self, claim, attempt, number):
        key, busy = claim.key, self.busy(claim.key)
        left = ASK_AGAIN
        if busy and self.mode == "lease":
            left = (self.till[key] - self.now) / SECOND
        claimed = self.sets.setdefault(key, ExactSet())
        answer = decide(self.record(key), Question(claim, attempt, self.now, busy, claimed, left))
        if isinstance(answer, Grant):
            claimed.apply(answer)
            if claim.exclusive:
                self.till[key], self.session[key] = self.now + TTL, self.living[number]
            self.records[key] = answer.record
        return answer

    def release(self, key, attempt, due, number, *, done):
        held = self.busy(key) and self.is_of(key, number)
        after = release(self.record(key), attempt, due, done=done)
        if after is None:
            return False
        self.records[key] = after
        return held

    def is_of(self, key, number):
        return self.mode == "lease" or self.session[key] is self.living[number]

    def renew(self, key, attempt, number):
        is_held = self.record(key).owner == attempt and self.busy(key) and self.is_of(key, number)
        if is_held:
            self.till[key] = self.now + TTL
        return is_held

    def purge(self):
        for key, record in list(self.records.items()):
            if record.forget_at < self.now - HOUR and not self.busy(key):
                del self.records[key]
                del self.sets[key]

    def shown(self):
        return [
            describe(key, record, busy=self.busy(key))
            for key, record in sorted(self.records.items())
            if not is_forgotten(record, self.now, busy=self.busy(key))
        ]


class Real:
    """Two stores on one server, on a clock of ours: a table beside the records."""

    def __init__(self, dsn, mode):
        self.mode = mode
        self.loop = asyncio.new_event_loop()
        self.locker = PostgresLocker(dsn, ttl=TTL / SECOND, mode=mode)
        self.stores = [self.locker._connect(), self.locker._connect()]
        self.admin = self.run(asyncpg.connect(dsn))
        self.run(self.admin.execute("CREATE TABLE clock (us bigint)"))
        self.run(self.admin.execute("INSERT INTO clock VALUES (0)"))
        for number in range(2):
            self.ask(number, Ping())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def ask(self, number, *requests):
        return self.run(self.stores[number].perform(requests))

    def set_clock(self, now):
        self.run(self.admin.execute(f"UPDATE clock SET us = {now}"))

    def clear(self):
        self.run(self.admin.execute("TRUNCATE aiosched_record_v1, aiosched_occurrence_v1"))

    def replace(self, number):
        """Have a session end, and another one take its place."""
        home = self.stores[number]._line.home
        self.run(self.stores[number].close())
        self.stores[number] = self.locker._connect()
        self.ask(number, Ping())
        if home:
            free = "SELECT pg_advisory_lock($1), pg_advisory_unlock($1)"
            self.run(self.admin.fetch(free, home))

    def records(self):
        return self.run(self.stores[0].records())

    def rows(self):
        columns = ", ".join(Record._fields)
        found = self.run(self.admin.fetch(f"SELECT {columns}, key, name FROM aiosched_record_v1"))
        return {unspelled(row["key"], row["name"]): Record(*row[:-2]) for row in found}

    def close(self):
        for store in self.stores:
            self.run(store.close())
        self.run(self.admin.close())
        self.loop.close()


class StoreMachine(RuleBasedStateMachine):
    """Any order of requests by any attempts, on a clock that goes on and back."""

    asked = Bundle("asked")

    def __init__(self, real):
        super().__init__()
        self.real = real

    @initialize()
    def begin(self):
        self.model = Model(self.real.mode)
        self.count = 0
        self.fences = {}
        self.real.clear()
        self.real.set_clock(START)

    @rule(target=asked, questions=QUESTIONS, number=SESSIONS)
    def ask(self, questions, number):
        asked = []
        for key, age, shape, kind in questions:
            due = None if age is None else from_us(self.model.now - age * SECOND)
            self.count += 1
            asked.append((Claim(key, due, **shape, **kind), f"attempt.{self.count}", number))
        for claim, is_new in zip(asked, self.compare(asked, number), strict=True):
            key = claim[0].key
            if is_new:
                assert self.model.record(key).fence > self.fences.get(key, 0)
        self.fences = {key: record.fence for key, record in self.model.records.items()}
        return multiple(*asked)

    @rule(asked=asked)
    def ask_again_as_the_same_attempt(self, asked):
        self.compare([asked], asked[2])

    def compare(self, asked, number):
        expected = [self.model.ask(claim, attempt, number) for claim, attempt, _ in asked]
        real = self.real.ask(number, *(Ask(claim, attempt, None) for claim, attempt, _ in asked))
        for theirs, ours in zip(real, expected, strict=True):
            if isinstance(ours, LockError):
                assert (type(theirs), str(theirs)) == (type(ours), str(ours))
                assert vars(theirs) == vars(ours)
            else:
                for name in ("due", "fence", "attempt"):
                    assert getattr(theirs, name) == getattr(ours, name)
        return [
            isinstance(answer, Grant) and claim.exclusive
            for answer, (claim, *_) in zip(expected, asked, strict=True)
        ]

    @rule(asked=asked, done=st.booleans())
    def release(self, asked, done):
        claim, attempt, number = asked
        due = self.model.record(claim.key).last_due
        expected = self.model.release(claim.key, attempt, due, number, done=done)
        assert self.real.ask(number, Release(claim.key, attempt, due, done=done)) == [expected]

    @rule(asked=asked)
    def renew(self, asked):
        claim, attempt, number = asked
        expected = self.model.renew(claim.key, attempt, number)
        lock = HeldLock(claim.key, attempt, Grant(BLANK, None, 0, 1), UNHELD)
        assert self.real.ask(number, Renew([lock], None)) == [[expected]]

    @rule(key=KEYS, number=SESSIONS)
    def look(self, key, number):
        expected = last_claimed(self.model.record(key), self.model.now, busy=self.model.busy(key))
        assert self.real.ask(number, Look(key, None)) == [expected]

    @rule(number=SESSIONS)
    def end_a_session(self, number):
        self.model.living[number] = object()
        self.real.replace(number)

    @rule(number=SESSIONS)
    def purge(self, number):
        self.model.purge()
        self.real.stores[number]._purge_at = 0
        self.real.ask(number, Ping())
        self.fences = {}

    @rule(seconds=st.sampled_from([0.000001, 0.5, 1, 4, 7, 30, 3700, -0.000001, -2, -40]))
    def step(self, seconds):
        self.model.now += round(seconds * SECOND)
        self.real.set_clock(self.model.now)

    @invariant()
    def shows_what_the_model_shows(self):
        assert self.real.records() == self.model.shown()
        assert self.real.rows() == {
            key: record for key, record in self.model.records.items() if record != BLANK
        }

    def teardown(self):
        count = self.real.run(
            self.real.admin.fetchval(
                "SELECT count(*) FROM aiosched_occurrence_v1 o LEFT JOIN aiosched_record_v1 r "
                "USING (key) WHERE r.key IS NULL OR r.floor IS NULL"
            )
        )
        assert count == 0


@pytest.fixture(params=["advisory", "lease"])
def real(postgres_server, postgres_database, monkeypatch, request):
    monkeypatch.setattr(_postgres_sql, "_NOW", "(SELECT us FROM clock)")
    real = Real(postgres_server.dsn(postgres_database), request.param)
    yield real
    real.close()


def test_it_decides_as_the_model_does(real):
    run_machine(
        partial(StoreMachine, real),
        settings=settings(
            max_examples=examples(40),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )


def test_a_record_has_the_columns_that_are_written():
    assert COLUMNS[3:-2] == Record._fields


@pytest.mark.parametrize("key", ["", "\0", "\ud800", "key", "x" * 512, "x" * 513, "é" * 300])
def test_what_is_filed_tells_its_key(key):
    assert unspelled(*spelled(key)) == key
    assert len(spelled(key)[0]) <= 512
